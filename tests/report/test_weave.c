/* The weaver: a small book, woven, and each fault it must refuse. */
#include "../tap.h"
#include "help.h"
#include "lua/sandbox.h"

static char *chapter_path, *paper_path;

static void make_figure_and_table(void) {
    spak_error err = {0};
    put(in(root, "figures/step.gp"), "plot data using 1:2 with lines notitle\n");
    use("figures/style.gp", "figures/style.gp");
    json_t *spec = json(
        "{\"name\":\"step\",\"columns\":[{\"name\":\"x\",\"type\":\"number\"},{\"name\":\"y\",\"type\":"
        "\"number\"}],\"rows\":[[1,2],[2,3.5],[3,1]],\"refs\":[\"trace:step/here#1\"]}");
    ok(rep_plot(&place, spec, NULL, &err), "a figure %s", err.message);
    json_decref(spec);
    spec = json(
        "{\"name\":\"step\",\"caption\":\"Steps\",\"columns\":[{\"header\":\"step\"},{\"header\":\"ratio\","
        "\"align\":\"right\",\"format\":\"%.2f\"}],\"rows\":[[\"naive\",{\"value\":0.014,\"ref\":"
        "\"trace:step/here#1\"}]]}");
    ok(rep_table(&place, spec, &err), "a table %s", err.message);
    json_decref(spec);
}

static void make_verdicts(void) {
    spak_error err = {0};
    lua_box *box = NULL;
    json_t *ledger = NULL;
    if (!lua_box_new(NULL, &box, &err)) printf("Bail out! %s\n", err.message), exit(1);
    spak_evaluator eval = lua_box_evaluator(box);
    ok(rep_ledger(&place, in(root, "dsl/claims.dsl"), &eval, false, &ledger, &err) &&
           rep_ledger_write(&place, ledger, &err),
       "verdicts %s", err.message);
    json_decref(ledger);
    lua_box_free(box);
}

static bool weave(rep_problems *problems, spak_error *err) {
    char *files[] = {chapter_path, paper_path};
    return rep_weave(&place, files, 2, NULL, problems, NULL, err);
}

/* The file with `from` replaced by `to` makes weaving fail with a problem that holds `want`, and writes nothing. */
static void refused(const char *file, const char *from, const char *to, const char *want) {
    char *path = strdup(in(root, file)), *text = get(path), *bad = with(text, from, to);
    rep_problems problems = {0};
    spak_error err = {0};
    put(path, bad);
    unlink(in(out, "book/01-step.html"));
    bool good = weave(&problems, &err);
    if (!ok(!good && strstr(spak_str_text(&problems.text), want), "refused: %s", want))
        printf("# %s# %s\n", spak_str_text(&problems.text), err.message);
    ok(!spak_exists(in(out, "book/01-step.html")), "and nothing was written");
    put(path, text);
    rep_problems_free(&problems);
    free(path);
    free(text);
    free(bad);
}

static void test_faults(void) {
    static const char chapter[] = "chapters/01-step.md", code[] = "kernels/step.c";
    refused(chapter, "step.c#naive", "step.c#naif", "01-step.md:15: unknown region 'kernels/step.c#naif'");
    refused(chapter, "step.c#naive", "gone.c#naive", "unknown region 'kernels/gone.c#naive'");
    refused(chapter, "{{code kernels/step.c#inner}}", "", "kernels/step.c:9: region 'inner' is used by no chapter");
    refused(code, "//< inner", "//< naive", "mis-nested");
    refused(code, "//< naive", "", "region 'naive' is never closed");
    refused(code, "    int sum = 0;",
            "    int sum = 0; /* a line that is far too wide for a page: it goes on and on... */",
            "columns wide, more than 80");
    refused(chapter, "It reaches {{value step.ratio}}", "It reaches 0.9", "01-step.md:21: number '0.9' typed by hand");
    refused(chapter, "It reaches {{value step.ratio}}", "It reaches `0.9`", "code span that is a bare number '`0.9`'");
    refused(chapter, "What a step gives,", "What 3 steps give,", "01-step.md:28: number '3' typed by hand");
    refused(chapter, "{{value step.ratio}} of", "{{value step.ration}} of",
            "01-step.md:21: unknown value 'step.ration'");
    refused(chapter, "{{value step.ratio}} of", "{{value leap.ratio}} of", "unknown value 'leap.ratio'");
    refused(chapter, "{{value step.ratio}} of", "{{value step@moon.ratio}} of", "unknown value 'step@moon.ratio'");
    refused(chapter, "step.ratio %.0f%%", "step.ratio %s", "exactly one of");
    refused(chapter, "step.ratio %.0f%%", "step.ratio 42 %.0f%%", "number typed by hand in the format");
    refused(chapter, "{{figure step", "{{figure leap", "01-step.md:28: unknown figure 'leap'");
    refused(chapter, "{{figure step \"What a step gives, {{value step.ratio %.1f}} at the end\"}}", "{{figure step}}",
            "figure without caption 'step'");
    refused(chapter, "{{table step}}", "{{table leap}}", "unknown table 'leap'");
    refused(chapter, "{{table step}}", "{{table ../step}}", "unknown table '../step'");
    refused(chapter, "{{verdict T1}}", "{{verdict T9}}", "unknown claim 'T9'");
    refused(chapter, "{{verdict T1.cpu}}", "{{verdict T1.tpu}}", "unknown evaluation 'T1.tpu'");
    refused(chapter, "T1.published_value", "T1.published_valeu", "unknown field 'T1.published_valeu'");
    refused(chapter, "{{verdict T1}}", "{{verdikt T1}}", "unknown directive 'verdikt'");
    refused(chapter, "{{verdict T1.cpu}}", "{{verdict T1.cpu", "directive without '}}'");
    refused("paper/paper.md", "The ratio is {{value step.ratio}}", "The ratio is $0.9$",
            "paper.md:10: formula that is");
}

