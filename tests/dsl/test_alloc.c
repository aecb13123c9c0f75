/* Memory that runs out, at every allocation in turn: a clean failure each time, and (under `make SAN=1`) no leak. */
#include "dsl_test.h"

/* Parse, meaning, layout, an edit; true when all succeeded. */
static bool whole_way(const spak_str *text, spak_error *err) {
    dsl_doc *doc = NULL;
    json_t *meaning = NULL;
    spak_str layout = {0}, edited = {0}, shown = {0};
    bool good = dsl_parse("oom.dsl", text->data, text->len, &doc, err) && dsl_meaning(doc, &meaning, err) &&
                dsl_format(doc, &layout, err) && dsl_append_to_block(doc, "system", "added: 1", &edited, err);
    if (good && dsl_diagnostic_count(doc)) {
        dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, 0), &shown);
        good = spak_str_ok(&shown, err);
    }
    json_decref(meaning);
    dsl_free(doc);
    spak_str_free(&layout);
    spak_str_free(&edited);
    spak_str_free(&shown);
    return good;
}

static bool loads_system(spak_error *err) {
    json_t *system = NULL;
    bool good = dsl_load_system(FIXTURES "/inherit/own.dsl", &system, err);
    json_decref(system);
    return good;
}

static void fail_each(const char *name, const spak_str *text) {
    long n = 0;
    int silent = 0, other = 0;
    for (bool done = false; !done && n < 100000; n++) {
        spak_error err = {{0}};
        spak_alloc_fail_after(n);
        done = text ? whole_way(text, &err) : loads_system(&err);
        spak_alloc_fail_after(-1);
        if (!done && !err.message[0]) silent++;
        if (!done && !strstr(err.message, "memory") && other++ < 3) printf("# allocation %ld: %s\n", n, err.message);
    }
    ok(n > 20 && n < 100000, "%s: %ld allocations failed in turn, then all went well", name, n - 1);
    is_int(silent, 0, "%s: each failure has a message", name);
    is_int(other, 0, "%s: and says that memory ran out", name);
}

int main(void) {
    static const char *const names[] = {"attention_system.dsl", "damaged_margin.dsl", "damaged_page_break.dsl"};
    spak_json_init();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        spak_str path = {0}, text = {0};
        spak_error err;
        spak_str_printf(&path, FIXTURES "/%s", names[i]);
        if (ok(spak_read_file(path.data, &text, &err), "%s", names[i])) fail_each(names[i], &text);
        spak_str_free(&path);
        spak_str_free(&text);
    }
    fail_each("a system that inherits", NULL);
    return done_testing();
}
