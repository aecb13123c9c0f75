/* Text to tokens.
 *
 * The lexer runs on demand, because two things depend on where the parser stands: a ':' ends a word in key position
 * but may be part of one in value position (trace:fmha/rtx5070#12), and `---` is front matter only between top-level
 * items. A token's shape never depends on how much white space surrounds it, only on whether there is some or a
 * newline; the formatter keeps both facts, and so cannot change what a file means.
 *
 * Damage is dealt with here where it can be: a string or code without its closing mark ends with its line, and a
 * string that runs into the next entry, check: "Print one batch. Make sure failure_mode: "Slicing breaks it", ends
 * before that entry's key. That case is told by the closing quote: text is glued to it and "key:" stands before it. */
#include <string.h>

#include "dsl/dsl_internal.h"

enum { C_WORD = 1, C_BLANK = 2, C_OP = 4, C_DONE = 8 /* may follow a closing quote */ };

static const uint8_t class_of[256] = {
    [0x00] = C_DONE,
    [0x01 ... 0x08] = C_WORD,
    ['\t'] = C_BLANK | C_DONE,
    ['\n'] = C_DONE,
    ['\v'] = C_BLANK | C_DONE,
    ['\f'] = C_BLANK | C_DONE,
    ['\r'] = C_BLANK | C_DONE,
    [0x0e ... 0x1f] = C_WORD,
    [' '] = C_BLANK | C_DONE,
    ['!'] = C_OP,
    ['"'] = C_DONE,
    ['#'] = C_WORD | C_DONE,
    ['$'] = C_WORD,
    ['%'] = C_WORD,
    ['&'] = C_WORD,
    ['\''] = C_WORD,
    ['('] = C_DONE,
    [')'] = C_DONE,
    ['*'] = C_WORD,
    ['+'] = C_WORD,
    [','] = C_DONE,
    ['-'] = C_WORD,
    ['.'] = C_WORD,
    ['/'] = C_WORD | C_DONE,
    ['0' ... '9'] = C_WORD,
    [':'] = C_DONE,
    [';'] = C_DONE,
    ['<'] = C_OP,
    ['='] = C_DONE,
    ['>'] = C_OP,
    ['?'] = C_WORD,
    ['@'] = C_WORD,
    ['A' ... 'Z'] = C_WORD,
    ['['] = C_DONE,
    ['\\'] = C_WORD,
    [']'] = C_DONE,
    ['^'] = C_WORD,
    ['_'] = C_WORD,
    ['`'] = C_DONE,
    ['a' ... 'z'] = C_WORD,
    ['{'] = C_DONE,
    ['|'] = C_DONE,
    ['}'] = C_DONE,
    ['~'] = C_WORD,
    [0x7f ... 0xff] = C_WORD,
};

static uint8_t class_at(const char *text, uint32_t at) { return class_of[(unsigned char)text[at]]; }

bool dsl_is_word_byte(unsigned char c) { return class_of[c] & C_WORD; }

bool dsl_is_blank(unsigned char c) { return class_of[c] & C_BLANK; }

static bool is_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* {{name}} and nothing else: with anything more inside it is a brace in a brace. */
bool dsl_template_at(const char *text, uint32_t at, uint32_t *end) {
    if (text[at] != '{' || text[at + 1] != '{') return false;
    uint32_t i = at + 2;
    while (is_name_byte(text[i])) i++;
    if (i == at + 2 || text[i] != '}' || text[i + 1] != '}') return false;
    *end = i + 2;
    return true;
}

/* A word ends before a comment and before "->"; {{name}} may be part of it. */
uint32_t dsl_word_end(const dsl_parser *p, uint32_t from) {
    const char *text = p->text;
    uint32_t i = from;
    for (;;) {
        while (class_at(text, i) & C_WORD && text[i] != '/' && text[i] != '-') i++;
        if (text[i] == '/') {
            if (text[i + 1] == '/' || text[i + 1] == '*') return i;
            i++;
        } else if (text[i] == '-') {
            if (text[i + 1] == '>') return i;
            i++;
        } else {
            uint32_t end;
            if (i == from || text[i] != '{' || !dsl_template_at(text, i, &end)) return i;
            i = end;
        }
    }
}

static uint32_t trim_end(const char *text, uint32_t start, uint32_t end) {
    while (end > start && class_at(text, end - 1) & C_BLANK) end--;
    return end;
}

static uint32_t line_end(const dsl_parser *p, uint32_t from) {
    const char *newline = memchr(p->text + from, '\n', p->len - from);
    return newline ? (uint32_t)(newline - p->text) : p->len;
}

/* The string text[start..close] is closed and something is glued to its closing quote: when "key:" stands before that
 * quote, the string ends before the key. */
static bool runs_into_key(const char *text, uint32_t start, uint32_t close, uint32_t *end) {
    uint32_t i = trim_end(text, start + 1, close);
    if (i <= start + 1 || text[i - 1] != ':') return false;
    uint32_t key_end = --i;
    while (i > start + 1 && (is_name_byte(text[i - 1]) || text[i - 1] == '-')) i--;
    if (i == key_end || (text[i] >= '0' && text[i] <= '9') || !(class_at(text, i - 1) & C_BLANK)) return false;
    *end = trim_end(text, start + 1, i);
    return *end > start + 1;
}

