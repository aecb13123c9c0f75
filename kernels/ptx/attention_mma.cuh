/* What attention asks of a GPU beside the products of mma.cuh, on the portable
 * path (sm_80 and up). */
#ifndef SPAK_PTX_ATTENTION_MMA_CUH
#define SPAK_PTX_ATTENTION_MMA_CUH

#include "ptx/mma.cuh"

#ifdef SPAK_EMULATE
#include "emulate/attention_mma.h"
#else

/* 2^x to two units in the last place, in one instruction; 0 where that is
 * below 2^-126, and of -infinity. */
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The logarithm to base 2, off by 2^-22 near 1, by a factor of 1 + 2^-22
 * elsewhere; of 0 it is -infinity. */
DEVICE float log2_fast(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* What lane `lane ^ mask` handed in. All lanes of the warp take part. */
DEVICE float shuffle_xor(float x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}

/* threadIdx.x, read anew. What follows from it in a loop is computed there, and
 * not kept over the loop in registers that sums need more. */
DEVICE int thread_again(void) {
    int x;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
    return x;
}

/* x, which all lanes have alike, so that the compiler knows: uniform registers
 * hold it, of which there are 63 beside the others. */
DEVICE int warp_uniform(int x) { return __shfl_sync(0xffffffffu, x, 0); }

/* 8 bytes: at is a multiple of 8. */
DEVICE void store_pair(void *at, float first, float second) {
    *(float2 *)at = make_float2(first, second);
}

#endif

#endif
