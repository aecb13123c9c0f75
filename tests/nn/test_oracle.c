/* The oracle's operators but attention: what their formulas promise, and each backward pass against central
 * differences of a random projection of the forward pass. */
#include <stdlib.h>

#include "base/alloc.h"
#include "nn_test.h"

enum { MOST = 4096 };
static const nn_ops *const ops = &nn_oracle;
static nn_ctx *ctx;

/* What the operator at hand reads and writes; probe weighs the output, so that loss() is one number. */
static double x[MOST], y[MOST], gamma_[MOST], beta[MOST], stat[MOST], probe[MOST];
static double dx[MOST], dgamma[MOST], dbeta[MOST];
static size_t rows, width, n_in, n_out;

/* Gradients of parameters add up: they begin at this, which is taken off again. */
enum { BEFORE = 3 };
static void begin_sums(double *d, size_t n) {
    for (size_t i = 0; i < n; i++) d[i] = BEFORE;
}
static void end_sums(double *d, size_t n) {
    for (size_t i = 0; i < n; i++) d[i] -= BEFORE;
}

/* --- norms --- */

static nn_norm_kind norm_kind;
static bool has_gamma;

static double norm_loss(void) {
    bool layer = norm_kind == NN_LAYERNORM;
    ops->norm(ctx, norm_kind, y, stat, x, has_gamma ? gamma_ : NULL, layer && has_gamma ? beta : NULL, rows, width,
              1e-5f);
    return dot(y, probe, rows * width);
}

static void test_norm(nn_norm_kind kind, size_t width_now, bool gamma_now) {
    const char *name = kind == NN_LAYERNORM ? "LayerNorm" : "RMSNorm";
    norm_kind = kind, has_gamma = gamma_now, rows = 3, width = width_now;
    bool has_beta = gamma_now && kind == NN_LAYERNORM;
    fill(x, rows * width, -1, 2, 1), fill(probe, rows * width, -1, 1, 2);
    fill(gamma_, width, 0.5, 2, 3), fill(beta, width, -1, 1, 4);
    norm_loss();
    begin_sums(dx, rows * width), begin_sums(dgamma, width), begin_sums(dbeta, width);
    ops->norm_backward(ctx, kind, dx, gamma_now ? dgamma : NULL, has_beta ? dbeta : NULL, probe, x, stat,
                       gamma_now ? gamma_ : NULL, rows, width);
    end_sums(dx, rows * width), end_sums(dgamma, width), end_sums(dbeta, width);
    is_gradient(norm_loss, x, dx, rows * width, "%s %zu wide%s: dx", name, width, gamma_now ? "" : ", no gamma");
    if (gamma_now) is_gradient(norm_loss, gamma_, dgamma, width, "%s %zu wide: dgamma", name, width);
    if (has_beta) is_gradient(norm_loss, beta, dbeta, width, "%s %zu wide: dbeta", name, width);
}

static void test_norm_values(void) {
    rows = 1, width = 384, has_gamma = false;
    fill(x, width, 5, 9, 1), fill(probe, width, -1, 1, 2);
    norm_kind = NN_LAYERNORM, norm_loss();
    double mean = ops->sum(ctx, y, width) / (double)width, square = ops->sum_squares(ctx, y, width) / (double)width;
    ok(fabs(mean) < 1e-14 && fabs(square - 1) < 1e-5 && square < 1, "LayerNorm: mean 0, variance 1 (less eps's share)");
    double by_hand = 0;
    for (size_t i = 0; i < width; i++) by_hand += x[i] / (double)width;
    is_near(stat[0], by_hand, 1e-14 * 9, "stat holds the mean");
    norm_kind = NN_RMSNORM, norm_loss();
    square = ops->sum_squares(ctx, x, width) / (double)width;
    is_near(stat[1], 1 / sqrt(square + (double)1e-5f), 1e-15, "RMSNorm: rstd of the mean square");
    ok(stat[0] == 0 && fabs(y[7] - x[7] * stat[1]) < 1e-14, "RMSNorm: the mean is not taken off");
}

/* --- linear --- */

static double w[MOST], dw[MOST], dy[MOST];

static double linear_loss(void) {
    ops->linear(ctx, y, x, w, beta, rows, n_in, n_out);
    return dot(y, probe, rows * n_out);
}

