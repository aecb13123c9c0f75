/* emulate_fmha_run: inputs, the launches, the comparison. */
#include "emulate/fmha.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "emulate/device.h"
#include "fmha/gpu/params.h"
#include "fmha/gpu/walk.h"
#include "fmha/oracle.h"

#define VARIANTS(each)                                                         \
    each(fused_32) each(fused_64_causal) each(fused_96_window)                 \
        each(fused_128_varlen) each(fused_192) each(fused_256_window)          \
            each(unfused_32_causal) each(unfused_64) each(unfused_96_varlen)   \
                each(decode_32_window) each(decode_64) each(decode_128_varlen) \
                    each(decode_256)
#define FAULTS(each)                                                        \
    each(fault_wait) each(fault_barrier) each(fault_floor) each(fault_mask) \
        each(fault_rows) each(fault_sequence) each(fault_shuffle)           \
            each(fault_maximum) each(fault_slice)

#define DECLARE(name) extern const emulate_fmha emulate_fmha_##name;
#define ADDRESS(name) &emulate_fmha_##name,
VARIANTS(DECLARE)
FAULTS(DECLARE)
const emulate_fmha *const emulate_fmhas[] = {VARIANTS(ADDRESS)};
const size_t emulate_num_fmhas = sizeof emulate_fmhas / sizeof *emulate_fmhas;
const emulate_fmha *const emulate_fmha_faults[] = {FAULTS(ADDRESS)};
const size_t emulate_num_fmha_faults =
    sizeof emulate_fmha_faults / sizeof *emulate_fmha_faults;

/* --- a case's arrays --- */

enum { Q, K, V, O, LSE, CU_Q, CU_K, SCORES, WEIGHTS, PART_O, PART_LSE, ARRAYS };

typedef struct arrays {
    emulate_array x[ARRAYS];
    void *block[ARRAYS];
    fmha_layout at[O + 1]; /* of Q, K, V, O */
    float *value[V + 1];   /* Q, K, V widened, laid out alike */
    int first_q[EMULATE_FMHA_SEQUENCES + 1],
        first_k[EMULATE_FMHA_SEQUENCES + 1];
    size_t lines; /* rows of LSE */
    long long scores_row;
} arrays;

static void drop(arrays *s) {
    for (int i = 0; i < ARRAYS; i++) {
        spak_free(s->block[i]);
        spak_free(s->x[i].writes);
    }
    for (int i = 0; i <= V; i++) spak_free(s->value[i]);
}

static bool take(arrays *s, int i, const char *name, size_t rows,
                 size_t row_bytes, size_t pitch, bool writable,
                 spak_error *err) {
    const size_t bytes = rows * pitch;
    if (!(s->block[i] = spak_malloc(bytes + 64))) return spak_fail_oom(err);
    memset(s->block[i], 0xff, bytes + 64);
    s->x[i] =
        (emulate_array){.name = name,
                        .at = (void *)(((uintptr_t)s->block[i] + 63) / 64 * 64),
                        .rows = rows,
                        .row_bytes = row_bytes,
                        .pitch = pitch,
                        .writable = writable};
    if (i != O && i != LSE) return true;
    s->x[i].writes = spak_calloc(bytes + 1, 1);
    return s->x[i].writes ? true : spak_fail_oom(err);
}

/* A tensor of `len` rows a head (of all sequences, with varlen). */
static bool take_tensor(const emulate_fmha_case *c, arrays *s, int i,
                        const char *name, int heads, int len, spak_error *err) {
    const int d = c->variant->head_dim,
              batch = c->variant->varlen ? 1 : c->batch;
    const long long pitch = d + c->gap;
    s->at[i] = c->by_tokens
                   ? (fmha_layout){pitch * heads * len, pitch, pitch * heads}
                   : (fmha_layout){pitch * heads * len, pitch * len, pitch};
    return take(s, i, name, (size_t)batch * (size_t)heads * (size_t)len,
                2 * (size_t)d, 2 * (size_t)pitch, i == O, err);
}

static float widen(const emulate_fmha *v, uint16_t bits) {
    return v->f16 ? emulate_float_of_f16(bits) : emulate_float_of_bf16(bits);
}

