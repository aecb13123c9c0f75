/* The study of the floor says what it is known to say: minus infinity gives NaN where a tile is masked, -1e20 does not,
 * but is minus infinity itself in f16. */
#include "../../tap.h"
#include "base/alloc.h"
#include "fmha/fmha.h"

static json_t *run(const char *options_text, spak_error *err) {
    json_t *options = options_text ? json_loads(options_text, 0, NULL) : NULL, *result = NULL;
    if (!fmha_studies[0].run(options, &result, err)) result = NULL;
    json_decref(options);
    return result;
}

static const json_t *find(const json_t *result, const char *dtype, const char *floor, const char *situation) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(result, "rows"), i, row) {
        if (strcmp(spak_json_str(row, "dtype", ""), dtype) == 0 &&
            strcmp(spak_json_str(row, "floor", ""), floor) == 0 &&
            strcmp(spak_json_str(row, "case", ""), situation) == 0)
            return row;
    }
    return NULL;
}

static const char *const dtypes[] = {"f32", "f16", "bf16"}, *const floors[] = {"-inf", "-1e20", "lowest"},
                         *const masked[] = {"all keys masked", "first tile masked"},
                         *const unmasked[] = {"logits up to 1e4", "logits up to 1e-3", "ordinary logits"};
static const double roundoff[] = {0x1p-24, 0x1p-11, 0x1p-8};

static void masks(const json_t *result) {
    for (int t = 0; t < 3; t++)
        for (int f = 0; f < 3; f++)
            for (int m = 0; m < 2; m++) {
                const json_t *row = find(result, dtypes[t], floors[f], masked[m]);
                bool infinite = f == 0 || (f == 1 && t == 1);
                long long nan = spak_json_int(row, "nan", -1);
                ok(row && (infinite ? nan == 50 : nan == 0), "%s, floor %s, %s: %lld of 50 rows are NaN", dtypes[t],
                   floors[f], masked[m], nan);
                ok(json_is_null(json_object_get(row, "floor_value")) == infinite, "the floor %s finite in the type",
                   infinite ? "is not" : "is");
                ok(json_is_null(json_object_get(row, "error")) == infinite, "and the error is %s",
                   infinite ? "no number" : "a number");
            }
}

/* Unit roundoffs of O, which is at most 1. Each of the 48 additions to either sum rounds a partial sum, which is half
 * of the whole on average: 48 for both. A weight and its product with a value are rounded too. */
enum { ROUNDINGS = 48 + 2 };

static void numbers(const json_t *result) {
    for (int t = 0; t < 3; t++)
        for (int f = 0; f < 3; f++)
            for (int u = 0; u < 3; u++) {
                const json_t *row = find(result, dtypes[t], floors[f], unmasked[u]);
                double error = spak_json_num(row, "error", INFINITY);
                ok(spak_json_int(row, "nan", -1) == 0 && spak_json_int(row, "inf", -1) == 0 && error > 0 &&
                       error < ROUNDINGS * roundoff[t],
                   "%s, floor %s, %s: numbers, off by %.2g at most", dtypes[t], floors[f], unmasked[u], error);
            }
}

/* Where masked scores hold the floor itself there is no NaN, and a row without keys is not 0. */
static void floor_is_no_mask(const json_t *result) {
    const json_t *row = find(result, "f32", "-1e20", "all keys at the floor");
    /* the mean of 48 values from -1 to 1 is 1/12 or so: the largest of 50 is more */
    ok(spak_json_int(row, "nan", -1) == 0 && spak_json_num(row, "error", 0) > 1.0 / 12,
       "a row whose scores all are the floor gives the mean of the values: off by %.2g",
       spak_json_num(row, "error", 0));
    row = find(result, "f32", "-1e20", "first tile at the floor");
    ok(spak_json_num(row, "error", 1) < ROUNDINGS * roundoff[0], "real keys afterwards wipe it out");
}

int main(void) {
    spak_json_init();
    spak_error err = {""};
    json_t *result = run("{\"cases\": 50, \"seed\": 3}", &err), *again = run("{\"cases\": 50, \"seed\": 3}", &err),
           *other = run("{\"cases\": 50, \"seed\": 4}", &err), *defaults = run(NULL, &err);
    is_int(json_array_size(json_object_get(result, "rows")), 3 * 3 * 7, "a row for each type, floor and case");
    masks(result);
    numbers(result);
    floor_is_no_mask(result);
    ok(json_equal(result, again) && !json_equal(result, other), "the seed decides");
    is_int(spak_json_int(defaults, "cases", 0), 100, "a hundred cases unless told otherwise");
    ok(!run("{\"case\": 1}", &err), "an unknown member is refused: %s", err.message);
    ok(!run("{\"cases\": 0}", &err), "and no cases: %s", err.message);
    spak_alloc_fail_after(3);
    json_t *none = run(NULL, &err);
    spak_alloc_fail_after(-1);
    ok(!none, "without memory it says so: %s", err.message);
    json_decref(result), json_decref(again), json_decref(other), json_decref(defaults), json_decref(none);
    return done_testing();
}
