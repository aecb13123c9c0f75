/* One measurement: a configuration on a problem, checked against the oracles on
 * the GPU and timed beside PyTorch.
 *
 * The course of it: read and refuse; one launch on inputs that leave the bound
 * no room (equal scores with integers in V, forward; scores that are spread
 * out), and one on the inputs asked for, each checked in full; once more into
 * other memory, equal bit for bit where that is promised; the timed samples
 * (trial_time.c); then the output that the last launch left in every set,
 * checked in full. What was not written is NaN and fails. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "fmha/gpu/trial.h"

typedef fmha_gpu_trial_state state;

enum { LAST_LINES = 64 }; /* in double, of each set after the timed loop */

/* --- is it right? --- */

static bool run_once(state *t, int set, spak_error *err) {
    return fmha_gpu_launch(t->gpu, &t->set[set].bound, err) &&
           dev_gpu_sync(t->gpu, err);
}

/* The larger of error_over_bound and what a verdict says. */
static void put_worst(json_t *result, const oracle_fmha_verdict *v) {
    double worst = fmax(spak_json_num(result, "error_over_bound", 0),
                        fmax(v->worst, v->worst_all));
    if (isfinite(worst))
        json_object_set_new(result, "error_over_bound", json_real(worst));
}

/* One launch on such inputs; *good is false, with the failure in result, when
 * its output is wrong. */
static bool try_inputs(state *t, fmha_gpu_inputs inputs, const char *what,
                       json_t *result, bool *good, spak_error *err) {
    oracle_fmha_verdict v;
    *good = true;
    if (!fmha_gpu_trial_fill(t, inputs, err) || !fmha_gpu_trial_reset(t, err) ||
        !run_once(t, 0, err))
        return false;
    if (!t->options.check) return true;
    const bool exact =
        inputs == FMHA_GPU_EQUAL && t->problem.pass == FMHA_GPU_FORWARD;
    if (!fmha_gpu_trial_check(t, &t->set[0].x, exact, 0, &v, err)) return false;
    put_worst(result, &v);
    *good = v.good;
    if (*good && inputs == t->inputs)
        fmha_gpu_put_errors(t, &v, "errors", result);
    if (*good) return true;
    spak_error why = {0};
    spak_fail(&why, "%s: %s", what, v.text);
    dev_trial_put_failure(result, why.message);
    return true;
}

static bool first_products(state *t, json_t *result, bool *good,
                           spak_error *err) {
    *good = true;
    if (t->options.check && !fmha_gpu_is_backward(t) &&
        t->inputs != FMHA_GPU_EQUAL &&
        !try_inputs(t, FMHA_GPU_EQUAL, "equal scores, integers in V", result,
                    good, err))
        return false;
    if (*good && t->options.check && t->inputs != FMHA_GPU_SPREAD &&
        !try_inputs(t, FMHA_GPU_SPREAD, "scores of sigma 4", result, good, err))
        return false;
    return !*good ||
           try_inputs(t, t->inputs, "the inputs asked for", result, good, err);
}

/* The same launch into other memory: the same bits? A backward pass has to only
 * where it is asked to. */
static bool second_product(state *t, json_t *result, bool *good,
                           spak_error *err) {
    const bool promised = !fmha_gpu_is_backward(t) || t->problem.deterministic;
    fmha_gpu_buffers x = fmha_gpu_trial_others(t, 0);
    fmha_gpu_bound bound;
    uint32_t different = 0;
    if (!fmha_gpu_trial_reset_others(t, err) ||
        !fmha_gpu_bind(t->gpu, &t->plan, &x, &bound, err) ||
        !fmha_gpu_launch(t->gpu, &bound, err) || !dev_gpu_sync(t->gpu, err) ||
        !fmha_gpu_trial_different(t, 0, &different, err))
        return false;
    *good = different == 0 || !promised;
    json_object_set_new(result, "bitwise_equal", json_boolean(different == 0));
    if (!*good)
        dev_trial_put_failure(result,
                              "a second run gave other bits than the first");
    return true;
}

/* What the timed launches left behind. */
static bool last_products(state *t, int launched, json_t *result,
                          spak_error *err) {
    if (!dev_arena_check(t->arena, err)) return false;
    if (!t->options.check) return true;
    for (int i = 0; i < launched; i++) {
        oracle_fmha_verdict v;
        spak_error why = {0};
        if (!fmha_gpu_trial_check(t, &t->set[i].x, t->inputs == FMHA_GPU_EQUAL,
                                  LAST_LINES, &v, err))
            return false;
        put_worst(result, &v);
        if (v.good) continue;
        spak_fail(&why,
                  "set %d of %d, after the timed loop (the first output was "
                  "right): %s",
                  i + 1, launched, v.text);
        dev_trial_put_failure(result, why.message);
        return true;
    }
    json_object_set_new(result, "correct", json_true());
    json_object_set_new(result, "checked_sets", json_integer(launched));
    return true;
}

/* --- the trial --- */

