/* nn_cpu against the oracle: elements and rows. */
#include "cpu_test.h"

static size_t rows, width;
static int32_t ids[4096];

/* --- elements --- */

static void add_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    ops->add(ctx, a[2], a[0], fault && ops == &nn_cpu ? a[0] : a[1], arrays[0].n);
    ops->add(ctx, a[3], a[3], a[1], arrays[0].n); /* in place */
    ops->copy(ctx, a[4], a[0], arrays[0].n);
    ops->zero(ctx, a[5], arrays[0].n);
}

static void test_add(size_t n) {
    give(0, n, -1, 1), give(1, n, -1, 1), want(2, n), give(3, n, -1, 1), want(4, n), want(5, n);
    run_oracle(add_call);
    double *t2 = tolerance(2), *t3 = tolerance(3), *t4 = tolerance(4), *t5 = tolerance(5);
    for (size_t j = 0; j < n; j++)
        t2[j] = U * fabs(arrays[2].oracle[j]), t3[j] = U * fabs(arrays[3].oracle[j]), t4[j] = t5[j] = 0;
    agrees(add_call, "add, copy, zero of %zu", n);
    forget();
}

static float rate;

static void dropout_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    ops->dropout(ctx, a[0], arrays[0].n, rate, 0x123456789abcdef0, 5 + (fault && ops == &nn_cpu));
}

/* x / (1 - rate): the quotient is rounded, and so is the product with it. */
static void test_dropout(size_t n, float rate_now) {
    rate = rate_now;
    float *x = give(0, n, -1, 1);
    run_oracle(dropout_call);
    double *t = tolerance(0);
    size_t kept = 0, right = 0;
    for (size_t j = 0; j < n; j++) {
        t[j] = 2 * U * fabs(arrays[0].oracle[j]);
        kept += arrays[0].oracle[j] != 0;
        right += x[j] == 0 || (arrays[0].oracle[j] != 0) == (spak_philox_uniform(0x123456789abcdef0, 5, j) >= rate);
    }
    ok(right == n, "the oracle's mask is Philox's");
    agrees(dropout_call, "dropout of %zu, rate %g, %zu kept", n, (double)rate, kept);
    forget();
}

static double got_sum[2];
static void sum_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    size_t n = arrays[0].n - (fault && ops == &nn_cpu);
    got_sum[0] = ops->sum(ctx, a[0], n), got_sum[1] = ops->sum_squares(ctx, a[0], n);
}

/* Doubles: n of their roundoffs, and none of a float's. */
static void test_sum(size_t n) {
    double want_sum[2], bound = 0;
    float *x = give(0, n, -3, 5);
    run_oracle(sum_call);
    memcpy(want_sum, got_sum, sizeof got_sum);
    for (size_t j = 0; j < n; j++) bound += fabs((double)x[j]) + (double)x[j] * (double)x[j];
    bool good = true;
    double first[2] = {0};
    for (int t = 0; t < THREADS; t++) {
        got_sum[0] = got_sum[1] = NAN;
        sum_call(&nn_cpu, cpu_ctx[t], (void *[]){x});
        if (t == 0) memcpy(first, got_sum, sizeof first);
        for (int k = 0; k < 2; k++)
            good = good && fabs(got_sum[k] - want_sum[k]) <= 0x1p-52 * (double)n * bound && got_sum[k] == first[k];
    }
    ok(good != fault, "%s: sums of %zu%s", isa_name, n, fault ? ": a fault is seen" : "");
    forget();
}

static nn_adamw adamw = {.rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .decay = 0.1f, .grad_scale = 0.5f};
static void adamw_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    nn_adamw step = adamw;
    if (fault && ops == &nn_cpu) step.decay = 0.101f;
    ops->adamw(ctx, a[0], a[1], a[2], a[3], arrays[0].n, &step);
}

/* m and v: 4 roundings of terms that are summed. The step: those of m, half of those of v, and 8 of its own. */
static void test_adamw(size_t n, uint64_t step) {
    adamw.step = step;
    float *p = give(0, n, -1, 1), *m = give(1, n, -1, 1), *v = give(2, n, 0, 1), *g = give(3, n, -2, 2);
    for (size_t j = 0; step == 1 && j < n; j++) m[j] = v[j] = 0;
    if (n) g[0] = 0;
    run_oracle(adamw_call);
    double *t0 = tolerance(0), *t1 = tolerance(1), *t2 = tolerance(2);
    for (size_t j = 0; j < n; j++) {
        double gj = 0.5 * fabs((double)g[j]), mj = 0.9 * fabs((double)m[j]) + 0.1 * gj, after = arrays[2].oracle[j];
        t1[j] = 4 * U * mj;
        t2[j] = 5 * U * arrays[2].oracle[j] + 1e-38;
        double hat = mj / (1 - pow((double)adamw.beta1, (double)step)),
               root = sqrt(after / (1 - pow((double)adamw.beta2, (double)step))) + 1e-8;
        t0[j] = 1e-3 * hat / root * 16 * U + 3 * U * fabs((double)p[j]);
    }
    agrees(adamw_call, "AdamW of %zu, step %llu", n, (unsigned long long)step);
    forget();
}

