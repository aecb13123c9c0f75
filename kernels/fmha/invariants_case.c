/* Cases of the invariants: a problem with inputs, results and what the oracle
 * says, and the way of its tensors into and out of the layout under test.
 *
 * Around a tensor, and in its gaps, lie NaN of one bit pattern. Read, it makes
 * every result NaN that it enters; written, it is found changed. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/invariants.h"

const fmha_tile_size fmha_tile_sizes[FMHA_NUM_TILES] = {
    {16, 16}, {32, 24}, {16, 64}, {64, 41}, {32, 128}, {128, 8}};

/* --- cases --- */

static void fill(float *x, size_t n, fmha_dtype dtype, uint64_t seed,
                 uint64_t stream) {
    spak_philox_fill_normal(x, n, 0, 1, seed, stream);
    if (dtype == FMHA_F32) return;
    for (size_t i = 0; i < n; i++) x[i] = fmha_round(x[i], dtype);
}

/* Cuts n numbers off what *at points to. */
static float *cut(float **at, size_t n) {
    float *part = *at;
    *at += n;
    return part;
}
static double *cut_double(double **at, size_t n) {
    double *part = *at;
    *at += n;
    return part;
}

bool fmha_case_new(fmha_case *c, const fmha_shape *shape, fmha_dtype dtype,
                   fmha_layout layout, bool backward, uint64_t seed,
                   spak_error *err) {
    memset(c, 0, sizeof *c);
    c->shape = *shape;
    c->dtype = dtype;
    c->layout = layout;
    c->rows = shape->batch * shape->heads * shape->q_len;
    c->qs = c->rows * shape->head_dim;
    c->kvs = shape->batch * shape->kv_heads * shape->kv_len * shape->head_dim;
    size_t both = backward ? 2 : 1;
    c->memory = spak_malloc((2 * both * (c->qs + c->kvs) + c->rows + 1) *
                            sizeof *c->memory);
    c->doubles = spak_malloc(
        (2 * (c->qs + c->rows) + (backward ? 2 * c->qs + 4 * c->kvs : 0) + 1) *
        sizeof *c->doubles);
    if (!c->memory || !c->doubles) {
        fmha_case_free(c);
        return spak_fail_oom(err);
    }
    float *at = c->memory;
    c->q = cut(&at, c->qs), c->o = cut(&at, c->qs);
    c->k = cut(&at, c->kvs), c->v = cut(&at, c->kvs);
    c->lse = cut(&at, c->rows);
    double *more = c->doubles;
    c->want_o = cut_double(&more, c->qs);
    c->bound_o = cut_double(&more, c->qs);
    c->want_lse = cut_double(&more, c->rows);
    c->bound_lse = cut_double(&more, c->rows);
    fill(c->q, c->qs, dtype, seed, 1);
    fill(c->k, c->kvs, dtype, seed, 2);
    fill(c->v, c->kvs, dtype, seed, 3);
    if (!backward) return true;
    c->d_o = cut(&at, c->qs), c->dq = cut(&at, c->qs);
    c->dk = cut(&at, c->kvs), c->dv = cut(&at, c->kvs);
    for (int i = 0; i < 3; i++) {
        c->want_d[i] = cut_double(&more, i ? c->kvs : c->qs);
        c->bound_d[i] = cut_double(&more, i ? c->kvs : c->qs);
    }
    fill(c->d_o, c->qs, dtype, seed, 4);
    return true;
}

void fmha_case_free(fmha_case *c) {
    spak_free(c->memory);
    spak_free(c->doubles);
    memset(c, 0, sizeof *c);
}

static fmha_in dense_q(const fmha_case *c, const float *data) {
    return fmha_dense_in(data, c->shape.heads, c->shape.q_len,
                         c->shape.head_dim);
}
static fmha_in dense_k(const fmha_case *c, const float *data) {
    return fmha_dense_in(data, c->shape.kv_heads, c->shape.kv_len,
                         c->shape.head_dim);
}

