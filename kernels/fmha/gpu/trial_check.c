/* A trial's outputs against the oracles on the GPU. */
#include "fmha/gpu/trial.h"

typedef fmha_gpu_trial_state state;

static oracle_tensor tensor(dev_ptr at, const fmha_layout *by) {
    return (oracle_tensor){at, {by->batch, by->head, by->row}};
}

static oracle_fmha problem_of(const state *t, const fmha_gpu_buffers *x) {
    const fmha_gpu_problem *p = &t->problem;
    return (oracle_fmha){.batch = p->batch,
                         .heads = p->heads,
                         .kv_heads = p->kv_heads,
                         .q_len = p->q_len,
                         .kv_len = p->kv_len,
                         .head_dim = p->head_dim,
                         .causal = p->causal,
                         .window = p->window,
                         .scale = p->scale,
                         .type = p->dtype,
                         .cu_q = p->varlen ? x->cu_q : 0,
                         .cu_k = p->varlen ? x->cu_k : 0,
                         .q = tensor(x->q, &p->q_at),
                         .k = tensor(x->k, &p->k_at),
                         .v = tensor(x->v, &p->v_at),
                         .o = tensor(x->o, &p->o_at),
                         .lse = x->lse,
                         .backward = fmha_gpu_is_backward(t),
                         .d_o = tensor(x->d_o, &p->do_at),
                         .dq = tensor(x->dq, &p->dq_at),
                         .dk = tensor(x->dk, &p->dk_at),
                         .dv = tensor(x->dv, &p->dv_at),
                         .seed = t->seed};
}

bool fmha_gpu_trial_check(state *t, const fmha_gpu_buffers *x, bool exact,
                          int lines, oracle_fmha_verdict *verdict,
                          spak_error *err) {
    oracle_fmha y = problem_of(t, x);
    y.exact = exact;
    y.lines = lines;
    return oracle_fmha_check(t->gpu, &y, verdict, err);
}

bool fmha_gpu_trial_forward(state *t, const fmha_gpu_buffers *x,
                            spak_error *err) {
    oracle_fmha y = problem_of(t, x);
    return oracle_fmha_forward(t->gpu, &y, err);
}

void fmha_gpu_put_errors(const state *t, const oracle_fmha_verdict *verdict,
                         const char *key, json_t *result) {
    static const char *const names[] = {"o", "dq", "dk", "dv"};
    const int first = fmha_gpu_is_backward(t) ? 1 : 0, count = first ? 3 : 1;
    json_t *errors = json_object();
    for (int i = 0; i < count; i++)
        json_object_set_new(errors, names[first + i],
                            json_real(verdict->error[i]));
    json_object_set_new(result, key, errors);
}
