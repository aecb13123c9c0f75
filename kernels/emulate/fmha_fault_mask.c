/* A fault: each query sees a key more than the mask lets it. */
#define VARIANT fault_mask
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
#define band_of(p, s, t) band_of(p, s, (t) + 1)
#include "emulate/fmha_variant.h"
