/* The oracle: the product in double precision, and how far a float result may
 * lie from it.
 *
 * The product of two floats is exact in double (24 + 24 <= 53 bits), so the
 * oracle's own error is that of a double sum: k * 2^-53 relative to |A| |B|,
 * nine decimal digits below what is checked. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "matmul/matmul.h"

//> oracle_bound
/* A float sum of k products, in any order and with or without fused
 * multiply-add, puts at most k roundings on the way of each product into the
 * result: one for the product and k - 1 for the sums (splitting k into slices
 * changes the order, not the count). So (Higham, "Accuracy and Stability of
 * Numerical Algorithms", section 3.1)
 *
 *   |c - exact|  <=  gamma_k (|A| |B|),   gamma_k = k u / (1 - k u)
 *
 * with the unit roundoff u = 2^-24. Nothing in it was tuned: a kernel that
 * keeps the bound adds the right k products in float; one that drops a
 * product, adds one twice or rounds to fewer bits breaks it on almost any
 * input. */
double matmul_error_factor(size_t k) {
    const double u = 0x1p-24;
    double ku = (double)k * u;
    return ku / (1 - ku);
}
//< oracle_bound

void matmul_oracle_row(const matmul_args *x, size_t i, double *c,
                       double *bound) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    memset(c, 0, x->n * sizeof *c);
    memset(bound, 0, x->n * sizeof *bound);
    for (size_t p = 0; p < x->k; p++) {
        double a = x->a[i * sa.row + p * sa.column];
        const float *b = x->b + p * sb.row;
        for (size_t j = 0; j < x->n; j++) {
            double product = a * (double)b[j * sb.column];
            c[j] += product;
            bound[j] += fabs(product);
        }
    }
}

void matmul_oracle_column(const matmul_args *x, size_t j, double *c,
                          double *bound) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    memset(c, 0, x->m * sizeof *c);
    memset(bound, 0, x->m * sizeof *bound);
    for (size_t i = 0; i < x->m; i++)
        for (size_t p = 0; p < x->k; p++) {
            double product = (double)x->a[i * sa.row + p * sa.column] *
                             (double)x->b[p * sb.row + j * sb.column];
            c[i] += product;
            bound[i] += fabs(product);
        }
}

bool matmul_oracle(const matmul_args *x, double *c, double *bound,
                   spak_error *err) {
    double *unused = bound ? NULL : spak_malloc((x->n + 1) * sizeof *unused);
    if (!bound && !unused) return spak_fail_oom(err);
    for (size_t i = 0; i < x->m; i++)
        matmul_oracle_row(x, i, c + i * x->n,
                          bound ? bound + i * x->n : unused);
    spak_free(unused);
    return true;
}
