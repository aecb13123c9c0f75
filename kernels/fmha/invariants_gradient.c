/* backward_matches_differences: who checks the oracle's gradients? The
 * differences of its own loss, which need nothing but the forward definition.
 * Then the oracle checks the kernels'. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "fmha/invariants.h"
#include "fmha/micro.h"

/* --- the oracle's gradients --- */

static fmha_in dense(const float *x, size_t heads, size_t len, size_t dim) {
    return fmha_dense_in(x, heads, len, dim);
}

/* sum dO o O, in double. */
static bool loss(fmha_case *c, double *sum, spak_error *err) {
    const fmha_shape *s = &c->shape;
    fmha_forward_args x = {
        .q = dense(c->q, s->heads, s->q_len, s->head_dim),
        .k = dense(c->k, s->kv_heads, s->kv_len, s->head_dim),
        .v = dense(c->v, s->kv_heads, s->kv_len, s->head_dim)};
    if (!fmha_oracle(s, &x, c->want_o, NULL, NULL, err)) return false;
    *sum = 0;
    for (size_t i = 0; i < c->qs; i++) *sum += (double)c->d_o[i] * c->want_o[i];
    return true;
}

/* (f(x + h) - f(x - h)) / 2 h for one number of the inputs. */
static bool difference(fmha_case *c, float *x, float h, double *slope,
                       spak_error *err) {
    float kept = *x;
    double above, below;
    *x = kept + h;
    bool good = loss(c, &above, err);
    *x = kept - h;
    good = good && loss(c, &below, err);
    *x = kept;
    if (good) *slope = (above - below) / (2 * (double)h);
    return good;
}

/* Two differences cancel the error of order h^2 (Richardson). What is left is
 * h^4 / 480 of the fifth derivative, 10^-10 of it, and the rounding of the loss
 * over 2 h, some 10^-13. */
enum { FIFTH_DERIVATIVE = 8000 }; /* of these losses, at most */
#define SLOPE_ERROR (0x1p-24 / 480 * FIFTH_DERIVATIVE)

static bool slope_at(fmha_case *c, float *x, double *slope, spak_error *err) {
    double wide = 0, narrow = 0;
    if (!difference(c, x, 0x1p-6f, &wide, err) ||
        !difference(c, x, 0x1p-7f, &narrow, err))
        return false;
    *slope = (4 * narrow - wide) / 3;
    return true;
}

/* The oracle's own O and LSE go in by being left out. */
static bool oracle_gradients(const fmha_check *check, fmha_case *c) {
    fmha_gradients_fn *gradients = check->subject->gradients;
    if (!gradients) gradients = fmha_oracle_backward;
    const fmha_shape *s = &c->shape;
    fmha_backward_args x = {
        .q = dense(c->q, s->heads, s->q_len, s->head_dim),
        .k = dense(c->k, s->kv_heads, s->kv_len, s->head_dim),
        .v = dense(c->v, s->kv_heads, s->kv_len, s->head_dim),
        .d_o = dense(c->d_o, s->heads, s->q_len, s->head_dim)};
    return gradients(s, &x, c->want_d[0], c->want_d[1], c->want_d[2], NULL,
                     NULL, NULL, check->err);
}

static bool check_differences(fmha_check *check, fmha_case *c) {
    float *inputs[3] = {c->q, c->k, c->v};
    if (!oracle_gradients(check, c)) return false;
    for (int g = 0; g < 3; g++)
        for (size_t i = 0; i < (g ? c->kvs : c->qs); i++) {
            double slope;
            if (!slope_at(c, inputs[g] + i, &slope, check->err)) return false;
            if (!(fabs(slope - c->want_d[g][i]) <= SLOPE_ERROR))
                return fmha_found(check, c, NULL, 0,
                                  "d%c number %zu: the oracle says %.12g, the "
                                  "loss rises by %.12g",
                                  "QKV"[g], i, c -> want_d[g][i], slope);
        }
    check->tried++;
    return true;
}

/* Inputs on a grid of 2^-10, so that x + h and x - h are exact. */
static void to_grid(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = rintf(x[i] * 1024) / 1024;
}

