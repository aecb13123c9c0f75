/* The oracle's attention and rotary positions: each feature against the formula written out once more over explicit
 * lists of keys, and the backward pass against central differences. */
#include <stdlib.h>

#include "nn_test.h"

enum { MOST = 4096, BATCH = 2, BEFORE = 7 };
static const nn_ops *const ops = &nn_oracle;
static nn_ctx *ctx;

/* Q, K and V are parts of one (B, T, heads + 2 kv_heads) x head_dim array, as a projection leaves them. */
static double qkv[MOST], dqkv[MOST], o[MOST], probe[MOST], lse[MOST];
static nn_attention a;
static int32_t index_of[BATCH * 16];

static size_t q_stride(void) { return a.heads * a.head_dim + 3; } /* rows may lie further apart than they are wide */
static size_t kv_stride(void) { return a.kv_heads * a.head_dim * 2; }
static size_t capacity(void) { return a.kv_len + 2; }
static size_t q_numbers(void) { return a.batch * a.q_len * q_stride(); }
static size_t numbers(void) { return q_numbers() + a.batch * capacity() * kv_stride(); }

static nn_heads q_of(double *x) { return (nn_heads){x, a.q_len, q_stride()}; }
static nn_heads k_of(double *x) { return (nn_heads){x + q_numbers(), capacity(), kv_stride()}; }
static nn_heads v_of(double *x) {
    return (nn_heads){x + q_numbers() + a.kv_heads * a.head_dim, capacity(), kv_stride()};
}

static double loss(void) {
    size_t n = a.batch * a.q_len * a.heads * a.head_dim;
    ops->attention(ctx, &a, (nn_heads){o, a.q_len, a.heads * a.head_dim}, lse, q_of(qkv), k_of(qkv), v_of(qkv));
    return dot(o, probe, n);
}

static double score_by_hand(size_t b, size_t h, size_t t, size_t s) {
    const double *q = qkv + (b * a.q_len + t) * q_stride() + h * a.head_dim;
    const double *k =
        (double *)k_of(qkv).data + (b * capacity() + s) * kv_stride() + h * a.kv_heads / a.heads * a.head_dim;
    return dot(q, k, a.head_dim) / sqrt((double)a.head_dim);
}

/* The case's expectation: which keys are seen, and how far apart they stand. */
static bool (*sees)(size_t b, size_t t, size_t s);

static size_t wrong_rows(void) {
    size_t wrong = 0, d = a.head_dim;
    for (size_t row = 0; row < a.batch * a.heads * a.q_len; row++) {
        size_t b = row / a.q_len / a.heads, h = row / a.q_len % a.heads, t = row % a.q_len;
        double total = 0, mean[8] = {0};
        for (size_t s = 0; s < a.kv_len; s++) {
            if (!sees(b, t, s)) continue;
            double apart = a.slope > 0 ? fabs((double)(index_of[b * 16 + t] - index_of[b * 16 + s])) : 0;
            double e = exp(score_by_hand(b, h, t, s) - (double)a.slope * apart);
            double keep = 1;
            if (a.dropout > 0)
                keep =
                    (spak_philox_uniform(a.seed, a.stream, row * a.kv_len + s) >= a.dropout) / (1 - (double)a.dropout);
            const double *v =
                (double *)v_of(qkv).data + (b * capacity() + s) * kv_stride() + h * a.kv_heads / a.heads * d;
            for (size_t i = 0; i < d; i++) mean[i] += keep * e * v[i];
            total += e;
        }
        bool right = total == 0 ? lse[row] == -INFINITY : fabs(lse[row] - log(total)) < 1e-13;
        for (size_t i = 0; i < d; i++) {
            double got = o[((b * a.q_len + t) * a.heads + h) * d + i];
            right &= total == 0 ? got == 0 : fabs(got - mean[i] / total) < 1e-13;
        }
        wrong += !right;
    }
    return wrong;
}

/* How many of n numbers that nobody should write are no longer as they were; they become the gradient that they have.
 */
static size_t touched(double *x, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += x[i] != BEFORE;
        x[i] = 0;
    }
    return count;
}

