/* The document: what dsl_parse makes and dsl_free gives back. */
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "dsl/dsl_internal.h"

/* Room grows by half; the arrays are big and few, and realloc moves pages rather than bytes. */
static bool grow(dsl_doc *doc, void **array, uint32_t *room, size_t size, uint32_t least) {
    uint32_t more = *room ? *room + *room / 2 : least;
    void *moved = more > *room ? spak_realloc(*array, more * size) : NULL;
    if (!moved) {
        doc->oom = true;
        return false;
    }
    *array = moved;
    *room = more;
    return true;
}

bool dsl_token_push(dsl_doc *doc, dsl_token token) {
    if (doc->oom) return false;
    if (doc->token_count == doc->token_room) {
        void *array = doc->tokens;
        if (!grow(doc, &array, &doc->token_room, sizeof *doc->tokens, 16 + doc->len / 8)) return false;
        doc->tokens = array;
    }
    doc->tokens[doc->token_count++] = token;
    return true;
}

uint32_t dsl_node_new(dsl_doc *doc, dsl_node_kind kind, uint32_t first) {
    if (doc->oom) return 0;
    if (doc->node_count == doc->node_room) {
        void *array = doc->nodes;
        if (!grow(doc, &array, &doc->node_room, sizeof *doc->nodes, 16 + doc->len / 16)) return 0;
        doc->nodes = array;
    }
    doc->nodes[doc->node_count] = (dsl_node){.kind = (uint8_t)kind, .first = first, .last = first};
    return doc->node_count++;
}

/* The text between the --- lines. */
static void read_front_matter(dsl_doc *doc) {
    const dsl_token *token = &doc->tokens[doc->front];
    const char *newline = memchr(doc->text + token->start, '\n', token->end - token->start);
    if (!newline) return;
    size_t start = (size_t)(newline + 1 - doc->text), end = token->end;
    if (!(token->flags & F_CUT)) end -= 3;
    size_t line, column;
    char message[256];
    spak_str yaml = {0};
    dsl_put_token(doc, &(dsl_token){.start = (uint32_t)start, .end = (uint32_t)end}, "\n", &yaml);
    bool good = !yaml.oom && dsl_yaml(spak_str_text(&yaml), yaml.len, &doc->front_matter, &line, &column, message);
    if (yaml.oom || (!good && !message[0])) doc->oom = true;
    spak_str_free(&yaml);
    if (good || doc->oom) return;
    size_t at = start;
    while (line-- && at < end) {
        newline = memchr(doc->text + at, '\n', end - at);
        if (!newline) break;
        at = (size_t)(newline + 1 - doc->text);
    }
    while (column-- && at < end && doc->text[at] != '\n') at++;
    dsl_report(doc, DSL_ERROR, at, at, "front matter: %s", message);
}

/* Byte order marks and white space at the top, in any order, say nothing. */
static uint32_t text_start(const char *text) {
    uint32_t at = 0;
    for (;;) {
        if (text[at] == '\n' || dsl_is_blank((unsigned char)text[at]))
            at++;
        else if (!strncmp(text + at, "\xef\xbb\xbf", 3))
            at += 3;
        else
            return at;
    }
}

static bool read_doc(dsl_doc *doc) {
    dsl_parser p = {.doc = doc, .text = doc->text, .len = doc->len};
    dsl_token_push(doc, (dsl_token){0});
    dsl_node_new(doc, N_NONE, 0);
    if (doc->oom) return false;
    size_t bad = spak_first_bad_utf8(doc->text, doc->len);
    if (bad < doc->len)
        dsl_report(doc, DSL_ERROR, bad, bad + 1,
                   "byte 0x%02x is not UTF-8; save the file as UTF-8 (only the first such byte is reported)",
                   (unsigned char)doc->text[bad]);
    p.pos = text_start(doc->text);
    doc->tokens[0].start = doc->tokens[0].end = p.pos;
    if (!dsl_parse_items(&p)) return false;
    if (doc->front) read_front_matter(doc);
    if (!dsl_check_names(doc)) return false;
    dsl_locate_diagnostics(doc);
    return !doc->oom;
}

bool dsl_parse(const char *file, const char *text, size_t len, dsl_doc **out, spak_error *err) {
    *out = NULL;
    if (len > (size_t)1 << 30) return spak_fail(err, "%s: larger than 1 GiB, which no DSL file is", file);
    const char *nul = len ? memchr(text, 0, len) : NULL;
    if (nul)
        return spak_fail(err, "%s: byte %zu is NUL; a DSL file is text, save it as UTF-8", file, (size_t)(nul - text));
    dsl_doc *doc = spak_calloc(1, sizeof *doc);
    if (!doc) return spak_fail_oom(err);
    doc->len = (uint32_t)len;
    doc->file = spak_strdup(file);
    doc->text = spak_strndup(len ? text : "", len);
    if (!doc->file || !doc->text || !read_doc(doc)) {
        dsl_free(doc);
        return spak_fail_oom(err);
    }
    *out = doc;
    return true;
}

bool dsl_parse_file(const char *path, dsl_doc **doc, spak_error *err) {
    spak_str text = {0};
    *doc = NULL;
    bool ok = spak_read_file(path, &text, err) && dsl_parse(path, spak_str_text(&text), text.len, doc, err);
    spak_str_free(&text);
    return ok;
}

void dsl_free(dsl_doc *doc) {
    if (!doc) return;
    json_decref(doc->front_matter);
    spak_arena_free(&doc->arena);
    spak_free(doc->diagnostics);
    spak_free(doc->tokens);
    spak_free(doc->nodes);
    spak_free(doc->text);
    spak_free(doc->file);
    spak_free(doc);
}
