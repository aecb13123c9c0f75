/* The online softmax as the kernels compute it, row by row in 32-bit floats:
 *
 *   most = max(max, scale2 max(s))       scale2 = scale log2(e)
 *   p    = 2^(scale2 s - most)           0 where s is minus infinity: masked
 *   sum  = sum 2^(max - most) + sum of p,   O = O 2^(max - most) + p V
 *
 * from max = -1e20, which is lower than any score that counts and finite, so
 * that 2^(max - most) is no infinity less an infinity. Any number near the
 * largest score serves as max, so it may as well stay until a score lies 2^8
 * above it; or until the sum of a tile's p says that one is too large, 2^32:
 * then the tile is done again as above, and before none is looked for
 * (sm90_packed.cu). The maximum is kept as it was rounded: then what is added
 * in different tiles is relative to the very same number.
 *
 * Held against double precision. With u = 2^-23, n keys and t tiles a float
 * result stays within
 *
 *   |O - O*| <= (2 n + 8 t + 32) u max |v|
 *
 * for a p is off by u relative to the largest one at most (x 2^-x is below one)
 * beside the two roundings of an exponential, each sum rounds n times and each
 * tile rescales once. Slices meet through their LSE, whose rounding is that of
 * their weights: 8 u |LSE| more. Masks and sizes of tiles, slices and their
 * order must not matter. */
#include <math.h>
#include <string.h>

#include "fmha/gpu/invariants.h"

enum { MOST_KEYS = 384, WIDTH = 3, MOST_SLICES = 8, CASES = 400 };

static const float FLOOR = -1e20f, SLACK = 8, GUESS = -1, MOST_SUM = 0x1p32f;
static const double UNIT = 0x1p-23;

typedef struct row {
    int keys;
    float score[MOST_KEYS]; /* -INFINITY: masked */
    float value[MOST_KEYS][WIDTH];
    float scale2;
} row;

typedef struct partial {
    float max, sum, o[WIDTH];
    float score; /* max, before scale2 */
} partial;

/* O before the division, and LSE in units of log base e. */
typedef struct finished {
    float o[WIDTH], lse;
} finished;

static partial begin(const fmha_gpu_check *check) {
    const bool infinite = check->fault == FMHA_GPU_FLOOR_OF_MINUS_INFINITY;
    return (partial){.max = infinite ? -INFINITY : FLOOR, .score = -INFINITY};
}

static void add_tile(const fmha_gpu_check *check, const row *x, int first,
                     int end, float slack, partial *r) {
    float score = -INFINITY, p;
    for (int j = first; j < end; j++) score = fmaxf(score, x->score[j]);
    float most = fmaxf(r->max, score * x->scale2);
    if (most - r->max <= slack) most = r->max;
    const bool exact = check->fault == FMHA_GPU_FACTOR_BEFORE_ROUNDING;
    const float factor =
        exp2f(exact ? fmaf(r->score, x->scale2, -most) : r->max - most);
    r->score = fmaxf(r->score, score);
    r->max = most;
    r->sum *= factor;
    for (int d = 0; d < WIDTH; d++)
        if (check->fault != FMHA_GPU_NOT_RESCALED) r->o[d] *= factor;
    for (int j = first; j < end; j++) {
        p = exp2f(fmaf(x->score[j], x->scale2, -most));
        r->sum += p;
        for (int d = 0; d < WIDTH; d++)
            r->o[d] = fmaf(p, x->value[j][d], r->o[d]);
    }
}

/* A tile relative to the maximum as it is; false: its weights are too large. */
static bool guess_tile(const fmha_gpu_check *check, const row *x, int first,
                       int end, partial *r) {
    const partial before = *r;
    float sum = 0;
    for (int j = first; j < end; j++) {
        const float p = exp2f(fmaf(x->score[j], x->scale2, -r->max));
        sum += p;
        for (int d = 0; d < WIDTH; d++)
            r->o[d] = fmaf(p, x->value[j][d], r->o[d]);
    }
    r->sum += sum;
    if (sum <= MOST_SUM || check->fault == FMHA_GPU_GUESS_NOT_CHECKED)
        return true;
    *r = before;
    return false;
}

