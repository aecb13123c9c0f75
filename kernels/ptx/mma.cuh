/* The instructions of the portable tensor-core path (sm_80 and up), each with
 * the picture of which lane of the warp holds what. g = lane / 4, t = lane % 4.
 *
 * Shared memory is addressed by 32-bit numbers (smem_address). */
#ifndef SPAK_PTX_MMA_CUH
#define SPAK_PTX_MMA_CUH

#include "ptx/types.cuh"

#ifdef SPAK_EMULATE
#include "emulate/mma.h"
#else

DEVICE unsigned smem_address(const void *at) {
    return (unsigned)__cvta_generic_to_shared(at);
}

/* Four 8x8 matrices of 16-bit elements from shared memory. Lane l hands in the
 * address of 16 bytes: row l % 8 of matrix l / 8. y[i] is of matrix i:
 *
 *   y[i] of lane (g, t):        ldmatrix     row g, columns 2t and 2t + 1
 *                               .trans       rows 2t and 2t + 1, column g
 *
 * The eight rows of a matrix are read at once, so they have to lie in different
 * 16-byte columns of the 128 bytes that the banks are wide (swizzle.h). */
DEVICE void ldmatrix(unsigned y[4], unsigned address) {
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3])
        : "r"(address)
        : "memory");
}

DEVICE void ldmatrix_trans(unsigned y[4], unsigned address) {
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3])
        : "r"(address)
        : "memory");
}

/* c (16, 8) += a (16, 16) b (16, 8): products of 16-bit elements, exact, summed
 * in f32. Which element a register holds in lane (g, t):
 *
 *             a: columns k                   b: columns n        c: columns n
 *           2t, 2t+1   8+2t, 9+2t                  g              2t    2t+1
 *   row g     a[0]        a[2]        k 2t, 2t+1  b[0]   row g   c[0]   c[1]
 *   row g+8   a[1]        a[3]        8+2t, 9+2t  b[1]   g + 8   c[2]   c[3]
 *
 * So a[i] and b[i] are what one ldmatrix brings, and the two halves of a
 * register follow each other in k. */
DEVICE void mma_m16n8k16(float c[4], const unsigned a[4], const unsigned b[2]) {
#if TYPE_F16
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* 16 bytes from global to shared memory that no thread waits for. Of `from`
 * the first `bytes` (16 or 0) are read, the rest of the 16 is filled with
 * zeros: with 0, `from` may point anywhere. Both are multiples of 16. */
DEVICE void cp_async16(unsigned to, const void *from, int bytes) {
    asm volatile(
        "cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to),
        "l"(from), "r"(bytes)
        : "memory");
}

/* Closes a group: this thread's copies since the last close. It may be empty.
 */
DEVICE void cp_async_commit(void) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most `pending` (a constant) of this thread's groups are under
 * way. Other threads' copies are seen after a barrier that they reach after
 * their own wait. */
#define cp_async_wait(pending) \
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory")

#endif

#endif
