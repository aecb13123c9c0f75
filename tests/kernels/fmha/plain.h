/* Attention in float as a reader would write it, with mistakes on request: something to try the oracle and the checks
 * on that shares no line with the kernels. */
#ifndef SPAK_TESTS_PLAIN_H
#define SPAK_TESTS_PLAIN_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fmha/oracle.h"

typedef enum plain_fault {
    PLAIN_SOUND,
    PLAIN_DROPS_LAST_KEY,
    PLAIN_MASK_OFF_BY_ONE,
    PLAIN_SCALE_IS_ONE_PERCENT_OFF,
    PLAIN_FORGETS_RESCALING,
    PLAIN_EMPTY_ROW_IS_NAN,
    PLAIN_WRONG_KV_HEAD,
    PLAIN_P_HAS_16_BITS,
    PLAIN_LSE_IN_BASE_2,
    PLAIN_WRITES_PADDING,
    PLAIN_DEPENDS_ON_THREADS,
    PLAIN_DELTA_LEFT_OUT,
    PLAIN_GROUP_NOT_SUMMED,
    PLAIN_LEAKS_MASKED_VALUES,
    PLAIN_FAULTS
} plain_fault;

typedef struct plain_kernel {
    plain_fault fault;
    fmha_shape shape;
    fmha_dtype dtype;
    size_t tile_n;
    int threads;
    float *s; /* (kv_len) */
} plain_kernel;

static const float *plain_at(const fmha_in *x, size_t b, size_t h, size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}
static float *plain_out(const fmha_out *x, size_t b, size_t h, size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}

static float plain_dot(const float *a, const float *b, size_t n) {
    float sum = 0;
    for (size_t d = 0; d < n; d++) sum += a[d] * b[d];
    return sum;
}

static size_t plain_kv_head(const plain_kernel *k, size_t h) {
    if (k->fault == PLAIN_WRONG_KV_HEAD) return h % k->shape.kv_heads;
    return h / (k->shape.heads / k->shape.kv_heads);
}

static size_t plain_keys(const plain_kernel *k, size_t i) {
    size_t n = fmha_keys_seen(&k->shape, i);
    if (k->fault == PLAIN_DROPS_LAST_KEY && n > 1) return n - 1;
    if (k->fault == PLAIN_MASK_OFF_BY_ONE && n < k->shape.kv_len) return n + 1;
    return n;
}

static float plain_scale(const plain_kernel *k) {
    float scale = k->shape.scale != 0 ? k->shape.scale : 1 / sqrtf((float)k->shape.head_dim);
    return k->fault == PLAIN_SCALE_IS_ONE_PERCENT_OFF ? 1.01f * scale : scale;
}

/* One row by the online recurrence, tile after tile. */
static void plain_row(plain_kernel *p, const fmha_forward_args *x, size_t b, size_t h, size_t i, float *lse) {
    size_t kv = plain_kv_head(p, h), n = plain_keys(p, i), dim = p->shape.head_dim;
    const float *q = plain_at(&x->q, b, h, i);
    float *o = plain_out(&x->o, b, h, i), max = -1e20f, sum = 0, scale = plain_scale(p);
    memset(o, 0, dim * sizeof *o);
    for (size_t j0 = 0; j0 < n; j0 += p->tile_n) {
        size_t end = j0 + p->tile_n < n ? j0 + p->tile_n : n;
        float old = max, rescale;
        for (size_t j = j0; j < end; j++) {
            p->s[j] = scale * plain_dot(q, plain_at(&x->k, b, kv, j), dim);
            max = fmaxf(max, p->s[j]);
        }
        rescale = p->fault == PLAIN_FORGETS_RESCALING ? 1 : expf(old - max);
        sum *= rescale;
        for (size_t d = 0; d < dim; d++) o[d] *= rescale;
        for (size_t j = j0; j < end; j++) {
            float w = expf(p->s[j] - max);
            sum += w;
            w = fmha_round(w, p->fault == PLAIN_P_HAS_16_BITS ? FMHA_F16 : p->dtype);
            for (size_t d = 0; d < dim; d++) o[d] += w * plain_at(&x->v, b, kv, j)[d];
        }
    }
    if (p->fault == PLAIN_LEAKS_MASKED_VALUES)
        for (size_t j = n; j < p->shape.kv_len; j++) o[0] += 0 * plain_at(&x->v, b, kv, j)[0];
    float divisor = n || p->fault == PLAIN_EMPTY_ROW_IS_NAN ? sum : 1;
    if (p->fault == PLAIN_DEPENDS_ON_THREADS && p->threads > 1) divisor = nextafterf(divisor, INFINITY);
    for (size_t d = 0; d < dim; d++) o[d] = fmha_round(o[d] / divisor, p->dtype);
    if (p->fault == PLAIN_WRITES_PADDING && x->o.row > dim) o[dim] = 0;
    *lse = n ? max + logf(sum) : -INFINITY;
    if (p->fault == PLAIN_LSE_IN_BASE_2) *lse *= 1.442695f;
}

