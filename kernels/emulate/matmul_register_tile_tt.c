#define VARIANT register_tile_tt
#define REGISTER_TILE
#define TILE_M  64
#define TILE_N  32
#define TILE_K  8
#define TM      8
#define TN      4
#define ALIGNED 1
#define TRANS_A 1
#define TRANS_B 1
#define OUT_F32 1
#include "emulate/matmul_variant.h"
