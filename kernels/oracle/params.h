/* What the host hands to the oracle's kernels: two structs by value, the same
 * text for C and CUDA. */
#ifndef SPAK_ORACLE_PARAMS_H
#define SPAK_ORACLE_PARAMS_H

#ifdef __CUDACC__
typedef unsigned long long oracle_ptr;
#else
#include "device/gpu.h"
typedef dev_ptr oracle_ptr;
#endif

/* An element's type, as dev_element counts. */
enum { ORACLE_BF16, ORACLE_F16, ORACLE_F32 };

/* Some rows of C (m, n) = residual + act(alpha op(A) op(B) + beta C_old + bias)
 * as in matmul/gpu/params.h; an address of 0 leaves its term out. */
typedef struct oracle_params {
    oracle_ptr a, b, c, c_old, bias, pre, residual;
    oracle_ptr rows;     /* (num_rows) int: which rows of C */
    oracle_ptr sum, mag; /* (num_rows, n) double */
    oracle_ptr worst;    /* unsigned long long [2]: of C and of pre */
    double gamma;        /* of the sum, relative to sum |a| |b| */
    double tanh_error;   /* absolute, of the GELU's tanh */
    int num_rows, n, k;
    int lda, ldb, ldc;
    int trans_a, trans_b, in, out, gelu;
    float alpha, beta;
} oracle_params;

/* A matrix as it is stored, (rows, cols) with rows ld elements apart, and what
 * it is multiplied with. */
typedef struct oracle_matrix {
    oracle_ptr data;
    oracle_ptr vector;    /* double; 0: the random signs of `seed` */
    oracle_ptr out, norm; /* double: the products, and sums of squares */
    oracle_ptr count;     /* unsigned long long */
    unsigned long long seed;
    int rows, cols, ld, type;
    int by_column; /* products of columns, added to what out and norm hold */
} oracle_matrix;

#endif
