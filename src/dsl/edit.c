/* Lossless edits: the new text of the whole file, of which only the inserted or replaced bytes differ.
 *
 * An edit is done on the text, at places the tree knows, and its result is parsed again: an edit that would add a
 * syntax error, or that does not hold what it was to put there, is refused rather than handed back. */
#include <string.h>

#include "base/alloc.h"
#include "dsl/dsl_internal.h"

static const dsl_node *node_at(const dsl_doc *doc, uint32_t i) { return &doc->nodes[i]; }

/* The map node of an entry `key: { ... }`, else the block itself; 0 when there is no body. */
static uint32_t body_node(const dsl_doc *doc, uint32_t item) {
    const dsl_node *node = node_at(doc, item);
    if (node->kind == N_BLOCK && node->open) return item;
    if (node->kind == N_ENTRY && node->child && node_at(doc, node->child)->kind == V_MAP) return node->child;
    return 0;
}

/* When path goes through this item: the rest of it after the item's "kind" or "kind:name", else NULL. The item's own
 * texts are looked for in the path rather than the path cut at ':' and '/', since a name may hold both. */
static const char *path_step(const dsl_doc *doc, uint32_t item, const char *path, spak_str *scratch) {
    const dsl_node *node = node_at(doc, item);
    for (int with_name = 1; with_name >= 0; with_name--) {
        if (with_name && !node->name) continue;
        spak_str_clear(scratch);
        dsl_token_text(doc, node->first, scratch);
        if (with_name) {
            spak_str_putc(scratch, ':');
            dsl_token_text(doc, node->name, scratch);
        }
        const char *text = spak_str_text(scratch);
        size_t len = strlen(text);
        if (!strncmp(path, text, len) && (!path[len] || path[len] == '/')) return path + len + (path[len] == '/');
    }
    return NULL;
}

/* The body node that path leads to; 0: none. */
static uint32_t find_body(const dsl_doc *doc, uint32_t first, const char *path, spak_str *scratch) {
    for (uint32_t i = first; i; i = node_at(doc, i)->next) {
        uint32_t body = body_node(doc, i);
        const char *rest = body ? path_step(doc, i, path, scratch) : NULL;
        if (!rest) continue;
        if (!*rest) return body;
        uint32_t found = find_body(doc, node_at(doc, body)->child, rest, scratch);
        if (found) return found;
    }
    return 0;
}

static bool resolve(const dsl_doc *doc, const char *path, uint32_t *body, spak_error *err) {
    spak_str scratch = {0};
    *body = find_body(doc, doc->body, path, &scratch);
    bool ok = spak_str_ok(&scratch, err);
    spak_str_free(&scratch);
    if (!ok) return false;
    if (!*body)
        return spak_fail(err, "%s: no block '%s'; expected a path like system/knowledge/rule:name", doc->file, path);
    const dsl_token *close = &doc->tokens[node_at(doc, *body)->last];
    if (!(close->flags & F_CLOSE) || close->kind != T_RBRACE)
        return spak_fail(err, "%s: the block '%s' is not closed; add its '}' first", doc->file, path);
    return true;
}

/* Parses text by itself; false unless it is free of errors and holds items (exactly one, when `single`). */
static bool is_good(const char *what, const char *text, bool single, spak_error *err) {
    dsl_doc *doc;
    if (!dsl_parse(what, text, strlen(text), &doc, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < doc->diagnostic_count; i++)
        if (doc->diagnostics[i].severity == DSL_ERROR)
            ok = spak_fail(err, "%s: %s: %s", what, doc->diagnostics[i].message, text);
    if (ok && (!doc->body || doc->front || (single && node_at(doc, doc->body)->next)))
        ok = spak_fail(err, "%s: expected %s, found: %s", what, single ? "one value" : "an entry or a block", text);
    dsl_free(doc);
    return ok;
}

static const char *newline_of(const dsl_doc *doc) {
    const char *newline = memchr(doc->text, '\n', doc->len);
    return newline && newline > doc->text && newline[-1] == '\r' ? "\r\n" : "\n";
}

/* The blanks at the beginning of the line that offset lies on. */
static void line_indent(const dsl_doc *doc, uint32_t offset, const char **indent, size_t *len) {
    uint32_t start = offset;
    while (start > 0 && doc->text[start - 1] != '\n') start--;
    if (!start && !strncmp(doc->text, "\xef\xbb\xbf", 3)) start = 3;
    uint32_t end = start;
    while (doc->text[end] == ' ' || doc->text[end] == '\t') end++;
    *indent = doc->text + start;
    *len = end - start;
}

/* The block's indentation and one level more: that of an item that has a line to itself, else four spaces. */
static void inner_indent(const dsl_doc *doc, const dsl_node *body, spak_str *out) {
    const char *indent;
    size_t len;
    for (uint32_t i = body->child; i; i = node_at(doc, i)->next) {
        uint32_t at = doc->tokens[node_at(doc, i)->first].start;
        line_indent(doc, at, &indent, &len);
        if (indent + len == doc->text + at) {
            spak_str_append(out, indent, len);
            return;
        }
    }
    line_indent(doc, doc->tokens[body->open].start, &indent, &len);
    spak_str_append(out, indent, len);
    spak_str_puts(out, len && indent[0] == '\t' ? "\t" : "    ");
}

/* text line by line, each with the indentation (blank lines without), without a newline at the end. */
static void put_lines(const char *text, const spak_str *indent, const char *newline, spak_str *out) {
    size_t len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1])) len--;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t stop = end ? (size_t)(end - text) : len, last = stop;
        while (last > at && text[last - 1] == '\r') last--;
        if (at) spak_str_puts(out, newline);
        if (last > at) {
            spak_str_append(out, indent->data ? indent->data : "", indent->len);
            spak_str_append(out, text + at, last - at);
        }
        at = stop + 1;
    }
}

