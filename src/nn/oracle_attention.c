/* Attention and rotary positions, in double precision, one row at a time.
 *
 * For query t of a head, over the keys s that it sees:
 *
 *     score_s = q . k_s / sqrt(head_dim) - slope |index apart|      p_s = exp(score_s - lse)
 *     w_s = p_s, or with dropout p_s / (1 - rate) or 0              o = sum_s w_s v_s
 *
 * and backwards, from do:
 *
 *     dv_s += w_s do      dp_s = (w_s / p_s) (do . v_s)      dscore_s = p_s (dp_s - sum_r p_r dp_r)
 *     dq = sum_s dscore_s k_s / sqrt(head_dim)               dk_s += dscore_s q / sqrt(head_dim)
 *
 * The sum over r is do . o, but is taken here as it stands, so that o is not needed. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "nn/oracle.h"

static double *head_at(nn_heads x, size_t b, size_t t, size_t h, size_t head_dim) {
    return out(x.data, (b * x.len + t) * x.stride + h * head_dim);
}

static int64_t index_apart(const nn_attention *a, size_t b, size_t t, size_t s) {
    if (!a->q_index || !a->kv_index) return 0;
    int64_t apart = (int64_t)a->q_index[b * a->q_len + t] - a->kv_index[b * a->kv_len + s];
    return apart < 0 ? -apart : apart;
}

static bool is_seen(const nn_attention *a, size_t b, size_t t, size_t s) {
    if (a->causal && s + a->q_len > t + a->kv_len) return false;
    if (a->window >= 0 && index_apart(a, b, t, s) > a->window) return false;
    if (!a->q_segment || !a->kv_segment) return true;
    int32_t segment = a->kv_segment[b * a->kv_len + s];
    return segment >= 0 && segment == a->q_segment[b * a->q_len + t];
}

static double score(const nn_attention *a, nn_heads q, nn_heads k, size_t b, size_t h, size_t t, size_t s) {
    size_t kv_head = h / (a->heads / a->kv_heads), d = a->head_dim;
    double product = oracle_dot(head_at(q, b, t, h, d), head_at(k, b, s, kv_head, d), d);
    return product / sqrt((double)d) - (double)a->slope * (double)index_apart(a, b, t, s);
}

/* What dropout multiplies the probability of (b, h, t, s) by. */
static double kept(const nn_attention *a, size_t b, size_t h, size_t t, size_t s) {
    if (a->dropout <= 0) return 1;
    uint64_t i = ((b * a->heads + h) * a->q_len + t) * a->kv_len + s;
    return spak_philox_uniform(a->seed, a->stream, i) >= a->dropout ? 1 / (1 - (double)a->dropout) : 0;
}

/* Fills scores (kv_len) with -inf where a key is not seen; returns the logarithm of the sum of their exponentials. */
static double scores_of_row(const nn_attention *a, nn_heads q, nn_heads k, size_t b, size_t h, size_t t,
                            double *scores) {
    double largest = -INFINITY, sum = 0;
    for (size_t s = 0; s < a->kv_len; s++) {
        scores[s] = is_seen(a, b, t, s) ? score(a, q, k, b, h, t, s) : -INFINITY;
        if (scores[s] > largest) largest = scores[s];
    }
    if (largest == -INFINITY) return -INFINITY;
    for (size_t s = 0; s < a->kv_len; s++) sum += exp(scores[s] - largest);
    return largest + log(sum);
}

static void attend(nn_ctx *ctx, const nn_attention *a, nn_heads o, double *lse, nn_heads q, nn_heads k, nn_heads v,
                   size_t b, size_t h, size_t t) {
    size_t kv_head = h / (a->heads / a->kv_heads), d = a->head_dim;
    double *ot = head_at(o, b, t, h, d), *scores = ctx->weights;
    *lse = scores_of_row(a, q, k, b, h, t, scores);
    for (size_t i = 0; i < d; i++) ot[i] = 0;
    for (size_t s = 0; s < a->kv_len; s++) {
        if (scores[s] == -INFINITY) continue;
        double w = exp(scores[s] - *lse) * kept(a, b, h, t, s);
        const double *vs = head_at(v, b, s, kv_head, d);
        for (size_t i = 0; i < d; i++) ot[i] += w * vs[i];
    }
}

