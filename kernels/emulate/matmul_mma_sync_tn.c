#define VARIANT mma_sync_tn
#define MMA_SYNC
#define TILE_M   64
#define TILE_N   64
#define TILE_K   32
#define STAGES   2
#define WARPS_M  2
#define WARPS_N  2
#define ALIGNED  1
#define TRANS_A  1
#define OUT_F32  1
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
