/* Helpers of the micro-kernel template: repetition for the preprocessor,
 * unrolling, prefetching. */

/* By default GCC 12 allocates registers region by region and then stores an
 * accumulator or two to the stack in each turn of the unrolled loop; with the
 * function as one region it does not. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("ira-region=one")
#endif

#define TILE_ROWS_4(f)  f(1) f(2) f(3) f(4)
#define TILE_ROWS_6(f)  TILE_ROWS_4(f) f(5) f(6)
#define TILE_ROWS_8(f)  TILE_ROWS_6(f) f(7) f(8)
#define TILE_ROWS_9(f)  TILE_ROWS_8(f) f(9)
#define TILE_ROWS_12(f) TILE_ROWS_8(f) f(9) f(10) f(11) f(12)
#define TILE_ROWS_14(f) TILE_ROWS_12(f) f(13) f(14)
#define TILE_ROWS_24(f) \
    TILE_ROWS_14(f) f(15) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24)
#define TILE_ROWS_(n, f) TILE_ROWS_##n(f)
#define TILE_ROWS(n, f)  TILE_ROWS_(n, f)

/* Under a sanitizer the loops stay loops: unrolled, each of hundreds of
 * accesses would be instrumented. */
#if defined(__SANITIZE_ADDRESS__)
#define INLINE static inline
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")
#endif

/* Steps of k in one turn of the micro-kernel's loop. */
enum { STEPS = 4, FLOATS_IN_A_LINE = 16 };

/* The lines of the next `floats` floats at p; a constant, so that the loop
 * unrolls. */
INLINE void prefetch_floats(const float *p, const int floats) {
    UNROLL for (int i = 0; i < floats; i += FLOATS_IN_A_LINE)
        __builtin_prefetch(p + i, 0, 3);
}

/* For the second-level cache: it is not needed before this panel is done, and
 * must not push that out of the first. */
INLINE void prefetch_later(const char *p) { __builtin_prefetch(p, 0, 2); }
