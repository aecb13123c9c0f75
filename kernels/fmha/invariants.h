/* What the invariants share: a case with its tensors, the kernel under test,
 * and the state of a check. Private to the invariants, studies and their tests.
 *
 * A check makes cases, lets the subject run them and looks for a
 * counterexample. The subject is the operator's own plan, with a fault switched
 * on when the options name one; tests hand in kernels of their own. */
#ifndef SPAK_FMHA_INVARIANTS_H
#define SPAK_FMHA_INVARIANTS_H

#include "fmha/fmha.h"
#include "fmha/oracle.h"

/* Where the elements of a tensor lie. */
typedef enum fmha_layout {
    FMHA_DENSE,  /* (B, H, T, D) */
    FMHA_PADDED, /* the same with gaps after each row, head and batch */
    FMHA_TOKENS, /* (B, T, 3 H D): a third of what a projection leaves behind */
    FMHA_LAYOUTS
} fmha_layout;

/* One problem: inputs, what the subject made of them, and what the oracle says.
 * All dense; fmha_run_* lays them out as `layout` says, between guards. */
typedef struct fmha_case {
    fmha_shape shape;
    fmha_dtype dtype;
    fmha_layout layout;
    size_t qs, kvs, rows;           /* elements of Q, of K, and of LSE */
    float *q, *k, *v, *d_o;         /* inputs, in dtype: free to be edited */
    float *o, *lse;                 /* from the forward pass */
    float *dq, *dk, *dv;            /* from the backward pass */
    double *want_o, *bound_o;       /* bounds are absolute */
    double *want_lse, *bound_lse;   /* (B, H, Tq) */
    double *want_d[3], *bound_d[3]; /* dQ, dK, dV */
    float *memory;
    double *doubles;
} fmha_case;

/* What some keys tell of a query: the largest score, the sum of exp(score -
 * max), the sum of exp(score - max) value. No key at all: (-FLT_MAX, 0, 0). */
enum { FMHA_PARTIAL_WIDTH = 4 };
typedef struct fmha_partial {
    double max, sum, acc[FMHA_PARTIAL_WIDTH];
} fmha_partial;

/* The keys of a and b together; in_float: each operation is rounded to float.
 */
typedef fmha_partial fmha_merge_fn(fmha_partial a, fmha_partial b,
                                   bool in_float);
fmha_merge_fn fmha_merge;

/* fmha_oracle_backward's type. */
typedef bool fmha_gradients_fn(const fmha_shape *shape,
                               const fmha_backward_args *x, double *dq,
                               double *dk, double *dv, double *dq_bound,
                               double *dk_bound, double *dv_bound,
                               spak_error *err);

/* A kernel: runs forward unless f is NULL, then backward unless b is NULL. */
typedef struct fmha_subject {
    bool (*run)(void *ctx, const fmha_config *config, const fmha_shape *shape,
                int threads, const fmha_forward_args *f,
                const fmha_backward_args *b, spak_error *err);
    void *ctx;
    bool fused_only; /* naive and unfused are not under test */
    /* What the checks hold true by themselves, so that a test can put something
     * wrong in its place: NULL is fmha_merge, and fmha_oracle_backward. */
    fmha_merge_fn *merge;
    fmha_gradients_fn *gradients;
} fmha_subject;

typedef struct fmha_check {
    const fmha_subject *subject;
    uint64_t seed;
    int cases;    /* random ones, after those that are always tried */
    long tried;   /* runs of the subject, or of a simulation */
    double worst; /* largest error over bound so far */
    json_t *counterexample;
    spak_error *err;
} fmha_check;

/* Returns false when it found a counterexample or could not run; then
 * counterexample tells which. */
typedef bool fmha_check_fn(fmha_check *check);
fmha_check_fn fmha_check_merge, fmha_check_two_pass, fmha_check_causal,
    fmha_check_masked, fmha_check_groups, fmha_check_bounds, fmha_check_threads,
    fmha_check_gradients, fmha_check_written, fmha_check_reads;

/* Runs one check with a subject, as dev_invariant's check does with the plan:
 * options {"seed", "cases"}, and *evidence likewise. */
bool fmha_check_run(fmha_check_fn *fn, const fmha_subject *subject,
                    const json_t *options, json_t **evidence, spak_error *err);

/* --- cases --- */

/* Shape number `index` of the seed's stream: awkward lengths and head
 * dimensions, at most `most` products q k. */
fmha_shape fmha_random_shape(uint64_t seed, int index, size_t most);

/* Memory, and normal inputs rounded to dtype, drawn from seed. backward: with
 * room for gradients. */
bool fmha_case_new(fmha_case *c, const fmha_shape *shape, fmha_dtype dtype,
                   fmha_layout layout, bool backward, uint64_t seed,
                   spak_error *err);
void fmha_case_free(fmha_case *c);
bool fmha_case_oracle(fmha_case *c, spak_error *err);

/* Puts the oracle's O and LSE, rounded, where the forward pass leaves its own;
 * then the oracle's gradients with them as inputs. */
bool fmha_case_gradients(fmha_case *c, spak_error *err);

/* Size of axis x of Q and K, and element 0 of a row in a dense tensor. */
static inline float *fmha_dense_row(float *x, size_t heads, size_t len,
                                    size_t dim, size_t b, size_t h, size_t t) {
    return x + ((b * heads + h) * len + t) * dim;
}

/* Makes the scores of query i (all batches, heads) target[j] by giving Q and K
 * one number each that counts: q = (1, 0, ...), k_j = (target[j] / scale, ...).
 * The other components of K stay random. */
void fmha_case_set_scores(fmha_case *c, const double *target);

/* The strides of a tensor (B, heads, len, dim) in a layout; data is NULL. */
fmha_out fmha_strides(fmha_layout layout, size_t heads, size_t len, size_t dim);

/* --- running --- */

fmha_config fmha_config_at(const fmha_check *check, int index,
                           fmha_dtype dtype);

/* Lays the case out, runs, gathers the results. False when the padding or the
 * guards were written, or when it could not run. */
bool fmha_run_forward(fmha_check *check, fmha_case *c,
                      const fmha_config *config, int threads);
bool fmha_run_backward(fmha_check *check, fmha_case *c,
                       const fmha_config *config, int threads);

/* O and LSE, or the gradients, are within the bound. NaN never is. */
bool fmha_forward_within(fmha_check *check, const fmha_case *c,
                         const fmha_config *config, int threads);
bool fmha_backward_within(fmha_check *check, const fmha_case *c,
                          const fmha_config *config, int threads);

/* Run and within, with the oracle's results in the case already. */
bool fmha_try_forward(fmha_check *check, fmha_case *c,
                      const fmha_config *config, int threads);

/* Notes the counterexample and returns false. c and config may be NULL. */
bool fmha_found(fmha_check *check, const fmha_case *c,
                const fmha_config *config, int threads, const char *fmt, ...)
    SPAK_PRINTF(5, 6);

/* tile_m, up to the next multiple of the instruction set's lanes. */
size_t fmha_whole_panels(const fmha_config *config, size_t tile_m);

/* Tiles in turn, small ones first. */
typedef struct fmha_tile_size {
    size_t m, n;
} fmha_tile_size;
enum { FMHA_NUM_TILES = 6 };
extern const fmha_tile_size fmha_tile_sizes[FMHA_NUM_TILES];

/* Each of `units` is in one share, once. */
struct fmha_share;
bool fmha_covers(const struct fmha_share *share, int threads, size_t units);

#endif
