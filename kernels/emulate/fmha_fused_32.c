#define VARIANT fused_32
#define FUSED
#define HEAD_DIM 32
#define TILE_M   64
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 3
#include "emulate/fmha_variant.h"
