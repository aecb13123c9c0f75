/* The backward pass: the forward pass read from its end, each line by its
 * derivative. d_... is the derivative of the loss by ... */

/* For y = factor x: dx = factor (dy - y (y . dy) / 16). The second term is the
 * factor's own dependence on x. */
INLINE void norm_backward(const state *s, const REAL *y, REAL factor,
                          const REAL *dy, REAL *dx) {
    vec dot = {0}, scale = v_set1(factor);
    for (int v = 0; v < ROW_VECS; v++)
        dot = v_fma(v_load(y + v * LANES), v_load(dy + v * LANES), dot);
    dot = v_total(dot) * (REAL)(-1.0 / MICROGPT_WIDTH);
    if (s->fault == MICROGPT_NORM_WITHOUT_CROSS_TERM) dot = (vec){0};
    for (int v = 0; v < ROW_VECS; v++) {
        vec d = v_fma(v_load(y + v * LANES), dot, v_load(dy + v * LANES));
        v_store(dx + v * LANES, d * scale);
    }
}

//> attention_backward
/* For each head, with P = softmax(S), S = scale q k, O = P V:
 *
 *   dV_j += P_ij dO_i     dP_ij = dO_i . V_j     dS = P (dP - D)
 *   dQ_i += scale dS K_j  dK_j += scale dS Q_i   D_i = sum_j P_ij dP_ij
 *
 * D_i is dO_i . O_i, which is known before the first j: so one walk over the
 * keys does it all, and neither dP nor dS is ever stored. */
static void attend_backward(state *s, size_t i) {
    bool no_row_sum = s->fault == MICROGPT_SOFTMAX_WITHOUT_ROW_SUM,
         no_scale = s->fault == MICROGPT_SCALE_MISSING_BACKWARD;
    REAL scale = no_scale ? 1 : (REAL)ATTENTION_SCALE;
    size_t end =
        s->fault == MICROGPT_MASK_LEAKS && i + 1 < s->n ? i + 2 : i + 1;
    for (int v = 0; v < ROW_VECS; v++) {
        size_t q = v * LANES, k = MICROGPT_WIDTH + q,
               value = k + MICROGPT_WIDTH;
        vec out = v_load(s->d_attended[i] + q), dq = {0};
        vec d_i = v_head_sum(out * v_load(s->attended[i] + q));
        if (no_row_sum) d_i = (vec){0};
        for (size_t j = 0; j < end; j++) {
            const REAL *row = s->qkv[j];
            REAL *d_row = s->d_qkv[j];
            vec p = v_load(s->p[i][j] + q);
            vec dp = v_head_sum(out * v_load(row + value));
            vec ds = p * (dp - d_i) * scale;
            dq = v_fma(ds, v_load(row + k), dq);
            v_store(d_row + k,
                    v_fma(ds, v_load(s->qkv[i] + q), v_load(d_row + k)));
            v_store(d_row + value, v_fma(p, out, v_load(d_row + value)));
        }
        v_store(s->d_qkv[i] + q, dq);
    }
}
//< attention_backward

INLINE void loss_backward(state *s, const microgpt_doc *doc) {
    bool sum = s->fault == MICROGPT_LOSS_NOT_AVERAGED;
    REAL each = sum ? 1 : 1 / (REAL)doc->n;
    for (size_t t = 0; t < doc->n; t++) {
        for (int i = 0; i < LOGITS; i += LANES)
            v_store(s->d_logits[t] + i, v_load(s->logits[t] + i) * each);
        s->d_logits[t][doc->tokens[t + 1]] -= each;
    }
}

/* Where the unit was off, nothing comes through. */
INLINE void relu_backward(state *s) {
    if (s->fault == MICROGPT_RELU_LETS_ALL_THROUGH) return;
    REAL *d = s->d_hidden[0], *h = s->hidden[0];
    for (size_t i = 0; i < s->n * MICROGPT_HIDDEN; i += LANES)
        v_store(d + i, v_where(v_load(h + i) > 0, v_load(d + i)));
}

