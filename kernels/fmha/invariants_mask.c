/* causal_skip_contributes_nothing, masked_row_is_zero and grouped_heads_map. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/invariants.h"

static bool same_bits(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* --- causal_skip_contributes_nothing --- */

/* With tile_m = 128 there is one tile of queries: all keys are computed for all
 * of its rows, and masked. With a tile of one panel the early rows skip most
 * tiles of keys. Same tile_n, same order of the keys: the bits must be the
 * same. */
static bool check_skip(fmha_check *check, fmha_case *c, fmha_variant variant,
                       float *kept) {
    fmha_config all = fmha_config_at(check, 0, c->dtype), some = all;
    all.variant = some.variant = variant;
    all.tile_n = some.tile_n = 32;
    all.tile_m = 128;
    some.tile_m = fmha_whole_panels(&some, 1);
    if (!fmha_run_forward(check, c, &all, 1)) return false;
    memcpy(kept, c->o, c->qs * sizeof *kept);
    memcpy(kept + c->qs, c->lse, c->rows * sizeof *kept);
    if (!fmha_run_forward(check, c, &some, 2)) return false;
    if (!same_bits(kept, c->o, c->qs) ||
        !same_bits(kept + c->qs, c->lse, c->rows))
        return fmha_found(check, c, &some, 2,
                          "skipped tiles of keys change bits: tile_m %zu and "
                          "128 differ",
                          some.tile_m);
    return true;
}

/* Sets keys and values from `from` on to the two numbers. */
static void spoil(fmha_case *c, size_t from, float key, float value) {
    const fmha_shape *s = &c->shape;
    for (size_t j = 0; j < s->batch * s->kv_heads * s->kv_len; j++)
        for (size_t d = 0; d < s->head_dim && j % s->kv_len >= from; d++) {
            c->k[j * s->head_dim + d] = key;
            c->v[j * s->head_dim + d] = value;
        }
}

/* Rows up to `last` see no key from `from` on, so what lies there must not
 * change a bit of theirs. */
static bool check_spoilt(fmha_check *check, fmha_case *c,
                         const fmha_config *config, size_t last, float key,
                         float value) {
    const fmha_shape *s = &c->shape;
    size_t from = fmha_keys_seen(s, last);
    fmha_case spoilt;
    if (!fmha_case_new(&spoilt, s, c->dtype, c->layout, false, check->seed,
                       check->err))
        return false;
    spoil(&spoilt, from, key, value);
    bool good = fmha_run_forward(check, c, config, 1) &&
                fmha_run_forward(check, &spoilt, config, 1);
    for (size_t row = 0; row < c->rows && good; row++) {
        if (row % s->q_len > last) continue;
        size_t at = row * s->head_dim;
        if (same_bits(c->o + at, spoilt.o + at, s->head_dim) &&
            same_bits(c->lse + row, spoilt.lse + row, 1))
            continue;
        good = fmha_found(check, c, config, 1,
                          "keys from %zu on hold %g and values %g; query %zu, "
                          "which sees %zu keys, gives %g, LSE %g",
                          from, (double)key, (double)value, row % s->q_len,
                          fmha_keys_seen(s, row % s->q_len),
                          (double)spoilt.o[at], (double)spoilt.lse[row]);
    }
    fmha_case_free(&spoilt);
    return good;
}

/* The same backward: dQ of rows that do not see them, when K and V are NaN from
 * the first key on that no query of the tile sees. O and LSE are the sound
 * ones. */
