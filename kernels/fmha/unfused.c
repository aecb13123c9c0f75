/* Attention as the formula is written: three passes, with S and P as matrices
 * in memory.
 *
 *   naive     plain loops, one head at a time, one thread
 *   unfused   the products by the register tiles of kernels/matmul, the softmax
 *             in vectors, on any number of threads. Each pass goes over all
 *             heads before the next begins, as three kernels would.
 *
 * So what the fused kernels are compared with differs from them in one thing:
 * S and P take the way through memory, and a causal mask saves no work, since a
 * product computes its whole matrix. The backward passes do the same with P,
 * dP and dS. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "fmha/plan.h"

enum { BLOCK = FMHA_UNFUSED_ROWS };

/* --- naive --- */

static float dot(const float *a, const float *b, size_t n) {
    float sum = 0;
    for (size_t d = 0; d < n; d++) sum += a[d] * b[d];
    return sum;
}

/* s = the row's probabilities; returns its LSE. */
static float naive_softmax(float *s, size_t n, size_t seen, float scale) {
    float max = -FLT_MAX, sum = 0;
    for (size_t j = 0; j < seen; j++) max = fmaxf(max, s[j] *= scale);
    for (size_t j = 0; j < seen; j++) sum += s[j] = expf(s[j] - max);
    for (size_t j = 0; j < seen; j++) s[j] = sum == 0 ? 0 : s[j] / sum;
    for (size_t j = seen; j < n; j++) s[j] = 0;
    return sum == 0 ? -INFINITY : max + logf(sum);
}

static void naive_head(const fmha_plan *plan, const fmha_forward_args *x,
                       size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    const size_t n = z->kv_len, dim = z->head_dim, kv = fmha_kv_head(z, h);
    for (size_t i = 0; i < z->q_len; i++)
        for (size_t j = 0; j < n; j++)
            plan->s[i * n + j] =
                dot(fmha_row(&x->q, b, h, i), fmha_row(&x->k, b, kv, j), dim);
    for (size_t i = 0; i < z->q_len; i++) {
        float lse =
            naive_softmax(plan->s + i * n, n, fmha_visible(z, i), plan->scale);
        if (x->lse) x->lse[(b * z->heads + h) * z->q_len + i] = lse;
        fmha_round_row(plan->s + i * n, n, plan->config.dtype);
    }
    for (size_t i = 0; i < z->q_len; i++) {
        float *o = fmha_out_row(&x->o, b, h, i);
        memset(o, 0, dim * sizeof *o);
        for (size_t j = 0; j < n; j++) {
            const float *v = fmha_row(&x->v, b, kv, j);
            for (size_t d = 0; d < dim; d++) o[d] += plan->s[i * n + j] * v[d];
        }
        fmha_round_row(o, dim, plan->config.dtype);
    }
}

void fmha_naive_forward(fmha_plan *plan, const fmha_forward_args *x) {
    for (size_t b = 0; b < plan->shape.batch; b++)
        for (size_t h = 0; h < plan->shape.heads; h++)
            naive_head(plan, x, b, h);
}

/* P and dS of one head, row by row. */
static void naive_scores(const fmha_plan *plan, const fmha_backward_args *x,
                         size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    const size_t n = z->kv_len, dim = z->head_dim, kv = fmha_kv_head(z, h);
    for (size_t i = 0; i < z->q_len; i++) {
        const float *q = fmha_row(&x->q, b, h, i),
                    *d_o = fmha_row(&x->d_o, b, h, i);
        float *p = plan->s + i * n, *ds = plan->dp + i * n, delta;
        float lse = x->lse[(b * z->heads + h) * z->q_len + i];
        fmha_delta(x, b, h, i, 1, dim, &delta);
        for (size_t j = 0; j < n; j++) {
            bool seen = j < fmha_visible(z, i) && lse != -INFINITY;
            float s = plan->scale * dot(q, fmha_row(&x->k, b, kv, j), dim);
            p[j] = seen ? expf(s - lse) : 0;
            ds[j] = p[j] * (dot(d_o, fmha_row(&x->v, b, kv, j), dim) - delta);
        }
        fmha_round_row(p, n, plan->config.dtype);
        fmha_round_row(ds, n, plan->config.dtype);
    }
}

static void naive_gradients(const fmha_plan *plan, const fmha_backward_args *x,
                            size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    const size_t n = z->kv_len, dim = z->head_dim, kv = fmha_kv_head(z, h);
    float *dk = plan->part_dk + (b * z->heads + h) * n * dim,
          *dv = plan->part_dv + (b * z->heads + h) * n * dim;
    memset(dk, 0, n * dim * sizeof *dk);
    memset(dv, 0, n * dim * sizeof *dv);
    for (size_t i = 0; i < z->q_len; i++) {
        const float *q = fmha_row(&x->q, b, h, i),
                    *d_o = fmha_row(&x->d_o, b, h, i);
        float *dq = fmha_out_row(&x->dq, b, h, i);
        memset(dq, 0, dim * sizeof *dq);
        for (size_t j = 0; j < n; j++) {
            const float *k = fmha_row(&x->k, b, kv, j);
            float p = plan->s[i * n + j], ds = plan->dp[i * n + j];
            for (size_t d = 0; d < dim; d++) {
                dq[d] += ds * k[d];
                dk[j * dim + d] += ds * q[d];
                dv[j * dim + d] += p * d_o[d];
            }
        }
        for (size_t d = 0; d < dim; d++) dq[d] *= plan->scale;
        fmha_round_row(dq, dim, plan->config.dtype);
    }
}

