/* The instructions of Hopper that the backward pass of attention needs beside
 * those of hopper.cuh: copies of four-dimensional boxes and of plain bytes,
 * sums by the copy engine, and products with A in registers. Each function is
 * one instruction. References: PTX ISA, the sections named beside each group.
 */
#ifndef SPAK_PTX_ATTENTION_BACKWARD_CUH
#define SPAK_PTX_ATTENTION_BACKWARD_CUH

#include "ptx/attention.cuh"

/* --- the bulk copy engine: cp.async.bulk, cp.reduce.async.bulk --- */

/* Brings neighbouring bytes; addresses and count are multiples of 16. */
DEVICE void bulk_load(unsigned to, const void *from, unsigned barrier,
                      unsigned bytes) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1], %3, [%2];" ::"r"(to),
        "l"(from), "r"(barrier), "r"(bytes)
        : "memory");
}

/* Adds neighbouring floats to those in global memory, each addition by itself
 * indivisible. Part of the next group (tma_store_commit). */
DEVICE void bulk_add(float *to, unsigned from, unsigned bytes) {
    asm volatile(
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], "
        "[%1], %2;" ::"l"(to),
        "r"(from), "r"(bytes)
        : "memory");
}

/* Orders what ordinary loads and stores saw in any memory before what the copy
 * engine does next, and the other way round. */
DEVICE void fence_async_all(void) {
    asm volatile("fence.proxy.async;" ::: "memory");
}

/* --- the rest --- */

DEVICE void store_shared_four(unsigned to, const float x[4]) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to),
                 "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
                 : "memory");
}
DEVICE void load_shared_pair(unsigned from, float *x, float *y) {
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                 : "=f"(*x), "=f"(*y)
                 : "r"(from)
                 : "memory");
}

#endif
