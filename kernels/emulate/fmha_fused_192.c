#define VARIANT fused_192
#define FUSED
#define HEAD_DIM 192
#define TYPE_F16 1
#include "emulate/fmha_variant.h"
