/* What the fused kernels ask of an instruction set, and the layouts that they
 * share. Private to kernels/fmha.
 *
 * Queries lie in the lanes of vectors. A panel of `lanes` queries is kept
 * transposed, (head_dim, lanes), and the scores of n keys are S^T, (n, lanes).
 * The maximum and the sum of a query's row of S are then sums and maxima down a
 * column: no instruction ever works across lanes. P^T, as it stands in that
 * buffer, is the packed operand of the next product, O^T += V^T P^T, and
 * rescaling O^T is a multiplication by a vector. With keys in the lanes, as the
 * formula is written, each of the three would need shuffles or another packing.
 *
 * The other operand of a product (rows of K, or columns of V) is broadcast one
 * number at a time. It is packed in panels of at most `rows` rows: n rows are
 * cut evenly into as few panels as possible, the panel of rows r0..r1 begins at
 * r0 * depth and holds [depth][r1 - r0]. Nothing is padded. */
#ifndef SPAK_FMHA_MICRO_H
#define SPAK_FMHA_MICRO_H

#include "fmha/fmha.h"

enum { FMHA_MAX_LANES = 32, FMHA_MAX_HEAD_DIM = 256 };

static inline size_t fmha_panels_of(size_t n, size_t rows) {
    return (n + rows - 1) / rows;
}

/* First row of panel p of the `count` panels that n rows are cut into. */
static inline size_t fmha_panel_row(size_t n, size_t p, size_t count) {
    return count ? n * p / count : 0;
}

/* C^T (n, lanes) = A B or C^T diag(rescale) + A B, where A (n, depth) is packed
 * in panels and B is (depth, lanes). Only the panels that hold the first
 * `needed` rows are computed, and only the first `steps` of depth are summed.
 */
typedef struct fmha_product {
    const float *a;
    size_t n, depth;
    const float *b;
    size_t needed, steps;
    const float *rescale; /* (lanes); NULL: C is written */
    float *c;
} fmha_product;

/* C (n, lanes) += A B over `panels` panels of queries, where A is P^T or dS^T
 * as it stands, [panels][a_rows][lanes], of which the first n rows are used,
 * and B [panels][lanes][lanes]: rows are queries, lanes part of head_dim. */
typedef struct fmha_outer {
    const float *a;
    size_t a_rows, n, panels;
    const float *b;
    float *c;
} fmha_outer;

typedef struct fmha_micro {
    size_t lanes, rows;
    void (*product)(const fmha_product *x);
    void (*outer)(const fmha_outer *x);
    /* max[l] = the larger of max[l] and s[j][l] over all j < n. */
    void (*column_max)(const float *s, size_t n, float *max);
    /* s[j][l] = 2^(s[j][l] - shift[l]); sum[l] = their sum. */
    void (*exp2_sum)(float *s, size_t n, const float *shift, float *sum);
    /* dp[j][l] = p[j][l] (dp[j][l] - delta[l]). */
    void (*score_gradient)(float *dp, const float *p, size_t n,
                           const float *delta);
    void (*round)(float *x, size_t n, fmha_dtype dtype); /* in place */
    /* One row of S, (n), in place: P = softmax(scale S) where the first
     * `visible` keys count; returns the LSE. scale is in base 2. */
    float (*softmax_row)(float *s, size_t n, size_t visible, float scale);
    /* One row: P = 2^(scale S - lse2), zero from `visible` on. */
    void (*recompute_row)(float *s, size_t n, size_t visible, float scale,
                          float lse2);
} fmha_micro;

/* NULL when the variant was not compiled in (another architecture). */
const fmha_micro *fmha_micro_of(dev_isa isa);
extern const fmha_micro fmha_micro_portable, fmha_micro_avx2, fmha_micro_avx512;

/* fmha_round without the call and without branches, so that loops over it
 * become vector code; signed, because AVX2 compares signed numbers only. */
static inline int32_t fmha_bits(float x) {
    union {
        float f;
        int32_t i;
    } v = {x};
    return v.i;
}

static inline float fmha_float(int32_t bits) {
    union {
        int32_t i;
        float f;
    } v = {bits};
    return v.f;
}

static inline float fmha_round_bf16(float x) {
    uint32_t bits = (uint32_t)fmha_bits(x);
    int32_t size = (int32_t)(bits & 0x7FFFFFFF),
            rounded =
                (int32_t)((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u);
    return fmha_float(size > 0x7F800000 ? 0x7FC00000 : rounded);
}

static inline float fmha_round_f16(float x) {
    uint32_t bits = (uint32_t)fmha_bits(x) & 0x7FFFFFFFu,
             sign = (uint32_t)fmha_bits(x) & 0x80000000u;
    int32_t size = (int32_t)bits;
    /* Normal numbers keep ten bits of fraction; from 65520 on the rounded
     * number has an exponent that f16 lacks. */
    int32_t normal = (int32_t)((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu);
    normal = normal >= 0x47800000 ? 0x7F800000 : normal;
    normal = size > 0x7F800000 ? 0x7FC00000 : normal;
    /* Below 2^-14 they are multiples of 2^-24, the unit of floats in [1/2, 1):
     * adding 1/2 rounds to it. The choice is made with a mask: a branch around
     * the addition would keep the loop from becoming vector code. */
    int32_t small = fmha_bits((fmha_float(size) + 0.5f) - 0.5f),
            mask = -(int32_t)(size < 0x38800000);
    return fmha_float(
        (int32_t)((uint32_t)((small & mask) | (normal & ~mask)) | sign));
}

#endif
