/* The layers for AVX2 with FMA: vectors of 8, 16 registers. */
#include "layers/layers.h"

#ifdef __AVX2__
#include <immintrin.h>

#define LANES          8
#define MR             6
#define v_fma(x, y, z) ((vec)_mm256_fmadd_ps((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm256_max_ps((x), (y)))
#define v_min(x, y)    ((vec)_mm256_min_ps((x), (y)))
#define v_sqrt(x)      ((vec)_mm256_sqrt_ps((x)))
#define w_mul(x, y)    ((wide)_mm256_mul_epu32((__m256i)(x), (__m256i)(y)))

static inline __m256i part_mask(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#define v_load_part(p, n) ((vec)_mm256_maskload_ps((p), part_mask(n)))
#define v_store_part(p, x, n) \
    _mm256_maskstore_ps((p), part_mask(n), (__m256)(x))

#define LAYERS_TABLE layers_avx2
#include "layers/all.h"
#else
const layers_kernels layers_avx2; /* another architecture */
#endif
