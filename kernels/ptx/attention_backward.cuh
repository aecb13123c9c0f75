/* The instructions of Hopper that the backward pass of attention needs beside
 * those of hopper.cuh: copies of four-dimensional boxes and of plain bytes,
 * sums by the copy engine, and products with A in registers. Each function is
 * one instruction. References: PTX ISA, the sections named beside each group.
 */
#ifndef SPAK_PTX_ATTENTION_BACKWARD_CUH
#define SPAK_PTX_ATTENTION_BACKWARD_CUH

#include "ptx/hopper.cuh"

/* --- the bulk copy engine: cp.async.bulk, cp.reduce.async.bulk --- */

/* Brings the box at element (d, h, t, b), d innermost, and counts it at
 * `barrier`. What lies outside of the tensor arrives as zeros, and counts. */
DEVICE void tma_load_4d(unsigned to, const void *map, unsigned barrier, int d,
                        int h, int t, int b) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::"
        "complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
        "l"(map), "r"(barrier), "r"(d), "r"(h), "r"(t), "r"(b)
        : "memory");
}

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

/* 2^x, to two units in the last place; of -infinity it is 0. */
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* --- products by a warpgroup with A in registers: wgmma ---
 *
 * wgmma_from_N(d, a, b, TYPE, TB): d (N / 2 registers) += a b. d, b, TYPE and
 * TB as in hopper.cuh. Register i of a holds, in lane l = 4 g + t of warp w,
 * two neighbours along k:
 *
 *                    k = 2t, 2t + 1    k = 2t + 8, 2t + 9
 *   row 16 w + g          a[0]               a[2]
 *   row 16 w + g + 8      a[1]               a[3]
 *
 * So sums of a product, in pairs rounded to 16 bits, are the A of the next one:
 * sums 8 k ... 8 k + 7 in this order are its columns 16 k ... 16 k + 15. The
 * registers stay as they are until the products are waited for. */

#define wgmma_from_32(d, a, b, TYPE, TB)                                     \
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE \
                 " {"                                                        \
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "        \
                 "%12, %13, %14, %15"                                        \
                 "}, {%16, %17, %18, %19}, %20, 1, 1, 1, " TB ";"            \
                 : WGMMA_F16(d, 0)                                           \
                 : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_64(d, a, b, TYPE, TB)                               \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31"                       \
        "}, {%32, %33, %34, %35}, %36, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16)                            \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_96(d, a, b, TYPE, TB)                               \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n96k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"   \
        "}, {%48, %49, %50, %51}, %52, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32)          \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_128(d, a, b, TYPE, TB)                              \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "           \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
        "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
        "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, " \
        "%60, %61, %62, %63"                                           \
        "}, {%64, %65, %66, %67}, %68, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48)                                             \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))

#endif
