/* Values and tables: numbers with references that lead somewhere, and nothing else. */
#include "../tap.h"
#include "help.h"

static void values_refused(const char *values, const char *want) {
    spak_error err = {0};
    json_t *spec = json_pack("{s:s,s:o}", "name", "step", "values", json(values));
    bool good = rep_values_write(&place, spec, &err);
    if (!ok(!good && strstr(err.message, want), "values refused: %s", want)) printf("# %s\n", err.message);
    json_decref(spec);
}

static void test_values(void) {
    spak_error err = {0};
    ok(make_values("here", 0.9375, &err), "values are written %s", err.message);
    json_t *file = NULL;
    ok(spak_json_load(in(out, "values/step.json"), &file, &err), "and read");
    const json_t *ratio = json_object_get(json_object_get(file, "values"), "ratio");
    is_near(spak_json_num(ratio, "value", 0), 0.9375, 0, "the value is the value");
    is_str(spak_json_str(ratio, "text", ""), "0.938", "with its text");
    is_str(spak_json_str(file, "machine", ""), "amd-epyc-zen3-2c", "the machine is the trace's");
    is_str(spak_json_str(file, "profile", ""), "smoke", "and so is the profile");
    ok(spak_json_bool(file, "complete", false) && json_array_size(json_object_get(file, "stale")) == 0,
       "complete and not stale");
    json_decref(file);

    put(in(root, "kernels/ladder.c"), "int changed;\n");
    ok(make_values("here", 0.9375, &err) && spak_json_load(in(out, "values/step.json"), &file, &err), "written again");
    is_str(json_string_value(json_array_get(json_object_get(file, "stale"), 0)), "kernels/ladder.c",
           "an input that changed is named");
    json_decref(file);
    unlink(in(root, "kernels/ladder.c"));
    ok(make_values("here", 0.9375, &err) && spak_json_load(in(out, "values/step.json"), &file, &err) &&
           json_array_size(json_object_get(file, "stale")) == 1,
       "an input that is gone is stale too");
    json_decref(file);
    put(in(root, "kernels/ladder.c"), "int ladder;\n");

    values_refused("{\"a\": {\"value\": 1, \"refs\": []}}", "value 'a' has no refs");
    values_refused("{\"a\": {\"value\": null, \"refs\": [\"trace:step/here#1\"]}}", "value 'a' is not a finite number");
    values_refused("{\"a\": {\"value\": \"1\", \"refs\": [\"trace:step/here#1\"]}}",
                   "value 'a' is not a finite number");
    values_refused("{\"a\": {\"value\": 1, \"refs\": [\"trace:step/here#99\"]}}", "there is no such one");
    values_refused("{\"a\": {\"value\": 1, \"refs\": [\"trace:other/here#0\"]}}", "there is no trace");
    values_refused("{\"a\": {\"value\": 1, \"refs\": [\"step#0\"]}}", "is no trace reference");
    values_refused("{\"a\": {\"value\": 1, \"refs\": [\"trace:step/../etc#0\"]}}", "is no trace reference");
    values_refused("{\"a\": {\"value\": 1, \"refs\": [\"trace:step/here-intel#0\"]}}",
                   "was made on 'amd-epyc-zen3-2c'");
    values_refused("{\"a.b\": {\"value\": 1, \"refs\": [\"trace:step/here#0\"]}}", "is no name for a value");
    values_refused("{\"a\": {\"value\": 1, \"format\": \"%s\", \"refs\": [\"trace:step/here#0\"]}}", "exactly one");
    values_refused("{\"a\": {\"value\": 1, \"format\": \"%.2f %n\", \"refs\": [\"trace:step/here#0\"]}}",
                   "exactly one");
    values_refused("{\"a\": {\"value\": 1, \"format\": \"no number\", \"refs\": [\"trace:step/here#0\"]}}",
                   "found none");
}

static void test_damage(void) {
    spak_error err = {0};
    char *text = get(in(out, "traces/step.jsonl"));
    char *bad = with(text, "11.5", "91.5");
    put(in(out, "traces/step.jsonl"), bad);
    ok(!make_values("here", 1, &err) && strstr(err.message, "step.jsonl"), "values of a damaged trace are refused: %s",
       err.message);
    put(in(out, "traces/step.jsonl"), text);
    ok(make_values("here", 1, &err), "and taken when it is whole");
    free(text);
    free(bad);
}

