/* One element of op(A) or op(B), widened; the first steps of the ladder read
 * the operands so. params.h says how they are stored. */
#ifndef SPAK_MATMUL_GPU_OPERAND_CUH
#define SPAK_MATMUL_GPU_OPERAND_CUH

#include "matmul/gpu/params.h"
#include "ptx/types.cuh"

#ifndef TRANS_A
#define TRANS_A 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif

DEVICE float load_a(const matmul_params *p, int row, int k) {
    const element *a = (const element *)p->a;
    const int r = TRANS_A ? k : row, c = TRANS_A ? row : k;
    return element_to_float(load_element(a + (long long)r * p->lda + c));
}

DEVICE float load_b(const matmul_params *p, int k, int col) {
    const element *b = (const element *)p->b;
    const int r = TRANS_B ? col : k, c = TRANS_B ? k : col;
    return element_to_float(load_element(b + (long long)r * p->ldb + c));
}

#endif
