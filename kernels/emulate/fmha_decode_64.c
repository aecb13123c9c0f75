#define VARIANT decode_64
#define DECODE
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   32
#define TILE_N   64
#define K_STAGES 4
#define V_STAGES 4
#include "emulate/fmha_variant.h"
