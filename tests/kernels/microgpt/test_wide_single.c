/* Floats, 16 a vector. */
#define REAL      float
#define LANES     16
#define TOLERANCE 2e-5
#include "wide.h"

int main(void) { return compare_with(MICROGPT_SINGLE); }
