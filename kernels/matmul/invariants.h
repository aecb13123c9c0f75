/* What the invariants share: random problems, and a problem's memory. Private
 * to the invariants. */
#ifndef SPAK_MATMUL_INVARIANTS_H
#define SPAK_MATMUL_INVARIANTS_H

#include "matmul/matmul.h"

/* A random problem with its matrices; leading dimensions exceed the rows by 0
 * to 7. */
typedef struct matmul_case {
    matmul_args x;
    size_t a_floats, b_floats, c_floats; /* lengths of the three arrays, padding
                                            between rows included */
    float *a, *b, *c;
} matmul_case;

/* Shape number `index` of the stream; fills x but for the pointers, and the
 * lengths. */
void matmul_case_shape(uint64_t seed, int index, matmul_case *c);

/* The same with memory: a and b random in [-1, 1), c filled with `poison` bit
 * patterns. */
bool matmul_case_new(uint64_t seed, int index, matmul_case *c, spak_error *err);
void matmul_case_free(matmul_case *c);

/* Values of A and B for memory that is there already. */
void matmul_case_fill(matmul_case *c, uint64_t seed, int index);

/* What C holds before the product: a signalling pattern that no sum of finite
 * numbers gives. */
#define MATMUL_POISON 0x7FA5A5A5u

/* {"subject", "m", "n", "k", "trans_a", "trans_b", "lda", "ldb", "ldc",
 * "what"}: a new reference, NULL when out of memory. */
json_t *matmul_counterexample(const matmul_subject *subject,
                              const matmul_args *x, const char *fmt, ...)
    SPAK_PRINTF(3, 4);

#endif