/* --- rows by number --- */

static void embed_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    if (fault && ops == &nn_cpu) ids[rows / 2] ^= 1;
    ops->embed(ctx, a[1], ids, a[0], rows, width, false);
    ops->embed(ctx, a[2], ids, a[0], rows, width, true);
    ops->embed_backward(ctx, a[3], ids, a[4], rows, width, 65);
    if (fault && ops == &nn_cpu) ids[rows / 2] ^= 1;
}

static void some_ids(size_t n, int vocab, bool negative) {
    for (size_t r = 0; r < n; r++)
        ids[r] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, 9, r) * (float)vocab) - (negative && r % 7 == 3);
}

static void test_embed(void) {
    give(0, 65 * width, -1, 1), want(1, rows * width), give(2, rows * width, -1, 1), give(3, 65 * width, -1, 1);
    give(4, rows * width, -1, 1);
    some_ids(rows, 64, true);
    for (size_t r = 0; r < rows; r++) ids[r] = r % 7 == 3 ? -1 : ids[r];
    run_oracle(embed_call);
    double *t1 = tolerance(1), *t2 = tolerance(2), *t3 = tolerance(3);
    for (size_t j = 0; j < rows * width; j++) t1[j] = 0, t2[j] = U * fabs(arrays[2].oracle[j]);
    for (size_t j = 0; j < 65 * width; j++) {
        double count = 0;
        for (size_t r = 0; r < rows; r++) count += ids[r] == (int32_t)(j / width);
        t3[j] = U * count * (count + 1); /* each rounding is of a partial sum */
    }
    agrees(embed_call, "embed and back, %zu x %zu", rows, width);
    forget();
}

static void gather_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    ops->gather(ctx, a[1], a[0], ids, rows, width);
    ops->scatter(ctx, a[2], a[3], ids, rows - (fault && ops == &nn_cpu), width);
}

static void test_gather(void) {
    give(0, rows * width, -1, 1), want(1, rows * width), give(2, rows * width, -1, 1), give(3, rows * width, -1, 1);
    for (size_t r = 0; r < rows; r++) ids[r] = (int32_t)((r * 5 + 2) % rows); /* each once, when 5 does not divide */
    run_oracle(gather_call);
    double *t1 = tolerance(1), *t2 = tolerance(2);
    for (size_t j = 0; j < rows * width; j++) t1[j] = t2[j] = 0;
    agrees(gather_call, "gather and scatter, %zu x %zu", rows, width);
    forget();
}

/* --- norms --- */

static nn_norm_kind kind;
static bool gains;

static void norm_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    bool beta = gains && kind == NN_LAYERNORM;
    ops->norm(ctx, kind, a[3], a[4], a[0], gains ? a[1] : NULL, beta ? a[2] : NULL, rows, width,
              fault && ops == &nn_cpu ? 1.2e-5f : 1e-5f);
}

/* Sums of width terms go in chains of width / 16, and 8 more: their relative error is CHAIN U; that of a variance
 * counts half in rstd. The mean was corrected: it is off by a rounding of its own, and by those of the deviations. */
#define CHAIN ((double)width / 16 + 8)

static void test_norm(nn_norm_kind kind_now, bool gains_now, double lo, double hi) {
    kind = kind_now, gains = gains_now;
    float *x = give(0, rows * width, lo, hi), *gamma = give(1, width, 0.5, 2), *beta = give(2, width, -1, 1);
    for (size_t j = 0; j < width; j++) x[(rows - 1) * width + j] = (float)hi; /* a constant row */
    want(3, rows * width), want(4, 2 * rows);
    run_oracle(norm_call);
    double *ty = tolerance(3), *ts = tolerance(4);
    for (size_t r = 0; r < rows; r++) {
        double mean = arrays[4].oracle[2 * r], rstd = arrays[4].oracle[2 * r + 1];
        ts[2 * r] = kind == NN_LAYERNORM ? U * (fabs(mean) + (hi - lo) * (CHAIN + 2)) : 0;
        double shift = ts[2 * r] * rstd;
        ts[2 * r + 1] = rstd * (U * (CHAIN + 4) + shift);
        for (size_t j = r * width; j < (r + 1) * width; j++) {
            double g = gains ? (double)gamma[j % width] : 1, b = gains ? fabs((double)beta[j % width]) : 0,
                   h = ((double)x[j] - mean) * rstd;
            ty[j] = U * (fabs(h * g) * (CHAIN + 6) + 2 * b) + fabs(g) * shift * (1 + fabs(h));
        }
    }
    agrees(norm_call, "%s %zu x %zu%s in [%g, %g]", kind == NN_LAYERNORM ? "LayerNorm" : "RMSNorm", rows, width,
           gains ? "" : " without gains", lo, hi);
    forget();
}

