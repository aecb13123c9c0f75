/* One trial of nanoGPT: checks on the first step, then training with validations, or forward passes alone.
 *
 * The checks need no second run: the first step of the trainer at hand, and that of one on the oracle's table, begin
 * with the same weights on the same batch; a step leaves its gradients in the model. What the first step's loss may be
 * follows from how the weights are drawn (nanogpt_gate.c). */
#include "nn/nanogpt.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/data.h"
#include "device/trial.h"
#include "nn/nanogpt_gate.h"

typedef struct trial {
    nn_train_config config;
    const char *dataset;
    size_t validate_every, eval_iters;
    bool forward, check;
    nanogpt_fault fault;
    nn_trainer *trainer;
    json_t *result;
    double *gradients; /* of the first step, (numbers) */
} trial;

/* --- reading --- */

static const char *const own_members[] = {"preset", "model", "dataset", "validate_every", "eval_iters", "pass"};

static bool own(const char *key) {
    for (size_t i = 0; i < sizeof own_members / sizeof *own_members; i++)
        if (!strcmp(own_members[i], key)) return true;
    return false;
}

/* The run's configuration: what is no member of the trial's own is one of nn_train_config. */
static json_t *run_of(const json_t *config, const json_t *problem) {
    const json_t *model = json_object_get(problem, "model"), *threads = json_object_get(config, "threads");
    json_t *shape = json_pack("{s:s,s:f}", "preset", spak_json_str(problem, "preset", "nanogpt-cpu"), "dropout", 0.0);
    json_t *run = json_pack("{s:o,s:{s:s,s:s},s:s}", "model", shape, "task", "kind", "text", "dataset",
                            spak_json_str(problem, "dataset", "tinyshakespeare"), "device",
                            spak_json_str(config, "variant", "cpu"));
    bool good = run && (!model || json_object_update(shape, (json_t *)model) == 0) &&
                (!threads || json_object_set(run, "threads", (json_t *)threads) == 0);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)problem, key, value) {
        if (good && !own(key)) good = json_object_set(run, key, value) == 0;
    }
    if (good) return run;
    json_decref(run);
    return NULL;
}

static bool read_trial(trial *t, const json_t *config, const json_t *problem, const json_t *options, spak_error *err) {
    static const dev_member axes[] = {{"variant", JSON_STRING, 0, 0, false}, {"threads", JSON_INTEGER, 1, 256, false}};
    static const dev_member asked[] = {{"check", JSON_TRUE, 0, 0, false}};
    const char *pass = spak_json_str(problem, "pass", "step");
    if (!dev_members_check("nanogpt", "config", config, axes, 2, err) ||
        !dev_members_check("nanogpt", "options", options, asked, 1, err))
        return false;
    if (strcmp(pass, "step") != 0 && strcmp(pass, "forward") != 0)
        return spak_fail(err, "nanogpt: problem.pass: expected \"step\" or \"forward\", found \"%s\"", pass);
    json_t *run = run_of(config, problem);
    const bool good = run ? nn_train_config_read(run, &t->config, err) || spak_fail_context(err, "nanogpt: problem")
                          : spak_fail_oom(err);
    json_decref(run);
    t->forward = pass[0] == 'f';
    t->check = spak_json_bool(options, "check", true);
    t->dataset = spak_json_str(problem, "dataset", "tinyshakespeare");
    t->validate_every = (size_t)spak_json_int(problem, "validate_every", 0);
    t->eval_iters = (size_t)spak_json_int(problem, "eval_iters", 0);
    return good;
}

/* --- checks --- */

static bool put_failure(trial *t, const char *reason, spak_error *err) {
    dev_trial_put_failure(t->result, reason);
    return json_object_get(t->result, "reason") || spak_fail_oom(err);
}

/* What the first step says: its loss, and where its gradients are from the oracle's. *good is false, and the result
 * says why, when one of them is wrong. */
