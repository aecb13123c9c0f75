/* Nodes to JSON, and the look-ups on that JSON. */
#include "dsl/dsl_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder {
    const dsl_doc *doc;
    spak_str text; /* scratch */
    dsl_cursor cursor;
    bool oom;
} builder;

static json_t *value_of(builder *b, uint32_t node);
static json_t *items_of(builder *b, uint32_t first);

bool dsl_token_is(const dsl_doc *doc, uint32_t token, const char *word) {
    const dsl_token *t = &doc->tokens[token];
    size_t len = strlen(word);
    return t->end - t->start == len && !memcmp(doc->text + t->start, word, len);
}

/* --- text --- */

static void put_utf8(spak_str *out, uint32_t c) {
    if (c < 0x80) {
        spak_str_putc(out, (char)c);
    } else if (c < 0x800) {
        spak_str_putc(out, (char)(0xc0 | c >> 6));
        spak_str_putc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        spak_str_putc(out, (char)(0xe0 | c >> 12));
        spak_str_putc(out, (char)(0x80 | (c >> 6 & 63)));
        spak_str_putc(out, (char)(0x80 | (c & 63)));
    } else {
        spak_str_putc(out, (char)(0xf0 | c >> 18));
        spak_str_putc(out, (char)(0x80 | (c >> 12 & 63)));
        spak_str_putc(out, (char)(0x80 | (c >> 6 & 63)));
        spak_str_putc(out, (char)(0x80 | (c & 63)));
    }
}

static bool hex4(const char *s, const char *end, uint32_t *value) {
    *value = 0;
    if (end - s < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit > 15) return false;
        *value = *value * 16 + digit;
    }
    return true;
}

/* One escape at s (which is at a backslash); returns what follows it. An unknown one stays as it is written, since
 * prose holds \alpha and C:\path. */
static const char *put_escape(spak_str *out, const char *s, const char *end) {
    static const char from[] = "\"\\/nrtbf", to[] = "\"\\/\n\r\t\b\f";
    const char *known = s + 1 < end && s[1] ? strchr(from, s[1]) : NULL;
    uint32_t high, low;
    if (known) {
        spak_str_putc(out, to[known - from]);
        return s + 2;
    }
    if (s + 1 < end && s[1] == 'u' && hex4(s + 2, end, &high) && high) {
        bool pair = high >= 0xd800 && high < 0xdc00 && end - s >= 12 && s[6] == '\\' && s[7] == 'u' &&
                    hex4(s + 8, end, &low) && low >= 0xdc00 && low < 0xe000;
        if (pair) {
            put_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            return s + 12;
        }
        put_utf8(out, high >= 0xd800 && high < 0xe000 ? 0xfffd : high);
        return s + 6;
    }
    spak_str_putc(out, '\\');
    return s + 1;
}

static void put_string(const dsl_doc *doc, const dsl_token *token, spak_str *out) {
    size_t quotes = token->flags & F_TRIPLE ? 3 : 1;
    const char *s = doc->text + token->start + quotes;
    const char *end = doc->text + token->end - (token->flags & F_CUT ? 0 : quotes);
    while (s < end) {
        if (*s == '\\') {
            s = put_escape(out, s, end);
        } else if (*s == '\r' && quotes == 3) {
            const char *after = s;
            while (after < end && *after == '\r') after++;
            if (after == end || *after != '\n') spak_str_append(out, s, (size_t)(after - s));
            s = after;
        } else {
            spak_str_putc(out, *s++);
        }
    }
}

void dsl_token_text(const dsl_doc *doc, uint32_t token, spak_str *out) {
    const dsl_token *t = &doc->tokens[token];
    if (t->kind == T_STRING)
        put_string(doc, t, out);
    else
        spak_str_append(out, doc->text + t->start, t->end - t->start);
}

