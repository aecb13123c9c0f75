/* The micro-kernels for AVX2 with FMA: 8 floats a vector, 16 registers. */
#include "fmha/micro.h"

#ifdef __AVX2__
#include <immintrin.h>

#include "matmul/micro_rows.h"

enum { VLEN = 8 };
typedef __m256 vec;
#define v_zero()       _mm256_setzero_ps()
#define v_loadu(p)     _mm256_loadu_ps(p)
#define v_storeu(p, v) _mm256_storeu_ps((p), (v))
#define v_set1(x)      _mm256_set1_ps(x)
#define v_fma(x, y, z) _mm256_fmadd_ps((x), (y), (z))
#define v_add(x, y)    _mm256_add_ps((x), (y))
#define v_sub(x, y)    _mm256_sub_ps((x), (y))
#define v_mul(x, y)    _mm256_mul_ps((x), (y))
#define v_max(x, y)    _mm256_max_ps((x), (y))

INLINE vec v_scale_by_power(vec p, vec t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

INLINE vec v_keep_from(vec x, vec limit, vec v) {
    return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_NLT_UQ), v);
}

#define MR 6
#include "fmha/micro_panels.h"

const fmha_micro fmha_micro_avx2 = FMHA_MICRO_TABLE;
#else
const fmha_micro fmha_micro_avx2; /* another architecture: no lanes */
#endif
