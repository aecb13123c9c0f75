/* One trial of LoopLM: gates, training, evaluation. */
#include "nn/looplm.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/progress.h"
#include "device/device.h"
#include "device/trial.h"

enum {
    TEST_SEED = 20260224,       /* the same problems for every model */
    EVALUATED_TOKENS = 1 << 14, /* at once */
    CACHE_NUMBERS = 1 << 24,    /* of a decoder */
    MOST_LOSSES = 2000,         /* in a record: a longer run keeps every second, third ... step */
    MOST_TIMES = 200,
    LAST_STEPS = 50 /* whose mean is the final loss */
};

/* --- reading --- */

static const char *const task_members[] = {"layout",     "protocol", "most_digits", "bridge_share", "chain_share",
                                           "packed_len", "slots",    "most_offset", "reversed",     "mask_operands"};
static const char *const run_members[] = {
    "threads",         "steps",     "batch", "micro_batches", "seed",         "least_loops",
    "most_loops",      "one_batch", "rate",  "min_rate",      "warmup_steps", "decay_steps",
    "beta1",           "beta2",     "eps",   "weight_decay",  "clip",         "late_weight_decay",
    "late_decay_from", "device"};
static const char *const own_members[] = {"variant", "evaluate", "decode", "scale", "on_cpu"};

#define KNOWN(list, key) known(list, sizeof(list) / sizeof *(list), key)
static bool known(const char *const *list, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], key) == 0) return true;
    return false;
}

static bool deal_out(const json_t *from, json_t *run, json_t *model, json_t *task) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value) {
        if (KNOWN(own_members, key)) continue;
        json_t *to = KNOWN(task_members, key) ? task : KNOWN(run_members, key) ? run : model;
        if (json_object_set(to, key, value) != 0) return false;
    }
    return true;
}

/* Of training and of all that is asked. Digits that cannot be are refused where they are evaluated. A table by the
 * index of the digit has room for every offset. */
static size_t longest_row(const nn_addition *task, const json_t *problem) {
    size_t longest = nn_addition_train_len(task), most_digits = task->most_digits + 3;
    static const char *const lists[] = {"evaluate", "decode"};
    for (int l = 0; l < 2; l++) {
        const json_t *list = json_object_get(problem, lists[l]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *digits = json_object_get(json_array_get(list, i), "digits");
            for (size_t k = 0; k < json_array_size(digits); k++) {
                const long long n = json_integer_value(json_array_get(digits, k));
                if (n < 1 || n > NN_ADD_MOST_DIGITS) continue;
                const size_t len = nn_addition_test_len(task, (size_t)n);
                longest = len > longest ? len : longest;
            }
        }
    }
    return longest + task->most_offset + most_digits;
}

bool looplm_config_read(const json_t *axes, const json_t *problem, nn_train_config *config, spak_error *err) {
    json_t *task = json_pack("{s:s}", "kind", "addition");
    json_t *model = json_pack("{s:s,s:i,s:i}", "preset", "looplm-12", "width", 64, "hidden", 256);
    const char *layout = spak_json_str(axes, "layout", "");
    if (model && strcmp(layout, "one_pass") == 0) { /* all digits at once: seen from both sides, blanks left out */
        json_object_set_new(model, "causal", json_false());
        json_object_set_new(model, "segments", json_true());
    }
    json_t *run = json_pack("{s:O,s:O,s:i,s:f,s:f}", "task", task, "model", model, "batch", 128, "rate", 1e-3,
                            "weight_decay", 1e-4);
    bool good = (task && model && run && deal_out(axes, run, model, task) && deal_out(problem, run, model, task)) ||
                spak_fail_oom(err);
    if (good && json_object_get(model, "width") && !json_object_get(axes, "hidden"))
        good = json_object_set_new(model, "hidden",
                                   json_integer(4 * json_integer_value(json_object_get(model, "width")))) == 0 ||
               spak_fail_oom(err);
    good = good && nn_train_config_read(run, config, err);
    if (good && !json_object_get(axes, "context")) config->model.context = longest_row(&config->addition, problem);
    json_decref(run);
    json_decref(model);
    json_decref(task);
    return good;
}

