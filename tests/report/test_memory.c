/* Every allocation of this part fails once: nothing crashes, nothing leaks (the sanitizers look), nothing passes. */
#include "../tap.h"
#include "base/alloc.h"
#include "help.h"
#include "lua/sandbox.h"

static json_t *table_spec, *values_spec;
static spak_evaluator eval;
static char *chapter;
static size_t passes; /* REPRODUCED verdicts in a ledger that was given in spite of a failed allocation */

static bool do_table(spak_error *err) { return rep_table(&place, table_spec, err); }
static bool do_values(spak_error *err) { return rep_values_write(&place, values_spec, err); }

static bool do_numbers(spak_error *err) {
    rep_problems problems = {0};
    bool good = rep_check_numbers("x.md", chapter, strlen(chapter), &problems, NULL, err);
    if (good && problems.count != 1) good = spak_fail(err, "%zu problems", problems.count);
    rep_problems_free(&problems);
    return good;
}

static bool do_ledger(spak_error *err) {
    json_t *ledger = NULL;
    bool good = rep_ledger(&place, in(root, "dsl/claims.dsl"), &eval, false, &ledger, err);
    passes += good && spak_json_int(json_object_get(ledger, "counts"), "REPRODUCED", 0) > 0;
    good = good && json_array_size(json_object_get(ledger, "errors")) == 0 && rep_ledger_write(&place, ledger, err);
    json_decref(ledger);
    return good;
}

static void each_failure(const char *what, bool (*run)(spak_error *)) {
    long n = 0;
    bool good = false, told = true;
    for (; !good && n < 20000; n++) {
        spak_error err = {0};
        spak_alloc_fail_after(n);
        good = run(&err);
        spak_alloc_fail_after(-1);
        told = told && (good || run != do_table || err.message[0]);
    }
    ok(good && told, "%s: fails at each of its %ld allocations, then succeeds", what, n - 1);
}

int main(void) {
    make_place("memory");
    make_trace("step", "here", 3, NULL); /* a run that never ended: no claim may pass on it */
    spak_error err = {0};
    make_values("here", 0.9, &err);
    table_spec = json(
        "{\"name\":\"step\",\"caption\":\"c\",\"columns\":[{\"header\":\"a\"},{\"header\":\"b\"}],"
        "\"rows\":[[\"x\",{\"value\":0.014,\"ref\":\"trace:step/here#1\"}]]}");
    values_spec = json("{\"name\":\"step\",\"values\":{\"ratio\":{\"value\":0.9,\"refs\":[\"trace:step/here#1\"]}}}");
    chapter = get("tests/report/fixtures/chapters/01-step.md");
    chapter[strlen(chapter) - 2] = '7';
    use("tests/report/fixtures/dsl/claims.dsl", "dsl/claims.dsl");
    lua_box *box = NULL;
    if (!lua_box_new(NULL, &box, &err)) printf("Bail out! %s\n", err.message), exit(1);
    eval = lua_box_evaluator(box);
    each_failure("a table", do_table);
    each_failure("values", do_values);
    each_failure("the check on numbers", do_numbers);
    each_failure("the ledger", do_ledger);
    is_int(passes, 0, "and no claim passed on a run that never ended");
    lua_box_free(box);
    json_decref(table_spec);
    json_decref(values_spec);
    free(chapter);
    remove_place();
    return done_testing();
}