static void test_linear(size_t rows_now, size_t in_now, size_t out_now) {
    rows = rows_now, n_in = in_now, n_out = out_now;
    fill(x, rows * n_in, -1, 1, 1), fill(w, n_in * n_out, -1, 1, 2), fill(beta, n_out, -1, 1, 3);
    fill(probe, rows * n_out, -1, 1, 4);
    linear_loss();
    double by_hand = beta[n_out - 1];
    for (size_t i = 0; i < n_in; i++) by_hand += x[(rows - 1) * n_in + i] * w[(n_out - 1) * n_in + i];
    is_near(y[rows * n_out - 1], by_hand, 1e-14 * (double)n_in, "linear %zu x %zu x %zu", rows, n_in, n_out);
    begin_sums(dw, n_in * n_out), begin_sums(dbeta, n_out), begin_sums(dx, rows * n_in);
    ops->linear_backward(ctx, dx, true, dw, dbeta, probe, x, w, rows, n_in, n_out);
    end_sums(dw, n_in * n_out), end_sums(dbeta, n_out), end_sums(dx, rows * n_in);
    is_gradient(linear_loss, x, dx, rows * n_in, "linear %zu x %zu x %zu: dx, added", rows, n_in, n_out);
    is_gradient(linear_loss, w, dw, n_in * n_out, "linear %zu x %zu x %zu: dw", rows, n_in, n_out);
    is_gradient(linear_loss, beta, dbeta, n_out, "linear %zu x %zu x %zu: dbias", rows, n_in, n_out);
    for (size_t i = 0; i < rows * n_in; i++) y[i] = BEFORE;
    ops->linear_backward(ctx, y, false, dw, NULL, probe, x, w, rows, n_in, n_out);
    double apart = 0;
    for (size_t i = 0; i < rows * n_in; i++) apart = nn_worst(apart, fabs(y[i] - dx[i]));
    ok(apart < 1e-13, "linear: dx, written");
}

static void test_linear_without(void) {
    rows = 2, n_in = 3, n_out = 5;
    fill(dw, n_in * n_out, 0, 0, 1);
    ops->linear(ctx, y, x, w, NULL, rows, n_in, n_out);
    is_near(y[0], dot(x, w, n_in), 1e-15, "linear without a bias");
    ops->linear_backward(ctx, NULL, false, dw, NULL, probe, x, w, rows, n_in, n_out);
    is_near(dw[0], probe[0] * x[0] + probe[n_out] * x[n_in], 1e-15, "linear without dx and dbias");
}

/* --- activations --- */

static nn_act_kind act_kind;

static double act_loss(void) {
    ops->act(ctx, act_kind, y, x, rows, width);
    return dot(y, probe, rows * width);
}

static void test_act(nn_act_kind kind, const char *name, double at_one) {
    act_kind = kind, rows = 3, width = 13;
    size_t n = rows * width * (kind == NN_SWIGLU ? 2 : 1);
    fill(x, n, -4, 4, 1), fill(probe, rows * width, -1, 1, 2);
    ops->act_backward(ctx, kind, dx, probe, x, rows, width);
    is_gradient(act_loss, x, dx, n, "%s: dx", name);
    rows = width = 1, x[0] = x[1] = 1;
    act_loss();
    is_near(y[0], at_one, 1e-15, "%s(1)", name);
    x[0] = -750, act_loss();
    ok(fabs(y[0]) < 1e-300, "%s(-750) is 0 and no NaN", name);
}

static void test_swiglu_halves(void) {
    rows = 2, width = 3, fill(x, 12, -2, 2, 5), act_kind = NN_SWIGLU;
    act_loss();
    is_near(y[4], x[7] / (1 + exp(-x[7])) * x[10], 1e-15, "SwiGLU: gate, then up, row by row");
}

/* --- embedding, gather, scatter, copies --- */

static void test_embed(void) {
    static const int32_t ids[5] = {3, 0, -1, 3, 2};
    static double table[4 * 7], dtable[4 * 7], moved[5 * 7];
    bool right = true;
    fill(table, 28, -1, 1, 1), fill(dy, 35, -1, 1, 2);
    ops->embed(ctx, y, ids, table, 5, 7, false);
    for (size_t r = 0; r < 5; r++)
        for (size_t i = 0; i < 7; i++) right &= y[r * 7 + i] == (ids[r] < 0 ? 0 : table[(size_t)ids[r] * 7 + i]);
    ok(right, "embed takes rows, zeros for a negative id");
    ops->embed(ctx, y, ids, table, 5, 7, true);
    ok(y[6] == 2 * table[27] && y[14] == 0, "embed adds");
    begin_sums(dtable, 28);
    ops->embed_backward(ctx, dtable, ids, dy, 5, 7, 4);
    end_sums(dtable, 28);
    is_near(dtable[21], dy[0] + dy[21], 1e-15, "embed backward adds the rows of one id");
    ok(dtable[7] == 0, "and leaves those that nobody named");
    static const int32_t at[5] = {4, 2, 0, 1, 3};
    ops->gather(ctx, y, dy, at, 5, 7);
    ok(y[0] == dy[28] && y[34] == dy[27], "gather");
    ops->scatter(ctx, moved, y, at, 5, 7);
    ok(memcmp(moved, dy, sizeof moved) == 0, "scatter undoes it");
}

