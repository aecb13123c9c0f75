/* Every fixture against what it is known to mean: NAME.json (the meaning), NAME.fmt (the layout) and NAME.diagnostics
 * (what is reported, empty when nothing is). A difference is printed as a diff. DSL_UPDATE_GOLDEN=1 writes the files
 * anew: read what git shows before you commit them.
 *
 * SPAK_DSL_CORPUS may name a folder of further *.dsl files; they must parse and keep format's promises, and the
 * damaged system among them must yield what its page breaks left. */
#include <stdlib.h>
#include <unistd.h>

#include "dsl_test.h"

static void print_diff(const char *path, const spak_str *got) {
    char name[] = "/tmp/spak_golden_XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0) return;
    bool written = write(fd, spak_str_text(got), got->len) == (ssize_t)got->len;
    close(fd);
    spak_str command = {0};
    spak_str_printf(&command, "diff -u '%s' '%s'", path, name);
    FILE *diff = written ? popen(command.data, "r") : NULL;
    char line[512];
    while (diff && fgets(line, sizeof line, diff)) printf("# %s", line);
    if (diff) pclose(diff);
    spak_str_free(&command);
    unlink(name);
}

static void is_golden(const char *path, const spak_str *got) {
    spak_str want = {0};
    spak_error err;
    if (getenv("DSL_UPDATE_GOLDEN")) spak_write_if_changed(path, spak_str_text(got), got->len, &err);
    bool read = spak_read_file(path, &want, &err);
    bool same = read && want.len == got->len && !memcmp(spak_str_text(&want), spak_str_text(got), got->len);
    if (!ok(same, "%s", path)) print_diff(path, got);
    spak_str_free(&want);
}

static void golden_path(const char *name, const char *extension, spak_str *path) {
    spak_str_clear(path);
    spak_str_printf(path, FIXTURES "/%.*s%s", (int)(strlen(name) - 4), name, extension);
}

static void test_fixture(const char *name) {
    spak_str path = {0}, text = {0}, out = {0};
    spak_error err;
    spak_str_printf(&path, FIXTURES "/%s", name);
    ok(spak_read_file(path.data, &text, &err), "%s read", name);
    dsl_doc *doc = parse(name, text.data, text.len);
    json_t *meaning = NULL;
    ok(doc && dsl_meaning(doc, &meaning, &err), "%s has a meaning", name);
    char *json = json_dumps(meaning, JSON_INDENT(1) | JSON_SORT_KEYS);
    spak_str_puts(&out, json ? json : "");
    spak_str_putc(&out, '\n');
    spak_free(json);
    golden_path(name, ".json", &path);
    is_golden(path.data, &out);
    spak_str_clear(&out);
    ok(spak_json_canonical(meaning, &out, &err), "%s: the meaning has a canonical form", name);

    spak_str_clear(&out);
    ok(dsl_format(doc, &out, &err), "%s has a layout", name);
    golden_path(name, ".fmt", &path);
    is_golden(path.data, &out);

    spak_str_clear(&out);
    for (size_t i = 0; i < dsl_diagnostic_count(doc); i++) dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, i), &out);
    golden_path(name, ".diagnostics", &path);
    is_golden(path.data, &out);
    bool damaged = !strncmp(name, "damaged", 7) || !strcmp(name, "crlf_bom.dsl");
    ok(damaged == (dsl_error_count(doc) > 0), "%s: errors only where there is damage", name);
    ok(!format_fault(doc, true), "%s: fmt is idempotent, keeps the meaning and every comment", name);
    json_decref(meaning);
    dsl_free(doc);
    spak_str_free(&path);
    spak_str_free(&text);
    spak_str_free(&out);
}

/* Blocks of a kind and name (any when NULL) at any depth. */
static int count_blocks(const json_t *block, const char *kind, const char *name) {
    int count = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(block, "body")); i++) {
        const json_t *item = json_array_get(json_object_get(block, "body"), i);
        bool match =
            !strcmp(spak_json_str(item, "kind", ""), kind) && (!name || !strcmp(spak_json_str(item, "name", ""), name));
        count += match + count_blocks(item, kind, name);
    }
    return count;
}

/* A line whose quotes are odd in number is a broken string; each must have an error on its line. */
static void each_broken_string_is_reported(const dsl_doc *doc) {
    int broken = 0, reported = 0;
    uint32_t line = 1;
    for (const char *at = doc->text; *at; line++) {
        const char *end = strchr(at, '\n');
        int quotes = 0;
        for (; *at && at != end; at++) quotes += *at == '"';
        if (end) at++;
        if (quotes % 2 == 0) continue;
        broken++;
        bool found = false;
        for (size_t i = 0; i < dsl_diagnostic_count(doc); i++) {
            const dsl_diagnostic *d = dsl_diagnostic_at(doc, i);
            found |= d->line == line && d->severity == DSL_ERROR && doc->text[d->offset] == '"';
        }
        if (!found) printf("# line %u: a broken string without a diagnostic\n", line);
        reported += found;
    }
    ok(broken > 0, "%d broken strings", broken);
    is_int(reported, broken, "an error at the opening quote of each");
}