/* The pass's kernels: what the compiler said, how many blocks an SM holds. */
static bool put_kernels(const state *t, json_t *result, spak_error *err) {
    const fmha_gpu_bound *bound = &t->set[0].bound;
    json_t *list = json_array();
    bool ok = spak_json_set(result, "kernels", list, err);
    for (int i = 0; ok && i < bound->steps; i++) {
        const dev_launch *launch = &bound->launch[i];
        const unsigned *block = launch->block;
        int blocks = 0, threads = (int)(block[0] * block[1] * block[2]);
        json_t *kernel = dev_kernel_json(launch->kernel);
        ok = dev_kernel_occupancy(launch->kernel, threads, launch->smem_bytes,
                                  &blocks, err) &&
             (kernel || spak_fail_oom(err));
        if (!ok) {
            json_decref(kernel);
            break;
        }
        json_object_set_new(kernel, "entry",
                            json_string(t->plan.step[i].entry));
        json_object_set_new(kernel, "blocks_per_sm", json_integer(blocks));
        json_object_set_new(kernel, "threads", json_integer(threads));
        json_object_set_new(kernel, "dynamic_smem_bytes",
                            json_integer((json_int_t)launch->smem_bytes));
        ok = json_array_append_new(list, kernel) == 0 || spak_fail_oom(err);
    }
    return ok;
}

static bool run_trial(state *t, json_t *result, spak_error *err) {
    bool good = false;
    int launched = 0;
    if (!fmha_gpu_trial_prepare(t, err) || !put_kernels(t, result, err) ||
        !first_products(t, result, &good, err))
        return false;
    if (good && !second_product(t, result, &good, err)) return false;
    if (!good) return true;
    json_object_set_new(result, "status", json_string("ok"));
    if (!fmha_gpu_trial_meet_peer(t, result, err) ||
        !fmha_gpu_trial_time(t, result, &launched, err) ||
        !fmha_gpu_trial_put_peer(t, result, err))
        return false;
    if (strcmp(spak_json_str(result, "status", ""), "ok") != 0) return true;
    return last_products(t, launched, result, err);
}

static bool compiles(const state *t, json_t *result) {
    spak_error why = {0};
    for (int i = 0; i < t->plan.steps; i++) {
        const char *list[FMHA_GPU_DEFINES];
        dev_variant variant = fmha_gpu_plan_variant(&t->plan, i, list);
        const dev_kernel *kernel;
        if (dev_kernel_get(t->gpu, &variant, &kernel, &why)) continue;
        json_object_set_new(result, "status", json_string("failed"));
        json_object_set_new(result, "reason", json_string(why.message));
        return false;
    }
    return true;
}

static bool read_machine(state *t, spak_error *err) {
    json_t *hw = NULL;
    t->gpu = dev_gpu_get(err);
    if (!t->gpu || !fmha_gpu_op.describe(&hw, err)) return false;
    matmul_gpu_machine_of(hw, &t->machine);
    json_decref(hw);
    return true;
}

static bool read_call(state *t, const json_t *problem, const json_t *options,
                      spak_error *err) {
    static const char *const backends[] = {"default", "cudnn", "flash",
                                           "efficient", "math"};
    const char *inputs = spak_json_str(problem, "inputs", "normal"),
               *backend = spak_json_str(problem, "peer", "default");
    if (!fmha_gpu_problem_read(problem, &t->problem, &t->seed, err) ||
        !dev_trial_options_read("fmha_gpu", options, &t->options, err))
        return false;
    if (!fmha_gpu_inputs_parse(inputs, &t->inputs))
        return spak_fail(err,
                         "fmha_gpu: problem.inputs: '%s' is none of normal, "
                         "spread, equal, large, tiny",
                         inputs);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(backend, backends[i])) t->backend = backends[i];
    return t->backend ||
           spak_fail(err,
                     "fmha_gpu: problem.peer: '%s' is none of default, cudnn, "
                     "flash, efficient, math",
                     backend);
}

bool fmha_gpu_trial(const json_t *config, const json_t *problem,
                    const json_t *options, json_t **out, spak_error *err) {
    state t = {0};
    spak_error why = {0};
    *out = NULL;
    if (config && !json_is_object(config))
        return spak_fail(err, "fmha_gpu: the configuration must be an object");
    if (!read_call(&t, problem, options, err) || !read_machine(&t, err))
        return false;
    json_t *result = json_object();
    if (!result) return spak_fail_oom(err);
    bool done = true;
    if (!fmha_gpu_config_read(config, &t.problem, &t.machine, &t.config,
                              &why)) {
        dev_trial_put_refusal(result, config, why.message);
    } else {
        json_object_set_new(result, "config", fmha_gpu_config_json(&t.config));
        done = fmha_gpu_plan_new(&t.config, &t.problem, &t.machine, &t.plan,
                                 err) &&
               (!compiles(&t, result) || run_trial(&t, result, err));
    }
    if (t.peer) fmha_gpu_trial_leave_peer(&t);
    fmha_gpu_trial_release(&t);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}