/* --- what is asked --- */

typedef struct asked {
    nn_exam exam;
    size_t loops[64], most_loops;
    const json_t *digits;
    bool reversed, on_purpose;
    nn_halting halting; /* in single precision; what is recorded is what was asked for */
    double threshold, thinking_threshold;
} asked;

static const dev_member asked_members[] = {{"set", JSON_STRING, 0, 0, false},
                                           {"digits", JSON_ARRAY, 0, 0, true},
                                           {"problems", JSON_INTEGER, 1, 1e6, false},
                                           {"loops", JSON_ARRAY, 0, 0, false},
                                           {"marks", JSON_TRUE, 0, 0, false},
                                           {"reversed", JSON_TRUE, 0, 0, false},
                                           {"on_purpose", JSON_TRUE, 0, 0, false},
                                           {"threshold", JSON_REAL, 0, 2, false},
                                           {"thinking_threshold", JSON_REAL, 0, 2, false}};

static bool read_loops(const json_t *loops, size_t own_loops, asked *a, spak_error *err) {
    a->exam.num_loops = loops ? json_array_size(loops) : 1;
    if (a->exam.num_loops < 1 || a->exam.num_loops > 64) return spak_fail(err, "loops: expected 1 to 64 numbers");
    for (size_t i = 0; i < a->exam.num_loops; i++) {
        const long long n = loops ? json_integer_value(json_array_get(loops, i)) : (long long)own_loops;
        if (n < 1 || n > 4096 || (i && (size_t)n <= a->loops[i - 1]))
            return spak_fail(err, "loops: expected whole numbers from 1 to 4096, ascending");
        a->loops[i] = (size_t)n;
    }
    a->most_loops = a->loops[a->exam.num_loops - 1];
    a->exam.loops = a->loops;
    return true;
}

/* An entry of "evaluate" or "decode". Thresholds: the published ones, in use when one is named. */
static bool read_asked(const json_t *json, const nn_train_config *c, asked *a, spak_error *err) {
    *a = (asked){.exam = {.problems = (size_t)spak_json_int(json, "problems", 2000), .seed = TEST_SEED}};
    if (!dev_members_check("looplm", "an evaluation", json, asked_members, sizeof asked_members / sizeof *asked_members,
                           err))
        return false;
    a->digits = json_object_get(json, "digits");
    a->exam.marks = spak_json_bool(json, "marks", false);
    a->reversed = spak_json_bool(json, "reversed", c->addition.reversed);
    a->on_purpose = spak_json_bool(json, "on_purpose", false);
    a->threshold = spak_json_num(json, "threshold", 0.90);
    a->thinking_threshold = spak_json_num(json, "thinking_threshold", 0.999);
    a->halting = (nn_halting){.on = json_object_get(json, "threshold") || json_object_get(json, "thinking_threshold"),
                              .threshold = (float)a->threshold,
                              .thinking_threshold = (float)a->thinking_threshold,
                              .thinking_from = NN_ADD_EQUALS};
    if (!nn_add_set_parse(spak_json_str(json, "set", "random"), &a->exam.set))
        return spak_fail(err, "an evaluation's set is \"random\", \"chains\" or \"full_chains\"");
    for (size_t i = 0; i < json_array_size(a->digits); i++) {
        const long long n = json_integer_value(json_array_get(a->digits, i));
        if (n < 1 || n > NN_ADD_MOST_DIGITS)
            return spak_fail(err, "an evaluation's digits are whole numbers from 1 to %d", NN_ADD_MOST_DIGITS);
    }
    if (!read_loops(json_object_get(json, "loops"), c->model.loops, a, err)) return false;
    a->halting.most_loops = a->most_loops;
    return true;
}

/* --- one trial --- */

typedef struct trial {
    nn_train_config config;
    const json_t *problem;
    nn_trainer *trainer;
    json_t *result;
} trial;

static nn_addition written(const trial *t, const asked *a) {
    nn_addition task = t->config.addition;
    task.reversed = a->reversed;
    return task;
}

