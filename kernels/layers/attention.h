/* One head of attention with any mask, for short sequences and for a cache:
 *
 *   P = softmax(scale Q K^T - slope |index apart|),  O = (P o D) V
 *
 * with D the dropout mask over its rate, and back, with dP = (dO V^T) o D,
 *
 *   dS = P o (dP - delta) scale,  delta_i = dO_i . O_i
 *   dQ = dS K     dK += dS^T Q     dV += (P o D)^T dO
 *
 * LAYERS_QUERIES rows of S stand in the cache at a time, over all keys that
 * they see: there is no online softmax, since no row is too long for the second
 * level. K (and V on the way back) is turned over once a head, so that S has
 * keys in the lanes; all else is read where it lies. All five products go
 * through product.h. One or two queries against a cache are not worth turning K
 * over: their scores are dot products.
 *
 * The full rows of S make masks cheap: a row gets its bias, or minus infinity,
 * before its maximum is taken, whatever the rule. A row that sees nothing has
 * maximum -inf, and is set to zeros by itself. */
enum { FEW_QUERIES = 3 };

/* Scratch memory of a head: layers_attention_floats. ld = padded keys. */
typedef struct head_memory {
    size_t ld;
    float *k_t, *v_t; /* (head_dim, ld) */
    float *s, *dp;    /* (LAYERS_QUERIES, ld) */
    float *keep;      /* (ld): a row of the dropout mask */
} head_memory;

INLINE head_memory head_lay_out(const layers_head *h, float *scratch) {
    size_t ld = layers_padded(h->kv_len), block = LAYERS_QUERIES * ld;
    float *k_t = scratch, *v_t = k_t + ld * h->head_dim,
          *s = v_t + ld * h->head_dim;
    return (head_memory){ld, k_t, v_t, s, s + block, s + 2 * block};
}

/* How many keys query t sees at most: they are the first ones. */
INLINE size_t head_visible(const layers_head *h, size_t t) {
    if (!h->causal) return h->kv_len;
    return t + 1 + h->kv_len > h->q_len ? t + 1 + h->kv_len - h->q_len : 0;
}

INLINE float head_scale(const layers_head *h) {
    return (float)(1 / sqrt((double)h->head_dim));
}

/* to (head_dim, ld) = the first n rows of x, turned over; zeros up to whole
 * vectors. */
static void turn_over(float *to, size_t ld, layers_in x, size_t n,
                      size_t head_dim) {
    size_t padded = (n + LANES - 1) / LANES * LANES, j = 0;
    for (; j < n; j += LANES) {
        size_t count = n - j < LANES ? n - j : LANES;
        const float *from = x.data + j * x.stride;
        size_t d = 0;
        for (; d + 4 <= head_dim && count % 4 == 0; d += 4)
            for (size_t l = 0; l < count; l += 4)
                pack_4x4(to + d * ld + j + l, ld, from + l * x.stride + d,
                         x.stride);
        for (; d < head_dim; d++)
            for (size_t l = 0; l < count; l++)
                to[d * ld + j + l] = from[l * x.stride + d];
    }
    for (size_t d = 0; d < head_dim; d++)
        for (size_t l = n; l < padded; l++) to[d * ld + l] = 0;
}

/* --- the score of a row --- */

/* Scores of lanes j..: scaled, with their bias, minus infinity where the key is
 * not seen. */
INLINE vec score_lanes(const layers_head *h, size_t t, vec s, size_t j,
                       size_t n, vec scale) {
    ivec seen = i_first(n);
    s *= scale;
    if (h->q_index) {
        ivec apart = i_load(h->kv_index + j, n) - i_set1(h->q_index[t]);
        ivec sign = apart >> 31;
        apart = (apart ^ sign) - sign;
        if (h->window >= 0) seen &= apart <= i_set1(h->window);
        s -= v_set1(h->slope) * __builtin_convertvector(apart, vec);
    }
    if (h->q_segment) {
        ivec segment = i_load(h->kv_segment + j, n);
        seen &= (segment == i_set1(h->q_segment[t])) & (segment >= 0);
    }
    return v_select(seen, s, v_set1(-INFINITY));
}

