/* The ledger: each verdict from the evidence that calls for it, and no pass from anything less. */
#include "../tap.h"
#include "help.h"
#include "lua/sandbox.h"

static spak_evaluator eval;

static json_t *ledger_of(bool archived_only) {
    json_t *ledger = NULL;
    spak_error err = {0};
    if (!rep_ledger(&place, in(root, "dsl/claims.dsl"), &eval, archived_only, &ledger, &err))
        printf("# no ledger: %s\n", err.message);
    return ledger;
}

static const json_t *row_of(const json_t *ledger, const char *id, size_t r) {
    size_t i;
    json_t *claim;
    json_array_foreach(json_object_get(ledger, "claims"), i, claim) {
        if (!strcmp(spak_json_str(claim, "id", ""), id)) return json_array_get(json_object_get(claim, "rows"), r);
    }
    return NULL;
}

/* T1's row for the CPU comes after its contradiction with T2. */
static void reads(const char *verdict, const char *machine, const char *reason, const char *what) {
    json_t *ledger = ledger_of(false);
    const json_t *row = row_of(ledger, "T1", 1);
    is_str(spak_json_str(row, "verdict", ""), verdict, "%s: %s", what, verdict);
    is_str(spak_json_str(row, "machine", "-"), machine, "evidence from '%s'", machine);
    if (!ok(strstr(spak_json_str(row, "reason", ""), reason) != NULL, "reason: %s", *reason ? reason : "none"))
        printf("# %s\n", spak_json_str(row, "reason", ""));
    json_decref(ledger);
}

static void test_verdicts(void) {
    spak_error err = {0};
    reads("NOT EVALUATED", "", "the experiment has not been run", "without evidence");
    make_trace("step", "here", 3, "complete");
    ok(make_values("here", 0.9, &err), "evidence made here %s", err.message);
    reads("REPRODUCED", "here", "", "it holds");
    make_values("here", 0.5, &err);
    reads("DIFFERS", "here", "does not hold: `v.ratio >= published_value`", "it does not hold, and the row says what");

    make_trace("step", "old-machine", 3, "complete");
    make_values("old-machine", 0.8, &err);
    reads("DIFFERS", "here", "", "beside archived evidence, what was made here counts");
    json_t *ledger = ledger_of(false);
    const json_t *other = json_array_get(json_object_get(row_of(ledger, "T1", 1), "others"), 0);
    is_str(spak_json_str(other, "verdict", ""), "REPRODUCED", "and the archive's other verdict stands beside it");
    json_decref(ledger);
    ledger = ledger_of(true);
    is_str(spak_json_str(row_of(ledger, "T1", 1), "machine", ""), "old-machine", "archived evidence alone, when asked");
    json_decref(ledger);
    unlink(in(out, "values/step.json"));
    reads("REPRODUCED", "old-machine", "", "archived evidence alone");
}

static void test_bad_evidence(void) {
    spak_error err = {0};
    make_values("here", 0.9, &err);
    put(in(root, "kernels/ladder.c"), "int changed;\n");
    reads("STALE", "here", "kernels/ladder.c", "an input that changed");
    put(in(root, "kernels/ladder.c"), "int ladder;\n");
    make_trace("step", "here", 4, "complete");
    reads("NOT EVALUATED", "here", "not those of this trace", "values older than their trace");
    make_values("here", 0.9, &err);
    reads("REPRODUCED", "here", "", "and newer");
    make_trace("step", "here", 4, NULL);
    make_values("here", 0.9, &err);
    reads("NOT EVALUATED", "here", "did not finish", "a run that did not end");
    make_trace("step", "here", 4, "interrupted");
    make_values("here", 0.9, &err);
    reads("NOT EVALUATED", "here", "without status complete", "a run that ended otherwise");
    make_trace("step", "here", 4, "inputs_changed");
    make_values("here", 0.9, &err);
    reads("STALE", "here", "inputs changed while the run went on", "inputs that changed during the run");

    make_trace("step", "here", 4, "complete");
    make_values("here", 0.9, &err);
    char *text = get(in(out, "traces/step.jsonl")), *bad = with(text, "11.5", "91.5");
    put(in(out, "traces/step.jsonl"), bad);
    reads("NOT EVALUATED", "here", "step.jsonl", "a damaged trace");
    unlink(in(out, "traces/step.jsonl"));
    reads("NOT EVALUATED", "here", "there is no trace", "a trace that is gone");
    put(in(out, "traces/step.jsonl"), text);
    free(bad);
    free(text);
    text = get(in(out, "values/step.json"));
    bad = with(text, "step/here#1", "step/here#9");
    put(in(out, "values/step.json"), bad);
    reads("NOT EVALUATED", "here", "there is no such one", "a value whose record does not exist");
    put(in(out, "values/step.json"), text);
    free(bad);
    free(text);
    reads("REPRODUCED", "here", "", "and all well again");
}

