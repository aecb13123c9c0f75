#define VARIANT mma_sync_default
#define MMA_SYNC
#define ALIGNED 1
#define TRANS_B 1
#include "emulate/matmul_variant.h"
