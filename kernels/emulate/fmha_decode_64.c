#define VARIANT decode_64
#define DECODE
#define HEAD_DIM 64
#define CAUSAL   1
#include "emulate/fmha_variant.h"
