/* Tokens to nodes: recursive descent that never gives up.
 *
 * An item is recognised by what follows its first words on the same line:
 *
 *   key: value          key name: value          key = value          entries
 *   kind { }            kind name [word...] { }  kind name(params) { } blocks
 *   emit X.Y            return expression                             statements
 *
 * Everything else on the line is one opaque node with an error, up to the next thing that looks like `key:`, a brace,
 * or the line's end; if braces follow, their items are parsed as usual, so that no damage in a head loses a body.
 * Whether something starts an entry is asked of the raw text (starts_entry), never by parsing and backtracking: each
 * byte is looked at a bounded number of times, and damage cannot make parsing slow.
 *
 * A list that lacks its ']' is cut where a line begins with `key:` or `kind {`, or at the '}' around it. A '}' that
 * closes nothing is an opaque node, and the items after it go on at top level. */
#include <string.h>

#include "dsl/dsl_internal.h"

typedef enum context { IN_ENTRY, IN_LIST, IN_ARGUMENTS, IN_ASSIGNMENT, IN_RETURN } context;

static uint32_t parse_value(dsl_parser *p, context where);
static uint32_t parse_items_until_brace(dsl_parser *p);

static dsl_token *token_at(const dsl_parser *p, uint32_t i) { return &p->doc->tokens[i]; }
static dsl_node *node_at(const dsl_parser *p, uint32_t i) { return &p->doc->nodes[i]; }
static dsl_token *current(const dsl_parser *p) { return token_at(p, p->at); }
static bool on_new_line(const dsl_parser *p) { return current(p)->flags & F_NL; }
static bool is_head(uint8_t kind) { return kind == T_WORD || kind == T_STRING || kind == T_TEMPLATE; }

/* The current token is glued to the one before it. */
static bool is_glued(const dsl_parser *p) {
    if (p->at < 2) return false;
    const dsl_token *before = token_at(p, p->at - 1);
    return current(p)->start == before->end && before->kind != T_BLOCK_COMMENT;
}

/* The significant token before the current one. */
static uint32_t last_token(const dsl_parser *p) {
    uint32_t i = p->at ? p->at - 1 : 0;
    while (i > 1 && (token_at(p, i)->kind == T_COMMENT || token_at(p, i)->kind == T_BLOCK_COMMENT)) i--;
    return i;
}

static void error_at(dsl_parser *p, uint32_t token, const char *message) {
    dsl_report(p->doc, DSL_ERROR, token_at(p, token)->start, token_at(p, token)->end, "%s", message);
}

/* "expected X, found Y" at the current token. */
static void expected(dsl_parser *p, const char *what) {
    const dsl_token *token = current(p);
    if (token->kind == T_EOF) {
        dsl_report(p->doc, DSL_ERROR, token->start, token->end, "expected %s, found the end of the file", what);
        return;
    }
    uint32_t len = token->end - token->start;
    dsl_report(p->doc, DSL_ERROR, token->start, token->end, "expected %s, found '%.*s%s'", what,
               (int)(len > 24 ? 24 : len), p->text + token->start, len > 24 ? "..." : "");
}

static uint32_t skip_blanks(const char *text, uint32_t i) {
    while (dsl_is_blank((unsigned char)text[i])) i++;
    return i;
}

static bool is_comment(const char *text, uint32_t i) {
    return text[i] == '#' || (text[i] == '/' && (text[i + 1] == '/' || text[i + 1] == '*'));
}

typedef enum start { START_NONE, START_COLON, START_ASSIGN, START_BRACE, START_TWO_WORDS } start;

/* What the head token (word, string, template) would start, told from the text after it on its line. In value
 * position (a list, an argument, a value) a glued "word:word" is one word and no key. */
