/* The layers for any processor: vectors of four that the compiler maps onto
 * what there is. A product and its sum are rounded one by one. */
#include "layers/layers.h"

#define LANES          4
#define MR             4
#define v_fma(x, y, z) ((x) * (y) + (z))
#define v_max(x, y)    v_max_(x, y)
#define v_min(x, y)    v_min_(x, y)
#define v_sqrt(x)      v_sqrt_(x)
#define w_mul(x, y)    (((x)&0xFFFFFFFF) * ((y)&0xFFFFFFFF))

typedef float vec_ __attribute__((vector_size(16)));
typedef int32_t ivec_ __attribute__((vector_size(16)));

static inline vec_ v_choose_(ivec_ mask, vec_ yes, vec_ no) {
    return (vec_)(((ivec_)yes & mask) | ((ivec_)no & ~mask));
}
static inline vec_ v_max_(vec_ x, vec_ y) { return v_choose_(x > y, x, y); }
static inline vec_ v_min_(vec_ x, vec_ y) { return v_choose_(x < y, x, y); }
static inline vec_ v_sqrt_(vec_ x) {
    for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}
static inline vec_ v_load_part(const float *p, size_t n) {
    vec_ x = {0};
    for (size_t i = 0; i < n && i < LANES; i++) x[i] = p[i];
    return x;
}
static inline void v_store_part(float *p, vec_ x, size_t n) {
    for (size_t i = 0; i < n && i < LANES; i++) p[i] = x[i];
}

#define LAYERS_TABLE layers_portable
#include "layers/all.h"
