/* One measurement: a configuration on a problem, checked against the
 * double-precision oracle and timed beside cuBLAS.
 *
 * The course of it: read and refuse; make the inputs on the GPU; one product of
 * the first set, checked in full, and once more into other memory, equal bit
 * for bit; the timed samples (trial_time.c); then the output that the last
 * launch left in every set, checked in full. What was not written is NaN and
 * fails. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "matmul/gpu/trial.h"

typedef matmul_gpu_trial_state state;

/* --- reading the call --- */

static const dev_member problem_members[] = {
    {"m", JSON_INTEGER, 1, 1 << 20, true},
    {"n", JSON_INTEGER, 1, 1 << 20, true},
    {"k", JSON_INTEGER, 1, (1 << 20) - 1, true},
    {"trans_a", JSON_TRUE, 0, 0, false},
    {"trans_b", JSON_TRUE, 0, 0, false},
    {"dtype", JSON_STRING, 0, 0, false},
    {"out", JSON_STRING, 0, 0, false},
    {"epilogue", JSON_ARRAY, 0, 0, false},
    {"alpha", JSON_REAL, -1e6, 1e6, false},
    {"beta", JSON_REAL, -1e6, 1e6, false},
    {"integers", JSON_INTEGER, 0, 64, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
};

static bool read_types(const json_t *json, matmul_gpu_problem *p,
                       spak_error *err) {
    const char *in = spak_json_str(json, "dtype", "bf16"),
               *out = spak_json_str(json, "out", "same");
    if (strcmp(in, "bf16") != 0 && strcmp(in, "f16") != 0)
        return spak_fail(err,
                         "matmul_gpu: problem.dtype: '%s' is neither bf16 "
                         "nor f16",
                         in);
    if (strcmp(out, "same") != 0 && strcmp(out, "f32") != 0)
        return spak_fail(err,
                         "matmul_gpu: problem.out: '%s' is neither same "
                         "nor f32",
                         out);
    p->in = in[0] == 'b' ? DEV_BF16 : DEV_F16;
    p->out = out[0] == 's' ? p->in : DEV_F32;
    return true;
}

static bool read_epilogue(const json_t *list, matmul_gpu_problem *p,
                          spak_error *err) {
    const struct {
        const char *name;
        bool *on;
    } parts[] = {
        {"bias", &p->bias}, {"gelu", &p->gelu}, {"residual", &p->residual}};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        bool known = false;
        for (int k = 0; name && k < 3; k++)
            if (!strcmp(name, parts[k].name)) known = *parts[k].on = true;
        if (!known)
            return spak_fail(err,
                             "matmul_gpu: problem.epilogue: expected bias, "
                             "gelu or residual");
    }
    return true;
}

bool matmul_gpu_problem_read(const json_t *json, matmul_gpu_problem *p,
                             uint64_t *seed, spak_error *err) {
    enum { MEMBERS = sizeof problem_members / sizeof *problem_members };
    if (!json) return spak_fail(err, "matmul_gpu: problem must be an object");
    if (!dev_members_check("matmul_gpu", "problem", json, problem_members,
                           MEMBERS, err))
        return false;
    *p = (matmul_gpu_problem){.m = (int)spak_json_int(json, "m", 0),
                              .n = (int)spak_json_int(json, "n", 0),
                              .k = (int)spak_json_int(json, "k", 0),
                              .trans_a = spak_json_bool(json, "trans_a", false),
                              .trans_b = spak_json_bool(json, "trans_b", false),
                              .alpha = (float)spak_json_num(json, "alpha", 1),
                              .beta = (float)spak_json_num(json, "beta", 0)};
    *seed = (uint64_t)spak_json_int(json, "seed", 1);
    matmul_gpu_tight(p);
    if ((long long)p->m * p->n > INT32_MAX)
        return spak_fail(err,
                         "matmul_gpu: problem: C of %d x %d elements; a "
                         "trial checks at most 2^31 - 1, so take a smaller "
                         "m or n",
                         p->m, p->n);
    return read_types(json, p, err) &&
           read_epilogue(json_object_get(json, "epilogue"), p, err);
}

/* --- the peer --- */

enum { EXACT = 4 }; /* times itself times k stays below 2^24 up to k = 2^20 */

static bool has_epilogue(const matmul_gpu_problem *p) {
    return p->bias || p->gelu || p->residual;
}