/* A string between three quotes may span lines. */
static bool lex_triple(dsl_parser *p, dsl_token *token) {
    if (p->no_triple_from && token->start >= p->no_triple_from) return false;
    const char *from = p->text + token->start + 3;
    const char *close = memmem(from, p->len - token->start - 3, "\"\"\"", 3);
    if (!close) {
        p->no_triple_from = token->start ? token->start : 1;
        return false;
    }
    token->flags |= F_TRIPLE;
    token->end = (uint32_t)(close - p->text) + 3;
    if (memchr(from, '\n', (size_t)(close - from))) p->lines++;
    return true;
}

static void lex_string(dsl_parser *p, dsl_token *token) {
    const char *text = p->text;
    uint32_t start = token->start, i = start + 1;
    token->kind = T_STRING;
    if (text[i] == '"' && text[i + 1] == '"' && lex_triple(p, token)) return;
    while (i < p->len && text[i] != '"' && text[i] != '\n')
        i += text[i] == '\\' && text[i + 1] && text[i + 1] != '\n' ? 2 : 1;
    uint32_t end;
    if (i == p->len || text[i] == '\n') {
        token->flags |= F_CUT;
        token->end = trim_end(text, start + 1, i);
        if (token->end > start + 2 && text[token->end - 1] == '{' && class_at(text, token->end - 2) & C_BLANK)
            token->end = trim_end(text, start + 1, token->end - 1); /* rule "a name cut at the margin { */
        dsl_report(p->doc, DSL_ERROR, start, start + 1,
                   "the string that opens here is not closed on its line; close it with '\"'");
    } else if (!(class_at(text, i + 1) & C_DONE) && runs_into_key(text, start, i, &end)) {
        token->flags |= F_CUT;
        token->end = end;
        dsl_report(p->doc, DSL_ERROR, start, start + 1,
                   "the string that opens here runs into the next entry; close it before that entry's key");
    } else {
        token->end = i + 1;
    }
}

static void lex_code(dsl_parser *p, dsl_token *token) {
    const char *text = p->text;
    uint32_t start = token->start, stop = line_end(p, start);
    if (text[start + 1] == '`' && text[start + 2] == '`') {
        token->kind = T_FENCE;
        token->end = trim_end(text, start, stop);
        return;
    }
    token->kind = T_CODE;
    const char *close = memchr(text + start + 1, '`', stop - start - 1);
    if (close) {
        token->end = (uint32_t)(close - text) + 1;
        if (trim_end(text, start + 1, token->end - 1) == start + 1)
            dsl_report(p->doc, DSL_ERROR, start, token->end, "empty backticks; write a Lua expression between them");
        return;
    }
    token->flags |= F_CUT;
    token->end = trim_end(text, start + 1, stop);
    dsl_report(p->doc, DSL_ERROR, start, start + 1,
               "the expression that opens here is not closed on its line; close it with '`'");
}

static void lex_block_comment(dsl_parser *p, dsl_token *token) {
    const char *from = p->text + token->start + 2;
    const char *close = memmem(from, p->len - token->start - 2, "*/", 2);
    token->kind = T_BLOCK_COMMENT;
    token->end = close ? (uint32_t)(close - p->text) + 2 : trim_end(p->text, token->start, p->len);
    if (close) return;
    token->flags |= F_CUT;
    while (p->text[token->end - 1] == '\n') token->end = trim_end(p->text, token->start, token->end - 1);
    dsl_report(p->doc, DSL_ERROR, token->start, token->start + 2, "this comment is not closed; close it with '*/'");
}

static void lex_op(dsl_parser *p, dsl_token *token) {
    const char *text = p->text;
    uint32_t i = token->start + 1;
    token->kind = T_OP;
    if (text[token->start] == '|' || text[token->start] == '-')
        i++;
    else
        while (class_at(text, i) & C_OP || text[i] == '=') i++;
    token->end = i;
}

static void lex_token(dsl_parser *p, dsl_token *token) {
    static const uint8_t single[128] = {
        ['{'] = T_LBRACE, ['}'] = T_RBRACE, ['['] = T_LBRACKET, [']'] = T_RBRACKET, ['('] = T_LPAREN, [')'] = T_RPAREN,
        [':'] = T_COLON,  [','] = T_COMMA,  [';'] = T_COMMA,    ['|'] = T_PIPE,     ['='] = T_EQ,
    };
    const char *text = p->text;
    uint32_t at = token->start;
    unsigned char c = (unsigned char)text[at];
    if (c == '"') {
        lex_string(p, token);
    } else if (c == '`') {
        lex_code(p, token);
    } else if (c == '#' || (c == '/' && text[at + 1] == '/')) {
        token->kind = T_COMMENT;
        token->end = trim_end(text, at, line_end(p, at));
    } else if (c == '/' && text[at + 1] == '*') {
        lex_block_comment(p, token);
    } else if (class_of[c] & C_OP || (c == '=' && (text[at + 1] == '=' || text[at + 1] == '>')) ||
               (c == '|' && text[at + 1] == '|') || (c == '-' && text[at + 1] == '>')) {
        lex_op(p, token);
    } else if (c == '{' && dsl_template_at(text, at, &token->end)) {
        token->kind = T_TEMPLATE;
    } else if (c < 128 && single[c]) {
        token->kind = single[c];
        token->end = at + 1;
    } else {
        token->kind = T_WORD;
        token->end = dsl_word_end(p, at);
    }
}

