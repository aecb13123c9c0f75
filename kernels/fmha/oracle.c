/* The oracle: attention by its definition, in double precision, and how far a
 * float result may lie from it.
 *
 * Every bound is derived from the unit roundoff u = 2^-24 and counts of
 * roundings; nothing is tuned. gamma_k = k u / (1 - k u) bounds k roundings in
 * a chain (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1).
 *
 * 1. Scores. s_j = scale sum_d q_d k_jd. A float score went through d roundings
 *    of the sum and at most 5 of the scale: its square root, its reciprocal,
 *    log2(e), their product, the product with the sum. So it is off by at most
 *    gamma_{d+5} A_j, A_j = |scale| sum_d |q_d k_jd|.
 * 2. Exponentials. An absolute error in the argument is a relative one in exp.
 *    Arguments are differences, rounded, times a rounded log2(e): 3 u |t|.
 *    Along the running maxima m_1 <= m_2 <= ... the differences add up to
 *    m - s_j, whatever the tiles were: the sum telescopes. Each exp2 is off by
 *    EXP_ERROR u. A key meets one of its own, and one for each of R rescales at
 *    most: R <= kv_len / 8 + 1, for no tile is narrower than 8 keys. All in all
 *    the weight of key j is exp(s_j - m) times e^x with
 *
 *      |x| <= E_j = gamma_{d+5} A_j + 3 u (m - s_j) + EXP_ERROR (R + 1) u
 *
 *    and a factor that all keys share, which cancels. (Terms of order u^2 are
 *    below what 1 allows for the scale and no kernel here uses up.)
 * 3. The quotient. Numerator and denominator see the same weights. So p_j moves
 *    by at most a factor 1 + g_j = e^{E_j} L with L = sum_j p_j e^{E_j}: the
 *    largest e^x over the smallest sum is below it because
 *    1 <= (sum p e^E) (sum p e^-E) (Cauchy and Schwarz), and the other side
 *    likewise.
 * 4. Sums. n products and their sums, R rescales, the same for the denominator,
 *    the division: N = 2 (n + R) + 4 roundings, phi = gamma_N. Together
 *
 *      |O - o| <= sum_j p_j |v_j| ((1 + g_j) (1 + phi) - 1)
 *              =  phi * sum_j p_j |v_j| (1 + g_j (1 + phi) / phi)
 *
 *    of which fmha_oracle returns the sum and fmha_error_factor the phi.
 * 5. 16 bits, unit roundoff w: P is rounded once and O once. That adds (2 w +
 *    w^2) (1 + phi) to the factor. Below 2^-14 the spacing of f16 no longer
 *    shrinks: P and O are off by 2^-25 at most, which SUBNORMAL times 2 w
 *    covers. The same term covers exponentials that underflow in float.
 * 6. No float result leaves the hull of V by more than roundings, so 2 max |v|
 *    bounds the error too: it takes over where logits of 10^5 leave the float
 *    exponents meaningless.
 *
 * The oracle's own error has 2^-53 in place of u: nine digits below. */
#include "fmha/oracle.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* Unit roundoffs, and f16's 2^-25 as a multiple of 2 w = 2^-10. */
#define U         0x1p-24
#define U_F16     0x1p-11
#define U_BF16    0x1p-8
#define SUBNORMAL 0x1p-15

enum {
    EXP_ERROR = 4,       /* u: what an exp or exp2 may be off by */
    NARROWEST_TILE = 8,  /* keys: R <= kv_len / 8 + 1 */
    SCALE_ROUNDINGS = 5, /* see 1 above */
};

static double gamma_of(double roundings) {
    return roundings * U / (1 - roundings * U);
}

static double rescales(const fmha_shape *shape) {
    return (double)(shape->kv_len / NARROWEST_TILE + 1);
}

static double with_dtype(double phi, fmha_dtype dtype) {
    double w = dtype == FMHA_F16 ? U_F16 : dtype == FMHA_BF16 ? U_BF16 : 0;
    return phi + (2 * w + w * w) * (1 + phi);
}

static double forward_phi(const fmha_shape *shape) {
    return gamma_of(2 * ((double)shape->kv_len + rescales(shape)) + 4);
}

double fmha_error_factor(const fmha_shape *shape, fmha_dtype dtype) {
    return with_dtype(forward_phi(shape), dtype);
}

double fmha_scale(const fmha_shape *shape) {
    return shape->scale != 0 ? (double)shape->scale
                             : 1 / sqrt((double)shape->head_dim);
}

/* --- one row of the forward pass --- */

