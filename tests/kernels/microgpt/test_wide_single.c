/* Floats, 16 a vector. */
#define REAL      float
#define LANES     16
#define TOLERANCE (2 * MICROGPT_CHAIN * 0x1p-24) /* both sides round */
#include "wide.h"

int main(void) { return compare_with(MICROGPT_SINGLE); }
