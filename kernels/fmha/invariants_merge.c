/* online_merge_is_associative and rescaled_equals_two_pass. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/invariants.h"

enum { WIDTH = FMHA_PARTIAL_WIDTH, MOST_KEYS = 96, LONGEST = 2049 };
#define FLOOR (-(double)FLT_MAX)

/* The arithmetic under test: a double that is rounded to float after each
 * operation is what float arithmetic gives. */
static double rounded(double x, bool in_float) {
    return in_float ? (double)(float)x : x;
}

//> online_merge
/* A state (max, sum, acc) is what some keys tell of a query: the largest score,
 * the sum of exp(score - max), and the sum of exp(score - max) value. To merge
 * two, bring the sums of both to the common maximum. No key at all is (FLOOR,
 * 0, 0): with a finite floor two empty states give exp(0) = 1 times 0, where
 * -inf - -inf would be NaN. */
fmha_partial fmha_merge(fmha_partial a, fmha_partial b, bool in_float) {
    fmha_partial c = {.max = fmax(a.max, b.max)};
    double wa = rounded(exp(rounded(a.max - c.max, in_float)), in_float),
           wb = rounded(exp(rounded(b.max - c.max, in_float)), in_float);
    c.sum =
        rounded(rounded(a.sum * wa, in_float) + rounded(b.sum * wb, in_float),
                in_float);
    for (int d = 0; d < WIDTH; d++)
        c.acc[d] = rounded(
            rounded(a.acc[d] * wa, in_float) + rounded(b.acc[d] * wb, in_float),
            in_float);
    return c;
}

/* States are merged two at a time, neighbours or not, until one is left: any
 * tree over any tiles in any order. */
static fmha_partial merge_at_random(fmha_merge_fn *merge, fmha_partial *states,
                                    size_t n, uint64_t seed, bool in_float) {
    for (uint64_t step = 0; n > 1; step++) {
        uint32_t word[4];
        spak_philox(seed, 50, step, word);
        size_t i = word[0] % n, j = (i + 1 + word[1] % (n - 1)) % n;
        fmha_partial both = merge(states[i], states[j], in_float);
        states[i < j ? i : j] = both;
        states[i < j ? j : i] = states[--n];
    }
    return states[0];
}

/* Whatever the tree, acc / sum is within the bound of the definition. */
static bool merges_to_same(fmha_merge_fn *merge, const double *want,
                           const double *bound, const fmha_partial *leaves,
                           size_t n, uint64_t seed, bool in_float) {
    fmha_partial copy[MOST_KEYS];
    for (uint64_t tree = 0; tree < 8; tree++) {
        memcpy(copy, leaves, n * sizeof *copy);
        fmha_partial all =
            merge_at_random(merge, copy, n, seed + tree, in_float);
        for (int d = 0; d < WIDTH; d++)
            if (!(fabs(all.acc[d] / all.sum - want[d]) <= bound[d]))
                return false;
    }
    return true;
}
//< online_merge

/* Leaf j holds key j: its score is the maximum, its weight exp(0). */
static void draw_leaves(fmha_partial *leaves, size_t n, double spread,
                        bool in_float, uint64_t seed, uint64_t stream) {
    for (size_t j = 0; j < n; j++) {
        double score = spread * (double)spak_philox_normal(seed, stream, j);
        leaves[j] = (fmha_partial){.max = rounded(score, in_float), .sum = 1};
        for (size_t d = 0; d < WIDTH; d++)
            leaves[j].acc[d] =
                (double)spak_philox_normal(seed, stream + 1, j * WIDTH + d);
    }
}

/* The definition in double, and the bound of oracle.c with the roundings of a
 * tree: at most n merges on the way of a key, each one rounding of the
 * difference, one of exp, one product and one sum. */
static void define(const fmha_partial *leaves, size_t n, bool in_float,
                   double want[WIDTH], double bound[WIDTH]) {
    double u = in_float ? 0x1p-24 : 0x1p-53, max = FLOOR, sum = 0, spread = 0;
    double grown[MOST_KEYS], p[MOST_KEYS],
        phi = (4 * (double)n + 2) * u / (1 - (4 * (double)n + 2) * u);
    for (size_t j = 0; j < n; j++) max = fmax(max, leaves[j].max);
    for (size_t j = 0; j < n; j++) sum += p[j] = exp(leaves[j].max - max);
    for (size_t j = 0; j < n; j++) {
        p[j] /= sum;
        grown[j] = exp((max - leaves[j].max) * u + 2 * (double)n * u);
        spread += p[j] * grown[j];
    }
    for (int d = 0; d < WIDTH; d++) {
        want[d] = bound[d] = 0;
        for (size_t j = 0; j < n; j++) {
            double g = grown[j] * spread * (1 + phi) - 1;
            want[d] += p[j] * leaves[j].acc[d];
            /* and what double itself adds to the definition */
            bound[d] +=
                p[j] * fabs(leaves[j].acc[d]) * (g + (double)(n + 8) * 0x1p-53);
        }
    }
}