static bool judge(trial *t, double loss, double oracle_loss, const double *oracle, bool *good, spak_error *err) {
    const nn_config *c = nn_model_config(nn_trainer_model(t->trainer));
    size_t count, numbers;
    const nn_param *params = nn_model_params(nn_trainer_model(t->trainer), &count, &numbers);
    const double bound = FLT_EPSILON / 2 * nanogpt_roundings(c, t->config.len);
    const char *where = "";
    double from, to;
    spak_error why = {""};
    nanogpt_first_loss(c, t->config.batch * t->config.len, &from, &to);
    const double off = nanogpt_farthest(params, count, t->gradients, oracle, &where) / bound;
    const double apart = fabs(loss - oracle_loss) / (bound * oracle_loss);
    *good = true;
    if (!(loss >= from && loss <= to))
        *good = spak_fail(&why, "the first loss is %.4g, not from %.4g to %.4g", loss, from, to);
    else if (!(apart <= 1))
        *good = spak_fail(&why, "the first loss is %.9g, the oracle's %.9g", loss, oracle_loss);
    else if (!(off <= 1))
        *good = spak_fail(&why, "the first step's gradients of %s are %.3g bounds from the oracle's", where, off);
    if (!spak_json_set(t->result, "first_loss_bound", json_pack("[f,f]", from, to), err)) return false;
    if (isfinite(off) && !spak_json_set(t->result, "gradient_error_over_bound", json_real(off), err)) return false;
    return *good ? true : put_failure(t, why.message, err);
}

/* The same first step on the oracle's table. */
static bool check_first(trial *t, double loss, bool *good, spak_error *err) {
    nn_trainer *oracle = NULL;
    nn_train_config config = t->config;
    nn_step step;
    size_t count, numbers;
    nn_model_params(nn_trainer_model(t->trainer), &count, &numbers);
    double *gradients = spak_malloc(numbers * sizeof *gradients);
    strcpy(config.device, "oracle");
    bool done = (gradients || spak_fail_oom(err)) && nn_trainer_new(&config, &oracle, err) &&
                nn_trainer_step(oracle, &step, err);
    if (done) {
        nn_model_get(nn_trainer_model(oracle), NN_GRADIENTS, 0, numbers, gradients);
        done = judge(t, loss, step.loss, gradients, good, err);
    }
    nn_trainer_free(oracle);
    spak_free(gradients);
    return done;
}

/* --- training --- */

static bool append(json_t *list, json_t *value, spak_error *err) {
    return json_array_append_new(list, value) == 0 || spak_fail_oom(err);
}

/* As nanoGPT estimates it: the mean of these is what it prints. */
static bool estimate(trial *t, json_t *entry, spak_error *err) {
    const size_t n = t->eval_iters;
    json_t *list = json_array();
    double *losses = spak_malloc(n * sizeof *losses);
    bool good = spak_json_set(entry, "estimate", list, err) && (losses || spak_fail_oom(err)) &&
                nn_trainer_estimate(t->trainer, n, losses, err);
    for (size_t i = 0; good && i < n; i++) good = append(list, json_real(losses[i]), err);
    spak_free(losses);
    return good;
}

static bool validate(trial *t, json_t *list, spak_error *err) {
    json_t *found = NULL;
    if (!nn_trainer_validate(t->trainer, &found, err)) return false;
    json_t *entry = json_pack("{s:I,s:f}", "step", (json_int_t)nn_trainer_next(t->trainer), "loss",
                              spak_json_num(found, "validation_loss", NAN));
    json_decref(found);
    return append(list, entry, err) && (!t->eval_iters || estimate(t, entry, err));
}

static bool one_step(trial *t, json_t *losses, json_t *times, bool *good, spak_error *err) {
    nn_step step;
    size_t count, numbers;
    nn_model *model = nn_trainer_model(t->trainer);
    if (!nn_trainer_step(t->trainer, &step, err) || !append(losses, json_real(step.loss), err) ||
        !append(times, json_real(step.time_ms), err))
        return false;
    if (step.step > 0 || !t->check) return true;
    nn_model_params(model, &count, &numbers);
    t->gradients = spak_malloc(numbers * sizeof *t->gradients);
    if (!t->gradients) return spak_fail_oom(err);
    nn_model_get(model, NN_GRADIENTS, 0, numbers, t->gradients);
    return check_first(t, step.loss, good, err);
}

static bool train(trial *t, json_t *losses, json_t *times, bool *good, spak_error *err) {
    json_t *validations = json_array();
    spak_progress bar;
    bool ran = spak_json_set(t->result, "validations", validations, err);
    spak_progress_begin(&bar, "train", (long)t->config.steps);
    while (ran && *good && nn_trainer_next(t->trainer) < t->config.steps) {
        const size_t every = t->validate_every, done = nn_trainer_next(t->trainer);
        if (every && done % every == 0) ran = validate(t, validations, err);
        ran = ran && one_step(t, losses, times, good, err);
        spak_progress_step(&bar, NULL);
    }
    spak_progress_end(&bar);
    return ran && (!*good || !t->validate_every || validate(t, validations, err));
}

