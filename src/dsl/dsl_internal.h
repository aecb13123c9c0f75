/* What the files of src/dsl share: tokens, nodes, the document.
 *
 * The document owns one copy of the text. A token is a span of it; the tokens, comments among them, lie in one array
 * in source order, and whatever lies between two of them is white space. A node names its first and last token. So
 * the tree is lossless by construction: printing every token in order gives the file back, and the formatter decides
 * about nothing but white space. Tokens take 12 bytes and nodes 32, all links are 32-bit indexes; index 0 is a
 * sentinel in both arrays and means "none". */
#ifndef SPAK_DSL_INTERNAL_H
#define SPAK_DSL_INTERNAL_H

#include "base/arena.h"
#include "dsl/dsl.h"

/* A level of nesting costs at most three levels of JSON, and canonical JSON ends at 200. */
enum { DSL_MAX_DEPTH = 64, DSL_MAX_DIAGNOSTICS = 10000 };

typedef enum dsl_token_kind {
    T_NONE,
    T_EOF,
    T_WORD,
    T_STRING,
    T_CODE,
    T_TEMPLATE,
    T_LBRACE,
    T_RBRACE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_COLON,
    T_COMMA, /* , or ; */
    T_PIPE,
    T_EQ,
    T_OP,
    T_FENCE, /* ``` and the rest of its line */
    T_FRONT, /* front matter with both its --- lines */
    T_COMMENT,
    T_BLOCK_COMMENT
} dsl_token_kind;

enum {
    F_NL = 1,     /* a newline stands between this and the significant token before */
    F_CUT = 2,    /* a string, code or comment that nothing closes */
    F_OPEN = 4,   /* a bracket that the parser opened a level for */
    F_CLOSE = 8,  /* the bracket that closed it */
    F_BODY = 16,  /* with F_OPEN or F_CLOSE: braces around items */
    F_MULTI = 32, /* with F_BODY: the body spans lines */
    F_ITEM = 64,  /* the first token of an item */
    F_TRIPLE = 128
};

typedef struct dsl_token {
    uint32_t start, end; /* bytes in the text */
    uint8_t kind, flags;
} dsl_token;

typedef enum dsl_node_kind {
    N_NONE,
    N_ENTRY,  /* key [name] : value   child: the values (type, then value, when N_TYPED) */
    N_BLOCK,  /* kind [name] [modifier...] [params] [-> type] { items }   child: items, extra: params, then type */
    N_EMIT,   /* emit name [{ items }] */
    N_RETURN, /* return [value]   child: the value */
    N_OPAQUE, /* anything else on a line [{ items }] */
    V_STRING,
    V_WORD,
    V_CODE,
    V_TEMPLATE,
    V_LIST, /* child: elements */
    V_MAP,  /* child: items */
    V_UNION,
    V_TYPE,
    V_CALL, /* child: arguments, extra: a map that follows */
    V_PAIR, /* key: value in a list or among arguments; child: value */
    V_EXPR,
    V_OPAQUE
} dsl_node_kind;

enum { N_TYPED = 1 /* an entry `h: T = v` */ };

typedef struct dsl_node {
    uint8_t kind, flags;
    uint32_t first, last; /* tokens */
    uint32_t name;        /* token; 0: none */
    uint32_t open;        /* token of the body's brace; 0: no body */
    uint32_t child, extra, next;
} dsl_node;

struct dsl_doc {
    char *file, *text;
    uint32_t len;
    dsl_token *tokens;
    dsl_node *nodes;
    uint32_t token_count, token_room, node_count, node_room;
    uint32_t body;  /* the first item */
    uint32_t front; /* token of the front matter; 0: none */
    json_t *front_matter;
    spak_arena arena; /* messages */
    dsl_diagnostic *diagnostics;
    size_t diagnostic_count, diagnostic_room, error_count;
    size_t diagnostics_left_out;
    bool oom;
};

/* The parser's state; the token it looks at is the last of the array. */
typedef struct dsl_parser {
    dsl_doc *doc;
    const char *text; /* NUL-terminated */
    uint32_t pos, len;
    uint32_t lines; /* newlines seen so far */
    uint32_t at;    /* index of the current token */
    uint8_t kind;   /* and its kind */
    uint32_t depth;
    uint32_t no_triple_from; /* no closing """ from here on; 0: unknown */
    bool in_expression;
    bool items_begun;
} dsl_parser;

/* lex.c */
void dsl_lex_next(dsl_parser *p);   /* moves on to the next significant token, keeping comments */
void dsl_lex_extend(dsl_parser *p); /* in value position a word may hold ':' - takes the rest of it */
bool dsl_lex_front(dsl_parser *p);  /* the current token is `---`: makes it a T_FRONT if it is one */
bool dsl_is_word_byte(unsigned char c);
bool dsl_is_blank(unsigned char c); /* white space other than newline */
uint32_t dsl_word_end(const dsl_parser *p, uint32_t from);
uint32_t dsl_colon_word_end(const dsl_parser *p, uint32_t colon);
bool dsl_template_at(const char *text, uint32_t at, uint32_t *end);

/* parse.c */
bool dsl_parse_items(dsl_parser *p);

/* doc.c */
uint32_t dsl_node_new(dsl_doc *doc, dsl_node_kind kind, uint32_t first);
bool dsl_token_push(dsl_doc *doc, dsl_token token);

/* diagnose.c */
void dsl_report(dsl_doc *doc, dsl_severity severity, size_t start, size_t end, const char *fmt, ...) SPAK_PRINTF(5, 6);
bool dsl_check_names(dsl_doc *doc); /* unknown kinds, repeated names; false: out of memory */
void dsl_locate_diagnostics(dsl_doc *doc);

/* Line and column of ascending offsets in one sweep over the text. */
typedef struct dsl_cursor {
    const char *text;
    size_t at;
    uint32_t line, column;
} dsl_cursor;
void dsl_cursor_init(dsl_cursor *cursor, const char *text);
void dsl_cursor_move(dsl_cursor *cursor, size_t offset); /* offsets before the current one start over */

/* yaml.c: text[0..len) to JSON; on bad YAML false with its line (from 0) and a message; for lack of memory false with
 * an empty message. */
bool dsl_yaml(const char *text, size_t len, json_t **out, size_t *line, size_t *column, char message[256]);

/* format.c */
/* A token's text with one kind of line end. */
void dsl_put_token(const dsl_doc *doc, const dsl_token *token, const char *line_end, spak_str *out);
void dsl_canonical_text(const dsl_doc *doc, uint32_t first, uint32_t last, spak_str *out);

/* meaning.c */
void dsl_token_text(const dsl_doc *doc, uint32_t token, spak_str *out); /* a name: escapes resolved */
bool dsl_token_is(const dsl_doc *doc, uint32_t token, const char *word);

#endif
