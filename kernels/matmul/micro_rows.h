/* Helpers of the micro-kernel template: repetition for the preprocessor, unrolling, prefetching. */
#define TILE_ROWS_4(f)   f(1) f(2) f(3) f(4)
#define TILE_ROWS_6(f)   TILE_ROWS_4(f) f(5) f(6)
#define TILE_ROWS_8(f)   TILE_ROWS_6(f) f(7) f(8)
#define TILE_ROWS_9(f)   TILE_ROWS_8(f) f(9)
#define TILE_ROWS_12(f)  TILE_ROWS_9(f) f(10) f(11) f(12)
#define TILE_ROWS_14(f)  TILE_ROWS_12(f) f(13) f(14)
#define TILE_ROWS_24(f)  TILE_ROWS_14(f) f(15) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24)
#define TILE_ROWS_(n, f) TILE_ROWS_##n(f)
#define TILE_ROWS(n, f)  TILE_ROWS_(n, f)

#define UNROLL        _Pragma("GCC unroll 64")
#define PREFETCH_A(p) __builtin_prefetch((p), 0, 3)
