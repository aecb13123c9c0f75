/* The step in floats for AVX2 with FMA: vectors of 8. */
#include "microgpt/microgpt.h"

#ifdef __AVX2__
#include <immintrin.h>

#define REAL           float
#define LANES          8
#define v_fma(x, y, z) ((vec)_mm256_fmadd_ps((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm256_max_ps((x), (y)))
#define v_sqrt(x)      ((vec)_mm256_sqrt_ps((x)))
#define MICROGPT_TABLE microgpt_single_avx2
#include "microgpt/step.h"
#else
const microgpt_kernels microgpt_single_avx2; /* another architecture */
#endif
