/* tiled_sum_within_bound: the matrix units' sums, simulated.
 *
 * A unit multiplies 16 pairs exactly, aligns the products and the sum so far to
 * the largest of them, cuts what lies below 2^-23 of it, adds, and cuts again:
 * it never rounds to nearest, so its errors have one sign and add up. The
 * simulation does that for one element of C, slice by slice and step by step as
 * the kernels do, and holds the result against double precision:
 *
 *   |sum - exact| <= k u / (1 - k u) |A| |B|,  u = 2^-22
 *
 * which is the oracle's bound (oracle/matmul_f64.cu derives it). */
#include <math.h>
#include <string.h>

#include "matmul/gpu/invariants.h"
#include "matmul/gpu/walk.h"

enum { STEP = 16, TILE_K = 64, CASES = 400, MOST_K = 4097 };

/* A 16-bit number: bf16 keeps 8 bits of the fraction's 24, f16 keeps 11. */
static double to_16_bits(double x, int bits) {
    int exponent;
    double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, bits)), exponent - bits);
}

static double cut(double x, int exponent) { /* below 2^(exponent - 23) */
    return ldexp(trunc(ldexp(x, 23 - exponent)), exponent - 23);
}

static int exponent_of(double x) {
    int exponent = -1000;
    if (x != 0) frexp(x, &exponent);
    return exponent;
}

static double add_step(double sum, const double *a, const double *b, int n) {
    int largest = exponent_of(sum);
    for (int i = 0; i < n; i++)
        largest = (int)fmax(largest, exponent_of(a[i] * b[i]));
    double total = cut(sum, largest);
    for (int i = 0; i < n; i++) total += cut(a[i] * b[i], largest);
    return cut(total, exponent_of(total));
}

static double sum_tiles(const matmul_gpu_check *check, const double *a,
                        const double *b, int k, int bits, int split) {
    int tiles = matmul_tiles(k, TILE_K);
    float all = 0;
    if (check->fault == MATMUL_GPU_LAST_STEP_LEFT_OUT) k = k / STEP * STEP;
    for (int s = 0; s < split; s++) {
        int first = matmul_slice_begin(s, tiles, split) * TILE_K,
            end = matmul_slice_begin(s + 1, tiles, split) * TILE_K;
        double sum = 0;
        for (int at = first; at < end && at < k; at += STEP) {
            sum = add_step(sum, a + at, b + at, k - at < STEP ? k - at : STEP);
            if (check->fault == MATMUL_GPU_SUMS_IN_16_BITS)
                sum = to_16_bits(sum, bits);
        }
        all += (float)sum;
    }
    return all;
}

bool matmul_gpu_check_bound(matmul_gpu_check *check, spak_error *err) {
    static const int lengths[] = {1, 13, 16, 64, 127, 257, 768, 1000, MOST_K};
    static double a[MOST_K], b[MOST_K];
    for (int i = 0; i < CASES && !check->counterexample; i++, check->cases++) {
        int k = lengths[i % 9], bits = i % 2 ? 8 : 11;
        int tiles = matmul_tiles(k, TILE_K), split = 1 + i / 9 % 4;
        double exact = 0, magnitude = 0;
        bool normal = i / 18 % 2;
        for (int p = 0; p < k; p++) {
            uint64_t at = (uint64_t)(i * MOST_K + p);
            double x = spak_philox_normal(check->seed, 80, at),
                   y = spak_philox_uniform(check->seed, 81, at);
            a[p] = to_16_bits(normal ? x : fabs(x), bits);
            b[p] = to_16_bits(normal ? 2 * y - 1 : y + 0.5, bits);
            exact += a[p] * b[p];
            magnitude += fabs(a[p] * b[p]);
        }
        if (split > tiles) split = tiles;
        double u = k * 0x1p-22, bound = u / (1 - u) * magnitude;
        double sum = sum_tiles(check, a, b, k, bits, split);
        if (!(fabs(sum - exact) <= bound))
            matmul_gpu_counter(check,
                               "k = %d, %d slice(s): %.9g, exactly %.9g within "
                               "%.3g",
                               k, split, sum, exact, bound);
    }
    return check->counterexample ||
           matmul_gpu_emulate(check, MATMUL_GPU_BOUND, err);
}