static void plain_forward(plain_kernel *p, const fmha_forward_args *x) {
    float unused;
    for (size_t b = 0, row = 0; b < p->shape.batch; b++)
        for (size_t h = 0; h < p->shape.heads; h++)
            for (size_t i = 0; i < p->shape.q_len; i++, row++)
                plain_row(p, x, b, h, i, x->lse ? x->lse + row : &unused);
}

static void plain_backward_row(plain_kernel *p, const fmha_backward_args *x, size_t b, size_t h, size_t i, float lse) {
    size_t kv = plain_kv_head(p, h), dim = p->shape.head_dim, n = plain_keys(p, i);
    const float *q = plain_at(&x->q, b, h, i), *d_o = plain_at(&x->d_o, b, h, i);
    float scale = plain_scale(p), delta = plain_dot(d_o, plain_at(&x->o, b, h, i), dim);
    if (p->fault == PLAIN_DELTA_LEFT_OUT) delta = 0;
    for (size_t j = 0; j < n; j++) {
        const float *k = plain_at(&x->k, b, kv, j);
        float w = expf(scale * plain_dot(q, k, dim) - lse),
              ds = fmha_round(w * (plain_dot(d_o, plain_at(&x->v, b, kv, j), dim) - delta), p->dtype);
        w = fmha_round(w, p->dtype);
        float *dq = plain_out(&x->dq, b, h, i), *dk = plain_out(&x->dk, b, kv, j), *dv = plain_out(&x->dv, b, kv, j);
        for (size_t d = 0; d < dim; d++) {
            dq[d] += scale * ds * k[d];
            if (p->fault == PLAIN_GROUP_NOT_SUMMED && plain_kv_head(p, h + 1) == kv && h + 1 < p->shape.heads) continue;
            dk[d] += scale * ds * q[d];
            dv[d] += w * d_o[d];
        }
    }
}

/* What is to be done to every row of a gradient before and after. */
static void plain_each(const fmha_out *x, const fmha_shape *s, size_t heads, size_t len, fmha_dtype dtype, bool clear) {
    for (size_t b = 0; b < s->batch; b++)
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < len; t++)
                for (size_t d = 0; d < s->head_dim; d++) {
                    float *y = plain_out(x, b, h, t) + d;
                    *y = clear ? 0 : fmha_round(*y, dtype);
                }
}

static void plain_backward(plain_kernel *p, const fmha_backward_args *x) {
    const fmha_shape *s = &p->shape;
    for (int after = 0; after < 2; after++) {
        plain_each(&x->dq, s, s->heads, s->q_len, p->dtype, !after);
        plain_each(&x->dk, s, s->kv_heads, s->kv_len, p->dtype, !after);
        plain_each(&x->dv, s, s->kv_heads, s->kv_len, p->dtype, !after);
        for (size_t b = 0, row = 0; b < s->batch && !after; b++)
            for (size_t h = 0; h < s->heads; h++)
                for (size_t i = 0; i < s->q_len; i++, row++) plain_backward_row(p, x, b, h, i, x->lse[row]);
    }
}

/* A fmha_subject's run; ctx is a plain_fault. */
__attribute__((unused)) static bool plain_run(void *ctx, const fmha_config *config, const fmha_shape *shape,
                                              int threads, const fmha_forward_args *f, const fmha_backward_args *b,
                                              spak_error *err) {
    plain_kernel p = {*(const plain_fault *)ctx, *shape, config->dtype, config->tile_n, threads, NULL};
    p.s = malloc((shape->kv_len + 1) * sizeof *p.s);
    if (!p.s) return spak_fail_oom(err);
    if (f) plain_forward(&p, f);
    if (b) plain_backward(&p, b);
    free(p.s);
    return true;
}

#endif
