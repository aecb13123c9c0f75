/* MatMul: C = op(A) op(B) in 32-bit floats, row-major.
 *
 *   oracle.c     the same in double precision, and the bound that a float
 * result must keep ladder.c     naive, loop_order, blocked, packed: one idea a
 * step, portable C goto.c       register_tile, threads: the loops around the
 * micro-kernels micro_*.c    the micro-kernels and packing routines, one file
 * an instruction set config.c     the tuning axes: parsing, the machine's
 * defaults, what is refused invariants.c the executable invariants: bound,
 * writes, bits      guard.c  reads      subjects.c  what they run on trial.c
 * one measurement, verify.c what checks it             op.c  the operator's
 * table */
#ifndef SPAK_MATMUL_H
#define SPAK_MATMUL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "device/device.h"
#include "device/op.h"
#include "device/threads.h"

/* One product. Leading dimensions are in elements and at least the stored row's
 * length; any of m, n, k may be 0, and k == 0 gives a zero product. C overlaps
 * neither input. */
typedef struct matmul_args {
    size_t m, n, k;
    bool trans_a, trans_b;
    const float *a; /* (m, k), or (k, m) when trans_a */
    size_t lda;
    const float *b; /* (k, n), or (n, k) when trans_b */
    size_t ldb;
    float *c; /* (m, n) */
    size_t ldc;
    bool accumulate; /* C += op(A) op(B) */
} matmul_args;

/* Element (i, p) of op(A) lies at a[i * row + p * column]; the same for (p, j)
 * of op(B). */
typedef struct matmul_strides {
    size_t row, column;
} matmul_strides;

static inline matmul_strides matmul_strides_a(const matmul_args *x) {
    return x->trans_a ? (matmul_strides){1, x->lda}
                      : (matmul_strides){x->lda, 1};
}

static inline matmul_strides matmul_strides_b(const matmul_args *x) {
    return x->trans_b ? (matmul_strides){1, x->ldb}
                      : (matmul_strides){x->ldb, 1};
}

/* --- the oracle --- */

/* c (m, n) and, unless NULL, bound (m, n): |A| |B|, both in double, dense. */
bool matmul_oracle(const matmul_args *x, double *c, double *bound,
                   spak_error *err);

/* The same for one row i (c, bound: n values) or one column j (m values). */
void matmul_oracle_row(const matmul_args *x, size_t i, double *c,
                       double *bound);
void matmul_oracle_column(const matmul_args *x, size_t j, double *c,
                          double *bound);

/* The factor by which |A| |B| bounds the error of a float sum of k products, in
 * any order. */
double matmul_error_factor(size_t k);

/* --- the tuning axes --- */

typedef enum matmul_variant {
    MATMUL_NAIVE,
    MATMUL_LOOP_ORDER,
    MATMUL_BLOCKED,
    MATMUL_PACKED,
    MATMUL_REGISTER_TILE,
    MATMUL_THREADS,
    MATMUL_VARIANTS
} matmul_variant;

/* What a micro-kernel multiplies: a panel of A (kb columns of mr floats) by a
 * panel of B (kb rows of nr floats). */
typedef struct matmul_panels {
    size_t kb;
    const float *a, *b;
    bool accumulate; /* add to C; else write it */
    size_t ahead; /* > 0: prefetch C, the panel of A this many steps of k ahead,
                     and `next`; 0: nothing */
    const char
        *next; /* memory that is wanted soon: a part of the next panel of B */
    size_t next_stride; /* bytes of it to prefetch in each turn of four steps of
                           k */
} matmul_panels;

/* C (rows x cols, rows <= mr, cols <= nr) = or += the product of the panels. */
typedef void matmul_micro(const matmul_panels *panels, float *c, size_t ldc,
                          size_t rows, size_t cols);

/* Fills a panel: dst[p * width + x], p < kb, x < width, with zeros where x >=
 * valid. `copy` reads src[p * ld + x], `transpose` src[x * ld + p]. */
typedef void matmul_pack(float *dst, size_t width, const float *src, size_t ld,
                         size_t kb, size_t valid);

typedef struct matmul_tile {
    const char *name; /* "6x16" */
    size_t mr, nr;
    matmul_micro *micro;
} matmul_tile;

typedef struct matmul_isa_kernels {
    const matmul_tile *tiles; /* the first is the default */
    size_t num_tiles;
    matmul_pack *pack_copy, *pack_transpose;
} matmul_isa_kernels;

/* NULL when the variant was not compiled in (another architecture). */
const matmul_isa_kernels *matmul_isa(dev_isa isa);
extern const matmul_isa_kernels matmul_kernels_portable, matmul_kernels_avx2,
    matmul_kernels_avx512;