static void test_all_problems_at_once(void) {
    char *path = strdup(in(root, "paper/paper.md")), *text = get(path);
    rep_problems problems = {0};
    spak_error err = {0};
    put(path, "# Result 12\n\n{{value a.b}} and {{verdict Q}} and 7\n\n{{code x.c#y}}\n");
    ok(!weave(&problems, &err), "a file full of faults is refused");
    is_int(problems.count, 5, "and all of them are listed");
    ok(strstr(err.message, "5 problem(s)"), "and counted");
    put(path, text);
    rep_problems_free(&problems);
    free(path);
    free(text);
}

static void test_stale(void) {
    spak_error err = {0};
    rep_problems problems = {0};
    put(in(root, "kernels/ladder.c"), "int changed;\n");
    ok(weave(&problems, &err), "stale values are woven %s", err.message);
    char *page = get(in(out, "book/01-step.html"));
    ok(strstr(page, "value stale"), "and marked");
    free(page);
    put(in(root, "kernels/ladder.c"), "int ladder;\n");
    make_trace("step", "here", 5, "complete");
    ok(!weave(&problems, &err) && strstr(err.message, "the verdict on T1 is older than the trace"),
       "verdicts of a trace that has changed are refused: %s", err.message);
    make_verdicts();
    ok(!weave(&problems, &err) && strstr(spak_str_text(&problems.text), "the trace has changed since"),
       "and so are values");
    rep_problems_free(&problems);
    make_trace("step", "here", 3, "complete");
    make_values("here", 0.9, &err);
    make_verdicts();
}

/* A number that the run here has none of is an archived machine's, and said to be. */
static void test_elsewhere(void) {
    spak_error err = {0};
    rep_problems problems = {0};
    char *text = get(chapter_path), *asks = with(text, "{{value step.ratio}} of", "{{value step.units}} of");
    make_trace("step", "moon", 3, "complete");
    json_t *spec = json(
        "{\"name\":\"step\",\"machine\":\"moon\",\"values\":{\"units\":{\"value\":4,\"format\":\"%d\",\"refs\":"
        "[\"trace:step/moon#1\"]},\"ratio\":{\"value\":7,\"refs\":[\"trace:step/moon#1\"]}}}");
    ok(rep_values_write(&place, spec, &err), "values of an archived trace %s", err.message);
    json_decref(spec);
    put(chapter_path, asks);
    ok(weave(&problems, &err), "a number that only they have is woven %s", err.message);
    char *woven = get(in(out, "book/src/01-step.md"));
    ok(strstr(woven, "trace-step-moon.html#r1") || strstr(woven, "trace:step/moon#1"), "with its record");
    ok(strstr(woven, " (archived, moon)"), "and its machine");
    free(woven);
    put(chapter_path, text);
    ok(weave(&problems, &err), "what the run here has %s", err.message);
    woven = get(in(out, "book/src/01-step.md"));
    ok(!strstr(woven, "moon"), "is taken from it");
    free(woven);
    rep_problems_free(&problems);
    free(text);
    free(asks);
}

static void test_missing_pandoc(void) {
    spak_error err = {0};
    rep_problems problems = {0};
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    ok(!weave(&problems, &err) && strstr(err.message, "apt-get install pandoc"), "pandoc is not installed: %s",
       err.message);
    setenv("PATH", path, 1);
    free(path);
    rep_problems_free(&problems);
}

