/* The backward pass: the forward one, mirrored.
 *
 * dx is the gradient of the residual stream. It walks from the last loop's state down to the embedding; each block adds
 * to it what flows through its two branches, and at each supervised loop the head adds its own, right there, so that
 * one chunk of logits is enough for any number of loops. Gradients of parameters add up over passes: a loop needs
 * nothing of its own. Dropout masks are not kept: the same stream draws them again. */
#include "nn/model.h"

static size_t rows_of(const nn_model *m) { return m->last.batch * m->last.len; }

/* The gradient of a branch's output: dx itself, or where there is dropout a copy with the same mask. */
static const void *into_branch(nn_model *m, size_t pass, nn_site site) {
    if (!nn_dropping(m)) return m->dx;
    m->ops->copy(m->ctx, m->dwidth, m->dx, rows_of(m) * m->config.width);
    nn_drop(m, m->dwidth, pass, site);
    return m->dwidth;
}

/* dx: of out, then of mid. */
static void mlp_backward(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_pass *p = &m->passes[pass];
    const nn_block_slots *b = &m->blocks[pass % c->layers];
    size_t rows = rows_of(m);
    ops->linear_backward(m->ctx, m->dact, false, nn_grad(m, b->down), nn_grad(m, b->down_bias),
                         into_branch(m, pass, NN_DROP_MLP), p->act, nn_value(m, b->down), rows, c->hidden, c->width);
    ops->act_backward(m->ctx, c->act, m->dup, m->dact, p->up, rows, c->hidden);
    ops->linear_backward(m->ctx, m->dwidth, false, nn_grad(m, b->up), nn_grad(m, b->up_bias), m->dup, p->n2,
                         nn_value(m, b->up), rows, c->width, nn_up_width(c));
    ops->norm_backward(m->ctx, c->norm, m->dx, nn_grad(m, b->norm2), nn_grad(m, b->norm2_bias), m->dwidth, p->mid,
                       p->stat2, nn_value(m, b->norm2), rows, c->width);
}

static void heads_backward(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_pass *p = &m->passes[pass];
    size_t len = m->last.len, qkv = nn_qkv_width(c), k_at = c->width, v_at = c->width + nn_kv_width(c);
    const nn_heads q = {p->qkv, len, qkv}, k = {nn_at(ops, p->qkv, k_at), len, qkv};
    const nn_heads v = {nn_at(ops, p->qkv, v_at), len, qkv}, o = {p->heads, len, c->width};
    const nn_heads dq = {m->dqkv, len, qkv}, dk = {nn_at(ops, m->dqkv, k_at), len, qkv};
    const nn_heads dv = {nn_at(ops, m->dqkv, v_at), len, qkv}, d_o = {m->dheads, len, c->width};
    const nn_attention a = nn_attention_of(m, pass);
    ops->attention_backward(m->ctx, &a, dq, dk, dv, d_o, q, k, v, o, p->lse);
    if (nn_uses_rope(c) && m->fault != NN_FAULT_ROPE_NOT_TURNED_BACK)
        ops->rope(m->ctx, c->rope_pairing, m->dqkv, nn_position_ids(m), rows_of(m), c->heads + c->kv_heads,
                  nn_head_dim(c), qkv, c->rope_base, true);
}

/* dx: of mid, then of in. */
static void attention_backward(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_pass *p = &m->passes[pass];
    const nn_block_slots *b = &m->blocks[pass % c->layers];
    size_t rows = rows_of(m);
    ops->linear_backward(m->ctx, m->dheads, false, nn_grad(m, b->proj), nn_grad(m, b->proj_bias),
                         into_branch(m, pass, NN_DROP_PROJ), p->heads, nn_value(m, b->proj), rows, c->width, c->width);
    heads_backward(m, pass);
    ops->linear_backward(m->ctx, m->dwidth, false, nn_grad(m, b->qkv), nn_grad(m, b->qkv_bias), m->dqkv, p->n1,
                         nn_value(m, b->qkv), rows, c->width, nn_qkv_width(c));
    ops->norm_backward(m->ctx, c->norm, m->dx, nn_grad(m, b->norm1), nn_grad(m, b->norm1_bias), m->dwidth, p->in,
                       p->stat1, nn_value(m, b->norm1), rows, c->width);
}

/* dx: of the first block's input, then of the state before the loop. */
static void begin_loop_backward(nn_model *m, size_t pass) {
    const nn_config *c = &m->config;
    const nn_pass *p = &m->passes[pass];
    size_t n = rows_of(m) * c->width;
    if (c->normalise_state) {
        void *dy = m->dx;
        m->dx = m->dwidth;
        m->dwidth = dy;
        m->ops->zero(m->ctx, m->dx, n);
        m->ops->norm_backward(m->ctx, NN_RMSNORM, m->dx, NULL, NULL, dy, p->base, p->base_stat, NULL, rows_of(m),
                              c->width);
    }
    if (c->inject && !(pass && m->fault == NN_FAULT_INJECTION_NOT_LEARNED))
        m->ops->add(m->ctx, pass ? m->dx0 : m->dx, m->dx0, m->dx, n);
}

static void embed_backward(nn_model *m) {
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_batch *b = &m->last;
    size_t rows = rows_of(m);
    nn_drop(m, m->dx, 0, NN_DROP_EMBEDDING);
    ops->embed_backward(m->ctx, nn_grad(m, m->slots.token), b->tokens, m->dx, rows, c->width, c->vocab);
    if (nn_uses_table(c))
        ops->embed_backward(m->ctx, nn_grad(m, m->slots.position), nn_position_ids(m), m->dx, rows, c->width,
                            c->context);
    if (c->kinds) ops->embed_backward(m->ctx, nn_grad(m, m->slots.kind), b->kinds, m->dx, rows, c->width, c->kinds);
}

double nn_backward(nn_model *m, float weight) {
    const nn_config *c = &m->config;
    double sum = 0;
    m->ops->zero(m->ctx, m->dx, rows_of(m) * c->width);
    if (c->inject) m->ops->zero(m->ctx, m->dx0, rows_of(m) * c->width);
    for (size_t loop = m->loops; loop-- > 0;) {
        if (nn_supervised(m, loop) && !(loop + 1 < m->loops && m->fault == NN_FAULT_LAST_LOSS_ALONE))
            sum += nn_head_loss(m, loop, m->dx, weight);
        for (size_t layer = c->layers; layer-- > 0;) {
            mlp_backward(m, loop * c->layers + layer);
            attention_backward(m, loop * c->layers + layer);
        }
        begin_loop_backward(m, loop * c->layers);
        if (m->fault == NN_FAULT_LAST_LOOP_LEARNS) break; /* as where the state is cut off from its past */
    }
    embed_backward(m);
    return sum;
}

void nn_zero_gradients(nn_model *m) {
    if (m->grads && m->fault != NN_FAULT_GRADIENTS_PILE_UP) m->ops->zero(m->ctx, m->grads, m->numbers);
}
