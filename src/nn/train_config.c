/* The configuration of a training run, as a table of its members. */
#include <math.h>
#include <string.h>

#include "nn/members.h"
#include "nn/model.h"
#include "nn/train.h"

#define AT(field) offsetof(nn_train_config, field)
#define BELOW_ONE (1 - 1e-7) /* also as a float */
static const nn_member members[] = {
    {"threads", NN_SIZE, AT(threads), 0, 256, NULL},
    {"steps", NN_SIZE, AT(steps), 0, 1e9, NULL},
    {"batch", NN_SIZE, AT(batch), 1, 1 << 20, NULL},
    {"len", NN_SIZE, AT(len), 1, 1 << 20, NULL},
    {"micro_batches", NN_SIZE, AT(micro_batches), 1, 1 << 16, NULL},
    {"seed", NN_SIZE, AT(seed), 0, 9e15, NULL},
    {"least_loops", NN_SIZE, AT(least_loops), 0, 1 << 16, NULL},
    {"most_loops", NN_SIZE, AT(most_loops), 0, 1 << 16, NULL},
    {"one_batch", NN_FLAG, AT(one_batch), 0, 0, NULL},
    {"rate", NN_DOUBLE, AT(schedule.rate), 0, 1e3, NULL},
    {"min_rate", NN_DOUBLE, AT(schedule.min_rate), 0, 1e3, NULL},
    {"warmup_steps", NN_SIZE, AT(schedule.warmup_steps), 0, 1e9, NULL},
    {"decay_steps", NN_SIZE, AT(schedule.decay_steps), 0, 1e9, NULL},
    {"beta1", NN_DOUBLE, AT(optimiser.beta1), 0, BELOW_ONE, NULL},
    {"beta2", NN_DOUBLE, AT(optimiser.beta2), 0, BELOW_ONE, NULL},
    {"eps", NN_DOUBLE, AT(optimiser.eps), 0, 1, NULL},
    {"weight_decay", NN_DOUBLE, AT(optimiser.weight_decay), 0, 1e3, NULL},
    {"clip", NN_DOUBLE, AT(optimiser.clip), 0, 1e9, NULL},
    {"late_weight_decay", NN_DOUBLE, AT(late_weight_decay), -1, 1e3, NULL},
    {"late_decay_from", NN_SIZE, AT(late_decay_from), 0, 1e9, NULL},
};
enum { MEMBERS = sizeof members / sizeof *members };

static bool read_text_task(const json_t *json, nn_text_task *task, spak_error *err) {
    const char *key;
    json_t *value;
    *task = (nn_text_task){.validation_share = 0.1};
    json_object_foreach((json_t *)json, key, value) {
        if (strcmp(key, "kind") == 0) continue;
        if (strcmp(key, "dataset") == 0) {
            const char *name = json_string_value(value);
            if (!name || !*name || strlen(name) >= sizeof task->dataset)
                return spak_fail(err, "task.dataset: expected the name of a data set of data/MANIFEST.dsl");
            strcpy(task->dataset, name);
        } else if (strcmp(key, "validation_share") == 0) {
            const double x = json_is_number(value) ? json_number_value(value) : NAN;
            if (!(x > 0 && x < 1)) return spak_fail(err, "task.validation_share: expected a number between 0 and 1");
            task->validation_share = x;
        } else {
            return spak_fail(err, "task.%s is no member of a text task: it has dataset and validation_share", key);
        }
    }
    return *task->dataset || spak_fail(err, "task.dataset is missing: the name of a data set of data/MANIFEST.dsl");
}

static bool read_task(const json_t *json, nn_train_config *c, spak_error *err) {
    const char *kind = json_is_object(json) ? spak_json_str(json, "kind", "") : "";
    if (strcmp(kind, "text") == 0) {
        c->task = NN_TASK_TEXT;
        return read_text_task(json, &c->text, err);
    }
    if (strcmp(kind, "addition") != 0)
        return spak_fail(err, "task: expected {\"kind\": \"text\" or \"addition\", ...}");
    c->task = NN_TASK_ADDITION;
    return nn_addition_read(json, &c->addition, err);
}

/* A task knows its vocabulary and, for additions, how long its rows are: so these may be left out. Text sets its
 * vocabulary when the data is opened. */
static bool read_model(const json_t *json, nn_train_config *c, spak_error *err) {
    if (!json_is_object(json)) return spak_fail(err, "model: expected {\"preset\": ..., ...}");
    json_t *own = json_copy((json_t *)json);
    if (!own) return spak_fail_oom(err);
    const json_t *preset = json_object_get(own, "preset");
    bool good = !preset || json_is_string(preset) || spak_fail(err, "model.preset: expected a name");
    good = good && nn_config_preset(spak_json_str(own, "preset", "gpt2"), &c->model, err);
    json_object_del(own, "preset");
    c->vocab_told = json_object_get(own, "vocab");
    if (good && c->task == NN_TASK_ADDITION) {
        if (!json_object_get(own, "vocab")) c->model.vocab = NN_ADD_VOCAB;
        if (!json_object_get(own, "context")) c->model.context = 3 * NN_ADD_MOST_DIGITS + 3;
    }
    good = good && (nn_config_read(own, &c->model, err) || spak_fail_context(err, "model"));
    json_decref(own);
    return good;
}

