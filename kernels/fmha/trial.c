/* One measurement: a configuration on a problem, checked against the oracle and
 * timed against the unfused variant as device/trial.h says. The peer runs on as
 * many threads, so `ratio` is what fusing brings.
 *
 * What is timed is checked (verify.c): the first output thoroughly, the later
 * ones by a few lines each and by being the same to the bit. Outputs are filled
 * with NaN before each run, of both sides alike. The inputs of a backward trial
 * are the O and the LSE of the configuration's own forward pass. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "device/trial.h"
#include "fmha/plan.h"
#include "fmha/verify.h"

typedef struct trial {
    fmha_shape shape;
    bool backward;
    int threads;
    fmha_dtype dtype;
    uint64_t seed;
    dev_trial_options options;
    fmha_config config, peer_config;
    fmha_plan *plan, *peer_plan;
    const fmha_planted *subject, *peer_subject; /* NULL but in tests */
    spak_error peer_reason;                     /* why there is no peer */
    bool peer;
    fmha_verifier *verifier; /* NULL: nothing is checked */
    fmha_call ours, theirs;  /* the same inputs */
    float *memory;
} trial;

/* --- reading the call --- */

static const dev_member problem_members[] = {
    {"batch", JSON_INTEGER, 1, 1 << 20, true},
    {"heads", JSON_INTEGER, 1, 1 << 20, true},
    {"kv_heads", JSON_INTEGER, 1, 1 << 20, false},
    {"q_len", JSON_INTEGER, 0, 1 << 24, true},
    {"kv_len", JSON_INTEGER, 0, 1 << 24, false},
    {"head_dim", JSON_INTEGER, 1, FMHA_MAX_HEAD_DIM, true},
    {"causal", JSON_TRUE, 0, 0, false},
    {"threads", JSON_INTEGER, 0, 1 << 20, false},
    {"backward", JSON_TRUE, 0, 0, false},
    {"dtype", JSON_STRING, 0, 0, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
};

static bool read_call(trial *t, const json_t *config, const json_t *problem,
                      const json_t *options, spak_error *err) {
    enum { PROBLEM = sizeof problem_members / sizeof *problem_members };
    if (config && !json_is_object(config))
        return spak_fail(err, "fmha: the configuration must be an object");
    if (!problem) return spak_fail(err, "fmha: problem must be an object");
    if (!dev_members_check("fmha", "problem", problem, problem_members, PROBLEM,
                           err) ||
        !dev_trial_options_read("fmha", options, &t->options, err))
        return false;
    fmha_shape *x = &t->shape;
    x->batch = (size_t)spak_json_int(problem, "batch", 0);
    x->heads = (size_t)spak_json_int(problem, "heads", 0);
    x->kv_heads =
        (size_t)spak_json_int(problem, "kv_heads", (long long)x->heads);
    x->q_len = (size_t)spak_json_int(problem, "q_len", 0);
    x->kv_len = (size_t)spak_json_int(problem, "kv_len", (long long)x->q_len);
    x->head_dim = (size_t)spak_json_int(problem, "head_dim", 0);
    x->causal = spak_json_bool(problem, "causal", false);
    t->threads = (int)spak_json_int(problem, "threads", 1);
    t->backward = spak_json_bool(problem, "backward", false);
    t->seed = (uint64_t)spak_json_int(problem, "seed", 1);
    const char *dtype = spak_json_str(problem, "dtype", "f32");
    if (!fmha_dtype_parse(dtype, &t->dtype))
        return spak_fail(
            err, "fmha: problem.dtype: '%s' is none of f32, f16, bf16", dtype);
    return fmha_shape_check(x, err);
}

/* --- refusals --- */

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

/* Elements of Q, of K, and rows of Q. fmha_shape_check keeps them, and all sums
 * of them below, within a size_t. */
typedef struct sizes {
    size_t qs, kvs, rows;
} sizes;

static sizes sizes_of(const fmha_shape *z) {
    size_t rows = z->batch * z->heads * z->q_len;
    return (sizes){rows * z->head_dim,
                   z->batch * z->kv_heads * z->kv_len * z->head_dim, rows};
}

/* Inputs, and outputs of both sides. */
static size_t tensor_floats(const fmha_shape *z) {
    sizes n = sizes_of(z);
    return 3 * round16(n.qs) + 2 * round16(n.kvs) + round16(n.rows) +
           2 * round16(n.qs + n.rows + 2 * n.kvs) + 16;
}

/* Half of the machine's memory is what a trial may ask for: S of the unfused
 * variants grows with the square of the length. plan_bytes is what the plans
 * need; the tensors and the verifier's copy of an output come on top. */
static bool fits_in_memory(const fmha_config *config, const fmha_shape *x,
                           double plan_bytes, spak_error *why) {
    sizes n = sizes_of(x);
    double pages = (double)sysconf(_SC_PHYS_PAGES),
           page = (double)sysconf(_SC_PAGESIZE),
           need = plan_bytes + (double)sizeof(float) *
                                   ((double)tensor_floats(x) + (double)n.qs +
                                    (double)n.rows + 2 * (double)n.kvs);
    if (pages <= 0 || page <= 0 || need <= pages * page / 2) return true;
    return spak_fail(why,
                     "q_len = %zu, kv_len = %zu, head_dim = %zu, %zu heads in "
                     "all: variant %s needs %.1f GB, more than half of the "
                     "machine's %.1f GB; take %s",
                     x->q_len, x->kv_len, x->head_dim, x->batch * x->heads,
                     fmha_variant_name(config->variant), need * 1e-9,
                     pages * page * 1e-9,
                     config->variant < FMHA_FUSED
                         ? "a shorter sequence, a smaller batch, or a variant "
                           "that keeps no S"
                         : "a shorter sequence or a smaller batch");
}

static bool read_config(trial *t, const json_t *config, spak_error *why) {
    if (!fmha_config_read(config, &t->shape, t->threads, &t->config, why))
        return false;
    if (json_object_get(config, "dtype") && t->config.dtype != t->dtype)
        return spak_fail(why,
                         "axis dtype: the configuration says %s, the problem "
                         "%s",
                         fmha_dtype_name(t->config.dtype),
                         fmha_dtype_name(t->dtype));
    t->config.dtype = t->dtype;
    return fits_in_memory(&t->config, &t->shape,
                          fmha_plan_bytes(&t->config, &t->shape), why);
}

/* --- inputs --- */

static void fill(const trial *t, float *x, size_t n, uint64_t stream) {
    spak_philox_fill_normal(x, n, 0, 1, t->seed, stream);
    for (size_t i = 0; t->dtype != FMHA_F32 && i < n; i++)
        x[i] = fmha_round(x[i], t->dtype);
}

static float *take(float **at, size_t n) {
    float *p = *at;
    *at += round16(n);
    return p;
}

/* A side's outputs, in one block. */
static void lay_out(const trial *t, fmha_call *call, const fmha_in in[5],
                    const float *lse, float **at) {
    const fmha_shape *z = &t->shape;
    const sizes n = sizes_of(z);
    call->backward = t->backward;
    call->out_floats = t->backward ? n.qs + 2 * n.kvs : n.qs + n.rows;
    call->out = take(at, call->out_floats);
    call->forward = (fmha_forward_args){
        in[0], in[1], in[2],
        fmha_dense_out(call->out, z->heads, z->q_len, z->head_dim),
        call->out + n.qs};
    call->gradients = (fmha_backward_args){
        in[0],
        in[1],
        in[2],
        in[3],
        in[4],
        lse,
        fmha_dense_out(call->out, z->heads, z->q_len, z->head_dim),
        fmha_dense_out(call->out + n.qs, z->kv_heads, z->kv_len, z->head_dim),
        fmha_dense_out(call->out + n.qs + n.kvs, z->kv_heads, z->kv_len,
                       z->head_dim)};
}

static bool prepare_tensors(trial *t, spak_error *err) {
    const fmha_shape *z = &t->shape;
    const sizes n = sizes_of(z);
    t->memory = spak_malloc(tensor_floats(z) * sizeof(float));
    if (!t->memory) return spak_fail_oom(err);
    float *at = (float *)(((uintptr_t)t->memory + 63) & ~(uintptr_t)63);
    float *q = take(&at, n.qs), *k = take(&at, n.kvs), *v = take(&at, n.kvs),
          *o = take(&at, n.qs), *d_o = take(&at, n.qs),
          *lse = take(&at, n.rows);
    fmha_in in[5] = {fmha_dense_in(q, z->heads, z->q_len, z->head_dim),
                     fmha_dense_in(k, z->kv_heads, z->kv_len, z->head_dim),
                     fmha_dense_in(v, z->kv_heads, z->kv_len, z->head_dim),
                     fmha_dense_in(o, z->heads, z->q_len, z->head_dim),
                     fmha_dense_in(d_o, z->heads, z->q_len, z->head_dim)};
    fill(t, q, n.qs, 0);
    fill(t, k, n.kvs, 1);
    fill(t, v, n.kvs, 2);
    fill(t, d_o, n.qs, 3);
    lay_out(t, &t->ours, in, lse, &at);
    lay_out(t, &t->theirs, in, lse, &at);
    if (t->backward)
        fmha_forward(
            t->plan,
            &(fmha_forward_args){
                in[0], in[1], in[2],
                fmha_dense_out(o, z->heads, z->q_len, z->head_dim), lse});
    return true;
}

static bool prepare(trial *t, spak_error *err) {
    return fmha_plan_new(&t->config, &t->shape, t->threads, FAULT_NONE,
                         &t->plan, err) &&
           prepare_tensors(t, err) &&
           (!t->options.check ||
            fmha_verifier_new(&t->shape, t->dtype, &t->ours, t->seed,
                              &t->verifier, err));
}

/* --- runs --- */

static void run_plan(fmha_plan *plan, const fmha_call *call) {
    if (call->backward)
        fmha_backward(plan, &call->gradients);
    else
        fmha_forward(plan, &call->forward);
}

static void run_ours(trial *t) {
    if (t->subject)
        t->subject->run(t->subject->ctx, t->plan, &t->shape, &t->ours);
    else
        run_plan(t->plan, &t->ours);
}

static void run_theirs(trial *t) {
    if (t->peer_subject)
        t->peer_subject->run(t->peer_subject->ctx, t->peer_plan, &t->shape,
                             &t->theirs);
    else
        run_plan(t->peer_plan, &t->theirs);
}

static void poison(const fmha_call *call) {
    memset(call->out, 0xFF, call->out_floats * sizeof *call->out);
}

static void prepare_our_side(void *ctx) { poison(&((trial *)ctx)->ours); }
static void prepare_their_side(void *ctx) { poison(&((trial *)ctx)->theirs); }
static void run_our_side(void *ctx) { run_ours(ctx); }
static void run_their_side(void *ctx) { run_theirs(ctx); }
static void nothing(void *arg, int thread, int threads) {
    (void)arg, (void)thread, (void)threads;
}
static void wake_our_side(void *ctx) {
    dev_pool_run(((trial *)ctx)->plan->pool, nothing, NULL);
}
static void wake_their_side(void *ctx) {
    dev_pool_run(((trial *)ctx)->peer_plan->pool, nothing, NULL);
}

/* Is our last output right? If not, why names it. */
static bool sound(void *ctx, int sample, spak_error *why) {
    trial *t = ctx;
    double worst;
    if (!t->verifier) return true;
    if (!fmha_verify_quickly(t->verifier, &t->ours, (uint64_t)sample, &worst,
                             why))
        return false;
    if (!(worst <= 1))
        return spak_fail(why,
                         "sample %d of %d: the last output is wrong (error / "
                         "bound %.3g); the first one was right",
                         sample, t->options.samples, worst);
    return fmha_verify_same(t->verifier, &t->ours) ||
           spak_fail(why,
                     "sample %d of %d: the last output differs from the first "
                     "one, and the same run should give the same bits",
                     sample, t->options.samples);
}

/* --- the peer --- */

static bool plan_peer(trial *t, spak_error *why) {
    json_t *axes = json_pack("{s:s,s:s}", "variant", "unfused", "isa",
                             dev_isa_name(dev_cpu_isa()));
    bool ok = axes && fmha_config_read(axes, &t->shape, t->threads,
                                       &t->peer_config, why);
    json_decref(axes);
    t->peer_config.dtype = t->dtype;
    return ok &&
           fits_in_memory(&t->peer_config, &t->shape,
                          fmha_plan_bytes(&t->config, &t->shape) +
                              fmha_plan_bytes(&t->peer_config, &t->shape),
                          why) &&
           fmha_plan_new(&t->peer_config, &t->shape, t->threads, FAULT_NONE,
                         &t->peer_plan, why);
}

/* Plans the peer and lets it compute once. A peer that is wrong is no peer. */
static bool meet_peer(trial *t, spak_error *err) {
    const fmha_shape *z = &t->shape;
    double worst = 0;
    if (!t->options.peer) return true;
    if (z->q_len == 0 || z->kv_len == 0) {
        spak_fail(&t->peer_reason, "there is nothing to compute");
        return true;
    }
    if (!plan_peer(t, &t->peer_reason)) return true;
    poison(&t->theirs);
    run_theirs(t);
    if (t->verifier &&
        !fmha_verify_quickly(t->verifier, &t->theirs, UINT32_MAX, &worst, err))
        return false;
    t->peer = worst <= 1;
    if (!t->peer)
        spak_fail(&t->peer_reason,
                  "its output is wrong by more than the bound");
    return true;
}

/* --- the result --- */

static double flop(const trial *t) {
    const fmha_shape *z = &t->shape;
    double pairs = 0;
    for (size_t i = 0; i < z->q_len; i++) pairs += (double)fmha_visible(z, i);
    return 4 * (double)(z->batch * z->heads * z->head_dim) * pairs *
           (t->backward ? 2.5 : 1);
}

static double traffic(const trial *t, const fmha_config *config) {
    return t->backward ? fmha_backward_traffic_bytes(config, &t->shape)
                       : fmha_traffic_bytes(config, &t->shape);
}

static void put_figures(const trial *t, json_t *result) {
    json_object_set_new(result, "flop", json_real(flop(t)));
    json_object_set_new(result, "traffic_bytes",
                        json_real(traffic(t, &t->config)));
    json_object_set_new(result, "peer",
                        t->peer ? json_string(fmha_op.peer()) : json_null());
    if (t->peer)
        json_object_set_new(result, "peer_traffic_bytes",
                            json_real(traffic(t, &t->peer_config)));
    else if (t->options.peer)
        json_object_set_new(result, "peer_reason",
                            json_string(t->peer_reason.message));
}

static bool time_it(trial *t, json_t *result, spak_error *err) {
    bool team = t->threads > 1, good;
    dev_side ours = {prepare_our_side, run_our_side,
                     team ? wake_our_side : NULL, t};
    dev_side theirs = {prepare_their_side, run_their_side,
                       team ? wake_their_side : NULL, t};
    if (!dev_trial_time(&ours, t->peer ? &theirs : NULL, &t->options, sound, t,
                        flop(t), result, &good, err))
        return false;
    if (good) put_figures(t, result);
    return true;
}

static bool run_trial(trial *t, json_t *result, spak_error *err) {
    double worst = 0;
    if (!prepare(t, err)) return false;
    poison(&t->ours);
    run_ours(t);
    if (t->verifier && !fmha_verify(t->verifier, &t->ours, &worst, err))
        return false;
    if (t->verifier && !dev_trial_put_first(result, worst)) return true;
    return meet_peer(t, err) && time_it(t, result, err);
}

bool fmha_trial_with(const fmha_planted *ours, const fmha_planted *peer,
                     const json_t *config, const json_t *problem,
                     const json_t *options, json_t **out, spak_error *err) {
    trial t = {.subject = ours, .peer_subject = peer};
    spak_error why = {""};
    *out = NULL;
    if (!read_call(&t, config, problem, options, err)) return false;
    json_t *result = json_object();
    if (!result) return spak_fail_oom(err);
    bool done = true;
    if (!read_config(&t, config, &why)) {
        dev_trial_put_refusal(result, config, why.message);
    } else {
        json_object_set_new(result, "config", fmha_config_json(&t.config));
        done = run_trial(&t, result, err);
    }
    fmha_plan_free(t.plan);
    fmha_plan_free(t.peer_plan);
    fmha_verifier_free(t.verifier);
    spak_free(t.memory);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}

bool fmha_trial(const json_t *config, const json_t *problem,
                const json_t *options, json_t **result, spak_error *err) {
    return fmha_trial_with(NULL, NULL, config, problem, options, result, err);
}
