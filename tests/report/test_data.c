/* Data sets as evidence: a trace counts while its data are the manifest's, and what was made on a stand-in says so
 * wherever it is shown. */
#include "../tap.h"

#include "base/alloc.h"
#include "help.h"
#include "lua/sandbox.h"
#include "report/internal.h"

#define WHOLE "1111111111111111111111111111111111111111111111111111111111111111"
#define OWN   "2222222222222222222222222222222222222222222222222222222222222222"
#define OTHER "3333333333333333333333333333333333333333333333333333333333333333"

static spak_evaluator eval;

static void put_manifest(const char *name, const char *whole, const char *own) {
    char text[1024];
    snprintf(
        text, sizeof text,
        "dataset %s {\n  file: \"names.txt\"\n  bytes: 17\n  sha256: \"%s\"\n  url: \"https://example.org/n\"\n"
        "  license: \"MIT\"\n  holds: \"names\"\n  builtin: \"data/builtin/names.txt\"\n  builtin_sha256: \"%s\"\n}\n",
        name, whole, own);
    put(in(root, "data/MANIFEST.dsl"), text);
}

/* A complete trace for the machine that read `names` with this hash, and its values. */
static void make_evidence(const char *machine, const char *origin, const char *hash) {
    spak_error err = {0};
    json_decref(trace_data);
    trace_data = json_pack("[{s:s, s:s*, s:s, s:i}]", "name", "names", "sha256", hash, "origin", origin, "bytes", 17);
    make_trace("step", machine, 3, "complete");
    ok(make_values(machine, 0.9, &err), "values, data from the %s %s", origin, err.message);
}

/* T1's row for the CPU reads LABEL, for this reason; the ledger is left in *ledger. */
static void reads(const char *label, const char *reason, const char *what) {
    json_t *ledger = NULL;
    spak_error err = {0};
    spak_str text = {0};
    ok(rep_ledger(&place, in(root, "dsl/claims.dsl"), &eval, false, &ledger, &err) &&
           rep_ledger_write(&place, ledger, &err),
       "%s: a ledger %s", what, err.message);
    const json_t *claim = json_array_get(json_object_get(ledger, "claims"), 0);
    const json_t *row = json_array_get(json_object_get(claim, "rows"), 1);
    rep_verdict_label(row, &text);
    is_str(spak_str_text(&text), label, "%s: %s", what, label);
    if (!ok(strstr(spak_json_str(row, "reason", ""), reason) != NULL, "%s: reason '%s'", what, reason))
        printf("# %s\n", spak_json_str(row, "reason", ""));
    spak_str_free(&text);
    json_decref(ledger);
}

static bool file_has(const char *path, const char *text) {
    char *content = get(path);
    bool has = strstr(content, text) != NULL;
    free(content);
    return has;
}

/* A number on a stand-in that decides nothing says what it was measured on, too. */
static void test_undecided(void) {
    spak_str text = {0};
    json_t *row = json_pack("{s:s, s:s, s:[s]}", "verdict", "NOT EVALUATED", "machine", "here", "stand_ins", "names");
    rep_verdict_label(row, &text);
    is_str(spak_str_text(&text), "NOT EVALUATED (on a stand-in for names)", "undecided, on the stand-in");
    spak_str_free(&text);
    json_decref(row);
}

/* The page of a chapter with a number of that run begins with a warning; that of one without does not. */
static void chapters_show(bool expected) {
    static const char banner[] =
        "<p class=\"warn stand-in\">The numbers of the run step come from the stand-in for the "
        "data set names,";
    char *files[] = {strdup(in(root, "chapters/with.md")), strdup(in(root, "chapters/without.md"))};
    rep_problems problems = {0};
    rep_weave_options options = {.partial = true};
    spak_error err = {0};
    put(files[0], "# With\n\nIt is {{value step.ratio}}.\n");
    put(files[1], "# Without\n\nIt is prose.\n");
    ok(rep_weave(&place, files, 2, &options, &problems, NULL, &err), "two chapters %s %s", err.message,
       spak_str_text(&problems.text));
    ok(file_has(in(out, "book/with.html"), banner) == expected, "%s on top of the chapter",
       expected ? "a stand-in shows" : "the data set itself needs no remark");
    ok(!file_has(in(out, "book/without.html"), "stand-in"), "and not where none of its numbers stands");
    rep_problems_free(&problems);
    free(files[0]);
    free(files[1]);
}

