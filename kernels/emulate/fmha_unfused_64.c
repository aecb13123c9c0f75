#define VARIANT unfused_64
#define UNFUSED
#define HEAD_DIM 64
#define TYPE_F16 1
#include "emulate/fmha_variant.h"
