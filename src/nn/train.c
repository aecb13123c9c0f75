/* The steps of a training run. See train.h for what makes it go on bit for bit. */
#include "nn/train.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "data/data.h"
#include "device/device.h"
#include "nn/tokens.h"

/* Streams of Philox of their own, beside those of the initial values (the numbers of the parameters) and of dropout
 * (whose highest bit is set). */
enum { STREAM_WINDOWS = 0x54455854, STREAM_LOOPS = 0x4C4F4F50, STREAM_ESTIMATES = 0x45535449 };

struct nn_trainer {
    nn_train_config config;
    nn_model *model;
    uint64_t next;
    /* text */
    json_t *data; /* what data_describe says */
    nn_chars chars;
    int32_t *ids, *targets;
    size_t num_ids, train_ids;
    int32_t *window; /* (batch, len) tokens */
    /* additions */
    nn_add_rows *rows;
};

/* --- where batches come from --- */

static bool open_text(nn_trainer *t, spak_error *err) {
    nn_train_config *c = &t->config;
    data_set *set = NULL;
    bool good = data_describe(c->text.dataset, &t->data, err) && data_open(c->text.dataset, &set, err) &&
                nn_chars_learn(set->bytes, set->size, &t->chars, err);
    if (good) {
        t->num_ids = set->size;
        t->train_ids = (size_t)((double)set->size * (1 - c->text.validation_share));
        t->ids = spak_malloc(t->num_ids * sizeof *t->ids);
        t->window = spak_malloc(2 * c->batch * c->len * sizeof *t->window);
        good =
            (t->ids && t->window) ||
            spak_fail(err, "out of memory for a batch of %zu x %zu characters: lower batch or len", c->batch, c->len);
        if (good) t->targets = t->window + c->batch * c->len;
    }
    if (good) good = nn_chars_encode(&t->chars, c->text.dataset, set->bytes, set->size, t->ids, err);
    data_close(set);
    if (!good) return false;
    if (c->vocab_told && c->model.vocab != t->chars.count)
        return spak_fail(err, "model.vocab: %zu, but %s has %zu different characters; leave it out", c->model.vocab,
                         c->text.dataset, t->chars.count);
    c->model.vocab = t->chars.count;
    if (t->train_ids <= c->len || t->num_ids - t->train_ids <= c->len)
        return spak_fail(err,
                         "%s has %zu characters to train on and %zu to validate: too few for windows of %zu; choose a "
                         "smaller len or another validation_share",
                         c->text.dataset, t->train_ids, t->num_ids - t->train_ids, c->len);
    return true;
}

/* Window i of the batch: len tokens from `start` on, and the ones that follow them. */
static void cut_window(nn_trainer *t, size_t i, size_t start) {
    const size_t len = t->config.len;
    memcpy(t->window + i * len, t->ids + start, len * sizeof *t->ids);
    memcpy(t->targets + i * len, t->ids + start + 1, len * sizeof *t->ids);
}

static nn_batch text_batch(const nn_trainer *t, size_t windows) {
    return (nn_batch){.batch = windows, .len = t->config.len, .tokens = t->window, .targets = t->targets};
}

/* Batch `number` of a stream: windows at random places of the part [from, to), whose end the targets do not pass. */
static nn_batch draw_text(nn_trainer *t, uint64_t stream, uint64_t number, size_t from, size_t to) {
    const nn_train_config *c = &t->config;
    for (size_t i = 0; i < c->batch; i++) {
        uint32_t word[4];
        spak_philox(c->seed, stream, number * c->batch + i, word);
        const uint64_t places = to - from - c->len; /* the last window's targets end with the part */
        cut_window(t, i, from + (size_t)(((uint64_t)word[0] << 32 | word[1]) % places));
    }
    return text_batch(t, c->batch);
}

static nn_batch draw_batch(nn_trainer *t, uint64_t step, size_t micro) {
    const nn_train_config *c = &t->config;
    const uint64_t micro_step = (c->one_batch ? 0 : step) * c->micro_batches + micro;
    nn_batch batch;
    if (c->task == NN_TASK_TEXT) {
        batch = draw_text(t, STREAM_WINDOWS, micro_step, 0, t->train_ids);
    } else {
        nn_addition_train_rows(&c->addition, c->seed, micro_step, t->rows);
        batch = nn_add_rows_batch(t->rows);
    }
    uint32_t word[4];
    spak_philox(c->seed, STREAM_LOOPS, step, word);
    batch.loops = c->least_loops + word[0] % (c->most_loops - c->least_loops + 1);
    batch.training = true;
    batch.seed = c->seed;
    batch.step = step * c->micro_batches + micro;
    return batch;
}

/* --- a run --- */

static const uint64_t HELD_OUT = (uint64_t)1 << 28; /* batches of additions from here on are never trained on */