/* How the values file, a cited number, the trace's page and the status speak of the trace made here. */
static void shows_stand_in(bool expected) {
    rep_traces traces = {&place, NULL, 0};
    rep_trace *trace = NULL;
    spak_error err = {0};
    spak_str cited = {0}, status = {0};
    json_t *refs = json("[\"trace:step/here#1\"]");
    const char *what = expected ? "a stand-in shows" : "the data set itself needs no remark";
    ok(file_has(in(out, "values/step.json"), "\"stand_ins\":[\"names\"]") == expected, "%s in the values", what);
    ok(rep_traces_get(&traces, "step", "here", &trace, &err) && rep_trace_page(&place, trace, "", &err),
       "the trace's page %s", err.message);
    ok(file_has(in(out, "book/trace-step.html"), "Made on a stand-in, which is not the data set: <code>names</code>") ==
           expected,
       "%s on its page", what);
    ok(rep_cite(&traces, "0.9", refs, REP_CITE_HTML, &cited, &err) &&
           (strstr(spak_str_text(&cited), "(on a stand-in)") != NULL) == expected,
       "%s at a number", what);
    ok(rep_status(&place, &status, &err) &&
           (strstr(spak_str_text(&status), "unchanged; on a stand-in for names") != NULL) == expected,
       "%s in the status", what);
    chapters_show(expected);
    json_decref(refs);
    spak_str_free(&cited);
    spak_str_free(&status);
    rep_traces_free(&traces);
}

static void test_origin(void) {
    put_manifest("names", WHOLE, OWN);
    make_evidence("here", "mirror", WHOLE);
    reads("REPRODUCED (here)", "", "on the data set");
    shows_stand_in(false);
    make_evidence("here", "builtin", OWN);
    reads("REPRODUCED (here, on a stand-in for names)", "", "on the stand-in");
    shows_stand_in(true);
    ok(file_has(in(out, "verdicts.md"), "REPRODUCED (here, on a stand-in for names) |"), "the table says so");
    make_evidence("old-machine", "cache", WHOLE);
    reads("REPRODUCED (here, on a stand-in for names)", "", "with an archived trace on the data set");
    ok(file_has(in(out, "verdicts.md"), "stand-in for names); REPRODUCED (archived, old-machine) |"),
       "which stands beside it, though the verdict is the same");
    unlink(in(root, "data/traces/old-machine/step.jsonl"));
    unlink(in(out, "values/old-machine/step.json"));
}

static void test_stale(void) {
    make_evidence("here", "cache", OTHER);
    reads("STALE", "changed since the run: data set names", "another content than the manifest's");
    make_evidence("here", "cache", WHOLE);
    put_manifest("names", OTHER, OWN);
    reads("STALE", "data set names", "a manifest that has changed");
    put_manifest("letters", WHOLE, OWN);
    reads("STALE", "data set names", "a manifest without that data set");
    put(in(root, "data/MANIFEST.dsl"), "dataset names {");
    reads("STALE", "data set names", "a manifest that is broken");
    unlink(in(root, "data/MANIFEST.dsl"));
    reads("STALE", "data set names", "no manifest");
    put_manifest("names", WHOLE, OWN);
    make_evidence("here", "builtin", OTHER);
    reads("STALE", "data set names", "an older stand-in");
    make_evidence("here", "cache", NULL);
    reads("NOT EVALUATED", "a data set without name and sha256", "a record without a hash");
    make_evidence("here", "cache", WHOLE);
    reads("REPRODUCED (here)", "", "all as it should be");
}

/* A memory that runs out never turns a stand-in, or data that are stale, into good evidence. */
static void test_memory(void) {
    long n = 0, wrong = 0;
    make_evidence("here", "builtin", OWN);
    for (bool good = false; !good && n < 5000; n++) {
        rep_traces traces = {&place, NULL, 0};
        rep_trace *trace = NULL;
        spak_error err = {0};
        spak_alloc_fail_after(n);
        bool got = rep_traces_get(&traces, "step", "here", &trace, &err);
        spak_alloc_fail_after(-1);
        good = got && trace->complete && !trace->why && !json_array_size(trace->stale);
        wrong += good && json_array_size(trace->stand_ins) != 1;
        wrong += !got && !err.message[0];
        rep_traces_free(&traces);
    }
    ok(n > 20 && n < 5000, "each of %ld allocations fails once", n - 1);
    is_int(wrong, 0, "and the stand-in is never passed over");
}

int main(void) {
    make_place("data");
    use("tests/report/fixtures/dsl/claims.dsl", "dsl/claims.dsl");
    use("src/report/web/page.html", "src/report/web/page.html");
    use("src/report/web/chapter.html", "src/report/web/chapter.html");
    use("src/report/web/style.css", "src/report/web/style.css");
    spak_error err = {0};
    lua_box *box = NULL;
    if (!lua_box_new(NULL, &box, &err)) printf("Bail out! %s\n", err.message), exit(1);
    eval = lua_box_evaluator(box);
    test_undecided();
    test_origin();
    test_stale();
    test_memory();
    json_decref(trace_data);
    lua_box_free(box);
    remove_place();
    return done_testing();
}
