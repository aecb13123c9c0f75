#define VARIANT unfused_32_causal
#define UNFUSED
#define HEAD_DIM 32
#define CAUSAL   1
#define TILE_M   64
#define TILE_N   64
#define V_STAGES 2
#include "emulate/fmha_variant.h"
