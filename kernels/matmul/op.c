#include "matmul/matmul.h"

const dev_op matmul_op = {
    .name = "matmul",
    .manifest = "kernels/matmul/matmul.dsl",
    .invariants = matmul_invariants,
    .num_invariants = MATMUL_NUM_INVARIANTS,
    .trial = matmul_trial,
};