static finished finish(const fmha_gpu_check *check, const partial *r) {
    const bool none = r->sum == 0 && check->fault != FMHA_GPU_EMPTY_ROW_DIVIDED;
    finished f = {.lse = none ? -INFINITY
                              : (r->max + log2f(r->sum)) * (float)M_LN2};
    for (int d = 0; d < WIDTH; d++) f.o[d] = none ? 0 : r->o[d] / r->sum;
    return f;
}

/* Tiles of keys first ... end - 1, from the last one down, as masks want it:
 * what they hide then comes first. slack: GUESS: from the second tile on. */
static finished run_tiles(const fmha_gpu_check *check, const row *x, int first,
                          int end, int tile_n, float slack, bool down) {
    partial r = begin(check);
    const int tiles = fmha_tiles(end - first, tile_n);
    for (int i = 0; i < tiles; i++) {
        const int from = first + (down ? tiles - 1 - i : i) * tile_n;
        const int to = fmha_least(from + tile_n, end);
        if (slack != GUESS)
            add_tile(check, x, from, to, slack, &r);
        else if (i == 0 || !guess_tile(check, x, from, to, &r))
            add_tile(check, x, from, to, SLACK, &r);
    }
    return finish(check, &r);
}

/* Decode: slices as their sums' weights say, added in `order`. */
static finished combine(const fmha_gpu_check *check, const finished *part,
                        const int *order, int slices) {
    finished f = {.lse = -INFINITY};
    float most = -INFINITY, sum = 0;
    for (int s = 0; s < slices; s++) most = fmaxf(most, part[s].lse);
    if (most == -INFINITY) return f;
    for (int i = 0; i < slices; i++) {
        const finished *x = &part[order[i]];
        const bool equal = check->fault == FMHA_GPU_SLICES_WEIGHED_EQUALLY;
        const float weight = equal ? 1 : expf(x->lse - most);
        sum += weight;
        for (int d = 0; d < WIDTH; d++) f.o[d] += weight * x->o[d];
    }
    for (int d = 0; d < WIDTH; d++) f.o[d] /= sum;
    f.lse = most + logf(sum);
    return f;
}

static finished run_slices(const fmha_gpu_check *check, const row *x,
                           int tile_n, int slices, const int *order) {
    finished part[MOST_SLICES];
    const int tiles = fmha_tiles(x->keys, tile_n);
    for (int s = 0; s < slices; s++) {
        const int first = fmha_slice_begin(s, tiles, slices) * tile_n,
                  end = fmha_slice_begin(s + 1, tiles, slices) * tile_n;
        part[s] = run_tiles(check, x, first, fmha_least(end, x->keys), tile_n,
                            0, s % 2 == 0);
    }
    return combine(check, part, order, slices);
}

/* --- rows, and what they should give --- */

static void draw_row(fmha_gpu_check *check, row *x, int index) {
    static const float sizes[] = {1, 8, 60, 1e4f, 1e-3f};
    static const int lengths[] = {1, 2, 13, 64, 127, 130, 257, MOST_KEYS};
    const float size = sizes[index % 5];
    x->keys = lengths[fmha_gpu_draw(check, 8)];
    x->scale2 = (index % 3 ? 0.125f : 1.0f) * (float)M_LOG2E;
    for (int j = 0; j < x->keys; j++) {
        const uint64_t at = (uint64_t)index * MOST_KEYS + (uint64_t)j;
        const float ramp = (float)j / (float)x->keys;
        const float s = spak_philox_normal(check->seed, 90, at);
        x->score[j] = index % 4 == 0   ? size * ramp
                      : index % 4 == 1 ? -size * ramp
                      : index % 4 == 2 ? size * s
                                       : 1e4f + s; /* alike, far from 0 */
        for (int d = 0; d < WIDTH; d++)
            x->value[j][d] =
                spak_philox_normal(check->seed, 91 + (uint64_t)d, at);
    }
}

/* Hides the keys outside of begin ... end - 1. */
static void hide(row *x, int first, int end) {
    for (int j = 0; j < x->keys; j++)
        if (j < first || j >= end) x->score[j] = -INFINITY;
}

