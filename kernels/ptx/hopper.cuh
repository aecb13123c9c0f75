/* The instructions of Hopper (sm_90a) that PTX alone can say: barriers in
 * shared memory, the bulk copy engine (TMA), and products by a group of four
 * warps (wgmma). Each function is one instruction, or the two that belong
 * together. References: PTX ISA, the sections named beside each group.
 *
 * Addresses in shared memory are 32-bit offsets in its window (smem_at). */
#ifndef SPAK_PTX_HOPPER_CUH
#define SPAK_PTX_HOPPER_CUH

#include "ptx/types.cuh"

DEVICE unsigned smem_at(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* --- barriers in shared memory: mbarrier ---
 *
 * A barrier counts arrivals and bytes. Its phase ends when all expected
 * arrivals have come and all expected bytes have been written; then the parity
 * flips and it counts anew. A waiter names the parity of the phase that it
 * waits for the end of: 0 for the first. */

DEVICE void barrier_init(unsigned barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier),
                 "r"(arrivals)
                 : "memory");
}

/* What was initialised is seen by the copy engine and by the cluster. */
DEVICE void barrier_init_visible(void) {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Arrives, and announces this many bytes of the copy engine. */
DEVICE void barrier_expect(unsigned barrier, unsigned bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
        "r"(bytes)
        : "memory");
}

DEVICE void barrier_arrive(unsigned barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier)
                 : "memory");
}

/* Arrives at the same barrier of another block of the cluster, and orders
 * nothing: what it tells of are products that are done (wgmma_wait). With the
 * usual release the compiler puts a fence over the whole GPU before each
 * arrival, which costs about a microsecond. */
DEVICE void barrier_arrive_at(unsigned barrier, unsigned block) {
    asm volatile(
        "{\n\t.reg .b32 remote;\n\t"
        "mapa.shared::cluster.u32 remote, %0, %1;\n\t"
        "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, "
        "[remote];\n\t}" ::"r"(barrier),
        "r"(block)
        : "memory");
}

DEVICE void barrier_wait(unsigned barrier, unsigned parity) {
    asm volatile(
        "{\n\t.reg .pred done;\n\t"
        "again:\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t"
        "@done bra leave;\n\t"
        "bra again;\n\t"
        "leave:\n\t}" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

/* --- clusters of blocks --- */

DEVICE unsigned cluster_rank(void) {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* All threads of the cluster meet. Orders nothing but what barriers of their
 * own order: a release here would be a fence over the whole GPU. */
DEVICE void cluster_meet(void) {
    asm volatile(
        "barrier.cluster.arrive.relaxed.aligned;\n\t"
        "barrier.cluster.wait.aligned;" ::
            : "memory");
}

/* --- plain stores into shared memory --- */

DEVICE void store_shared_pair(unsigned to, float x, float y) {
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(x), "f"(y)
                 : "memory");
}

/* --- sums and flags in global memory, from block to block --- */

DEVICE void store_four(float *to, const float x[4]) {
    asm volatile("st.global.cg.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to),
                 "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
                 : "memory");
}
DEVICE void load_four(const float *from, float x[4]) {
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
                 : "l"(from)
                 : "memory");
}
DEVICE void store_release(unsigned *to, unsigned x) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(x)
                 : "memory");
}
DEVICE unsigned load_acquire(const unsigned *from) {
    unsigned x;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                 : "=r"(x)
                 : "l"(from)
                 : "memory");
    return x;
}

/* A load that stays where it stands, so that what follows hides its latency. */
DEVICE unsigned load_word_now(const void *at) {
    unsigned x;
    asm volatile("ld.global.b32 %0, [%1];" : "=r"(x) : "l"(at) : "memory");
    return x;
}

/* --- the bulk copy engine: cp.async.bulk.tensor --- */

DEVICE void tma_prefetch_map(const void *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Brings the box at element (x, y), x innermost, and counts it at `barrier`. */
DEVICE void tma_load(unsigned to, const void *map, unsigned barrier, int x,
                     int y) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::"
        "complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
        "l"(map), "r"(barrier), "r"(x), "r"(y)
        : "memory");
}

/* The same into every block of the cluster whose bit is set in `blocks`, at the
 * same place, counted there at the same barrier. */
DEVICE void tma_load_many(unsigned to, const void *map, unsigned barrier, int x,
                          int y, unsigned short blocks) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::"
        "complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], "
        "%5;" ::"r"(to),
        "l"(map), "r"(barrier), "r"(x), "r"(y), "h"(blocks)
        : "memory");
}

DEVICE void tma_store(const void *map, unsigned from, int x, int y) {
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, "
        "%3}], [%1];" ::"l"(map),
        "r"(from), "r"(x), "r"(y)
        : "memory");
}

DEVICE void tma_store_commit(void) {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/* Waits until all but the latest `left` groups of stores have been read from
 * shared memory. */
#define tma_store_wait_read(left) \
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(left) : "memory")

/* Until all stores are done. */
DEVICE void tma_store_wait(void) {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/* What ordinary stores put into shared memory is seen by the copy engine and
 * by wgmma; every writing thread says so, then they meet at a barrier. */
DEVICE void fence_async(void) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- launches that overlap ---
 *
 * A kernel that is launched so may start while the one before it in the stream
 * still runs, as far as there is room. It says when the one after it may do the
 * same, and waits for the one before it to be done, its writes included, before
 * it touches global memory. Both do nothing in a plain launch. */

DEVICE void let_next_start(void) {
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
DEVICE void wait_for_previous(void) {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

/* --- groups of threads within a block --- */

#define named_barrier(id, threads) \
    asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(threads) : "memory")

/* Counts at such a barrier, and does not wait. */
#define named_arrive(id, threads) \
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "n"(threads) : "memory")

/* Hands registers of this warpgroup back, or takes some; a multiple of 8. */
#define registers_give(count) \
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count))
#define registers_take(count) \
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count))

