/* Studies of nanoGPT's arithmetic: how an error grows over depth, LayerNorm at odd widths, and where a step's time
 * goes. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "device/device.h"
#include "device/trial.h"
#include "nn/nanogpt_gate.h"
#include "nn/worst.h"

#define MEMBERS(list) (sizeof(list) / sizeof *(list))

static int best_threads(const json_t *options) { return (int)spak_json_int(options, "threads", dev_cpu_count()); }

/* --- parity_over_depth --- */

/* Both precisions of one GPT-2 with random gains and biases; scores of attention `sharpness` times as large. */
typedef struct twins {
    nn_model *model[2]; /* single, double */
    nn_batch batch;
    int32_t *tokens;
    double *state[2]; /* (rows, the wider of width and vocab) */
    size_t rows;
} twins;

static void close_twins(twins *t) {
    for (int i = 0; i < 2; i++) {
        nn_model_free(t->model[i]);
        spak_free(t->state[i]);
    }
    spak_free(t->tokens);
}

/* As nanoGPT begins, but for random gains and biases, and queries and keys `sharpness` times as large together. */
static bool draw_parameter(twins *t, const nn_param *p, uint64_t stream, double sharpness, uint64_t seed,
                           spak_error *err) {
    const size_t n = p->rows * p->cols;
    float *values = spak_malloc(n * sizeof *values);
    if (!values) return spak_fail_oom(err);
    if (p->init == NN_INIT_ONES)
        spak_philox_fill_uniform(values, n, 0, 2, seed, stream);
    else if (p->rows == 1)
        spak_philox_fill_normal(values, n, 0, 0.1f, seed, stream);
    else
        spak_philox_fill_normal(values, n, 0, 0.02f, seed, stream);
    if (p->rows > 1 && strstr(p->name, "c_attn"))
        for (size_t i = 0; i < n / 3 * 2; i++) values[i] *= (float)sqrt(sharpness);
    for (int i = 0; i < 2; i++) nn_model_put_f32(t->model[i], NN_VALUES, p->at, n, values);
    spak_free(values);
    return true;
}

static bool open_twins(const json_t *options, size_t len, double sharpness, twins *t, spak_error *err) {
    nn_config c;
    const uint64_t seed = 1;
    *t = (twins){.rows = len};
    if (!nn_config_preset("gpt2", &c, err)) return false;
    c.layers = (size_t)spak_json_int(options, "layers", 12);
    c.width = (size_t)spak_json_int(options, "width", 768);
    c.heads = c.kv_heads = (size_t)spak_json_int(options, "heads", 12);
    c.vocab = (size_t)spak_json_int(options, "vocab", 1000);
    c.hidden = 4 * c.width;
    c.context = len;
    const nn_ops *tables[] = {&nn_cpu, &nn_oracle};
    for (int i = 0; i < 2; i++) {
        if (!nn_model_new(&c, tables[i], best_threads(options), 1, len, 0, false, &t->model[i], err)) return false;
        t->state[i] = spak_malloc(len * (c.width > c.vocab ? c.width : c.vocab) * sizeof(double));
        if (!t->state[i]) return spak_fail_oom(err);
    }
    size_t count, numbers;
    const nn_param *params = nn_model_params(t->model[0], &count, &numbers);
    for (size_t k = 0; k < count; k++)
        if (!draw_parameter(t, &params[k], k, sharpness, seed, err)) return false;
    t->tokens = spak_malloc(len * sizeof *t->tokens);
    if (!t->tokens) return spak_fail_oom(err);
    for (size_t i = 0; i < len; i++) t->tokens[i] = (int32_t)(spak_philox_uniform(seed, 5000, i) * (float)c.vocab);
    t->batch = (nn_batch){.batch = 1, .len = len, .tokens = t->tokens};
    return true;
}

/* {"largest": |difference|, "rms": of the differences, "size": rms of the values, "relative": rms over size} of n. */
static json_t *distance(const twins *t, size_t n) {
    double most = 0, squares = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        const double off = t->state[0][i] - t->state[1][i];
        most = nn_worst(most, fabs(off));
        squares += off * off;
        size += t->state[1][i] * t->state[1][i];
    }
    const double rms = sqrt(squares / (double)n);
    size = sqrt(size / (double)n);
    return json_pack("{s:f,s:f,s:f,s:f}", "largest", most, "rms", rms, "size", size, "relative", rms / size);
}

/* {"blocks": a distance for the embedding and each block, "logits", "bound", "growth": of the relative error from the
 * first block to the last}. */
