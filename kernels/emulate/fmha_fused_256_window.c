#define VARIANT fused_256_window
#define FUSED
#define HEAD_DIM 256
#define WINDOW   1
#define VARLEN   1
#define TILE_M   32
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    1
#include "emulate/fmha_variant.h"
