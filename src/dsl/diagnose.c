/* Diagnostics: collecting them, checking names, and showing where. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dsl/dsl_internal.h"

void dsl_report(dsl_doc *doc, dsl_severity severity, size_t start, size_t end, const char *fmt, ...) {
    if (severity == DSL_ERROR) doc->error_count++;
    if (doc->diagnostic_count == DSL_MAX_DIAGNOSTICS) {
        doc->diagnostics_left_out++;
        return;
    }
    if (doc->diagnostic_count == doc->diagnostic_room) {
        size_t room = doc->diagnostic_room ? doc->diagnostic_room * 2 : 16;
        void *moved = spak_realloc(doc->diagnostics, room * sizeof *doc->diagnostics);
        if (!moved) {
            doc->oom = true;
            return;
        }
        doc->diagnostics = moved;
        doc->diagnostic_room = room;
    }
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (len < 0) len = 0;
    char *copy = spak_arena_strndup(&doc->arena, message, len < (int)sizeof message ? (size_t)len : sizeof message - 1);
    if (!copy) {
        doc->oom = true;
        return;
    }
    doc->diagnostics[doc->diagnostic_count++] = (dsl_diagnostic){
        .severity = severity, .offset = start, .length = end > start ? end - start : 0, .message = copy};
}

/* --- names --- */

static const char *const KINDS[] = {
    "agent_loop",     "artifact",     "baseline",  "build",        "claim",
    "dataset",        "design_space", "dynamics",  "emit",         "engineering_loop",
    "fact",           "future_work",  "guide",     "hardware",     "hint",
    "infrastructure", "inherits",     "invariant", "kernel",       "knowledge",
    "model",          "objective",    "parameter", "protocol",     "rule",
    "state",          "system",       "ticket",    "trace_schema", "tuning_space",
    "type",           "variant",
};

static int by_name(const void *key, const void *element) {
    return strcmp((const char *)key, *(const char *const *)element);
}

static void check_kind(dsl_doc *doc, const dsl_node *node) {
    const dsl_token *token = &doc->tokens[node->first];
    char kind[32];
    size_t len = token->end - token->start;
    if (len < sizeof kind) {
        memcpy(kind, doc->text + token->start, len);
        kind[len] = 0;
        if (bsearch(kind, KINDS, sizeof KINDS / sizeof *KINDS, sizeof *KINDS, by_name)) return;
    }
    dsl_report(doc, DSL_WARNING, token->start, token->end,
               "'%.*s' is no kind of block that is known at the top of a file; it is kept as it is",
               (int)(len > 40 ? 40 : len), doc->text + token->start);
}

/* A set of (parent, kind, name), open addressing; a slot holds a node's index. */
typedef struct name_set {
    struct slot {
        uint32_t node, parent;
    } * slots;
    uint32_t mask, used;
} name_set;

static uint64_t hash_bytes(uint64_t hash, const char *text, uint32_t len) {
    for (uint32_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash;
}

static bool same_text(const dsl_doc *doc, uint32_t a, uint32_t b) {
    const dsl_token *x = &doc->tokens[a], *y = &doc->tokens[b];
    uint32_t len = x->end - x->start;
    return len == y->end - y->start && !memcmp(doc->text + x->start, doc->text + y->start, len);
}

static uint64_t hash_name(const dsl_doc *doc, uint32_t node, uint32_t parent) {
    const dsl_node *n = &doc->nodes[node];
    const dsl_token *kind = &doc->tokens[n->first], *name = &doc->tokens[n->name];
    uint64_t hash = 0xcbf29ce484222325u ^ (parent * 0x9e3779b97f4a7c15u);
    hash = hash_bytes(hash, doc->text + kind->start, kind->end - kind->start);
    hash = hash_bytes(hash * 31, doc->text + name->start, name->end - name->start);
    return hash ^ hash >> 29;
}

static bool name_set_grow(dsl_doc *doc, name_set *set) {
    uint32_t old_count = set->slots ? set->mask + 1 : 0, count = old_count ? old_count * 2 : 64;
    struct slot *slots = spak_calloc(count, sizeof *slots), *old = set->slots;
    if (!slots) return false;
    set->slots = slots;
    set->mask = count - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i].node) continue;
        uint32_t at = (uint32_t)hash_name(doc, old[i].node, old[i].parent) & set->mask;
        while (slots[at].node) at = (at + 1) & set->mask;
        slots[at] = old[i];
    }
    spak_free(old);
    return true;
}

/* Adds the node; *earlier is the one of the same parent, kind and name that is there already, or 0. */
static bool name_set_add(dsl_doc *doc, name_set *set, uint32_t node, uint32_t parent, uint32_t *earlier) {
    *earlier = 0;
    if (set->used >= set->mask / 2 && !name_set_grow(doc, set)) return false;
    uint32_t at = (uint32_t)hash_name(doc, node, parent) & set->mask;
    for (; set->slots[at].node; at = (at + 1) & set->mask) {
        const dsl_node *there = &doc->nodes[set->slots[at].node], *here = &doc->nodes[node];
        if (set->slots[at].parent != parent || !same_text(doc, there->first, here->first) ||
            !same_text(doc, there->name, here->name))
            continue;
        *earlier = set->slots[at].node;
        return true;
    }
    set->slots[at] = (struct slot){node, parent};
    set->used++;
    return true;
}

