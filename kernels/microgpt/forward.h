/* The forward pass: rows of 16 numbers, one a position, from a name's tokens to
 * its logits and its loss. */

/* y = x / sqrt(mean of x^2 + eps); the factor is kept for the way back. */
INLINE void norm(const REAL *x, REAL *y, REAL *factor) {
    vec squares = (vec){0};
    for (int v = 0; v < ROW_VECS; v++) {
        vec part = v_load(x + v * LANES);
        squares = v_fma(part, part, squares);
    }
    vec mean = v_total(squares) * (REAL)(1.0 / MICROGPT_WIDTH);
    vec scale = 1 / v_sqrt(mean + (REAL)MICROGPT_NORM_EPS);
    *factor = scale[0];
    for (int v = 0; v < ROW_VECS; v++)
        v_store(y + v * LANES, v_load(x + v * LANES) * scale);
}

INLINE void add_row(REAL *x, const REAL *y) {
    for (int v = 0; v < ROW_VECS; v++)
        v_store(x + v * LANES, v_load(x + v * LANES) + v_load(y + v * LANES));
}

/* Position i looks at positions from .. to - 1. A row of q, k and v holds the
 * four heads side by side, four lanes each, so all heads are done at once: the
 * product of q and k, lane by lane, summed over the lanes of a head, is in each
 * lane the score of its head. P, kept for the way back, stays in that form. */
static void attend(state *s, size_t i, size_t from, size_t to) {
    const REAL *q = s->qkv[i];
    for (int v = 0; v < ROW_VECS; v++) {
        vec most = v_set1(-INFINITY), sum = {0}, out = {0};
        for (size_t j = from; j < to; j++) {
            const REAL *k = s->qkv[j] + MICROGPT_WIDTH;
            vec both = v_load(q + v * LANES) * v_load(k + v * LANES);
            vec score = v_head_sum(both) * (REAL)ATTENTION_SCALE;
            v_store(s->p[i][j] + v * LANES, score);
            most = v_max(most, score);
        }
        for (size_t j = from; j < to; j++) {
            vec e = v_load(s->p[i][j] + v * LANES) - most;
            e = v_exp_heads(e, s->fault);
            v_store(s->p[i][j] + v * LANES, e);
            sum += e;
        }
        vec share = 1 / sum;
        for (size_t j = from; j < to; j++) {
            const REAL *value = s->qkv[j] + 2 * MICROGPT_WIDTH;
            vec p = v_load(s->p[i][j] + v * LANES) * share;
            v_store(s->p[i][j] + v * LANES, p);
            out = v_fma(p, v_load(value + v * LANES), out);
        }
        v_store(s->attended[i] + v * LANES, out);
    }
}

/* Which positions does i see? Itself and those before. */
INLINE void attend_rows(state *s, size_t first, size_t count) {
    bool leaks = s->fault == MICROGPT_MASK_LEAKS,
         forgets = s->fault == MICROGPT_CACHE_FORGETS_FIRST && first > 0;
    for (size_t i = first; i < first + count; i++)
        attend(s, i, forgets, leaks && i + 1 < first + count ? i + 2 : i + 1);
}

INLINE void relu(REAL *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        vec h = v_load(x + i);
        v_store(x + i, v_where(h > 0, h));
    }
}

//> forward
/* Positions first to first + count - 1; the keys and values of those before
 * must stand. So this is the forward pass of training (from 0, all of them),
 * of inference with a cache (from t, one) and without (from 0, t + 1). */
static void forward_rows(state *s, const int *tokens, size_t first,
                         size_t count) {
    enum { D = MICROGPT_WIDTH, HIDDEN = MICROGPT_HIDDEN };
    size_t end = first + count;
    for (size_t t = first; t < end; t++) {
        memcpy(s->embedded[t], s->wte + tokens[t] * D, sizeof s->embedded[t]);
        add_row(s->embedded[t], s->wpe + t * D);
        norm(s->embedded[t], s->x[t], &s->x_factor[t]);
        norm(s->x[t], s->x_normed[t], &s->x_normed_factor[t]);
    }
    linear(s->x_normed[first], D, s->qkv_t, s->qkv[first], 3 * D, count);
    attend_rows(s, first, count);
    linear(s->attended[first], D, s->wo_t, s->y[first], D, count);
    for (size_t t = first; t < end; t++) {
        add_row(s->y[t], s->x[t]);
        norm(s->y[t], s->y_normed[t], &s->y_normed_factor[t]);
    }
    linear(s->y_normed[first], D, s->fc1_t, s->hidden[first], HIDDEN, count);
    relu(s->hidden[first], HIDDEN * count);
    linear(s->hidden[first], HIDDEN, s->fc2_t, s->z[first], D, count);
    for (size_t t = first; t < end; t++) add_row(s->z[t], s->y[t]);
    linear(s->z[first], D, s->head_t, s->logits[first], LOGITS, count);
}
//< forward

/* Adding this takes the columns beyond the 27 tokens out of a softmax. */
static const REAL beyond[LOGITS] __attribute__((aligned(64))) = {
    [27] = -1e30f, [28] = -1e30f, [29] = -1e30f, [30] = -1e30f, [31] = -1e30f};

/* Logits to probabilities, in place. */
INLINE void softmax_row(state *s, REAL *x) {
    vec most = v_set1(-INFINITY), sum = {0};
    for (int i = 0; i < LOGITS; i += LANES) {
        vec part = v_load(x + i) + v_load(beyond + i);
        v_store(x + i, part);
        most = v_max(most, part);
    }
    most = v_greatest(most);
    for (int i = 0; i < LOGITS; i += LANES) {
        vec e = v_exp(v_load(x + i) - most, s->fault);
        v_store(x + i, e);
        sum += e;
    }
    vec share = 1 / v_total(sum);
    for (int i = 0; i < LOGITS; i += LANES)
        v_store(x + i, v_load(x + i) * share);
}

static double forward(void *state_, const microgpt_doc *doc) {
    state *s = state_;
    double sum = 0;
    forward_rows(s, doc->tokens, 0, doc->n);
    for (size_t t = 0; t < doc->n; t++) {
        softmax_row(s, s->logits[t]);
        sum -= log((double)s->logits[t][doc->tokens[t + 1]]);
    }
    return 1 / (double)doc->n * sum;
}

static void logits(void *state_, const int *tokens, size_t first, size_t count,
                   double *out) {
    state *s = state_;
    forward_rows(s, tokens, first, count);
    for (int i = 0; i < MICROGPT_TOKENS; i++)
        out[i] = (double)s->logits[first + count - 1][i];
}
