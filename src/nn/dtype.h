/* Numbers of a file to and from those of the program; little-endian, as the format and every machine here has it. */
#ifndef SPAK_NN_DTYPE_H
#define SPAK_NN_DTYPE_H

#include "nn/safetensors.h"

/* n elements of F64, F32, F16 or BF16; `bytes` need no alignment. Narrowing rounds to nearest even, overflows to
 * infinity and keeps a NaN one. */
void nn_dtype_to_f64(nn_dtype dtype, const unsigned char *bytes, size_t n, double *to);
void nn_dtype_from_f64(nn_dtype dtype, const double *from, size_t n, unsigned char *bytes);

#endif
