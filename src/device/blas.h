/* The CPU peer: OpenBLAS, loaded at run time, so that nothing links it and a machine without it still runs. */
#ifndef SPAK_DEVICE_BLAS_H
#define SPAK_DEVICE_BLAS_H

#include <stddef.h>

#include "base/err.h"

typedef struct dev_blas {
    const char *description; /* "OpenBLAS 0.3.21 NO_LAPACKE ... Zen": version, build options, kernels in use */
    const char *core;        /* the kernels in use: "Haswell", "SkylakeX" */
    const char *asked_core;  /* OPENBLAS_CORETYPE as it stood when the library was loaded, or NULL */
    const char *path;        /* what was opened */
} dev_blas;

/* Loads the peer once; NULL when there is none. Tried in order: the file named by the environment variable
 * SPAK_OPENBLAS (and then nothing else; "none" means no peer), libopenblas.so.0, libopenblas.so, and the folders where
 * distributions put it. OPENBLAS_CORETYPE in the environment chooses its kernels and must be set before the first
 * call. */
const dev_blas *dev_blas_peer(void);

/* Why the file that SPAK_OPENBLAS names was not loaded; NULL when it was, or none was named. */
const char *dev_blas_missing(void);

/* C (m x n) = op(A) op(B) in float, row-major, with leading dimensions in elements, on `threads` threads. The peer must
 * be there. */
void dev_blas_sgemm(size_t m, size_t n, size_t k, const float *a, size_t lda, bool trans_a, const float *b, size_t ldb,
                    bool trans_b, float *c, size_t ldc, int threads);

#endif
