#define VARIANT decode_32_window
#define DECODE
#define HEAD_DIM 32
#define TYPE_F16 1
#define CAUSAL   1
#define WINDOW   1
#define TILE_M   16
#define TILE_N   64
#define K_STAGES 2
#define V_STAGES 2
#include "emulate/fmha_variant.h"
