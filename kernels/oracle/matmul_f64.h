/* Is this matrix product right? A double-precision oracle on the GPU. */
#ifndef SPAK_ORACLE_MATMUL_F64_H
#define SPAK_ORACLE_MATMUL_F64_H

#include "device/gpu.h"

/* What was computed: C (m, n) = residual + act(alpha op(A) op(B) + beta C_old +
 * bias), as in matmul/gpu/params.h, A and B of 16 bits and finite. An address
 * of 0 leaves its term out; c_old is a copy of C from before, rows ldc apart as
 * in c, and needed when beta is not 0. */
typedef struct oracle_product {
    int m, n, k;
    bool trans_a, trans_b, gelu;
    dev_element in, out;
    dev_ptr a, b, c, c_old, bias, pre, residual;
    int lda, ldb, ldc;
    float alpha, beta;
    /* Elements of A and B are integers of at most this magnitude; 0: any
     * numbers. While k integers^2 <= 2^24 the sum has to be exact. */
    int integers;
    /* Absolute error of the GELU's tanh; 0: that of an accurate one, 2^-22.
     * tanh.approx.f32: 2^-10.98. */
    double tanh_error;
    int num_rows; /* how many rows to recompute; 0: 64; m and more: all */
    uint64_t seed;
} oracle_product;

/* Errors are relative to the bound of matmul_f64.cu; at most 1 is right. */
typedef struct oracle_verdict {
    bool good;
    double worst, worst_pre; /* of C and of pre, over the rows recomputed */
    int row, col;            /* where C is worst */
    double want, bound;      /* what it should be there, and how nearly */
    int rows;                /* how many were recomputed */
    long long not_finite;    /* elements of all of C */
    /* The Freivalds check of all of C (with GELU: of all of pre); -1: there is
     * nothing linear to check, GELU without pre. */
    double freivalds;
    int freivalds_row;
    double worst_gelu; /* all of C against the GELU of pre; -1: not both */
    int gelu_row;
    char text[256]; /* what is wrong, or "" */
} oracle_verdict;

/* Waits for the GPU. Fails when the check cannot be made, not when the product
 * is wrong. */
bool oracle_check(dev_gpu *gpu, const oracle_product *product,
                  oracle_verdict *verdict, spak_error *err);

#endif
