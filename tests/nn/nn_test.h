/* For the tests of nn: random numbers, and gradients held against central differences. */
#ifndef SPAK_TESTS_NN_TEST_H
#define SPAK_TESTS_NN_TEST_H

#include <float.h>
#include <math.h>

#include "../tap.h"
#include "base/rng.h"
#include "nn/ops.h"
#include "nn/worst.h"

enum { NN_TEST_SEED = 20 };

/* Elements first.. of a stream in [lo, hi), a block of four at a time; first % 4 == 0. */
__attribute__((unused)) static void draw(double *x, size_t n, double lo, double hi, uint64_t seed, uint64_t stream,
                                         size_t first) {
    uint32_t words[4];
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) spak_philox(seed, stream, (first + i) / 4, words);
        x[i] = lo + (hi - lo) * ((double)(words[i % 4] >> 8) * 0x1p-24);
    }
}

/* Uniform in [lo, hi), the same for each name of a stream. */
__attribute__((unused)) static void fill(double *x, size_t n, double lo, double hi, uint64_t stream) {
    draw(x, n, lo, hi, NN_TEST_SEED, stream, 0);
}

__attribute__((unused)) static double dot(const double *a, const double *b, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += a[i] * b[i];
    return total;
}

/* The largest |difference| of the gradient dx (n) of loss() from central differences of the array x (n) that loss()
 * reads, over 1 + the largest |dx|. With a step of h = cbrt(eps) (1 + |x|) the truncation, h^2 f''' / 6, and the
 * roundoff, eps |f| / h, are of one size, about eps^(2/3) = 4e-11 times the derivatives and the sum of a few hundred
 * terms: GRADIENT_TOLERANCE leaves room for these. */
#define GRADIENT_TOLERANCE 1e-7

__attribute__((unused)) static double gradient_error(double (*loss)(void), double *x, const double *dx, size_t n) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double kept = x[i], h = cbrt(DBL_EPSILON) * (1 + fabs(kept));
        x[i] = kept + h;
        double above = loss(), up = x[i];
        x[i] = kept - h;
        double difference = (above - loss()) / (up - x[i]);
        x[i] = kept;
        worst = nn_worst(worst, fabs(difference - dx[i]));
        largest = fmax(largest, fabs(dx[i]));
    }
    return worst / (1 + largest);
}

#define is_gradient(loss, x, dx, n, ...)                                                     \
    do {                                                                                     \
        double error_ = gradient_error(loss, x, dx, n);                                      \
        if (!ok(error_ <= GRADIENT_TOLERANCE, __VA_ARGS__)) printf("# off by %g\n", error_); \
    } while (0)

#endif
