/* Checks of a trial's outputs.
 *
 * A line is what depends on one row of inputs beside the whole of the other
 * side's: O, LSE or dQ of one query, or dK and dV of one key. The oracle of one
 * line is the oracle of a smaller problem: one query and the keys that it sees;
 * one key and the queries that see it, head by head, with the given LSE.
 *
 * The thorough check takes all lines up to CHECK_WORK multiply-adds of the
 * oracle; beyond that the first and the last line of random heads and random
 * lines for as much work, 64 at least. A line that is left out is not trusted:
 * later samples draw others, and must repeat the first output to the bit. */
#include "fmha/verify.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/oracle.h"

enum { CHECK_WORK = 1 << 25, CHECK_LINES = 64, QUICK_LINES = 2 };

/* Philox stream of a check's lines under the problem's seed. */
enum { LINES = 1 << 16 };

struct fmha_verifier {
    fmha_shape shape;
    fmha_dtype dtype;
    uint64_t seed;
    bool backward;
    double *want, *bound, *sum; /* (2 D) each */
    float *first;               /* the outputs that were checked thoroughly */
    double memory[];
};

/* --- one line --- */

static void worst_of(double *worst, double found, double want, double limit) {
    double error = found == want ? 0 : fabs(found - want);
    double ratio = error == 0 ? 0 : limit > 0 ? error / limit : INFINITY;
    if (!(ratio <= *worst)) /* a NaN counts as infinitely wrong */
        *worst = isfinite(ratio) ? ratio : INFINITY;
}

static void compare(const float *found, const double *want, const double *bound,
                    size_t n, double factor, double *worst) {
    for (size_t d = 0; d < n; d++)
        worst_of(worst, (double)found[d], want[d], factor * bound[d]);
}

static fmha_in at(const fmha_in *x, size_t b, size_t h, size_t t) {
    fmha_in part = *x;
    part.data += b * x->batch + h * x->head + t * x->row;
    return part;
}

static const float *row_of(const fmha_out *x, size_t b, size_t h, size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}

/* One query of one head and the keys that it sees. */
static fmha_shape one_query(const fmha_verifier *v, size_t i) {
    fmha_shape part = v->shape;
    part.batch = part.heads = part.kv_heads = part.q_len = 1;
    part.kv_len = fmha_keys_seen(&v->shape, i);
    part.causal = false;
    return part;
}

static bool check_output(fmha_verifier *v, const fmha_call *call, size_t b,
                         size_t h, size_t i, double *worst, spak_error *err) {
    const fmha_forward_args *x = &call->forward;
    const fmha_shape *z = &v->shape;
    size_t kv = h / (z->heads / z->kv_heads);
    fmha_shape part = one_query(v, i);
    fmha_forward_args line = {at(&x->q, b, h, i), at(&x->k, b, kv, 0),
                              at(&x->v, b, kv, 0), x->o, NULL};
    double lse, lse_bound;
    if (!fmha_oracle(&part, &line, v->want, &lse, v->bound, err) ||
        !fmha_oracle_lse_bound(&part, &line, &lse_bound, err))
        return false;
    compare(row_of(&x->o, b, h, i), v->want, v->bound, z->head_dim,
            fmha_error_factor(&part, v->dtype), worst);
    worst_of(worst, (double)x->lse[(b * z->heads + h) * z->q_len + i], lse,
             lse_bound);
    return true;
}

static bool check_dq(fmha_verifier *v, const fmha_call *call, size_t b,
                     size_t h, size_t i, double *worst, spak_error *err) {
    const fmha_backward_args *x = &call->gradients;
    const fmha_shape *z = &v->shape;
    size_t kv = h / (z->heads / z->kv_heads);
    fmha_shape part = one_query(v, i);
    fmha_backward_args line = {
        .q = at(&x->q, b, h, i),
        .k = at(&x->k, b, kv, 0),
        .v = at(&x->v, b, kv, 0),
        .o = at(&x->o, b, h, i),
        .d_o = at(&x->d_o, b, h, i),
        .lse = x->lse + (b * z->heads + h) * z->q_len + i};
    if (!fmha_oracle_backward(&part, &line, v->want, NULL, NULL, v->bound, NULL,
                              NULL, err))
        return false;
    compare(row_of(&x->dq, b, h, i), v->want, v->bound, z->head_dim,
            fmha_backward_error_factor(&part, v->dtype), worst);
    return true;
}

/* dK and dV of one key: a sum over the heads of the group, each with the
 * queries that see the key. The bounds of the heads add up. */
static bool check_key(fmha_verifier *v, const fmha_call *call, size_t b,
                      size_t kv, size_t j, double *worst, spak_error *err) {
    const fmha_backward_args *x = &call->gradients;
    const fmha_shape *z = &v->shape;
    const size_t dim = z->head_dim, group = z->heads / z->kv_heads;
    size_t i0 = 0;
    while (i0 < z->q_len && fmha_keys_seen(z, i0) <= j) i0++;
    fmha_shape part = one_query(v, 0);
    part.q_len = z->q_len - i0;
    part.kv_len = 1;
    memset(v->sum, 0, 4 * dim * sizeof *v->sum);
    for (size_t h = kv * group; part.q_len && h < (kv + 1) * group; h++) {
        fmha_backward_args line = {
            .q = at(&x->q, b, h, i0),
            .k = at(&x->k, b, kv, j),
            .v = at(&x->v, b, kv, j),
            .o = at(&x->o, b, h, i0),
            .d_o = at(&x->d_o, b, h, i0),
            .lse = x->lse + (b * z->heads + h) * z->q_len + i0};
        if (!fmha_oracle_backward(&part, &line, NULL, v->want, v->want + dim,
                                  NULL, v->bound, v->bound + dim, err))
            return false;
        for (size_t d = 0; d < 2 * dim; d++) {
            v->sum[d] += v->want[d];
            v->sum[2 * dim + d] += v->bound[d];
        }
    }
    double factor = fmha_backward_error_factor(z, v->dtype);
    compare(row_of(&x->dk, b, kv, j), v->sum, v->sum + 2 * dim, dim, factor,
            worst);
    compare(row_of(&x->dv, b, kv, j), v->sum + dim, v->sum + 3 * dim, dim,
            factor, worst);
    return true;
}

