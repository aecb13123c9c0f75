#define VARIANT fused_96_window
#define FUSED
#define HEAD_DIM 96
#define CAUSAL   1
#define WINDOW   1
#define TILE_M   32
#define TILE_N   16
#define K_STAGES 3
#define V_STAGES 1
#define WARPS    2
#include "emulate/fmha_variant.h"
