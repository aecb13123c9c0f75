/* The step in floats for any processor: vectors of four that the compiler maps
 * onto what there is. A product and its sum are rounded one by one. */
#include "microgpt/microgpt.h"

#define REAL           float
#define LANES          4
#define REG_BYTES      16 /* SSE2, NEON */
#define v_fma(x, y, z) ((x) * (y) + (z))
#define v_max(x, y)    v_max_(x, y)
#define v_sqrt(x)      v_sqrt_(x)

typedef REAL vec_ __attribute__((vector_size(LANES * sizeof(REAL)), may_alias));

static inline vec_ v_max_(vec_ x, vec_ y) {
    for (int i = 0; i < LANES; i++) x[i] = x[i] > y[i] ? x[i] : y[i];
    return x;
}

static inline vec_ v_sqrt_(vec_ x) {
    for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}

#define MICROGPT_TABLE microgpt_single_portable
#include "microgpt/step.h"