void dsl_lex_next(dsl_parser *p) {
    uint8_t newline = 0;
    const char *text = p->text;
    if (p->doc->oom) {
        p->kind = T_EOF;
        return;
    }
    for (;;) {
        uint32_t i = p->pos;
        for (;; i++) {
            if (text[i] == '\n') {
                newline = F_NL;
                p->lines++;
            } else if (!(class_at(text, i) & C_BLANK)) {
                break;
            }
        }
        dsl_token token = {.start = i, .end = i, .kind = T_EOF, .flags = newline};
        if (i < p->len) lex_token(p, &token);
        if (!dsl_token_push(p->doc, token)) token.kind = T_EOF;
        p->pos = token.end;
        if (token.kind == T_BLOCK_COMMENT && memchr(text + i, '\n', token.end - i)) {
            newline = F_NL;
            p->lines++;
        }
        if (token.kind == T_COMMENT || token.kind == T_BLOCK_COMMENT) continue;
        p->kind = token.kind;
        p->at = p->doc->token_count - 1;
        return;
    }
}

/* The end of the word that goes on with the ':' at colon; 0 when it does not go on. */
uint32_t dsl_colon_word_end(const dsl_parser *p, uint32_t colon) {
    uint32_t from = colon + 1;
    if (!dsl_is_word_byte((unsigned char)p->text[from])) return 0;
    if (p->text[from] == '/' && p->text[from + 1] == '/') from += 2; /* http://... */
    uint32_t end = dsl_word_end(p, from);
    return end > colon + 1 ? end : 0;
}

void dsl_lex_extend(dsl_parser *p) {
    dsl_token *token = &p->doc->tokens[p->at];
    for (uint32_t end; p->text[token->end] == ':' && (end = dsl_colon_word_end(p, token->end));) token->end = end;
    p->pos = token->end;
}

/* The end of the `---` that text[from..end) consists of, blanks aside; 0 when it does not. */
static uint32_t rule_end(const char *text, uint32_t from, uint32_t end) {
    while (from < end && class_at(text, from) & C_BLANK) from++;
    bool rule = end - from >= 3 && !memcmp(text + from, "---", 3) && trim_end(text, from, end) == from + 3;
    return rule ? from + 3 : 0;
}

/* `kind name {`: a brace with no ':' before it, which no line of front matter holds. */
static bool is_block_head(const char *text, uint32_t from, uint32_t end) {
    const char *brace = memchr(text + from, '{', end - from);
    return brace && !memchr(text + from, ':', (size_t)(brace - text) - from);
}

/* The first front matter ends unclosed where a block begins, or at its first blank line. A later `---` is more likely
 * a separator, so a pair of them is front matter only when nothing between looks like blocks. */
bool dsl_lex_front(dsl_parser *p) {
    dsl_doc *doc = p->doc;
    dsl_token *token = &doc->tokens[p->at];
    bool first = !doc->front && !p->items_begun;
    uint32_t begin = token->start, stop = line_end(p, begin), blank_at = 0;
    if (!rule_end(p->text, begin, stop)) return false;
    for (uint32_t at = stop; at < p->len;) {
        uint32_t from = at + 1, end = from <= p->len ? line_end(p, from) : p->len;
        uint32_t rule = rule_end(p->text, from, end);
        if (rule) {
            token->end = rule;
            goto found;
        }
        uint32_t last = trim_end(p->text, from, end);
        if (last == from && !blank_at) blank_at = from;
        if (is_block_head(p->text, from, end)) {
            if (!blank_at) blank_at = from;
            break;
        }
        if (!first && last > from && (p->text[last - 1] == '{' || p->text[last - 1] == '}')) return false;
        at = end;
    }
    if (!first) return false;
    token->end = blank_at ? trim_end(p->text, begin, blank_at - 1) : trim_end(p->text, begin, p->len);
    while (p->text[token->end - 1] == '\n') token->end = trim_end(p->text, begin, token->end - 1);
    token->flags |= F_CUT;
    dsl_report(doc, DSL_ERROR, begin, begin + 3,
               "the front matter that opens here is not closed; close it with a line '---'");
found:
    token->kind = T_FRONT;
    p->kind = T_FRONT;
    p->pos = token->end;
    if (first) doc->front = p->at;
    p->lines++;
    return true;
}
