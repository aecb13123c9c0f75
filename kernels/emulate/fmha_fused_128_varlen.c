#define VARIANT fused_128_varlen
#define FUSED
#define HEAD_DIM 128
#define CAUSAL   1
#define VARLEN   1
#include "emulate/fmha_variant.h"
