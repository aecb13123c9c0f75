#define VARIANT decode_128_varlen
#define DECODE
#define HEAD_DIM 128
#define CAUSAL   1
#define VARLEN   1
#define TILE_M   16
#define TILE_N   32
#define K_STAGES 3
#define V_STAGES 3
#include "emulate/fmha_variant.h"