static void norm_backward_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    bool beta = gains && kind == NN_LAYERNORM;
    nn_norm_kind now = fault && ops == &nn_cpu ? NN_RMSNORM : kind;
    ops->norm_backward(ctx, now, a[0], gains ? a[1] : NULL, beta ? a[2] : NULL, a[3], a[4], a[5], gains ? a[6] : NULL,
                       rows, width);
}

/* dx += rstd (g - mean(g) - h mean(g h)): |g| <= 2, |h| <= H. */
static void test_norm_backward(nn_norm_kind kind_now, bool gains_now) {
    kind = kind_now, gains = gains_now;
    give(0, rows * width, -1, 1), give(1, width, -1, 1), give(2, width, -1, 1), give(3, rows * width, -1, 1);
    float *x = give(4, rows * width, -2, 3), *stat = give(5, 2 * rows, 0, 1);
    give(6, width, 0.5, 2);
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, var = 0;
        for (size_t j = 0; j < width; j++) mean += (double)x[r * width + j] / (double)width;
        if (kind == NN_RMSNORM) mean = 0;
        for (size_t j = 0; j < width; j++) var += pow((double)x[r * width + j] - mean, 2) / (double)width;
        stat[2 * r] = (float)mean, stat[2 * r + 1] = (float)(1 / sqrt(var + 1e-5));
    }
    run_oracle(norm_backward_call);
    double *t0 = tolerance(0), *t1 = gains ? tolerance(1) : NULL,
           *t2 = gains && kind == NN_LAYERNORM ? tolerance(2) : NULL;
    double most = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < width; j++) {
            double rstd = (double)stat[2 * r + 1], h = fabs((double)x[r * width + j] - (double)stat[2 * r]) * rstd;
            h += 4 * U * rstd * 3; /* x - mean is rounded */
            most = fmax(most, h);
            t0[r * width + j] =
                U * rstd * (CHAIN * (2 + 2 * h) + 8 * (2 + 2 * h)) + 2 * U * fabs(arrays[0].oracle[r * width + j]);
        }
    /* Chains of 32 rows, then of the chunks: each rounding is of at most the sum of all magnitudes. */
    double chain = 40 + (double)rows / 32;
    for (size_t j = 0; j < width && t1; j++) t1[j] = U * chain * (1 + (double)rows * most);
    for (size_t j = 0; j < width && t2; j++) t2[j] = U * chain * (1 + (double)rows);
    agrees(norm_backward_call, "%s backward %zu x %zu%s", kind == NN_LAYERNORM ? "LayerNorm" : "RMSNorm", rows, width,
           gains ? "" : " without gains");
    forget();
}

/* --- activations --- */

static nn_act_kind act;
static const char *const act_names[] = {"GELU", "GELU (tanh)", "ReLU", "SiLU", "SwiGLU"};

static void act_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    nn_act_kind now = fault && ops == &nn_cpu ? (act == NN_GELU_TANH ? NN_GELU_ERF : NN_GELU_TANH) : act;
    ops->act(ctx, now, a[1], a[0], rows, width);
    ops->act_backward(ctx, now, a[3], a[2], a[0], rows, width);
}

/* Relative to the result a few roundings (12; the oracle's own 1 + erf and 1 + tanh cancel in double), where exp's
 * argument is x itself; GELU (tanh) rounds its argument 2 u three times, and a rounding of it counts |2 u| times. The
 * slope is a sum of two terms of at most 1 + |x| each. Below 2^-126 everything is 0. */
