/* Edits change what they should and not one byte more. */
#include "dsl_test.h"

static const char SOURCE[] =
    "// head\n"
    "system S { // brace\n"
    "  knowledge {\n"
    "      rule a { when: `x` }   // one line\n"
    "      /* before */ rule \"b/c:d\" {\n"
    "\tgain:   [1,2] // odd layout stays\n"
    "      }\n"
    "  } # end\n"
    "  empty {}\n"
    "  stages: { k: 2 }\n"
    "  tail { x: 1\n"
    "    y: 2 }\n"
    "  h: T = 3\n"
    "}\n";

static const char *const PATH_A = "system/knowledge/rule:a";

/* The edited text; NULL when the edit is refused. Static buffer. */
static const char *append(const char *source, const char *path, const char *entry, spak_error *err) {
    static char buffer[4096];
    dsl_doc *doc = parse("t.dsl", source, strlen(source));
    spak_str out = {0};
    bool good = dsl_append_to_block(doc, path, entry, &out, err);
    snprintf(buffer, sizeof buffer, "%s", spak_str_text(&out));
    spak_str_free(&out);
    dsl_free(doc);
    return good ? buffer : NULL;
}

static const char *set(const char *source, const char *path, const char *key, const char *value, spak_error *err) {
    static char buffer[4096];
    dsl_doc *doc = parse("t.dsl", source, strlen(source));
    spak_str out = {0};
    bool good = dsl_set_value(doc, path, key, value, &out, err);
    snprintf(buffer, sizeof buffer, "%s", spak_str_text(&out));
    spak_str_free(&out);
    dsl_free(doc);
    return good ? buffer : NULL;
}

/* source with `old` (which it holds once) replaced. */
static const char *with(const char *source, const char *old, const char *new) {
    static char buffer[4096];
    const char *at = strstr(source, old);
    snprintf(buffer, sizeof buffer, "%.*s%s%s", (int)(at - source), source, new, at + strlen(old));
    return buffer;
}

static void appending(void) {
    spak_error err;
    is_str(append(SOURCE, "system/knowledge", "fact n {\n    a: 1\n\n    b: 2\n}", &err),
           with(SOURCE, "      }\n  } # end",
                "      }\n      fact n {\n          a: 1\n\n          b: 2\n      }\n  } # end"),
           "a block at the end of a block, indented as its neighbours");
    is_str(append(SOURCE, PATH_A, "support: 1", &err), with(SOURCE, "`x` }", "`x` support: 1 }"),
           "an entry on one line");
    is_str(append(SOURCE, PATH_A, "support: 1 // s", &err),
           with(SOURCE, "`x` }", "`x` \n          support: 1 // s\n      }"), "a comment gets a line of its own");
    is_str(append(SOURCE, "system/knowledge/rule:b/c:d", "n: 1", &err),
           with(SOURCE, "stays\n      }", "stays\n\tn: 1\n      }"), "a name that holds '/' and ':'");
    is_str(append(SOURCE, "system/empty", "n: 1", &err), with(SOURCE, "empty {}", "empty { n: 1 }"), "an empty block");
    is_str(append(SOURCE, "system:S/stages", "v: 3", &err), with(SOURCE, "k: 2 }", "k: 2 v: 3 }"), "a map");
    is_str(append(SOURCE, "system/tail", "z: 3", &err), with(SOURCE, "y: 2 }", "y: 2 \n    z: 3\n  }"),
           "a brace at the end of a line");
    const char *crlf = "a {\r\n\tb: 1\r\n}\r\n";
    is_str(append(crlf, "a", "c: 2\nd: 3\n", &err), "a {\r\n\tb: 1\r\n\tc: 2\r\n\td: 3\r\n}\r\n", "CR LF and tabs");
}

static void refusals(void) {
    spak_error err;
    ok(!append(SOURCE, "system/nothing", "a: 1", &err) && strstr(err.message, "system/nothing"), "no such block");
    ok(!append(SOURCE, PATH_A, "a: \"cut", &err) && strstr(err.message, "not closed"), "a broken entry");
    ok(!append(SOURCE, PATH_A, "}", &err), "a stray brace");
    ok(!append(SOURCE, PATH_A, "", &err), "no entry at all");
    ok(!append("a { b: 1", "a", "c: 1", &err) && strstr(err.message, "not closed"), "an unclosed block");
    ok(!set(SOURCE, PATH_A, "when", "1 b: 2", &err), "two values");
    ok(!set(SOURCE, PATH_A, "when", "", &err), "no value");
}

static void setting(void) {
    spak_error err;
    is_str(set(SOURCE, PATH_A, "when", "`y > 1`", &err), with(SOURCE, "`x`", "`y > 1`"), "a value replaced");
    is_str(set(SOURCE, "system/knowledge/rule:b/c:d", "gain", "3", &err), with(SOURCE, "[1,2]", "3"),
           "a list replaced");
    is_str(set(SOURCE, "system", "stages", "{ k: 3 }", &err), with(SOURCE, "{ k: 2 }", "{ k: 3 }"), "a map replaced");
    is_str(set(SOURCE, "system", "h", "4", &err), with(SOURCE, "T = 3", "T = 4"), "the value after a type");
    is_str(set(SOURCE, PATH_A, "status", "valid", &err), with(SOURCE, "`x` }", "`x` status: valid }"),
           "a key that is not there is added");
    is_str(set("a {\n  k: 1\n  k: 2\n}\n", "a", "k", "3", &err), "a {\n  k: 3\n  k: 2\n}\n", "the first of two");
    is_str(set("a { s: \"cut\n t: 1 }\n", "a", "t", "2", &err), "a { s: \"cut\n t: 2 }\n", "in a damaged file");
}

/* Whatever is appended must be there when the text is read again. */
static void reparsed(void) {
    spak_error err;
    const char *text = append(SOURCE, "system/knowledge", "rule new { when: `z` }", &err);
    dsl_doc *doc = parse("t.dsl", text, strlen(text));
    json_t *meaning = NULL;
    ok(dsl_meaning(doc, &meaning, &err), "the edited text has a meaning");
    const json_t *knowledge = dsl_block(dsl_block(meaning, "system", "S", 0), "knowledge", NULL, 0);
    is_str(dsl_code(dsl_value(dsl_block(knowledge, "rule", "new", 0), "when")), "z", "and holds the new rule");
    json_decref(meaning);
    dsl_free(doc);
}

int main(void) {
    spak_json_init();
    appending();
    refusals();
    setting();
    reparsed();
    return done_testing();
}