static void test_format(void) {
    static const struct {
        const char *format;
        double value;
        const char *want;
    } cases[] = {{"%.2f", 0.966, "0.97"},
                 {"%d", 1234567, "1234567"},
                 {"%.0f%%", 95, "95%"},
                 {NULL, 0.1, "0.1"},
                 {NULL, 512, "512"},
                 {"%5.1f|", 2.25, "  2.2|"},
                 {"%.3g of it", 1e-5, "1e-05 of it"},
                 {"%d", 3e12, "3000000000000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spak_str text = {0};
        spak_error err = {0};
        ok(rep_format_number(cases[i].format, cases[i].value, &text, &err), "a format %s", err.message);
        is_str(spak_str_text(&text), cases[i].want, "gives its text");
        spak_str_free(&text);
    }
    spak_str text = {0};
    ok(!rep_format_number("%.2f", NAN, &text, NULL) && !rep_format_number(NULL, INFINITY, &text, NULL),
       "what is not finite is not printed");
    ok(!rep_format_number("%.2f %.2f", 1, &text, NULL) && !rep_format_number("%*f", 1, &text, NULL) &&
           !rep_format_number("%ld", 1, &text, NULL) && !rep_format_number("%", 1, &text, NULL),
       "formats that printf would read past are refused");
    spak_str_free(&text);
}

static json_t *table(void) {
    return json(
        "{\"name\": \"step\", \"caption\": \"Speed & ratio, 100 % of it\", \"columns\": ["
        "{\"header\": \"step\"}, {\"header\": \"ratio_x\", \"align\": \"right\", \"format\": \"%.2f\"},"
        "{\"header\": \"note\", \"align\": \"center\"}], \"rows\": ["
        "[\"naive\", {\"value\": 0.014, \"ref\": \"trace:step/here#1\"}, \"a | b\"],"
        "[\"C_{ij} \\\\ #1\", {\"value\": 1, \"ref\": \"trace:step/here#2\"}, {\"text\": \"<b>$x^2$\"}]]}");
}

static void table_refused(json_t *spec, const char *want) {
    spak_error err = {0};
    bool good = rep_table(&place, spec, &err);
    if (!ok(!good && strstr(err.message, want), "table refused: %s", want)) printf("# %s\n", err.message);
    json_decref(spec);
}

static json_t *first_row(json_t *spec) { return json_array_get(json_object_get(spec, "rows"), 0); }

static const char SEVERAL[] = "[\"trace:step/here#1\", \"trace:step/here#2\"]";

static void test_table(void) {
    spak_error err = {0};
    json_t *spec = table();
    ok(rep_table(&place, spec, &err), "a table is written %s", err.message);
    ok(same_file(in(out, "tables/step.md"), "tests/report/fixtures/golden/table.md"), "its Markdown");
    ok(same_file(in(out, "tables/step.tex"), "tests/report/fixtures/golden/table.tex"), "its LaTeX");
    json_decref(spec);

    spec = table();
    json_object_set_new(json_array_get(first_row(spec), 1), "refs", json(SEVERAL));
    ok(rep_table(&place, spec, &err), "a number from several records %s", err.message);
    char *md = get(in(out, "tables/step.md")), *tex = get(in(out, "tables/step.tex"));
    ok(strstr(md, "\"trace:step/here#1 trace:step/here#2\")") && strstr(tex, "% trace:step/here#1 trace:step/here#2"),
       "names them all");
    free(md);
    free(tex);
    json_object_set_new(json_array_get(first_row(spec), 1), "refs",
                        json("[\"trace:step/here#1\", \"trace:step/here#51\"]"));
    table_refused(spec, "trace:step/here#51");

    spec = table();
    json_array_set_new(first_row(spec), 1, json_real(0.5));
    table_refused(spec, "row 1: column 'ratio_x': a number without a ref");
    spec = table();
    json_object_del(json_array_get(first_row(spec), 1), "ref");
    table_refused(spec, "a number without a ref");
    spec = table();
    json_object_set_new(json_array_get(first_row(spec), 1), "ref", json_string("trace:step/here#50"));
    table_refused(spec, "trace:step/here#50");
    spec = table();
    json_array_set_new(first_row(spec), 1, json_null());
    table_refused(spec, "neither text nor value");
    spec = table();
    json_array_remove(first_row(spec), 2);
    table_refused(spec, "row 1: 2 cells, expected 3");
    spec = table();
    json_array_clear(json_object_get(spec, "rows"));
    table_refused(spec, "no rows");
}

int main(void) {
    make_place("values");
    make_trace("step", "here", 3, "complete");
    test_format();
    test_values();
    test_damage();
    test_table();
    remove_place();
    return done_testing();
}
