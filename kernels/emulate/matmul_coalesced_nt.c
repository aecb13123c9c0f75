#define VARIANT coalesced_nt
#define COALESCED
#define TRANS_B  1
#define TYPE_F16 1
#include "emulate/matmul_variant.h"
