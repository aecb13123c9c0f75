/* ptx/mma.cuh, for the host. */
#ifndef SPAK_EMULATE_MMA_H
#define SPAK_EMULATE_MMA_H

#include "emulate/types.h"

DEVICE unsigned smem_address(const void *at) {
    return emulate_smem_address(at);
}
DEVICE void ldmatrix(unsigned y[4], unsigned address) {
    emulate_ldmatrix(y, address, false);
}
DEVICE void ldmatrix_trans(unsigned y[4], unsigned address) {
    emulate_ldmatrix(y, address, true);
}
DEVICE void mma_m16n8k16(float c[4], const unsigned a[4], const unsigned b[2]) {
    emulate_mma(c, a, b, TYPE_F16);
}
DEVICE void cp_async16(unsigned to, const void *from, int bytes) {
    emulate_copy(to, from, bytes);
}
#define cp_async_commit emulate_commit
#define cp_async_wait   emulate_wait

#endif
