#define VARIANT coalesced_nn
#define COALESCED
#define OUT_F32  1
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