/* With `from` replaced by `to` in the claims file: an error that holds `want`, and no pass for T1. */
static void faulty(const char *from, const char *to, const char *want) {
    char *text = get("tests/report/fixtures/dsl/claims.dsl"), *bad = with(text, from, to);
    put(in(root, "dsl/claims.dsl"), bad);
    json_t *ledger = ledger_of(false);
    const char *error = json_string_value(json_array_get(json_object_get(ledger, "errors"), 0));
    if (!ok(error && strstr(error, "dsl/claims.dsl:") && strstr(error, want), "an error: %s", want))
        printf("# %s\n", error ? error : "(none)");
    ok(strcmp(spak_json_str(row_of(ledger, "T1", 1), "verdict", ""), "REPRODUCED") != 0, "and no pass");
    json_decref(ledger);
    put(in(root, "dsl/claims.dsl"), text);
    free(text);
    free(bad);
}

static void test_expressions(void) {
    faulty("v.ratio >= published_value and doubled == 1.5", "v.rati >= 0.1", "the experiment has no value 'rati'");
    faulty("v.ratio >= published_value and doubled == 1.5", "v.absent ~= 3", "the experiment has no value 'absent'");
    faulty("v.ratio >= published_value and doubled == 1.5", "v.ratio", "neither true nor false");
    faulty("v.ratio >= published_value and doubled == 1.5", "v.ratio >= unknown", "unknown");
    faulty("v.ratio >= published_value and doubled == 1.5", "v.ratio >=", "claims.dsl:");
    faulty("v.ratio * 100", "0 / 0", "NaN");
    faulty("v.ratio * 100", "'90'", "gives no finite number");
    faulty("holds: `v.ratio >= published_value and doubled == 1.5`", "", "has an experiment but no condition");
    faulty("holds: `v.ratio", "undecided: \"why\"\n        holds: `v.ratio", "not both");
    faulty("show: \"%.1f%% of the peer\"", "show: \"%s\"", "exactly one");
    faulty("show: \"%.1f%% of the peer\"", "shows: \"%.1f\"", "an evaluation has scope");
}

/* A record behind two values of a claim: the claim names it once. */
static void test_refs(void) {
    spak_error err = {0};
    make_values("here", 0.9, &err);
    char *text = get("tests/report/fixtures/dsl/claims.dsl"), *both = with(text, "v.ratio * 100", "v.ratio + v.steps");
    put(in(root, "dsl/claims.dsl"), both);
    json_t *ledger = ledger_of(false);
    spak_str printed = {0};
    const json_t *refs = json_object_get(row_of(ledger, "T1", 1), "refs");
    ok(json_array_size(refs) == 3 && rep_ledger_print(ledger, "T1", false, &printed, &err),
       "a record of two values stands once");
    const char *first = strstr(spak_str_text(&printed), "trace:step/here#1");
    ok(first && !strstr(first + 1, "trace:step/here#1"), "and is printed once");
    put(in(root, "dsl/claims.dsl"), text);
    spak_str_free(&printed);
    json_decref(ledger);
    free(text);
    free(both);
}

static void broken(const char *from, const char *to, const char *want) {
    char *text = get("tests/report/fixtures/dsl/claims.dsl"), *bad = with(text, from, to);
    json_t *ledger = NULL;
    spak_error err = {0};
    put(in(root, "dsl/claims.dsl"), bad);
    bool good = rep_ledger(&place, in(root, "dsl/claims.dsl"), &eval, false, &ledger, &err);
    if (!ok(!good && strstr(err.message, want), "no ledger: %s", want)) printf("# %s\n", err.message);
    json_decref(ledger);
    put(in(root, "dsl/claims.dsl"), text);
    free(text);
    free(bad);
}

/* A value that a run may lack: NOT EVALUATED with the reason and no error; one that is there changes nothing. */
static void test_needs(void) {
    static const char *const lists[] = {"holds: `v.ratio", "needs: [absent]\n        holds: `v.ratio",
                                        "needs: [ratio]\n        holds: `v.ratio",
                                        "needs: [absent]\n        without: \"one core\"\n        holds: `v.ratio"};
    static const char *const verdicts[] = {"REPRODUCED", "NOT EVALUATED", "REPRODUCED", "NOT EVALUATED"};
    static const char *const reasons[] = {"", "no value absent", "", "no value absent: one core"};
    for (int i = 0; i < 4; i++) {
        char *text = get("tests/report/fixtures/dsl/claims.dsl"), *changed = with(text, lists[0], lists[i]);
        put(in(root, "dsl/claims.dsl"), changed);
        reads(verdicts[i], "here", reasons[i], lists[i]);
        json_t *ledger = ledger_of(false);
        is_int(json_array_size(json_object_get(ledger, "errors")), 0, "and no error");
        json_decref(ledger);
        put(in(root, "dsl/claims.dsl"), text);
        free(text);
        free(changed);
    }
}