static bool same_bits(const fmha_partial *a, const fmha_partial *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* The merge itself: any tree, both sides, and the empty state, which changes
 * nothing. */
static bool check_trees(fmha_check *check) {
    static const double spreads[] = {1, 30, 1e4, 1e-3};
    static const size_t counts[] = {96, 2, 1, 31, 3, 64};
    const fmha_partial empty = {.max = FLOOR};
    fmha_merge_fn *merge = check->subject->merge;
    if (!merge) merge = fmha_merge;
    for (uint64_t i = 0; i < 48; i++) {
        fmha_partial leaves[MOST_KEYS];
        double want[WIDTH], bound[WIDTH];
        bool in_float = i % 2;
        size_t n = counts[i % 6];
        draw_leaves(leaves, n, spreads[i / 2 % 4], in_float, check->seed,
                    2 * i);
        define(leaves, n, in_float, want, bound);
        check->tried++;
        if (!merges_to_same(merge, want, bound, leaves, n, check->seed + i,
                            in_float))
            return fmha_found(check, NULL, NULL, 0,
                              "%zu keys merge to another result in another "
                              "order, in %s",
                              n, in_float ? "float" : "double");
        fmha_partial ab = merge(leaves[0], leaves[n - 1], in_float),
                     ba = merge(leaves[n - 1], leaves[0], in_float),
                     a = merge(leaves[0], empty, in_float),
                     none = merge(empty, empty, in_float);
        if (!same_bits(&ab, &ba) || !same_bits(&a, &leaves[0]) ||
            !same_bits(&none, &empty))
            return fmha_found(check, NULL, NULL, 0,
                              "the merge is not commutative, or the empty "
                              "state changes the other");
    }
    return true;
}

/* The kernels: whatever the tiles, each result is within the bound of the
 * oracle, and so within twice the bound of each other. No mask and no groups,
 * which are other invariants'. */
static bool check_tiles(fmha_check *check, fmha_shape shape, int index) {
    fmha_case c;
    shape.causal = false;
    shape.heads = shape.kv_heads;
    if (!fmha_case_new(&c, &shape, FMHA_F32, FMHA_PADDED, false,
                       check->seed + (uint64_t)index, check->err))
        return false;
    bool good = fmha_case_oracle(&c, check->err);
    for (int t = 0; t < 2 * FMHA_NUM_TILES && good; t++) {
        fmha_config config = fmha_config_at(check, t, FMHA_F32);
        good = fmha_try_forward(check, &c, &config, 1 + t % 3);
    }
    fmha_case_free(&c);
    return good;
}

bool fmha_check_merge(fmha_check *check) {
    const fmha_shape shapes[] = {{1, 2, 2, 67, 131, 32, false, 0},
                                 {2, 1, 1, 33, 200, 64, false, 0}};
    for (int i = 0; i < 2 + check->cases; i++)
        if (!check_tiles(
                check,
                i < 2 ? shapes[i] : fmha_random_shape(check->seed, i, 1 << 18),
                i))
            return false;
    return check_trees(check);
}

/* --- rescaled_equals_two_pass --- */

typedef enum pattern {
    ASCENDING, /* every tile brings a new maximum: all earlier sums shrink */
    DESCENDING,
    CONSTANT,
    ALTERNATING,
    DOMINANT_FIRST,
    DOMINANT_MIDDLE,
    DOMINANT_LAST,
    PATTERNS,
    RANDOM = PATTERNS
} pattern;
static const char *const pattern_names[PATTERNS + 1] = {
    "ascending",      "descending",      "constant",      "alternating",
    "dominant first", "dominant middle", "dominant last", "random"};

static void draw_scores(double *s, size_t n, pattern p, double size,
                        uint64_t seed) {
    size_t dominant = p == DOMINANT_FIRST    ? 0
                      : p == DOMINANT_MIDDLE ? n / 2
                                             : n - 1;
    for (size_t j = 0; j < n; j++) {
        double at = n > 1 ? 2 * (double)j / (double)(n - 1) - 1 : 0;
        s[j] = p == ASCENDING     ? size * at
               : p == DESCENDING  ? -size * at
               : p == CONSTANT    ? size
               : p == ALTERNATING ? (j % 2 ? size : -size)
               : p == RANDOM
                   ? size * (2 * (double)spak_philox_uniform(seed, 400, j) - 1)
               : j == dominant ? size
                               : 0;
    }
}

/* Two passes in float over one row, as a reader would write them. */
static void two_pass(const fmha_case *c, const float *q, const float *k,
                     const float *v, float *s, float *o) {
    size_t n = c->shape.kv_len, dim = c->shape.head_dim;
    float scale = (float)fmha_scale(&c->shape), max = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        s[j] = 0;
        for (size_t d = 0; d < dim; d++) s[j] += q[d] * k[j * dim + d];
        s[j] *= scale;
        max = fmaxf(max, s[j]);
    }
    memset(o, 0, dim * sizeof *o);
    for (size_t j = 0; j < n; j++) {
        float p = expf(s[j] - max);
        sum += p;
        for (size_t d = 0; d < dim; d++) o[d] += p * v[j * dim + d];
    }
    for (size_t d = 0; d < dim; d++) o[d] /= sum;
}