/* A comment would swallow what follows it on the line, and braces deserve lines of their own. */
static bool fits_on_line(const char *text) {
    return !strpbrk(text, "\n\r#{") && !strstr(text, "//") && !strstr(text, "/*");
}

static void put_entry(const dsl_doc *doc, const dsl_node *body, const char *entry, spak_str *out) {
    const char *text = doc->text, *newline = newline_of(doc), *indent;
    uint32_t close = doc->tokens[body->last].start, from = close;
    while (from > 0 && (text[from - 1] == ' ' || text[from - 1] == '\t')) from--;
    bool own_line = from > 0 && text[from - 1] == '\n';
    bool one_line = !(doc->tokens[body->open].flags & F_MULTI) && fits_on_line(entry);
    spak_str inner = {0};
    size_t len;
    inner_indent(doc, body, &inner);
    if (own_line) { /* whole lines, before the line of the brace */
        spak_str_append(out, text, from);
        put_lines(entry, &inner, newline, out);
        spak_str_puts(out, newline);
        spak_str_append(out, text + from, doc->len - from);
    } else if (one_line) {
        spak_str none = {0};
        spak_str_append(out, text, from);
        spak_str_putc(out, ' ');
        put_lines(entry, &none, newline, out);
        if (from == close) spak_str_putc(out, ' ');
        spak_str_append(out, text + from, doc->len - from);
    } else {
        spak_str_append(out, text, close);
        spak_str_puts(out, newline);
        put_lines(entry, &inner, newline, out);
        spak_str_puts(out, newline);
        line_indent(doc, doc->tokens[body->open].start, &indent, &len);
        spak_str_append(out, indent, len);
        spak_str_append(out, text + close, doc->len - close);
    }
    if (inner.oom) out->oom = true;
    spak_str_free(&inner);
}

/* The result must read back without more errors than the file had. */
static bool accept_edit(const dsl_doc *doc, size_t begin, spak_str *out, spak_error *err) {
    if (!spak_str_ok(out, err)) return false;
    dsl_doc *after;
    if (!dsl_parse(doc->file, out->data + begin, out->len - begin, &after, err)) return false;
    bool ok = after->error_count <= doc->error_count;
    if (!ok) spak_fail(err, "%s: the edit would break the file's syntax", doc->file);
    dsl_free(after);
    return ok;
}

bool dsl_append_to_block(const dsl_doc *doc, const char *path, const char *entry_text, spak_str *out, spak_error *err) {
    uint32_t body;
    size_t begin = out->len;
    if (!is_good("the entry to append", entry_text, false, err) || !resolve(doc, path, &body, err)) return false;
    put_entry(doc, node_at(doc, body), entry_text, out);
    return accept_edit(doc, begin, out, err);
}

/* The value of the first entry with this key: its text is [*start, *end). */
static bool find_value(const dsl_doc *doc, uint32_t body, const char *key, uint32_t *start, uint32_t *end,
                       spak_error *err) {
    spak_str name = {0};
    bool found = false;
    for (uint32_t i = node_at(doc, body)->child; i && !found && !name.oom; i = node_at(doc, i)->next) {
        const dsl_node *node = node_at(doc, i);
        if (node->kind != N_ENTRY || node->name || !node->child) continue;
        spak_str_clear(&name);
        dsl_token_text(doc, node->first, &name);
        if (strcmp(spak_str_text(&name), key)) continue;
        uint32_t value = node->flags & N_TYPED ? node_at(doc, node->child)->next : node->child;
        if (!value) continue;
        *start = doc->tokens[node_at(doc, value)->first].start;
        *end = doc->tokens[node_at(doc, value)->last].end;
        found = true;
    }
    if (name.oom)
        spak_fail_oom(err);
    else if (!found)
        *err = (spak_error){{0}};
    spak_str_free(&name);
    return found;
}

bool dsl_set_value(const dsl_doc *doc, const char *path, const char *key, const char *value_text, spak_str *out,
                   spak_error *err) {
    uint32_t body, start, end;
    size_t begin = out->len;
    spak_str entry = {0};
    spak_error scratch;
    if (!err) err = &scratch;
    spak_str_printf(&entry, "%s: %s", key, value_text);
    bool ok = spak_str_ok(&entry, err) && is_good("the value to set", entry.data, true, err) &&
              resolve(doc, path, &body, err);
    if (ok && find_value(doc, body, key, &start, &end, err)) {
        spak_str_append(out, doc->text, start);
        spak_str_puts(out, value_text);
        spak_str_append(out, doc->text + end, doc->len - end);
    } else if (ok && err->message[0]) {
        ok = false;
    } else if (ok) {
        put_entry(doc, node_at(doc, body), entry.data, out);
    }
    spak_str_free(&entry);
    return ok && accept_edit(doc, begin, out, err);
}
