/* emulate_matmul_run: inputs, the launch, the comparison. */
#include "emulate/matmul.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "emulate/device.h"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"

#define VARIANTS(each)                                                     \
    each(naive_nn) each(naive_tt) each(coalesced_nn) each(coalesced_nt)    \
        each(shared_tile_nn) each(shared_tile_tt) each(register_tile_nn)   \
            each(register_tile_tt) each(mma_sync_nn) each(mma_sync_tn)     \
                each(mma_sync_nt) each(mma_sync_tt) each(mma_sync_edge_nn) \
                    each(mma_sync_edge_tn) each(mma_sync_edge_nt)          \
                        each(mma_sync_edge_tt) each(mma_sync_default)      \
                            each(mma_sync_large)

#define DECLARE(name) extern const emulate_matmul emulate_##name;
VARIANTS(DECLARE)
#define ADDRESS(name) &emulate_##name,
const emulate_matmul *const emulate_matmuls[] = {VARIANTS(ADDRESS)};
const size_t emulate_num_matmuls =
    sizeof emulate_matmuls / sizeof emulate_matmuls[0];

/* --- matrices --- */

/* rows x cols in steps of `size` bytes; rows are ld elements apart. */
typedef struct matrix {
    emulate_array array;
    int rows, cols, ld, size;
    void *block;
} matrix;

/* The first byte is aligned to 64 for aligned variants; otherwise it is the
 * element after such a place. */
static bool take(matrix *x, const char *name, int rows, int cols, int gap,
                 int size, bool aligned, spak_error *err) {
    const int ld = (aligned ? (cols + 7) / 8 * 8 : cols) + gap;
    const size_t bytes = (size_t)rows * (size_t)ld * (size_t)size;
    *x = (matrix){.rows = rows, .cols = cols, .ld = ld, .size = size};
    if (!(x->block = spak_malloc(bytes + 128))) return spak_fail_oom(err);
    memset(x->block, 0xff, bytes + 128);
    uintptr_t at = ((uintptr_t)x->block + 63) / 64 * 64;
    if (!aligned) at += (uintptr_t)size;
    x->array = (emulate_array){.name = name,
                               .at = (void *)at,
                               .rows = (size_t)rows,
                               .row_bytes = (size_t)cols * (size_t)size,
                               .pitch = (size_t)ld * (size_t)size};
    return true;
}

static bool count_writes(matrix *x, spak_error *err) {
    x->array.writable = true;
    x->array.writes = spak_calloc(x->array.rows * x->array.pitch + 1, 1);
    return x->array.writes ? true : spak_fail_oom(err);
}

static void drop(matrix *x) {
    spak_free(x->array.writes);
    spak_free(x->block);
}

static unsigned char *place(const matrix *x, int row, int col) {
    return (unsigned char *)x->array.at +
           ((size_t)row * (size_t)x->ld + (size_t)col) * (size_t)x->size;
}

static double value(const matrix *x, bool f16, int row, int col) {
    if (x->size == 4) {
        float y;
        memcpy(&y, place(x, row, col), 4);
        return y;
    }
    uint16_t bits;
    memcpy(&bits, place(x, row, col), 2);
    return f16 ? emulate_float_of_f16(bits) : emulate_float_of_bf16(bits);
}

static void fill(matrix *x, bool f16, uint64_t seed, uint64_t stream) {
    for (int i = 0; i < x->rows; i++) {
        for (int j = 0; j < x->cols; j++) {
            const uint64_t at = (uint64_t)i * (uint64_t)x->cols + (uint64_t)j;
            const float y = 2 * spak_philox_uniform(seed, stream, at) - 1;
            const uint16_t bits =
                f16 ? emulate_f16_of_float(y) : emulate_bf16_of_float(y);
            memcpy(place(x, i, j), x->size == 4 ? (const void *)&y : &bits,
                   (size_t)x->size);
        }
    }
}

/* --- a case's arrays --- */

enum { A, B, C, BIAS, PRE, RESIDUAL, WORKSPACE, COUNTERS, ARRAYS };

