/* Micro-kernels in GCC's and Clang's vector extensions: four floats a vector,
 * whatever the processor makes of them. */
#include "matmul/matmul.h"
#include "matmul/micro_rows.h"

#include "matmul/micro_pack.h"

/* Where multiply-add is one instruction (64-bit Arm), let the compiler fuse;
 * the strict ISO mode forbids it. */
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

enum { VLEN = 4 };
typedef quad vec;
#define v_zero()       ((vec){0, 0, 0, 0})
#define v_load(p)      quad_load(p)
#define v_loadu(p)     quad_load(p)
#define v_storeu(p, v) quad_store((p), (v))
#define v_set1(x)      ((vec){(x), (x), (x), (x)})
#define v_fma(x, y, z) ((z) + (x) * (y))
#define v_add(x, y)    ((x) + (y))

#define MR      6
#define NV      2
#define NAME(x) tile_6x8_##x
#include "matmul/micro_tile.h"

#define MR      4
#define NV      2
#define NAME(x) tile_4x8_##x
#include "matmul/micro_tile.h"

#define MR      8
#define NV      2
#define NAME(x) tile_8x8_##x
#include "matmul/micro_tile.h"

static const matmul_tile tiles[] = {
#if defined(__aarch64__)
    {"8x8", 8, 8, tile_8x8_micro},
    {"6x8", 6, 8, tile_6x8_micro},
#else
    {"6x8", 6, 8, tile_6x8_micro},
    {"8x8", 8, 8, tile_8x8_micro},
#endif
    {"4x8", 4, 8, tile_4x8_micro},
};
_Static_assert(sizeof tiles / sizeof *tiles <= MATMUL_MOST_TILES,
               "config.c lists the tiles by name");

const matmul_isa_kernels matmul_kernels_portable = {
    tiles, sizeof tiles / sizeof *tiles, pack_copy, pack_transpose};
