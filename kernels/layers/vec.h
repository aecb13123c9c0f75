/* Vectors of LANES floats (4, 8 or 16) in GNU's extension: + - * / and
 * comparisons work lane by lane, and a comparison gives all ones where it
 * holds. The file that includes this has defined LANES and, for its instruction
 * set,
 *
 *   v_fma(x, y, z)   x y + z            v_sqrt(x)
 *   v_max(x, y)      x > y ? x : y, so that a NaN in y stays; v_min likewise
 *   v_load_part(p, n), v_store_part(p, x, n)   the first n < LANES lanes, the
 *                    rest is zero and is neither read nor written
 *   w_mul(x, y)      64-bit products of the low halves of 64-bit lanes
 *
 * Rows have any length: a loop over whole vectors calls a step with n = LANES,
 * a literal, and what is left calls the same step with n < LANES. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "layers/layers.h"

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef float loose_vec
    __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#if defined(__SANITIZE_ADDRESS__)
#define INLINE static inline __attribute__((unused))
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 32")
#endif

#if LANES == 4
#define SWAP_1    1, 0, 3, 2
#define SWAP_2    2, 3, 0, 1
#define ALL_LANES 0, 1, 2, 3
#elif LANES == 8
#define SWAP_1    1, 0, 3, 2, 5, 4, 7, 6
#define SWAP_2    2, 3, 0, 1, 6, 7, 4, 5
#define SWAP_4    4, 5, 6, 7, 0, 1, 2, 3
#define ALL_LANES 0, 1, 2, 3, 4, 5, 6, 7
#else
#define SWAP_1    1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define SWAP_2    2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define SWAP_4    4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define SWAP_8    8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#define ALL_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#endif

/* x - 0 is x, and the compiler knows; 0 + x is not (for -0 it is +0), and
 * would be an addition for each number that is copied to all lanes. */
INLINE vec v_set1(float x) { return x - (vec){0}; }

INLINE vec v_load(const float *p, size_t n) {
    if (n == LANES) return *(const loose_vec *)p;
    return v_load_part(p, n);
}

INLINE void v_store(float *p, vec x, size_t n) {
    if (n == LANES)
        *(loose_vec *)p = x;
    else
        v_store_part(p, x, n);
}

INLINE ivec i_set1(int32_t x) { return (ivec){0} + x; }
INLINE ivec i_load(const int32_t *p, size_t n) {
    return (ivec)v_load((const float *)(const void *)p, n);
}

/* All ones in the first n lanes. */
INLINE ivec i_first(size_t n) { return (ivec){ALL_LANES} < i_set1((int32_t)n); }

INLINE vec v_where(ivec mask, vec x) { return (vec)((ivec)x & mask); }
INLINE vec v_select(ivec mask, vec yes, vec no) {
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}

INLINE vec v_abs(vec x) { return (vec)((ivec)x & 0x7FFFFFFF); }

/* The sum of all lanes, and the largest, in each lane. */
INLINE vec v_total(vec x) {
    x += __builtin_shufflevector(x, x, SWAP_1);
    x += __builtin_shufflevector(x, x, SWAP_2);
#ifdef SWAP_4
    x += __builtin_shufflevector(x, x, SWAP_4);
#endif
#ifdef SWAP_8
    x += __builtin_shufflevector(x, x, SWAP_8);
#endif
    return x;
}

INLINE vec v_greatest(vec x) {
    x = v_max(x, __builtin_shufflevector(x, x, SWAP_1));
    x = v_max(x, __builtin_shufflevector(x, x, SWAP_2));
#ifdef SWAP_4
    x = v_max(x, __builtin_shufflevector(x, x, SWAP_4));
#endif
#ifdef SWAP_8
    x = v_max(x, __builtin_shufflevector(x, x, SWAP_8));
#endif
    return x;
}