static const nn_train_config DEFAULTS = {
    .device = "cpu",
    .steps = 2000,
    .batch = 12,
    .micro_batches = 1,
    .seed = 1337,
    .schedule = {.rate = 1e-3, .min_rate = 1e-4, .warmup_steps = 100},
    .optimiser = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip = 1},
    .late_weight_decay = -1,
};

/* What the task's tokens come with. Found out here and not in the first step, hours of queueing later. */
static bool check_model(const nn_train_config *c, spak_error *err) {
    const nn_config *m = &c->model;
    if (c->task == NN_TASK_TEXT && (nn_needs_index(m) || m->kinds || m->segments))
        return spak_fail(err,
                         "model.%s: a text's tokens have no index of a digit, kind or segment; window, slope, kinds, "
                         "segments and positions by index are for additions",
                         m->kinds         ? "kinds"
                         : m->segments    ? "segments"
                         : m->window >= 0 ? "window"
                         : m->slope != 0  ? "slope"
                                          : "positions");
    if (c->task == NN_TASK_ADDITION && m->vocab != NN_ADD_VOCAB)
        return spak_fail(err, "model.vocab: additions have %d tokens; leave it out", NN_ADD_VOCAB);
    if (c->task == NN_TASK_ADDITION && m->kinds == 1)
        return spak_fail(err, "model.kinds: additions have two kinds of tokens, operand and answer: 0 or 2");
    return true;
}

static bool settle(nn_train_config *c, spak_error *err) {
    if (!check_model(c, err)) return false;
    if (c->task == NN_TASK_ADDITION) {
        const size_t len = nn_addition_train_len(&c->addition);
        if (c->len && c->len != len)
            return spak_fail(err, "len: the rows of this addition task have %zu tokens; leave it out", len);
        c->len = len;
    } else if (!c->len) {
        c->len = c->model.context;
    }
    if (c->len > c->model.context)
        return spak_fail(err, "len: rows of %zu tokens do not fit the model's context of %zu", c->len,
                         c->model.context);
    if (!c->schedule.decay_steps) c->schedule.decay_steps = c->steps;
    if (!c->least_loops) c->least_loops = c->model.loops;
    if (!c->most_loops) c->most_loops = c->model.loops > c->least_loops ? c->model.loops : c->least_loops;
    if (c->least_loops > c->most_loops)
        return spak_fail(err, "least_loops is %zu, more than most_loops, %zu", c->least_loops, c->most_loops);
    return true;
}

bool nn_train_config_read(const json_t *json, nn_train_config *c, spak_error *err) {
    *c = DEFAULTS;
    if (!json_is_object(json)) return spak_fail(err, "expected an object with model, task, steps and so on");
    if (!read_task(json_object_get(json, "task"), c, err)) return false;
    if (!read_model(json_object_get(json, "model"), c, err)) return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        if (strcmp(key, "task") == 0 || strcmp(key, "model") == 0) continue;
        if (strcmp(key, "device") == 0) {
            const char *name = json_string_value(value);
            if (!name || (strcmp(name, "cpu") != 0 && strcmp(name, "oracle") != 0))
                return spak_fail(err, "device: expected \"cpu\" or \"oracle\"");
            strcpy(c->device, name);
            continue;
        }
        const nn_member *m = nn_member_find(members, MEMBERS, key);
        if (!m) return spak_fail(err, "%s is no member of a training configuration", key);
        if (!nn_member_read(m, value, c, err)) return spak_fail_context(err, "%s", key);
    }
    return settle(c, err);
}

static json_t *task_json(const nn_train_config *c) {
    if (c->task == NN_TASK_TEXT)
        return json_pack("{s:s,s:s,s:f}", "kind", "text", "dataset", c->text.dataset, "validation_share",
                         c->text.validation_share);
    json_t *json = nn_addition_json(&c->addition);
    if (json && json_object_set_new(json, "kind", json_string("addition")) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *nn_train_config_json(const nn_train_config *c) {
    json_t *json = nn_members_json(members, MEMBERS, c);
    if (json && json_object_set_new(json, "model", nn_config_json(&c->model)) == 0 &&
        json_object_set_new(json, "task", task_json(c)) == 0 &&
        json_object_set_new(json, "device", json_string(c->device)) == 0)
        return json;
    json_decref(json);
    return NULL;
}
