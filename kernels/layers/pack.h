/* Packing pieces of rows for MatMul's micro-kernels: dst[p * width + x] =
 * src[p * ld + x], p < kb, x < width.
 *
 * With a width that the compiler knows a piece is a few moves; with any other
 * it is a loop over floats. The cases are the heights and widths of MatMul's
 * tiles. */
#define PACK_ROWS(w)                                                \
    case w:                                                         \
        for (size_t p = 0; p < kb; p++)                             \
            memcpy(dst + p * (w), src + p * ld, (w) * sizeof *dst); \
        return;

static void pack_rows(float *dst, size_t width, const float *src, size_t ld,
                      size_t kb) {
    switch (width) {
        PACK_ROWS(4)
        PACK_ROWS(6)
        PACK_ROWS(8)
        PACK_ROWS(12)
        PACK_ROWS(14)
        PACK_ROWS(16)
        PACK_ROWS(24)
        PACK_ROWS(32)
        default:
            for (size_t p = 0; p < kb; p++)
                memcpy(dst + p * width, src + p * ld, width * sizeof *dst);
    }
}
#undef PACK_ROWS
