/* Packing for MatMul's micro-kernels. A panel holds kb steps of `width` floats:
 *
 *   pack_rows       dst[p * width + x] = src[p * ld + x]
 *   pack_columns    dst[p * width + x] = src[x * ld + p]
 *
 * for p < kb, x < width. With a width that the compiler knows a step is a few
 * moves and shuffles; with any other it is a loop over floats. The cases are
 * the heights and widths of MatMul's tiles. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef double pair __attribute__((vector_size(16)));
typedef double loose_double __attribute__((aligned(4), may_alias));

/* Four steps of four rows: pairs of rows are interleaved, then pairs of pairs.
 */
INLINE void pack_4x4(float *dst, size_t width, const float *src, size_t ld) {
    quad r0 = *(const quad *)src, r1 = *(const quad *)(src + ld),
         r2 = *(const quad *)(src + 2 * ld), r3 = *(const quad *)(src + 3 * ld);
    quad a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
         b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
         c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7),
         d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    *(quad *)dst = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    *(quad *)(dst + width) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    *(quad *)(dst + 2 * width) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    *(quad *)(dst + 3 * width) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/* Four steps of two rows, two floats moved as one double. */
INLINE void pack_2x4(float *dst, size_t width, const float *src, size_t ld) {
    quad r0 = *(const quad *)src, r1 = *(const quad *)(src + ld);
    pair low = (pair)__builtin_shufflevector(r0, r1, 0, 4, 1, 5),
         high = (pair)__builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    *(loose_double *)dst = low[0];
    *(loose_double *)(dst + width) = low[1];
    *(loose_double *)(dst + 2 * width) = high[0];
    *(loose_double *)(dst + 3 * width) = high[1];
}

INLINE void columns_of(const size_t width, float *dst, const float *src,
                       size_t ld, size_t kb) {
    size_t p = 0;
    for (; p + 4 <= kb; p += 4) {
        float *to = dst + p * width;
        const float *from = src + p;
        size_t x = 0;
        UNROLL for (; x + 4 <= width; x += 4, from += 4 * ld)
            pack_4x4(to + x, width, from, ld);
        if (x + 2 <= width)
            pack_2x4(to + x, width, from, ld), x += 2, from += 2 * ld;
        if (x < width)
            for (size_t q = 0; q < 4; q++) to[q * width + x] = from[q];
    }
    for (; p < kb; p++)
        for (size_t x = 0; x < width; x++) dst[p * width + x] = src[x * ld + p];
}

INLINE void rows_of(const size_t width, float *dst, const float *src, size_t ld,
                    size_t kb) {
    for (size_t p = 0; p < kb; p++)
        memcpy(dst + p * width, src + p * ld, width * sizeof *dst);
}

#define PACK_CASE(w, f)         \
    case w:                     \
        f(w, dst, src, ld, kb); \
        break;
#define PACK(name, f)                                                       \
    static void name(float *dst, size_t width, const float *src, size_t ld, \
                     size_t kb) {                                           \
        switch (width) {                                                    \
            PACK_CASE(4, f)                                                 \
            PACK_CASE(6, f)                                                 \
            PACK_CASE(8, f)                                                 \
            PACK_CASE(12, f)                                                \
            PACK_CASE(14, f)                                                \
            PACK_CASE(16, f)                                                \
            PACK_CASE(24, f)                                                \
            PACK_CASE(32, f)                                                \
            default: f(width, dst, src, ld, kb);                            \
        }                                                                   \
    }

PACK(pack_rows, rows_of)
PACK(pack_columns, columns_of)
#undef PACK
#undef PACK_CASE