static void test_copies(void) {
    float floats[5] = {1, -2, 0.1f, 3, 4}, back[5];
    double doubles[5];
    double *device = ops->alloc(ctx, 5 * ops->elem);
    ok(device && ops->sum_squares(ctx, device, 5) == 0, "memory is zeroed");
    ops->put_f32(ctx, device, floats, 5), ops->get_f32(ctx, back, device, 5), ops->get(ctx, doubles, device, 5);
    ok(memcmp(floats, back, sizeof back) == 0 && doubles[2] == (double)0.1f, "there and back in floats and doubles");
    is_near(ops->sum(ctx, device, 5), 6.1, 1e-7, "sum");
    is_near(ops->sum_squares(ctx, device, 5), 30.01, 1e-7, "sum of squares");
    ops->add(ctx, device, device, device, 5), ops->get(ctx, doubles, device, 5);
    ok(doubles[3] == 6, "add in place");
    ops->zero(ctx, device, 4), ops->copy(ctx, y, device, 5);
    ok(y[0] == 0 && y[3] == 0 && y[4] == 8, "zero, copy");
    ops->put(ctx, device, doubles, 5);
    ok(ops->sum(ctx, device, 5) == ops->sum(ctx, doubles, 5), "put");
    ops->free(ctx, device);
    ok(ops->scratch_bytes(ctx) > 0, "scratch is counted");
}

/* --- dropout --- */

static void test_dropout(void) {
    const float rate = 0.25f;
    size_t n = MOST, gone = 0, wrong = 0;
    for (size_t i = 0; i < n; i++) x[i] = 1 + (double)i;
    ops->dropout(ctx, x, n, rate, 7, 11);
    for (size_t i = 0; i < n; i++) {
        bool keep = spak_philox_uniform(7, 11, i) >= rate;
        wrong += !(fabs(x[i] - (keep ? (1 + (double)i) / 0.75 : 0)) <= 1e-15 * x[i]);
        gone += !keep;
    }
    is_int(wrong, 0, "dropout keeps and scales what Philox says");
    is_near((double)gone / (double)n, 0.25, 4 * sqrt(0.25 * 0.75 / (double)n), "a quarter is gone");
}

/* --- cross-entropy and argmax --- */

static int32_t targets[8];
static float smoothing;

static double loss_of_logits(void) {
    ops->cross_entropy(ctx, y, NULL, x, targets, rows, width, smoothing, 0.125f);
    return 0.125 * ops->sum(ctx, y, rows);
}

static void test_cross_entropy(float smoothing_now, size_t vocab) {
    rows = 5, width = vocab, smoothing = smoothing_now;
    fill(x, rows * width, -3, 3, 1);
    for (size_t r = 0; r < rows; r++) targets[r] = (int32_t)((r * 7 + 2) % vocab);
    targets[1] = -1, targets[3] = -100;
    ops->cross_entropy(ctx, y, dx, x, targets, rows, width, smoothing, 0.125f);
    is_gradient(loss_of_logits, x, dx, rows * width, "cross-entropy over %zu, smoothing %g: dlogits", vocab,
                (double)smoothing);
    ok(y[1] == 0 && y[3] == 0 && dx[width] == 0 && dx[4 * width - 1] == 0, "ignored targets cost nothing");
    double total = 0, by_hand = 0;
    for (size_t j = 0; j < width; j++) total += exp(x[j]);
    for (size_t j = 0; j < width; j++)
        by_hand -= ((double)smoothing / (double)vocab + ((int32_t)j == targets[0]) * (1 - (double)smoothing)) *
                   log(exp(x[j]) / total);
    is_near(y[0], by_hand, 1e-14, "and the loss is the definition's");
    memcpy(dgamma, x, rows * width * sizeof *x);
    ops->cross_entropy(ctx, y, dgamma, dgamma, targets, rows, width, smoothing, 0.125f);
    ok(memcmp(dgamma, dx, rows * width * sizeof *x) == 0, "dlogits may be logits");
}

