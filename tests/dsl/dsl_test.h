/* What the tests of src/dsl share: meanings without places, the layout as text, the comments of a document. */
#ifndef SPAK_TESTS_DSL_TEST_H
#define SPAK_TESTS_DSL_TEST_H

#include <string.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "dsl/dsl.h"
#include "dsl/dsl_internal.h"

#define FIXTURES "tests/dsl/fixtures"

/* Line and column change with the layout; the meaning does not. */
__attribute__((unused)) static void strip_places(json_t *value) {
    json_object_del(value, "line");
    json_object_del(value, "column");
    const char *key;
    json_t *member;
    json_object_foreach(value, key, member) strip_places(member);
    for (size_t i = 0; i < json_array_size(value); i++) strip_places(json_array_get(value, i));
}

__attribute__((unused)) static dsl_doc *parse(const char *name, const char *text, size_t len) {
    spak_error err;
    dsl_doc *doc = NULL;
    if (!dsl_parse(name, text, len, &doc, &err)) printf("# %s\n", err.message);
    return doc;
}

__attribute__((unused)) static json_t *placeless_meaning(const dsl_doc *doc) {
    spak_error err;
    json_t *meaning = NULL;
    if (!dsl_meaning(doc, &meaning, &err)) printf("# %s\n", err.message);
    strip_places(meaning);
    return meaning;
}

/* The meaning's body as canonical JSON without places, for short expectations; static buffer. */
__attribute__((unused)) static const char *body_of_text(const char *text) {
    static char buffer[1 << 14];
    spak_error err;
    spak_str out = {0};
    dsl_doc *doc = parse("t.dsl", text, strlen(text));
    json_t *meaning = placeless_meaning(doc);
    if (!spak_json_canonical(json_object_get(meaning, "body"), &out, &err)) spak_str_puts(&out, err.message);
    snprintf(buffer, sizeof buffer, "%s", spak_str_text(&out));
    spak_str_free(&out);
    json_decref(meaning);
    dsl_free(doc);
    return buffer;
}

__attribute__((unused)) static size_t count_comments(const dsl_doc *doc) {
    size_t count = 0;
    for (uint32_t i = 0; i < doc->token_count; i++)
        count += doc->tokens[i].kind == T_COMMENT || doc->tokens[i].kind == T_BLOCK_COMMENT;
    return count;
}

/* All comments, one after another, line ends as LF. */
__attribute__((unused)) static void all_comments(const dsl_doc *doc, spak_str *out) {
    for (uint32_t i = 0; i < doc->token_count; i++) {
        const dsl_token *token = &doc->tokens[i];
        if (token->kind != T_COMMENT && token->kind != T_BLOCK_COMMENT) continue;
        for (uint32_t k = token->start; k < token->end; k++) {
            uint32_t after = k;
            while (doc->text[after] == '\r') after++;
            if (doc->text[k] != '\r' || doc->text[after] != '\n') spak_str_putc(out, doc->text[k]);
        }
        spak_str_putc(out, '\n');
    }
}

/* fmt(fmt(x)) = fmt(x), meaning(fmt(x)) = meaning(x), and every comment is still there. Returns NULL when all hold,
 * else which does not. */
__attribute__((unused)) static const char *format_fault(const dsl_doc *doc, bool print) {
    spak_error err;
    const char *fault = NULL;
    spak_str once = {0}, twice = {0}, comments = {0}, comments_after = {0};
    if (!dsl_format(doc, &once, &err)) fault = "the formatter fails";
    dsl_doc *again = parse(doc->file, spak_str_text(&once), once.len);
    if (!again || !dsl_format(again, &twice, &err)) fault = "the layout does not parse";
    json_t *before = placeless_meaning(doc), *after = again ? placeless_meaning(again) : NULL;
    if (again) {
        all_comments(doc, &comments);
        all_comments(again, &comments_after);
        if (once.len != twice.len || memcmp(spak_str_text(&once), spak_str_text(&twice), once.len))
            fault = "fmt(fmt(x)) differs from fmt(x)";
        else if (!json_equal(before, after))
            fault = "meaning(fmt(x)) differs from meaning(x)";
        else if (count_comments(doc) != count_comments(again) ||
                 strcmp(spak_str_text(&comments), spak_str_text(&comments_after)))
            fault = "a comment is lost";
    }
    if (fault && print)
        printf("# %s\n# --- input\n%s\n# --- fmt\n%s\n# --- fmt fmt\n%s\n", fault, doc->text, spak_str_text(&once),
               spak_str_text(&twice));
    json_decref(before);
    json_decref(after);
    dsl_free(again);
    spak_str_free(&once);
    spak_str_free(&twice);
    spak_str_free(&comments);
    spak_str_free(&comments_after);
    return fault;
}

#endif
