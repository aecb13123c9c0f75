/* Micro-kernels for AVX-512: 16 floats a vector, 32 registers. */
#include "matmul/matmul.h"

#ifdef __AVX512F__
#include "matmul/micro_rows.h"

#include <immintrin.h>

#include "matmul/micro_pack.h"

enum { VLEN = 16 };
typedef __m512 vec;
#define v_zero()       _mm512_setzero_ps()
#define v_load(p)      _mm512_load_ps(p)
#define v_loadu(p)     _mm512_loadu_ps(p)
#define v_storeu(p, v) _mm512_storeu_ps((p), (v))
#define v_set1(x)      _mm512_set1_ps(x)
#define v_fma(x, y, z) _mm512_fmadd_ps((x), (y), (z))
#define v_add(x, y)    _mm512_add_ps((x), (y))

#define MR      14
#define NV      2
#define NAME(x) tile_14x32_##x
#include "matmul/micro_tile.h"

#define MR      12
#define NV      2
#define NAME(x) tile_12x32_##x
#include "matmul/micro_tile.h"

#define MR      8
#define NV      3
#define NAME(x) tile_8x48_##x
#include "matmul/micro_tile.h"

#define MR      24
#define NV      1
#define NAME(x) tile_24x16_##x
#include "matmul/micro_tile.h"

static const matmul_tile tiles[] = {
    {"12x32", 12, 32, tile_12x32_micro},
    {"14x32", 14, 32, tile_14x32_micro},
    {"8x48", 8, 48, tile_8x48_micro},
    {"24x16", 24, 16, tile_24x16_micro},
};
_Static_assert(sizeof tiles / sizeof *tiles <= MATMUL_MOST_TILES,
               "config.c lists the tiles by name");

const matmul_isa_kernels matmul_kernels_avx512 = {
    tiles, sizeof tiles / sizeof *tiles, pack_copy, pack_transpose};
#else
const matmul_isa_kernels
    matmul_kernels_avx512; /* another architecture: no tiles */
#endif
