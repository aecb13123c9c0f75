/* One trial of LoopLM: gates, training, evaluation. */
#include "nn/looplm.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "device/device.h"
#include "device/trial.h"

enum { TEST_SEED = 20260224, EVALUATED_TOKENS = 1 << 14, SHOWN_MS = 5000 };

/* --- reading --- */

static const char *const task_members[] = {"layout",     "protocol", "most_digits", "bridge_share", "chain_share",
                                           "packed_len", "slots",    "most_offset", "reversed",     "mask_operands"};
static const char *const run_members[] = {
    "threads",         "steps",     "batch", "micro_batches", "seed",         "least_loops",
    "most_loops",      "one_batch", "rate",  "min_rate",      "warmup_steps", "decay_steps",
    "beta1",           "beta2",     "eps",   "weight_decay",  "clip",         "late_weight_decay",
    "late_decay_from", "device"};
static const char *const own_members[] = {"test_reversed", "variant", "evaluate", "wrong_format"};

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

bool looplm_config_read(const json_t *axes, const json_t *problem, nn_train_config *config, spak_error *err) {
    json_t *task = json_pack("{s:s}", "kind", "addition");
    json_t *model = json_pack("{s:s,s:i,s:i}", "preset", "looplm-12", "width", 64, "hidden", 256);
    json_t *run = json_pack("{s:O,s:O,s:i,s:f,s:f}", "task", task, "model", model, "batch", 128, "rate", 1e-3,
                            "weight_decay", 1e-4);
    bool good = (task && model && run && deal_out(axes, run, model, task) && deal_out(problem, run, model, task)) ||
                spak_fail_oom(err);
    if (good && json_object_get(model, "width") && !json_object_get(axes, "hidden"))
        good = json_object_set_new(model, "hidden",
                                   json_integer(4 * json_integer_value(json_object_get(model, "width")))) == 0 ||
               spak_fail_oom(err);
    good = good && nn_train_config_read(run, config, err);
    json_decref(run);
    json_decref(model);
    json_decref(task);
    return good;
}

/* --- one trial --- */

typedef struct trial {
    nn_train_config config;
    nn_addition test; /* how the test problems are written */
    const json_t *problem;
    nn_trainer *trainer;
    json_t *result;
} trial;

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
    if (!good || spak_json_bool(t->problem, "wrong_format", false)) return good;
    return nn_addition_same_format(task, &t->test, why);
}

static bool append_real(json_t *list, double value) { return json_array_append_new(list, json_real(value)) == 0; }

static bool train(trial *t, spak_error *err) {
    json_t *losses = json_array(), *times = json_array();
    bool good = (losses && times) || spak_fail_oom(err);
    double late = 0;
    spak_progress bar;
    spak_progress_begin(&bar, "train", (long)t->config.steps);
    while (good && nn_trainer_next(t->trainer) < t->config.steps) {
        nn_step step;
        good = nn_trainer_step(t->trainer, &step, err) &&
               ((append_real(losses, step.loss) && append_real(times, step.time_ms)) || spak_fail_oom(err));
        if (good && step.step + 50 >= t->config.steps) late += step.loss;
        spak_progress_step(&bar, NULL);
    }
    spak_progress_end(&bar);
    const size_t steps = t->config.steps;
    good = good && json_object_set(t->result, "losses", losses) == 0 &&
           json_object_set(t->result, "time_ms", times) == 0 &&
           (!steps ||
            json_object_set_new(t->result, "final_loss", json_real(late / (steps < 50 ? (double)steps : 50))) == 0);
    json_decref(losses);
    json_decref(times);
    return good;
}

/* --- evaluation --- */

typedef struct asked {
    nn_add_set set;
    size_t problems, num_loops, loops[64], most_loops;
    const json_t *digits;
} asked;