typedef struct arrays {
    matrix x[ARRAYS];
    matrix c_before; /* a copy of C for the oracle */
    int tiles;
} arrays;

static void drop_arrays(arrays *s) {
    for (int i = 0; i < ARRAYS; i++) drop(&s->x[i]);
    drop(&s->c_before);
}

static bool take_arrays(const emulate_matmul_case *c, arrays *s,
                        spak_error *err) {
    const emulate_matmul *v = c->variant;
    const int m = c->m, n = c->n, k = c->k, gap = c->gap;
    const int out = v->out_f32 ? 4 : 2;
    matrix *x = s->x;
    s->tiles = matmul_tiles(m, v->tile_m) * matmul_tiles(n, v->tile_n);
    const int part = v->split > 1 ? s->tiles * v->split : 0;
    if (!take(&x[A], "A", v->trans_a ? k : m, v->trans_a ? m : k, gap, 2,
              v->aligned, err) ||
        !take(&x[B], "B", v->trans_b ? n : k, v->trans_b ? k : n, gap, 2,
              v->aligned, err) ||
        !take(&x[C], "C", m, n, gap, out, v->aligned, err) ||
        !take(&x[BIAS], "bias", 1, n, 0, 2, v->aligned, err) ||
        !take(&x[PRE], "pre", m, n, gap, 2, v->aligned, err) ||
        !take(&x[RESIDUAL], "residual", m, n, gap, 2, v->aligned, err) ||
        !take(&x[WORKSPACE], "workspace", part, v->tile_m * v->tile_n, 0, 4,
              true, err) ||
        !take(&x[COUNTERS], "counters", 1, s->tiles, 0, 4, true, err) ||
        !take(&s->c_before, "C before", m, n, 0, 4, true, err) ||
        !count_writes(&x[C], err) || !count_writes(&x[PRE], err))
        return false;
    x[WORKSPACE].array.writable = x[COUNTERS].array.writable = true;
    for (int i = 0; i < s->tiles; i++) memset(place(&x[COUNTERS], 0, i), 0, 4);
    fill(&x[A], v->f16, c->seed, 1);
    fill(&x[B], v->f16, c->seed, 2);
    fill(&x[BIAS], v->f16, c->seed, 3);
    fill(&x[RESIDUAL], v->f16, c->seed, 4);
    if (v->beta && c->beta != 0) fill(&x[C], v->f16, c->seed, 5);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            const float y = (float)value(&x[C], v->f16, i, j);
            memcpy(place(&s->c_before, i, j), &y, 4);
        }
    }
    return true;
}

static bool launch(const emulate_matmul_case *c, const arrays *s,
                   emulate_counts *counts, spak_error *err) {
    const emulate_matmul *v = c->variant;
    emulate_array list[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) list[i] = s->x[i].array;
    matmul_params p = {
        .a = (uintptr_t)list[A].at,
        .b = (uintptr_t)list[B].at,
        .c = (uintptr_t)list[C].at,
        .bias = (uintptr_t)list[BIAS].at,
        .pre = (uintptr_t)list[PRE].at,
        .residual = (uintptr_t)list[RESIDUAL].at,
        .m = c->m,
        .n = c->n,
        .k = c->k,
        .lda = s->x[A].ld,
        .ldb = s->x[B].ld,
        .ldc = s->x[C].ld,
        .alpha = c->alpha,
        .beta = c->beta,
        .workspace = (uintptr_t)list[WORKSPACE].at,
        .counters = (uintptr_t)list[COUNTERS].at,
    };
    const emulate_launch x = {
        .kernel = v->kernel,
        .params = &p,
        .grid = {(unsigned)s->tiles, 1, (unsigned)v->split},
        .block = {v->block[0], v->block[1], v->block[2]},
        .smem_bytes = v->smem_bytes,
        .arrays = list,
        .num_arrays = ARRAYS,
        .schedule = c->schedule,
    };
    return emulate_run(&x, counts, err);
}

/* --- the comparison --- */