static void check(const char *name) {
    fill(qkv, numbers(), -2, 2, 1), fill(probe, a.batch * a.q_len * a.heads * a.head_dim, -1, 1, 2);
    loss();
    is_int(wrong_rows(), 0, "%s: O and lse", name);
    for (size_t i = 0; i < numbers(); i++) dqkv[i] = BEFORE; /* written, not added to, and only where heads lie */
    nn_heads d_o = {probe, a.q_len, a.heads * a.head_dim}, o_heads = {o, a.q_len, a.heads * a.head_dim};
    ops->attention_backward(ctx, &a, q_of(dqkv), k_of(dqkv), v_of(dqkv), d_o, q_of(qkv), k_of(qkv), v_of(qkv), o_heads,
                            lse);
    size_t beside = 0;
    for (size_t r = 0; r < a.batch * a.q_len; r++)
        beside += touched(dqkv + r * q_stride() + a.heads * a.head_dim, q_stride() - a.heads * a.head_dim);
    for (size_t b = 0; b < a.batch; b++)
        beside += touched((double *)k_of(dqkv).data + (b * capacity() + a.kv_len) * kv_stride(), 2 * kv_stride());
    is_int(beside, 0, "%s: nothing is written beside the heads", name);
    is_gradient(loss, qkv, dqkv, numbers(), "%s: dQ, dK, dV", name);
}

static nn_attention shape(size_t q_len, size_t kv_len, size_t heads, size_t kv_heads, size_t head_dim) {
    return (nn_attention){.batch = BATCH,
                          .q_len = q_len,
                          .kv_len = kv_len,
                          .heads = heads,
                          .kv_heads = kv_heads,
                          .head_dim = head_dim,
                          .window = -1};
}

static bool sees_all(size_t b, size_t t, size_t s) { return (void)b, (void)t, (void)s, true; }
static bool sees_past(size_t b, size_t t, size_t s) { return (void)b, s <= t; }
static bool sees_cache(size_t b, size_t t, size_t s) { return (void)b, s <= t + 4; }
static bool sees_late(size_t b, size_t t, size_t s) { return (void)b, s + 3 <= t; }
static bool sees_window(size_t b, size_t t, size_t s) { return abs(index_of[b * 16 + t] - index_of[b * 16 + s]) <= 1; }
static bool sees_same(size_t b, size_t t, size_t s) { return b == 0 && t < 3 && s < 3 ? true : b == 1 && s <= 4; }
static bool sees_segment_past(size_t b, size_t t, size_t s) { return s <= t && sees_same(b, t, s); }

static void test_masks(void) {
    a = shape(5, 7, 2, 2, 3), sees = sees_all;
    check("not causal, 5 of 7");
    a = shape(7, 7, 2, 2, 3), a.causal = true, sees = sees_past;
    check("causal");
    a = shape(3, 7, 2, 2, 3), a.causal = true, sees = sees_cache;
    check("causal, 3 queries behind 4 cached keys");
    a = shape(7, 4, 2, 1, 3), a.causal = true, sees = sees_late;
    check("causal, 3 queries before the first key");
    ok(lse[0] == -INFINITY && o[0] == 0, "which see nothing: zeros and -inf");
    a = shape(1, 1, 1, 1, 1), a.causal = true, sees = sees_past;
    check("one number");
    a = shape(5, 5, 6, 2, 4), a.causal = true, sees = sees_past;
    check("six heads share two");
    a = shape(5, 5, 4, 1, 2), sees = sees_all;
    check("four heads share one");
}

static void test_index(void) {
    for (size_t i = 0; i < BATCH * 16; i++) index_of[i] = (int32_t)((i * 7 + i / 16) % 5);
    static int32_t packed[BATCH * 6];
    for (size_t i = 0; i < BATCH * 6; i++) packed[i] = index_of[i / 6 * 16 + i % 6];
    a = shape(6, 6, 2, 1, 3), a.q_index = a.kv_index = packed, a.window = 1, sees = sees_window;
    check("a window of one index apart");
    a.window = 0x7fffffff, a.slope = 0.3f, sees = sees_all;
    check("a slope over the index");
    a = shape(6, 6, 2, 1, 3), a.window = 0, sees = sees_all; /* no index, so that the window says nothing */
    check("no index");
}

/* Sequence 0: the first three tokens are of segment 4, the rest of -1 on both sides, which sees nothing. Sequence 1:
 * tokens up to 4 are of segment 2; the queries all are, the key at 5 is of segment 3. */
static void test_segments(void) {
    static const int32_t q_segment[BATCH * 6] = {4, 4, 4, -1, -1, -1, 2, 2, 2, 2, 2, 2};
    static const int32_t kv_segment[BATCH * 6] = {4, 4, 4, -1, -1, -1, 2, 2, 2, 2, 2, 3};
    a = shape(6, 6, 2, 1, 3), a.q_segment = q_segment, a.kv_segment = kv_segment, sees = sees_same;
    check("segments");
    a.causal = true, sees = sees_segment_past;
    check("segments, causal");
}