/* Every row of the case against the two passes; two float results within the
 * bound of the oracle each are within twice the bound of each other. */
static bool equals_two_pass(fmha_check *check, fmha_case *c,
                            const fmha_config *config, pattern p, double size) {
    const fmha_shape *s = &c->shape;
    float scores[LONGEST], o[64];
    for (size_t row = 0; row < c->rows; row++) {
        size_t h = row / s->q_len % s->heads, b = row / s->q_len / s->heads,
               kv = h / (s->heads / s->kv_heads), dim = s->head_dim;
        two_pass(c, c->q + row * dim,
                 fmha_dense_row(c->k, s->kv_heads, s->kv_len, dim, b, kv, 0),
                 fmha_dense_row(c->v, s->kv_heads, s->kv_len, dim, b, kv, 0),
                 scores, o);
        for (size_t d = 0; d < dim; d++)
            if (!(fabs((double)c->o[row * dim + d] - (double)o[d]) <=
                  2 * c->bound_o[row * dim + d]))
                return fmha_found(
                    check, c, config, 1,
                    "scores %s, up to %g: row %zu gives %.9g at %zu, two "
                    "passes %.9g",
                    pattern_names[p], size, row, (double)c->o[row * dim + d], d,
                    (double)o[d]);
    }
    return true;
}

/* The first `patterns` rows of sizes times patterns, then `random` draws. */
static bool check_scores(fmha_check *check, const fmha_shape *shape,
                         int patterns, int random) {
    static const double sizes[] = {6, 1e4, 60, -1e4, 0.1};
    double scores[LONGEST];
    fmha_case c;
    if (!fmha_case_new(&c, shape, FMHA_F32, FMHA_DENSE, false, check->seed,
                       check->err))
        return false;
    bool good = true;
    for (int i = 0; i < patterns + random && good; i++) {
        double size = sizes[i < patterns ? i / PATTERNS : i % 5];
        pattern p = i < patterns ? (pattern)(i % PATTERNS) : RANDOM;
        draw_scores(scores, shape->kv_len, p, size, check->seed + (uint64_t)i);
        fmha_case_set_scores(&c, scores);
        fmha_config config = fmha_config_at(check, i % 4, FMHA_F32);
        config.variant = FMHA_FUSED;
        good = fmha_case_oracle(&c, check->err) &&
               fmha_try_forward(check, &c, &config, 1) &&
               equals_two_pass(check, &c, &config, p, size);
    }
    fmha_case_free(&c);
    return good;
}

/* The long rows are there for what begins late: tile 8 of the widest. */
bool fmha_check_two_pass(fmha_check *check) {
    const fmha_shape rows = {1, 2, 1, 18, 200, 16, false, 0},
                     long_rows = {1, 1, 1, 5, LONGEST, 8, false, 0};
    return check_scores(check, &rows, 5 * PATTERNS, check->cases) &&
           check_scores(check, &long_rows, PATTERNS, 0);
}
