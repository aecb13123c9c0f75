/* A fault: the last slice ends a tile early. */
#define VARIANT fault_slice
#define DECODE
#define HEAD_DIM 64
#define CAUSAL   1
#define TILE_M   16
#define TILE_N   32
#define K_STAGES 2
#define V_STAGES 2
#define WARPS    2
#define SPAK_EMULATE
#include "fmha/gpu/walk.h"
#define fmha_slice_begin(slice, tiles, n) \
    (fmha_slice_begin(slice, tiles, n) - ((slice) == (n)))
#include "emulate/fmha_variant.h"
