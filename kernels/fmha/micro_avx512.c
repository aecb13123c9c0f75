/* The micro-kernels for AVX-512: 16 floats a vector, 32 registers. */
#include "fmha/micro.h"

#ifdef __AVX512F__
#include <immintrin.h>

#include "matmul/micro_rows.h"

enum { VLEN = 16 };
typedef __m512 vec;
#define v_zero()       _mm512_setzero_ps()
#define v_loadu(p)     _mm512_loadu_ps(p)
#define v_storeu(p, v) _mm512_storeu_ps((p), (v))
#define v_set1(x)      _mm512_set1_ps(x)
#define v_fma(x, y, z) _mm512_fmadd_ps((x), (y), (z))
#define v_add(x, y)    _mm512_add_ps((x), (y))
#define v_sub(x, y)    _mm512_sub_ps((x), (y))
#define v_mul(x, y)    _mm512_mul_ps((x), (y))
#define v_max(x, y)    _mm512_max_ps((x), (y))

INLINE vec v_scale_by_power(vec p, vec t) {
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

INLINE vec v_keep_from(vec x, vec limit, vec v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), v);
}

#define MR 14
#include "fmha/micro_panels.h"

const fmha_micro fmha_micro_avx512 = FMHA_MICRO_TABLE;
#else
const fmha_micro fmha_micro_avx512; /* another architecture: no lanes */
#endif