static void test_pages(void) {
    char *page = get(in(out, "book/01-step.html"));
    ok(strstr(page, "<div class=\"pair\">") && strstr(page, "<div class=\"prose\">"), "prose beside code");
    ok(strstr(page, "href=\"trace-step.html#r1\""), "a value leads to its record");
    ok(strstr(page, "href=\"trace-step.html#r1\" class=\"value\" title=\"trace:step/here#1\">1200</a>") &&
           strstr(page, "href=\"trace-step.html#r2\" class=\"ref\"") && strstr(page, "aria-label=\"record 3\"") &&
           strstr(page, "href=\"trace-step.html#r3\" class=\"ref\""),
       "and one made from several to each of them");
    ok(strstr(page, "<math"), "formulae are MathML");
    ok(strstr(page, "class=\"sourceCode c\""), "code is highlighted");
    ok(strstr(page, "<figcaption"), "the figure has its caption");
    ok(strstr(page, "<code>{{value step.ratio}}</code>"), "a directive in code is left alone");
    ok(!strstr(page, "$body$") && strstr(page, "<title>A step</title>"), "in its frame");
    free(page);
    page = get(in(out, "book/trace-step.html"));
    ok(strstr(page, "<tr id=\"r1\">") && strstr(page, "<tr id=\"r4\">"), "the trace's page has every record");
    ok(strstr(page, "2026-11-21T07:00:00Z"), "with its time");
    free(page);
    page = get(in(out, "book/index.html"));
    ok(strstr(page, "href=\"01-step.html\"") && strstr(page, "href=\"paper.html\"") &&
           strstr(page, "href=\"claims.html\"") && strstr(page, "href=\"trace-step.html\""),
       "the contents lead everywhere");
    free(page);
    page = get(in(out, "book/claims.html"));
    ok(strstr(page, "id=\"claim-T1\"") && strstr(page, "badge reproduced"), "the claims page");
    free(page);
    page = get(in(out, "paper/paper.tex"));
    ok(strstr(page, "\\documentclass") && strstr(page, "\\spaktrace{0.900}{trace:step/here\\#1}") &&
           strstr(page, "\\spaktrace{1200}{trace:step/here\\#1, trace:step/here\\#2, trace:step/here\\#3}") &&
           strstr(page, "\\includegraphics") && strstr(page, "\\begin{tabular}{lr}"),
       "the paper as LaTeX");
    free(page);
    ok(spak_exists(in(out, "book/figures/step.svg")) && spak_exists(in(out, "paper/figures/step.pdf")) &&
           spak_exists(in(out, "book/style.css")),
       "with its figures and its style");
}

int main(void) {
    make_place("weave");
    spak_error err = {0};
    rep_problems problems = {0};
    static const char *const copies[] = {"kernels/step.c", "experiments/step.lua", "chapters/01-step.md",
                                         "paper/paper.md", "dsl/claims.dsl"};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) use(in("tests/report/fixtures", copies[i]), copies[i]);
    static const char *const web[] = {"page.html", "chapter.html", "style.css"};
    for (size_t i = 0; i < sizeof web / sizeof *web; i++) {
        char path[64];
        snprintf(path, sizeof path, "src/report/web/%s", web[i]);
        use(path, path);
    }
    chapter_path = strdup(in(root, "chapters/01-step.md"));
    paper_path = strdup(in(root, "paper/paper.md"));
    make_trace("step", "here", 3, "complete");
    make_values("here", 0.9, &err);
    make_figure_and_table();
    ok(!weave(&problems, &err) && strstr(spak_str_text(&problems.text), "run spak claims first"),
       "without verdicts the remedy is named");
    rep_problems_free(&problems);
    make_verdicts();
    if (!ok(weave(&problems, &err), "the book is woven %s", err.message))
        printf("# %s\n", spak_str_text(&problems.text));
    ok(same_file(in(out, "book/src/01-step.md"), "tests/report/fixtures/golden/01-step.md"), "the chapter, woven");
    ok(same_file(in(out, "paper/paper.md"), "tests/report/fixtures/golden/paper.md"), "the paper, woven for LaTeX");
    test_pages();
    test_faults();
    test_all_problems_at_once();
    test_stale();
    test_elsewhere();
    test_missing_pandoc();
    ok(weave(&problems, &err), "and at the end it is woven as before %s", err.message);
    char *only[] = {paper_path};
    ok(!rep_weave(&place, only, 1, NULL, &problems, NULL, &err), "one file alone leaves regions unused");
    rep_problems_free(&problems);
    ok(rep_weave(&place, only, 1, &(rep_weave_options){.partial = true}, &problems, NULL, &err),
       "which is right when it is meant so %s", err.message);
    rep_problems_free(&problems);
    free(chapter_path);
    free(paper_path);
    remove_place();
    return done_testing();
}