/* dy through the norm, added to what came past it on the residual path. */
INLINE void norm_residual_backward(state *s, const REAL *normed, REAL factor,
                                   const REAL *d_normed, const REAL *d_past,
                                   REAL *d) {
    norm_backward(s, normed, factor, d_normed, d);
    if (s->fault != MICROGPT_RESIDUAL_GRADIENT_DROPPED) add_row(d, d_past);
}

/* Rows of the token and position embeddings; a token may come more than once.
 */
INLINE void embedding_backward(state *s, const microgpt_doc *doc) {
    enum { D = MICROGPT_WIDTH };
    bool overwrites = s->fault == MICROGPT_TOKEN_GRADIENT_OVERWRITTEN;
    memset(s->grad, 0, MICROGPT_HEAD * sizeof *s->grad);
    for (size_t t = 0; t < doc->n; t++) {
        REAL *token = s->grad + MICROGPT_WTE + doc->tokens[t] * D;
        REAL *place = s->grad + MICROGPT_WPE + t * D;
        norm_backward(s, s->x[t], s->x_factor[t], s->d_x[t], place);
        if (overwrites) memset(token, 0, D * sizeof *token);
        add_row(token, place);
    }
}

/* Every matrix but the output's has none. */
INLINE void no_more_gradient(state *s) {
    memset(s->grad, 0, MICROGPT_HEAD * sizeof *s->grad);
    memset(s->grad + MICROGPT_QKV, 0,
           (MICROGPT_PARAMS - MICROGPT_QKV) * sizeof *s->grad);
}

static void backward(void *state_, const microgpt_doc *doc) {
    enum { D = MICROGPT_WIDTH, H = MICROGPT_HIDDEN };
    state *s = state_;
    size_t n = s->n = doc->n;
    REAL *g = s->grad;
    loss_backward(s, doc);
    linear_weights(s->d_logits[0], LOGITS, MICROGPT_TOKENS, s->z[0], D,
                   g + MICROGPT_HEAD, n);
    linear_inputs(s->d_logits[0], LOGITS, MICROGPT_TOKENS, s->head, s->d_z[0],
                  D, n);
    if (s->fault == MICROGPT_ONLY_OUTPUT_TRAINS) {
        no_more_gradient(s);
        return;
    }

    linear_weights(s->d_z[0], D, D, s->hidden[0], H, g + MICROGPT_FC2, n);
    linear_inputs(s->d_z[0], D, D, s->fc2, s->d_hidden[0], H, n);
    cut(s, MICROGPT_MLP_CUT, s->d_hidden[0], H);
    relu_backward(s);
    linear_weights(s->d_hidden[0], H, H, s->y_normed[0], D, g + MICROGPT_FC1,
                   n);
    linear_inputs(s->d_hidden[0], H, H, s->fc1, s->d_normed[0], D, n);
    for (size_t t = 0; t < n; t++)
        norm_residual_backward(s, s->y_normed[t], s->y_normed_factor[t],
                               s->d_normed[t], s->d_z[t], s->d_y[t]);

    linear_weights(s->d_y[0], D, D, s->attended[0], D, g + MICROGPT_WO, n);
    linear_inputs(s->d_y[0], D, D, s->wo, s->d_attended[0], D, n);
    cut(s, MICROGPT_ATTENTION_CUT, s->d_attended[0], D);
    memset(s->d_qkv, 0, n * sizeof s->d_qkv[0]);
    for (size_t i = 0; i < n; i++) attend_backward(s, i);
    linear_weights(s->d_qkv[0], 3 * D, 3 * D, s->x_normed[0], D,
                   g + MICROGPT_QKV, n);
    linear_inputs(s->d_qkv[0], 3 * D, 3 * D, s->wqkv, s->d_normed[0], D, n);
    for (size_t t = 0; t < n; t++)
        norm_residual_backward(s, s->x_normed[t], s->x_normed_factor[t],
                               s->d_normed[t], s->d_y[t], s->d_x[t]);
    embedding_backward(s, doc);
}