static bool read_asked(const json_t *json, size_t own_loops, asked *a, spak_error *err) {
    *a = (asked){.problems = (size_t)spak_json_int(json, "problems", 2000), .digits = json_object_get(json, "digits")};
    const json_t *loops = json_object_get(json, "loops");
    if (!nn_add_set_parse(spak_json_str(json, "set", "random"), &a->set))
        return spak_fail(err, "problem.evaluate: set is \"random\", \"chains\" or \"full_chains\"");
    if (!json_array_size(a->digits) || a->problems < 1 || a->problems > 1000000)
        return spak_fail(err, "problem.evaluate: expected digits = [..] and problems from 1 to 1000000");
    a->num_loops = loops ? json_array_size(loops) : 1;
    if (a->num_loops < 1 || a->num_loops > 64) return spak_fail(err, "problem.evaluate: expected 1 to 64 loops");
    for (size_t i = 0; i < a->num_loops; i++) {
        const long long n = loops ? json_integer_value(json_array_get(loops, i)) : (long long)own_loops;
        if (n < 1 || n > 4096 || (i && (size_t)n <= a->loops[i - 1]))
            return spak_fail(err, "problem.evaluate: loops are whole numbers from 1 to 4096, ascending");
        a->loops[i] = (size_t)n;
    }
    a->most_loops = a->loops[a->num_loops - 1];
    return true;
}

static bool evaluate_digits(trial *t, const asked *a, size_t digits, json_t *list, spak_error *err) {
    const size_t len = nn_addition_test_len(&t->test, digits);
    size_t rows = EVALUATED_TOKENS / (len * (a->most_loops > 8 ? a->most_loops / 8 : 1));
    rows = rows < 1 ? 1 : rows > a->problems ? a->problems : rows;
    nn_model *model = NULL;
    json_t *one = NULL;
    const int threads = t->config.threads ? (int)t->config.threads : dev_cpu_count();
    bool good = nn_model_for_inference(nn_trainer_model(t->trainer), rows, len, a->most_loops, threads, &model, err) &&
                nn_addition_evaluate(&t->test, model, rows, a->set, digits, TEST_SEED, a->problems, a->loops,
                                     a->num_loops, &one, err) &&
                (json_array_append_new(list, one) == 0 || spak_fail_oom(err));
    nn_model_free(model);
    return good;
}

static bool evaluate(trial *t, spak_error *err) {
    json_t *list = json_array();
    const json_t *wanted = json_object_get(t->problem, "evaluate");
    bool good = list || spak_fail_oom(err);
    for (size_t i = 0; good && i < json_array_size(wanted); i++) {
        asked a;
        good = read_asked(json_array_get(wanted, i), nn_trainer_config(t->trainer)->model.loops, &a, err);
        for (size_t k = 0; good && k < json_array_size(a.digits); k++) {
            const long long digits = json_integer_value(json_array_get(a.digits, k));
            if (digits < 1 || digits > NN_ADD_MOST_DIGITS)
                good = spak_fail(err, "problem.evaluate: digits are whole numbers from 1 to %d", NN_ADD_MOST_DIGITS);
            else
                good = evaluate_digits(t, &a, (size_t)digits, list, err);
        }
    }
    good = good && spak_json_set(t->result, "evaluations", json_incref(list), err);
    json_decref(list);
    return good;
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

static bool refuse(trial *t, const spak_error *why, spak_error *err) {
    return spak_json_set(t->result, "status", json_string("refused"), err) &&
           spak_json_set(t->result, "reason", json_string(why->message), err);
}

bool looplm_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                  spak_error *err) {
    (void)options; /* a training run is one sample; what is timed is each of its steps */
    trial t = {.problem = problem, .result = json_pack("{s:O}", "config", config)};
    spak_error why = {""};
    *result = NULL;
    if (!t.result) return spak_fail_oom(err);
    bool good = true;
    if (!looplm_config_read(config, problem, &t.config, &why)) {
        good = refuse(&t, &why, err);
    } else {
        t.test = t.config.addition;
        t.test.reversed = spak_json_bool(config, "test_reversed", t.config.addition.reversed);
        if (!gates_hold(&t, &why))
            good = refuse(&t, &why, err);
        else
            good = nn_trainer_new(&t.config, &t.trainer, err) && describe(&t, err) && train(&t, err) &&
                   evaluate(&t, err) && spak_json_set(t.result, "correct", json_true(), err) &&
                   spak_json_set(t.result, "status", json_string("ok"), err);
    }
    nn_trainer_free(t.trainer);
    if (!good) {
        json_decref(t.result);
        return false;
    }
    *result = t.result;
    return true;
}
