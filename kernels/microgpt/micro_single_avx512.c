/* The step in floats for AVX-512: vectors of 16. */
#include "microgpt/microgpt.h"

#ifdef __AVX512F__
#include <immintrin.h>

#define REAL           float
#define LANES          16
#define v_fma(x, y, z) ((vec)_mm512_fmadd_ps((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm512_max_ps((x), (y)))
#define v_sqrt(x)      ((vec)_mm512_sqrt_ps((x)))
#define MICROGPT_TABLE microgpt_single_avx512
#include "microgpt/step.h"
#else
const microgpt_kernels microgpt_single_avx512; /* another architecture */
#endif
