#define VARIANT shared_tile_tt
#define SHARED_TILE
#define TILE    32
#define TRANS_A 1
#define TRANS_B 1
#define OUT_F32 1
#include "emulate/matmul_variant.h"
