/* The GPU's peer for matrix products: cuBLAS, loaded at run time. */
#ifndef SPAK_DEVICE_GPU_BLAS_H
#define SPAK_DEVICE_GPU_BLAS_H

#include "device/gpu.h"

/* "cuBLAS 13.0.2", opened at the first call; NULL with the reason in err. SPAK_CUBLAS names the file ("none": no peer).
 */
const char *dev_gpu_blas_peer(dev_gpu *gpu, spak_error *err);

/* One product in the row-major convention of kernels/matmul/gpu/params.h: C (m, n) = alpha op(A) op(B) + beta C, with
 * 16-bit inputs, 32-bit accumulation and C of type `out`; enqueued on the process's stream, so that a graph may record
 * it. The library's own heuristic picks the algorithm, as torch.mm lets it. */
typedef struct dev_gpu_gemm {
    int m, n, k;
    bool trans_a, trans_b; /* A is stored (k, m); B is stored (n, k) */
    dev_element in, out;
    dev_ptr a, b, c;
    int lda, ldb, ldc; /* elements from a stored row to the next */
    float alpha, beta;
} dev_gpu_gemm;

bool dev_gpu_blas_gemm(dev_gpu *gpu, const dev_gpu_gemm *x, spak_error *err);

/* The same through cuBLASLt with the fastest of the (at most `most`) algorithms that its heuristic offers, found by
 * timing each once warm: what a user who tunes the library gets. A plan is made outside of any recording, overwrites C,
 * and is only valid for this x; run takes other arrays of the same shape, aligned as well as those of x. */
typedef struct dev_gpu_gemm_plan dev_gpu_gemm_plan;
bool dev_gpu_blas_plan(dev_gpu *gpu, const dev_gpu_gemm *x, int most, dev_gpu_gemm_plan **plan, spak_error *err);
bool dev_gpu_blas_run(dev_gpu_gemm_plan *plan, dev_ptr a, dev_ptr b, dev_ptr c, spak_error *err);
void dev_gpu_blas_plan_free(dev_gpu_gemm_plan *plan);

#endif