static void scale_bound(double *bound, size_t n, double factor) {
    for (size_t i = 0; i < n; i++) bound[i] *= factor;
}

bool fmha_case_oracle(fmha_case *c, spak_error *err) {
    fmha_forward_args x = {
        .q = dense_q(c, c->q), .k = dense_k(c, c->k), .v = dense_k(c, c->v)};
    if (!fmha_oracle(&c->shape, &x, c->want_o, c->want_lse, c->bound_o, err) ||
        !fmha_oracle_lse_bound(&c->shape, &x, c->bound_lse, err))
        return false;
    scale_bound(c->bound_o, c->qs, fmha_error_factor(&c->shape, c->dtype));
    return true;
}

bool fmha_case_gradients(fmha_case *c, spak_error *err) {
    if (!fmha_case_oracle(c, err)) return false;
    for (size_t i = 0; i < c->qs; i++)
        c->o[i] = fmha_round((float)c->want_o[i], c->dtype);
    for (size_t i = 0; i < c->rows; i++) c->lse[i] = (float)c->want_lse[i];
    fmha_backward_args x = {.q = dense_q(c, c->q),
                            .k = dense_k(c, c->k),
                            .v = dense_k(c, c->v),
                            .o = dense_q(c, c->o),
                            .d_o = dense_q(c, c->d_o),
                            .lse = c->lse};
    if (!fmha_oracle_backward(&c->shape, &x, c->want_d[0], c->want_d[1],
                              c->want_d[2], c->bound_d[0], c->bound_d[1],
                              c->bound_d[2], err))
        return false;
    double factor = fmha_backward_error_factor(&c->shape, c->dtype);
    for (int i = 0; i < 3; i++)
        scale_bound(c->bound_d[i], i ? c->kvs : c->qs, factor);
    return true;
}

void fmha_case_set_scores(fmha_case *c, const double *target) {
    size_t dim = c->shape.head_dim;
    double scale = fmha_scale(&c->shape);
    memset(c->q, 0, c->qs * sizeof *c->q);
    for (size_t at = 0; at < c->qs; at += dim) c->q[at] = 1;
    for (size_t at = 0, row = 0; at < c->kvs; at += dim, row++)
        c->k[at] = fmha_round((float)(target[row % c->shape.kv_len] / scale),
                              c->dtype);
}

/* --- tensors in memory --- */

enum { GUARD = 64 };
#define POISON 0x7FA5A5A5u

typedef struct tensor {
    float *base; /* with guards */
    size_t floats, heads, len, dim, batches;
    fmha_out at;
} tensor;

fmha_out fmha_strides(fmha_layout layout, size_t heads, size_t len,
                      size_t dim) {
    fmha_out x = fmha_dense_out(NULL, heads, len, dim);
    if (layout == FMHA_PADDED) {
        x.row = dim + 3;
        x.head = len * x.row + 5;
        x.batch = heads * x.head + 7;
    } else if (layout == FMHA_TOKENS) {
        x.row = 3 * heads * dim;
        x.head = dim;
        x.batch = len * x.row;
    }
    return x;
}

static bool tensor_new(tensor *t, size_t batches, size_t heads, size_t len,
                       size_t dim, fmha_layout layout) {
    *t = (tensor){.heads = heads, .len = len, .dim = dim, .batches = batches};
    t->at = fmha_strides(layout, heads, len, dim);
    t->floats = batches * t->at.batch + 2 * GUARD;
    t->base = spak_malloc(t->floats * sizeof *t->base);
    t->at.data = t->base ? t->base + GUARD : NULL;
    return t->base != NULL;
}

static void poison(float *x, size_t n) {
    const uint32_t pattern = POISON;
    for (size_t i = 0; i < n; i++) memcpy(x + i, &pattern, sizeof pattern);
}