static start starts_item(const dsl_parser *p, uint32_t head, bool value_position) {
    const char *text = p->text;
    const dsl_token *token = token_at(p, head);
    uint32_t end = token->end, i = skip_blanks(text, end), unused;
    bool cut = token->flags & F_CUT;
    if (cut) return START_NONE;
    if (text[i] == ':') {
        bool one_word = value_position && token->kind == T_WORD && i == end && dsl_colon_word_end(p, i);
        return one_word ? START_NONE : START_COLON;
    }
    if (text[i] == '=') return text[i + 1] == '=' || text[i + 1] == '>' ? START_NONE : START_ASSIGN;
    if (text[i] == '{') return dsl_template_at(text, i, &unused) ? START_NONE : START_BRACE;
    if (is_comment(text, i)) return START_NONE;
    if (text[i] == '"') {
        for (i++; text[i] && text[i] != '"'; i++) {
            if (text[i] == '\n') return START_NONE;
            if (text[i] == '\\' && text[i + 1] && text[i + 1] != '\n') i++;
        }
        if (text[i]) i++;
    } else if (dsl_is_word_byte((unsigned char)text[i])) {
        i = dsl_word_end(p, i);
    } else {
        return START_NONE;
    }
    i = skip_blanks(text, i);
    bool two = text[i] == ':' || (text[i] == '{' && !dsl_template_at(text, i, &unused));
    return two ? START_TWO_WORDS : START_NONE;
}

static bool is_statement(const dsl_parser *p, uint32_t token) {
    return token_at(p, token)->kind == T_WORD &&
           (dsl_token_is(p->doc, token, "emit") || dsl_token_is(p->doc, token, "return"));
}

/* The current token begins another item, so that what came before it on the line ends here. */
static bool at_next_item(const dsl_parser *p, context where) {
    if (!is_head(p->kind)) return false;
    bool in_brackets = where == IN_LIST || where == IN_ARGUMENTS;
    start what = starts_item(p, p->at, in_brackets);
    if (in_brackets) return what == START_COLON || what == START_ASSIGN;
    return what != START_NONE || is_statement(p, p->at);
}

/* --- nesting --- */

static bool is_opener(uint8_t kind) { return kind == T_LBRACE || kind == T_LBRACKET || kind == T_LPAREN; }
static bool is_closer(uint8_t kind) { return kind == T_RBRACE || kind == T_RBRACKET || kind == T_RPAREN; }

/* At an opener: false, with an error and everything up to the matching closer skipped, when it is one level too many.
 */
static bool enter(dsl_parser *p) {
    if (p->depth < DSL_MAX_DEPTH) {
        p->depth++;
        return true;
    }
    dsl_report(p->doc, DSL_ERROR, current(p)->start, current(p)->end,
               "nested deeper than %d levels; what is inside is kept but not read", DSL_MAX_DEPTH);
    size_t open = 0;
    do {
        if (is_opener(p->kind)) open++;
        if (is_closer(p->kind)) open--;
        dsl_lex_next(p);
    } while (open && p->kind != T_EOF);
    return false;
}

static void mark_lines(dsl_parser *p, uint32_t open, uint32_t lines_at_open, uint32_t close) {
    if (p->lines == lines_at_open) return;
    token_at(p, open)->flags |= F_MULTI;
    token_at(p, close)->flags |= F_MULTI;
}

/* { items }: returns the first item and leaves *last on the closing brace, or on the last token before the end. */
static uint32_t parse_body(dsl_parser *p, uint32_t *last) {
    uint32_t open = p->at, lines = p->lines;
    if (!enter(p)) {
        uint32_t node = dsl_node_new(p->doc, N_OPAQUE, open);
        *last = last_token(p);
        token_at(p, open)->flags |= F_ITEM;
        if (node) node_at(p, node)->last = *last;
        return node;
    }
    token_at(p, open)->flags |= F_OPEN | F_BODY;
    dsl_lex_next(p);
    uint32_t items = parse_items_until_brace(p);
    p->depth--;
    if (p->kind == T_RBRACE) {
        current(p)->flags |= F_CLOSE | F_BODY;
        mark_lines(p, open, lines, p->at);
        *last = p->at;
        dsl_lex_next(p);
    } else {
        token_at(p, open)->flags |= F_MULTI;
        *last = last_token(p);
        error_at(p, open, "this '{' is not closed; expected '}' before the end of the file");
    }
    return items;
}

