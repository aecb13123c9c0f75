/* CUDA's words and ptx/types.cuh, for the host. */
#ifndef SPAK_EMULATE_TYPES_H
#define SPAK_EMULATE_TYPES_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "emulate/device.h"

#ifdef __clang__ /* which knows `unroll`, but need not */
#pragma clang diagnostic ignored "-Wpass-failed"
#else
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#endif

#define KERNEL static
#define DEVICE static inline __attribute__((unused))
#define DYNAMIC_SHARED(name, alignment) \
    static unsigned char *const name = emulate_smem
#define __shared__       static /* blocks run one after another */
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx       emulate_here.thread
#define blockIdx        emulate_here.block
#define __syncthreads   emulate_syncthreads
#define __syncwarp      emulate_syncwarp
#define __threadfence() ((void)0)
#define __expf          expf
#define divide(x, y)    ((x) / (y))

typedef unsigned short element;
typedef struct __align__(16) vec16 {
    unsigned x[4];
}
vec16;

DEVICE float element_to_float(element x) {
    return TYPE_F16 ? emulate_float_of_f16(x) : emulate_float_of_bf16(x);
}
DEVICE element element_from_float(float x) {
    return TYPE_F16 ? emulate_f16_of_float(x) : emulate_bf16_of_float(x);
}
DEVICE unsigned pack_elements(float first, float second) {
    return element_from_float(first) | (unsigned)element_from_float(second)
                                           << 16;
}

DEVICE float word_to_float(unsigned x) {
    float y;
    memcpy(&y, &x, 4);
    return y;
}
DEVICE unsigned word_of_float(float x) {
    unsigned y;
    memcpy(&y, &x, 4);
    return y;
}

DEVICE element load_element(const element *at) {
    emulate_read(at, 2);
    return *at;
}
DEVICE void store_element(element *at, element x) {
    emulate_write(at, 2);
    *at = x;
}
DEVICE unsigned load_word(const void *at) {
    emulate_read(at, 4);
    unsigned x;
    memcpy(&x, at, 4);
    return x;
}
DEVICE void store_word(void *at, unsigned x) {
    emulate_write(at, 4);
    memcpy(at, &x, 4);
}
DEVICE vec16 load_vec16(const void *at) {
    emulate_read(at, 16);
    vec16 x;
    memcpy(&x, at, 16);
    return x;
}
DEVICE void store_vec16(void *at, vec16 x) {
    emulate_write(at, 16);
    memcpy(at, &x, 16);
}
#define load_vec16_fresh load_vec16

DEVICE int atomicExch(int *at, int x) {
    emulate_read(at, 4);
    emulate_write(at, 4);
    int before = *at;
    *at = x;
    return before;
}
DEVICE int atomicAdd(int *at, int x) {
    emulate_read(at, 4);
    return atomicExch(at, *at + x);
}

#endif