static int threads_of(const nn_train_config *c) { return c->threads ? (int)c->threads : dev_cpu_count(); }
static const nn_ops *ops_of(const nn_train_config *c) {
    return strcmp(c->device, "oracle") == 0 ? &nn_oracle : &nn_cpu;
}

static bool open_trainer(nn_trainer *t, const nn_ops *ops, bool training, spak_error *err) {
    nn_train_config *c = &t->config;
    if (c->task == NN_TASK_TEXT ? !open_text(t, err) : !nn_add_rows_new(c->batch, c->len, &t->rows, err)) return false;
    if (!nn_config_check(&c->model, err)) return false;
    if (c->task == NN_TASK_ADDITION && c->steps * c->micro_batches > HELD_OUT)
        return spak_fail(err, "steps times micro_batches is %zu: at most %llu, what follows is for validation",
                         c->steps * c->micro_batches, (unsigned long long)HELD_OUT);
    const size_t loops = c->most_loops > c->model.loops ? c->most_loops : c->model.loops; /* validation takes its own */
    if (!nn_model_new(&c->model, ops, threads_of(c), c->batch, c->len, loops, training, &t->model, err)) return false;
    nn_model_init(t->model, c->seed);
    return true;
}

static bool new_trainer(const nn_train_config *config, const nn_ops *ops, bool training, nn_trainer **out,
                        spak_error *err) {
    *out = NULL;
    nn_trainer *t = spak_calloc(1, sizeof *t);
    if (!t) return spak_fail_oom(err);
    t->config = *config;
    if (!open_trainer(t, ops, training, err)) {
        nn_trainer_free(t);
        return false;
    }
    *out = t;
    return true;
}

bool nn_trainer_new(const nn_train_config *config, nn_trainer **out, spak_error *err) {
    return new_trainer(config, ops_of(config), true, out, err);
}

bool nn_trainer_new_on(const nn_train_config *config, const nn_ops *ops, nn_trainer **out, spak_error *err) {
    return new_trainer(config, ops, true, out, err);
}

bool nn_trainer_new_asleep(const nn_train_config *config, nn_trainer **out, spak_error *err) {
    return new_trainer(config, ops_of(config), false, out, err);
}

void nn_trainer_free(nn_trainer *t) {
    if (!t) return;
    nn_model_free(t->model);
    nn_add_rows_free(t->rows);
    json_decref(t->data);
    spak_free(t->ids);
    spak_free(t->window);
    spak_free(t);
}

const json_t *nn_trainer_data(const nn_trainer *t) { return t->data; }
const nn_chars *nn_trainer_chars(const nn_trainer *t) { return t->config.task == NN_TASK_TEXT ? &t->chars : NULL; }
const nn_train_config *nn_trainer_config(const nn_trainer *t) { return &t->config; }
nn_model *nn_trainer_model(nn_trainer *t) { return t->model; }
uint64_t nn_trainer_next(const nn_trainer *t) { return t->next; }
void nn_trainer_set_next(nn_trainer *t, uint64_t step) { t->next = step; }

/* Forward and backward, and the optimiser: the usual count of three forward passes. */
static double flops_of_step(const nn_train_config *c) {
    const size_t loops = (c->least_loops + c->most_loops + 1) / 2;
    return 3 * (double)(c->batch * c->micro_batches) * nn_forward_flops(&c->model, c->len, c->len, loops);
}

json_t *nn_trainer_describe(const nn_trainer *t) {
    size_t count, numbers;
    nn_model_params(t->model, &count, &numbers);
    nn_memory m = nn_model_memory(t->model);
    json_t *json = json_pack("{s:I,s:{s:I,s:I,s:I,s:I,s:I},s:f}", "parameters", (json_int_t)numbers, "memory", "params",
                             (json_int_t)m.params, "grads", (json_int_t)m.grads, "optimiser", (json_int_t)m.optimiser,
                             "activations", (json_int_t)m.activations, "scratch", (json_int_t)m.scratch,
                             "flops_per_step", flops_of_step(&t->config));
    if (json && t->data) json_object_set(json, "data", t->data);
    return json;
}

static nn_optimiser optimiser_of(const nn_train_config *c, uint64_t step) {
    nn_optimiser o = c->optimiser;
    if (c->late_weight_decay >= 0 && step >= c->late_decay_from) o.weight_decay = c->late_weight_decay;
    return o;
}

static bool diverged(const nn_trainer *t, const char *what, double value, double rate, spak_error *err) {
    return spak_fail(
        err,
        "the %s of step %llu is %g: the run has diverged; begin it again with a lower rate (it is %g) or a "
        "longer warm-up",
        what, (unsigned long long)t->next, isnan(value) ? fabs(value) : value /* no "-nan" */, rate);
}

