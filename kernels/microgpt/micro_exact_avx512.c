/* The step in doubles for AVX-512: vectors of 8. */
#include "microgpt/microgpt.h"

#ifdef __AVX512F__
#include <immintrin.h>

#define REAL  double
#define LANES 8
#define EXACT
#define v_fma(x, y, z) ((vec)_mm512_fmadd_pd((x), (y), (z)))
#define v_max(x, y)    ((vec)_mm512_max_pd((x), (y)))
#define v_sqrt(x)      ((vec)_mm512_sqrt_pd((x)))
#define MICROGPT_TABLE microgpt_exact_avx512
#include "microgpt/step.h"
#else
const microgpt_kernels microgpt_exact_avx512; /* another architecture */
#endif
