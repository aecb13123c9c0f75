/* Golden vectors (tests/nn/golden/make_golden.py): drawing the inputs that both sides draw, and comparing outputs.
 *
 * A tolerance is a count of roundings times the table's unit roundoff, relative to the value and to the root mean
 * square of its array: a sum of n products errs by n u times the sum of their magnitudes at worst, and by about n u
 * times the size of a typical element when signs are mixed, as they are here. Errors of elements do not know the signs
 * of the projection's weights, so that n of them add up like sqrt(n). */
#ifndef SPAK_TESTS_NN_GOLDEN_H
#define SPAK_TESTS_NN_GOLDEN_H

#include <float.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "nn_test.h"

enum { STREAM_X = 1, STREAM_GAMMA, STREAM_BETA, STREAM_DY, STREAM_W, STREAM_Q, STREAM_K, STREAM_V, STREAM_INDEX };
enum { STREAM_SEGMENT = 10, STREAM_PROBE = 99, STREAM_TOKENS = 1000, STREAM_TARGETS = 1001, MODEL_SEED = 21 };

/* What the table at hand computes with, and the roundings that the case at hand may have taken. */
typedef struct golden {
    const nn_ops *ops;
    double unit, roundings, terms; /* terms: the size of what cancels, where that is above the result's */
    double worst;                  /* the largest error so far, over its tolerance */
} golden;

__attribute__((unused)) static golden golden_of(const nn_ops *ops) {
    return (golden){.ops = ops, .unit = ops->elem == sizeof(float) ? FLT_EPSILON / 2 : DBL_EPSILON / 2};
}

/* Whole numbers below `below`, drawn as the script's whole(). */
__attribute__((unused)) static void fill_whole(int32_t *x, size_t n, int32_t below, int32_t less, uint64_t stream) {
    for (size_t i = 0; i < n; i++)
        x[i] = (int32_t)((double)spak_philox_uniform(NN_TEST_SEED, stream, i) * below) - less;
}

/* Where the error stands to the tolerance; NaN counts as infinite. */
static double golden_ratio(golden *g, double got, double want, double scale) {
    double apart = fabs(got - want), allowed = g->roundings * g->unit * scale;
    double ratio = apart == 0 ? 0 : allowed > 0 && !isnan(apart) ? apart / allowed : INFINITY;
    if (ratio > g->worst) g->worst = ratio;
    return ratio;
}

/* The largest ratio over size, rms, projection and values of x (n) against what was kept. */
__attribute__((unused)) static double golden_error(golden *g, const double *x, size_t n, const json_t *kept) {
    enum { PIECE = 1024 };
    const json_t *values = json_object_get(kept, "values");
    size_t k = json_array_size(values);
    if (k == 0 || spak_json_int(kept, "n", 0) != (long long)n) return INFINITY;
    double rms = spak_json_num(kept, "rms", NAN), size = rms + g->terms, squares = 0, projection = 0, worst;
    for (size_t from = 0; from < n; from += PIECE) {
        double probe[PIECE];
        size_t len = n - from < PIECE ? n - from : PIECE;
        draw(probe, len, -1, 1, NN_TEST_SEED, STREAM_PROBE, from);
        projection += dot(x + from, probe, len);
        squares += dot(x + from, x + from, len);
    }
    worst = golden_ratio(g, sqrt(squares / (double)n), rms, size);
    worst = nn_worst(worst,
                     golden_ratio(g, projection, spak_json_num(kept, "projection", NAN), 4 * size * sqrt((double)n)));
    for (size_t i = 0; i < k; i++) {
        double want = json_number_value(json_array_get(values, i));
        worst = nn_worst(worst, golden_ratio(g, x[k > 1 ? i * (n - 1) / (k - 1) : 0], want, size + fabs(want)));
    }
    return worst;
}

__attribute__((unused)) static json_t *golden_load(const char *path) {
    json_t *file = NULL;
    spak_error err = {""};
    if (!ok(spak_json_load(path, &file, &err), "%s", path)) printf("# %s\n", err.message);
    uint32_t words[4];
    spak_philox(0x243F6A8813198A2E, 5, (1ull << 32) + 7, words);
    size_t wrong = 0;
    for (size_t i = 0; i < 4; i++)
        wrong += json_integer_value(json_array_get(json_object_get(file, "philox"), i)) != words[i];
    is_int(wrong, 0, "both sides draw the same words");
    return file;
}

#endif
