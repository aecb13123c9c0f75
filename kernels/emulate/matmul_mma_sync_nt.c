#define VARIANT mma_sync_nt
#define MMA_SYNC
#define TILE_M   64
#define TILE_N   64
#define TILE_K   64
#define STAGES   4
#define WARPS_M  1
#define WARPS_N  4
#define ALIGNED  1
#define TRANS_B  1
#define TYPE_F16 1
#define EPI_BIAS 1
#define EPI_GELU 1
#include "emulate/matmul_variant.h"
