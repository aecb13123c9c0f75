/* Vectors of REAL: LANES of them (4, 8 or 16), a row of the model (16 numbers)
 * in ROW_VECS vectors. The file that includes this has defined REAL (float or
 * double), LANES, and for its instruction set v_fma, v_max, v_sqrt; without
 * these the compiler maps the vectors onto what there is, and a product and its
 * sum are rounded one by one.
 *
 * Sums of products are written with v_fma, so that the compiler has nothing
 * left to contract in one loop and not in another: a row comes out with the
 * same bits in whichever block of rows it is computed. */
#include <math.h>
#include <string.h>

#include "microgpt/microgpt.h"

#ifndef REG_BYTES
#define REG_BYTES (LANES * sizeof(REAL)) /* of a register, for sums */
#endif

typedef REAL vec __attribute__((vector_size(LANES * sizeof(REAL)), may_alias));
typedef __typeof__((vec){0} < (vec){0}) mask; /* integers, 0 or -1 */

enum { ROW_VECS = MICROGPT_WIDTH / LANES };

#define INLINE static inline __attribute__((always_inline, unused))

#ifndef v_fma
#define v_fma(x, y, z) ((x) * (y) + (z)) /* of vec, and of product.h's reg */

INLINE vec v_max(vec x, vec y) {
    for (int i = 0; i < LANES; i++) x[i] = x[i] > y[i] ? x[i] : y[i];
    return x;
}

INLINE vec v_sqrt(vec x) {
    for (int i = 0; i < LANES; i++)
        x[i] = _Generic(x[i], float
                        : __builtin_sqrtf, double
                        : __builtin_sqrt)(x[i]);
    return x;
}
#endif

#if LANES == 4
#define SWAP_1 1, 0, 3, 2
#define SWAP_2 2, 3, 0, 1
#elif LANES == 8
#define SWAP_1 1, 0, 3, 2, 5, 4, 7, 6
#define SWAP_2 2, 3, 0, 1, 6, 7, 4, 5
#define SWAP_4 4, 5, 6, 7, 0, 1, 2, 3
#else
#define SWAP_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define SWAP_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define SWAP_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define SWAP_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#endif

INLINE vec v_load(const REAL *p) { return *(const vec *)p; }
INLINE void v_store(REAL *p, vec x) { *(vec *)p = x; }
INLINE vec v_set1(REAL x) { return (vec){0} + x; }
INLINE vec v_where(mask m, vec x) { return (vec)((mask)x & m); } /* else 0 */

/* In each lane the sum over its group of four lanes: over one head. */
INLINE vec v_head_sum(vec x) {
    vec pairs = x + __builtin_shufflevector(x, x, SWAP_1);
    return pairs + __builtin_shufflevector(pairs, pairs, SWAP_2);
}

/* In each lane the sum over all. */
INLINE vec v_total(vec x) {
    x = v_head_sum(x);
#ifdef SWAP_4
    x += __builtin_shufflevector(x, x, SWAP_4);
#endif
#ifdef SWAP_8
    x += __builtin_shufflevector(x, x, SWAP_8);
#endif
    return x;
}

/* In each lane the largest of all. */
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

#ifdef EXACT
/* The C library's exp is what the reference calls. Where the lanes of a head
 * are equal, one call serves the four. */
INLINE vec v_exp(vec x, microgpt_fault fault) {
    (void)fault;
    for (int lane = 0; lane < LANES; lane++) x[lane] = exp(x[lane]);
    return x;
}

INLINE vec v_exp_heads(vec x, microgpt_fault fault) {
    (void)fault;
    for (int lane = 0; lane < LANES; lane += 4) {
        REAL e = exp(x[lane]);
        for (int i = 0; i < 4; i++) x[lane + i] = e;
    }
    return x;
}
#else
/* e^x = 2^n e^r with n the integer nearest to x / ln 2, |r| <= ln 2 / 2. Adding
 * 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the sum. ln
 * 2 is taken away in two parts, so that r keeps its last bits. The polynomial
 * is that of Cephes' expf, some 1e-7 off. Below -87 the result is 0. */
INLINE vec v_exp(vec x, microgpt_fault fault) {
    const vec magic = v_set1(12582912.0f);
    mask in_range = x > v_set1(-87.0f);
    x = v_max(x, v_set1(-87.0f));
    vec shifted = v_fma(x, v_set1(1.44269504f), magic), n = shifted - magic;
    vec r = v_fma(n, v_set1(-0.693359375f), x);
    r = v_fma(n, v_set1(2.12194440e-4f), r);
    vec y = v_set1(1.9875691500e-4f);
    y = v_fma(y, r, v_set1(1.3981999507e-3f));
    y = v_fma(y, r, v_set1(8.3334519073e-3f));
    y = v_fma(y, r, v_set1(4.1665795894e-2f));
    if (fault == MICROGPT_EXP_OF_LOW_DEGREE) y = v_set1(0);
    y = v_fma(y, r, v_set1(1.6666665459e-1f));
    y = v_fma(y, r, v_set1(5.0000001201e-1f));
    y = v_fma(y, r * r, r) + 1.0f;
    mask exponent = ((mask)shifted - (mask)magic + 127) << 23;
    return v_where(in_range, y * (vec)exponent);
}

INLINE vec v_exp_heads(vec x, microgpt_fault fault) { return v_exp(x, fault); }
#endif
