#define VARIANT mma_sync_nn
#define MMA_SYNC
#define TILE_M  64
#define TILE_N  64
#define TILE_K  32
#define STAGES  3
#define WARPS_M 2
#define WARPS_N 2
#define ALIGNED 1
#define GROUP   2
#include "emulate/matmul_variant.h"
