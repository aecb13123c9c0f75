/* A fault: exponentials of the scores themselves. */
#define VARIANT fault_maximum
#define UNFUSED
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   64
#define TILE_N   32
#define V_STAGES 2
#define SPAK_EMULATE
#include "ptx/attention_mma.cuh"
#define fmaf(x, y, z) ((x) * (y) + 0 * (z))
#include "emulate/fmha_variant.h"