static bool check_spoilt_gradient(fmha_check *check, fmha_case *c,
                                  const fmha_config *config, size_t last) {
    const fmha_shape *s = &c->shape;
    size_t from = fmha_keys_seen(s, last);
    fmha_case spoilt;
    if (!fmha_case_new(&spoilt, s, c->dtype, c->layout, true, check->seed,
                       check->err))
        return false;
    bool good = fmha_case_gradients(c, check->err);
    memcpy(spoilt.o, c->o, c->qs * sizeof *c->o);
    memcpy(spoilt.lse, c->lse, c->rows * sizeof *c->lse);
    spoil(&spoilt, from, NAN, NAN);
    good = good && fmha_run_backward(check, c, config, 1) &&
           fmha_run_backward(check, &spoilt, config, 1);
    for (size_t row = 0; row < c->rows && good; row++) {
        size_t at = row * s->head_dim;
        if (row % s->q_len > last ||
            same_bits(c->dq + at, spoilt.dq + at, s->head_dim))
            continue;
        good =
            fmha_found(check, c, config, 1,
                       "keys from %zu on are NaN; query %zu, which sees %zu "
                       "keys, has dQ = %g",
                       from, row % s->q_len, fmha_keys_seen(s, row % s->q_len),
                       (double)spoilt.dq[at]);
    }
    fmha_case_free(&spoilt);
    return good;
}

/* One configuration. Whole tiles of queries see nothing of keys beyond their
 * last query's, and the fused kernels read nothing of them: they may be NaN.
 * Within a tile a value meets a P of 0, and 0 times any number is 0. */
static bool check_spoils(fmha_check *check, fmha_case *c,
                         const fmha_config *config) {
    size_t tile = config->tile_m, mid = c->shape.q_len / 2;
    if (tile < c->shape.q_len && config->variant >= FMHA_FUSED &&
        !(check_spoilt(check, c, config, tile - 1, NAN, NAN) &&
          check_spoilt_gradient(check, c, config, tile - 1)))
        return false;
    return check_spoilt(check, c, config, mid, NAN, 1e38f) &&
           check_spoilt(check, c, config, mid, INFINITY, -1e38f);
}

static bool check_causal(fmha_check *check, fmha_shape shape, int index) {
    fmha_case c;
    shape.causal = true;
    if (!fmha_case_new(&c, &shape, FMHA_F32,
                       (fmha_layout)(index % FMHA_LAYOUTS), true, check->seed,
                       check->err))
        return false;
    float *kept = spak_malloc((c.qs + c.rows + 1) * sizeof *kept);
    bool good = kept || spak_fail_oom(check->err);
    for (int v = FMHA_FUSED; v <= FMHA_THREADS && good; v++)
        good = check_skip(check, &c, (fmha_variant)v, kept);
    spak_free(kept);
    for (int t = 0; t < FMHA_NUM_TILES && good; t++) {
        fmha_config config = fmha_config_at(check, t, FMHA_F32);
        good = check_spoils(check, &c, &config);
    }
    fmha_case_free(&c);
    return good;
}

bool fmha_check_causal(fmha_check *check) {
    const fmha_shape shapes[] = {{1, 2, 1, 96, 96, 32, true, 0},
                                 {2, 1, 1, 61, 150, 16, true, 0},
                                 {1, 1, 1, 90, 41, 24, true, 0}};
    for (int i = 0; i < 3 + check->cases; i++)
        if (!check_causal(
                check,
                i < 3 ? shapes[i] : fmha_random_shape(check->seed, i, 1 << 17),
                i))
            return false;
    return true;
}

/* --- masked_row_is_zero --- */

static bool all_zero(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0) return false; /* NaN != 0 */
    return true;
}

static size_t first_not_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return i;
    return n;
}

/* Rows without keys, by themselves; and nothing but numbers in the others. */
static bool check_forward_rows(fmha_check *check, fmha_case *c,
                               const fmha_config *config) {
    const fmha_shape *s = &c->shape;
    size_t dim = s->head_dim;
    if (!fmha_run_forward(check, c, config, 2)) return false;
    for (size_t row = 0; row < c->rows; row++) {
        size_t seen = fmha_keys_seen(s, row % s->q_len);
        const float *o = c->o + row * dim;
        bool good =
            seen ? first_not_finite(o, dim) == dim && isfinite(c->lse[row])
                 : all_zero(o, dim) && c->lse[row] == -INFINITY;
        if (!good)
            return fmha_found(check, c, config, 2,
                              "row %zu sees %zu keys and gives O = %g, LSE = "
                              "%g",
                              row, seen, (double)*o, (double)c->lse[row]);
    }
    return true;
}

/* O and LSE are the oracle's here: what the forward pass makes of empty rows is
 * no fault of the backward pass. */