/* Query i of head h in batch b, with what it sees. */
typedef struct row {
    const fmha_shape *shape;
    size_t keys;        /* that it sees */
    const float *q;     /* (D) */
    const float *k, *v; /* of key 0 */
    size_t k_row, v_row;
    double *s, *size; /* (keys): scores; A_j */
    double *p;        /* (keys): softmax(s) */
    double max, lse;
    double *grown; /* (keys): g_j */
    double spread; /* log L: how far the sum of the exponentials may be off */
} row;

static bool row_new(row *r, const fmha_shape *shape, spak_error *err) {
    memset(r, 0, sizeof *r);
    r->shape = shape;
    r->s = spak_malloc((4 * shape->kv_len + 1) * sizeof *r->s);
    if (!r->s) return spak_fail_oom(err);
    r->size = r->s + shape->kv_len;
    r->p = r->size + shape->kv_len;
    r->grown = r->p + shape->kv_len;
    return true;
}

static const float *at(const fmha_in *x, size_t b, size_t h, size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}

static void row_at(row *r, const fmha_in *q, const fmha_in *k, const fmha_in *v,
                   size_t b, size_t h, size_t i) {
    size_t kv = h / (r->shape->heads / r->shape->kv_heads);
    r->keys = fmha_keys_seen(r->shape, i);
    r->q = at(q, b, h, i);
    r->k = r->v = NULL;
    if (r->keys) r->k = at(k, b, kv, 0), r->v = at(v, b, kv, 0);
    r->k_row = k->row;
    r->v_row = v->row;
}

//> oracle
/* s_j = scale q k_j over the keys that the query sees, and
 * A_j = |scale| sum_d |q_d k_jd|, which says how large the terms were. */
static void row_scores(row *r) {
    double scale = fmha_scale(r->shape);
    r->max = -INFINITY;
    for (size_t j = 0; j < r->keys; j++) {
        const float *k = r->k + j * r->k_row;
        double sum = 0, size = 0;
        for (size_t d = 0; d < r->shape->head_dim; d++) {
            double product = (double)r->q[d] * (double)k[d]; /* exact */
            sum += product;
            size += fabs(product);
        }
        r->s[j] = scale * sum;
        r->size[j] = fabs(scale) * size;
        r->max = fmax(r->max, r->s[j]);
    }
}

/* p = softmax(s) and the logarithm of its denominator. The largest score is
 * taken off first: exp of it may overflow, exp of a difference cannot. */
static void row_softmax(row *r) {
    double sum = 0;
    for (size_t j = 0; j < r->keys; j++) {
        r->p[j] = exp(r->s[j] - r->max);
        sum += r->p[j];
    }
    for (size_t j = 0; j < r->keys; j++) r->p[j] /= sum;
    r->lse = r->keys ? r->max + log(sum) : -INFINITY;
}

/* o_d = sum_j p_j v_jd. A query that sees no key gets zeros. */
static void row_output(const row *r, double *o) {
    memset(o, 0, r->shape->head_dim * sizeof *o);
    for (size_t j = 0; j < r->keys; j++)
        for (size_t d = 0; d < r->shape->head_dim; d++)
            o[d] += r->p[j] * (double)r->v[j * r->v_row + d];
}
//< oracle

/* e^x, finite in any case: beyond e^60 no bound says anything. */
static double grow(double x) { return exp(fmin(x, 60)); }

/* g_j and log L: steps 2 and 3 above. */
static void row_errors(row *r) {
    double scores = gamma_of((double)r->shape->head_dim + SCALE_ROUNDINGS),
           exps = EXP_ERROR * (rescales(r->shape) + 1) * U, sum = 0;
    for (size_t j = 0; j < r->keys; j++) {
        double e = scores * r->size[j] + 3 * U * (r->max - r->s[j]) + exps;
        r->grown[j] = grow(e);
        sum += r->p[j] * r->grown[j];
    }
    for (size_t j = 0; j < r->keys; j++) r->grown[j] = r->grown[j] * sum - 1;
    r->spread = r->keys ? log(sum) : 0;
}

/* Steps 4 to 6: what phi is to be multiplied by. */
static void row_bound(const row *r, double *bound) {
    double phi = forward_phi(r->shape), per_growth = (1 + phi) / phi;
    for (size_t d = 0; d < r->shape->head_dim; d++) {
        double sum = 0, all = 0, most = 0;
        for (size_t j = 0; j < r->keys; j++) {
            double v = fabs((double)r->v[j * r->v_row + d]);
            sum += r->p[j] * v * (1 + r->grown[j] * per_growth);
            all += v;
            most = fmax(most, v);
        }
        sum = fmin(sum, (2 + phi) / phi * most);
        /* f16 has no number below 2^-24 but 0 */
        bound[d] = sum + SUBNORMAL * (all + (most >= 0x1p-24 ? 1 : 0));
    }
}

