/* The forward pass: embedding, blocks over layers and loops, head.
 *
 * Every sum into the residual is written out of place (in -> mid -> out), so that the backward pass finds what it needs
 * without copies. The head looks at one state and makes its logits in chunks of rows. */
#include <math.h>
#include <string.h>

#include "nn/model.h"

/* --- what a batch may hold --- */

bool nn_check_ids(const char *what, const int32_t *ids, size_t batch, size_t len, int64_t least, int64_t most,
                  spak_error *err) {
    for (size_t i = 0; i < batch * len; i++)
        if (ids[i] < least || ids[i] > most)
            return spak_fail(err, "%s %d at sequence %zu, place %zu (both from 0): expected %lld to %lld", what,
                             (int)ids[i], i / len, i % len, (long long)(least < 0 ? -1 : least), (long long)most);
    return true;
}

bool nn_check_inputs(const nn_config *c, const nn_batch *b, spak_error *err) {
    if (!b->tokens) return spak_fail(err, "the batch has no tokens");
    if (!nn_check_ids("token", b->tokens, b->batch, b->len, 0, (int64_t)c->vocab - 1, err)) return false;
    if (nn_needs_index(c) && !b->index)
        return spak_fail(err,
                         "this model's positions or attention go by the index of the digit, and the batch has none");
    if (c->positions == NN_POS_LEARNED_INDEX &&
        !nn_check_ids("index", b->index, b->batch, b->len, -1, (int64_t)c->context - 1, err))
        return false;
    if (!c->kinds) return true;
    if (!b->kinds) return spak_fail(err, "this model embeds the kind of a token, and the batch has none");
    return nn_check_ids("kind", b->kinds, b->batch, b->len, -1, (int64_t)c->kinds - 1, err);
}

static bool check_batch(const nn_model *m, const nn_batch *b, spak_error *err) {
    const nn_config *c = &m->config;
    if (b->batch < 1 || b->len < 1 || b->batch > m->most_batch || b->len > m->most_len)
        return spak_fail(err, "a batch of %zu sequences of %zu tokens; this model takes 1 to %zu of 1 to %zu", b->batch,
                         b->len, m->most_batch, m->most_len);
    if (b->loops > m->most_loops)
        return spak_fail(err, "%zu loops; this model was made for at most %zu", b->loops, m->most_loops);
    if (!b->loops && c->loops > m->most_loops)
        return spak_fail(err, "the configuration's %zu loops; this model was made for at most %zu", c->loops,
                         m->most_loops);
    if (!nn_check_inputs(c, b, err)) return false;
    if (c->segments && !b->segments) return spak_fail(err, "this model separates segments, and the batch has none");
    if (b->positions && c->positions == NN_POS_LEARNED &&
        !nn_check_ids("position", b->positions, b->batch, b->len, 0, (int64_t)c->context - 1, err))
        return false;
    return !b->targets || nn_check_ids("target", b->targets, b->batch, b->len, INT32_MIN, (int64_t)c->vocab - 1, err);
}

/* --- parts --- */

static bool fails_on_cpu(const nn_model *m, nn_fault fault) { return m->fault == fault && m->ops == &nn_cpu; }

static uint64_t dropout_seed(const nn_model *m) {
    return m->last.seed + (m->fault == NN_FAULT_DROPOUT_BY_THREADS ? (uint64_t)m->threads : 0);
}

static size_t rows_of(const nn_model *m) { return m->last.batch * m->last.len; }

bool nn_dropping(const nn_model *m) { return m->last.training && m->config.dropout > 0; }

void nn_drop(const nn_model *m, void *x, size_t pass, nn_site site) {
    if (nn_dropping(m))
        m->ops->dropout(m->ctx, x, rows_of(m) * m->config.width, m->config.dropout, dropout_seed(m),
                        nn_dropout_stream(m->last.step, pass, site));
}

