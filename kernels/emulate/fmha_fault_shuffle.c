/* A fault: a row's lanes that are two apart never meet. */
#define VARIANT fault_shuffle
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
#undef shuffle_xor
#define shuffle_xor(x, mask) emulate_shuffle_xor(x, (mask)*0 + 1)
#include "emulate/fmha_variant.h"