static void test_act(nn_act_kind act_now, double size) {
    act = act_now;
    size_t in = act == NN_SWIGLU ? 2 * width : width;
    float *x = give(0, rows * in, -size, size);
    if (rows * in > 4) x[0] = 0, x[1] = -0.0f, x[2] = 1e-30f, x[3] = (float)-size;
    want(1, rows * width), give(2, rows * width, -1, 1), want(3, rows * in);
    run_oracle(act_call);
    double *t1 = tolerance(1), *t3 = tolerance(3);
    for (size_t j = 0; j < rows * width; j++) {
        double xj = (double)x[act == NN_SWIGLU ? j / width * in + j % width : j],
               twice = fmin(fabs(1.6 * xj * (1 + 0.045 * xj * xj)), 90),
               rounds = act == NN_GELU_TANH ? 12 + 4 * twice : 12;
        t1[j] = rounds * U * fabs(arrays[1].oracle[j]) + 0x1p-52 * fabs(xj) +
                (act == NN_SWIGLU ? size : 1) * 100 * 0x1p-126;
    }
    for (size_t j = 0; j < rows * in; j++) {
        double other = act == NN_SWIGLU ? size : 1, xj = fabs((double)x[j]),
               twice = act == NN_GELU_TANH ? fmin(1.6 * xj * (1 + 0.045 * xj * xj), 90) : 0;
        t3[j] = (16 * U * (1 + fmin(xj, 2)) + 4 * U * twice * (1 + twice) * exp(-0.5 * twice)) * other + 1e-36;
        if (act == NN_SWIGLU && j % in >= width) t3[j] += 12 * U * fabs(arrays[3].oracle[j]);
        if (act == NN_RELU) t3[j] = 0;
    }
    agrees(act_call, "%s %zu x %zu up to %g", act_names[act], rows, width, size);
    forget();
}

/* --- rotary positions --- */

static nn_rope_pairing pairing;
static size_t heads, head_dim;

static void rope_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    float base = fault && ops == &nn_cpu ? 10010 : 10000;
    size_t stride = heads * head_dim + 3;
    ops->rope(ctx, pairing, a[0], ids, rows, heads, head_dim, stride, base, false);
    ops->rope(ctx, pairing, a[1], ids, rows, heads, head_dim, stride, base, true);
}

/* Sine and cosine are 4 roundings off, and so are two products and their sum. */
static void test_rope(nn_rope_pairing pairing_now, size_t heads_now, size_t head_dim_now) {
    pairing = pairing_now, heads = heads_now, head_dim = head_dim_now;
    size_t n = rows * (heads * head_dim + 3);
    give(0, n, -1, 1), give(1, n, -1, 1);
    some_ids(rows, 3000, false);
    run_oracle(rope_call);
    double *t0 = tolerance(0), *t1 = tolerance(1);
    for (size_t j = 0; j < n; j++) t0[j] = t1[j] = 8 * U;
    agrees(rope_call, "rope of %zu rows, %zu x %zu, %s", rows, heads, head_dim, pairing ? "neighbours" : "halves");
    forget();
}

/* --- the loss --- */

static float smoothing;

static void loss_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    float s = fault && ops == &nn_cpu ? smoothing + 1e-3f : smoothing;
    ops->cross_entropy(ctx, a[1], NULL, a[0], ids, rows, width, s, 0.25f);
    ops->cross_entropy(ctx, a[2], a[3], a[0], ids, rows, width, s, 0.25f);
    ops->cross_entropy(ctx, a[5], a[4], a[4], ids, rows, width, s, 0.25f); /* in place */
}

/* The differences from the maximum are rounded: U |x - m|, and count so much in e^(x - m); sums in chains of 1024 / 8,
 * or of vocab / 8. p e^.. <= 1, and |x - m| e^(x - m) <= 1. */
static void test_loss(double size, float smoothing_now, const char *what) {
    smoothing = smoothing_now;
    size_t n = rows * width;
    float *x = give(0, n, -size, size);
    some_ids(rows, (int)width, false);
    for (size_t r = 1; r < rows; r += 3) ids[r] = r % 2 ? -1 : ids[r];
    for (size_t j = 0; j < width; j++) x[j] = (float)size; /* all equal */
    for (int i = 1; i < 6; i++) i == 4 ? (void)0 : want(i, i == 3 ? n : rows);
    memcpy(give(4, n, 0, 1), x, n * sizeof(float));
    run_oracle(loss_call);
    double *tl[3] = {tolerance(1), tolerance(2), tolerance(5)}, *td[2] = {tolerance(3), tolerance(4)};
    double chain = fmin(1024, (double)width) / 8 + 8;
    for (size_t r = 0; r < rows; r++)
        tl[0][r] = tl[1][r] = tl[2][r] = U * (chain + 4 + arrays[1].oracle[r] + 2 * size * (double)smoothing * chain);
    for (size_t j = 0; j < n; j++) td[0][j] = td[1][j] = 0.25 * U * (chain * fabs(arrays[3].oracle[j]) * 8 + 8);
    for (size_t j = 0; j < n; j++)
        if (ids[j / width] < 0) td[0][j] = td[1][j] = 0;
    agrees(loss_call, "cross-entropy %zu x %zu, %s, smoothing %g", rows, width, what, (double)smoothing);
    forget();
}

