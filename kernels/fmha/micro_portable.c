/* The micro-kernels in GCC's and Clang's vector extensions: four floats a
 * vector, whatever the processor makes of them. */
#include <string.h>

#include "fmha/micro.h"
#include "matmul/micro_rows.h"

/* Where multiply-add is one instruction (64-bit Arm), let the compiler fuse;
 * the strict ISO mode forbids it. */
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

enum { VLEN = 4 };
typedef float vec __attribute__((vector_size(16)));
typedef int32_t ivec __attribute__((vector_size(16)));

INLINE vec v_loadu(const float *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_storeu(float *p, vec v) { memcpy(p, &v, sizeof v); }

#define v_zero()       ((vec){0, 0, 0, 0})
#define v_set1(x)      ((vec){(x), (x), (x), (x)})
#define v_fma(x, y, z) ((z) + (x) * (y))
#define v_add(x, y)    ((x) + (y))
#define v_sub(x, y)    ((x) - (y))
#define v_mul(x, y)    ((x) * (y))

/* A comparison of vectors gives all ones where it holds. */
INLINE vec v_select(ivec mask, vec yes, vec no) {
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

INLINE vec v_max(vec x, vec y) { return v_select(x > y, x, y); }

INLINE vec v_scale_by_power(vec p, vec t) {
    typedef uint32_t uvec __attribute__((vector_size(16)));
    return (vec)((uvec)p + ((uvec)t << 23));
}

INLINE vec v_keep_from(vec x, vec limit, vec v) {
    return (vec)(~(x < limit) & (ivec)v);
}

#if defined(__aarch64__)
#define MR 8
#else
#define MR 6
#endif
#include "fmha/micro_panels.h"

const fmha_micro fmha_micro_portable = FMHA_MICRO_TABLE;