/* --- values --- */

static uint32_t leaf(dsl_parser *p, dsl_node_kind kind) {
    uint32_t node = dsl_node_new(p->doc, kind, p->at);
    dsl_lex_next(p);
    return node;
}

static uint32_t parse_pair(dsl_parser *p) {
    uint32_t node = dsl_node_new(p->doc, V_PAIR, p->at);
    dsl_lex_next(p); /* the key */
    dsl_lex_next(p); /* ':' or '=' */
    uint32_t value = parse_value(p, IN_LIST);
    if (!value) expected(p, "a value after the key");
    if (!node) return 0;
    node_at(p, node)->child = value;
    node_at(p, node)->last = last_token(p);
    return node;
}

static uint32_t parse_element(dsl_parser *p, context where) {
    if (is_head(p->kind)) {
        start what = starts_item(p, p->at, true);
        if (what == START_COLON || what == START_ASSIGN) return parse_pair(p);
    }
    uint32_t value = parse_value(p, where);
    if (value) return value;
    expected(p, "a value");
    return leaf(p, V_OPAQUE);
}

/* The list misses its bracket: a line begins as an entry or a block does. */
static bool list_is_cut(const dsl_parser *p, uint32_t open) {
    if (p->kind == T_EOF || p->kind == T_RBRACE) return true;
    if (!on_new_line(p) || !is_head(p->kind) || p->in_expression) return false;
    uint32_t before = last_token(p);
    bool parenthesis = token_at(p, open)->kind == T_LPAREN;
    if (parenthesis && (before == open || token_at(p, before)->kind == T_COMMA)) return false;
    start what = starts_item(p, p->at, true);
    return what != START_NONE && what != START_ASSIGN;
}

/* [ ... ] or ( ... ) */
static uint32_t parse_list(dsl_parser *p) {
    uint32_t open = p->at, tail = 0, node = dsl_node_new(p->doc, V_LIST, open);
    bool parenthesis = p->kind == T_LPAREN;
    if (!enter(p)) {
        if (node) node_at(p, node)->last = last_token(p), node_at(p, node)->kind = V_OPAQUE;
        return node;
    }
    token_at(p, open)->flags |= F_OPEN;
    dsl_lex_next(p);
    while (p->kind != (parenthesis ? T_RPAREN : T_RBRACKET)) {
        if (list_is_cut(p, open)) {
            token_at(p, open)->flags &= (uint8_t)~F_OPEN;
            error_at(p, open,
                     parenthesis ? "this '(' is not closed; expected ')' before the next entry"
                                 : "this '[' is not closed; expected ']' before the next entry");
            p->depth--;
            if (node) node_at(p, node)->last = last_token(p);
            return node;
        }
        if (p->kind == T_COMMA) {
            dsl_lex_next(p);
            continue;
        }
        uint32_t element = parse_element(p, parenthesis ? IN_ARGUMENTS : IN_LIST);
        if (!element || !node) continue;
        *(tail ? &node_at(p, tail)->next : &node_at(p, node)->child) = element;
        tail = element;
    }
    current(p)->flags |= F_CLOSE;
    p->depth--;
    if (node) node_at(p, node)->last = p->at;
    dsl_lex_next(p);
    return node;
}

static uint32_t parse_map(dsl_parser *p) {
    uint32_t last, node = dsl_node_new(p->doc, V_MAP, p->at), open = p->at;
    uint32_t items = parse_body(p, &last);
    if (!node) return 0;
    node_at(p, node)->open = open;
    node_at(p, node)->child = items;
    node_at(p, node)->last = last;
    return node;
}