/* Finds the peer and lets it compute once. A peer that is wrong is no peer. */
static bool meet_peer(state *t, spak_error *err) {
    double worst = 0;
    bool good = true;
    spak_error why = {0};
    if (!t->options.peer) return true;
    /* Where it was looked for is this machine's business, not the trace's. */
    t->peer = dev_gpu_blas_peer(t->gpu, NULL);
    if (!t->peer) spak_fail(&t->peer_reason, "cuBLAS cannot be loaded");
    if (!t->peer || !t->options.check) return true;
    if (!matmul_gpu_trial_reset_peers(t, err) ||
        !matmul_gpu_trial_run_peer(t, 0, err) || !dev_gpu_sync(t->gpu, err) ||
        !matmul_gpu_trial_check(t, 0, true, &good, &worst, &why, err))
        return false;
    if (good) return true;
    t->peer = NULL;
    spak_fail(&t->peer_reason, "its product is wrong: %s", why.message);
    return true;
}

static bool put_peer(const state *t, json_t *result, spak_error *err) {
    if (!t->options.peer) return true;
    if (!t->peer)
        return spak_json_set(result, "peer", json_null(), err) &&
               spak_json_set(result, "peer_reason",
                             json_string(t->peer_reason.message), err);
    return spak_json_set(result, "peer", json_string(t->peer), err) &&
           (!has_epilogue(&t->problem) ||
            spak_json_set(result, "peer_does",
                          json_string("the product without the epilogue"),
                          err));
}

/* --- is it right? --- */

static size_t c_bytes(const matmul_gpu_problem *p) {
    return (size_t)p->m * (size_t)p->ldc * dev_element_bytes(p->out);
}

static bool run_once(state *t, int set, spak_error *err) {
    return matmul_gpu_launch(t->gpu, &t->set[set].bound, err) &&
           dev_gpu_sync(t->gpu, err);
}

/* The first product; *good is false, with the failure in result, when it is
 * wrong. */
static bool first_product(state *t, json_t *result, bool *good,
                          spak_error *err) {
    double worst = 0;
    spak_error why = {0};
    *good = true;
    if (!matmul_gpu_trial_reset(t, err) || !run_once(t, 0, err)) return false;
    if (!t->options.check) return true;
    if (!matmul_gpu_trial_check(t, 0, false, good, &worst, &why, err))
        return false;
    if (isfinite(worst))
        json_object_set_new(result, "error_over_bound", json_real(worst));
    if (!*good) dev_trial_put_failure(result, why.message);
    return true;
}

/* Before anything else a product of small integers, whose sums are exact: the
 * bound of long sums of other numbers is so wide that a missing term of the
 * epilogue, or a missing step, would not show. */
static bool exact_product(state *t, json_t *result, bool *good,
                          spak_error *err) {
    const int integers = t->integers;
    *good = true;
    if (!t->options.check || integers) return true;
    if (!matmul_gpu_trial_fill(t, EXACT, err) ||
        !first_product(t, result, good, err))
        return false;
    return !*good || matmul_gpu_trial_fill(t, integers, err);
}

/* The same product into the peer's memory: the same bits? */
static bool second_product(state *t, json_t *result, bool *good,
                           spak_error *err) {
    matmul_gpu_buffers x = t->set[0].x;
    matmul_gpu_bound bound;
    uint32_t different = 0;
    x.c = t->set[0].peer_c;
    if (!matmul_gpu_trial_reset_peers(t, err) ||
        !matmul_gpu_bind(t->gpu, &t->plan, &x, &bound, err) ||
        !matmul_gpu_launch(t->gpu, &bound, err) || !dev_gpu_sync(t->gpu, err) ||
        !matmul_gpu_trial_different(t, t->set[0].x.c, x.c, c_bytes(&t->problem),
                                    &different, err))
        return false;
    *good = different == 0;
    json_object_set_new(result, "bitwise_equal", json_boolean(*good));
    if (!*good)
        dev_trial_put_failure(result,
                              "a second run gave other bits than the first");
    return true;
}

/* What the timed launches left behind. Where they added to C, whose contents
 * then depend on how many there were, each set is done once more. */