typedef struct matmul_config {
    matmul_variant variant;
    dev_isa isa;             /* register_tile and threads */
    const matmul_tile *tile; /* register_tile and threads */
    size_t kc, mc, nc;       /* all but naive and loop_order */
    size_t prefetch; /* register_tile and threads: steps of k ahead; 0: none */
} matmul_config;

enum {
    MATMUL_MAX_THREADS = 256,
    MATMUL_MOST_TILES = 16 /* of one instruction set */
};

const char *matmul_variant_name(matmul_variant variant);

/* Axes of `json` (may be NULL) over the machine's defaults for the problem.
 * Returns false with the reason when an axis has a value that is unknown, or
 * that this machine or a constraint refuses. */
bool matmul_config_read(const json_t *json, int threads, matmul_config *config,
                        spak_error *why);
json_t *matmul_config_json(
    const matmul_config *config); /* new reference; NULL when out of memory */

/* --- running --- */

typedef struct matmul_plan
    matmul_plan; /* a configuration with its packing buffers and threads */

bool matmul_plan_new(const matmul_config *config, int threads,
                     matmul_plan **plan, spak_error *err);
/* The same on a team of `threads` that others use too, one at a time. */
bool matmul_plan_new_on(const matmul_config *config, dev_pool *pool,
                        int threads, matmul_plan **plan, spak_error *err);
size_t matmul_plan_allocated(const matmul_plan *plan); /* bytes of buffers */
void matmul_plan_free(matmul_plan *plan);
void matmul_run(matmul_plan *plan, const matmul_args *x);

/* The ladder's lower steps (ladder.c), and the upper ones (goto.c). */
void matmul_naive(const matmul_args *x);
void matmul_loop_order(const matmul_args *x);
void matmul_blocked(const matmul_args *x, size_t mc, size_t kc, size_t nc);
void matmul_packed(const matmul_args *x, size_t mc, size_t kc, size_t nc,
                   float *pack_a, float *pack_b);

/* The Goto loops with what they do left open, so that the real kernel and the
 * simulation that counts its writes walk the very same partition. Rows and
 * columns are elements of C; p0, kb a slice of k. */
typedef struct matmul_slice {
    size_t p0, kb;   /* k from p0, kb long */
    size_t i0, rows; /* rows of C: a panel or a block of panels */
    size_t j0, cols; /* columns of C */
    size_t a_at,
        b_at; /* offset of the packed panel in its buffer, in elements */
    size_t turn, turns; /* this tile among those that use the same panel of B */
    size_t b_next; /* offset of the panel of B that is used after this one */
    bool first;    /* the first slice of k: C is written, not added to */
    int buffer;    /* which of the two buffers of packed B */
} matmul_slice;

typedef struct matmul_hooks {
    void (*pack_a)(void *ctx, int thread, const matmul_slice *s);
    void (*pack_b)(void *ctx, int thread, const matmul_slice *s);
    void (*tile)(void *ctx, int thread, const matmul_slice *s);
    void (*barrier)(void *ctx);
    void *ctx;
} matmul_hooks;

void matmul_goto_loops(const matmul_config *config, size_t m, size_t n,
                       size_t k, int thread, int threads,
                       const matmul_hooks *hooks);

/* --- the invariants --- */

/* A kernel under test: must behave like matmul_run on `threads` threads. */
typedef struct matmul_subject {
    void (*run)(void *ctx, const matmul_args *x, int threads);
    void *ctx;
    const char *name; /* for the counterexample */
} matmul_subject;

/* Walks a partition as matmul_goto_loops does; a test hands in a faulty one. */
typedef void matmul_walk(const matmul_config *config, size_t m, size_t n,
                         size_t k, int thread, int threads,
                         const matmul_hooks *hooks);

/* The invariants on one subject. Each returns true when it holds for all
 * `cases` random cases (drawn from seed); otherwise *counterexample is a new
 * object that says what went wrong. err is filled only when the check could not
 * run, and then *counterexample stays NULL. */
bool matmul_check_bound(const matmul_subject *subject, uint64_t seed, int cases,
                        json_t **counterexample, spak_error *err);
bool matmul_check_written(const matmul_subject *subject, uint64_t seed,
                          int cases, json_t **counterexample, spak_error *err);
bool matmul_check_partition(matmul_walk *walk, const matmul_config *config,
                            uint64_t seed, int cases, json_t **counterexample,
                            spak_error *err);
bool matmul_check_reads(const matmul_subject *subject, uint64_t seed, int cases,
                        json_t **counterexample, spak_error *err);
bool matmul_check_threads(const matmul_subject *subject, uint64_t seed,
                          int cases, json_t **counterexample, spak_error *err);

enum { MATMUL_NUM_INVARIANTS = 4 };
extern const dev_invariant matmul_invariants[MATMUL_NUM_INVARIANTS];

/* dev_op's trial. */
bool matmul_trial(const json_t *config, const json_t *problem,
                  const json_t *options, json_t **result, spak_error *err);

extern const dev_op matmul_op;

#endif