bool fmha_oracle(const fmha_shape *shape, const fmha_forward_args *x, double *o,
                 double *lse, double *o_bound, spak_error *err) {
    row r;
    if (!row_new(&r, shape, err)) return false;
    for (size_t b = 0, line = 0; b < shape->batch; b++)
        for (size_t h = 0; h < shape->heads; h++)
            for (size_t i = 0; i < shape->q_len; i++, line++) {
                row_at(&r, &x->q, &x->k, &x->v, b, h, i);
                row_scores(&r);
                row_softmax(&r);
                if (o) row_output(&r, o + line * shape->head_dim);
                if (lse) lse[line] = r.lse;
                if (!o_bound) continue;
                row_errors(&r);
                row_bound(&r, o_bound + line * shape->head_dim);
            }
    spak_free(r.s);
    return true;
}

/* LSE = m + log(sum): the exponents' errors move the logarithm by log L, the
 * sum's roundings by phi; the logarithm, the addition and the way between base
 * 2 and base e put at most 8 roundings on each of m and log(sum). */
bool fmha_oracle_lse_bound(const fmha_shape *shape, const fmha_forward_args *x,
                           double *lse_bound, spak_error *err) {
    row r;
    if (!row_new(&r, shape, err)) return false;
    for (size_t b = 0, line = 0; b < shape->batch; b++)
        for (size_t h = 0; h < shape->heads; h++)
            for (size_t i = 0; i < shape->q_len; i++, line++) {
                row_at(&r, &x->q, &x->k, &x->v, b, h, i);
                row_scores(&r);
                row_softmax(&r);
                row_errors(&r);
                double sizes = fabs(r.max) + (r.lse - r.max) + 1;
                lse_bound[line] =
                    r.keys ? r.spread + forward_phi(shape) + 8 * U * sizes : 0;
            }
    spak_free(r.s);
    return true;
}

/* --- backward ---
 *
 * With P = exp(S - LSE), dP = dO V^T, D = rowsum(dO o O), dS = P o (dP - D):
 *
 *   dV = P^T dO     dQ = scale dS K     dK = scale dS^T Q
 *
 * O and LSE are inputs, as they are to the kernel, and taken as exact: errors
 * of the forward pass are the forward pass's. (Where they are left out, the
 * oracle puts in its own.) So
 *
 * 1. P is off by a factor 1 + g, log(1 + g) = gamma_{d+5} A + 3 u |s - LSE| +
 *    2 u |LSE| + EXP_ERROR u: the scores, the difference, LSE's way to base 2.
 * 2. dP - D is off by delta = gamma_{d+1} (sum_d |dO v| + sum_d |dO O|).
 * 3. dS is off by X = P (g |dP - D| + (1 + g) (delta + 3 u (|dP - D| +
 * delta))).
 * 4. The sums have at most max(kv_len, q_len group) terms, and the scale and
 *    its product add 8 roundings at most: phi = gamma of that, and
 *
 *      |dQ - exact| <= phi * scale sum |K| (|dS| + X (1 + phi) / phi)
 *
 *    and likewise dK with Q, dV with P, g P and dO.
 * 5. 16 bits as in the forward pass: P, dS and the outputs are rounded once. */

static double backward_phi(const fmha_shape *shape) {
    size_t group = shape->heads / shape->kv_heads,
           terms = shape->q_len * group > shape->kv_len ? shape->q_len * group
                                                        : shape->kv_len;
    return gamma_of((double)terms + 8);
}

double fmha_backward_error_factor(const fmha_shape *shape, fmha_dtype dtype) {
    return with_dtype(backward_phi(shape), dtype);
}

/* Where a row's gradients go; any may be NULL. */
typedef struct gradients {
    double *dq, *dq_bound;                 /* (D), of the row */
    double *dk, *dv, *dk_bound, *dv_bound; /* (Tk, D), of the head */
    double scale, slack /* max(1, |scale|): dS may be scaled when rounded */;
} gradients;

static void add_scaled(double *to, double factor, const float *x, size_t n) {
    for (size_t d = 0; to && d < n; d++) to[d] += factor * (double)x[d];
}
static void add_size(double *to, double factor, const float *x, size_t n) {
    for (size_t d = 0; to && d < n; d++) to[d] += factor * fabs((double)x[d]);
}