void fmha_naive_backward(fmha_plan *plan, const fmha_backward_args *x) {
    for (size_t b = 0; b < plan->shape.batch; b++)
        for (size_t h = 0; h < plan->shape.heads; h++) {
            naive_scores(plan, x, b, h);
            naive_gradients(plan, x, b, h);
        }
    fmha_sum_groups(plan, x, 0, 1);
}

/* --- unfused --- */

typedef struct job {
    fmha_plan *plan;
    const fmha_forward_args *x;
    const fmha_backward_args *dx;
} job;

/* A unit of a pass: some rows of one head's matrices. */
typedef struct block {
    size_t b, h, kv, i0, rows;
    float *s, *dp; /* its rows of S and of dP */
    size_t lse;    /* its first row in the LSE */
} block;

static block block_of(const fmha_plan *plan, size_t unit) {
    const fmha_shape *z = &plan->shape;
    size_t blocks = fmha_panels_of(z->q_len, BLOCK), head = unit / blocks;
    block k = {.b = head / z->heads,
               .h = head % z->heads,
               .i0 = unit % blocks * BLOCK};
    k.kv = fmha_kv_head(z, k.h);
    k.rows = fmha_min(BLOCK, z->q_len - k.i0);
    k.lse = head * z->q_len + k.i0;
    k.s = plan->s + k.lse * z->kv_len;
    k.dp = plan->dp + k.lse * z->kv_len;
    return k;
}

typedef void pass_fn(const job *j, matmul_plan *products, const block *k);

/* One pass over all heads; the next one waits until it is complete. */
static void run_pass(const job *j, int thread, int threads, pass_fn *pass) {
    const fmha_shape *z = &j->plan->shape;
    size_t units = z->batch * z->heads * fmha_panels_of(z->q_len, BLOCK);
    for (size_t u = (size_t)thread; u < units; u += (size_t)threads) {
        block k = block_of(j->plan, u);
        pass(j, j->plan->products[thread], &k);
    }
    dev_pool_barrier(j->plan->pool);
}

/* c (m, n) = a b, or a b^T when `transposed`. */
static void multiply(matmul_plan *plan, size_t m, size_t n, size_t k,
                     const float *a, size_t lda, const float *b, size_t ldb,
                     bool transposed, float *c, size_t ldc) {
    matmul_run(plan, &(matmul_args){.m = m,
                                    .n = n,
                                    .k = k,
                                    .trans_b = transposed,
                                    .a = a,
                                    .lda = lda,
                                    .b = b,
                                    .ldb = ldb,
                                    .c = c,
                                    .ldc = ldc});
}

//> three_passes
/* S = Q K^T. */
static void scores(const job *j, matmul_plan *products, const block *k) {
    const fmha_shape *z = &j->plan->shape;
    multiply(products, k->rows, z->kv_len, z->head_dim,
             fmha_row(&j->x->q, k->b, k->h, k->i0), j->x->q.row,
             fmha_row(&j->x->k, k->b, k->kv, 0), j->x->k.row, true, k->s,
             z->kv_len);
}

/* P = softmax(scale S + mask), row by row, in place. */
static void softmax(const job *j, matmul_plan *products, const block *k) {
    const fmha_plan *plan = j->plan;
    const size_t n = plan->shape.kv_len;
    (void)products;
    for (size_t i = 0; i < k->rows; i++) {
        float *row = k->s + i * n;
        float lse = plan->micro->softmax_row(
            row, n, fmha_visible(&plan->shape, k->i0 + i), plan->scale2);
        if (j->x->lse) j->x->lse[k->lse + i] = lse;
        if (plan->config.dtype != FMHA_F32)
            plan->micro->round(row, n, plan->config.dtype);
    }
}

/* O = P V. */
static void outputs(const job *j, matmul_plan *products, const block *k) {
    const fmha_shape *z = &j->plan->shape;
    const size_t dim = z->head_dim;
    multiply(products, k->rows, dim, z->kv_len, k->s, z->kv_len,
             fmha_row(&j->x->v, k->b, k->kv, 0), j->x->v.row, false,
             fmha_out_row(&j->x->o, k->b, k->h, k->i0), j->x->o.row);
    for (size_t i = 0; i < k->rows; i++)
        fmha_round_row(fmha_out_row(&j->x->o, k->b, k->h, k->i0 + i), dim,
                       j->plan->config.dtype);
}