static bool last_products(state *t, int launched, json_t *result,
                          spak_error *err) {
    if (!dev_arena_check(t->arena, err)) return false;
    if (!t->options.check) return true;
    if (t->problem.beta != 0) {
        if (!matmul_gpu_trial_reset(t, err)) return false;
        for (int i = 0; i < launched; i++)
            if (!run_once(t, i, err)) return false;
    }
    double most = 0, worst = 0;
    bool good = true;
    spak_error why = {0};
    t->rows_checked = 16;
    for (int i = 0; i < launched; i++) {
        if (!matmul_gpu_trial_check(t, i, false, &good, &worst, &why, err))
            return false;
        most = fmax(most, worst);
        if (good) continue;
        spak_fail_context(&why,
                          "set %d of %d, after the timed loop (the first "
                          "product was right)",
                          i + 1, launched);
        dev_trial_put_failure(result, why.message);
        return true;
    }
    json_object_set_new(result, "correct", json_true());
    json_object_set_new(result, "checked_sets", json_integer(launched));
    double first = spak_json_num(result, "error_over_bound", 0);
    json_object_set_new(result, "error_over_bound",
                        json_real(fmax(first, most)));
    return true;
}

/* --- the trial --- */

static bool put_kernel(const state *t, json_t *result, spak_error *err) {
    const dev_launch *launch = &t->set[0].bound.launch;
    const unsigned *block = launch->block;
    int blocks = 0, threads = (int)(block[0] * block[1] * block[2]);
    return dev_kernel_occupancy(launch->kernel, threads, launch->smem_bytes,
                                &blocks, err) &&
           spak_json_set(result, "kernel", dev_kernel_json(launch->kernel),
                         err) &&
           spak_json_set(
               result, "occupancy",
               json_pack("{s:i, s:i, s:I}", "blocks_per_sm", blocks, "threads",
                         threads, "smem_bytes", (json_int_t)launch->smem_bytes),
               err);
}

static bool run_trial(state *t, json_t *result, spak_error *err) {
    bool good = false;
    int launched = 0;
    if (!matmul_gpu_trial_prepare(t, err) || !put_kernel(t, result, err) ||
        !exact_product(t, result, &good, err) ||
        (good && !first_product(t, result, &good, err)))
        return false;
    if (good && !second_product(t, result, &good, err)) return false;
    if (!good) return true;
    json_object_set_new(result, "status", json_string("ok"));
    if (!meet_peer(t, err) || !put_peer(t, result, err) ||
        !matmul_gpu_trial_time(t, result, &launched, err))
        return false;
    if (strcmp(spak_json_str(result, "status", ""), "ok") != 0) return true;
    return last_products(t, launched, result, err);
}

static bool compiles(const state *t, json_t *result) {
    const char *list[MATMUL_GPU_DEFINES];
    dev_variant variant = matmul_gpu_plan_variant(&t->plan, list);
    const dev_kernel *kernel;
    spak_error why = {0};
    if (dev_kernel_get(t->gpu, &variant, &kernel, &why)) return true;
    json_object_set_new(result, "status", json_string("failed"));
    json_object_set_new(result, "reason", json_string(why.message));
    return false;
}

static bool read_machine(state *t, spak_error *err) {
    json_t *hw = NULL;
    t->gpu = dev_gpu_get(err);
    if (!t->gpu || !matmul_gpu_describe(&hw, err)) return false;
    matmul_gpu_machine_of(hw, &t->machine);
    json_decref(hw);
    return true;
}

bool matmul_gpu_trial(const json_t *config, const json_t *problem,
                      const json_t *options, json_t **out, spak_error *err) {
    state t = {0};
    spak_error why = {0};
    *out = NULL;
    if (config && !json_is_object(config))
        return spak_fail(err,
                         "matmul_gpu: the configuration must be an object");
    t.integers = (int)spak_json_int(problem, "integers", 0);
    if (!matmul_gpu_problem_read(problem, &t.problem, &t.seed, err) ||
        !dev_trial_options_read("matmul_gpu", options, &t.options, err) ||
        !read_machine(&t, err))
        return false;
    json_t *result = json_object();
    if (!result) return spak_fail_oom(err);
    bool done = true;
    if (!matmul_gpu_config_read(config, &t.problem, &t.machine, &t.config,
                                &why)) {
        dev_trial_put_refusal(result, config, why.message);
    } else {
        json_object_set_new(result, "config",
                            matmul_gpu_config_json(&t.config));
        done = matmul_gpu_plan_new(&t.config, &t.problem, &t.machine, &t.plan,
                                   err) &&
               (!compiles(&t, result) || run_trial(&t, result, err));
    }
    matmul_gpu_trial_release(&t);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}
