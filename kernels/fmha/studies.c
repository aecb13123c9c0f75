/* floor_in_16_bits: what the running maximum should start from.
 *
 * The online recurrence is run with each operation rounded to f32, f16 or bf16,
 * scores and maximum included, on rows where masks and sizes make trouble, and
 * counted: NaN, infinities, the largest error of O against the definition in
 * double. Minus infinity as the start gives inf - inf where a whole tile is
 * masked. A finite floor does not, if it is finite in the type: -1e20 is in f32
 * and bf16, whose exponents have 8 bits, and is -inf in f16, whose largest
 * number is 65504. The lowest finite number of the type always is.
 *
 * A finite floor is no mask: where masked scores hold it instead of -inf, a row
 * without keys has exp(floor - floor) = 1 for each of them, and gives the mean
 * of the values instead of 0. No NaN tells of it; the error does. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "device/trial.h"
#include "fmha/fmha.h"

enum { KEYS = 48, TILE = 8, MOST_CASES = 1000 };

typedef enum situation {
    ALL_MASKED,
    FIRST_TILE_MASKED,
    ALL_AT_FLOOR, /* masked scores hold the floor, not -inf */
    FIRST_TILE_AT_FLOOR,
    LARGE,
    TINY,
    ORDINARY,
    SITUATIONS
} situation;
static const char *const situation_names[SITUATIONS] = {
    "all keys masked",         "first tile masked", "all keys at the floor",
    "first tile at the floor", "logits up to 1e4",  "logits up to 1e-3",
    "ordinary logits"};

enum { MINUS_INFINITY, MINUS_1E20, LOWEST, FLOORS };
static const char *const floor_names[FLOORS] = {"-inf", "-1e20", "lowest"};

static float floor_of(int floor, fmha_dtype dtype) {
    static const float lowest[] = {[FMHA_F32] = -0x1.fffffep127f,
                                   [FMHA_F16] = -65504.0f,
                                   [FMHA_BF16] = -0x1.fep127f};
    return floor == MINUS_INFINITY ? -INFINITY
           : floor == MINUS_1E20   ? fmha_round(-1e20f, dtype)
                                   : lowest[dtype];
}

//> floor
/* One row of scores and one column of V, tile after tile, each operation
 * rounded to the type. Masked keys have scores of -inf. */
static float online_row(const float *s, const float *v, float floor,
                        fmha_dtype dtype) {
    float max = floor, sum = 0, acc = 0;
    for (int j0 = 0; j0 < KEYS; j0 += TILE) {
        float old = max;
        for (int j = j0; j < j0 + TILE; j++) max = s[j] > max ? s[j] : max;
        /* -inf - -inf is NaN, and so is its exp, and all that it meets;
         * floor - floor is 0, and its exp meets sums that are still 0. */
        float keep = fmha_round(expf(fmha_round(old - max, dtype)), dtype);
        sum = fmha_round(sum * keep, dtype);
        acc = fmha_round(acc * keep, dtype);
        for (int j = j0; j < j0 + TILE; j++) {
            float p = fmha_round(expf(fmha_round(s[j] - max, dtype)), dtype);
            sum = fmha_round(sum + p, dtype);
            acc = fmha_round(acc + fmha_round(p * v[j], dtype), dtype);
        }
    }
    return sum == 0 ? 0 : fmha_round(acc / sum, dtype);
}
//< floor

/* Scores and values that the type holds; masked scores are -inf or the floor.
 */
static void draw_row(situation what, float floor, fmha_dtype dtype,
                     uint64_t seed, uint64_t index, float s[KEYS],
                     float v[KEYS]) {
    bool all = what == ALL_MASKED || what == ALL_AT_FLOOR,
         first = what == FIRST_TILE_MASKED || what == FIRST_TILE_AT_FLOOR,
         at_floor = what == ALL_AT_FLOOR || what == FIRST_TILE_AT_FLOOR;
    float size = what == LARGE ? 1e4f : what == TINY ? 1e-3f : 4;
    spak_philox_fill_uniform(s, KEYS, -size, size, seed, 2 * index);
    spak_philox_fill_uniform(v, KEYS, -1, 1, seed, 2 * index + 1);
    for (int j = 0; j < KEYS; j++) {
        s[j] = fmha_round(s[j], dtype);
        v[j] = fmha_round(v[j], dtype);
        if (all || (first && j < TILE)) s[j] = at_floor ? floor : -INFINITY;
    }
}

/* The definition, in double, over the keys that are not masked; 0 for a row
 * without keys. */
static double defined_row(const float *s, const float *v, float floor) {
    double max = -INFINITY, sum = 0, acc = 0;
    for (int j = 0; j < KEYS; j++)
        if (s[j] > floor) max = fmax(max, (double)s[j]);
    for (int j = 0; j < KEYS; j++) {
        if (!(s[j] > floor)) continue;
        double p = exp((double)s[j] - max);
        sum += p;
        acc += p * (double)v[j];
    }
    return sum > 0 ? acc / sum : 0;
}

/* {"dtype", "floor", "floor_value" (null: -inf), "case", "nan", "inf",
 *  "error" of the rows that are numbers; null when none is}. */
static json_t *study_row(fmha_dtype dtype, int floor, situation what,
                         uint64_t seed, int cases) {
    long nans = 0, infs = 0, numbers = 0;
    double worst = 0;
    float start = floor_of(floor, dtype), s[KEYS], v[KEYS];
    for (int i = 0; i < cases; i++) {
        draw_row(what, start, dtype, seed, (uint64_t)i, s, v);
        float o = online_row(s, v, start, dtype);
        nans += isnan(o) != 0;
        infs += isinf(o) != 0;
        if (!isfinite(o)) continue;
        numbers++;
        worst = fmax(worst, fabs((double)o - defined_row(s, v, start)));
    }
    return json_pack(
        "{s:s,s:s,s:o,s:s,s:I,s:I,s:o}", "dtype", fmha_dtype_name(dtype),
        "floor", floor_names[floor], "floor_value",
        isinf(start) ? json_null() : json_real((double)start), "case",
        situation_names[what], "nan", (json_int_t)nans, "inf", (json_int_t)infs,
        "error", numbers ? json_real(worst) : json_null());
}

static bool floor_in_16_bits(const json_t *options, json_t **result,
                             spak_error *err) {
    static const dev_member members[] = {
        {"seed", JSON_INTEGER, 0, 0x1p53, false},
        {"cases", JSON_INTEGER, 1, MOST_CASES, false}};
    if (!dev_members_check("fmha", "options", options, members, 2, err))
        return false;
    uint64_t seed = (uint64_t)spak_json_int(options, "seed", 1);
    int cases = (int)spak_json_int(options, "cases", 100);
    json_t *rows = json_array();
    bool ok = rows != NULL;
    for (int dtype = FMHA_F32; dtype <= FMHA_BF16; dtype++)
        for (int floor = 0; floor < FLOORS; floor++)
            for (int what = 0; what < SITUATIONS && ok; what++) {
                json_t *row = study_row((fmha_dtype)dtype, floor,
                                        (situation)what, seed, cases);
                ok = row && json_array_append_new(rows, row) == 0;
            }
    *result = ok ? json_pack("{s:O,s:i}", "rows", rows, "cases", cases) : NULL;
    json_decref(rows);
    return *result || spak_fail_oom(err);
}

const dev_study fmha_studies[FMHA_NUM_STUDIES] = {
    {"floor_in_16_bits",
     "the online softmax with its running maximum started from minus infinity, "
     "from -1e20 and from the lowest finite number, each operation rounded to "
     "f32, f16 and bf16",
     floor_in_16_bits},
};