/* --- which lines --- */

static size_t num_queries(const fmha_verifier *v) {
    return v->shape.batch * v->shape.heads * v->shape.q_len;
}
static size_t num_keys(const fmha_verifier *v) {
    return v->backward ? v->shape.batch * v->shape.kv_heads * v->shape.kv_len
                       : 0;
}

/* Lines are numbered: all queries, then, backward, all keys. */
static bool check_line(fmha_verifier *v, const fmha_call *call, size_t line,
                       double *worst, spak_error *err) {
    const fmha_shape *z = &v->shape;
    if (line < num_queries(v)) {
        size_t head = line / z->q_len, b = head / z->heads, h = head % z->heads;
        return (v->backward ? check_dq : check_output)(
            v, call, b, h, line % z->q_len, worst, err);
    }
    line -= num_queries(v);
    size_t head = line / z->kv_len, b = head / z->kv_heads,
           h = head % z->kv_heads;
    return check_key(v, call, b, h, line % z->kv_len, worst, err);
}

static double work_of_a_line(const fmha_verifier *v) {
    const fmha_shape *z = &v->shape;
    double q = (double)z->q_len * (double)(z->heads / z->kv_heads),
           k = (double)z->kv_len;
    return (v->backward ? 2 * fmax(q, k) : 2 * k) * (double)z->head_dim + 1;
}

static size_t draw(const fmha_verifier *v, uint64_t stream, uint64_t i,
                   size_t count) {
    uint32_t word[4];
    spak_philox(v->seed, stream, i, word);
    return (size_t)(((uint64_t)word[0] << 32 | word[1]) % count);
}

/* Of every four drawn lines one is the last of a head and one the first: there
 * the partial tiles and the ends of the mask are. */
static size_t drawn_line(const fmha_verifier *v, uint64_t stream, uint64_t i) {
    size_t line = draw(v, stream, i, num_queries(v) + num_keys(v));
    bool query = line < num_queries(v);
    size_t base = query ? 0 : num_queries(v),
           len = query ? v->shape.q_len : v->shape.kv_len,
           head = (line - base) / len;
    if (i % 4 == 1) return base + head * len;
    if (i % 4 == 3) return base + head * len + len - 1;
    return line;
}

static bool check_drawn(fmha_verifier *v, const fmha_call *call,
                        uint64_t stream, size_t count, double *worst,
                        spak_error *err) {
    for (size_t i = 0; i < count; i++)
        if (!check_line(v, call, drawn_line(v, stream, i), worst, err))
            return false;
    return true;
}

bool fmha_verify(fmha_verifier *v, const fmha_call *call, double *worst,
                 spak_error *err) {
    size_t lines = num_queries(v) + num_keys(v);
    double affordable = CHECK_WORK / work_of_a_line(v);
    *worst = 0;
    memcpy(v->first, call->out, call->out_floats * sizeof *v->first);
    for (size_t i = 0; i < call->out_floats; i++)
        if (isnan(call->out[i])) *worst = INFINITY;
    if (*worst > 0 || lines == 0) return true;
    if (affordable < CHECK_LINES) affordable = CHECK_LINES;
    if ((double)lines > affordable)
        return check_drawn(v, call, LINES, (size_t)affordable, worst, err);
    for (size_t i = 0; i < lines; i++)
        if (!check_line(v, call, i, worst, err)) return false;
    return true;
}

bool fmha_verify_quickly(fmha_verifier *v, const fmha_call *call,
                         uint64_t number, double *worst, spak_error *err) {
    *worst = 0;
    if (num_queries(v) + num_keys(v) == 0) return true;
    return check_drawn(v, call, LINES + 1 + number, QUICK_LINES, worst, err);
}

bool fmha_verify_same(const fmha_verifier *v, const fmha_call *call) {
    return !memcmp(v->first, call->out, call->out_floats * sizeof *v->first);
}

/* --- life --- */

bool fmha_verifier_new(const fmha_shape *shape, fmha_dtype dtype,
                       const fmha_call *call, uint64_t seed,
                       fmha_verifier **out, spak_error *err) {
    size_t dim = shape->head_dim;
    fmha_verifier *v = spak_malloc(sizeof *v + 8 * dim * sizeof(double) +
                                   (call->out_floats + 1) * sizeof(float));
    *out = v;
    if (!v) return spak_fail_oom(err);
    v->shape = *shape;
    v->dtype = dtype;
    v->seed = seed;
    v->backward = call->backward;
    v->want = v->memory;
    v->bound = v->want + 2 * dim;
    v->sum = v->bound + 2 * dim;
    v->first = (float *)(v->sum + 4 * dim);
    return true;
}

void fmha_verifier_free(fmha_verifier *v) { spak_free(v); }
