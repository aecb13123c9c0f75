/* A trial's output against the double-precision oracle on the GPU. */
#include "matmul/gpu/trial.h"
#include "oracle/matmul_f64.h"

/* epilogue.cuh computes (1 + tanh u) / 2 as 1 / (1 + exp(-2u)) with __expf,
 * whose error is 2 + 1.2 |2u| units: of tanh that is below 2^-20. */
static const double TANH_ERROR = 0x1p-20;

static oracle_product product_of(const matmul_gpu_trial_state *t, int set,
                                 bool peers) {
    const matmul_gpu_problem *p = &t->problem;
    const matmul_gpu_buffers *x = &t->set[set].x;
    oracle_product product = {.m = p->m,
                              .n = p->n,
                              .k = p->k,
                              .trans_a = p->trans_a,
                              .trans_b = p->trans_b,
                              .in = p->in,
                              .out = p->out,
                              .a = x->a,
                              .b = x->b,
                              .c = peers ? t->set[set].peer_c : x->c,
                              .c_old = p->beta != 0 ? t->c_old : 0,
                              .lda = p->lda,
                              .ldb = p->ldb,
                              .ldc = p->ldc,
                              .alpha = p->alpha,
                              .beta = p->beta,
                              .tanh_error = TANH_ERROR,
                              .integers = t->integers,
                              .num_rows = t->rows_checked,
                              .seed = t->seed + (uint64_t)set};
    if (peers) return product; /* the plain product */
    product.gelu = p->gelu;
    product.bias = x->bias;
    product.pre = x->pre;
    product.residual = x->residual;
    return product;
}

bool matmul_gpu_trial_check(matmul_gpu_trial_state *t, int set, bool peers,
                            bool *good, double *worst, spak_error *why,
                            spak_error *err) {
    oracle_product product = product_of(t, set, peers);
    oracle_verdict verdict;
    if (t->problem.beta != 0 && !matmul_gpu_trial_draw_c(t, t->c_old, set, err))
        return false;
    if (!oracle_check(t->gpu, &product, &verdict, err)) return false;
    *good = verdict.good;
    *worst = verdict.worst;
    if (verdict.worst_pre > *worst) *worst = verdict.worst_pre;
    if (verdict.freivalds > *worst) *worst = verdict.freivalds;
    if (!verdict.good) spak_fail(why, "%s", verdict.text);
    return true;
}
