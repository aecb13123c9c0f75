/* The instructions of Hopper that attention needs beside those of hopper.cuh:
 * copies of four-dimensional boxes, and products with A in registers. Each
 * function is one instruction. References: PTX ISA, the sections named beside
 * each group. */
#ifndef SPAK_PTX_ATTENTION_CUH
#define SPAK_PTX_ATTENTION_CUH

#include "ptx/hopper.cuh"

/* --- the bulk copy engine: cp.async.bulk.tensor --- */

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

/* Part of the next group (tma_store_commit); what lies outside is left out. */
DEVICE void tma_store_4d(const void *map, unsigned from, int d, int h, int t,
                         int b) {
    asm volatile(
        "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, "
        "%3, %4, %5}], [%1];" ::"l"(map),
        "r"(from), "r"(d), "r"(h), "r"(t), "r"(b)
        : "memory");
}

/* Four words to shared memory, and from it; 16-byte aligned. */
DEVICE void store_shared_words(unsigned to, const int x[4]) {
    asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(to),
                 "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}
DEVICE void load_shared_words(unsigned from, int x[4]) {
    asm volatile("ld.shared.v4.s32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(from)
                 : "memory");
}

/* 2^x, to two units in the last place; of -infinity it is 0. */
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* --- products by a warpgroup: wgmma, further widths (hopper.cuh) --- */

#define wgmma_48(d, a, b, add, TYPE, TA, TB)                         \
    asm volatile(                                                    \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %26, 0;\n\t"           \
        "wgmma.mma_async.sync.aligned.m64n48k16.f32." TYPE "." TYPE  \
        " {"                                                         \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "         \
        "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23" \
        "}, %24, %25, p, 1, 1, " TA ", " TB ";\n\t}"                 \
        : WGMMA_F16(d, 0), WGMMA_F(d, 16), WGMMA_F(d, 20)            \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_80(d, a, b, add, TYPE, TA, TB)                                \
    asm volatile(                                                           \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %42, 0;\n\t"                  \
        "wgmma.mma_async.sync.aligned.m64n80k16.f32." TYPE "." TYPE         \
        " {"                                                                \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "      \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, "      \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "      \
        "%38, %39"                                                          \
        "}, %40, %41, p, 1, 1, " TA ", " TB ";\n\t}"                        \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F(d, 32), WGMMA_F(d, 36) \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_112(d, a, b, add, TYPE, TA, TB)                                  \
    asm volatile(                                                              \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %58, 0;\n\t"                     \
        "wgmma.mma_async.sync.aligned.m64n112k16.f32." TYPE "." TYPE           \
        " {"                                                                   \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "         \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, "         \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "         \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "         \
        "%50, %51, %52, %53, %54, %55"                                         \
        "}, %56, %57, p, 1, 1, " TA ", " TB ";\n\t}"                           \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32), WGMMA_F(d, 48), \
          WGMMA_F(d, 52)                                                       \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_144(d, a, b, add, TYPE, TA, TB)                          \
    asm volatile(                                                      \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %74, 0;\n\t"             \
        "wgmma.mma_async.sync.aligned.m64n144k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, " \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, " \
        "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71"             \
        "}, %72, %73, p, 1, 1, " TA ", " TB ";\n\t}"                   \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48), WGMMA_F(d, 64), WGMMA_F(d, 68)             \
        : "l"(a), "l"(b), "r"((int)(add)))
#define wgmma_176(d, a, b, add, TYPE, TA, TB)                                \
    asm volatile(                                                            \
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %90, 0;\n\t"                   \
        "wgmma.mma_async.sync.aligned.m64n176k16.f32." TYPE "." TYPE         \
        " {"                                                                 \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "       \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, "       \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "       \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "       \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "       \
        "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, "       \
        "%74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, "       \
        "%86, %87"                                                           \
        "}, %88, %89, p, 1, 1, " TA ", " TB ";\n\t}"                         \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),               \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F(d, 80), WGMMA_F(d, 84) \
        : "l"(a), "l"(b), "r"((int)(add)))

/* --- products with A in registers ---
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

#define wgmma_from_32(d, a, b, TYPE, TB)                               \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15"                                                     \
        "}, {%16, %17, %18, %19}, %20, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0)                                              \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_64(d, a, b, TYPE, TB)                               \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31"                                 \
        "}, {%32, %33, %34, %35}, %36, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16)                            \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_96(d, a, b, TYPE, TB)                               \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n96k16.f32." TYPE "." TYPE    \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, " \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47"             \
        "}, {%48, %49, %50, %51}, %52, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32)          \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_128(d, a, b, TYPE, TB)                              \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, " \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, " \
        "%62, %63"                                                     \
        "}, {%64, %65, %66, %67}, %68, 1, 1, 1, " TB ";"               \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48)                                             \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_192(d, a, b, TYPE, TB)                              \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n192k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, " \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, " \
        "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, " \
        "%74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, " \
        "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
        "}, {%96, %97, %98, %99}, %100, 1, 1, 1, " TB ";"              \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F16(d, 80)         \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define wgmma_from_256(d, a, b, TYPE, TB)                              \
    asm volatile(                                                      \
        "wgmma.mma_async.sync.aligned.m64n256k16.f32." TYPE "." TYPE   \
        " {"                                                           \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
        "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, " \
        "%26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, " \
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, " \
        "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, " \
        "%74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, " \
        "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, " \
        "%98, %99, %100, %101, %102, %103, %104, %105, %106, %107, "   \
        "%108, %109, %110, %111, %112, %113, %114, %115, %116, %117, " \
        "%118, %119, %120, %121, %122, %123, %124, %125, %126, %127"   \
        "}, {%128, %129, %130, %131}, %132, 1, 1, 1, " TB ";"          \
        : WGMMA_F16(d, 0), WGMMA_F16(d, 16), WGMMA_F16(d, 32),         \
          WGMMA_F16(d, 48), WGMMA_F16(d, 64), WGMMA_F16(d, 80),        \
          WGMMA_F16(d, 96), WGMMA_F16(d, 112)                          \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))

#endif