/* word, word[...], word(...), word { ... } */
static uint32_t parse_word(dsl_parser *p, context where) {
    dsl_lex_extend(p);
    uint32_t node = leaf(p, V_WORD);
    for (int groups = 0; (p->kind == T_LBRACKET || p->kind == T_LPAREN) && is_glued(p); groups++) {
        bool call = p->kind == T_LPAREN && !groups;
        uint32_t list = parse_list(p);
        if (!node || !list) return 0;
        dsl_node *word = node_at(p, node);
        word->kind = call ? V_CALL : V_TYPE;
        word->child = call && node_at(p, list)->kind == V_LIST ? node_at(p, list)->child : 0;
        word->last = node_at(p, list)->last;
        if (call && node_at(p, list)->kind != V_LIST) word->kind = V_OPAQUE;
    }
    if (p->kind != T_LBRACE || on_new_line(p) || where == IN_RETURN || where == IN_ASSIGNMENT) return node;
    uint32_t map = parse_map(p);
    if (!node || !map) return 0;
    dsl_node *word = node_at(p, node);
    if (word->kind == V_WORD) word->kind = V_CALL;
    word->extra = map;
    word->last = node_at(p, map)->last;
    return node;
}

static uint32_t parse_primary(dsl_parser *p, context where) {
    switch (p->kind) {
        case T_STRING: return leaf(p, V_STRING);
        case T_CODE: return leaf(p, V_CODE);
        case T_TEMPLATE: return leaf(p, V_TEMPLATE);
        case T_WORD: return parse_word(p, where);
        case T_LBRACE: return parse_map(p);
        case T_LBRACKET:
        case T_LPAREN: return parse_list(p);
        case T_OP:
            if (p->in_expression) return leaf(p, V_EXPR);
            return 0;
        default: return 0;
    }
}

/* More words or operators after a value on its line: the rest is no value of the language but an expression, or prose
 * that lacks its quotes. */
static bool goes_on(const dsl_parser *p, context where) {
    if (on_new_line(p)) return false;
    if (p->in_expression && (is_opener(p->kind) || p->kind == T_EQ || p->kind == T_COLON)) return p->kind != T_LBRACE;
    if (p->kind == T_OP) return true;
    if (p->kind != T_WORD && !(p->in_expression && (p->kind == T_STRING || p->kind == T_TEMPLATE))) return false;
    return where == IN_RETURN || !at_next_item(p, where);
}

static void parse_rest(dsl_parser *p, context where) {
    size_t open = 0;
    bool extend = where != IN_ENTRY && where != IN_ASSIGNMENT;
    while (p->kind != T_EOF && p->kind != T_LBRACE && p->kind != T_RBRACE && !on_new_line(p)) {
        if (!open && (is_closer(p->kind) || p->kind == T_COMMA)) return;
        if (!open && where != IN_RETURN && at_next_item(p, where)) return;
        if (is_opener(p->kind)) open++;
        if (is_closer(p->kind)) open--;
        if (p->kind == T_WORD && extend) dsl_lex_extend(p);
        dsl_lex_next(p);
    }
}

static uint32_t parse_value(dsl_parser *p, context where) {
    uint32_t first = p->at, value = parse_primary(p, where);
    if (value && p->kind == T_PIPE) {
        uint32_t node = dsl_node_new(p->doc, V_UNION, first), tail = value;
        if (node) node_at(p, node)->child = value;
        while (node && p->kind == T_PIPE) {
            dsl_lex_next(p);
            uint32_t more = parse_primary(p, where);
            if (!more) {
                expected(p, "a value after '|'");
                break;
            }
            node_at(p, tail)->next = more;
            tail = more;
        }
        if (node) node_at(p, node)->last = last_token(p);
        value = node;
    }
    if (!value || !goes_on(p, where)) return value;
    parse_rest(p, where);
    uint32_t last = last_token(p);
    dsl_node *node = node_at(p, value);
    *node = (dsl_node){.kind = p->in_expression ? V_EXPR : V_OPAQUE, .first = first, .last = last};
    if (!p->in_expression)
        dsl_report(p->doc, DSL_ERROR, token_at(p, first)->start, token_at(p, last)->end,
                   "a value of several words; put \"quotes\" around prose and `backticks` around an expression");
    return value;
}

static uint32_t parse_expression(dsl_parser *p, context where) {
    bool outer = p->in_expression;
    p->in_expression = true;
    uint32_t value = parse_value(p, where);
    p->in_expression = outer;
    return value;
}

/* --- items --- */

