#include "device/blas.h"
#include "matmul/matmul.h"

static const char *peer(void) {
    const dev_blas *blas = dev_blas_peer();
    return blas ? blas->description : NULL;
}

const dev_op matmul_op = {
    .name = "matmul",
    .manifest = "kernels/matmul/matmul.dsl",
    .invariants = matmul_invariants,
    .num_invariants = MATMUL_NUM_INVARIANTS,
    .trial = matmul_trial,
    .peer = peer,
};