/* Evaluation writes as training does, but for an entry that says that it does not mean to. */
static bool formats_agree(trial *t, const char *list, spak_error *why) {
    const json_t *entries = json_object_get(t->problem, list);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        asked a;
        if (!read_asked(json_array_get(entries, i), &t->config, &a, why)) return false;
        const nn_addition task = written(t, &a);
        if (!a.on_purpose && !nn_addition_same_format(&t->config.addition, &task, why)) return false;
    }
    return true;
}

/* What must hold of the data before a step is made: masks of real batches, and one format. */
static bool gates_hold(trial *t, spak_error *why) {
    nn_add_rows *rows = NULL;
    const nn_addition *task = &t->config.addition;
    if (!nn_add_rows_new(t->config.batch, t->config.len, &rows, why)) return false;
    bool good = true;
    for (uint64_t step = 0; step < 8 && good; step++) {
        nn_addition_train_rows(task, t->config.seed, step, rows);
        good = nn_add_rows_check(task, rows, why);
    }
    spak_str text = {0};
    good = good && nn_add_rows_show(rows, 0, &text) &&
           json_object_set_new(t->result, "sample", json_string(text.data)) == 0;
    spak_str_free(&text);
    nn_add_rows_free(rows);
    return good && formats_agree(t, "evaluate", why) && formats_agree(t, "decode", why);
}

static bool append_real(json_t *list, double value) { return json_array_append_new(list, json_real(value)) == 0; }

/* Every step's loss, or of a long run every stride-th, and the mean of the last ones. *diverged: training ended there.
 */
static bool train(trial *t, bool *diverged, spak_error *err) {
    const size_t steps = t->config.steps, last = steps < LAST_STEPS ? steps : LAST_STEPS;
    const size_t stride = (steps + MOST_LOSSES - 1) / MOST_LOSSES, tick = (steps + MOST_TIMES - 1) / MOST_TIMES;
    json_t *losses = json_array(), *times = json_array();
    bool good = (losses && times) || spak_fail_oom(err);
    double late = 0;
    const uint64_t begun = spak_now_ns();
    spak_error why = {""};
    spak_progress bar;
    spak_progress_begin(&bar, "train", (long)steps);
    while (good && !*diverged && nn_trainer_next(t->trainer) < steps) {
        nn_step step;
        *diverged = !nn_trainer_step(t->trainer, &step, &why);
        if (*diverged) break;
        good = (step.step % stride || append_real(losses, step.loss)) &&
               (step.step % tick || append_real(times, step.time_ms));
        if (!good) spak_fail_oom(err);
        if (step.step + last >= steps) late += step.loss / (double)last;
        spak_progress_step(&bar, NULL);
    }
    spak_progress_end(&bar);
    json_t *more = json_pack("{s:O,s:I,s:O,s:f,s:f}", "losses", losses, "loss_stride", (json_int_t)stride, "time_ms",
                             times, "train_seconds", (double)(spak_now_ns() - begun) * 1e-9, "final_loss", late);
    good = good && ((more && json_object_update(t->result, more) == 0) || spak_fail_oom(err));
    if (good && *diverged) dev_trial_put_failure(t->result, why.message);
    json_decref(more);
    json_decref(losses);
    json_decref(times);
    return good;
}

/* --- evaluation --- */

static size_t rows_at_once(const trial *t, const asked *a, size_t len, bool decoding) {
    const nn_config *c = &nn_trainer_config(t->trainer)->model;
    size_t rows =
        decoding ? CACHE_NUMBERS / (a->most_loops * c->layers * c->context * 2 * c->width) : EVALUATED_TOKENS / len;
    return rows < 1 ? 1 : rows > a->exam.problems ? a->exam.problems : rows;
}

