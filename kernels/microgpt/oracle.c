/* The loss once more, in plain loops over doubles with no vectors, no copies
 * and no cache: what the step is judged by. It shares no code with the step,
 * and sums in another order. */
#include <math.h>

#include "microgpt/microgpt.h"

enum { D = MICROGPT_WIDTH, DEEP = MICROGPT_HIDDEN };

static double dot(const double *x, const double *y, int n) {
    double sum[4] = {0};
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j < 4; j++) sum[j] += x[i + j] * y[i + j];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* y (out) = w (out, in) x (in). */
static void linear(const double *w, const double *x, int out, int in,
                   double *y) {
    for (int o = 0; o < out; o++) y[o] = dot(w + o * in, x, in);
}

static void norm(const double *x, double *y) {
    double factor = pow(dot(x, x, D) / D + MICROGPT_NORM_EPS, -0.5);
    for (int i = 0; i < D; i++) y[i] = x[i] * factor;
}

static void softmax(double *x, size_t n) {
    double most = x[0], total = 0;
    for (size_t i = 1; i < n; i++) most = fmax(most, x[i]);
    for (size_t i = 0; i < n; i++) total += x[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++) x[i] /= total;
}

/* qkv holds q, k, v of positions 0 to t. */
static void attend(double (*qkv)[3 * D], size_t t, double *out) {
    enum { E = MICROGPT_HEAD_DIM };
    for (int at = 0; at < D; at += E) {
        double p[MICROGPT_CONTEXT];
        for (size_t j = 0; j <= t; j++)
            p[j] = dot(qkv[t] + at, qkv[j] + D + at, E) / sqrt(E);
        softmax(p, t + 1);
        for (int i = at; i < at + E; i++) {
            out[i] = 0;
            for (size_t j = 0; j <= t; j++) out[i] += p[j] * qkv[j][2 * D + i];
        }
    }
}

static uint64_t mlp(const double *params, const double *x, double *y,
                    double *margin) {
    double hidden[DEEP];
    uint64_t active = 0;
    linear(params + MICROGPT_FC1, x, DEEP, D, hidden);
    for (int i = 0; i < DEEP; i++) {
        double terms = 0;
        for (int j = 0; j < D; j++)
            terms += fabs(params[MICROGPT_FC1 + D * i + j] * x[j]);
        *margin = fmin(*margin, fabs(hidden[i]) / terms);
        if (hidden[i] > 0) active |= (uint64_t)1 << i;
        hidden[i] = fmax(hidden[i], 0);
    }
    linear(params + MICROGPT_FC2, hidden, D, DEEP, y);
    return active;
}

double microgpt_oracle_loss(const double *params, const microgpt_doc *doc,
                            microgpt_oracle *out) {
    double qkv[MICROGPT_CONTEXT][3 * D], sum = 0, margin = INFINITY;
    for (size_t t = 0; t < doc->n; t++) {
        const double *token = params + MICROGPT_WTE + doc->tokens[t] * D,
                     *place = params + MICROGPT_WPE + t * D;
        double x[D], y[D], attended[D], logits[MICROGPT_TOKENS];
        for (int i = 0; i < D; i++) x[i] = token[i] + place[i];
        norm(x, x);
        norm(x, y);
        linear(params + MICROGPT_QKV, y, 3 * D, D, qkv[t]);
        attend(qkv, t, attended);
        linear(params + MICROGPT_WO, attended, D, D, y);
        for (int i = 0; i < D; i++) x[i] += y[i];
        norm(x, y);
        uint64_t active = mlp(params, y, attended, &margin);
        for (int i = 0; i < D; i++) x[i] += attended[i];
        linear(params + MICROGPT_HEAD, x, MICROGPT_TOKENS, D, logits);
        for (int i = 0; i < MICROGPT_TOKENS && out; i++)
            out->logits[t][i] = logits[i];
        if (out) out->active[t] = active;
        softmax(logits, MICROGPT_TOKENS);
        sum -= log(logits[doc->tokens[t + 1]]);
    }
    if (out) out->margin = margin;
    return sum / (double)doc->n;
}

double microgpt_loss_bound(double loss, double u) {
    return (MICROGPT_CHAIN * loss + MICROGPT_SOFTMAX_ROUNDINGS) * u;
}

void microgpt_oracle_adam(double *p, double *m, double *v, double g,
                          double rate, int step) {
    *m = MICROGPT_BETA1 * *m + (1 - MICROGPT_BETA1) * g;
    *v = MICROGPT_BETA2 * *v + (1 - MICROGPT_BETA2) * (g * g);
    double m_hat = *m / (1 - pow(MICROGPT_BETA1, step + 1)),
           v_hat = *v / (1 - pow(MICROGPT_BETA2, step + 1));
    *p -= rate * m_hat / (sqrt(v_hat) + MICROGPT_ADAM_EPS);
}