/* The length of the UTF-8 character at s, 0 when there is none. */
static size_t utf8_len(const unsigned char *s, size_t left) {
    unsigned char c = s[0];
    size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (!len || len > left) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

/* The scratch text as a JSON string; bytes that are no UTF-8 become U+FFFD. */
static json_t *take_text(builder *b) {
    if (b->text.oom) {
        b->oom = true;
        return NULL;
    }
    json_t *string = json_stringn(spak_str_text(&b->text), b->text.len);
    if (string) return string;
    spak_str good = {0};
    for (size_t i = 0; i < b->text.len;) {
        size_t len = utf8_len((const unsigned char *)b->text.data + i, b->text.len - i);
        if (len)
            spak_str_append(&good, b->text.data + i, len);
        else
            spak_str_puts(&good, "\xef\xbf\xbd");
        i += len ? len : 1;
    }
    if (!good.oom) string = json_stringn(spak_str_text(&good), good.len);
    spak_str_free(&good);
    if (!string) b->oom = true;
    return string;
}

static json_t *text_of(builder *b, uint32_t token) {
    spak_str_clear(&b->text);
    dsl_token_text(b->doc, token, &b->text);
    return take_text(b);
}

static json_t *span_of(builder *b, uint32_t first, uint32_t last) {
    spak_str_clear(&b->text);
    dsl_canonical_text(b->doc, first, last, &b->text);
    return take_text(b);
}

/* --- objects --- */

static void put(builder *b, json_t *object, const char *key, json_t *value) {
    if (!value || json_object_set_new(object, key, value)) b->oom = true;
}

static void add(builder *b, json_t *array, json_t *value) {
    if (!value || json_array_append_new(array, value)) b->oom = true;
}

static json_t *object_with(builder *b, const char *key, json_t *value) {
    json_t *object = json_object();
    if (!object) {
        json_decref(value);
        b->oom = true;
        return NULL;
    }
    put(b, object, key, value);
    return object;
}

static json_t *list_of(builder *b, uint32_t first) {
    json_t *array = json_array();
    if (!array) b->oom = true;
    for (uint32_t i = first; i && !b->oom; i = b->doc->nodes[i].next) add(b, array, value_of(b, i));
    return array;
}

static const dsl_node *node_at(const builder *b, uint32_t i) { return &b->doc->nodes[i]; }

/* --- values --- */

/* [+-]digits[.digits][e[+-]digits] */
static bool is_number(const char *s, bool *real) {
    *real = false;
    if (*s == '+' || *s == '-') s++;
    size_t whole = strspn(s, "0123456789"), fraction = 0;
    s += whole;
    if (*s == '.') {
        *real = true;
        fraction = strspn(++s, "0123456789");
        s += fraction;
    }
    if (!whole && !fraction) return false;
    if (*s == 'e' || *s == 'E') {
        *real = true;
        s++;
        if (*s == '+' || *s == '-') s++;
        size_t digits = strspn(s, "0123456789");
        if (!digits) return false;
        s += digits;
    }
    return !*s;
}

static json_t *word_value(builder *b, uint32_t token) {
    if (dsl_token_is(b->doc, token, "true")) return json_true();
    if (dsl_token_is(b->doc, token, "false")) return json_false();
    spak_str_clear(&b->text);
    dsl_token_text(b->doc, token, &b->text);
    const char *text = spak_str_text(&b->text);
    bool real;
    if (is_number(text, &real)) {
        errno = 0;
        long long whole = real ? 0 : strtoll(text, NULL, 10);
        if (!real && !errno) return json_integer(whole);
        double number = strtod(text, NULL);
        if (isfinite(number)) return json_real(number);
    }
    return object_with(b, "word", take_text(b));
}

static json_t *code_value(builder *b, uint32_t token) {
    const dsl_token *t = &b->doc->tokens[token];
    spak_str_clear(&b->text);
    spak_str_append(&b->text, b->doc->text + t->start + 1, t->end - t->start - (t->flags & F_CUT ? 1 : 2));
    return object_with(b, "code", take_text(b));
}

static json_t *template_value(builder *b, uint32_t token) {
    const dsl_token *t = &b->doc->tokens[token];
    spak_str_clear(&b->text);
    spak_str_append(&b->text, b->doc->text + t->start + 2, t->end - t->start - 4);
    return object_with(b, "template", take_text(b));
}

static json_t *pair_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "key", text_of(b, node->first));
    if (item) put(b, item, "value", node->child ? value_of(b, node->child) : json_null());
    return item;
}

static json_t *pair_value(builder *b, const dsl_node *node) {
    json_t *items = json_array();
    if (!items) {
        b->oom = true;
        return NULL;
    }
    add(b, items, pair_item(b, node));
    return object_with(b, "map", items);
}

static json_t *call_value(builder *b, const dsl_node *node) {
    json_t *call = object_with(b, "call", text_of(b, node->first));
    if (!call) return NULL;
    put(b, call, "args", list_of(b, node->child));
    if (node->extra) put(b, call, "body", items_of(b, node_at(b, node->extra)->child));
    return call;
}

