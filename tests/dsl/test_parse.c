/* The language construct by construct, and the edges of the lexer. */
#include "dsl_test.h"

static void means(const char *text, const char *want) { is_str(body_of_text(text), want, "%.60s", text); }

/* The message of the i-th diagnostic holds `what`, at this line and column. */
static void reports(const char *text, size_t i, uint32_t line, uint32_t column, const char *what) {
    dsl_doc *doc = parse("t.dsl", text, strlen(text));
    const dsl_diagnostic *d = dsl_diagnostic_at(doc, i);
    bool good = d && d->line == line && d->column == column && strstr(d->message, what);
    if (!ok(good, "'%.40s' reports '%s'", text, what) && d) printf("# got %u:%u: %s\n", d->line, d->column, d->message);
    dsl_free(doc);
}

static void values(void) {
    means("a: 12 b: 1e-4 c: -1e20 d: true e: false",
          "[{\"key\":\"a\",\"value\":12},{\"key\":\"b\",\"value\":0.0001},{\"key\":\"c\",\"value\":-1e+20},"
          "{\"key\":\"d\",\"value\":true},{\"key\":\"e\",\"value\":false}]");
    means("a: f16", "[{\"key\":\"a\",\"value\":{\"word\":\"f16\"}}]");
    means("a: `x == 1`", "[{\"key\":\"a\",\"value\":{\"code\":\"x == 1\"}}]");
    means("a: [1, x]", "[{\"key\":\"a\",\"value\":[1,{\"word\":\"x\"}]}]");
    means("a: [{ b: 1 }]", "[{\"key\":\"a\",\"value\":[{\"map\":[{\"key\":\"b\",\"value\":1}]}]}]");
    means("a: \"x\" | \"y\"", "[{\"key\":\"a\",\"value\":{\"union\":[\"x\",\"y\"]}}]");
    means("a: Tensor[B,T , D]", "[{\"key\":\"a\",\"value\":{\"type\":\"Tensor[B, T, D]\"}}]");
    means("a: {{Tile_M}}", "[{\"key\":\"a\",\"value\":{\"template\":\"Tile_M\"}}]");
    means("a: f(1, n: 2)",
          "[{\"key\":\"a\",\"value\":{\"args\":[1,{\"map\":[{\"key\":\"n\",\"value\":2}]}],\"call\":\"f\"}}]");
    means("a: [trace:fmha/rtx5070#12]", "[{\"key\":\"a\",\"value\":[{\"word\":\"trace:fmha/rtx5070#12\"}]}]");
    means("a: \"\\u00e9\\ud83d\\ude00\\n\\q\"", "[{\"key\":\"a\",\"value\":\"\xc3\xa9\xf0\x9f\x98\x80\\u000a\\\\q\"}]");
    means("a: 99999999999999999999", "[{\"key\":\"a\",\"value\":1e+20}]");
    means("a: 1e999", "[{\"key\":\"a\",\"value\":{\"word\":\"1e999\"}}]");
}

static void items(void) {
    means("kind name {}", "[{\"body\":[],\"kind\":\"kind\",\"name\":\"name\"}]");
    means("kind \"Quoted name\" {}", "[{\"body\":[],\"kind\":\"kind\",\"name\":\"Quoted name\"}]");
    means("kind {}", "[{\"body\":[],\"kind\":\"kind\",\"name\":null}]");
    means("key: { a: 1 }", "[{\"body\":[{\"key\":\"a\",\"value\":1}],\"kind\":\"key\",\"map\":true,\"name\":null}]");
    means("step 1b_Parity {}", "[{\"body\":[],\"kind\":\"step\",\"name\":\"1b_Parity\"}]");
    means("step 1: \"x\"", "[{\"key\":\"step\",\"name\":\"1\",\"value\":\"x\"}]");
    means("state h: T = 0", "[{\"kind\":\"state\",\"name\":\"h\",\"type\":\"T\",\"value\":0}]");
    means("state h: Tensor[B]", "[{\"kind\":\"state\",\"name\":\"h\",\"type\":\"Tensor[B]\"}]");
    means("parameter P: [1]", "[{\"kind\":\"parameter\",\"name\":\"P\",\"value\":[1]}]");
    means("emit X.Y", "[{\"kind\":\"emit\",\"name\":\"X.Y\"}]");
    means("type X matches {}", "[{\"body\":[],\"kind\":\"type\",\"modifiers\":[\"matches\"],\"name\":\"X\"}]");
    means("fact f(t: T) { return t.a > 1 }",
          "[{\"body\":[{\"kind\":\"return\",\"value\":{\"expression\":\"t.a > 1\"}}],\"kind\":\"fact\",\"name\":\"f\","
          "\"params\":[{\"key\":\"t\",\"value\":{\"word\":\"T\"}}]}]");
    means("artifact \"r.md\"\nb: 1", "[{\"kind\":\"artifact\",\"name\":\"r.md\"},{\"key\":\"b\",\"value\":1}]");
    means("a: 1 a: 2", "[{\"key\":\"a\",\"value\":1},{\"key\":\"a\",\"value\":2}]");
    means("a:1,b:2", "[{\"key\":\"a\",\"value\":1},{\"key\":\"b\",\"value\":2}]");
    means("a: w#x # comment", "[{\"key\":\"a\",\"value\":{\"word\":\"w#x\"}}]");
    means("prose without sense", "[{\"kind\":\"opaque\",\"text\":\"prose without sense\"}]");
    means("}", "[{\"kind\":\"opaque\",\"text\":\"}\"}]");
    means("", "[]");
}