/* s[0 .. visible) in place; returns the largest. What follows up to n is -inf,
 * n in whole vectors. */
INLINE float score_row(const layers_head *h, size_t t, float *s, size_t n) {
    size_t visible = head_visible(h, t), j = 0;
    vec scale = v_set1(head_scale(h)), most = v_set1(-INFINITY);
    if (visible > n) visible = n;
    const bool plain = !h->q_index && !h->q_segment;
    for (; plain && j + LANES <= visible; j += LANES) {
        vec x = v_load(s + j, LANES) * scale;
        most = v_max(most, x);
        v_store(s + j, x, LANES);
    }
    for (; j < visible; j += LANES) {
        size_t left = visible - j < LANES ? visible - j : LANES;
        vec x = left == LANES
                    ? score_lanes(h, t, v_load(s + j, LANES), j, LANES, scale)
                    : score_lanes(h, t, v_load(s + j, LANES), j, left, scale);
        most = v_max(most, x);
        v_store(s + j, x, LANES);
    }
    for (; j < n; j += LANES) v_store(s + j, v_set1(-INFINITY), LANES);
    return v_greatest(most)[0];
}

/* s = e^(s - shift) over n, whole vectors; returns the sum. */
INLINE float exp_scores(float *s, size_t n, float shift) {
    vec sum[2] = {{0}}, m = v_set1(shift);
    size_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        UNROLL for (int c = 0; c < 2; c++) {
            float *at = s + j + c * LANES;
            vec e = v_exp(v_load(at, LANES) - m);
            sum[c] += e;
            v_store(at, e, LANES);
        }
    if (j < n) {
        vec e = v_exp(v_load(s + j, LANES) - m);
        sum[0] += e;
        v_store(s + j, e, LANES);
    }
    return v_total(sum[0] + sum[1])[0];
}

/* Row t of the dropout mask over its rate, keys 0 .. n - 1. */
INLINE void keep_row(const layers_head *h, size_t t, float *keep, size_t n) {
    for (size_t j = 0; j < n; j++) keep[j] = 1;
    dropout(keep, n, h->dropout, h->seed, h->stream,
            h->first + (uint64_t)t * h->kv_len);
}

/* --- forward --- */

/* S of the queries t .. t + rows - 1 and the first n keys. */
static void block_scores(const layers_head *h, const head_memory *m,
                         layers_in q, layers_in k, size_t t, size_t rows,
                         size_t n, bool few) {
    const float *from = q.data + t * q.stride;
    size_t whole = (n + LANES - 1) / LANES * LANES;
    if (few)
        dots(&(layers_dots){rows, n, h->head_dim, from, q.stride, k.data,
                            k.stride, NULL, m->s, m->ld});
    else
        product(&(layers_product){rows, whole, h->head_dim, from, q.stride, 1,
                                  m->k_t, m->ld, m->s, m->ld, false});
}

static void scale_row(float *x, size_t n, float by) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(x + i, v_load(x + i, LANES) * by, LANES);
    for (; i < n; i++) x[i] *= by;
}

static void attend(const layers_head *h, layers_out o, float *lse, layers_in q,
                   layers_in k, layers_in v, float *scratch) {
    const head_memory m = head_lay_out(h, scratch);
    const bool few = h->q_len <= FEW_QUERIES;
    float by[LAYERS_QUERIES];
    if (!few) turn_over(m.k_t, m.ld, k, h->kv_len, h->head_dim);
    for (size_t t = 0; t < h->q_len; t += LAYERS_QUERIES) {
        size_t rows =
            h->q_len - t < LAYERS_QUERIES ? h->q_len - t : LAYERS_QUERIES;
        size_t n = head_visible(h, t + rows - 1),
               whole = (n + LANES - 1) / LANES * LANES;
        block_scores(h, &m, q, k, t, rows, n, few);
        for (size_t r = 0; r < rows; r++) {
            float *s = m.s + r * m.ld, most = score_row(h, t + r, s, whole);
            if (most == -INFINITY) {
                memset(s, 0, whole * sizeof *s);
                lse[t + r] = -INFINITY;
                by[r] = 0;
                continue;
            }
            float sum = exp_scores(s, whole, most);
            lse[t + r] = (float)((double)most + log((double)sum));
            by[r] = 1 / sum;
            if (h->dropout > 0)
                dropout(s, n, h->dropout, h->seed, h->stream,
                        h->first + (uint64_t)(t + r) * h->kv_len);
        }
        product(&(layers_product){rows, h->head_dim, n, m.s, m.ld, 1, v.data,
                                  v.stride, o.data + t * o.stride, o.stride,
                                  false});
        for (size_t r = 0; r < rows; r++)
            scale_row(o.data + (t + r) * o.stride, h->head_dim, by[r]);
    }
}