bool nn_trainer_step(nn_trainer *t, nn_step *report, spak_error *err) {
    const nn_train_config *c = &t->config;
    const uint64_t begun = spak_now_ns();
    *report = (nn_step){.step = t->next, .rate = nn_schedule_rate(&c->schedule, t->next)};
    nn_zero_gradients(t->model);
    for (size_t micro = 0; micro < c->micro_batches; micro++) {
        nn_batch batch = draw_batch(t, t->next, micro);
        double loss;
        if (!nn_forward_backward(t->model, &batch, 1.0 / (double)c->micro_batches, &loss, err)) return false;
        report->loss += loss / (double)c->micro_batches;
        report->tokens += batch.batch * batch.len;
        report->loops = batch.loops;
    }
    if (!isfinite(report->loss)) return diverged(t, "loss", report->loss, report->rate, err);
    const nn_optimiser optimiser = optimiser_of(c, t->next);
    report->grad_norm = nn_update(t->model, &optimiser, report->rate, t->next);
    if (!isfinite(report->grad_norm)) return diverged(t, "norm of the gradients", report->grad_norm, report->rate, err);
    t->next++;
    report->time_ms = (double)(spak_now_ns() - begun) * 1e-6;
    return true;
}

/* --- validation --- */

enum { HELD_OUT_BATCHES = 8 };

static bool add_loss(nn_trainer *t, nn_batch batch, double *sum, size_t *tokens, spak_error *err) {
    double loss;
    if (!nn_forward(t->model, &batch, &loss, err)) return false;
    size_t counted = 0;
    for (size_t i = 0; i < batch.batch * batch.len; i++) counted += batch.targets[i] >= 0;
    *sum += loss * (double)counted;
    *tokens += counted;
    return true;
}

static bool validate_text(nn_trainer *t, double *sum, size_t *tokens, spak_error *err) {
    const nn_train_config *c = &t->config;
    size_t windows = 0;
    for (size_t at = t->train_ids; at + c->len < t->num_ids; at += c->len) {
        cut_window(t, windows++, at);
        const bool last = at + 2 * c->len >= t->num_ids;
        if (windows < c->batch && !last) continue;
        if (!add_loss(t, text_batch(t, windows), sum, tokens, err)) return false;
        windows = 0;
    }
    return true;
}

static bool validate_additions(nn_trainer *t, double *sum, size_t *tokens, spak_error *err) {
    for (size_t i = 0; i < HELD_OUT_BATCHES; i++) {
        nn_addition_train_rows(&t->config.addition, t->config.seed, HELD_OUT + i, t->rows);
        if (!add_loss(t, nn_add_rows_batch(t->rows), sum, tokens, err)) return false;
    }
    return true;
}

bool nn_trainer_validate(nn_trainer *t, json_t **result, spak_error *err) {
    double sum = 0;
    size_t tokens = 0;
    *result = NULL;
    if (t->config.task == NN_TASK_TEXT ? !validate_text(t, &sum, &tokens, err)
                                       : !validate_additions(t, &sum, &tokens, err))
        return false;
    if (!isfinite(sum))
        return spak_fail(err, "the validation loss after %llu steps is not finite: the run has diverged; %s",
                         (unsigned long long)t->next, "take an earlier checkpoint, or a lower rate");
    *result = json_pack("{s:f,s:I}", "validation_loss", sum / (double)tokens, "tokens", (json_int_t)tokens);
    return *result || spak_fail_oom(err);
}

bool nn_trainer_estimate(nn_trainer *t, size_t batches, double *losses, spak_error *err) {
    if (t->config.task != NN_TASK_TEXT) return spak_fail(err, "only text has a part that estimates are drawn from");
    for (size_t i = 0; i < batches; i++) {
        const nn_batch batch = draw_text(t, STREAM_ESTIMATES, t->next * batches + i, t->train_ids, t->num_ids);
        if (!nn_forward(t->model, &batch, &losses[i], err)) return false;
    }
    return true;
}

/* --- a model to evaluate with --- */

bool nn_model_for_inference(const nn_model *from, size_t batch, size_t len, size_t most_loops, int threads,
                            nn_model **out, spak_error *err) {
    enum { PIECE = 1 << 14 };
    size_t count, numbers;
    nn_model_params(from, &count, &numbers);
    double *piece = spak_malloc(PIECE * sizeof *piece);
    *out = NULL;
    if (!piece) return spak_fail_oom(err);
    bool good =
        nn_model_new(nn_model_config(from), nn_model_ops(from), threads, batch, len, most_loops, false, out, err);
    for (size_t at = 0; good && at < numbers; at += PIECE) {
        const size_t n = numbers - at < PIECE ? numbers - at : PIECE;
        nn_model_get(from, NN_VALUES, at, n, piece);
        nn_model_put(*out, NN_VALUES, at, n, piece);
    }
    if (good) nn_model_plant(*out, nn_model_fault(from));
    spak_free(piece);
    return good;
}
