#define VARIANT naive_nn
#define NAIVE
#define EPI_BETA 1
#include "emulate/matmul_variant.h"
