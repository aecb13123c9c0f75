#define VARIANT unfused_96_varlen
#define UNFUSED
#define HEAD_DIM 96
#define CAUSAL   1
#define WINDOW   1
#define VARLEN   1
#define TILE_M   64
#define TILE_N   32
#define V_STAGES 3
#include "emulate/fmha_variant.h"
