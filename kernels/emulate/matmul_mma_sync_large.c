#define VARIANT mma_sync_large
#define MMA_SYNC
#define TILE_M  128
#define TILE_N  256
#define TILE_K  64
#define STAGES  4
#define WARPS_M 2
#define WARPS_N 4
#define ALIGNED 1
#include "emulate/matmul_variant.h"