void nn_block_norm(const nn_model *m, nn_ctx *ctx, size_t layer, bool second, void *y, void *stat, const void *x,
                   size_t rows) {
    const nn_config *c = &m->config;
    const nn_block_slots *b = &m->blocks[layer];
    m->ops->norm(ctx, c->norm, y, stat, x, nn_value(m, second ? b->norm2 : b->norm1),
                 nn_value(m, second ? b->norm2_bias : b->norm1_bias), rows, c->width,
                 fails_on_cpu(m, NN_FAULT_CPU_NORM_EPS) ? 1e-3f : c->norm_eps);
}

void nn_mlp(const nn_model *m, nn_ctx *ctx, size_t layer, const nn_pass *p, size_t rows) {
    const nn_config *c = &m->config;
    const nn_block_slots *b = &m->blocks[layer];
    nn_block_norm(m, ctx, layer, true, p->n2, p->stat2, p->mid, rows);
    m->ops->linear(ctx, p->up, p->n2, nn_value(m, b->up), nn_value(m, b->up_bias), rows, c->width, nn_up_width(c));
    m->ops->act(ctx, c->act, p->act, p->up, rows, c->hidden);
    m->ops->linear(ctx, p->out, p->act, nn_value(m, b->down), nn_value(m, b->down_bias), rows, c->hidden, c->width);
}

const void *nn_final(const nn_model *m, nn_ctx *ctx, void *y, void *stat, const void *x, size_t rows) {
    const nn_config *c = &m->config;
    if (!c->final_norm) return x;
    m->ops->norm(ctx, c->norm, y, stat, x, nn_value(m, m->slots.norm), nn_value(m, m->slots.norm_bias), rows, c->width,
                 c->norm_eps);
    return y;
}

void nn_head(const nn_model *m, nn_ctx *ctx, void *logits, const void *x, size_t rows) {
    m->ops->linear(ctx, logits, x, nn_value(m, m->slots.head), NULL, rows, m->config.width, m->config.vocab);
}

const int32_t *nn_position_ids(const nn_model *m) {
    const nn_batch *b = &m->last;
    if (m->config.positions == NN_POS_LEARNED_INDEX || m->config.positions == NN_POS_ROPE_INDEX) return b->index;
    return b->positions ? b->positions : m->positions;
}

nn_attention nn_attention_of(const nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_batch *b = &m->last;
    nn_attention a = {.batch = b->batch,
                      .q_len = b->len,
                      .kv_len = b->len,
                      .heads = c->heads,
                      .kv_heads = c->kv_heads,
                      .head_dim = nn_head_dim(c),
                      .causal = c->causal && m->fault != NN_FAULT_NOT_CAUSAL,
                      .window = -1};
    if (nn_indexed(c)) {
        a.q_index = a.kv_index = b->index;
        a.window = c->window + (c->window >= 0 && m->fault == NN_FAULT_WINDOW_WIDER);
        a.slope = c->slope;
    }
    if (c->segments) a.q_segment = a.kv_segment = b->segments;
    if (nn_dropping(m)) {
        a.dropout = c->dropout;
        a.seed = dropout_seed(m);
        a.stream = nn_dropout_stream(b->step, pass, NN_DROP_ATTENTION);
    }
    return a;
}

/* --- the passes --- */

static void embed(nn_model *m) {
    const nn_batch *b = &m->last;
    const nn_ops *ops = m->ops;
    size_t rows = rows_of(m), width = m->config.width;
    for (size_t i = 0; i < rows; i++) m->positions[i] = (int32_t)(i % b->len);
    ops->embed(m->ctx, m->x0, b->tokens, nn_value(m, m->slots.token), rows, width, false);
    if (nn_uses_table(&m->config))
        ops->embed(m->ctx, m->x0, nn_position_ids(m), nn_value(m, m->slots.position), rows, width, true);
    if (m->config.kinds && m->fault != NN_FAULT_KINDS_IGNORED)
        ops->embed(m->ctx, m->x0, b->kinds, nn_value(m, m->slots.kind), rows, width, true);
    nn_drop(m, m->x0, 0, NN_DROP_EMBEDDING);
}