static bool check_items(dsl_doc *doc, name_set *set, uint32_t first, uint32_t parent) {
    for (uint32_t i = first; i; i = doc->nodes[i].next) {
        const dsl_node *node = &doc->nodes[i];
        if (node->kind == N_ENTRY && doc->nodes[node->child].kind == V_MAP) {
            if (!check_items(doc, set, doc->nodes[node->child].child, i)) return false;
            continue;
        }
        if (node->kind != N_BLOCK) continue;
        if (!parent && node->open) check_kind(doc, node);
        uint32_t earlier = 0;
        if (node->name && node->open && !name_set_add(doc, set, i, parent, &earlier)) return false;
        if (earlier) {
            const dsl_token *kind = &doc->tokens[node->first], *name = &doc->tokens[node->name];
            uint32_t len = name->end - name->start;
            dsl_report(doc, DSL_WARNING, name->start, name->end, "a second '%.*s %.*s' in the same block; rename one",
                       (int)(kind->end - kind->start > 40 ? 40 : kind->end - kind->start), doc->text + kind->start,
                       (int)(len > 80 ? 80 : len), doc->text + name->start);
        }
        if (!check_items(doc, set, doc->nodes[i].child, i)) return false;
    }
    return true;
}

bool dsl_check_names(dsl_doc *doc) {
    name_set set = {0};
    bool ok = check_items(doc, &set, doc->body, 0);
    spak_free(set.slots);
    return ok;
}

/* --- places --- */

void dsl_cursor_init(dsl_cursor *cursor, const char *text) {
    *cursor = (dsl_cursor){.text = text, .line = 1, .column = 1};
    if (!strncmp(text, "\xef\xbb\xbf", 3)) cursor->at = 3;
}

void dsl_cursor_move(dsl_cursor *cursor, size_t offset) {
    if (offset < cursor->at) dsl_cursor_init(cursor, cursor->text);
    const char *text = cursor->text;
    size_t at = cursor->at;
    for (const char *newline; at < offset && (newline = memchr(text + at, '\n', offset - at));) {
        at = (size_t)(newline + 1 - text);
        cursor->line++;
        cursor->column = 1;
    }
    for (; at < offset; at++) cursor->column += ((unsigned char)text[at] & 0xc0) != 0x80;
    cursor->at = at;
}

static int by_offset(const void *a, const void *b) {
    const dsl_diagnostic *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->message < y->message ? -1 : x->message > y->message;
}

void dsl_locate_diagnostics(dsl_doc *doc) {
    if (!doc->diagnostic_count) return;
    qsort(doc->diagnostics, doc->diagnostic_count, sizeof *doc->diagnostics, by_offset);
    dsl_cursor cursor;
    dsl_cursor_init(&cursor, doc->text);
    for (size_t i = 0; i < doc->diagnostic_count; i++) {
        dsl_cursor_move(&cursor, doc->diagnostics[i].offset);
        doc->diagnostics[i].line = cursor.line;
        doc->diagnostics[i].column = cursor.column;
    }
}

size_t dsl_diagnostic_count(const dsl_doc *doc) { return doc->diagnostic_count; }

const dsl_diagnostic *dsl_diagnostic_at(const dsl_doc *doc, size_t i) {
    return i < doc->diagnostic_count ? &doc->diagnostics[i] : NULL;
}

size_t dsl_error_count(const dsl_doc *doc) { return doc->error_count; }

/* One character of the source line as it can be shown: controls and bytes that are no text become '?'. */
static void put_shown(spak_str *out, unsigned char c) {
    spak_str_putc(out, c < 0x20 || c == 0x7f ? (c == '\t' ? '\t' : '?') : (char)c);
}

void dsl_format_diagnostic(const dsl_doc *doc, const dsl_diagnostic *d, spak_str *out) {
    static const char *const severities[] = {"note", "warning", "error"};
    enum { BEFORE = 100, WIDTH = 180 }; /* bytes of a long line that are shown */
    spak_str_printf(out, "%s:%u:%u: %s: %s\n", doc->file, d->line, d->column, severities[d->severity], d->message);
    size_t start = d->offset, end = d->offset;
    while (start > 0 && doc->text[start - 1] != '\n' && d->offset - start < BEFORE) start--;
    while (start < d->offset && ((unsigned char)doc->text[start] & 0xc0) == 0x80) start++;
    while (end < doc->len && doc->text[end] != '\n' && end - start < WIDTH) end++;
    while (end > d->offset && ((unsigned char)doc->text[end] & 0xc0) == 0x80) end--;
    while (end > start && dsl_is_blank((unsigned char)doc->text[end - 1])) end--;
    spak_str_puts(out, "    ");
    for (size_t i = start; i < end; i++) put_shown(out, (unsigned char)doc->text[i]);
    spak_str_puts(out, "\n    ");
    for (size_t i = start; i < d->offset; i++)
        if (((unsigned char)doc->text[i] & 0xc0) != 0x80) spak_str_putc(out, doc->text[i] == '\t' ? '\t' : ' ');
    spak_str_putc(out, '^');
    for (size_t i = d->offset + 1; i < d->offset + d->length && i < end; i++)
        if (((unsigned char)doc->text[i] & 0xc0) != 0x80) spak_str_putc(out, '~');
    spak_str_putc(out, '\n');
}