static void recovery(void) {
    means("a: \"cut\nb: 1", "[{\"key\":\"a\",\"value\":\"cut\"},{\"key\":\"b\",\"value\":1}]");
    means("a: [1, \"cut\nb: 1", "[{\"key\":\"a\",\"value\":[1,\"cut\"]},{\"key\":\"b\",\"value\":1}]");
    means("a: \"one b: \"two\"", "[{\"key\":\"a\",\"value\":\"one\"},{\"key\":\"b\",\"value\":\"two\"}]");
    means("} a: 1", "[{\"kind\":\"opaque\",\"text\":\"}\"},{\"key\":\"a\",\"value\":1}]");
    means("rule \"cut name {\n a: 1\n}",
          "[{\"body\":[{\"key\":\"a\",\"value\":1}],\"kind\":\"rule\",\"name\":\"cut name\"}]");
    means("junk word here a: 1", "[{\"kind\":\"opaque\",\"text\":\"junk word here\"},{\"key\":\"a\",\"value\":1}]");
    means("if (x) { a: 1 }", "[{\"body\":[{\"key\":\"a\",\"value\":1}],\"kind\":\"opaque\",\"text\":\"if (x)\"}]");
    reports("a: 1\n  b: \"cut\n", 0, 2, 6, "not closed on its line");
    reports("a: \"one b: \"two\"", 0, 1, 4, "runs into the next entry");
    reports("\xc3\xa9: \"\xc3\xa9\" x: `", 0, 1, 11, "not closed on its line");
    reports("a: ``", 0, 1, 4, "empty backticks");
    reports("a:\nb: 1", 0, 1, 1, "no value");
    reports("a { b: 1", 1, 1, 3, "not closed");
    reports("a { }\n}", 1, 2, 1, "closes nothing");
    reports("system s { rule x {} rule x {} }", 0, 1, 27, "a second 'rule x'");
    reports("blurb x {}", 0, 1, 1, "no kind of block");
    reports("a: \xff", 0, 1, 4, "not UTF-8");
    reports("/* never", 0, 1, 1, "not closed");
    reports("---\na: [1\n---\n", 0, 2, 4, "front matter");
    reports("---\na: 1\na: 2\n---\n", 0, 3, 1, "twice");
    reports("---\na: &x 1\n---\n", 0, 2, 4, "anchors");
    reports("---\n- a\n---\n", 0, 2, 1, "expected");
    reports("---\na: 1\n\nb: 2", 0, 1, 1, "not closed");
    means("---\na: 1\nsystem s { b: 2 }\n---\n",
          "[{\"body\":[{\"key\":\"b\",\"value\":2}],\"kind\":\"system\",\"name\":"
          "\"s\"},{\"kind\":\"opaque\",\"text\":\"---\"}]");
}

