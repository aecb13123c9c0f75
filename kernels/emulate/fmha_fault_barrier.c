/* A fault: warps do not wait for each other, and read what others have not
 * copied yet. */
#define VARIANT fault_barrier
#define FUSED
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   32
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    2
#define SPAK_EMULATE
#include "ptx/attention_mma.cuh"
#undef __syncthreads
#define __syncthreads emulate_syncwarp
#include "emulate/fmha_variant.h"
