/* The oracle: the operator table in double precision, by the formulas, on one thread.
 *
 * It is what the other tables are held against, so it is written to be seen to be right: each function is its formula,
 * with libm's functions and no reordering for speed. Whole models of 12 layers run through it all the same, so the
 * matrix products keep their inner loop along rows in memory, where the compiler makes vectors of it. A float of the
 * contract (a rate, an epsilon) is used at its exact value.
 *
 * Attention and rotary positions are in oracle_attention.c. */
#include "nn/oracle.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

/* --- memory --- */

static void close_oracle(nn_ctx *ctx) {
    if (ctx) spak_free(ctx->weights);
    if (ctx) spak_free(ctx->dscores);
    spak_free(ctx);
}

static bool open_oracle(const nn_limits *limits, nn_ctx **ctx, spak_error *err) {
    *ctx = spak_calloc(1, sizeof **ctx);
    if (!*ctx) return spak_fail_oom(err);
    (*ctx)->keys = 1;
    for (size_t i = 0; i < limits->num_attentions; i++)
        if (limits->attentions[i].kv_len > (*ctx)->keys) (*ctx)->keys = limits->attentions[i].kv_len;
    (*ctx)->weights = spak_calloc((*ctx)->keys, sizeof(double));
    (*ctx)->dscores = spak_calloc((*ctx)->keys, sizeof(double));
    if ((*ctx)->weights && (*ctx)->dscores) return true;
    close_oracle(*ctx);
    *ctx = NULL;
    return spak_fail_oom(err);
}

static size_t scratch_bytes(const nn_ctx *ctx) { return 2 * ctx->keys * sizeof(double); }

static void *alloc_memory(CTX, size_t bytes) { return spak_calloc(1, bytes ? bytes : 1); }
static void free_memory(CTX, void *memory) { spak_free(memory); }

/* A copy of nothing may come with NULL, which memcpy may not be given. */
static void copy(CTX, void *to, const void *from, size_t n) {
    if (n) memcpy(to, from, n * sizeof(double));
}
static void put(nn_ctx *ctx, void *to, const double *from, size_t n) { copy(ctx, to, from, n); }
static void get(nn_ctx *ctx, double *to, const void *from, size_t n) { copy(ctx, to, from, n); }

static void put_f32(CTX, void *to, const float *from, size_t n) {
    for (size_t i = 0; i < n; i++) *out(to, i) = (double)from[i];
}
static void get_f32(CTX, float *to, const void *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = (float)*in(from, i);
}
static void zero(CTX, void *x, size_t n) {
    for (size_t i = 0; i < n; i++) *out(x, i) = 0;
}

/* --- embedding, gather, scatter --- */

static void embed(CTX, void *y, const int32_t *ids, const void *table, size_t rows, size_t width, bool add_to) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double value = ids[r] < 0 ? 0 : *in(table, (size_t)ids[r] * width + i);
            *out(y, r * width + i) = add_to ? *in(y, r * width + i) + value : value;
        }
}

static void embed_backward(CTX, void *dtable, const int32_t *ids, const void *dout, size_t rows, size_t width,
                           size_t vocab) {
    (void)vocab;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; ids[r] >= 0 && i < width; i++)
            *out(dtable, (size_t)ids[r] * width + i) += *in(dout, r * width + i);
}

static void gather(CTX, void *y, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) *out(y, r * width + i) = *in(x, (size_t)rows_at[r] * width + i);
}

static void scatter(CTX, void *y, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) *out(y, (size_t)rows_at[r] * width + i) = *in(x, r * width + i);
}

/* --- norms --- */

static double mean_of(const double *x, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += x[i];
    return total / (double)n;
}

static double mean_square_about(const double *x, double centre, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += (x[i] - centre) * (x[i] - centre);
    return total / (double)n;
}

static void norm(CTX, nn_norm_kind kind, void *y, void *stat, const void *x, const void *gamma, const void *beta,
                 size_t rows, size_t width, float eps) {
    for (size_t r = 0; r < rows; r++) {
        const double *xr = in(x, r * width);
        double *yr = out(y, r * width), mean = kind == NN_LAYERNORM ? mean_of(xr, width) : 0;
        double rstd = 1 / sqrt(mean_square_about(xr, mean, width) + (double)eps);
        for (size_t i = 0; i < width; i++)
            yr[i] = (xr[i] - mean) * rstd * (gamma ? *in(gamma, i) : 1) + (beta ? *in(beta, i) : 0);
        *out(stat, 2 * r) = mean;
        *out(stat, 2 * r + 1) = rstd;
    }
}

/* With xhat = (x - mean) rstd and g = dy gamma:  dx = rstd (g - mean(g) - xhat mean(g xhat)); the mean of g stems from
 * the mean of x, so RMSNorm has none. */
