/* The step in doubles for AVX2 with FMA: vectors of 4. */
#include "microgpt/microgpt.h"

#ifdef __AVX2__
#include <immintrin.h>

#define REAL  double
#define LANES 4
#define EXACT
#define v_fma(x, y, z) ((vec)_mm256_fmadd_pd((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm256_max_pd((x), (y)))
#define v_sqrt(x)      ((vec)_mm256_sqrt_pd((x)))
#define MICROGPT_TABLE microgpt_exact_avx2
#include "microgpt/step.h"
#else
const microgpt_kernels microgpt_exact_avx2; /* another architecture */
#endif