/* What key j gives to the row's gradients and gets from them. */
static void backward_key(const row *r, size_t j, const float *d_o, double dot,
                         double dot_size, const gradients *g) {
    size_t dim = r->shape->head_dim;
    const float *k = r->k + j * r->k_row, *v = r->v + j * r->v_row;
    double dp = 0, dp_size = 0, phi = backward_phi(r->shape);
    for (size_t d = 0; d < dim; d++) {
        double product = (double)d_o[d] * (double)v[d];
        dp += product;
        dp_size += fabs(product);
    }
    double p = r->p[j], ds = p * (dp - dot);
    add_scaled(g->dq, g->scale * ds, k, dim);
    if (g->dk) add_scaled(g->dk + j * dim, g->scale * ds, r->q, dim);
    if (g->dv) add_scaled(g->dv + j * dim, p, d_o, dim);

    double grown = r->grown[j], off = fabs(dp - dot),
           delta = gamma_of((double)dim + 1) * (dp_size + dot_size),
           x = p *
               (grown * off + (1 + grown) * (delta + 3 * U * (off + delta))),
           more = (1 + phi) / phi,
           ds_bound =
               fabs(g->scale) * (fabs(ds) + x * more) + g->slack * SUBNORMAL,
           p_bound = p * (1 + grown * more) + SUBNORMAL;
    add_size(g->dq_bound, ds_bound, k, dim);
    if (g->dk_bound) add_size(g->dk_bound + j * dim, ds_bound, r->q, dim);
    if (g->dv_bound) add_size(g->dv_bound + j * dim, p_bound, d_o, dim);
}

static void backward_row(row *r, const float *d_o, const float *o,
                         const float *lse, gradients *g) {
    size_t dim = r->shape->head_dim;
    row_scores(r);
    row_softmax(r);
    double log_sum = lse ? (double)*lse : r->lse, dot = 0, dot_size = 0,
           scores = gamma_of((double)dim + SCALE_ROUNDINGS);
    for (size_t j = 0; j < r->keys; j++) {
        double e = scores * r->size[j] + 3 * U * fabs(r->s[j] - log_sum) +
                   2 * U * fabs(log_sum) + EXP_ERROR * U;
        r->grown[j] = grow(e) - 1;
        if (lse) r->p[j] = exp(r->s[j] - log_sum);
    }
    for (size_t d = 0; d < dim && r->keys; d++) {
        double own = 0;
        for (size_t j = 0; j < r->keys && !o; j++)
            own += r->p[j] * (double)r->v[j * r->v_row + d];
        double product = (double)d_o[d] * (o ? (double)o[d] : own);
        dot += product;
        dot_size += fabs(product);
    }
    for (size_t j = 0; j < r->keys; j++)
        backward_key(r, j, d_o, dot, dot_size, g);
}

static double *part(double *base, size_t offset) {
    return base ? base + offset : NULL;
}

/* Sets n numbers to value unless x is NULL. */
static void set(double *x, size_t n, double value) {
    for (size_t i = 0; x && i < n; i++) x[i] = value;
}

bool fmha_oracle_backward(const fmha_shape *shape, const fmha_backward_args *x,
                          double *dq, double *dk, double *dv, double *dq_bound,
                          double *dk_bound, double *dv_bound, spak_error *err) {
    size_t dim = shape->head_dim, group = shape->heads / shape->kv_heads,
           qs = shape->batch * shape->heads * shape->q_len * dim,
           kvs = shape->batch * shape->kv_heads * shape->kv_len * dim;
    double scale = fmha_scale(shape);
    row r;
    if (!row_new(&r, shape, err)) return false;
    set(dq, qs, 0), set(dk, kvs, 0), set(dv, kvs, 0);
    /* a gradient below 2^-14 is off by 2^-25 in f16 */
    set(dq_bound, qs, SUBNORMAL), set(dk_bound, kvs, SUBNORMAL);
    set(dv_bound, kvs, SUBNORMAL);
    for (size_t b = 0, line = 0; b < shape->batch; b++)
        for (size_t h = 0; h < shape->heads; h++) {
            size_t kv = (b * shape->kv_heads + h / group) * shape->kv_len * dim;
            for (size_t i = 0; i < shape->q_len; i++, line++) {
                gradients g = {part(dq, line * dim),
                               part(dq_bound, line * dim),
                               part(dk, kv),
                               part(dv, kv),
                               part(dk_bound, kv),
                               part(dv_bound, kv),
                               scale,
                               fmax(1, fabs(scale))};
                row_at(&r, &x->q, &x->k, &x->v, b, h, i);
                backward_row(&r, at(&x->d_o, b, h, i),
                             x->o.data ? at(&x->o, b, h, i) : NULL,
                             x->lse ? x->lse + line : NULL, &g);
            }
        }
    spak_free(r.s);
    return true;
}
