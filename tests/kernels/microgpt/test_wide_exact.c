/* Doubles, 8 a vector. */
#define REAL      double
#define LANES     8
#define TOLERANCE (2 * MICROGPT_CHAIN * 0x1p-53) /* both sides round */
#define EXACT
#include "wide.h"

int main(void) { return compare_with(MICROGPT_EXACT); }