static bool measure_depth(twins *t, json_t **found, double *growth, spak_error *err) {
    const nn_config *c = nn_model_config(t->model[0]);
    json_t *blocks = json_array();
    bool good = blocks || spak_fail_oom(err);
    for (int i = 0; good && i < 2; i++) good = nn_forward(t->model[i], &t->batch, NULL, err);
    for (size_t block = 0; good && block <= c->layers; block++) {
        for (int i = 0; i < 2; i++) nn_hidden(t->model[i], block, t->state[i]);
        good = json_array_append_new(blocks, distance(t, t->rows * c->width)) == 0 || spak_fail_oom(err);
    }
    if (good)
        for (int i = 0; i < 2; i++) nn_logits(t->model[i], 0, t->rows, t->state[i]);
    json_t *logits = good ? distance(t, t->rows * c->vocab) : NULL;
    const double first = spak_json_num(json_array_get(blocks, 1), "relative", NAN);
    *growth = spak_json_num(json_array_get(blocks, c->layers), "relative", NAN) / first;
    *found = good ? json_pack("{s:O,s:o,s:f,s:f}", "blocks", blocks, "logits", logits, "bound",
                              FLT_EPSILON / 2 * nanogpt_roundings(c, t->rows), "growth", *growth)
                  : NULL;
    json_decref(blocks);
    return good && (*found || spak_fail_oom(err));
}

static bool depth_case(const json_t *options, size_t len, double sharpness, json_t *cases, double *most,
                       spak_error *err) {
    twins t;
    json_t *found = NULL;
    double growth = 0;
    bool good = open_twins(options, len, sharpness, &t, err) && measure_depth(&t, &found, &growth, err);
    close_twins(&t);
    if (!good) return false;
    *most = fmax(*most, growth);
    const bool kept = json_object_set_new(found, "len", json_integer((json_int_t)len)) == 0 &&
                      json_object_set_new(found, "sharpness", json_real(sharpness)) == 0;
    return (json_array_append_new(cases, found) == 0 && kept) || spak_fail_oom(err);
}

/* Every length with scores as they are, and all but one token with sharp ones: the softmax of one score is one, however
 * large it is. The two kinds are told apart, and of each the largest growth counts: a median over both says nothing. */
static bool each_depth(const json_t *options, json_t *cases, double most[2], spak_error *err) {
    const double sharpness[] = {1, spak_json_num(options, "sharp", 100)};
    const json_t *lens = json_object_get(options, "lens");
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < json_array_size(lens); i++) {
            const long long len = json_integer_value(json_array_get(lens, i));
            if (len < 1 || len > 4096)
                return spak_fail(err, "nanogpt: options.lens: expected whole numbers from 1 to 4096");
            if (kind == 1 && len == 1) continue;
            if (!depth_case(options, (size_t)len, sharpness[kind], cases, &most[kind], err)) return false;
        }
    return most[1] > 0 || spak_fail(err, "nanogpt: options.lens: expected a length above one token");
}

static bool parity_over_depth(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {
        {"layers", JSON_INTEGER, 1, 96, false},    {"width", JSON_INTEGER, 1, 4096, false},
        {"heads", JSON_INTEGER, 1, 64, false},     {"lens", JSON_ARRAY, 0, 0, true},
        {"vocab", JSON_INTEGER, 1, 100000, false}, {"sharp", JSON_REAL, 1, 1e4, false},
        {"threads", JSON_INTEGER, 1, 256, false},
    };
    double most[2] = {0};
    *result = NULL;
    if (!dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err)) return false;
    json_t *cases = json_array();
    const bool good = (cases || spak_fail_oom(err)) && each_depth(options, cases, most, err);
    if (good) *result = json_pack("{s:O,s:f,s:f}", "cases", cases, "growth_plain", most[0], "growth_sharp", most[1]);
    json_decref(cases);
    return good && (*result || spak_fail_oom(err));
}

/* --- odd_widths --- */

static bool odd_widths(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {{"widths", JSON_ARRAY, 0, 0, true}, {"rows", JSON_INTEGER, 1, 4096, false}};
    const json_t *widths = json_object_get(options, "widths");
    const size_t rows = (size_t)spak_json_int(options, "rows", 64);
    json_t *list = json_array();
    bool good = list || spak_fail_oom(err);
    *result = NULL;
    good = good && dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err);
    for (size_t i = 0; good && i < json_array_size(widths); i++) {
        const long long width = json_integer_value(json_array_get(widths, i));
        double over, most;
        if (width < 1 || width > 65536) {
            good = spak_fail(err, "nanogpt: options.widths: expected whole numbers from 1 to 65536");
        } else {
            good = nanogpt_norm_error(NANOGPT_SOUND, (size_t)width, rows, 1, &over, &most, err);
            json_t *entry = json_pack("{s:I,s:f,s:f}", "width", (json_int_t)width, "over_bound", over, "largest", most);
            if (!good)
                json_decref(entry);
            else if (json_array_append_new(list, entry) != 0)
                good = spak_fail_oom(err);
        }
    }
    if (good) *result = json_pack("{s:O,s:I}", "widths", list, "rows", (json_int_t)rows);
    json_decref(list);
    return good && (*result || spak_fail_oom(err));
}

/* --- time_by_operator --- */

/* What the steps took: a row for each step, a column for each clock and then these. */
enum { OUTSIDE = NANOGPT_CLOCKS, STEP, COLUMNS };

