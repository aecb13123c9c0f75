/* The largest of many differences, for gates and tests. */
#ifndef SPAK_NN_WORST_H
#define SPAK_NN_WORST_H

#include <math.h>

/* The larger one. A difference that is no number is infinite: fmax() would drop it, and a comparison that lets it in
 * lets the next number replace it. */
static inline double nn_worst(double worst, double off) { return isnan(off) ? INFINITY : fmax(worst, off); }

#endif
