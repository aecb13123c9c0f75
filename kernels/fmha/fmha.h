/* FMHA: fused multi-head attention, O = softmax(scale Q K^T + mask) V, forward
 * and backward, with grouped heads, in 32-bit floats.
 *
 *   oracle.c      the same in double precision, forward and backward, and the
 *                 bound that a float result must keep
 *   unfused.c     S and P go through memory: three passes
 *   fused.c       tiles with an online softmax: P never leaves the tile
 *   backward.c    the fused backward pass
 *   micro_*.c     the micro-kernels, one file an instruction set
 *   config.c      the shape and the tuning axes, plan.c buffers and threads,
 *                 traffic.c what a run reads and writes
 *   invariants.c  the executable invariants; faults.c the faults that the fused
 *                 kernels make on request, studies.c the studies
 *   trial.c       one measurement, verify.c what checks it; op.c the operator's
 * table */
#ifndef SPAK_FMHA_H
#define SPAK_FMHA_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "device/device.h"
#include "device/op.h"
#include "device/threads.h"

/* Query i sees key j unless causal and j > i + kv_len - q_len: the last query
 * sees every key. A row that sees no key gives O = 0, LSE = -inf, dQ = 0.
 *
 * Scores are floats, in the fused kernels times log2(e). Any finite one counts,
 * however low; one that overflows to -inf counts as masked, and a row without
 * others as one that sees no key; +inf or NaN makes the row NaN. The backward
 * pass has P = exp(s - LSE) from an LSE in float: off by a factor of
 * exp(|LSE| 2^-23) or so, it means nothing for |LSE| above 10^6.
 *
 * What a mask hides must still be finite: P is 0 there, and 0 times a NaN or an
 * infinity of V (backward: of K, V) is NaN. Scores hide what K holds from the
 * forward pass. The fused kernels read no key beyond what the last query of
 * its panel of `lanes` sees; the others read all. */
typedef struct fmha_shape {
    size_t batch, heads, kv_heads; /* heads % kv_heads == 0; query head h reads
                                      head h / (heads / kv_heads) of K, V */
    size_t q_len, kv_len, head_dim;
    bool causal;
    float scale; /* 0: 1 / sqrt(head_dim) */
} fmha_shape;

/* Element (b, h, t, d) of Q, O lies at data[b * batch + h * head + t * row +
 * d]; the same for K, V with their own heads. So a tensor may be (B, H, T, D)
 * or a part of the (B, T, 3 C) that a projection leaves behind. */
typedef struct fmha_in {
    const float *data;
    size_t batch, head, row; /* strides in elements; row >= head_dim */
} fmha_in;

typedef struct fmha_out {
    float *data;
    size_t batch, head, row;
} fmha_out;

/* How a GPU with 16-bit inputs would round: Q, K, V, dO are expected to hold
 * such values already; P is rounded before it meets V, dS before it meets K and
 * Q, and O, dQ, dK, dV at the end. Sums stay in 32 bits. */
typedef enum fmha_dtype { FMHA_F32, FMHA_F16, FMHA_BF16 } fmha_dtype;

typedef struct fmha_forward_args {
    fmha_in q, k, v; /* (B, H, Tq, D), (B, Hkv, Tk, D), (B, Hkv, Tk, D) */
    fmha_out o;      /* (B, H, Tq, D) */
    float
        *lse; /* (B, H, Tq) dense: log of the sum of exp(scale q k); or NULL */
} fmha_forward_args;

typedef struct fmha_backward_args {
    fmha_in q, k, v, o, d_o; /* o and lse from the forward pass */
    const float *lse;
    fmha_out dq, dk, dv; /* written, not added to */
} fmha_backward_args;

/* Dense (B, H, T, D) strides. */
static inline fmha_in fmha_dense_in(const float *data, size_t heads, size_t len,
                                    size_t head_dim) {
    return (fmha_in){data, heads * len * head_dim, len * head_dim, head_dim};
}
static inline fmha_out fmha_dense_out(float *data, size_t heads, size_t len,
                                      size_t head_dim) {
    return (fmha_out){data, heads * len * head_dim, len * head_dim, head_dim};
}

/* Rounds to nearest even, as the GPU's conversions do; f16 overflows to
 * infinity. */
float fmha_round(float x, fmha_dtype dtype);

/* --- the oracle --- */