/* Moves rows between the tensor and a dense array. */
static void each_row(const tensor *t, float *dense, bool into) {
    for (size_t b = 0; b < t->batches; b++)
        for (size_t h = 0; h < t->heads; h++)
            for (size_t i = 0; i < t->len; i++, dense += t->dim) {
                float *row = t->at.data + b * t->at.batch + h * t->at.head +
                             i * t->at.row;
                if (into)
                    memcpy(row, dense, t->dim * sizeof *row);
                else
                    memcpy(dense, row, t->dim * sizeof *row);
            }
}

/* Takes the results out; what is left must be as it was: puts poison where the
 * results were and returns whether there is nothing but poison. */
static bool take_out(const tensor *t, float *dense) {
    each_row(t, dense, false);
    for (size_t b = 0; b < t->batches; b++)
        for (size_t h = 0; h < t->heads; h++)
            for (size_t i = 0; i < t->len; i++)
                poison(t->at.data + b * t->at.batch + h * t->at.head +
                           i * t->at.row,
                       t->dim);
    for (size_t i = 0; i < t->floats; i++) {
        uint32_t bits;
        memcpy(&bits, t->base + i, sizeof bits);
        if (bits != POISON) return false;
    }
    return true;
}

static fmha_in in_of(const tensor *t) {
    return (fmha_in){t->at.data, t->at.batch, t->at.head, t->at.row};
}

/* The tensors of a run: Q, K, V, O, dO, dQ, dK, dV, and LSE with its guards. */
enum { Q, K, V, O, D_O, DQ, DK, DV, LSE, TENSORS };
typedef struct laid_out {
    tensor t[TENSORS];
} laid_out;

static void take_away(laid_out *l) {
    for (int i = 0; i < TENSORS; i++) spak_free(l->t[i].base);
}

static bool lay_out(laid_out *l, const fmha_case *c, spak_error *err) {
    const fmha_shape *s = &c->shape;
    float *from[TENSORS] = {c->q, c->k, c->v, c->o, c->d_o};
    bool memory = true;
    memset(l, 0, sizeof *l);
    for (int i = 0; i < TENSORS && memory; i++) {
        bool of_keys = i == K || i == V || i == DK || i == DV;
        tensor *t = &l->t[i];
        if (i == LSE)
            memory = tensor_new(t, 1, 1, c->rows, 1, FMHA_DENSE);
        else
            memory = tensor_new(t, s->batch, of_keys ? s->kv_heads : s->heads,
                                of_keys ? s->kv_len : s->q_len, s->head_dim,
                                c->layout);
        if (!memory) break;
        poison(t->base, t->floats);
        if (from[i]) each_row(t, from[i], true);
    }
    if (memory) return true;
    take_away(l);
    return spak_fail_oom(err);
}

static bool run(fmha_check *check, const fmha_case *c,
                const fmha_config *config, int threads,
                const fmha_forward_args *f, const fmha_backward_args *b) {
    check->tried++;
    const fmha_subject *s = check->subject;
    return s->run(s->ctx, config, &c->shape, threads, f, b, check->err);
}

bool fmha_run_forward(fmha_check *check, fmha_case *c,
                      const fmha_config *config, int threads) {
    laid_out l;
    if (!lay_out(&l, c, check->err)) return false;
    poison(l.t[O].base, l.t[O].floats);
    fmha_forward_args f = {in_of(&l.t[Q]), in_of(&l.t[K]), in_of(&l.t[V]),
                           l.t[O].at, l.t[LSE].at.data};
    bool ran = run(check, c, config, threads, &f, NULL);
    bool clean = ran && take_out(&l.t[O], c->o);
    clean = clean && take_out(&l.t[LSE], c->lse);
    take_away(&l);
    if (ran && !clean)
        return fmha_found(check, c, config, threads,
                          "memory beside O or LSE was written");
    return ran;
}