/* Inputs from -size to size; with logits, Q and K as large as they ask for. */
static bool fill(const emulate_fmha_case *c, arrays *s, int i,
                 spak_error *err) {
    const emulate_fmha *v = c->variant;
    const emulate_array *x = &s->x[i];
    const size_t pitch = x->pitch / 2;
    const double d = v->head_dim;
    const float size =
        c->logits > 0 && i != V ? (float)sqrt(3 * c->logits / sqrt(d)) : 1;
    s->value[i] = spak_calloc(x->rows * pitch + 1, sizeof(float));
    if (!s->value[i]) return spak_fail_oom(err);
    for (size_t e = 0; e < x->rows * pitch; e++) {
        if (e % pitch >= (size_t)v->head_dim) continue;
        const float y =
            size * (2 * spak_philox_uniform(c->seed, (uint64_t)i, e) - 1);
        const uint16_t bits =
            v->f16 ? emulate_f16_of_float(y) : emulate_bf16_of_float(y);
        memcpy((char *)x->at + 2 * e, &bits, 2);
        s->value[i][e] = widen(v, bits);
    }
    return true;
}

static bool take_arrays(const emulate_fmha_case *c, arrays *s,
                        spak_error *err) {
    const emulate_fmha *v = c->variant;
    for (int b = 0; b < c->batch; b++) {
        s->first_q[b + 1] =
            s->first_q[b] + (v->varlen ? c->queries[b] : c->q_len);
        s->first_k[b + 1] =
            s->first_k[b] + (v->varlen ? c->keys[b] : c->kv_len);
    }
    const int q = v->varlen ? s->first_q[c->batch] : c->q_len;
    const int k = v->varlen ? s->first_k[c->batch] : c->kv_len;
    const size_t heads = (size_t)c->heads, cu = 4 * (size_t)(c->batch + 1);
    s->lines = heads * (size_t)s->first_q[c->batch];
    s->scores_row = (c->kv_len + 7) / 8 * 8;
    const size_t square = v->family == EMULATE_FMHA_UNFUSED
                              ? (size_t)c->batch * heads * (size_t)c->q_len
                              : 0;
    const size_t parts = c->slices > 1 ? s->lines * (size_t)c->slices : 0;
    const size_t row = (size_t)s->scores_row, d = (size_t)v->head_dim;
    if (!take_tensor(c, s, Q, "Q", c->heads, q, err) ||
        !take_tensor(c, s, K, "K", c->kv_heads, k, err) ||
        !take_tensor(c, s, V, "V", c->kv_heads, k, err) ||
        !take_tensor(c, s, O, "O", c->heads, q, err) ||
        !take(s, LSE, "LSE", 1, 4 * s->lines, 4 * s->lines, true, err) ||
        !take(s, CU_Q, "cu_q", 1, cu, cu, false, err) ||
        !take(s, CU_K, "cu_k", 1, cu, cu, false, err) ||
        !take(s, SCORES, "S", square, 4 * row, 4 * row, true, err) ||
        !take(s, WEIGHTS, "P", square, 2 * row, 2 * row, true, err) ||
        !take(s, PART_O, "parts of O", parts, 4 * d, 4 * d, true, err) ||
        !take(s, PART_LSE, "parts of LSE", 1, 4 * parts, 4 * parts, true, err))
        return false;
    memcpy(s->x[CU_Q].at, s->first_q, cu);
    memcpy(s->x[CU_K].at, s->first_k, cu);
    return fill(c, s, Q, err) && fill(c, s, K, err) && fill(c, s, V, err);
}

/* --- the launches --- */

static fmha_gpu_params params_of(const emulate_fmha_case *c, const arrays *s) {
    const emulate_array *x = s->x;
    const double scale = 1 / sqrt((double)c->variant->head_dim);
    return (fmha_gpu_params){
        .q = (uintptr_t)x[Q].at,
        .k = (uintptr_t)x[K].at,
        .v = (uintptr_t)x[V].at,
        .o = (uintptr_t)x[O].at,
        .lse = (uintptr_t)x[LSE].at,
        .cu_q = (uintptr_t)x[CU_Q].at,
        .cu_k = (uintptr_t)x[CU_K].at,
        .scores = (uintptr_t)x[SCORES].at,
        .weights = (uintptr_t)x[WEIGHTS].at,
        .part_o = (uintptr_t)x[PART_O].at,
        .part_lse = (uintptr_t)x[PART_LSE].at,
        .scores_row = s->scores_row,
        .q_at = s->at[Q],
        .k_at = s->at[K],
        .v_at = s->at[V],
        .o_at = s->at[O],
        .batch = c->batch,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .q_len = c->q_len,
        .kv_len = c->kv_len,
        .total_q = s->first_q[c->batch],
        .total_k = s->first_k[c->batch],
        .window = c->window,
        .slices = c->slices,
        .group = 2,
        .scale = (float)scale,
        .scale_log2 = (float)(scale * M_LOG2E),
    };
}

