/* Micro-kernels for AVX2 with FMA: 8 floats a vector, 16 registers. */
#include "matmul/matmul.h"

#ifdef __AVX2__
#include "matmul/micro_rows.h"

#include <immintrin.h>

#include "matmul/micro_pack.h"

enum { VLEN = 8 };
typedef __m256 vec;
#define v_zero()       _mm256_setzero_ps()
#define v_load(p)      _mm256_load_ps(p)
#define v_loadu(p)     _mm256_loadu_ps(p)
#define v_storeu(p, v) _mm256_storeu_ps((p), (v))
#define v_set1(x)      _mm256_set1_ps(x)
#define v_fma(x, y, z) _mm256_fmadd_ps((x), (y), (z))
#define v_add(x, y)    _mm256_add_ps((x), (y))

#define MR      6
#define NV      2
#define NAME(x) tile_6x16_##x
#include "matmul/micro_tile.h"

#define MR      4
#define NV      3
#define NAME(x) tile_4x24_##x
#include "matmul/micro_tile.h"

#define MR      12
#define NV      1
#define NAME(x) tile_12x8_##x
#include "matmul/micro_tile.h"

#define MR      8
#define NV      1
#define NAME(x) tile_8x8_##x
#include "matmul/micro_tile.h"

static const matmul_tile tiles[] = {
    {"6x16", 6, 16, tile_6x16_micro},
    {"4x24", 4, 24, tile_4x24_micro},
    {"12x8", 12, 8, tile_12x8_micro},
    {"8x8", 8, 8, tile_8x8_micro},
};
_Static_assert(sizeof tiles / sizeof *tiles <= MATMUL_MOST_TILES,
               "config.c lists the tiles by name");

const matmul_isa_kernels matmul_kernels_avx2 = {
    tiles, sizeof tiles / sizeof *tiles, pack_copy, pack_transpose};
#else
const matmul_isa_kernels
    matmul_kernels_avx2; /* another architecture: no tiles */
#endif
