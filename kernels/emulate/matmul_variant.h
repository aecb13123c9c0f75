/* One variant of a kernel in matmul/gpu as an emulate_matmul. The file that
 * includes it has defined VARIANT, which kernel (NAIVE, ...), and the kernel's
 * own macros. */
#include "emulate/matmul.h"

#define SPAK_EMULATE
#if defined(NAIVE)
#include "matmul/gpu/naive.cu"
#define BLOCK_DIM \
    { BLOCK_M, BLOCK_N, 1 }
#define C_TILE BLOCK_M, BLOCK_N
#elif defined(COALESCED)
#include "matmul/gpu/coalesced.cu"
#define BLOCK_DIM \
    { BLOCK_N, BLOCK_M, 1 }
#define C_TILE BLOCK_M, BLOCK_N
#elif defined(SHARED_TILE)
#include "matmul/gpu/shared_tile.cu"
#define BLOCK_DIM \
    { TILE, TILE, 1 }
#define C_TILE TILE, TILE
#elif defined(REGISTER_TILE)
#include "matmul/gpu/register_tile.cu"
#define BLOCK_DIM \
    { THREADS, 1, 1 }
#define C_TILE TILE_M, TILE_N
#elif defined(MMA_SYNC)
#include "matmul/gpu/mma_sync.cu"
#define BLOCK_DIM \
    { THREADS, 1, 1 }
#define C_TILE     TILE_M, TILE_N
#define SMEM_BYTES (STAGES * STAGE_BYTES)
#endif
#ifndef SMEM_BYTES
#define SMEM_BYTES 0
#endif
#ifndef SPLIT
#define SPLIT 1
#endif

static void run(const void *params) { matmul(*(const matmul_params *)params); }

#define GLUE_(a, b) a##b
#define GLUE(a, b)  GLUE_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)

extern const emulate_matmul GLUE(emulate_, VARIANT);
const emulate_matmul GLUE(emulate_, VARIANT) = {
    TEXT(VARIANT), run,      C_TILE,   BLOCK_DIM,    SMEM_BYTES,
    SPLIT,         ALIGNED,  TRANS_A,  TRANS_B,      TYPE_F16,
    OUT_F32,       EPI_BIAS, EPI_GELU, EPI_RESIDUAL, EPI_BETA,
};