bool fmha_run_backward(fmha_check *check, fmha_case *c,
                       const fmha_config *config, int threads) {
    laid_out l;
    if (!lay_out(&l, c, check->err)) return false;
    each_row(&l.t[LSE], c->lse, true);
    fmha_backward_args b = {in_of(&l.t[Q]), in_of(&l.t[K]),   in_of(&l.t[V]),
                            in_of(&l.t[O]), in_of(&l.t[D_O]), l.t[LSE].at.data,
                            l.t[DQ].at,     l.t[DK].at,       l.t[DV].at};
    bool ran = run(check, c, config, threads, NULL, &b);
    bool clean = ran && take_out(&l.t[DQ], c->dq);
    clean = clean && take_out(&l.t[DK], c->dk) && take_out(&l.t[DV], c->dv);
    take_away(&l);
    if (ran && !clean)
        return fmha_found(check, c, config, threads,
                          "memory beside dQ, dK or dV was written");
    return ran;
}

/* --- within the bound --- */

/* The first element that is not, or n. */
static size_t first_off(fmha_check *check, const float *got, const double *want,
                        const double *bound, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= bound[i])) return i;
        if (error > 0) check->worst = fmax(check->worst, error / bound[i]);
    }
    return n;
}

/* Element at of a dense (B, H, T, D): "[b][h][t][d]". */
static const char *place(size_t i, size_t heads, size_t len, size_t dim,
                         char text[100]) {
    snprintf(text, 100, "[%zu][%zu][%zu][%zu]", i / dim / len / heads,
             i / dim / len % heads, i / dim % len, i % dim);
    return text;
}

bool fmha_forward_within(fmha_check *check, const fmha_case *c,
                         const fmha_config *config, int threads) {
    const fmha_shape *s = &c->shape;
    char text[100];
    for (size_t i = 0; i < c->rows; i++) {
        if (c->lse[i] == c->want_lse[i]) continue; /* -inf among them */
        if (first_off(check, c->lse + i, c->want_lse + i, c->bound_lse + i, 1))
            continue;
        return fmha_found(check, c, config, threads,
                          "LSE%s is %.9g, the oracle says %.9g within %.3g",
                          place(i, s->heads, s->q_len, 1, text),
                          (double)c->lse[i], c->want_lse[i], c->bound_lse[i]);
    }
    size_t i = first_off(check, c->o, c->want_o, c->bound_o, c->qs);
    if (i < c->qs)
        return fmha_found(check, c, config, threads,
                          "O%s is %.9g, the oracle says %.9g within %.3g",
                          place(i, s->heads, s->q_len, s->head_dim, text),
                          (double)c->o[i], c->want_o[i], c->bound_o[i]);
    for (i = 0; i < c->qs; i++)
        if (c->o[i] != fmha_round(c->o[i], c->dtype))
            return fmha_found(check, c, config, threads,
                              "O%s is %.9g, which is no number of the type",
                              place(i, s->heads, s->q_len, s->head_dim, text),
                              (double)c->o[i]);
    return true;
}

bool fmha_backward_within(fmha_check *check, const fmha_case *c,
                          const fmha_config *config, int threads) {
    const fmha_shape *s = &c->shape;
    const float *got[3] = {c->dq, c->dk, c->dv};
    char text[100];
    for (int g = 0; g < 3; g++) {
        size_t n = g ? c->kvs : c->qs,
               i = first_off(check, got[g], c->want_d[g], c->bound_d[g], n);
        for (size_t j = 0; j < n && i == n; j++)
            if (got[g][j] != fmha_round(got[g][j], c->dtype))
                return fmha_found(check, c, config, threads,
                                  "d%c number %zu is %.9g, which is no number "
                                  "of the type",
                                  "QKV"[g], j, (double)got[g][j]);
        if (i == n) continue;
        return fmha_found(
            check, c, config, threads,
            "d%c%s is %.9g, the oracle says %.9g within %.3g", "QKV"[g],
            place(i, g ? s->kv_heads : s->heads, g ? s->kv_len : s->q_len,
                  s->head_dim, text),
            (double)got[g][i], c -> want_d[g][i], c -> bound_d[g][i]);
    }
    return true;
}

bool fmha_try_forward(fmha_check *check, fmha_case *c,
                      const fmha_config *config, int threads) {
    return fmha_run_forward(check, c, config, threads) &&
           fmha_forward_within(check, c, config, threads);
}