typedef struct extent {
    unsigned grid[3], threads;
} extent;

/* As the kernels' files say. */
static int extents_of(const emulate_fmha_case *c, const arrays *s,
                      extent step[3]) {
    const emulate_fmha *v = c->variant;
    const unsigned heads = (unsigned)c->heads, batch = (unsigned)c->batch;
    const unsigned threads = (unsigned)v->threads;
    const unsigned m = (unsigned)fmha_tiles(c->q_len, v->tile_m);
    const unsigned n = (unsigned)fmha_tiles(c->kv_len, v->tile_n);
    const int group = c->heads / c->kv_heads;
    if (v->family == EMULATE_FMHA_FUSED) {
        step[0] = (extent){{m * heads * batch, 1, 1}, threads};
        return 1;
    }
    if (v->family == EMULATE_FMHA_UNFUSED) {
        step[0] = (extent){{m * n, heads, batch}, threads};
        step[1] = (extent){{(unsigned)c->q_len, heads, batch},
                           c->kv_len > 200 ? 96 : 32};
        step[2] = (extent){{m, heads, batch}, threads};
        return 3;
    }
    const int parts = fmha_tiles(c->q_len * group, v->tile_m);
    step[0] = (extent){
        {(unsigned)(parts * c->slices), (unsigned)c->kv_heads, batch}, threads};
    step[1] = (extent){{(unsigned)s->lines, 1, 1}, (unsigned)v->head_dim};
    return c->slices > 1 ? 2 : 1;
}

static void add(emulate_counts *to, const emulate_counts *x) {
    to->mma += x->mma;
    to->ldmatrix += x->ldmatrix;
    to->ldmatrix_cycles += x->ldmatrix_cycles;
    to->async_copies += x->async_copies;
    to->barriers += x->barriers;
    to->read_bytes += x->read_bytes;
    to->written_bytes += x->written_bytes;
}

static bool launch(const emulate_fmha_case *c, const arrays *s,
                   emulate_counts *counts, spak_error *err) {
    const fmha_gpu_params p = params_of(c, s);
    extent step[3];
    const int steps = extents_of(c, s, step);
    for (int i = 0; i < steps; i++) {
        emulate_counts own = {0};
        emulate_launch x = {
            .kernel = c->variant->kernel[i],
            .params = &p,
            .block = {step[i].threads, 1, 1},
            .smem_bytes = c->variant->smem_bytes[i],
            .arrays = s->x,
            .num_arrays = ARRAYS,
            .schedule = c->schedule,
        };
        memcpy(x.grid, step[i].grid, sizeof x.grid);
        if (!emulate_run(&x, &own, err))
            return spak_fail_context(err, "launch %d", i);
        add(counts, &own);
    }
    return true;
}

/* --- the comparison --- */

/* Query t of head h, sequence b, and the keys first ... end - 1 that it sees.
 */
typedef struct row {
    int b, h, t, first, end;
    size_t q, k, o, line; /* places of its first elements */
} row;

static row row_of(const emulate_fmha_case *c, const arrays *s, int b, int h,
                  int t) {
    const emulate_fmha *v = c->variant;
    const int queries = s->first_q[b + 1] - s->first_q[b];
    const int keys = s->first_k[b + 1] - s->first_k[b];
    const int kv = h / (c->heads / c->kv_heads), last = t + keys - queries;
    row r = {.b = b, .h = h, .t = t, .first = 0, .end = keys};
    if (v->causal) r.end = last + 1 < keys ? last + 1 : keys;
    if (v->window && last - c->window > 0) r.first = last - c->window;
    if (r.end < r.first) r.end = r.first;
    const long long q_row = v->varlen ? s->first_q[b] + t : t;
    const long long k_row = v->varlen ? s->first_k[b] + r.first : r.first;
    const long long in = v->varlen ? 0 : b;
    r.q = (size_t)(in * s->at[Q].batch + h * s->at[Q].head +
                   q_row * s->at[Q].row);
    r.k = (size_t)(in * s->at[K].batch + kv * s->at[K].head +
                   k_row * s->at[K].row);
    r.o = (size_t)(in * s->at[O].batch + h * s->at[O].head +
                   q_row * s->at[O].row);
    r.line = v->varlen ? (size_t)(h * s->first_q[c->batch]) + (size_t)q_row
                       : ((size_t)b * (size_t)c->heads + (size_t)h) *
                                 (size_t)c->q_len +
                             (size_t)t;
    return r;
}

