#define VARIANT naive_tt
#define NAIVE
#define TRANS_A  1
#define TRANS_B  1
#define OUT_F32  1
#define TYPE_F16 1
#include "emulate/matmul_variant.h"
