/* A fault: maxima begin at -infinity, and a row that sees no key takes infinity
 * from infinity. */
#define VARIANT fault_floor
#define FUSED
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   32
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    2
#define WARP_M   (TILE_M / WARPS)
#define SPAK_EMULATE
#include "fmha/gpu/tile_mma.cuh"
#undef FLOOR
#define FLOOR MINUS_INFINITY
#include "emulate/fmha_variant.h"
