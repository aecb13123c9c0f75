#define VARIANT mma_sync_tt
#define MMA_SYNC
#define TILE_M       64
#define TILE_N       64
#define TILE_K       32
#define STAGES       3
#define WARPS_M      4
#define WARPS_N      1
#define ALIGNED      1
#define TRANS_A      1
#define TRANS_B      1
#define SPLIT        3
#define EPI_BIAS     1
#define EPI_RESIDUAL 1
#include "emulate/matmul_variant.h"