void oracle_attention(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k, nn_heads v) {
    for (size_t b = 0; b < a->batch; b++)
        for (size_t h = 0; h < a->heads; h++)
            for (size_t t = 0; t < a->q_len; t++)
                attend(ctx, a, o, out(lse, (b * a->heads + h) * a->q_len + t), q, k, v, b, h, t);
}

/* --- backward --- */

static void zero_heads(const nn_attention *a, nn_heads x, size_t len, size_t heads) {
    for (size_t b = 0; b < a->batch; b++)
        for (size_t t = 0; t < len; t++)
            memset(head_at(x, b, t, 0, a->head_dim), 0, heads * a->head_dim * sizeof(double));
}

/* One row's share of the three gradients; dq, dk, dv hold the sums so far. */
static void attend_backward(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                            nn_heads q, nn_heads k, nn_heads v, double lse, size_t b, size_t h, size_t t) {
    size_t kv_head = h / (a->heads / a->kv_heads), d = a->head_dim;
    const double *dot = head_at(d_o, b, t, h, d), *qt = head_at(q, b, t, h, d);
    double *dqt = head_at(dq, b, t, h, d), *p = ctx->weights, *dp = ctx->dscores, mean = 0;
    for (size_t s = 0; s < a->kv_len; s++) {
        p[s] = dp[s] = 0;
        if (!is_seen(a, b, t, s)) continue;
        double keep = kept(a, b, h, t, s), *dvs = head_at(dv, b, s, kv_head, d);
        p[s] = exp(score(a, q, k, b, h, t, s) - lse);
        dp[s] = keep * oracle_dot(dot, head_at(v, b, s, kv_head, d), d);
        mean += p[s] * dp[s];
        for (size_t i = 0; i < d; i++) dvs[i] += p[s] * keep * dot[i];
    }
    for (size_t s = 0; s < a->kv_len; s++) {
        if (p[s] == 0) continue;
        double dscore = p[s] * (dp[s] - mean) / sqrt((double)d), *dks = head_at(dk, b, s, kv_head, d);
        const double *ks = head_at(k, b, s, kv_head, d);
        for (size_t i = 0; i < d; i++) dqt[i] += dscore * ks[i];
        for (size_t i = 0; i < d; i++) dks[i] += dscore * qt[i];
    }
}

void oracle_attention_backward(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                               nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse) {
    (void)o;
    zero_heads(a, dq, a->q_len, a->heads);
    zero_heads(a, dk, a->kv_len, a->kv_heads);
    zero_heads(a, dv, a->kv_len, a->kv_heads);
    for (size_t b = 0; b < a->batch; b++)
        for (size_t h = 0; h < a->heads; h++)
            for (size_t t = 0; t < a->q_len; t++)
                attend_backward(ctx, a, dq, dk, dv, d_o, q, k, v, *in(lse, (b * a->heads + h) * a->q_len + t), b, h, t);
}

/* --- rotary positions --- */

static void turn(double *x, double *y, double angle) {
    double c = cos(angle), s = sin(angle), x0 = *x, y0 = *y;
    *x = x0 * c - y0 * s;
    *y = x0 * s + y0 * c;
}

void oracle_rope(CTX, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
                 size_t head_dim, size_t stride, float base, bool inverse) {
    size_t half = head_dim / 2;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < half; i++) {
            double angle = positions[r] * pow((double)base, -2.0 * (double)i / (double)head_dim);
            for (size_t h = 0; h < heads; h++) {
                double *head = out(x, r * stride + h * head_dim);
                double *first = pairing == NN_ROPE_HALVES ? head + i : head + 2 * i;
                turn(first, pairing == NN_ROPE_HALVES ? first + half : first + 1, inverse ? -angle : angle);
            }
        }
}
