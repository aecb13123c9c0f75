/* A 16-bit float is a sign, an exponent and a fraction: F16 has 5 and 10 bits, BF16 8 and 7. Both are widened and
 * narrowed by the same two functions, from and to double, so that a double is rounded once and not twice (through
 * float). The trick of `narrow`: dividing by the unit in the last place makes rounding to the type the rounding to an
 * integer, subnormals included, and the integer's carry into the exponent is the right one. */
#include "nn/dtype.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors are little-endian");

static const struct {
    const char *name;
    unsigned bytes;
} DTYPES[NN_NUM_DTYPES] = {
    [NN_F64] = {"F64", 8},   [NN_F32] = {"F32", 4},         [NN_F16] = {"F16", 2},         [NN_BF16] = {"BF16", 2},
    [NN_I64] = {"I64", 8},   [NN_I32] = {"I32", 4},         [NN_I16] = {"I16", 2},         [NN_I8] = {"I8", 1},
    [NN_U64] = {"U64", 8},   [NN_U32] = {"U32", 4},         [NN_U16] = {"U16", 2},         [NN_U8] = {"U8", 1},
    [NN_BOOL] = {"BOOL", 1}, [NN_F8_E4M3] = {"F8_E4M3", 1}, [NN_F8_E5M2] = {"F8_E5M2", 1},
};

const char *nn_dtype_name(nn_dtype dtype) { return DTYPES[dtype].name; }
size_t nn_dtype_bytes(nn_dtype dtype) { return DTYPES[dtype].bytes; }

typedef struct small_float {
    int fraction_bits, exponent_bits;
} small_float;
static const small_float F16 = {10, 5}, BF16 = {7, 8};

static int least_exponent(small_float f) { return 2 - (1 << (f.exponent_bits - 1)); } /* of a normal number */

static double widen(small_float f, uint16_t bits) {
    int exponents = (1 << f.exponent_bits) - 1;
    int exponent = bits >> f.fraction_bits & exponents, fraction = bits & ((1 << f.fraction_bits) - 1);
    double sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == exponents) return fraction ? (double)NAN : sign * INFINITY;
    int implicit = exponent ? 1 << f.fraction_bits : 0;
    return sign * ldexp(fraction | implicit, least_exponent(f) + (exponent ? exponent - 1 : 0) - f.fraction_bits);
}

static uint16_t narrow(small_float f, double x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0, infinity = (uint16_t)(((1 << f.exponent_bits) - 1) << f.fraction_bits);
    if (isnan(x)) return sign | infinity | (uint16_t)(1 << (f.fraction_bits - 1));
    if (isinf(x)) return sign | infinity;
    int least = least_exponent(f), exponent = x == 0 ? least : ilogb(x);
    if (exponent > -least + 1) return sign | infinity;
    if (exponent < least) exponent = least;
    long units = (long)rint(ldexp(fabs(x), f.fraction_bits - exponent));
    long bits = units + ((long)(exponent - least) << f.fraction_bits); /* the implicit one counts as exponent 1 */
    return sign | (bits >= infinity ? infinity : (uint16_t)bits);
}

static double wide(small_float f, const unsigned char *bytes, size_t i) {
    uint16_t bits;
    memcpy(&bits, bytes + 2 * i, 2);
    return widen(f, bits);
}

static void put(small_float f, unsigned char *bytes, size_t i, double x) {
    uint16_t bits = narrow(f, x);
    memcpy(bytes + 2 * i, &bits, 2);
}

void nn_dtype_to_f64(nn_dtype dtype, const unsigned char *bytes, size_t n, double *to) {
    if (dtype == NN_F64) memcpy(to, bytes, n * sizeof *to);
    for (size_t i = 0; dtype == NN_F32 && i < n; i++) {
        float x;
        memcpy(&x, bytes + 4 * i, 4);
        to[i] = (double)x;
    }
    if (dtype == NN_F16 || dtype == NN_BF16)
        for (size_t i = 0; i < n; i++) to[i] = wide(dtype == NN_F16 ? F16 : BF16, bytes, i);
}

void nn_dtype_from_f64(nn_dtype dtype, const double *from, size_t n, unsigned char *bytes) {
    if (dtype == NN_F64) memcpy(bytes, from, n * sizeof *from);
    for (size_t i = 0; dtype == NN_F32 && i < n; i++) {
        float x = (float)from[i];
        memcpy(bytes + 4 * i, &x, 4);
    }
    if (dtype == NN_F16 || dtype == NN_BF16)
        for (size_t i = 0; i < n; i++) put(dtype == NN_F16 ? F16 : BF16, bytes, i, from[i]);
}