static void begin_loop(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_pass *p = &m->passes[pass];
    size_t rows = rows_of(m);
    if (c->inject && pass) m->ops->add(m->ctx, p->base, m->passes[pass - 1].out, m->x0, rows * c->width);
    if (c->normalise_state)
        m->ops->norm(m->ctx, NN_RMSNORM, p->in, p->base_stat, p->base, NULL, NULL, rows, c->width, c->norm_eps);
}

static void block(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_pass *p = &m->passes[pass];
    const nn_block_slots *b = &m->blocks[pass % c->layers];
    size_t rows = rows_of(m), len = m->last.len, qkv = nn_qkv_width(c);
    nn_block_norm(m, m->ctx, pass % c->layers, false, p->n1, p->stat1, p->in, rows);
    ops->linear(m->ctx, p->qkv, p->n1, nn_value(m, b->qkv), nn_value(m, b->qkv_bias), rows, c->width, qkv);
    if (nn_uses_rope(c)) /* keys follow the queries in a row: both are turned as one run of heads */
        ops->rope(m->ctx, c->rope_pairing, p->qkv, nn_position_ids(m), rows, c->heads + c->kv_heads, nn_head_dim(c),
                  qkv, fails_on_cpu(m, NN_FAULT_CPU_ROPE_BASE) ? 9000 : c->rope_base, false);
    const nn_attention a = nn_attention_of(m, pass);
    const nn_heads q = {p->qkv, len, qkv}, k = {nn_at(ops, p->qkv, c->width), len, qkv};
    const nn_heads v = {nn_at(ops, p->qkv, c->width + nn_kv_width(c)), len, qkv}, o = {p->heads, len, c->width};
    ops->attention(m->ctx, &a, o, p->lse, q, k, v);
    ops->linear(m->ctx, p->mid, p->heads, nn_value(m, b->proj), nn_value(m, b->proj_bias), rows, c->width, c->width);
    nn_drop(m, p->mid, pass, NN_DROP_PROJ);
    ops->add(m->ctx, p->mid, p->mid, p->in, rows * c->width);
    nn_mlp(m, m->ctx, pass % c->layers, p, rows);
    nn_drop(m, p->out, pass, NN_DROP_MLP);
    ops->add(m->ctx, p->out, p->out, p->mid, rows * c->width);
}

//> passes
static bool run_passes(nn_model *m, const nn_batch *batch, spak_error *err) {
    if (!check_batch(m, batch, err)) return false;
    m->last = *batch;
    m->loops = batch->loops ? batch->loops : m->config.loops;
    embed(m);
    for (size_t i = 0; i < m->loops * m->config.layers; i++) {
        if (i % m->config.layers == 0) begin_loop(m, i);
        block(m, i);
    }
    return true;
}
//< passes

/* --- the head --- */

bool nn_supervised(const nn_model *m, size_t loop) {
    return loop + 1 == m->loops || (m->config.supervision == NN_LOSS_SECOND_HALF && loop >= m->loops / 2);
}

static void *state_after(const nn_model *m, size_t loop) { return m->passes[(loop + 1) * m->config.layers - 1].out; }