static uint32_t finish(dsl_parser *p, uint32_t node) {
    if (node) node_at(p, node)->last = last_token(p);
    return node;
}

static void take_body(dsl_parser *p, uint32_t node) {
    uint32_t open = p->at, last;
    uint32_t items = parse_body(p, &last);
    if (!node) return;
    node_at(p, node)->open = open;
    node_at(p, node)->child = items;
    node_at(p, node)->last = last;
}

/* The value after `key:`. On the next line only what cannot be an item is taken for it. */
static uint32_t parse_entry_value(dsl_parser *p, uint32_t key) {
    bool missing = p->kind == T_WORD
                       ? on_new_line(p) || starts_item(p, p->at, true) == START_COLON
                       : p->kind == T_STRING && on_new_line(p) && starts_item(p, p->at, false) != START_NONE;
    if (p->kind == T_TEMPLATE && on_new_line(p)) missing = true;
    uint32_t value = missing ? 0 : parse_value(p, IN_ENTRY);
    if (!value) error_at(p, key, "this key has no value; expected one after it on its line");
    return value;
}

static uint32_t parse_entry(dsl_parser *p, uint32_t key, uint32_t name) {
    uint32_t node = dsl_node_new(p->doc, N_ENTRY, key);
    bool assigned = p->kind == T_EQ;
    dsl_lex_next(p);
    uint32_t value = assigned ? parse_expression(p, IN_ASSIGNMENT) : parse_entry_value(p, key);
    if (assigned && !value) expected(p, "a value after '='");
    uint32_t type = 0;
    if (value && !assigned && p->kind == T_EQ && !on_new_line(p)) {
        dsl_lex_next(p);
        type = value;
        value = parse_expression(p, IN_ASSIGNMENT);
        if (!value) expected(p, "a value after '='");
    }
    if (!node) return 0;
    dsl_node *entry = node_at(p, node);
    entry->name = name;
    entry->child = type ? type : value;
    if (type) {
        entry->flags |= N_TYPED;
        node_at(p, type)->next = value;
    }
    return finish(p, node);
}

/* The rest of the line from token first on, which may be the current one. */
static uint32_t parse_opaque(dsl_parser *p, uint32_t first, const char *message) {
    uint32_t node = dsl_node_new(p->doc, N_OPAQUE, first);
    if (p->at == first && p->kind != T_LBRACE) dsl_lex_next(p);
    while (p->kind != T_EOF && p->kind != T_RBRACE && p->kind != T_LBRACE && !on_new_line(p)) {
        if (is_head(p->kind) && starts_item(p, p->at, false) == START_COLON) break;
        dsl_lex_next(p);
    }
    uint32_t last = p->at == first ? first : last_token(p);
    dsl_report(p->doc, DSL_ERROR, token_at(p, first)->start, token_at(p, last)->end, "%s", message);
    if (p->kind == T_LBRACE) take_body(p, node);
    return finish(p, node);
}

static const char HEAD_EXPECTED[] = "not understood; expected `key: value` or `kind name { ... }`";

static uint32_t parse_statement(dsl_parser *p, uint32_t keyword) {
    bool emits = dsl_token_is(p->doc, keyword, "emit");
    uint32_t node = dsl_node_new(p->doc, emits ? N_EMIT : N_RETURN, keyword), value = 0, name = 0;
    if (emits && is_head(p->kind) && !on_new_line(p)) {
        name = p->at;
        dsl_lex_next(p);
    } else if (!emits && !on_new_line(p) && p->kind != T_COMMA) {
        value = parse_expression(p, IN_RETURN);
    }
    if (!node) return 0;
    node_at(p, node)->name = name;
    node_at(p, node)->child = value;
    if (emits && !name) expected(p, "a name after 'emit'");
    if (emits && p->kind == T_LBRACE && !on_new_line(p)) take_body(p, node);
    return finish(p, node);
}