/* A number that decides nothing is shown with the reason, and is no verdict. */
static void test_undecided(void) {
    char *text = get("tests/report/fixtures/dsl/claims.dsl"),
         *open = with(text, "holds: `v.ratio >= published_value and doubled == 1.5`", "undecided: \"half of it\""),
         *bad = with(open, "v.ratio * 100", "v.absent");
    put(in(root, "dsl/claims.dsl"), open);
    reads("NOT EVALUATED", "here", "half of it", "undecided");
    json_t *ledger = ledger_of(false);
    is_str(spak_json_str(row_of(ledger, "T1", 1), "text", ""), "90.0% of the peer", "its number is shown");
    is_int(json_array_size(json_object_get(ledger, "errors")), 0, "and no error");
    json_decref(ledger);
    put(in(root, "dsl/claims.dsl"), bad);
    ledger = ledger_of(false);
    const char *error = json_string_value(json_array_get(json_object_get(ledger, "errors"), 0));
    ok(error && strstr(error, "no value 'absent'"), "one that is not there is an error");
    json_decref(ledger);
    put(in(root, "dsl/claims.dsl"), text);
    free(text);
    free(open);
    free(bad);
}

static void test_output(void) {
    spak_error err = {0};
    make_trace("step", "here", 3, "complete");
    make_values("here", 0.9, &err);
    json_t *ledger = ledger_of(false);
    is_int(json_array_size(json_object_get(ledger, "errors")), 0, "no errors");
    const json_t *counts = json_object_get(ledger, "counts");
    is_int(spak_json_int(counts, "INCONSISTENT", 0), 3, "three contradictions are found: T1 with T2, T2 with T1, T4");
    ok(strstr(spak_json_str(row_of(ledger, "T4", 0), "reason", ""), "implies 9.437e+06"), "T4's is computed");
    is_str(spak_json_str(row_of(ledger, "T3", 0), "verdict", ""), "NOT EVALUATED", "what adds up is no contradiction");
    is_str(spak_json_str(row_of(ledger, "T5", 0), "verdict", ""), "DIFFERS", "T5 differs");
    is_str(spak_json_str(row_of(ledger, "T1", 2), "verdict", ""), "NOT EVALUATED", "no experiment, no verdict");
    is_str(spak_json_str(row_of(ledger, "T1", 1), "text", ""), "90.0% of the peer", "the number is shown as asked");
    ok(rep_ledger_write(&place, ledger, &err), "written %s", err.message);
    ok(same_file(in(out, "verdicts.md"), "tests/report/fixtures/golden/verdicts.md"), "verdicts.md");
    spak_str text = {0};
    ok(rep_ledger_print(ledger, NULL, false, &text, &err), "printed");
    put(in(out, "summary.txt"), spak_str_text(&text));
    ok(same_file(in(out, "summary.txt"), "tests/report/fixtures/golden/summary.txt"), "the summary");
    ok(!strchr(spak_str_text(&text), '\033'), "has no colour when it goes to a file");
    spak_str_clear(&text);
    ok(rep_ledger_print(ledger, "T1", true, &text, &err) && strstr(text.data, "\033[32mREPRODUCED (here)") &&
           strstr(text.data, "trace:step/here#1"),
       "and on a terminal it does; one claim shows its records");
    ok(!rep_ledger_print(ledger, "T9", false, &text, &err) && strstr(err.message, "no claim 'T9'"), "an unknown claim");
    spak_str_free(&text);

    put(in(root, "README.md"), "# x\n<!-- claims:begin -->\nold\n<!-- claims:end -->\nrest\n");
    ok(!rep_ledger_readme(ledger, in(root, "README.md"), false, &err), "README takes archived evidence only");
    json_decref(ledger);
    ledger = ledger_of(true);
    ok(!rep_ledger_readme(ledger, in(root, "README.md"), true, &err) && strstr(err.message, "out of date"),
       "an old table is found");
    ok(rep_ledger_readme(ledger, in(root, "README.md"), false, &err), "written %s", err.message);
    ok(rep_ledger_readme(ledger, in(root, "README.md"), true, &err), "and then up to date");
    ok(same_file(in(root, "README.md"), "tests/report/fixtures/golden/readme.md"), "the README's table");
    put(in(root, "README.md"), "# no markers\n");
    ok(!rep_ledger_readme(ledger, in(root, "README.md"), false, &err) && strstr(err.message, "claims:begin"),
       "a README without markers");
    json_decref(ledger);
}

int main(void) {
    make_place("ledger");
    lua_box *box = NULL;
    spak_error err = {0};
    if (!lua_box_new(NULL, &box, &err)) printf("Bail out! %s\n", err.message), exit(1);
    eval = lua_box_evaluator(box);
    use("tests/report/fixtures/dsl/claims.dsl", "dsl/claims.dsl");
    test_verdicts();
    test_bad_evidence();
    test_expressions();
    test_refs();
    test_needs();
    test_undecided();
    broken("claim T2 {", "claim T1 {", "claim T1 stands here twice (first in line 1)");
    broken("source: \"Another document\"", "", "needs title, source and published");
    broken("published_value: 0.12", "published_value: \"0.12", "claims.dsl:");
    broken("claim T1 {", "claim {", "a claim without a name");
    test_output();
    lua_box_free(box);
    remove_place();
    return done_testing();
}