double nn_head_loss(nn_model *m, size_t loop, void *dx, float weight) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    size_t rows = rows_of(m), width = c->width;
    float smoothing = m->last.training ? c->label_smoothing : 0;
    const void *x = nn_final(m, m->ctx, m->final, m->final_stat, state_after(m, loop), rows);
    void *df = c->final_norm ? m->dwidth : dx;
    for (size_t from = 0; from < rows; from += m->chunk) {
        size_t n = rows - from < m->chunk ? rows - from : m->chunk;
        const void *xc = nn_at(ops, x, from * width);
        nn_head(m, m->ctx, m->logits, xc, n);
        ops->cross_entropy(m->ctx, nn_at(ops, m->row_numbers, from), dx ? m->logits : NULL, m->logits,
                           m->last.targets + from, n, c->vocab, smoothing, weight);
        if (dx)
            ops->linear_backward(m->ctx, nn_at(ops, df, from * width), !c->final_norm, nn_grad(m, m->slots.head), NULL,
                                 m->logits, xc, nn_value(m, m->slots.head), n, width, c->vocab);
    }
    if (dx && c->final_norm)
        ops->norm_backward(m->ctx, c->norm, dx, nn_grad(m, m->slots.norm), nn_grad(m, m->slots.norm_bias), df,
                           state_after(m, loop), m->final_stat, nn_value(m, m->slots.norm), rows, width);
    return ops->sum(m->ctx, m->row_numbers, rows);
}

/* Rows with a target, times supervised loops. */
static bool count_losses(const nn_model *m, double *count, spak_error *err) {
    size_t rows = 0, loops = 0;
    for (size_t i = 0; i < rows_of(m); i++) rows += m->last.targets[i] >= 0;
    for (size_t i = 0; i < m->loops; i++) loops += nn_supervised(m, i);
    *count = (double)rows * (double)loops;
    return rows || spak_fail(err, "no place of the batch has a target: there is no loss");
}

bool nn_forward(nn_model *m, const nn_batch *batch, double *loss, spak_error *err) {
    double sum = 0, count;
    if (loss) *loss = 0;
    if (!run_passes(m, batch, err)) return false;
    if (!loss || !batch->targets) return true;
    if (!count_losses(m, &count, err)) return false;
    for (size_t i = 0; i < m->loops; i++)
        if (nn_supervised(m, i)) sum += nn_head_loss(m, i, NULL, 0);
    *loss = sum / count;
    return true;
}

bool nn_forward_backward(nn_model *m, const nn_batch *batch, double scale, double *loss, spak_error *err) {
    double count;
    if (!m->training) return spak_fail(err, "this model was made without gradients");
    if (!batch->targets) return spak_fail(err, "a batch without targets has no gradient");
    if (!run_passes(m, batch, err) || !count_losses(m, &count, err)) return false;
    double sum = nn_backward(m, (float)(scale / count));
    if (loss) *loss = sum / count;
    return true;
}

/* --- looking at the last pass --- */

void nn_logits(const nn_model *m, size_t row, size_t rows, double *logits) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    for (size_t from = 0; from < rows; from += m->chunk) {
        size_t n = rows - from < m->chunk ? rows - from : m->chunk;
        const void *state = nn_at(ops, state_after(m, m->loops - 1), (row + from) * c->width);
        nn_head(m, m->ctx, m->logits, nn_final(m, m->ctx, m->final, m->final_stat, state, n), n);
        ops->get(m->ctx, logits + from * c->vocab, m->logits, n * c->vocab);
    }
}

void nn_predictions(nn_model *m, size_t loop, int32_t *best, float *confidence) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    size_t rows = rows_of(m);
    const void *x = nn_final(m, m->ctx, m->final, m->final_stat, state_after(m, (loop ? loop : m->loops) - 1), rows);
    for (size_t from = 0; from < rows; from += m->chunk) {
        size_t n = rows - from < m->chunk ? rows - from : m->chunk;
        nn_head(m, m->ctx, m->logits, nn_at(ops, x, from * c->width), n);
        ops->argmax(m->ctx, best + from, confidence ? nn_at(ops, m->row_numbers, from) : NULL, m->logits, n, c->vocab);
    }
    if (confidence) ops->get_f32(m->ctx, confidence, m->row_numbers, rows);
}

void nn_hidden(const nn_model *m, size_t block, double *hidden) {
    m->ops->get(m->ctx, hidden, block ? m->passes[block - 1].out : m->x0, rows_of(m) * m->config.width);
}