static void test_damaged_system(const dsl_doc *doc, const json_t *meaning) {
    static const char *const facts[] = {"algorithmic_grokkering_emergence", "recurrence_efficiency",
                                        "memorization_saturation",          "algorithmic_grokkering",
                                        "wait_to_think_efficiency",         "entropy_barrier_1_28"};
    static const char *const rules[] = {"Strict Weight Ablation", "RoPE and Recurrence Compatibility",
                                        "Weight Decay Phasing"};
    static const char *const steps[] = {"1_Data_Sanity", "1b_Format_Parity_CrossCheck", "2_Overfit_Smoke_Test",
                                        "3_Grokking_Marathon"};
    for (size_t i = 0; i < 6; i++) is_int(count_blocks(meaning, "fact", facts[i]), 1, "fact %s", facts[i]);
    for (size_t i = 0; i < 3; i++) is_int(count_blocks(meaning, "rule", rules[i]), 1, "rule %s", rules[i]);
    is_int(count_blocks(meaning, "fact", NULL), 6, "no other facts");
    is_int(count_blocks(meaning, "rule", NULL), 3, "no other rules");
    const json_t *protocol = dsl_block(meaning, "protocol", "Agent_Verification_Pipeline", 0);
    for (size_t i = 0; i < 4; i++) ok(dsl_block(protocol, "step", steps[i], 0) != NULL, "step %s", steps[i]);
    const json_t *knowledge = dsl_block(meaning, "knowledge", NULL, 0);
    is_int(count_blocks(knowledge, "fact", NULL), 6, "all facts are in the knowledge block");
    const json_t *first = dsl_block(protocol, "step", steps[0], 0);
    is_str(dsl_text(dsl_value(first, "failure_mode"), ""), "Random slicing causes broken context",
           "an entry that a string ran into is found");
    is_str(dsl_text(dsl_value(dsl_block(knowledge, "fact", facts[5], 0), "symptom"), ""),
           "Loss plateaus exactly at ~1.28 despite", "a cut string keeps what is left of it");
    each_broken_string_is_reported(doc);
}

static void test_corpus_file(const char *folder, const char *name) {
    spak_str path = {0};
    spak_error err = {{0}};
    dsl_doc *doc;
    json_t *meaning = NULL;
    spak_str_printf(&path, "%s/%s", folder, name);
    if (ok(dsl_parse_file(path.data, &doc, &err) && dsl_meaning(doc, &meaning, &err), "%s parses", name)) {
        ok(!format_fault(doc, true), "%s: fmt is idempotent, keeps the meaning and every comment", name);
        if (!strcmp(name, "looplm_system_v3_damaged.dsl")) test_damaged_system(doc, meaning);
    } else {
        printf("# %s\n", err.message);
    }
    json_decref(meaning);
    dsl_free(doc);
    spak_str_free(&path);
}

static void each_file(const char *folder, void (*test)(const char *folder, const char *name)) {
    char **names;
    size_t count, tested = 0;
    spak_error err;
    if (!ok(spak_list_dir(folder, &names, &count, &err), "%s", folder)) return;
    for (size_t i = 0; i < count; i++) {
        if (!spak_ends_with(names[i], ".dsl")) continue;
        test(folder, names[i]);
        tested++;
    }
    spak_names_free(names, count);
    ok(tested > 0, "%zu files", tested);
}

static void fixture(const char *folder, const char *name) {
    (void)folder;
    test_fixture(name);
}

/* The checks of this file must see a fault when there is one. */
static void planted_faults(void) {
    dsl_doc *doc = parse("a.dsl", "a: 1 // c\n", 10), *other = parse("b.dsl", "a: 2\n", 5);
    json_t *x = placeless_meaning(doc), *y = placeless_meaning(other);
    json_object_del(x, "file");
    json_object_del(y, "file");
    ok(!json_equal(x, y), "another value is another meaning");
    ok(count_comments(doc) == 1 && count_comments(other) == 0, "a lost comment is counted");
    ok(!format_fault(doc, false), "a whole document has no fault");
    doc->tokens[3].kind = T_BLOCK_COMMENT; /* the 1: printed as a comment and read back as none */
    is_str(format_fault(doc, false), "a comment is lost", "a formatter that loses a comment is caught");
    other->nodes[other->nodes[other->body].child].kind = V_OPAQUE;
    is_str(format_fault(other, false), "meaning(fmt(x)) differs from meaning(x)", "one that changes the meaning, too");
    json_decref(x);
    json_decref(y);
    dsl_free(doc);
    dsl_free(other);
}

int main(void) {
    spak_json_init();
    each_file(FIXTURES, fixture);
    planted_faults();
    const char *corpus = getenv("SPAK_DSL_CORPUS");
    if (corpus && *corpus)
        each_file(corpus, test_corpus_file);
    else
        skip_test("SPAK_DSL_CORPUS names no folder of further files");
    return done_testing();
}