static bool check_backward_rows(fmha_check *check, fmha_case *c,
                                const fmha_config *config) {
    const fmha_shape *s = &c->shape;
    size_t dim = s->head_dim;
    if (!fmha_case_gradients(c, check->err) ||
        !fmha_run_backward(check, c, config, 2))
        return false;
    for (size_t row = 0; row < c->rows; row++)
        if (fmha_keys_seen(s, row % s->q_len) == 0 &&
            !all_zero(c->dq + row * dim, dim))
            return fmha_found(check, c, config, 2,
                              "row %zu sees no key and gives dQ = %g", row,
                              (double)c->dq[row * dim]);
    const float *got[3] = {c->dq, c->dk, c->dv};
    for (int g = 0; g < 3; g++) {
        size_t n = g ? c->kvs : c->qs, at = first_not_finite(got[g], n);
        if (at < n)
            return fmha_found(check, c, config, 2, "d%c number %zu is %g",
                              "QKV"[g], at, (double)got[g][at]);
    }
    return true;
}

/* At random: causal, and the longer side are the queries. */
static fmha_shape more_queries(uint64_t seed, int index) {
    fmha_shape s = fmha_random_shape(seed, index, 1 << 18);
    size_t longer = s.q_len > s.kv_len ? s.q_len : s.kv_len;
    s.kv_len = s.q_len < s.kv_len ? s.q_len : s.kv_len;
    s.q_len = longer;
    s.causal = true;
    return s;
}

