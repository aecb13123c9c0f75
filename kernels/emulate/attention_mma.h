/* ptx/attention_mma.cuh, for the host. */
#ifndef SPAK_EMULATE_ATTENTION_MMA_H
#define SPAK_EMULATE_ATTENTION_MMA_H

#include "emulate/types.h"

#define blockDim    emulate_here.block_dim
#define exp2_fast   exp2f
#define log2_fast   log2f
#define shuffle_xor emulate_shuffle_xor

DEVICE int thread_again(void) { return (int)threadIdx.x; }
DEVICE int warp_uniform(int x) { return x; }

DEVICE void store_pair(void *at, float first, float second) {
    const float pair[2] = {first, second};
    emulate_write(at, 8);
    memcpy(at, pair, 8);
}

#endif
