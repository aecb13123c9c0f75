/* What the host hands to a GPU matrix product: one struct by value, the same
 * text for C and CUDA.
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * row-major; op(A) is (m, k) and stored (k, m) when TRANS_A; op(B) is (k, n)
 * and stored (n, k) when TRANS_B. Sums are in 32-bit floats. act is the
 * identity or, with EPI_GELU, GELU (tanh form), whose input is saved in `pre`
 * for the backward pass. Which parts of the epilogue a variant has is compiled
 * in (EPI_BIAS, EPI_GELU, EPI_RESIDUAL, EPI_BETA, each 0 or 1), and so are the
 * types: TYPE_F16 (inputs f16 instead of bf16), OUT_F32 (C in f32 instead of
 * the inputs' type; bias, pre and residual always have the inputs' type). */
#ifndef SPAK_MATMUL_GPU_PARAMS_H
#define SPAK_MATMUL_GPU_PARAMS_H

#ifdef __CUDACC__
typedef struct {
    alignas(128) unsigned long long opaque[16];
} matmul_map;
typedef unsigned long long matmul_ptr;
#else
#include "device/gpu.h"
typedef dev_tensor_map matmul_map;
typedef dev_ptr matmul_ptr;
#endif

typedef struct matmul_params {
    matmul_map a_map, b_map, c_map, pre_map; /* TMA variants only */
    matmul_ptr a, b, c;  /* rows lda, ldb, ldc elements apart */
    matmul_ptr bias;     /* (n) */
    matmul_ptr pre;      /* (m, n), rows ldc apart */
    matmul_ptr residual; /* (m, n), rows ldc apart */
    int m, n, k;
    int lda, ldb, ldc;
    float alpha, beta;
    /* Split sums only: where slices leave partial tiles (f32), and one int a
     * tile of C, zero before and after a launch. */
    matmul_ptr workspace, counters;
} matmul_params;

#endif