static void note_step(const nn_model *model, double step_ms, nanogpt_clock clocks[NANOGPT_CLOCKS], double *row) {
    double inside = 0;
    nanogpt_clocks_read(model, clocks);
    for (int i = 0; i < NANOGPT_CLOCKS; i++) {
        row[i] = clocks[i].ms;
        inside += clocks[i].ms;
    }
    row[OUTSIDE] = step_ms - inside;
    row[STEP] = step_ms;
}

/* Medians over the steps, each column by itself: what another program took of a step lands in one part or another, and
 * counts in none. So the parts add up to less than the step where the machine was busy; shares are of their sum. calls:
 * of one step. */
static bool put_clocks(const nanogpt_clock clocks[NANOGPT_CLOCKS], const double *rows, size_t steps, int threads,
                       json_t **result, spak_error *err) {
    double median[COLUMNS], linear = 0, parts = 0;
    double *column = spak_malloc(steps * sizeof *column);
    json_t *list = json_array();
    bool good = (column && list) || spak_fail_oom(err);
    for (int i = 0; good && i < COLUMNS; i++) {
        for (size_t step = 0; step < steps; step++) column[step] = rows[step * COLUMNS + (size_t)i];
        median[i] = dev_spread_of(column, steps).median;
        if (i != STEP) parts += median[i];
        if (i >= NANOGPT_CLOCKS) continue;
        if (!strncmp(clocks[i].name, "linear", 6)) linear += median[i];
        good = json_array_append_new(list, json_pack("{s:s,s:f,s:I}", "name", clocks[i].name, "ms", median[i], "calls",
                                                     (json_int_t)clocks[i].calls)) == 0 ||
               spak_fail_oom(err);
    }
    if (good)
        *result = json_pack("{s:O,s:f,s:f,s:f,s:i}", "operators", list, "step_ms", median[STEP], "outside_ms",
                            median[OUTSIDE], "linear_share", linear / parts, "threads", threads);
    json_decref(list);
    spak_free(column);
    return good && (*result || spak_fail_oom(err));
}

static bool clock_steps(nn_trainer *trainer, size_t steps, int threads, json_t **result, spak_error *err) {
    enum { WARM_UP = 5 };
    nanogpt_clock clocks[NANOGPT_CLOCKS];
    nn_step step;
    nn_model *model = nn_trainer_model(trainer);
    double *rows = spak_malloc(steps * COLUMNS * sizeof *rows);
    bool good = rows || spak_fail_oom(err);
    for (size_t i = 0; good && i < WARM_UP + steps; i++) {
        nanogpt_clocks_reset(model);
        good = nn_trainer_step(trainer, &step, err);
        if (good && i >= WARM_UP) note_step(model, step.time_ms, clocks, rows + (i - WARM_UP) * COLUMNS);
    }
    good = good && put_clocks(clocks, rows, steps, threads, result, err);
    spak_free(rows);
    return good;
}

bool nanogpt_small_run(size_t steps, size_t batch, int threads, nn_train_config *config, spak_error *err) {
    json_t *run = json_pack("{s:{s:s,s:f},s:{s:s,s:s},s:I,s:I,s:i}", "model", "preset", "nanogpt-cpu", "dropout", 0.0,
                            "task", "kind", "text", "dataset", "tinyshakespeare", "steps", (json_int_t)steps, "batch",
                            (json_int_t)batch, "threads", threads);
    const bool good = run ? nn_train_config_read(run, config, err) : spak_fail_oom(err);
    json_decref(run);
    return good;
}

static bool time_by_operator(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {{"steps", JSON_INTEGER, 1, 100000, false},
                                         {"batch", JSON_INTEGER, 1, 4096, false},
                                         {"threads", JSON_INTEGER, 1, 256, false}};
    *result = NULL;
    if (!dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err)) return false;
    const int threads = best_threads(options);
    nn_train_config config;
    nn_trainer *trainer = NULL;
    bool good = nanogpt_small_run(2000, (size_t)spak_json_int(options, "batch", 12), threads, &config, err) &&
                nn_trainer_new_on(&config, nanogpt_table(&nn_cpu, NANOGPT_SOUND), &trainer, err) &&
                clock_steps(trainer, (size_t)spak_json_int(options, "steps", 50), threads, result, err);
    nn_trainer_free(trainer);
    return good;
}

const dev_study nanogpt_studies[NANOGPT_NUM_STUDIES] = {
    {"parity_over_depth", "how far single precision is from double after each block of a GPT-2, and with sharp scores",
     parity_over_depth},
    {"odd_widths", "LayerNorm, forward and backward, at any width: the error over its bound", odd_widths},
    {"time_by_operator", "the time of a training step by operator", time_by_operator},
    {"transplant", "weights written as transformers lays them out and read back: greedy and drawn text, token by token",
     nanogpt_transplant},
    {"memory_and_time", "what a large model needs: memory, a forward pass, a training step", nanogpt_memory_and_time},
};