/* NaN is worse than any number. */
static void judge(double *worst, double got, double want, double bound) {
    const double part = got == want ? 0 : fabs(got - want) / bound;
    if (!(part <= *worst)) *worst = isnan(part) ? INFINITY : part;
}

/* What a row's O and LSE are to be: those of attention without a mask to the
 * keys that it sees. */
typedef struct wanted {
    double o[256], o_bound[256], lse, lse_bound;
} wanted;

static bool expect(const emulate_fmha_case *c, const arrays *s, const row *r,
                   wanted *w, spak_error *err) {
    const emulate_fmha *v = c->variant;
    const size_t d = (size_t)v->head_dim;
    const fmha_shape shape = {1, 1,     1, 1, (size_t)(r->end - r->first),
                              d, false, 0};
    const fmha_forward_args args = {
        .q = {s->value[Q] + r->q, 0, 0, d},
        .k = {s->value[K] + r->k, 0, 0, (size_t)s->at[K].row},
        .v = {s->value[V] + r->k, 0, 0, (size_t)s->at[V].row}};
    if (r->end <= r->first) {
        memset(w, 0, sizeof *w);
        w->lse = -INFINITY;
        return true;
    }
    if (!fmha_oracle(&shape, &args, w->o, &w->lse, w->o_bound, err) ||
        !fmha_oracle_lse_bound(&shape, &args, &w->lse_bound, err))
        return false;
    const double factor =
        fmha_error_factor(&shape, v->f16 ? FMHA_F16 : FMHA_BF16);
    for (size_t i = 0; i < d; i++) w->o_bound[i] *= factor;
    /* Slices' LSE are rounded, and so are the sum over them and its way. */
    if (c->slices > 1) w->lse_bound += 0x1p-20 * (fabs(w->lse) + 1);
    return true;
}

static bool compare_row(const emulate_fmha_case *c, const arrays *s,
                        const row *r, emulate_fmha_result *result,
                        spak_error *err) {
    wanted w;
    if (!expect(c, s, r, &w, err)) return false;
    const uint16_t *o = (const uint16_t *)s->x[O].at + r->o;
    float lse;
    memcpy(&lse, (const char *)s->x[LSE].at + 4 * r->line, 4);
    for (int i = 0; i < c->variant->head_dim; i++) {
        const double before = result->worst;
        judge(&result->worst, widen(c->variant, o[i]), w.o[i], w.o_bound[i]);
        if (result->worst == before) continue;
        result->worst_row = r->t;
        result->worst_column = i;
    }
    judge(&result->worst_lse, lse, w.lse, w.lse_bound);
    return true;
}

/* Of an array whose elements are all to be written. */
static void count_writes(const emulate_array *x, emulate_fmha_result *r) {
    for (size_t i = 0; i < x->rows; i++)
        for (size_t b = 0; b < x->row_bytes; b++) {
            const int n = x->writes[i * x->pitch + b];
            const unsigned char byte =
                ((const unsigned char *)x->at)[i * x->pitch + b];
            if (n < r->fewest_writes) r->fewest_writes = n;
            if (n > r->most_writes) r->most_writes = n;
            r->hash = (r->hash ^ byte) * 1099511628211u;
        }
}

static bool compare(const emulate_fmha_case *c, const arrays *s,
                    emulate_fmha_result *result, spak_error *err) {
    result->fewest_writes = s->lines ? 255 : 1;
    result->most_writes = s->lines ? 0 : 1;
    result->hash = 14695981039346656037u;
    count_writes(&s->x[O], result);
    count_writes(&s->x[LSE], result);
    for (int b = 0; b < c->batch; b++)
        for (int h = 0; h < c->heads; h++)
            for (int t = 0; t < s->first_q[b + 1] - s->first_q[b]; t++) {
                const row r = row_of(c, s, b, h, t);
                if (!compare_row(c, s, &r, result, err)) return false;
            }
    return true;
}

bool emulate_fmha_run(const emulate_fmha_case *x, emulate_fmha_result *result,
                      spak_error *err) {
    arrays s = {0};
    memset(result, 0, sizeof *result);
    const bool done = take_arrays(x, &s, err) &&
                      launch(x, &s, &result->counts, err) &&
                      compare(x, &s, result, err);
    drop(&s);
    return done;
}