static void rendering(void) {
    const char *text = "rule x {\n\twhen: \"cut \xc3\xa9\n}\n";
    dsl_doc *doc = parse("dir/t.dsl", text, strlen(text));
    spak_str out = {0};
    is_int(dsl_diagnostic_count(doc), 1, "one diagnostic");
    dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, 0), &out);
    is_str(spak_str_text(&out),
           "dir/t.dsl:2:8: error: the string that opens here is not closed on its line; close it with '\"'\n"
           "    \twhen: \"cut \xc3\xa9\n    \t      ^\n",
           "a diagnostic shows place, message, line and caret");
    ok(!dsl_diagnostic_at(doc, 1), "no second");
    dsl_free(doc);
    spak_str_free(&out);
}

static void limits(void) {
    spak_error err;
    dsl_doc *doc;
    ok(!dsl_parse("nul.dsl", "a\0b", 3, &doc, &err) && strstr(err.message, "NUL"), "a NUL byte is refused");
    ok(!dsl_parse_file("no/such.dsl", &doc, &err) && strstr(err.message, "no/such.dsl"), "a missing file is named");
    spak_str deep = {0};
    for (int i = 0; i < DSL_MAX_DEPTH; i++) spak_str_puts(&deep, "a { ");
    spak_str_puts(&deep, "b: 1 ");
    for (int i = 0; i < DSL_MAX_DEPTH; i++) spak_str_puts(&deep, "} ");
    doc = parse("deep.dsl", deep.data, deep.len);
    is_int(dsl_error_count(doc), 0, "%d levels are taken", DSL_MAX_DEPTH);
    dsl_free(doc);
    spak_str deeper = {0};
    spak_str_printf(&deeper, "a { %s }", deep.data);
    doc = parse("deeper.dsl", deeper.data, deeper.len);
    is_int(dsl_error_count(doc), 1, "one more is an error");
    dsl_free(doc);
    spak_str lists = {0}, out = {0};
    for (int i = 0; i < DSL_MAX_DEPTH; i++) spak_str_puts(&lists, i ? "1 | [" : "a: [");
    for (int i = 0; i < DSL_MAX_DEPTH; i++) spak_str_puts(&lists, "]");
    doc = parse("lists.dsl", lists.data, lists.len);
    json_t *meaning = placeless_meaning(doc);
    ok(!dsl_error_count(doc) && spak_json_canonical(meaning, &out, &err), "the deepest value has a canonical form");
    json_decref(meaning);
    dsl_free(doc);
    spak_str_free(&deep);
    spak_str_free(&deeper);
    spak_str_free(&lists);
    spak_str_free(&out);
}

static void lookups(void) {
    const char *text = "---\nt: 1.5\nd: 2026-01-02\n---\nrule a { x: 1 x: w x: `c` x: \"s\" }\nrule b {}\nfact a {}\n";
    dsl_doc *doc = parse("t.dsl", text, strlen(text));
    json_t *meaning;
    spak_error err;
    ok(dsl_meaning(doc, &meaning, &err), "meaning");
    const json_t *front = json_object_get(meaning, "front_matter");
    is_near(spak_json_num(front, "t", 0), 1.5, 0, "a number in the front matter");
    is_str(spak_json_str(front, "d", ""), "2026-01-02", "a date is text");
    const json_t *a = dsl_block(meaning, "rule", "a", 0);
    ok(a && a == dsl_block(meaning, "rule", NULL, 0), "a block by name and by place");
    is_str(spak_json_str(dsl_block(meaning, "rule", NULL, 1), "name", ""), "b", "the second of a kind");
    ok(!dsl_block(meaning, "rule", NULL, 2) && !dsl_block(meaning, "rule", "c", 0), "absent blocks are NULL");
    is_int(json_integer_value(dsl_value(a, "x")), 1, "the first value");
    is_str(dsl_text(dsl_value_at(a, "x", 1), "-"), "w", "text of a word");
    is_str(dsl_text(dsl_value_at(a, "x", 2), "-"), "c", "text of code");
    is_str(dsl_code(dsl_value_at(a, "x", 2)), "c", "code");
    ok(!dsl_code(dsl_value_at(a, "x", 3)), "a string is no code");
    is_str(dsl_text(dsl_value_at(a, "x", 4), "-"), "-", "an absent value gives the default");
    is_int(spak_json_int(a, "line", 0), 5, "the line of an item");
    json_decref(meaning);
    dsl_free(doc);
}

int main(void) {
    spak_json_init();
    values();
    items();
    recovery();
    rendering();
    limits();
    lookups();
    return done_testing();
}
