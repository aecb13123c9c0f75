/* Doubles, 8 a vector. */
#define REAL      double
#define LANES     8
#define TOLERANCE 1e-13
#define EXACT
#include "wide.h"

int main(void) { return compare_with(MICROGPT_EXACT); }
