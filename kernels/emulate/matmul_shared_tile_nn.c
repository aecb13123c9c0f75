#define VARIANT shared_tile_nn
#define SHARED_TILE
#define TILE     16
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
