/* Models against golden vectors: drawing the parameters, and one case of blocks.json or gpt2.json. */
#ifndef SPAK_TESTS_NN_GOLDEN_MODEL_H
#define SPAK_TESTS_NN_GOLDEN_MODEL_H

#include "golden.h"
#include "nn/nn.h"

/* Value i of parameter p is drawn from stream p, in the range that make_golden.py's parameter_shapes names. */
static void draw_parameter(nn_model *model, const nn_param *p, uint64_t stream) {
    enum { PIECE = 4096 };
    double piece[PIECE];
    double lo = p->init == NN_INIT_ONES ? 0 : p->matrix ? -0x1p-5 : -0.125;
    double hi = p->init == NN_INIT_ONES ? 2 : -lo;
    size_t n = p->rows * p->cols;
    for (size_t from = 0; from < n; from += PIECE) {
        size_t len = n - from < PIECE ? n - from : PIECE;
        draw(piece, len, lo, hi, MODEL_SEED, stream, from);
        nn_model_put(model, NN_VALUES, p->at + from, len, piece);
    }
}

static void draw_parameters(nn_model *model) {
    size_t count, numbers;
    const nn_param *list = nn_model_params(model, &count, &numbers);
    for (size_t i = 0; i < count; i++) draw_parameter(model, &list[i], i);
}

static bool golden_config(const json_t *now, nn_config *config, spak_error *err) {
    return nn_config_preset("gpt2", config, err) && nn_config_read(json_object_get(now, "config"), config, err);
}

/* Targets from a power of two of rows: the last ones. */
static void draw_batch(nn_batch *batch, int32_t *tokens, int32_t *targets, size_t vocab) {
    size_t rows = batch->batch * batch->len, used = 1;
    while (2 * used <= rows) used *= 2;
    fill_whole(tokens, rows, (int32_t)vocab, 0, STREAM_TOKENS);
    fill_whole(targets, rows, (int32_t)vocab, 0, STREAM_TARGETS);
    for (size_t i = 0; i < rows - used; i++) targets[i] = -1;
    batch->tokens = tokens;
    batch->targets = targets;
}

/* The arrays of all parameters against what was kept of each; returns the largest error. */
static double parameters_error(golden *g, const nn_model *model, nn_array which, const json_t *kept) {
    size_t count, numbers;
    const nn_param *list = nn_model_params(model, &count, &numbers);
    double *host = spak_malloc(numbers * sizeof *host), largest = 0;
    nn_model_get(model, which, 0, numbers, host);
    is_int(json_array_size(kept), count, "as many parameters");
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(kept, i);
        double error = golden_error(g, host + list[i].at, list[i].rows * list[i].cols, one);
        if (strcmp(spak_json_str(one, "name", ""), list[i].name) != 0) error = INFINITY;
        if (!(error <= 1)) printf("# %s: %g times the tolerance\n", list[i].name, error);
        largest = nn_worst(largest, error);
    }
    spak_free(host);
    return largest;
}

/* States of all blocks and the logits; returns the largest error. */
__attribute__((unused)) static double states_error(golden *g, const nn_model *model, size_t rows, const json_t *now) {
    const nn_config *c = nn_model_config(model);
    const json_t *states = json_object_get(now, "states");
    size_t widest = c->width > c->vocab ? c->width : c->vocab;
    double *host = spak_malloc(rows * widest * sizeof *host), largest = 0;
    for (size_t i = 0; i < json_array_size(states); i++) {
        nn_hidden(model, i, host);
        double error = golden_error(g, host, rows * c->width, json_array_get(states, i));
        if (!(error <= 1)) printf("# after block %zu: %g times the tolerance\n", i, error);
        largest = nn_worst(largest, error);
    }
    nn_logits(model, 0, rows, host);
    double error = golden_error(g, host, rows * c->vocab, json_object_get(now, "logits"));
    if (!(error <= 1)) printf("# logits: %g times the tolerance\n", error);
    spak_free(host);
    return nn_worst(largest, error);
}

__attribute__((unused)) static void run_model_case(const nn_ops *ops, const json_t *now) {
    spak_error err = {""};
    nn_config config;
    nn_model *model = NULL;
    static int32_t tokens[1024], targets[1024];
    const json_t *gradients = json_object_get(now, "gradients");
    nn_batch batch = {.batch = (size_t)spak_json_int(now, "batch", 0), .len = (size_t)spak_json_int(now, "len", 0)};
    if (!ok(golden_config(now, &config, &err) &&
                nn_model_new(&config, ops, 2, batch.batch, batch.len, 0, gradients != NULL, &model, &err),
            "%s: %zu x %zu tokens, %zu layers of %zu, %zu loops", ops->name, batch.batch, batch.len, config.layers,
            config.width, config.loops)) {
        printf("# %s\n", err.message);
        return;
    }
    draw_parameters(model);
    draw_batch(&batch, tokens, targets, config.vocab);
    golden g = golden_of(ops);
    double loss = NAN, want = spak_json_num(now, "loss", NAN);
    g.roundings = (double)(config.hidden + batch.len) * (double)(config.layers * config.loops + 1);
    bool ran = gradients ? nn_forward_backward(model, &batch, 1, &loss, &err) : nn_forward(model, &batch, &loss, &err);
    ok(ran && golden_ratio(&g, loss, want, want) <= 1, "the loss");
    ok(states_error(&g, model, batch.batch * batch.len, now) <= 1, "states of all blocks, and logits");
    if (gradients) ok(parameters_error(&g, model, NN_GRADIENTS, gradients) <= 1, "all gradients");
    printf("# the largest error is %.2g of its tolerance, %.2g\n", g.worst, g.roundings * g.unit);
    nn_model_free(model);
}

#endif