static int32_t best[2][4096];

static void argmax_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    ops->argmax(ctx, best[ops == &nn_cpu], a[1], a[0], rows, width - (fault && ops == &nn_cpu));
    ops->argmax(ctx, best[ops == &nn_cpu], NULL, a[0], rows, width);
}

static void test_argmax(double size) {
    float *x = give(0, rows * width, -size, size);
    for (size_t j = 0; j < width; j++) x[j] = 2; /* equal ones */
    if (width > 5) x[(rows - 1) * width + width - 1] = x[(rows - 1) * width + 4] = (float)(2 * size);
    want(1, rows);
    run_oracle(argmax_call);
    double *t = tolerance(1);
    for (size_t r = 0; r < rows; r++) t[r] = U * (fmin(1024, (double)width) / 8 + 16) * arrays[1].oracle[r];
    memset(best[1], -1, sizeof best[1]);
    agrees(argmax_call, "argmax %zu x %zu up to %g", rows, width, size);
    if (!fault) ok(memcmp(best[0], best[1], rows * sizeof **best) == 0, "%s: the best tokens are the same", isa_name);
    forget();
}

/* --- shapes --- */

static void test_shape(size_t rows_now, size_t width_now) {
    rows = rows_now, width = width_now;
    test_embed();
    test_gather();
    for (int k = 0; k < 2; k++) {
        test_norm((nn_norm_kind)k, true, -2, 3);
        test_norm((nn_norm_kind)k, false, -2, 3);
        test_norm((nn_norm_kind)k, true, 999, 1001);
        test_norm_backward((nn_norm_kind)k, true);
        test_norm_backward((nn_norm_kind)k, false);
    }
    for (int k = 0; k <= NN_SWIGLU; k++) {
        test_act((nn_act_kind)k, 6);
        test_act((nn_act_kind)k, 1e4);
    }
    test_loss(5, 0, "small logits");
    test_loss(1e4, 0.1f, "extreme logits");
    test_argmax(10);
    test_argmax(1e4);
}

/* One call of each operator that is slightly wrong. */
static void test_faults(void) {
    fault = true;
    test_add(1000), test_dropout(1000, 0.1f), test_sum(1000), test_adamw(1000, 3);
    rows = 64, width = 96;
    test_embed();
    test_gather();
    test_norm(NN_LAYERNORM, true, -0.01, 0.01);
    test_norm_backward(NN_LAYERNORM, true);
    for (int k = 0; k <= NN_SWIGLU; k++) test_act((nn_act_kind)k, 6);
    test_rope(NN_ROPE_HALVES, 3, 32);
    test_loss(5, 0.1f, "small logits");
    test_argmax(1);
    fault = false;
}

static void test_all(void) {
    static const size_t lengths[] = {0, 1, 13, 384, 1000, 20011};
    if (!open_all(&(nn_limits){.rows = 2048, .width = 3200, .vocab = 50257, .threads = 1})) return;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        test_add(lengths[i]);
        test_dropout(lengths[i], 0.1f), test_dropout(lengths[i], 0.5f);
        if (lengths[i]) test_sum(lengths[i]), test_adamw(lengths[i], 1), test_adamw(lengths[i], 1000);
    }
    test_shape(1, 1), test_shape(13, 13), test_shape(1, 384), test_shape(127, 768), test_shape(13, 1600),
        test_shape(127, 13), test_shape(2, 1000), test_shape(1013, 64);
    for (size_t r = 1; r < 500; r = r * 7 + 6)
        for (int k = 0; k < 2; k++) {
            rows = r;
            test_rope((nn_rope_pairing)k, 1, 2), test_rope((nn_rope_pairing)k, 3, 32);
            test_rope((nn_rope_pairing)k, 2, 64), test_rope((nn_rope_pairing)k, 2, 26);
        }
    rows = 9, width = 65, test_loss(4, 0, "characters"), test_argmax(4);
    rows = 5, width = 50257, test_loss(8, 0.1f, "GPT-2's tokens"), test_argmax(8);
    test_faults();
    close_all();
}

int main(void) {
    each_isa(test_all);
    return done_testing();
}
