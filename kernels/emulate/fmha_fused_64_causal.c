#define VARIANT fused_64_causal
#define FUSED
#define HEAD_DIM 64
#define TYPE_F16 1
#define CAUSAL   1
#define TILE_M   64
#define TILE_N   64
#define K_STAGES 1
#define V_STAGES 1
#include "emulate/fmha_variant.h"