/* --- backward --- */

static float dot_row(const float *a, const float *b, size_t n) {
    float c;
    dots(&(layers_dots){1, 1, n, a, n, b, n, NULL, &c, 1});
    return c;
}

/* P and dP of one row to (P o D) and dS; keys 0 .. n - 1, in whole vectors. */
INLINE void score_gradient(float *p, float *dp, const float *keep, size_t n,
                           float delta, float scale) {
    for (size_t j = 0; j < n; j += LANES) {
        vec w = v_load(p + j, LANES), g = v_load(dp + j, LANES);
        if (keep) {
            vec d = v_load(keep + j, LANES);
            g *= d;
            v_store(p + j, w * d, LANES);
        }
        v_store(dp + j, w * (g - delta) * scale, LANES);
    }
}

/* The rows t .. t + rows - 1: m->s holds S and m->dp holds dO V^T. */
static void block_gradients(const layers_head *h, const head_memory *m,
                            layers_in d_o, layers_in o, const float *lse,
                            size_t t, size_t rows, size_t n) {
    const float scale = head_scale(h);
    size_t whole = (n + LANES - 1) / LANES * LANES;
    for (size_t r = 0; r < rows; r++) {
        float *s = m->s + r * m->ld, *dp = m->dp + r * m->ld;
        size_t i = t + r;
        if (lse[i] == -INFINITY) {
            memset(s, 0, whole * sizeof *s);
            memset(dp, 0, whole * sizeof *dp);
            continue;
        }
        score_row(h, i, s, whole);
        exp_scores(s, whole, lse[i]);
        if (h->dropout > 0) keep_row(h, i, m->keep, whole);
        float delta = dot_row(d_o.data + i * d_o.stride, o.data + i * o.stride,
                              h->head_dim);
        if (h->dropout > 0)
            score_gradient(s, dp, m->keep, whole, delta, scale);
        else
            score_gradient(s, dp, NULL, whole, delta, scale);
    }
}

static void attend_backward(const layers_head *h, layers_out dq, layers_out dk,
                            layers_out dv, layers_in d_o, layers_in q,
                            layers_in k, layers_in v, layers_in o,
                            const float *lse, float *scratch) {
    const head_memory m = head_lay_out(h, scratch);
    const size_t dim = h->head_dim;
    turn_over(m.k_t, m.ld, k, h->kv_len, dim);
    turn_over(m.v_t, m.ld, v, h->kv_len, dim);
    for (size_t t = 0; t < h->q_len; t += LAYERS_QUERIES) {
        size_t rows =
            h->q_len - t < LAYERS_QUERIES ? h->q_len - t : LAYERS_QUERIES;
        size_t n = head_visible(h, t + rows - 1),
               whole = (n + LANES - 1) / LANES * LANES;
        const float *q_t = q.data + t * q.stride,
                    *do_t = d_o.data + t * d_o.stride;
        block_scores(h, &m, q, k, t, rows, n, false);
        product(&(layers_product){rows, whole, dim, do_t, d_o.stride, 1, m.v_t,
                                  m.ld, m.dp, m.ld, false});
        block_gradients(h, &m, d_o, o, lse, t, rows, n);
        product(&(layers_product){rows, dim, n, m.dp, m.ld, 1, k.data, k.stride,
                                  dq.data + t * dq.stride, dq.stride, false});
        product(&(layers_product){n, dim, rows, m.dp, 1, m.ld, q_t, q.stride,
                                  dk.data, dk.stride, true});
        product(&(layers_product){n, dim, rows, m.s, 1, m.ld, do_t, d_o.stride,
                                  dv.data, dv.stride, true});
    }
}