/* Four 8 x 8 matrices of 16-bit elements from registers to shared memory: lane
 * l gives the address of row l % 8 of matrix l / 8. */
DEVICE void stmatrix4(unsigned to, unsigned a, unsigned b, unsigned c,
                      unsigned d) {
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::
            "r"(to),
        "r"(a), "r"(b), "r"(c), "r"(d)
        : "memory");
}

/* --- products by a warpgroup: wgmma ---
 *
 * D (64 x N, f32, in registers) += A (64 x 16) B (16 x N), both 16-bit and in
 * shared memory, named by descriptors. Register 4 j + 2 h + e of lane l of warp
 * w holds row 16 w + 8 h + l / 4, column 8 j + 2 (l % 4) + e.
 *
 * A descriptor holds the address, two distances and the swizzle. Tiles here
 * have rows of 128 bytes under the 128-byte swizzle (the 16-byte chunk c of row
 * r lies at c ^ (r % 8)), and begin at multiples of 1024 bytes:
 *   rows along k (K-major)   64 values of k a row; 8 rows make 1024 bytes, the
 *                            next 8 follow; 16 values of k further is 32 bytes
 *   rows along m or n        64 values of m or n a row, one row a k; the next
 *                            64 of them follow `block` bytes later; 16 values
 *                            of k further is 2048 bytes */

DEVICE unsigned long long wgmma_descriptor(unsigned at, unsigned block) {
    return (unsigned long long)((at & 0x3ffff) >> 4) |
           (unsigned long long)((block & 0x3ffff) >> 4) << 16 |
           (unsigned long long)(1024 >> 4) << 32 | 1ull << 62;
}

/* Before the first product that touches the accumulators. */
DEVICE void wgmma_fence(void) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
DEVICE void wgmma_commit(void) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Until all but the latest `left` groups of products are done. */
#define wgmma_wait(left) \
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory")

/* wgmma_N(d, a, b, add, TYPE, TA, TB): d (N / 2 registers) = a b, plus d if
 * add. TYPE: "bf16" or "f16"; TA, TB: "1" where the rows of that tile run along
 * m or n. */
#define WGMMA_F(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_F16(d, i) \
    WGMMA_F(d, i), WGMMA_F(d, i + 4), WGMMA_F(d, i + 8), WGMMA_F(d, i + 12)
#define wgmma_32(d, a, b, add, TYPE, TA, TB)                        \
    asm volatile(                                                   \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %18, 0;\n\t"          \
        "wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE \
        " {"                                                        \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "        \
        "%12, %13, %14, %15"                                        \
        "}, %16, %17, p, 1, 1, " TA ", " TB ";\n\t}"                \
        : WGMMA_F16(d, 0)                                           \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_64(d, a, b, add, TYPE, TA, TB)                           \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %34, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31"                       \
        "}, %32, %33, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16)                            \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_96(d, a, b, add, TYPE, TA, TB)                           \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %50, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n96k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"   \
        "}, %48, %49, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32)          \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_128(d, a, b, add, TYPE, TA, TB)                          \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %66, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, " \
        "%60, %61, %62, %63"                                           \
        "}, %64, %65, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48)                                             \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_160(d, a, b, add, TYPE, TA, TB)                          \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %82, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n160k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, " \
        "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, " \
        "%72, %73, %74, %75, %76, %77, %78, %79"                       \
        "}, %80, %81, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64)                           \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_192(d, a, b, add, TYPE, TA, TB)                          \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %98, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n192k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, " \
        "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, " \
        "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, " \
        "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"   \
        "}, %96, %97, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F16(d, 80)         \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_224(d, a, b, add, TYPE, TA, TB)                                  \
    asm volatile(                                                              \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %114, 0;\n\t"                    \
        "wgmma.mma_async.sync.aligned.m64n224k16.f32." TYPE "." TYPE           \
        " {"                                                                   \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "                   \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "         \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "         \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "         \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "         \
        "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "         \
        "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "         \
        "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "         \
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, " \
        "%108, %109, %110, %111"                                               \
        "}, %112, %113, p, 1, 1, " TA ", " TB ";\n\t}"                         \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),                 \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F16(d, 80),                \
          WGMMA_F16(d, 96)                                                     \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_256(d, a, b, add, TYPE, TA, TB)                                  \
    asm volatile(                                                              \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %130, 0;\n\t"                    \
        "wgmma.mma_async.sync.aligned.m64n256k16.f32." TYPE "." TYPE           \
        " {"                                                                   \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "                   \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "         \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "         \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "         \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "         \
        "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "         \
        "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "         \
        "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "         \
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, " \
        "%108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, "   \
        "%119, "                                                               \
        "%120, %121, %122, %123, %124, %125, %126, %127"                       \
        "}, %128, %129, p, 1, 1, " TA ", " TB ";\n\t}"                         \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),                 \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F16(d, 80),                \
          WGMMA_F16(d, 96), WGMMA_F16(d, 112)                                  \
        : "l"(a), "l"(b), "r"((int)(add)))

#endif