static void test_dropout(void) {
    a = shape(7, 7, 4, 2, 3), a.causal = true, a.dropout = 0.4f, a.seed = 5, a.stream = 9, sees = sees_past;
    check("dropout");
}

static void test_extreme_scores(void) {
    a = shape(2, 3, 1, 1, 1), a.batch = 1, sees = sees_all;
    fill(qkv, numbers(), 0, 0, 1);
    qkv[0] = 1e4, qkv[q_stride()] = -1e4;
    double *k = k_of(qkv).data, *v = v_of(qkv).data;
    for (size_t s = 0; s < 3; s++) k[s * kv_stride()] = (double)s - 1, v[s * kv_stride()] = (double)s + 1;
    loss();
    ok(o[0] == 3 && o[1] == 1 && lse[0] == 1e4 && lse[1] == 1e4, "scores of 1e4, 0 and -1e4: one key takes all");
}

/* --- rotary positions --- */

static double turned[MOST], back[MOST];

static double score_at(nn_rope_pairing pairing, int32_t at_q, int32_t at_k) {
    double q[8], k[8];
    fill(q, 8, -1, 1, 5), fill(k, 8, -1, 1, 6);
    ops->rope(ctx, pairing, q, &at_q, 1, 1, 8, 8, 10000, false);
    ops->rope(ctx, pairing, k, &at_k, 1, 1, 8, 8, 10000, false);
    return dot(q, k, 8);
}

static void test_rope(nn_rope_pairing pairing, const char *name) {
    enum { ROWS = 4, HEADS = 3, DIM = 6, STRIDE = HEADS * DIM + 5 };
    static const int32_t positions[ROWS] = {0, 1, 700, 3};
    size_t n = ROWS * STRIDE, apart = 0, beside = 0;
    fill(qkv, n, -1, 1, 1);
    memcpy(turned, qkv, n * sizeof *qkv);
    ops->rope(ctx, pairing, turned, positions, ROWS, HEADS, DIM, STRIDE, 10000, false);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t h = 0; h < HEADS; h++) {
            const double *was = qkv + r * STRIDE + h * DIM, *is = turned + r * STRIDE + h * DIM;
            apart += !(fabs(dot(was, was, DIM) - dot(is, is, DIM)) < 1e-14);
        }
        beside += memcmp(qkv + r * STRIDE + HEADS * DIM, turned + r * STRIDE + HEADS * DIM, 5 * sizeof *qkv) != 0;
    }
    is_int(apart, 0, "RoPE, %s: keeps the norm", name);
    is_int(beside, 0, "RoPE, %s: leaves what is beside the heads", name);
    ok(memcmp(turned, qkv, HEADS * DIM * sizeof *qkv) == 0, "RoPE, %s: position 0 stays", name);
    memcpy(back, turned, n * sizeof *qkv);
    ops->rope(ctx, pairing, back, positions, ROWS, HEADS, DIM, STRIDE, 10000, true);
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = nn_worst(worst, fabs(back[i] - qkv[i]));
    ok(worst < 1e-14, "RoPE, %s: the inverse turns back", name);
    /* the pair 1 of head 1 in row 3, whose angle is 3 * 10000^(-1/3) */
    size_t first = 3 * STRIDE + DIM + (pairing == NN_ROPE_HALVES ? 1 : 2),
           second = first + (pairing == NN_ROPE_HALVES ? 3 : 1);
    double angle = 3 / cbrt(10000);
    is_near(turned[first], qkv[first] * cos(angle) - qkv[second] * sin(angle), 1e-14, "RoPE, %s: the pair's first",
            name);
    is_near(turned[second], qkv[first] * sin(angle) + qkv[second] * cos(angle), 1e-14, "and its second");
    is_near(score_at(pairing, 17, 5), score_at(pairing, 112, 100), 1e-13, "RoPE, %s: 12 apart is 12 apart", name);
    ok(fabs(score_at(pairing, 17, 5) - score_at(pairing, 17, 6)) > 1e-3, "and not 11");
}

int main(void) {
    spak_error err;
    nn_attention largest = {.kv_len = 7};
    nn_limits limits = {.threads = 1, .num_attentions = 1, .attentions = &largest};
    if (!ok(ops->open(&limits, &ctx, &err), "open")) return 1;
    test_masks();
    test_index();
    test_segments();
    test_dropout();
    test_extreme_scores();
    test_rope(NN_ROPE_HALVES, "halves");
    test_rope(NN_ROPE_NEIGHBOURS, "neighbours");
    ops->close(ctx);
    return done_testing();
}
