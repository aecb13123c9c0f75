/* Tokens to the canonical layout.
 *
 * The formatter prints every token in order and chooses the white space between: four spaces a level, one space or
 * none inside a line, at most one blank line, one space before a comment that follows code, as in our C. As gofmt does,
 * it keeps the author's line breaks, since where a line ends says something in this language; it adds them only after
 * the '{' and before the '}' of a body that spans lines. Whether two tokens touch is kept where the parser asks for it
 * (f(x), Tensor[B]). So the tokens, their line breaks and their gluing come back the same, hence the same tree, which
 * is why fmt(fmt(x)) = fmt(x) and why no comment or unknown construct can be lost. Reprinting from the tree was
 * rejected: it has to know every construct, and loses the one it forgot.
 *
 * A file whose first line ends in CR LF keeps CR LF throughout; any other gets LF. A byte order mark is dropped. */
#include <string.h>

#include "dsl/dsl_internal.h"

static bool is_comment(uint8_t kind) { return kind == T_COMMENT || kind == T_BLOCK_COMMENT; }

/* When they stand on one line. */
static bool space_between(const dsl_doc *doc, uint32_t left, uint32_t right) {
    const dsl_token *a = &doc->tokens[left], *b = &doc->tokens[right];
    bool glued = a->end == b->start;
    if (b->flags & F_ITEM || b->kind == T_COMMENT) return true;
    if (a->kind == T_LBRACKET || a->kind == T_LPAREN || b->kind == T_RBRACKET || b->kind == T_RPAREN) return false;
    if (b->kind == T_COMMA || b->kind == T_COLON) return false;
    if (a->kind == T_COLON) return true; /* a:b may be one word, a: b is not */
    if (is_comment(a->kind) || is_comment(b->kind)) return true;
    if (a->kind == T_LBRACE && b->kind == T_RBRACE) return false;
    if (b->kind == T_LBRACKET || b->kind == T_LPAREN) {
        bool after_value = a->kind != T_COLON && a->kind != T_COMMA && a->kind != T_PIPE && a->kind != T_EQ &&
                           a->kind != T_LBRACE && a->kind != T_RBRACE;
        return !after_value || !glued;
    }
    if (a->kind == T_OP || b->kind == T_OP || a->kind == T_RPAREN || a->kind == T_RBRACKET)
        return !glued || b->kind == T_LBRACE || b->kind == T_RBRACE || b->kind == T_EQ || b->kind == T_PIPE ||
               a->kind == T_RPAREN || a->kind == T_RBRACKET;
    return true;
}

void dsl_put_token(const dsl_doc *doc, const dsl_token *token, const char *line_end, spak_str *out) {
    const char *text = doc->text + token->start, *end = doc->text + token->end, *newline;
    while (text < end && (newline = memchr(text, '\n', (size_t)(end - text)))) {
        const char *stop = newline;
        while (stop > text && stop[-1] == '\r') stop--;
        spak_str_append(out, text, (size_t)(stop - text));
        spak_str_puts(out, line_end);
        text = newline + 1;
    }
    spak_str_append(out, text, (size_t)(end - text));
}

/* As space_between, and the same whether or not the formatter breaks lines at a body's braces. */
static bool stands_apart(const dsl_doc *doc, uint32_t left, uint32_t right) {
    const dsl_token *a = &doc->tokens[left], *b = &doc->tokens[right];
    bool opens = a->flags & F_BODY && a->flags & F_OPEN, closes = b->flags & F_BODY && b->flags & F_CLOSE;
    return b->flags & F_NL || right != left + 1 || opens != closes || space_between(doc, left, right);
}

void dsl_canonical_text(const dsl_doc *doc, uint32_t first, uint32_t last, spak_str *out) {
    uint32_t before = 0;
    for (uint32_t i = first; i <= last; i++) {
        const dsl_token *token = &doc->tokens[i];
        if (is_comment(token->kind)) continue;
        if (before && stands_apart(doc, before, i)) spak_str_putc(out, ' ');
        dsl_put_token(doc, token, "\n", out);
        before = i;
    }
}

