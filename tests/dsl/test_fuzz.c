/* Random damage: every fixture cut at every byte, and thousands of mutations drawn from a fixed seed. Nothing may
 * crash or take long, and where the parser reports no error the formatter must be idempotent and keep the meaning.
 * (It is so with errors too, and that is tested as well: the promise of format.c does not depend on them.) */
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "dsl_test.h"

static size_t tried, clean;

/* True when text behaves. */
static bool behaves(const char *name, const char *text, size_t len) {
    dsl_doc *doc = parse(name, text, len);
    if (!doc) return false;
    tried++;
    clean += !dsl_error_count(doc);
    const char *fault = format_fault(doc, true);
    if (fault) printf("# %s: %s (%zu errors)\n", name, fault, dsl_error_count(doc));
    dsl_free(doc);
    return !fault;
}

static bool cut_everywhere(const char *name, const spak_str *text, size_t step) {
    for (size_t len = 0; len <= text->len; len += step)
        if (!behaves(name, text->data, len)) return false;
    return true;
}

static const char *const SNIPPETS[] = {"{",      "}",  "[",    "]",     "(",      ")",       ":",     ",",
                                       "=",      "|",  "\"",   "`",     "\n",     " ",       "#",     "//",
                                       "/*",     "*/", "```",  "---\n", "{{",     "}}",      "{{x}}", "\\",
                                       "->",     "==", "\r\n", "\f",    "\"\"\"", "a b: \"", "emit ", "return ",
                                       "\n\n\n", "\t", ";",    "x:y",   " : ",    "<"};

static void mutate(spak_mt *mt, spak_str *text) {
    if (!text->len) return;
    size_t at = spak_mt_below(mt, text->len), span = 1 + spak_mt_below(mt, 12);
    if (span > text->len - at) span = text->len - at;
    switch (spak_mt_below(mt, 5)) {
        case 0: /* delete */
            memmove(text->data + at, text->data + at + span, text->len - at - span + 1);
            text->len -= span;
            break;
        case 1: /* flip a bit, but make no NUL */
            text->data[at] ^= (char)(1 << spak_mt_below(mt, 8));
            if (!text->data[at]) text->data[at] = '0';
            break;
        default: { /* insert a piece of the text or of the language */
            char piece[16];
            size_t len = span;
            if (spak_mt_below(mt, 3)) {
                const char *snippet = SNIPPETS[spak_mt_below(mt, sizeof SNIPPETS / sizeof *SNIPPETS)];
                len = strlen(snippet);
                memcpy(piece, snippet, len);
            } else {
                memcpy(piece, text->data + spak_mt_below(mt, text->len - span + 1), span);
            }
            spak_str_append(text, piece, len);
            memmove(text->data + at + len, text->data + at, text->len - len - at);
            memcpy(text->data + at, piece, len);
        }
    }
}

static bool mutations(spak_mt *mt, const char *name, const spak_str *text, int rounds) {
    spak_str copy = {0};
    bool good = true;
    for (int i = 0; good && i < rounds; i++) {
        spak_str_clear(&copy);
        spak_str_append(&copy, text->data, text->len);
        for (uint64_t k = 1 + spak_mt_below(mt, 4); k; k--) mutate(mt, &copy);
        good = behaves(name, copy.data, copy.len);
    }
    spak_str_free(&copy);
    return good;
}

static void repeat(spak_str *out, const char *piece, size_t times) {
    for (size_t i = 0; i < times; i++) spak_str_puts(out, piece);
}

/* Input that is easy to make slow: deep, wide, or full of things that look like something else's beginning. */
static void hostile(void) {
    static const char *const pieces[] = {"{",
                                         "[",
                                         "(",
                                         "a{",
                                         "a: [",
                                         "a: {\n",
                                         "\"",
                                         "\"\"\"",
                                         "`",
                                         "/*",
                                         "a b ",
                                         "a: b ",
                                         "a:b:",
                                         "---\n",
                                         "- ",
                                         "a|",
                                         "a: \"b c: \"d\" ",
                                         "{{",
                                         "\\",
                                         "}",
                                         "]",
                                         "a: x\n[",
                                         "f(",
                                         "a(b: ",
                                         "```\n",
                                         "\n",
                                         "a \"b\" ",
                                         "'"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        spak_str text = {0};
        repeat(&text, pieces[i], 100000);
        uint64_t begun = spak_now_ns();
        dsl_doc *doc = parse("hostile.dsl", text.data, text.len);
        spak_str out = {0};
        spak_error err;
        bool formatted = doc && dsl_format(doc, &out, &err);
        double seconds = (double)(spak_now_ns() - begun) * 1e-9;
        ok(formatted && seconds < 5, "100,000 times '%.8s' within 5 s", pieces[i][0] == '\n' ? "newline" : pieces[i]);
        dsl_free(doc);
        spak_str_free(&out);
        spak_str_free(&text);
    }
    spak_str deep = {0};
    repeat(&deep, "a {", 100000);
    dsl_doc *doc = parse("deep.dsl", deep.data, deep.len);
    ok(dsl_error_count(doc) >= 1 &&
           strstr(dsl_diagnostic_at(doc, dsl_diagnostic_count(doc) - 1)->message, "nested deeper"),
       "100,000 braces: an error about the nesting");
    ok(!format_fault(doc, false), "and the formatter keeps them");
    dsl_free(doc);
    spak_str_free(&deep);
}

int main(void) {
    spak_json_init();
    char **names;
    size_t count;
    spak_error err;
    if (!ok(spak_list_dir(FIXTURES, &names, &count, &err), "fixtures found")) return done_testing();
    const char *rounds_text = getenv("DSL_FUZZ_ROUNDS");
    int rounds = rounds_text ? atoi(rounds_text) : 300;
    spak_mt mt;
    spak_mt_seed(&mt, 20260302);
    for (size_t i = 0; i < count; i++) {
        if (!spak_ends_with(names[i], ".dsl")) continue;
        spak_str path = {0}, text = {0};
        spak_str_printf(&path, FIXTURES "/%s", names[i]);
        ok(spak_read_file(path.data, &text, &err), "%s read", names[i]);
        ok(cut_everywhere(names[i], &text, 1), "%s cut at every byte", names[i]);
        ok(mutations(&mt, names[i], &text, rounds), "%s after %d mutations", names[i], rounds);
        spak_str_free(&path);
        spak_str_free(&text);
    }
    spak_names_free(names, count);
    printf("# %zu texts, %zu of them without an error\n", tried, clean);
    ok(clean > tried / 50, "enough of them are good files");
    hostile();
    return done_testing();
}