static bool is_right(fmha_gpu_check *check, const row *x, const finished *f,
                     int tiles, bool sliced, const char *how) {
    double most = -INFINITY, sum = 0, o[WIDTH] = {0}, largest = 0;
    for (int j = 0; j < x->keys; j++)
        most = fmax(most, (double)x->score[j] * (double)x->scale2);
    for (int j = 0; j < x->keys && isfinite(most); j++) {
        const double p = exp2((double)x->score[j] * (double)x->scale2 - most);
        sum += p;
        for (int d = 0; d < WIDTH; d++) {
            o[d] += p * (double)x->value[j][d];
            largest = fmax(largest, fabs((double)x->value[j][d]));
        }
    }
    const double lse = sum > 0 ? (most + log2(sum)) * M_LN2 : -INFINITY;
    const double shift = sliced && sum > 0 ? 8 * fabs(lse) : 0;
    const double bound = (2.0 * x->keys + 8.0 * tiles + 32 + shift) * UNIT;
    const bool same =
        isinf(lse) ? f->lse == (float)lse
                   : fabs((double)f->lse - lse) <= bound + 8 * UNIT * fabs(lse);
    if (!same)
        return fmha_gpu_counter(check, "%d keys, %s: LSE is %.9g, not %.9g",
                                x->keys, how, (double)f->lse, lse);
    for (int d = 0; d < WIDTH; d++) {
        const double want = sum > 0 ? o[d] / sum : 0;
        if (!(fabs((double)f->o[d] - want) <= bound * largest))
            return fmha_gpu_counter(
                check, "%d keys, %s: O is %.9g, not %.9g, within %.3g", x->keys,
                how, (double)f->o[d], want, bound * largest);
    }
    return true;
}

/* All ways of computing one row. */
static bool try_row(fmha_gpu_check *check, const row *x) {
    static const int sizes[] = {16, 48, 64, 80, 128, 176, 512};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int tiles = fmha_tiles(x->keys, sizes[i]);
        int order[MOST_SLICES],
            slices = 1 + (int)(i + check->draws) % MOST_SLICES;
        for (int s = 0; s < MOST_SLICES; s++) order[s] = s;
        if (slices > tiles) slices = tiles;
        const int n = sizes[i], all = x->keys;
        const finished up = run_tiles(check, x, 0, all, n, 0, false),
                       down = run_tiles(check, x, 0, all, n, 0, true),
                       lazy = run_tiles(check, x, 0, all, n, SLACK, true),
                       kept = run_tiles(check, x, 0, all, n, GUESS, true),
                       cut = run_slices(check, x, n, slices, order);
        check->cases += 5;
        if (!is_right(check, x, &up, tiles, false, "tiles upwards") ||
            !is_right(check, x, &down, tiles, false, "tiles downwards") ||
            !is_right(check, x, &lazy, tiles, false, "moving late") ||
            /* An exponent up to 32 + 8 is rounded more coarsely. */
            !is_right(check, x, &kept, tiles + 8, false, "maximum kept") ||
            !is_right(check, x, &cut, tiles + slices, true, "in slices"))
            return false;
    }
    return true;
}

bool fmha_gpu_check_merge(fmha_gpu_check *check, spak_error *err) {
    row x;
    (void)err;
    for (int i = 0; i < CASES; i++) {
        draw_row(check, &x, i);
        if (!try_row(check, &x)) return true;
    }
    return true;
}

/* Bands that begin and end anywhere, also nowhere. */
bool fmha_gpu_check_masked(fmha_gpu_check *check, spak_error *err) {
    row x;
    (void)err;
    for (int i = 0; i < CASES; i++) {
        draw_row(check, &x, i);
        const int first = (int)fmha_gpu_draw(check, (uint32_t)x.keys + 1);
        const int rest = x.keys - first;
        const int count =
            i % 3 ? (int)fmha_gpu_draw(check, (uint32_t)rest + 1) : 0;
        hide(&x, first, first + count);
        if (!try_row(check, &x)) return true;
    }
    return true;
}
