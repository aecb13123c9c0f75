/* A fault: each wait leaves one group too many under way. */
#define VARIANT fault_wait
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
#undef cp_async_wait
#define cp_async_wait(pending) emulate_wait((pending) + 1)
#include "emulate/fmha_variant.h"
