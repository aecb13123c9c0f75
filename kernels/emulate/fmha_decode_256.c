#define VARIANT decode_256
#define DECODE
#define HEAD_DIM 256
#include "emulate/fmha_variant.h"
