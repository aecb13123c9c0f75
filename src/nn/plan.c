/* Memory: planned first, taken once.
 *
 * A model lives in a few arenas: one for the parameters, one each for gradients and for AdamW's two moments, one for
 * the activations. lay_out() walks over all activations and hands out places in the arena; with no arena it only
 * measures. The plan and the model are thus the same walk and cannot disagree, and a training step allocates nothing.
 *
 * A training model keeps what each pass (a layer of a loop) needs for its backward pass. One that does not train keeps
 * each pass's output, and all passes share the rest. The head is not kept at all: logits of GPT-2 take more than
 * everything else together, so they are made a chunk of rows at a time, and made again where they are asked for. */
#include <string.h>

#include "base/alloc.h"
#include "nn/model.h"

void *nn_take(nn_layout *l, size_t rows, size_t width) {
    size_t bytes;
    if (__builtin_mul_overflow(rows, width, &bytes) || __builtin_mul_overflow(bytes, l->elem, &bytes) ||
        bytes > SIZE_MAX / 4) {
        l->overflow = true;
        return NULL;
    }
    void *place = l->arena ? l->arena + l->bytes : NULL;
    bytes = (bytes + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
    if (__builtin_add_overflow(l->bytes, bytes, &l->bytes)) l->overflow = true;
    return place;
}

size_t nn_chunk_rows(const nn_config *c, const nn_ops *ops, size_t rows) {
    size_t fit = NN_LOGITS_BYTES / (c->vocab * ops->elem);
    return fit < 1 ? 1 : fit < rows ? fit : rows;
}

static size_t most_rows(const nn_model *m) { return m->most_batch * m->most_len; }

static void lay_block(const nn_model *m, nn_layout *l, nn_pass *p) {
    const nn_config *c = &m->config;
    size_t rows = most_rows(m);
    p->n1 = nn_take(l, rows, c->width);
    p->stat1 = nn_take(l, rows, 2);
    p->qkv = nn_take(l, rows, nn_qkv_width(c));
    p->heads = nn_take(l, rows, c->width);
    p->lse = nn_take(l, rows, c->heads);
    p->mid = nn_take(l, rows, c->width);
    p->n2 = nn_take(l, rows, c->width);
    p->stat2 = nn_take(l, rows, 2);
    p->up = nn_take(l, rows, nn_up_width(c));
    p->act = nn_take(l, rows, c->hidden);
}

static void lay_passes(nn_model *m, nn_layout *l) {
    const nn_config *c = &m->config;
    size_t rows = most_rows(m);
    void *state = m->x0;
    nn_pass shared = {0};
    if (!m->training) lay_block(m, l, &shared);
    for (size_t i = 0; i < m->most_loops * c->layers; i++) {
        nn_pass p = shared;
        bool first = i % c->layers == 0;
        p.base = first && i && c->inject ? nn_take(l, rows, c->width) : state;
        p.in = p.base;
        if (first && c->normalise_state) {
            p.base_stat = nn_take(l, rows, 2);
            p.in = nn_take(l, rows, c->width);
        }
        if (m->training) lay_block(m, l, &p);
        p.out = state = nn_take(l, rows, c->width);
        if (m->passes) m->passes[i] = p;
    }
}

static void lay_backward(nn_model *m, nn_layout *l) {
    const nn_config *c = &m->config;
    size_t rows = most_rows(m);
    m->dx = nn_take(l, rows, c->width);
    m->dx0 = c->inject ? nn_take(l, rows, c->width) : NULL;
    m->dwidth = nn_take(l, rows, c->width);
    m->dheads = nn_take(l, rows, c->width);
    m->dqkv = nn_take(l, rows, nn_qkv_width(c));
    m->dup = nn_take(l, rows, nn_up_width(c));
    m->dact = nn_take(l, rows, c->hidden);
}

static void lay_out(nn_model *m, nn_layout *l) {
    const nn_config *c = &m->config;
    size_t rows = most_rows(m);
    m->x0 = nn_take(l, rows, c->width);
    lay_passes(m, l);
    m->final = nn_take(l, rows, c->width);
    m->final_stat = nn_take(l, rows, 2);
    m->logits = nn_take(l, m->chunk, c->vocab);
    m->row_numbers = nn_take(l, rows, 1);
    if (m->training) lay_backward(m, l);
}

/* Everything that can be said without taking memory: *m is filled but for its pointers. */
static bool plan(nn_model *m, const nn_config *config, const nn_ops *ops, int threads, size_t batch, size_t len,
                 size_t most_loops, bool training, spak_error *err) {
    memset(m, 0, sizeof *m);
    if (!nn_config_check(config, err)) return false;
    if (batch < 1 || batch > INT32_MAX || len < 1 || len > config->context || batch > INT32_MAX / len)
        return spak_fail(err,
                         "a model for batches of %zu sequences of %zu tokens: both must be 1 or more, a sequence no "
                         "longer than the context %zu, and all tokens together fewer than 2^31",
                         batch, len, config->context);
    if (most_loops > NN_MOST_PASSES / config->layers)
        return spak_fail(err, "%zu loops of %zu layers are more than %d passes", most_loops, config->layers,
                         NN_MOST_PASSES);
    m->config = *config;
    m->ops = ops;
    m->most_batch = batch;
    m->most_len = len;
    m->most_loops = most_loops ? most_loops : config->loops;
    m->training = training;
    m->threads = threads;
    m->chunk = nn_chunk_rows(config, ops, batch * len);
    if (!nn_params_build(config, NULL, NULL, NULL, &m->numbers, err)) return false;
    nn_layout l = {.elem = ops->elem};
    lay_out(m, &l);
    if (l.overflow)
        return spak_fail(err,
                         "the activations of %zu sequences of %zu tokens over %zu loops of %zu layers take more "
                         "memory than there are addresses",
                         batch, len, m->most_loops, config->layers);
    m->memory.params = m->numbers * ops->elem;
    m->memory.grads = training ? m->memory.params : 0;
    m->memory.optimiser = training ? 2 * m->memory.params : 0;
    m->memory.activations = l.bytes;
    return true;
}

static bool open_ctx(nn_model *m, spak_error *err) {
    const nn_config *c = &m->config;
    const nn_attention shape = {.batch = m->most_batch,
                                .q_len = m->most_len,
                                .kv_len = m->most_len,
                                .heads = c->heads,
                                .kv_heads = c->kv_heads,
                                .head_dim = nn_head_dim(c),
                                .causal = c->causal,
                                .window = c->window,
                                .slope = c->slope,
                                .dropout = m->training ? c->dropout : 0};
    const nn_limits limits = {.threads = m->threads,
                              .rows = most_rows(m),
                              .width = nn_widest(c),
                              .vocab = c->vocab,
                              .num_attentions = 1,
                              .attentions = &shape};
    if (!m->ops->open(&limits, &m->ctx, err)) return false;
    m->memory.scratch = m->ops->scratch_bytes(m->ctx);
    return true;
}

static bool take_arena(nn_model *m, const char *what, size_t bytes, void **arena, spak_error *err) {
    if (bytes == 0) return true;
    *arena = m->ops->alloc(m->ctx, bytes);
    return *arena ||
           spak_fail(err, "out of memory: the model's %s take %zu bytes; lower batch, len or most_loops", what, bytes);
}

static bool take_all(nn_model *m, spak_error *err) {
    const nn_config *c = &m->config;
    m->num_params = nn_params_count(c);
    m->params = spak_calloc(m->num_params, sizeof *m->params);
    m->blocks = spak_calloc(c->layers, sizeof *m->blocks);
    m->passes = spak_calloc(m->most_loops * c->layers, sizeof *m->passes);
    m->positions = spak_calloc(most_rows(m), sizeof *m->positions);
    if (!m->params || !m->blocks || !m->passes || !m->positions)
        return spak_fail(err, "out of memory for a batch of %zu rows: lower batch, len or most_loops", most_rows(m));
    if (!nn_params_build(c, m->params, &m->slots, m->blocks, &m->numbers, err) || !open_ctx(m, err)) return false;
    if (!take_arena(m, "parameters", m->memory.params, &m->values, err) ||
        !take_arena(m, "gradients", m->memory.grads, &m->grads, err) ||
        !take_arena(m, "optimiser's moments", m->memory.optimiser, &m->moments, err) ||
        !take_arena(m, "activations", m->memory.activations, &m->arena, err))
        return false;
    nn_layout l = {.arena = m->arena, .elem = m->ops->elem};
    lay_out(m, &l);
    return true;
}

bool nn_model_new(const nn_config *config, const nn_ops *ops, int threads, size_t batch, size_t len, size_t most_loops,
                  bool training, nn_model **model, spak_error *err) {
    nn_model planned;
    *model = NULL;
    if (!plan(&planned, config, ops, threads, batch, len, most_loops, training, err)) return false;
    nn_model *m = spak_malloc(sizeof *m);
    if (!m) return spak_fail_oom(err);
    *m = planned;
    if (!take_all(m, err)) {
        nn_model_free(m);
        return false;
    }
    *model = m;
    return true;
}

void nn_model_free(nn_model *m) {
    if (!m) return;
    void *arenas[] = {m->values, m->grads, m->moments, m->arena};
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++)
        if (arenas[i]) m->ops->free(m->ctx, arenas[i]);
    m->ops->close(m->ctx);
    spak_free(m->params);
    spak_free(m->blocks);
    spak_free(m->passes);
    spak_free(m->positions);
    spak_free(m);
}