/* All in double and dense: o (B, H, Tq, D), lse (B, H, Tq). o_bound (like o) is
 * such that any float evaluation in a sensible order stays within
 * |O - o| <= fmha_error_factor(shape, dtype) * o_bound. Any output may be NULL.
 */
bool fmha_oracle(const fmha_shape *shape, const fmha_forward_args *x, double *o,
                 double *lse, double *o_bound, spak_error *err);
double fmha_error_factor(const fmha_shape *shape, fmha_dtype dtype);

/* dq (B, H, Tq, D), dk, dv (B, Hkv, Tk, D), and their bounds likewise. */
bool fmha_oracle_backward(const fmha_shape *shape, const fmha_backward_args *x,
                          double *dq, double *dk, double *dv, double *dq_bound,
                          double *dk_bound, double *dv_bound, spak_error *err);
double fmha_backward_error_factor(const fmha_shape *shape, fmha_dtype dtype);

/* --- running --- */

typedef enum fmha_variant {
    FMHA_NAIVE,   /* three passes, plain loops */
    FMHA_UNFUSED, /* three passes, products by the matmul micro-kernels */
    FMHA_FUSED,   /* one pass over tiles, one thread */
    FMHA_THREADS, /* the same on several threads */
    FMHA_VARIANTS
} fmha_variant;

typedef struct fmha_config {
    fmha_variant variant;
    dev_isa isa;
    size_t tile_m, tile_n; /* queries and keys of a tile */
    fmha_dtype dtype;
} fmha_config;

/* What the fused kernels do wrong on request (faults.c names them); a fault of
 * 0 is none. */
typedef int fmha_fault;

typedef struct fmha_plan fmha_plan;

/* Everything that a run needs besides its tensors: packing buffers, threads. A
 * plan serves one caller at a time, and its runs allocate nothing. Outputs
 * never depend on the number of threads. */
bool fmha_plan_new(const fmha_config *config, const fmha_shape *shape,
                   int threads, fmha_fault fault, fmha_plan **plan,
                   spak_error *err);
/* The same on a team of `threads` that others use too, one at a time. */
bool fmha_plan_new_on(const fmha_config *config, const fmha_shape *shape,
                      dev_pool *pool, int threads, fmha_fault fault,
                      fmha_plan **plan, spak_error *err);
size_t fmha_plan_allocated(const fmha_plan *plan); /* bytes of buffers */
void fmha_plan_free(fmha_plan *plan);              /* NULL is fine */
void fmha_forward(fmha_plan *plan, const fmha_forward_args *x);
void fmha_backward(fmha_plan *plan, const fmha_backward_args *x);

/* Fills defaults for this machine; refuses (reason in why) what the axes or the
 * machine do not allow. */
bool fmha_config_read(const json_t *json, const fmha_shape *shape, int threads,
                      fmha_config *config, spak_error *why);
json_t *fmha_config_json(const fmha_config *config);
const char *fmha_variant_name(fmha_variant variant);
const char *fmha_dtype_name(fmha_dtype dtype);
bool fmha_dtype_parse(const char *name, fmha_dtype *dtype);
bool fmha_shape_check(const fmha_shape *shape, spak_error *err);

/* Bytes that a run moves between the kernel and the tensors in memory, counted
 * from the loops that it runs: reads of Q, K, V and of S, P where there are
 * such, writes of S, P, O, LSE. Caches are not modelled: a tile that is read
 * again counts again. */
double fmha_traffic_bytes(const fmha_config *config, const fmha_shape *shape);
double fmha_backward_traffic_bytes(const fmha_config *config,
                                   const fmha_shape *shape);

/* Bytes of the buffers of a plan for this shape, for one thread. */
double fmha_plan_bytes(const fmha_config *config, const fmha_shape *shape);

/* --- the operator's table --- */

enum { FMHA_NUM_FAULTS = 24 };
extern const dev_fault fmha_faults[FMHA_NUM_FAULTS]; /* fault i + 1 */
enum { FMHA_NUM_INVARIANTS = 10 };
extern const dev_invariant fmha_invariants[FMHA_NUM_INVARIANTS];
enum { FMHA_NUM_STUDIES = 1 };
extern const dev_study fmha_studies[FMHA_NUM_STUDIES];

bool fmha_trial(const json_t *config, const json_t *problem,
                const json_t *options, json_t **result, spak_error *err);
extern const dev_op fmha_op;

#endif