static void norm_backward(CTX, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                          const void *stat, const void *gamma, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) {
        const double *xr = in(x, r * width), *dyr = in(dy, r * width);
        double mean = *in(stat, 2 * r), rstd = *in(stat, 2 * r + 1), mean_g = 0, mean_g_xhat = 0;
        for (size_t i = 0; i < width; i++) {
            double xhat = (xr[i] - mean) * rstd, g = dyr[i] * (gamma ? *in(gamma, i) : 1);
            mean_g += g / (double)width;
            mean_g_xhat += g * xhat / (double)width;
            if (dgamma) *out(dgamma, i) += dyr[i] * xhat;
            if (dbeta) *out(dbeta, i) += dyr[i];
        }
        if (kind == NN_RMSNORM) mean_g = 0;
        for (size_t i = 0; i < width; i++) {
            double xhat = (xr[i] - mean) * rstd, g = dyr[i] * (gamma ? *in(gamma, i) : 1);
            *out(dx, r * width + i) += rstd * (g - mean_g - xhat * mean_g_xhat);
        }
    }
}

/* --- linear --- */

double oracle_dot(const double *a, const double *b, size_t n) {
    double part[8] = {0}, rest = 0;
    size_t whole = n - n % 8;
    for (size_t i = 0; i < whole; i += 8)
        for (size_t lane = 0; lane < 8; lane++) part[lane] += a[i + lane] * b[i + lane];
    for (size_t i = whole; i < n; i++) rest += a[i] * b[i];
    for (size_t lane = 0; lane < 8; lane++) rest += part[lane];
    return rest;
}

enum { ROWS_AT_ONCE = 16 }; /* of x or dy: they stay in the cache while all of w goes by once */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void linear(CTX, void *y, const void *x, const void *w, const void *bias, size_t rows, size_t n_in,
                   size_t n_out) {
    for (size_t first = 0; first < rows; first += ROWS_AT_ONCE)
        for (size_t o = 0; o < n_out; o++)
            for (size_t r = first; r < least(first + ROWS_AT_ONCE, rows); r++)
                *out(y, r * n_out + o) = oracle_dot(in(x, r * n_in), in(w, o * n_in), n_in) + (bias ? *in(bias, o) : 0);
}

static void add_scaled(double *restrict y, double scale, const double *restrict x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += scale * x[i];
}

static void linear_backward(CTX, void *dx, bool add_dx, void *dw, void *dbias, const void *dy, const void *x,
                            const void *w, size_t rows, size_t n_in, size_t n_out) {
    if (dx && !add_dx) zero(ctx, dx, rows * n_in);
    for (size_t first = 0; first < rows; first += ROWS_AT_ONCE)
        for (size_t o = 0; o < n_out; o++)
            for (size_t r = first; r < least(first + ROWS_AT_ONCE, rows); r++) {
                double d = *in(dy, r * n_out + o);
                if (dx) add_scaled(out(dx, r * n_in), d, in(w, o * n_in), n_in);
                if (dw) add_scaled(out(dw, o * n_in), d, in(x, r * n_in), n_in);
                if (dbias) *out(dbias, o) += d;
            }
}

/* --- activations --- */

#define SQRT_2_OVER_PI 0.79788456080286535588
#define GELU_CUBIC     0.044715

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double act_of(nn_act_kind kind, double x) {
    switch (kind) {
        case NN_GELU_ERF: return 0.5 * x * (1 + erf(x / sqrt(2)));
        case NN_GELU_TANH: return 0.5 * x * (1 + tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)));
        case NN_RELU: return x > 0 ? x : 0;
        default: return x * sigmoid(x); /* SiLU, and SwiGLU's gate */
    }
}

static double act_slope(nn_act_kind kind, double x) {
    switch (kind) {
        case NN_GELU_ERF: return 0.5 * (1 + erf(x / sqrt(2))) + 0.5 * x * SQRT_2_OVER_PI * exp(-0.5 * x * x);
        case NN_GELU_TANH: {
            double t = tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
            return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);
        }
        case NN_RELU: return x > 0 ? 1 : 0;
        default: return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    }
}

static void act(CTX, nn_act_kind kind, void *y, const void *x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++)
            if (kind == NN_SWIGLU) {
                const double *gate = in(x, 2 * r * width), *up = gate + width;
                *out(y, r * width + i) = act_of(kind, gate[i]) * up[i];
            } else {
                *out(y, r * width + i) = act_of(kind, *in(x, r * width + i));
            }
}