static bool examine(trial *t, const asked *a, size_t digits, bool decoding, json_t *list, spak_error *err) {
    const nn_addition task = written(t, a);
    const size_t len = nn_addition_test_len(&task, digits), rows = rows_at_once(t, a, len, decoding);
    const int threads = t->config.threads ? (int)t->config.threads : dev_cpu_count();
    nn_exam exam = a->exam;
    exam.digits = digits;
    nn_model *model = NULL;
    json_t *one = NULL;
    bool good = nn_model_for_inference(nn_trainer_model(t->trainer), decoding ? 1 : rows, len, a->most_loops, threads,
                                       &model, err) &&
                (decoding ? nn_addition_decode(&task, model, rows, &exam, &a->halting, &one, err)
                          : nn_addition_evaluate(&task, model, rows, &exam, &one, err));
    nn_model_free(model);
    if (good && decoding && a->halting.on)
        good = spak_json_set(one, "threshold", json_real(a->threshold), err) &&
               spak_json_set(one, "thinking_threshold", json_real(a->thinking_threshold), err);
    if (good && a->on_purpose) good = spak_json_set(one, "wrong_format", json_true(), err);
    return good && (json_array_append_new(list, one) == 0 || spak_fail_oom(err));
}

static bool examine_all(trial *t, const char *name, bool decoding, spak_error *err) {
    json_t *list = json_array();
    const json_t *entries = json_object_get(t->problem, name);
    bool good = list || spak_fail_oom(err);
    for (size_t i = 0; good && i < json_array_size(entries); i++) {
        asked a;
        good = read_asked(json_array_get(entries, i), nn_trainer_config(t->trainer), &a, err);
        for (size_t k = 0; good && k < json_array_size(a.digits); k++)
            good = examine(t, &a, (size_t)json_integer_value(json_array_get(a.digits, k)), decoding, list, err);
    }
    good = good && (!entries || spak_json_set(t->result, decoding ? "decoded" : "evaluations", json_incref(list), err));
    json_decref(list);
    return good;
}

/* Exact match on random problems longer than those of training, a mean over lengths: one number, for predictions. */
static bool put_beyond(trial *t, spak_error *err) {
    const json_t *list = json_object_get(t->result, "evaluations");
    double sum = 0, lengths = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *correct = json_object_get(one, "correct");
        const double problems = (double)spak_json_int(one, "problems", 0);
        if (strcmp(spak_json_str(one, "set", ""), "random") != 0 || json_object_get(one, "wrong_format") ||
            json_array_size(correct) != 1 || !(problems > 0) ||
            spak_json_int(one, "digits", 0) <= (long long)t->config.addition.most_digits)
            continue;
        sum += (double)json_integer_value(json_array_get(correct, 0)) / problems;
        lengths++;
    }
    return !lengths || spak_json_set(t->result, "beyond", json_real(sum / lengths), err);
}

/* --- the trial --- */

static bool describe(trial *t, spak_error *err) {
    json_t *about = nn_trainer_describe(t->trainer), *config = nn_train_config_json(nn_trainer_config(t->trainer));
    bool good = about && config && json_object_update(t->result, about) == 0 &&
                json_object_set(t->result, "training", config) == 0;
    json_decref(about);
    json_decref(config);
    return good || spak_fail_oom(err);
}

static bool run(trial *t, spak_error *err) {
    bool diverged = false;
    if (!nn_trainer_new(&t->config, &t->trainer, err) || !describe(t, err) || !train(t, &diverged, err)) return false;
    if (diverged) return true;
    const uint64_t begun = spak_now_ns();
    return examine_all(t, "evaluate", false, err) && examine_all(t, "decode", true, err) && put_beyond(t, err) &&
           spak_json_set(t->result, "test_seconds", json_real((double)(spak_now_ns() - begun) * 1e-9), err) &&
           spak_json_set(t->result, "correct", json_true(), err) &&
           spak_json_set(t->result, "status", json_string("ok"), err);
}

bool looplm_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                  spak_error *err) {
    (void)options; /* a training run is one sample; what is timed is each of its steps */
    trial t = {.problem = problem, .result = json_object()};
    spak_error why = {""};
    *result = NULL;
    bool good = t.result && json_object_set(t.result, "config", (json_t *)config) == 0;
    if (!good)
        spak_fail_oom(err);
    else if (!looplm_config_read(config, problem, &t.config, &why) || !gates_hold(&t, &why))
        dev_trial_put_refusal(t.result, config, why.message);
    else
        good = run(&t, err);
    nn_trainer_free(t.trainer);
    if (!good) {
        json_decref(t.result);
        return false;
    }
    *result = t.result;
    return true;
}
