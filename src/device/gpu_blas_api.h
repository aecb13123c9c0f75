/* cuBLAS and cuBLASLt as this project uses them, declared here so that no CUDA header is needed. Where the headers are
 * to be had, tests/device/test_gpu_blas.c compares every constant and signature; it defines DEV_BLAS_TYPES and the
 * types as the headers have them. */
#ifndef SPAK_DEVICE_GPU_BLAS_API_H
#define SPAK_DEVICE_GPU_BLAS_API_H

#include <stddef.h>
#include <stdint.h>

#ifndef DEV_BLAS_TYPES
typedef unsigned blas_status, blas_op, blas_type, blas_compute; /* enumerations; status 0 is success */
typedef int blas_algo;
typedef unsigned blas_desc_attribute, blas_pref_attribute;
typedef struct blas_handle_st *blas_handle;
typedef struct blas_lt_st *blas_lt;
typedef struct blas_desc_st *blas_desc;
typedef struct blas_layout_st *blas_layout;
typedef struct blas_pref_st *blas_pref;
typedef struct cu_stream_st *blas_stream;
typedef struct blas_lt_algo {
    uint64_t data[8];
} blas_lt_algo;
typedef struct blas_lt_choice { /* cublasLtMatmulHeuristicResult_t */
    blas_lt_algo algo;
    size_t workspace_bytes;
    blas_status state;
    float waves;
    int reserved[4];
} blas_lt_choice;
#endif

enum {
    BLAS_OP_N = 0,
    BLAS_OP_T = 1,
    BLAS_R_32F = 0,
    BLAS_R_16F = 2,
    BLAS_R_16BF = 14,
    BLAS_COMPUTE_32F = 68,
    BLAS_GEMM_DEFAULT_TENSOR_OP = 99,
    BLAS_DESC_TRANS_A = 3,
    BLAS_DESC_TRANS_B = 4,
    BLAS_PREF_WORKSPACE = 1,
    BLAS_PREF_ALIGN_A = 5, /* then B, C, D */
};

/* F(name, symbol, result, parameters) */
#define DEV_BLAS_FUNCTIONS(F)                                                                                        \
    F(create, cublasCreate_v2, blas_status, (blas_handle * handle))                                                  \
    F(destroy, cublasDestroy_v2, blas_status, (blas_handle handle))                                                  \
    F(version, cublasGetVersion_v2, blas_status, (blas_handle handle, int *version))                                 \
    F(set_stream, cublasSetStream_v2, blas_status, (blas_handle handle, blas_stream stream))                         \
    F(set_workspace, cublasSetWorkspace_v2, blas_status, (blas_handle handle, void *workspace, size_t bytes))        \
    F(text, cublasGetStatusString, const char *, (blas_status status))                                               \
    F(gemm, cublasGemmEx, blas_status,                                                                               \
      (blas_handle handle, blas_op trans_a, blas_op trans_b, int m, int n, int k, const void *alpha, const void *a,  \
       blas_type a_type, int lda, const void *b, blas_type b_type, int ldb, const void *beta, void *c,               \
       blas_type c_type, int ldc, blas_compute compute, blas_algo algo))                                             \
    F(lt_create, cublasLtCreate, blas_status, (blas_lt * lt))                                                        \
    F(lt_destroy, cublasLtDestroy, blas_status, (blas_lt lt))                                                        \
    F(desc_create, cublasLtMatmulDescCreate, blas_status, (blas_desc * desc, blas_compute compute, blas_type scale)) \
    F(desc_destroy, cublasLtMatmulDescDestroy, blas_status, (blas_desc desc))                                        \
    F(desc_set, cublasLtMatmulDescSetAttribute, blas_status,                                                         \
      (blas_desc desc, blas_desc_attribute attribute, const void *value, size_t bytes))                              \
    F(layout_create, cublasLtMatrixLayoutCreate, blas_status,                                                        \
      (blas_layout * layout, blas_type type, uint64_t rows, uint64_t cols, int64_t ld))                              \
    F(layout_destroy, cublasLtMatrixLayoutDestroy, blas_status, (blas_layout layout))                                \
    F(pref_create, cublasLtMatmulPreferenceCreate, blas_status, (blas_pref * pref))                                  \
    F(pref_destroy, cublasLtMatmulPreferenceDestroy, blas_status, (blas_pref pref))                                  \
    F(pref_set, cublasLtMatmulPreferenceSetAttribute, blas_status,                                                   \
      (blas_pref pref, blas_pref_attribute attribute, const void *value, size_t bytes))                              \
    F(heuristic, cublasLtMatmulAlgoGetHeuristic, blas_status,                                                        \
      (blas_lt lt, blas_desc desc, blas_layout a, blas_layout b, blas_layout c, blas_layout d, blas_pref pref,       \
       int most, blas_lt_choice *choices, int *count))                                                               \
    F(matmul, cublasLtMatmul, blas_status,                                                                           \
      (blas_lt lt, blas_desc desc, const void *alpha, const void *a, blas_layout a_layout, const void *b,            \
       blas_layout b_layout, const void *beta, const void *c, blas_layout c_layout, void *d, blas_layout d_layout,   \
       const blas_lt_algo *algo, void *workspace, size_t bytes, blas_stream stream))

#endif