void nn_model_plant(nn_model *m, nn_fault fault) { m->fault = fault; }
nn_fault nn_model_fault(const nn_model *m) { return m->fault; }
const nn_config *nn_model_config(const nn_model *m) { return &m->config; }
const nn_ops *nn_model_ops(const nn_model *m) { return m->ops; }
nn_memory nn_model_memory(const nn_model *m) { return m->memory; }

const nn_param *nn_model_params(const nn_model *m, size_t *count, size_t *numbers) {
    if (count) *count = m->num_params;
    if (numbers) *numbers = m->numbers;
    return m->params;
}

static void *array_at(const nn_model *m, nn_array which, size_t at) {
    switch (which) {
        case NN_VALUES: return nn_at(m->ops, m->values, at);
        case NN_GRADIENTS: return nn_at(m->ops, m->grads, at);
        case NN_MEAN: return nn_at(m->ops, m->moments, at);
        case NN_SQUARE: return nn_at(m->ops, m->moments, m->numbers + at);
    }
    return NULL;
}

void nn_model_get(const nn_model *m, nn_array which, size_t at, size_t n, double *to) {
    m->ops->get(m->ctx, to, array_at(m, which, at), n);
}
void nn_model_put(nn_model *m, nn_array which, size_t at, size_t n, const double *from) {
    m->ops->put(m->ctx, array_at(m, which, at), from, n);
}
void nn_model_put_f32(nn_model *m, nn_array which, size_t at, size_t n, const float *from) {
    m->ops->put_f32(m->ctx, array_at(m, which, at), from, n);
}
