/* The 16-bit types of the matrix units, and how a kernel touches global memory.
 *
 * An `element` is the 16 bits of a bf16 (1 + 8 + 7 bits; the upper half of an
 * f32) or, with TYPE_F16, of an f16 (1 + 5 + 10). Nothing is computed in it:
 * values are widened to f32, and rounded to nearest, ties to even, on the way
 * back. A `vec16` is the most that one thread moves at once, 16 bytes: eight
 * elements or four floats.
 *
 * Kernels reach global memory through these functions only. Compiled for the
 * host (SPAK_EMULATE, see emulate/emulate.h) the same names check each access
 * against the arrays that the kernel was given. */
#ifndef SPAK_PTX_TYPES_CUH
#define SPAK_PTX_TYPES_CUH

#ifndef TYPE_F16
#define TYPE_F16 0
#endif

#ifdef SPAK_EMULATE
#include "emulate/types.h"
#else

#define KERNEL extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define DYNAMIC_SHARED(name, alignment)    \
    extern __shared__ __align__(alignment) \
    unsigned char name[]

typedef unsigned short element;
typedef struct __align__(16) vec16 {
    unsigned x[4];
}
vec16;

DEVICE float element_to_float(element x) {
#if TYPE_F16
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
#else
    return __uint_as_float((unsigned)x << 16);
#endif
}

DEVICE element element_from_float(float x) {
    element y;
#if TYPE_F16
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
#endif
    return y;
}

/* Two elements in a register, the first in the lower half, as in memory. */
DEVICE unsigned pack_elements(float first, float second) {
    unsigned y;
#if TYPE_F16
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
#else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
#endif
    return y;
}

/* The same 32 bits. */
DEVICE float word_to_float(unsigned x) { return __uint_as_float(x); }
DEVICE unsigned word_of_float(float x) { return __float_as_uint(x); }

/* x / y to two units in the last place; y is at least 1, and may be infinite.
 */
DEVICE float divide(float x, float y) { return __fdividef(x, y); }

/* --- global memory --- */

DEVICE element load_element(const element *at) { return *at; }
DEVICE void store_element(element *at, element x) { *at = x; }

/* 4 bytes: at is a multiple of 4. */
DEVICE unsigned load_word(const void *at) { return *(const unsigned *)at; }
DEVICE void store_word(void *at, unsigned x) { *(unsigned *)at = x; }

/* 16 bytes: at is a multiple of 16. */
DEVICE vec16 load_vec16(const void *at) { return *(const vec16 *)at; }
DEVICE void store_vec16(void *at, vec16 x) { *(vec16 *)at = x; }

/* 16 bytes that another block wrote during this launch: past the first-level
 * cache, which is not coherent. */
DEVICE vec16 load_vec16_fresh(const void *at) {
    vec16 y;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(y.x[0]), "=r"(y.x[1]), "=r"(y.x[2]), "=r"(y.x[3])
                 : "l"(at)
                 : "memory");
    return y;
}

#endif

/* The elements of a word, widened. */
DEVICE float first_element(unsigned pair) {
    return element_to_float((element)(pair & 0xffffu));
}
DEVICE float second_element(unsigned pair) {
    return element_to_float((element)(pair >> 16));
}

/* Eight neighbouring elements, of which the first `count` (at most 8) exist;
 * the others are zero. at need not be aligned. */
DEVICE vec16 load_some(const element *at, int count) {
    vec16 y;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        unsigned first = 2 * i < count ? load_element(at + 2 * i) : 0u;
        unsigned second = 2 * i + 1 < count ? load_element(at + 2 * i + 1) : 0u;
        y.x[i] = first | second << 16;
    }
    return y;
}

#endif