static json_t *value_of(builder *b, uint32_t i) {
    const dsl_node *node = node_at(b, i);
    switch ((dsl_node_kind)node->kind) {
        case V_STRING: return text_of(b, node->first);
        case V_WORD: return word_value(b, node->first);
        case V_CODE: return code_value(b, node->first);
        case V_TEMPLATE: return template_value(b, node->first);
        case V_LIST: return list_of(b, node->child);
        case V_MAP: return object_with(b, "map", items_of(b, node->child));
        case V_UNION: return object_with(b, "union", list_of(b, node->child));
        case V_TYPE: return object_with(b, "type", span_of(b, node->first, node->last));
        case V_CALL: return call_value(b, node);
        case V_PAIR: return pair_value(b, node);
        case V_EXPR: return object_with(b, "expression", span_of(b, node->first, node->last));
        default: return object_with(b, "opaque", span_of(b, node->first, node->last));
    }
}

/* --- items --- */

static void put_place(builder *b, json_t *item, uint32_t token) {
    dsl_cursor_move(&b->cursor, b->doc->tokens[token].start);
    put(b, item, "line", json_integer(b->cursor.line));
    put(b, item, "column", json_integer(b->cursor.column));
}

static bool is_declaration(const builder *b, const dsl_node *node) {
    return node->name && (dsl_token_is(b->doc, node->first, "state") || dsl_token_is(b->doc, node->first, "parameter"));
}

/* state h: T = v. Without '=', a word or a type is the type; anything else is the value. */
static json_t *declaration_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "kind", text_of(b, node->first));
    if (!item) return NULL;
    put(b, item, "name", text_of(b, node->name));
    uint32_t value = node->child;
    if (value) {
        const dsl_node *first = node_at(b, value);
        bool assigned = b->doc->tokens[node->name + 1].kind == T_EQ;
        if (node->flags & N_TYPED || (!assigned && (first->kind == V_WORD || first->kind == V_TYPE))) {
            put(b, item, "type", span_of(b, first->first, first->last));
            value = node->flags & N_TYPED ? first->next : 0;
        }
    }
    if (value) put(b, item, "value", value_of(b, value));
    return item;
}

static json_t *map_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "kind", text_of(b, node->first));
    if (!item) return NULL;
    put(b, item, "name", node->name ? text_of(b, node->name) : json_null());
    put(b, item, "map", json_true());
    put(b, item, "body", items_of(b, node_at(b, node->child)->child));
    return item;
}

static json_t *entry_item(builder *b, const dsl_node *node) {
    if (is_declaration(b, node)) return declaration_item(b, node);
    if (node->child && node_at(b, node->child)->kind == V_MAP && !(node->flags & N_TYPED)) return map_item(b, node);
    json_t *item = object_with(b, "key", text_of(b, node->first));
    if (!item) return NULL;
    if (node->name) put(b, item, "name", text_of(b, node->name));
    uint32_t value = node->child;
    if (node->flags & N_TYPED) {
        const dsl_node *type = node_at(b, value);
        put(b, item, "type", span_of(b, type->first, type->last));
        value = type->next;
    }
    put(b, item, "value", value ? value_of(b, value) : json_null());
    return item;
}

/* Parameters are items without a place: {"key": "t", "value": {"word": "T"}}, or {"value": V} when unnamed. */
static json_t *params_of(builder *b, const dsl_node *list) {
    json_t *params = json_array();
    if (!params) b->oom = true;
    for (uint32_t i = list->child; i && !b->oom; i = node_at(b, i)->next) {
        const dsl_node *param = node_at(b, i);
        add(b, params, param->kind == V_PAIR ? pair_item(b, param) : object_with(b, "value", value_of(b, i)));
    }
    return params;
}

/* Words between a block's name and its parameters or brace: `type X matches { }`. */
static void put_modifiers(builder *b, json_t *item, const dsl_node *node) {
    uint32_t end = node->extra ? node_at(b, node->extra)->first : node->open;
    json_t *modifiers = NULL;
    for (uint32_t i = node->name + 1; node->name && i < end && !b->oom; i++) {
        uint8_t kind = b->doc->tokens[i].kind;
        if (kind != T_WORD && kind != T_STRING && kind != T_TEMPLATE) continue;
        if (!modifiers && !(modifiers = json_array())) b->oom = true;
        if (modifiers) add(b, modifiers, text_of(b, i));
    }
    if (modifiers) put(b, item, "modifiers", modifiers);
}