static void test_extreme_logits(void) {
    double z[6] = {1e4, -1e4, 0, -1e4, 1e4, 0}, d[6];
    static const int32_t at[2] = {1, 1};
    ops->cross_entropy(ctx, y, d, z, at, 2, 3, 0, 1);
    ok(y[0] == 2e4 && y[1] == 0, "logits of 1e4 and -1e4: losses of 20000 and 0");
    ok(d[0] == 1 && d[1] == -1 && d[2] == 0 && d[3] == 0 && d[4] == 0, "with gradients of 1, -1 and 0");
}

static void test_argmax(void) {
    static const double z[9] = {1, 5, 5, -2, -2, -2, -9, 1e4, -1e4};
    int32_t best[3];
    ops->argmax(ctx, best, y, z, 3, 3);
    ok(best[0] == 1 && best[1] == 0 && best[2] == 1, "argmax: the lowest of equal ones");
    is_near(y[0], 1 / (2 + exp(-4.0)), 1e-15, "its probability");
    is_near(y[1], 1.0 / 3, 1e-15, "of three equal ones, a third");
    ok(y[2] == 1, "of 1e4 beside -1e4, all");
    best[0] = 9, ops->argmax(ctx, best, NULL, z, 3, 3);
    is_int(best[0], 1, "argmax without confidence");
}

/* --- AdamW --- */

/* Written out for one number: with beta1 = 1/2, beta2 = 3/4, rate 1/8, decay 1/4, eps 0, gradients 4 and then -2, each
 * halved by grad_scale. Step 1: p = 2 (1 - 1/32) - 1/8. Step 2: m = 0.5 * 1 + 0.5 * -1 = 0, so only the decay is left.
 */
static void test_adamw(void) {
    nn_adamw a = {.rate = 0.125f, .beta1 = 0.5f, .beta2 = 0.75f, .decay = 0.25f, .step = 1, .grad_scale = 0.5f};
    double p = 2, m = 0, v = 0, g = 4;
    ops->adamw(ctx, &p, &m, &v, &g, 1, &a);
    is_near(p, 2 * (1 - 1.0 / 32) - 0.125, 1e-15, "AdamW: the first step is the rate, whatever the gradient");
    ok(m == 1 && v == 1, "its averages");
    a.step = 2, a.decay = 0, a.eps = 1, g = -4;
    double before = p;
    ops->adamw(ctx, &p, &m, &v, &g, 1, &a);
    double v_hat = (0.75 * 1 + 0.25 * 4) / (1 - 0.75 * 0.75), m_hat = (0.5 * 1 - 0.5 * 2) / (1 - 0.25);
    is_near(p, before - 0.125 * m_hat / (sqrt(v_hat) + 1), 1e-15, "AdamW: bias corrections, eps outside the root");
}

static void test_no_memory(void) {
    nn_attention attention = {.kv_len = 9};
    nn_limits limits = {.threads = 1, .num_attentions = 1, .attentions = &attention};
    spak_error err;
    for (long n = 0; n < 3; n++) {
        nn_ctx *none = ctx;
        spak_alloc_fail_after(n);
        bool opened = ops->open(&limits, &none, &err);
        spak_alloc_fail_after(-1);
        ok(!opened && !none, "open says so when allocation %ld fails", n);
    }
}

int main(void) {
    spak_error err;
    nn_limits limits = {.threads = 1, .rows = 8, .width = 512, .vocab = 64};
    if (!ok(ops->open(&limits, &ctx, &err), "open")) return 1;
    static const size_t widths[] = {1, 13, 384};
    for (int i = 0; i < 3; i++) {
        test_norm(NN_LAYERNORM, widths[i], true), test_norm(NN_LAYERNORM, widths[i], false);
        test_norm(NN_RMSNORM, widths[i], true), test_norm(NN_RMSNORM, widths[i], false);
    }
    test_norm_values();
    test_linear(1, 1, 1), test_linear(19, 13, 7), test_linear(5, 24, 33);
    test_linear_without();
    test_act(NN_GELU_ERF, "GELU (erf)", 0.84134474606854293); /* the normal distribution at 1 */
    test_act(NN_GELU_TANH, "GELU (tanh)", 0.5 * (1 + tanh(sqrt(2 / acos(-1)) * 1.044715)));
    test_act(NN_RELU, "ReLU", 1);
    test_act(NN_SILU, "SiLU", 1 / (1 + exp(-1)));
    test_act(NN_SWIGLU, "SwiGLU", 1 / (1 + exp(-1)));
    test_swiglu_halves();
    test_embed();
    test_copies();
    test_dropout();
    test_cross_entropy(0, 13), test_cross_entropy(0.1f, 13), test_cross_entropy(0.1f, 1);
    test_extreme_logits();
    test_argmax();
    test_adamw();
    test_no_memory();
    ops->close(ctx);
    return done_testing();
}
