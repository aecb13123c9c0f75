/* What a transformer computes between its matrix products, in 32-bit floats:
 * kernels on rows or elements, which know no threads. Whoever calls them shares
 * the rows out (src/nn/cpu.c).
 *
 *   vec.h          vectors of LANES floats, written once for all sets
 *   vmath.h        exp, the logistic function, the normal distribution's tail
 *   elements.h     sums of two rows, of columns, of all; AdamW
 *   philox.h       dropout
 *   norm_rows.h    LayerNorm and RMSNorm
 *   act_rows.h     GELU, ReLU, SiLU, SwiGLU
 *   rope_rows.h    rotary positions
 *   loss_rows.h    cross-entropy; the best token and its probability
 *   pack.h         panels for MatMul's micro-kernels
 *   product.h      products too small to be worth packing
 *   attention.h    one head of attention with any mask
 *   layers_*.c     each includes all of these for its instruction set
 *
 * No pointer needs an alignment beyond a float's, and no length a multiple of
 * anything. Rows are dense unless a stride is named. */
#ifndef SPAK_LAYERS_H
#define SPAK_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"

enum { LAYERS_MAX_LANES = 16 };

typedef enum layers_act {
    LAYERS_GELU_ERF,
    LAYERS_GELU_TANH,
    LAYERS_RELU,
    LAYERS_SILU,
    LAYERS_SWIGLU,
    LAYERS_ACTS
} layers_act;

/* C (m, n) = or += A B. Element (i, p) of A lies at a[i * a_row + p * a_col],
 * so A may be transposed; rows of B and C are dense, ldb and ldc apart. */
typedef struct layers_product {
    size_t m, n, k;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t ldb;
    float *c;
    size_t ldc;
    bool accumulate;
} layers_product;

/* The same with B (n, k) transposed: every element of C is a dot product of two
 * rows; a_col is 1. C += is not needed, a bias (n) or NULL is. */
typedef struct layers_dots {
    size_t m, n, k;
    const float *a;
    size_t lda;
    const float *b;
    size_t ldb;
    const float *bias;
    float *c;
    size_t ldc;
} layers_dots;

/* One step of AdamW with what is the same for all elements taken out:
 *   g' = grad_scale g;  m = keep_m m + take_m g';  v = keep_v v + take_v g'^2;
 *   p = shrink p - stride m / (sqrt(v unbias) + eps) */
typedef struct layers_adamw {
    float grad_scale, keep_m, take_m, keep_v, take_v, shrink, stride, unbias,
        eps;
} layers_adamw;

/* One row's cross-entropy. */
typedef struct layers_loss {
    size_t vocab;
    float smoothing, weight;
} layers_loss;

/* Rows of one head in one sequence: element (t, d) at data[t * stride + d]. */
typedef struct layers_in {
    const float *data;
    size_t stride;
} layers_in;
typedef struct layers_out {
    float *data;
    size_t stride;
} layers_out;

/* What the rows of one head see (src/nn/ops.h says it in full). */
typedef struct layers_head {
    size_t q_len, kv_len, head_dim;
    bool causal;
    const int32_t *q_index, *kv_index;     /* both or none */
    const int32_t *q_segment, *kv_segment; /* both or none */
    int window;
    float slope, dropout;
    uint64_t seed, stream, first; /* first: the number of element (0, 0) */
} layers_head;

typedef struct layers_kernels {
    size_t lanes; /* 0: not compiled in */

    /* --- elements --- */
    void (*add)(float *out, const float *a, const float *b, size_t n);
    double (*sum)(const float *x, size_t n);
    double (*sum_squares)(const float *x, size_t n);
    void (*adamw)(float *param, float *m, float *v, const float *grad, size_t n,
                  const layers_adamw *a);
    /* x[i] is element first + i of the mask: see spak_philox_uniform. */
    void (*dropout)(float *x, size_t n, float rate, uint64_t seed,
                    uint64_t stream, uint64_t first);

    /* --- rows --- */
    /* sums[c] += the sum over rows of x[r * ld + c], c < cols. */
    void (*add_columns)(float *sums, const float *x, size_t rows, size_t cols,
                        size_t ld);
    /* gamma, beta: may be NULL. stat (rows, 2): mean, rstd. */
    void (*norm)(bool rms, float *y, float *stat, const float *x,
                 const float *gamma, const float *beta, size_t rows,
                 size_t width, float eps);
    /* dx +=; part_gamma, part_beta (width) are written, or NULL. */
    void (*norm_backward)(bool rms, float *dx, float *part_gamma,
                          float *part_beta, const float *dy, const float *x,
                          const float *stat, const float *gamma, size_t rows,
                          size_t width);
    void (*act[LAYERS_ACTS])(float *y, const float *x, size_t rows,
                             size_t width);
    void (*act_backward[LAYERS_ACTS])(float *dx, const float *dy,
                                      const float *x, size_t rows,
                                      size_t width);
    /* turns (head_dim / 2): a pair's turns a position; angles: head_dim floats
     * of scratch. */
    void (*rope)(bool neighbours, float *x, const int32_t *positions,
                 size_t rows, size_t heads, size_t head_dim, size_t stride,
                 const double *turns, bool inverse, float *angles);
    /* dlogits: NULL, or (rows, vocab), which may be logits. */
    void (*cross_entropy)(float *losses, float *dlogits, const float *logits,
                          const int32_t *targets, size_t rows,
                          const layers_loss *loss);
    void (*argmax)(int32_t *best, float *confidence, const float *logits,
                   size_t rows, size_t vocab);

    /* --- products and attention --- */
    /* dst[p * width + x] = src[p * ld + x], p < kb, x < width; pack_columns:
     * src[x * ld + p]. */
    void (*pack_rows)(float *dst, size_t width, const float *src, size_t ld,
                      size_t kb);
    void (*pack_columns)(float *dst, size_t width, const float *src, size_t ld,
                         size_t kb);
    void (*product)(const layers_product *x);
    void (*dots)(const layers_dots *x);
    /* scratch: layers_attention_floats(). lse (q_len). */
    void (*attend)(const layers_head *h, layers_out o, float *lse, layers_in q,
                   layers_in k, layers_in v, float *scratch);
    /* dq is written, dk and dv are added to. */
    void (*attend_backward)(const layers_head *h, layers_out dq, layers_out dk,
                            layers_out dv, layers_in d_o, layers_in q,
                            layers_in k, layers_in v, layers_in o,
                            const float *lse, float *scratch);
} layers_kernels;

/* NULL when the variant was not compiled in (another architecture). */
const layers_kernels *layers_isa(dev_isa isa);
extern const layers_kernels layers_portable, layers_avx2, layers_avx512;

/* Queries that a head of attention handles at a time, and the floats of scratch
 * memory that it needs: S and dP (or the mask) of one block, K and V turned
 * over. */
enum { LAYERS_QUERIES = 24 };

static inline size_t layers_padded(size_t n) {
    return (n + LAYERS_MAX_LANES - 1) / LAYERS_MAX_LANES * LAYERS_MAX_LANES;
}

static inline size_t layers_attention_floats(size_t kv_len, size_t head_dim) {
    return layers_padded(kv_len) * (2 * head_dim + 2 * LAYERS_QUERIES + 1);
}

#endif