static void act_backward(CTX, nn_act_kind kind, void *dx, const void *dy, const void *x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double d = *in(dy, r * width + i);
            if (kind == NN_SWIGLU) {
                const double *gate = in(x, 2 * r * width), *up = gate + width;
                *out(dx, 2 * r * width + i) = d * up[i] * act_slope(kind, gate[i]);
                *out(dx, 2 * r * width + width + i) = d * act_of(kind, gate[i]);
            } else {
                *out(dx, r * width + i) = d * act_slope(kind, *in(x, r * width + i));
            }
        }
}

/* --- element by element --- */

static void add(CTX, void *y, const void *a, const void *b, size_t n) {
    for (size_t i = 0; i < n; i++) *out(y, i) = *in(a, i) + *in(b, i);
}

static void dropout(CTX, void *x, size_t n, float rate, uint64_t seed, uint64_t stream) {
    for (size_t i = 0; i < n; i++) {
        bool keep = spak_philox_uniform(seed, stream, i) >= rate;
        *out(x, i) = keep ? *in(x, i) / (1 - (double)rate) : 0;
    }
}

static double sum(CTX, const void *x, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += *in(x, i);
    return total;
}

static double sum_squares(CTX, const void *x, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += *in(x, i) * *in(x, i);
    return total;
}

/* --- the loss --- */

/* max and log(sum exp(x)), by the shifted sum: no exponential overflows. */
static double largest_of(const double *x, size_t n) {
    double largest = -INFINITY;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, x[i]);
    return largest;
}

static double log_sum_exp(const double *x, size_t n) {
    double largest = largest_of(x, n), total = 0;
    for (size_t i = 0; i < n; i++) total += exp(x[i] - largest);
    return largest + log(total);
}

/* loss = sum_j want_j (lse - logit_j), dlogit_j = p_j - want_j; want is the smoothed target. */
static void cross_entropy(CTX, void *losses, void *dlogits, const void *logits, const int32_t *targets, size_t rows,
                          size_t vocab, float smoothing, float weight) {
    for (size_t r = 0; r < rows; r++) {
        const double *z = in(logits, r * vocab);
        double lse = log_sum_exp(z, vocab), loss = 0;
        for (size_t j = 0; j < vocab; j++) {
            double want = (double)smoothing / (double)vocab + ((int64_t)j == targets[r] ? 1 - (double)smoothing : 0);
            double p = exp(z[j] - lse);
            loss += want * (lse - z[j]);
            if (dlogits) *out(dlogits, r * vocab + j) = targets[r] < 0 ? 0 : (p - want) * (double)weight;
        }
        *out(losses, r) = targets[r] < 0 ? 0 : loss;
    }
}

static void argmax(CTX, int32_t *best, void *confidence, const void *logits, size_t rows, size_t vocab) {
    for (size_t r = 0; r < rows; r++) {
        const double *z = in(logits, r * vocab);
        size_t at = 0;
        for (size_t j = 1; j < vocab; j++)
            if (z[j] > z[at]) at = j;
        best[r] = (int32_t)at;
        if (confidence) *out(confidence, r) = exp(z[at] - log_sum_exp(z, vocab));
    }
}

/* --- AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW has it --- */

static void adamw(CTX, void *param, void *m, void *v, const void *grad, size_t n, const nn_adamw *a) {
    double rate = (double)a->rate, beta1 = (double)a->beta1, beta2 = (double)a->beta2;
    double bias1 = 1 - pow(beta1, (double)a->step), bias2 = 1 - pow(beta2, (double)a->step);
    for (size_t i = 0; i < n; i++) {
        double *p = out(param, i), *mi = out(m, i), *vi = out(v, i), g = *in(grad, i) * (double)a->grad_scale;
        *p -= rate * (double)a->decay * *p;
        *mi = beta1 * *mi + (1 - beta1) * g;
        *vi = beta2 * *vi + (1 - beta2) * g * g;
        *p -= rate * (*mi / bias1) / (sqrt(*vi / bias2) + (double)a->eps);
    }
}

const nn_ops nn_oracle = {
    .name = "oracle",
    .elem = sizeof(double),
    .open = open_oracle,
    .close = close_oracle,
    .scratch_bytes = scratch_bytes,
    .alloc = alloc_memory,
    .free = free_memory,
    .put = put,
    .get = get,
    .put_f32 = put_f32,
    .get_f32 = get_f32,
    .copy = copy,
    .zero = zero,
    .embed = embed,
    .embed_backward = embed_backward,
    .norm = norm,
    .norm_backward = norm_backward,
    .linear = linear,
    .linear_backward = linear_backward,
    .act = act,
    .act_backward = act_backward,
    .rope = oracle_rope,
    .attention = oracle_attention,
    .attention_backward = oracle_attention_backward,
    .add = add,
    .dropout = dropout,
    .cross_entropy = cross_entropy,
    .argmax = argmax,
    .sum = sum,
    .sum_squares = sum_squares,
    .adamw = adamw,
    .gather = gather,
    .scatter = scatter,
};