static void three_passes(void *arg, int thread, int threads) {
    run_pass(arg, thread, threads, scores);
    run_pass(arg, thread, threads, softmax);
    run_pass(arg, thread, threads, outputs);
}
//< three_passes

void fmha_unfused_forward(fmha_plan *plan, const fmha_forward_args *x) {
    dev_pool_run(plan->pool, three_passes, &(job){plan, x, NULL});
}

/* --- unfused, backward --- */

static void score_products(const job *j, matmul_plan *products,
                           const block *k) {
    const fmha_backward_args *x = j->dx;
    const fmha_shape *z = &j->plan->shape;
    multiply(products, k->rows, z->kv_len, z->head_dim,
             fmha_row(&x->q, k->b, k->h, k->i0), x->q.row,
             fmha_row(&x->k, k->b, k->kv, 0), x->k.row, true, k->s, z->kv_len);
    multiply(products, k->rows, z->kv_len, z->head_dim,
             fmha_row(&x->d_o, k->b, k->h, k->i0), x->d_o.row,
             fmha_row(&x->v, k->b, k->kv, 0), x->v.row, true, k->dp, z->kv_len);
}

static void score_gradients(const job *j, matmul_plan *products,
                            const block *k) {
    const fmha_plan *plan = j->plan;
    const size_t n = plan->shape.kv_len;
    float delta[BLOCK];
    (void)products;
    fmha_delta(j->dx, k->b, k->h, k->i0, k->rows, plan->shape.head_dim, delta);
    for (size_t i = 0; i < k->rows; i++) {
        float *p = k->s + i * n, *ds = k->dp + i * n;
        float lse2 =
            (float)((double)j->dx->lse[k->lse + i] * 1.44269504088896341);
        plan->micro->recompute_row(p, n, fmha_visible(&plan->shape, k->i0 + i),
                                   plan->scale2, lse2);
        for (size_t c = 0; c < n; c++) ds[c] = p[c] * (ds[c] - delta[i]);
        if (plan->config.dtype == FMHA_F32) continue;
        plan->micro->round(p, n, plan->config.dtype);
        plan->micro->round(ds, n, plan->config.dtype);
    }
}

static void query_gradients(const job *j, matmul_plan *products,
                            const block *k) {
    const fmha_backward_args *x = j->dx;
    const fmha_shape *z = &j->plan->shape;
    const size_t dim = z->head_dim;
    multiply(products, k->rows, dim, z->kv_len, k->dp, z->kv_len,
             fmha_row(&x->k, k->b, k->kv, 0), x->k.row, false,
             fmha_out_row(&x->dq, k->b, k->h, k->i0), x->dq.row);
    for (size_t i = 0; i < k->rows; i++) {
        float *dq = fmha_out_row(&x->dq, k->b, k->h, k->i0 + i);
        for (size_t d = 0; d < dim; d++) dq[d] *= j->plan->scale;
        fmha_round_row(dq, dim, j->plan->config.dtype);
    }
}

/* dK and dV are sums over all queries: the unit is a head. */
static void key_gradients(const job *j, matmul_plan *products, size_t b,
                          size_t h) {
    const fmha_backward_args *x = j->dx;
    const fmha_shape *z = &j->plan->shape;
    const size_t dim = z->head_dim, head = b * z->heads + h,
                 at = head * z->kv_len * dim;
    matmul_args dv = {.m = z->kv_len,
                      .n = dim,
                      .k = z->q_len,
                      .trans_a = true,
                      .a = j->plan->s + head * z->q_len * z->kv_len,
                      .lda = z->kv_len,
                      .b = fmha_row(&x->d_o, b, h, 0),
                      .ldb = x->d_o.row,
                      .c = j->plan->part_dv + at,
                      .ldc = dim};
    matmul_args dk = dv;
    dk.a = j->plan->dp + head * z->q_len * z->kv_len;
    dk.b = fmha_row(&x->q, b, h, 0);
    dk.ldb = x->q.row;
    dk.c = j->plan->part_dk + at;
    matmul_run(products, &dv);
    matmul_run(products, &dk);
}

static void backward_passes(void *arg, int thread, int threads) {
    job *j = arg;
    run_pass(j, thread, threads, score_products);
    run_pass(j, thread, threads, score_gradients);
    run_pass(j, thread, threads, query_gradients);
    const fmha_shape *z = &j->plan->shape;
    for (size_t u = (size_t)thread; u < z->batch * z->heads;
         u += (size_t)threads)
        key_gradients(j, j->plan->products[thread], u / z->heads, u % z->heads);
    dev_pool_barrier(j->plan->pool);
    fmha_sum_groups(j->plan, j->dx, thread, threads);
}

void fmha_unfused_backward(fmha_plan *plan, const fmha_backward_args *x) {
    dev_pool_run(plan->pool, backward_passes, &(job){plan, NULL, x});
}