typedef struct level {
    uint32_t indent; /* of the line that opened it */
    bool body;
} level;

typedef struct printer {
    const dsl_doc *doc;
    spak_str *out;
    const char *newline;
    level levels[DSL_MAX_DEPTH + 1];
    uint32_t depth, indent;
} printer;

static uint32_t newlines_between(const dsl_doc *doc, const dsl_token *a, const dsl_token *b) {
    uint32_t count = 0;
    for (uint32_t i = a->end; i < b->start; i++) count += doc->text[i] == '\n';
    return count;
}

static bool must_break(const dsl_token *a, const dsl_token *b, uint32_t newlines) {
    if (newlines || a->kind == T_COMMENT || a->kind == T_FRONT) return true;
    bool opens = a->flags & F_OPEN && a->flags & F_BODY && a->flags & F_MULTI;
    bool closes = b->flags & F_CLOSE && b->flags & F_BODY && b->flags & F_MULTI;
    return (opens && !is_comment(b->kind)) || closes;
}

static void put_break(printer *f, const dsl_token *a, const dsl_token *b, uint32_t newlines) {
    spak_str_puts(f->out, f->newline);
    bool opened = a->flags & F_OPEN && a->flags & F_BODY, closes = b->flags & F_CLOSE && b->flags & F_BODY;
    if (a->kind == T_FRONT || (newlines > 1 && !opened && !closes)) spak_str_puts(f->out, f->newline);
    const level *inner = f->depth ? &f->levels[f->depth - 1] : NULL;
    if (b->flags & F_CLOSE && inner) {
        f->indent = inner->indent;
    } else {
        bool goes_on = (!inner || inner->body) && !(b->flags & F_ITEM) && !is_comment(b->kind) && b->kind != T_COMMA &&
                       b->kind != T_LBRACE;
        f->indent = (inner ? inner->indent + 1 : 0) + goes_on;
    }
    for (uint32_t i = 0; i < f->indent; i++) spak_str_puts(f->out, "    ");
}

/* Items on one line stand apart by two spaces in a body that spans lines, by one in { a: 1 b: 2 }. */
static void put_space(printer *f, uint32_t left, uint32_t right) {
    const dsl_token *a = &f->doc->tokens[left], *b = &f->doc->tokens[right];
    const dsl_token *last = f->out->len ? a : NULL;
    if (!last || !space_between(f->doc, left, right)) return;
    bool after_item = b->flags & F_ITEM && a->kind != T_LBRACE && a->kind != T_COMMA && !is_comment(a->kind);
    bool wide = after_item && b->kind != T_COMMENT &&
                (!f->depth || !f->levels[f->depth - 1].body || f->levels[f->depth - 1].indent != f->indent);
    spak_str_puts(f->out, wide ? "  " : " ");
}

bool dsl_format(const dsl_doc *doc, spak_str *out, spak_error *err) {
    const char *newline = memchr(doc->text, '\n', doc->len);
    bool crlf = newline && newline > doc->text && newline[-1] == '\r';
    printer f = {.doc = doc, .out = out, .newline = crlf ? "\r\n" : "\n"};
    uint32_t i = 1;
    for (; i < doc->token_count && doc->tokens[i].kind != T_EOF; i++) {
        const dsl_token *a = &doc->tokens[i - 1], *b = &doc->tokens[i];
        uint32_t newlines = i > 1 ? newlines_between(doc, a, b) : 0;
        if (i > 1 && must_break(a, b, newlines))
            put_break(&f, a, b, newlines);
        else if (i > 1)
            put_space(&f, i - 1, i);
        dsl_put_token(doc, b, f.newline, out);
        if (b->flags & F_OPEN)
            f.levels[f.depth++] = (level){.indent = f.indent, .body = b->flags & F_BODY};
        else if (b->flags & F_CLOSE && f.depth)
            f.depth--;
    }
    if (i > 1) spak_str_puts(out, f.newline);
    return spak_str_ok(out, err);
}
