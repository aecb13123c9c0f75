#define VARIANT mma_sync_edge_nt
#define MMA_SYNC
#define TILE_M   64
#define TILE_N   64
#define TILE_K   32
#define STAGES   3
#define WARPS_M  2
#define WARPS_N  2
#define TRANS_B  1
#define SPLIT    2
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
