/* Packing, as a template: like micro_tile.h it is included by each instruction
 * set's file, so that the compiler may use that set's moves. The 4 x 4
 * transpose is written with 16-byte vectors, which every set has. */
#include <string.h>

typedef float quad __attribute__((vector_size(16)));

static inline quad quad_load(const float *p) {
    quad v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void quad_store(float *p, quad v) { memcpy(p, &v, sizeof v); }

static void pack_copy(float *dst, size_t width, const float *src, size_t ld,
                      size_t kb, size_t valid) {
    if (valid == width && width % 8 == 0) {
        for (size_t p = 0; p < kb; p++)
            for (size_t x = 0; x < width; x += 8)
                memcpy(dst + p * width + x, src + p * ld + x, 8 * sizeof *dst);
        return;
    }
    for (size_t p = 0; p < kb; p++) {
        for (size_t x = 0; x < valid; x++) dst[p * width + x] = src[p * ld + x];
        for (size_t x = valid; x < width; x++) dst[p * width + x] = 0;
    }
}

/* Four rows of src become a strip of four floats in each of four columns of
 * dst. */
static inline void transpose_4x4(float *dst, size_t width, const float *src,
                                 size_t ld) {
    quad r0 = quad_load(src), r1 = quad_load(src + ld),
         r2 = quad_load(src + 2 * ld), r3 = quad_load(src + 3 * ld);
    quad t0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
         t1 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    quad t2 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7),
         t3 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    quad_store(dst, __builtin_shufflevector(t0, t1, 0, 1, 4, 5));
    quad_store(dst + width, __builtin_shufflevector(t0, t1, 2, 3, 6, 7));
    quad_store(dst + 2 * width, __builtin_shufflevector(t2, t3, 0, 1, 4, 5));
    quad_store(dst + 3 * width, __builtin_shufflevector(t2, t3, 2, 3, 6, 7));
}

/* Two rows become pairs of floats: what is left of six rows after four. */
static inline void transpose_2x4(float *dst, size_t width, const float *src,
                                 size_t ld) {
    quad r0 = quad_load(src), r1 = quad_load(src + ld);
    quad low = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
         high = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    memcpy(dst, &low, 8);
    memcpy(dst + width, (char *)&low + 8, 8);
    memcpy(dst + 2 * width, &high, 8);
    memcpy(dst + 3 * width, (char *)&high + 8, 8);
}

static void pack_transpose(float *dst, size_t width, const float *src,
                           size_t ld, size_t kb, size_t valid) {
    size_t p = 0;
    for (; p + 4 <= kb; p += 4) {
        size_t x = 0;
        for (; x + 4 <= valid; x += 4)
            transpose_4x4(dst + p * width + x, width, src + x * ld + p, ld);
        for (; x + 2 <= valid; x += 2)
            transpose_2x4(dst + p * width + x, width, src + x * ld + p, ld);
        for (; x < valid; x++)
            for (size_t q = p; q < p + 4; q++)
                dst[q * width + x] = src[x * ld + q];
        for (; x < width; x++)
            for (size_t q = p; q < p + 4; q++) dst[q * width + x] = 0;
    }
    for (; p < kb; p++) {
        for (size_t x = 0; x < valid; x++) dst[p * width + x] = src[x * ld + p];
        for (size_t x = valid; x < width; x++) dst[p * width + x] = 0;
    }
}
