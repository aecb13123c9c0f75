#define VARIANT register_tile_nn
#define REGISTER_TILE
#define TILE_M   64
#define TILE_N   64
#define TILE_K   16
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
