/* A fault: rows are not turned, and ldmatrix meets the same banks. */
#define VARIANT fault_rows
#define FUSED
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   32
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    2
#define PLAIN_ROWS
#include "emulate/fmha_variant.h"