static json_t *block_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "kind", text_of(b, node->first));
    if (!item) return NULL;
    put(b, item, "name", node->name ? text_of(b, node->name) : json_null());
    put_modifiers(b, item, node);
    if (node->extra) {
        const dsl_node *params = node_at(b, node->extra);
        put(b, item, "params", params_of(b, params));
        if (params->next) {
            const dsl_node *type = node_at(b, params->next);
            put(b, item, "type", span_of(b, type->first, type->last));
        }
    }
    if (node->open) put(b, item, "body", items_of(b, node->child));
    return item;
}

static json_t *opaque_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "kind", json_string("opaque"));
    if (!item) return NULL;
    if (node->open) {
        put(b, item, "text", node->open > node->first ? span_of(b, node->first, node->open - 1) : json_string(""));
        put(b, item, "body", items_of(b, node->child));
    } else {
        put(b, item, "text", span_of(b, node->first, node->last));
    }
    return item;
}

static json_t *statement_item(builder *b, const dsl_node *node) {
    json_t *item = object_with(b, "kind", json_string(node->kind == N_EMIT ? "emit" : "return"));
    if (!item) return NULL;
    if (node->kind == N_EMIT) {
        put(b, item, "name", node->name ? text_of(b, node->name) : json_null());
        if (node->open) put(b, item, "body", items_of(b, node->child));
    } else {
        put(b, item, "value", node->child ? value_of(b, node->child) : json_null());
    }
    return item;
}

static json_t *item_of(builder *b, const dsl_node *node) {
    switch ((dsl_node_kind)node->kind) {
        case N_ENTRY: return entry_item(b, node);
        case N_BLOCK: return block_item(b, node);
        case N_EMIT:
        case N_RETURN: return statement_item(b, node);
        default: return opaque_item(b, node);
    }
}

static json_t *items_of(builder *b, uint32_t first) {
    json_t *items = json_array();
    if (!items) b->oom = true;
    for (uint32_t i = first; i && !b->oom; i = node_at(b, i)->next) {
        json_t *item = item_of(b, node_at(b, i));
        if (item) put_place(b, item, node_at(b, i)->first);
        add(b, items, item);
    }
    return items;
}

bool dsl_meaning(const dsl_doc *doc, json_t **out, spak_error *err) {
    builder b = {.doc = doc};
    dsl_cursor_init(&b.cursor, doc->text);
    *out = NULL;
    spak_str_puts(&b.text, doc->file);
    json_t *meaning = object_with(&b, "file", take_text(&b));
    if (meaning) {
        put(&b, meaning, "front_matter", doc->front_matter ? json_deep_copy(doc->front_matter) : json_null());
        put(&b, meaning, "body", items_of(&b, doc->body));
    }
    spak_str_free(&b.text);
    if (b.oom) {
        json_decref(meaning);
        return spak_fail_oom(err);
    }
    *out = meaning;
    return true;
}

/* --- look-ups --- */

static const json_t *body_of(const json_t *block) {
    return json_is_array(block) ? block : json_object_get(block, "body");
}

const json_t *dsl_block(const json_t *block, const char *kind, const char *name, size_t i) {
    const json_t *body = body_of(block);
    for (size_t k = 0; k < json_array_size(body); k++) {
        const json_t *item = json_array_get(body, k);
        if (strcmp(spak_json_str(item, "kind", ""), kind)) continue;
        if (name && strcmp(spak_json_str(item, "name", ""), name)) continue;
        if (!i--) return item;
    }
    return NULL;
}

const json_t *dsl_value_at(const json_t *block, const char *key, size_t i) {
    const json_t *body = body_of(block);
    for (size_t k = 0; k < json_array_size(body); k++) {
        const json_t *item = json_array_get(body, k);
        if (!strcmp(spak_json_str(item, "key", ""), key) && !i--) return json_object_get(item, "value");
    }
    return NULL;
}

const json_t *dsl_value(const json_t *block, const char *key) { return dsl_value_at(block, key, 0); }

const char *dsl_text(const json_t *value, const char *otherwise) {
    if (json_is_string(value)) return json_string_value(value);
    const char *word = spak_json_str(value, "word", NULL);
    return word ? word : spak_json_str(value, "code", otherwise);
}

const char *dsl_code(const json_t *value) { return spak_json_str(value, "code", NULL); }
