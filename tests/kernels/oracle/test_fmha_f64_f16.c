/* The same in f16. */
#define TYPE_F16 1
#include "test_fmha_f64.c"