/* The largest error that a rounding to 16 bits makes of y. */
static double rounding(bool f16, double y) {
    return f16 ? fabs(y) * 0x1p-11 + 0x1p-25 : fabs(y) * 0x1p-8;
}

/* NaN is worse than any number. */
static void judge(emulate_matmul_result *r, double got, double want,
                  double bound, int row, int col) {
    const double part = fabs(got - want) / bound;
    if (part <= r->worst) return;
    r->worst = isnan(part) ? INFINITY : part;
    r->worst_row = row;
    r->worst_col = col;
}

static void compare_element(const emulate_matmul_case *c, const arrays *s,
                            int i, int j, emulate_matmul_result *r) {
    const emulate_matmul *v = c->variant;
    const matrix *x = s->x;
    double sum = 0, size = 0;
    for (int k = 0; k < c->k; k++) {
        const double t =
            value(&x[A], v->f16, v->trans_a ? k : i, v->trans_a ? i : k) *
            value(&x[B], v->f16, v->trans_b ? j : k, v->trans_b ? k : j);
        sum += t;
        size += fabs(t);
    }
    double y = c->alpha * sum;
    size *= fabs(c->alpha);
    if (v->beta && c->beta != 0) {
        const double old = c->beta * value(&s->c_before, false, i, j);
        y += old;
        size += fabs(old);
    }
    if (v->bias) {
        y += value(&x[BIAS], v->f16, 0, j);
        size += fabs(value(&x[BIAS], v->f16, 0, j));
    }
    double bound = (c->k + 16) * 0x1p-24 * size + 0x1p-60;
    if (v->gelu) {
        judge(r, value(&x[PRE], v->f16, i, j), y, bound + rounding(v->f16, y),
              i, j);
        y = 0.5 * y *
            (1 + tanh(sqrt(2 / acos(-1)) * (y + 0.044715 * y * y * y)));
        bound = 1.13 * bound + 0x1p-20 * fabs(y); /* |gelu'| < 1.13 */
    }
    if (v->residual) {
        const double residual = value(&x[RESIDUAL], v->f16, i, j);
        y += residual;
        bound += 0x1p-24 * (fabs(residual) + fabs(y));
    }
    bound += v->out_f32 ? 0x1p-24 * fabs(y) : rounding(v->f16, y);
    judge(r, value(&x[C], v->f16, i, j), y, bound, i, j);
}

static void compare_writes(const matrix *x, emulate_matmul_result *r) {
    for (int i = 0; i < x->rows; i++) {
        const unsigned char *row = x->array.writes + (size_t)i * x->array.pitch;
        for (size_t b = 0; b < x->array.row_bytes; b++) {
            if (row[b] < r->fewest_writes) r->fewest_writes = row[b];
            if (row[b] > r->most_writes) r->most_writes = row[b];
        }
    }
}

static void compare(const emulate_matmul_case *c, const arrays *s,
                    emulate_matmul_result *r) {
    r->fewest_writes = 255;
    for (int i = 0; i < c->m; i++)
        for (int j = 0; j < c->n; j++) compare_element(c, s, i, j, r);
    compare_writes(&s->x[C], r);
    if (c->variant->gelu) compare_writes(&s->x[PRE], r);
    r->counters_clear = true;
    for (int i = 0; i < s->tiles; i++)
        if (value(&s->x[COUNTERS], false, 0, i) != 0) r->counters_clear = false;
    r->c_hash = 14695981039346656037u;
    for (int i = 0; i < c->m; i++) {
        const unsigned char *row = place(&s->x[C], i, 0);
        for (size_t b = 0; b < s->x[C].array.row_bytes; b++)
            r->c_hash = (r->c_hash ^ row[b]) * 1099511628211u;
    }
}

bool emulate_matmul_run(const emulate_matmul_case *x,
                        emulate_matmul_result *result, spak_error *err) {
    arrays s = {0};
    memset(result, 0, sizeof *result);
    const bool done =
        take_arrays(x, &s, err) && launch(x, &s, &result->counts, err);
    if (done) compare(x, &s, result);
    drop_arrays(&s);
    return done;
}
