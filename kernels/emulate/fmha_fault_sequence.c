/* A fault: all sequences begin at the first row. */
#define VARIANT fault_sequence
#define FUSED
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   32
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    2
#define VARLEN   1
#define WARP_M   (TILE_M / WARPS)
#define SPAK_EMULATE
#include "fmha/gpu/tile_mma.cuh"
#define rows_of(tensor, at, b, h, first) rows_of(tensor, at, b, h, 0 * (first))
#include "emulate/fmha_variant.h"
