/* The layers for AVX-512: vectors of 16, 32 registers. */
#include "layers/layers.h"

#ifdef __AVX512F__
#include <immintrin.h>

#define LANES          16
#define MR             12
#define v_fma(x, y, z) ((vec)_mm512_fmadd_ps((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm512_max_ps((x), (y)))
#define v_min(x, y)    ((vec)_mm512_min_ps((x), (y)))
#define v_sqrt(x)      ((vec)_mm512_sqrt_ps((x)))
#define w_mul(x, y)    ((wide)_mm512_mul_epu32((__m512i)(x), (__m512i)(y)))

#define part_mask(n)      ((__mmask16)((1u << (n)) - 1))
#define v_load_part(p, n) ((vec)_mm512_maskz_loadu_ps(part_mask(n), (p)))
#define v_store_part(p, x, n) \
    _mm512_mask_storeu_ps((p), part_mask(n), (__m512)(x))

#define LAYERS_TABLE layers_avx512
#include "layers/all.h"
#else
const layers_kernels layers_avx512; /* another architecture */
#endif