/* (params) [-> type] [{ items }] after a kind, or a kind and a name. */
static uint32_t parse_block_tail(dsl_parser *p, uint32_t first, uint32_t name) {
    uint32_t node = dsl_node_new(p->doc, N_BLOCK, first), params = 0, type = 0;
    if (p->kind == T_LPAREN) params = parse_list(p);
    if (params && p->kind == T_OP && p->text[current(p)->start] == '-') {
        dsl_lex_next(p);
        type = parse_primary(p, IN_ASSIGNMENT);
        if (!type) expected(p, "a type after '->'");
    }
    if (!node) return 0;
    node_at(p, node)->name = name;
    node_at(p, node)->extra = params;
    if (params) node_at(p, params)->next = type;
    if (p->kind == T_LBRACE) take_body(p, node);
    return finish(p, node);
}

/* An item that begins with a word, a string or a template. */
static uint32_t parse_headed(dsl_parser *p) {
    uint32_t first = p->at, name;
    uint8_t first_kind = p->kind, name_kind;
    dsl_lex_next(p);
    if (token_at(p, first)->flags & F_CUT) goto opaque;
    if (p->kind == T_COLON || p->kind == T_EQ) return parse_entry(p, first, 0);
    if (p->kind == T_LBRACE || (p->kind == T_LPAREN && is_glued(p) && first_kind == T_WORD))
        return parse_block_tail(p, first, 0);
    if (is_statement(p, first)) return parse_statement(p, first);
    if (on_new_line(p) || !is_head(p->kind)) goto opaque;
    name = p->at;
    name_kind = p->kind;
    dsl_lex_next(p);
    if (p->kind == T_COLON || p->kind == T_EQ) return parse_entry(p, first, name);
    if (p->kind == T_LBRACE || (p->kind == T_LPAREN && is_glued(p) && name_kind == T_WORD))
        return parse_block_tail(p, first, name);
    if (name_kind == T_STRING && dsl_token_is(p->doc, first, "artifact") && (on_new_line(p) || !is_head(p->kind)))
        return parse_block_tail(p, first, name);
    while (is_head(p->kind) && !on_new_line(p) && starts_item(p, p->at, false) != START_COLON) dsl_lex_next(p);
    if (p->kind == T_LBRACE && !on_new_line(p)) return parse_block_tail(p, first, name);
opaque:
    return parse_opaque(p, first, HEAD_EXPECTED);
}

static uint32_t parse_item(dsl_parser *p) {
    uint32_t first = p->at;
    if (p->kind == T_WORD && !p->depth && p->text[current(p)->start] == '-' && dsl_lex_front(p)) {
        if (p->doc->front == first) {
            dsl_lex_next(p);
            return 0;
        }
        dsl_report(p->doc, DSL_WARNING, current(p)->start, current(p)->start + 3,
                   "further front matter; only that at the top of the file counts");
        return finish(p, leaf(p, N_OPAQUE));
    }
    p->items_begun = true;
    if (is_head(p->kind)) return parse_headed(p);
    switch (p->kind) {
        case T_RBRACE: {
            error_at(p, first, "this '}' closes nothing; remove it, or add the '{' it belongs to");
            return finish(p, leaf(p, N_OPAQUE));
        }
        case T_FENCE: error_at(p, first, "a code fence; remove this line"); return finish(p, leaf(p, N_OPAQUE));
        case T_LBRACE: return parse_opaque(p, first, "a '{' without a kind or key before it");
        default: return parse_opaque(p, first, HEAD_EXPECTED);
    }
}

static uint32_t parse_item_list(dsl_parser *p, bool top) {
    uint32_t head = 0, tail = 0;
    while (p->kind != T_EOF && (top || p->kind != T_RBRACE)) {
        if (p->kind == T_COMMA) {
            dsl_lex_next(p);
            continue;
        }
        current(p)->flags |= F_ITEM;
        uint32_t item = parse_item(p);
        if (!item) continue;
        *(tail ? &node_at(p, tail)->next : &head) = item;
        tail = item;
    }
    return head;
}

static uint32_t parse_items_until_brace(dsl_parser *p) { return parse_item_list(p, false); }

bool dsl_parse_items(dsl_parser *p) {
    dsl_lex_next(p);
    p->doc->body = parse_item_list(p, true);
    return !p->doc->oom;
}