static bool check_oracle(fmha_check *check) {
    const fmha_shape shapes[] = {{1, 2, 1, 4, 6, 3, true, 0},
                                 {2, 1, 1, 3, 5, 4, false, 0.7f},
                                 {1, 2, 2, 5, 3, 2, true, 0}};
    bool good = true;
    for (int i = 0; i < 3 && good; i++) {
        fmha_case c;
        if (!fmha_case_new(&c, &shapes[i], FMHA_F32, FMHA_DENSE, true,
                           check->seed + (uint64_t)i, check->err))
            return false;
        to_grid(c.q, c.qs), to_grid(c.k, c.kvs), to_grid(c.v, c.kvs);
        good = check_differences(check, &c);
        fmha_case_free(&c);
    }
    return good;
}

/* --- the kernels' --- */

static const struct {
    fmha_shape shape;
    fmha_dtype dtype;
} always[] = {{{2, 4, 2, 45, 77, 40, true, 0}, FMHA_F32},
              {{1, 2, 1, 33, 127, 64, false, 0}, FMHA_F16},
              {{1, 2, 2, 64, 64, 32, true, 0}, FMHA_BF16},
              {{1, 1, 1, 1, 1, 16, true, 0}, FMHA_F32},
              {{1, 2, 1, 40, 13, 16, true, 0}, FMHA_F32},
              {{1, 6, 1, 1, 130, 16, false, 0}, FMHA_F32},
              {{1, 2, 1, 127, 13, 24, false, 0.5f}, FMHA_F32},
              {{1, 1, 1, 257, 257, 33, true, 0}, FMHA_F32},
              {{1, 1, 1, 20, 31, 256, false, 0}, FMHA_F32},
              {{1, 1, 1, 2049, 17, 16, true, 0}, FMHA_F32},
              {{1, 1, 1, 13, 2049, 16, false, 0}, FMHA_F32}};
enum { ALWAYS = sizeof always / sizeof *always };

static bool check_kernels(fmha_check *check, const fmha_shape *shape,
                          fmha_dtype dtype, int index) {
    fmha_case c;
    if (!fmha_case_new(&c, shape, dtype,
                       (fmha_layout)((index + 1) % FMHA_LAYOUTS), true,
                       check->seed + (uint64_t)index, check->err))
        return false;
    bool good = fmha_case_gradients(&c, check->err);
    int configs = shape->q_len > 1024 || shape->kv_len > 1024 ? 1 : 4;
    for (int t = 0; t < configs && good; t++) {
        fmha_config config = fmha_config_at(check, index + 3 * t, c.dtype);
        good = fmha_run_backward(check, &c, &config, 1 + t) &&
               fmha_backward_within(check, &c, &config, 1 + t);
    }
    fmha_case_free(&c);
    return good;
}

/* Every head_dim, as for the bound of O. */
static bool check_head_dims(fmha_check *check) {
    bool good = true;
    for (size_t dim = 1; dim <= FMHA_MAX_HEAD_DIM && good; dim++) {
        const fmha_shape shape = {1, 1, 1, 3, 18, dim, true, 0};
        fmha_config config = {FMHA_FUSED, dev_cpu_isa(), 0, 16, FMHA_F32};
        fmha_case c;
        config.tile_m = fmha_whole_panels(&config, 1);
        if (!fmha_case_new(&c, &shape, FMHA_F32, FMHA_PADDED, true,
                           check->seed + dim, check->err))
            return false;
        good = fmha_case_gradients(&c, check->err) &&
               fmha_run_backward(check, &c, &config, 1) &&
               fmha_backward_within(check, &c, &config, 1);
        fmha_case_free(&c);
    }
    return good;
}

bool fmha_check_gradients(fmha_check *check) {
    for (int i = 0; i < ALWAYS; i++)
        if (!check_kernels(check, &always[i].shape, always[i].dtype, i))
            return false;
    for (int i = ALWAYS; i < ALWAYS + check->cases; i++) {
        fmha_shape shape = fmha_random_shape(check->seed, i, 1 << 18);
        if (!check_kernels(check, &shape, (fmha_dtype)(i % 3), i)) return false;
    }
    return check_head_dims(check) && check_oracle(check);
}