bool fmha_check_masked(fmha_check *check) {
    const fmha_shape shapes[] = {
        {1, 2, 1, 40, 13, 16, true, 0},  {1, 1, 1, 70, 1, 32, true, 0},
        {2, 2, 2, 17, 0, 16, false, 0},  {1, 2, 1, 5, 0, 32, true, 0},
        {1, 1, 1, 130, 66, 16, true, 0}, {1, 1, 1, 0, 9, 16, false, 0}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    bool good = true;
    for (int i = 0; i < 2 * SHAPES + check->cases && good; i++) {
        fmha_dtype dtype = i < SHAPES ? FMHA_F32 : (fmha_dtype)(i % 3);
        fmha_shape shape =
            i < 2 * SHAPES ? shapes[i % SHAPES] : more_queries(check->seed, i);
        fmha_case c;
        if (!fmha_case_new(&c, &shape, dtype, (fmha_layout)(i % FMHA_LAYOUTS),
                           true, check->seed + (uint64_t)i, check->err))
            return false;
        for (int t = 0; t < 4 && good; t++) {
            fmha_config config = fmha_config_at(check, t + i, dtype);
            good = check_forward_rows(check, &c, &config) &&
                   check_backward_rows(check, &c, &config);
        }
        fmha_case_free(&c);
    }
    return good;
}

/* --- grouped_heads_map --- */

/* Values of key and value head kv are all mark(b, kv): whatever the scores, O
 * of its query heads is that number. */
static float mark(size_t b, size_t kv) { return (float)(1 + 10 * b + kv); }

static void mark_values(fmha_case *c) {
    const fmha_shape *s = &c->shape;
    size_t head = s->kv_len * s->head_dim;
    for (size_t at = 0; at < c->kvs; at++)
        c->v[at] = mark(at / head / s->kv_heads, at / head % s->kv_heads);
}

/* Value j of head kv is j; key kv of head kv takes nearly all the weight: O
 * says whose keys the scores came from. */
static void mark_keys(fmha_case *c) {
    const fmha_shape *s = &c->shape;
    size_t dim = s->head_dim;
    for (size_t i = 0; i < c->qs; i++) c->q[i] = 1;
    for (size_t row = 0; row < c->kvs / dim; row++) {
        size_t j = row % s->kv_len, kv = row / s->kv_len % s->kv_heads;
        for (size_t d = 0; d < dim; d++) {
            c->k[row * dim + d] = j == kv ? 20 : 0;
            c->v[row * dim + d] = (float)j;
        }
    }
}

static bool check_marks(fmha_check *check, fmha_case *c,
                        const fmha_config *config, bool of_keys) {
    const fmha_shape *s = &c->shape;
    if (!fmha_run_forward(check, c, config, 2)) return false;
    for (size_t at = 0; at < c->qs; at++) {
        size_t h = at / s->head_dim / s->q_len % s->heads,
               b = at / s->head_dim / s->q_len / s->heads,
               kv = h / (s->heads / s->kv_heads);
        double want = of_keys ? (double)kv : (double)mark(b, kv);
        /* Marks are whole numbers up to 50: the roundings of 45 keys, 110 u of
         * them, are far below half the distance of two heads. */
        if (!(fabs((double)c->o[at] - want) < 0.5))
            return fmha_found(check, c, config, 2,
                              "query head %zu of batch %zu reads %s of head "
                              "%g, not %zu",
                              h, b, of_keys ? "keys" : "values",
                              of_keys ? (double)c->o[at]
                                      : (double)c->o[at] - 1 - 10 * (double)b,
                              kv);
    }
    return true;
}

/* dO is not 0 in query head h alone: gradients in its group's head alone. */
static bool check_gradient_heads(fmha_check *check, fmha_case *c,
                                 const fmha_config *config, const float *d_o,
                                 size_t h) {
    const fmha_shape *s = &c->shape;
    size_t head = s->q_len * s->head_dim, kv_head = s->kv_len * s->head_dim;
    for (size_t at = 0; at < c->qs; at++)
        c->d_o[at] = at / head % s->heads == h ? d_o[at] : 0;
    if (!fmha_case_gradients(c, check->err) ||
        !fmha_run_backward(check, c, config, 2))
        return false;
    for (size_t at = 0; at < c->kvs; at += kv_head) {
        size_t kv = at / kv_head % s->kv_heads;
        bool mine = kv == h / (s->heads / s->kv_heads);
        if (mine == all_zero(c->dv + at, kv_head) ||
            (!mine && !all_zero(c->dk + at, kv_head)))
            return fmha_found(check, c, config, 2,
                              "dO is not 0 in query head %zu alone, and the "
                              "gradients of head %zu are %s",
                              h, kv, mine ? "0" : "not 0");
    }
    return true;
}

/* Each query head in turn. */
static bool check_gradient_groups(fmha_check *check, fmha_case *c,
                                  const fmha_config *config) {
    float *d_o = spak_malloc(c->qs * sizeof *d_o);
    if (!d_o) return spak_fail_oom(check->err);
    memcpy(d_o, c->d_o, c->qs * sizeof *d_o);
    bool good = true;
    for (size_t h = 0; h < c->shape.heads && good; h++)
        good = check_gradient_heads(check, c, config, d_o, h);
    spak_free(d_o);
    return good;
}

static bool check_groups(fmha_check *check, const fmha_shape *shape, int i) {
    fmha_case c;
    if (!fmha_case_new(&c, shape, FMHA_F32, (fmha_layout)(i % FMHA_LAYOUTS),
                       true, check->seed + (uint64_t)i, check->err))
        return false;
    fmha_config config = fmha_config_at(check, i, FMHA_F32),
                other = fmha_config_at(check, i + 1, FMHA_F32);
    bool good = check_gradient_groups(check, &c, &other);
    mark_values(&c);
    good = good && check_marks(check, &c, &config, false);
    mark_keys(&c);
    good = good && check_marks(check, &c, &config, true);
    fmha_case_free(&c);
    return good;
}

bool fmha_check_groups(fmha_check *check) {
    static const size_t heads[][2] = {{8, 2}, {6, 3}, {8, 1}, {8, 4}, {4, 4}};
    for (int i = 0; i < 5 + check->cases; i++) {
        fmha_shape shape = {2, 1, 1, 19, 45, 16, i % 2 == 1, 0};
        uint32_t word[4];
        spak_philox(check->seed, 300, (uint64_t)i, word);
        shape.kv_heads = i < 5 ? heads[i][1] : 1 + word[0] % 5;
        shape.heads = i < 5 ? heads[i][0] : shape.kv_heads * (1 + word[1] % 5);
        if (!check_groups(check, &shape, i)) return false;
    }
    return true;
}