/* Forward passes with their loss, on random tokens: no time depends on which. */
static bool pass_forward(trial *t, json_t *losses, json_t *times, spak_error *err) {
    const nn_config *c = nn_model_config(nn_trainer_model(t->trainer));
    const size_t rows = t->config.batch * t->config.len;
    int32_t *tokens = spak_malloc(2 * rows * sizeof *tokens);
    bool good = tokens || spak_fail_oom(err);
    const nn_batch batch = {.batch = t->config.batch, .len = t->config.len, .tokens = tokens, .targets = tokens + rows};
    for (size_t step = 0; good && step < t->config.steps; step++) {
        double loss;
        for (size_t i = 0; i < 2 * rows; i++)
            tokens[i] = (int32_t)(spak_philox_uniform(t->config.seed, 5000 + step, i) * (float)c->vocab);
        const uint64_t begun = spak_now_ns();
        good = nn_forward(nn_trainer_model(t->trainer), &batch, &loss, err);
        const double ms = (double)(spak_now_ns() - begun) * 1e-6;
        good = good && append(losses, json_real(loss), err) && append(times, json_real(ms), err);
    }
    spak_free(tokens);
    return good;
}

/* --- the trial --- */

/* FLOP of a pass over the median of its times. */
static bool put_speed(trial *t, const json_t *times, spak_error *err) {
    const size_t n = json_array_size(times);
    double *ms = spak_malloc((n + 1) * sizeof *ms);
    if (!ms) return spak_fail_oom(err);
    for (size_t i = 0; i < n; i++) ms[i] = json_number_value(json_array_get(times, i));
    const double flops = spak_json_num(t->result, "flops_per_step", 0) / (t->forward ? 3 : 1);
    const bool good =
        !n || spak_json_set(t->result, "gflops", json_real(1e-6 * flops / dev_spread_of(ms, n).median), err);
    spak_free(ms);
    return good;
}

static bool describe(trial *t, spak_error *err) {
    json_t *about = nn_trainer_describe(t->trainer), *config = nn_train_config_json(nn_trainer_config(t->trainer));
    json_t *data = json_object_get(about, "data");
    bool good = about && config && (!data || json_object_set(t->result, "dataset", data) == 0);
    if (good) json_object_del(about, "data");
    good = good && json_object_update(t->result, about) == 0 && json_object_set(t->result, "training", config) == 0;
    json_decref(about);
    json_decref(config);
    return good || spak_fail_oom(err);
}

/* What is timed is the table itself; a fault needs the one around it. */
static bool open_ours(trial *t, spak_error *err) {
    if (t->fault == NANOGPT_SOUND) return nn_trainer_new(&t->config, &t->trainer, err);
    return nn_trainer_new_on(&t->config, nanogpt_table(&nn_cpu, t->fault), &t->trainer, err);
}

static bool run_trial(trial *t, spak_error *err) {
    json_t *losses = json_array(), *times = json_array();
    bool good = true;
    bool ran = spak_json_set(t->result, "losses", losses, err) && spak_json_set(t->result, "time_ms", times, err) &&
               open_ours(t, err) && describe(t, err) &&
               (t->forward ? pass_forward(t, losses, times, err) : train(t, losses, times, &good, err));
    if (!ran || !good) return ran;
    return put_speed(t, times, err) && spak_json_set(t->result, "status", json_string("ok"), err) &&
           (!t->check || t->forward || spak_json_set(t->result, "correct", json_true(), err));
}

bool nanogpt_trial_with(nanogpt_fault fault, const json_t *config, const json_t *problem, const json_t *options,
                        json_t **result, spak_error *err) {
    trial t = {.fault = fault, .result = json_pack("{s:o}", "config", config ? json_deep_copy(config) : json_object())};
    spak_error why = {""};
    bool good = true;
    *result = NULL;
    if (!t.result) return spak_fail_oom(err);
    if (read_trial(&t, config, problem, options, &why)) {
        good = run_trial(&t, err);
    } else {
        dev_trial_put_refusal(t.result, config, why.message);
    }
    nn_trainer_free(t.trainer);
    spak_free(t.gradients);
    if (good)
        *result = t.result;
    else
        json_decref(t.result);
    return good;
}

bool nanogpt_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                   spak_error *err) {
    return nanogpt_trial_with(NANOGPT_SOUND, config, problem, options, result, err);
}
