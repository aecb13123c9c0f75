/* The SPAK language: text -> tokens -> lossless tree -> meaning.
 *
 * Quotes are prose, backticks are law: a "quoted" value is for people and agents, a value in `backticks` is a Lua
 * expression. The parser is tolerant: what it does not know it keeps as an opaque node with a diagnostic, and goes on
 * at the next entry. It knows nothing of kernels, traces or Lua. */
#ifndef SPAK_DSL_DSL_H
#define SPAK_DSL_DSL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

typedef struct dsl_doc dsl_doc; /* a parsed file: its text, its tree, its diagnostics */

typedef enum dsl_severity { DSL_NOTE, DSL_WARNING, DSL_ERROR } dsl_severity;

typedef struct dsl_diagnostic {
    dsl_severity severity;
    uint32_t line, column; /* from 1; the column counts characters (UTF-8), not bytes */
    size_t offset, length; /* bytes in the text: what the caret underlines */
    const char *message;   /* what was expected, what was found, what to do */
} dsl_diagnostic;

/* Parses text (copied). Bad syntax is no failure: it becomes diagnostics. Fails only for lack of memory, a file over
 * 1 GiB, or text that is not text (a NUL byte). */
bool dsl_parse(const char *file, const char *text, size_t len, dsl_doc **doc, spak_error *err);
bool dsl_parse_file(const char *path, dsl_doc **doc, spak_error *err);
void dsl_free(dsl_doc *doc);

size_t dsl_diagnostic_count(const dsl_doc *doc);
const dsl_diagnostic *dsl_diagnostic_at(const dsl_doc *doc, size_t i);
size_t dsl_error_count(const dsl_doc *doc);

/* "file:line:column: error: message", the source line, and a caret line. */
void dsl_format_diagnostic(const dsl_doc *doc, const dsl_diagnostic *diagnostic, spak_str *out);

/* The canonical layout, appended to out: fmt(fmt(x)) = fmt(x), meaning(fmt(x)) = meaning(x) but for lines and columns;
 * comments and unknown constructs survive. Fails only for lack of memory. */
bool dsl_format(const dsl_doc *doc, spak_str *out, spak_error *err);

/* The meaning, as JSON:
 *
 *   { "file": "...", "front_matter": {...} or null, "body": [ item... ] }
 *
 * An item is an entry or a block, in source order:
 *
 *   { "key": "when", "value": V, "line": 3, "column": 9 }
 *   { "kind": "rule", "name": "x" or null, "body": [ item... ], "line": 2, "column": 5 }
 *   { "kind": "opaque", "text": "...", "line": ..., "column": ... }      // what was not understood
 *
 * `key: { ... }` is a block whose kind is the key, with "map": true. A key of two words (`step 1: "..."`) is an entry
 * with key "step" and "name": "1". A key without a value has the value null (and an error). A key that repeats gives
 * several items. What else an item may have:
 *
 *   state h: T = v, parameter P: [...]   kind, name, "type": "T" and "value", as they are there
 *   fact f(t: T, x) -> R { ... }         "params": [{"key": "t", "value": V}, {"value": V}], "type": "R"
 *   type X matches { ... }               "modifiers": ["matches"]: the words between name and brace
 *   emit X.Y                             kind, name; a body when braces follow
 *   return e                             kind, value (null when there is none)
 *   h: T = v as an entry                 "type": "T"
 *   opaque                               a body too, when braces followed what was not understood
 *
 * A value V is
 *
 *   "text"                      a quoted string, escapes resolved; three quotes may span lines
 *   12, 1e-4, true              numbers and booleans
 *   {"word": "f16"}             a bareword or dotted name, with any ':' inside (trace:fmha/rtx5070#12)
 *   {"code": "a == 1"}          backticks, verbatim
 *   [V, ...]                    a list in brackets or parentheses
 *   {"map": [item...]}          { ... } or a pair `a: 1` in value position inside a list, call or union
 *   {"union": [V, ...]}         "a" | "b"
 *   {"type": "Tensor[B, T, D]"} a type expression
 *   {"template": "Tile_M"}      {{Tile_M}}
 *   {"call": "f", "args": [V]}  f(x) in value position; "body": [item...] too for f(x) { ... } and tool.run { ... }
 *   {"expression": "a + b"}     more than a value after `return` or '='; text, since it is not in backticks
 *   {"opaque": "..."}           what was not understood
 */
bool dsl_meaning(const dsl_doc *doc, json_t **out, spak_error *err);

/* Lossless edits, for `crystallise`: the new text of the whole file, everything else byte for byte as it was. An edit
 * that would break the syntax is refused. path names nested blocks from the top, "kind" or "kind:name" each, joined by
 * '/': "system/knowledge", "system/knowledge/rule:pack_b". The first match counts. */
bool dsl_append_to_block(const dsl_doc *doc, const char *path, const char *entry_text, spak_str *out, spak_error *err);
bool dsl_set_value(const dsl_doc *doc, const char *path, const char *key, const char *value_text, spak_str *out,
                   spak_error *err); /* replaces the first value of key, or adds `key: value` at the block's end */

/* --- look-ups on that JSON (borrowed references, NULL when absent); block may also be an array of items --- */

/* The i-th block of a kind (name NULL: any name) among the direct children; NULL past the last. */
const json_t *dsl_block(const json_t *block, const char *kind, const char *name, size_t i);
/* The first / i-th value of a key among the direct children. */
const json_t *dsl_value(const json_t *block, const char *key);
const json_t *dsl_value_at(const json_t *block, const char *key, size_t i);
/* Text of a string or bareword value; the code of a backtick value; else otherwise. */
const char *dsl_text(const json_t *value, const char *otherwise);
const char *dsl_code(const json_t *value); /* NULL when the value is not in backticks */

/* A system file with what it inherits: parses path, follows `inherits: "file.dsl"` (relative to the file; cycles and
 * missing files are errors), and gives
 *
 *   { "file", "sha256", "name", "front_matter", "body": [...of the file's own system block...],
 *     "inherits": [ {"file", "sha256"} ... nearest first ],
 *     "knowledge": [ item of every fact, rule, invariant and hint, own first, each with "origin": file
 *                    and "inherited": bool; an own item replaces an inherited one of the same kind and name, and
 *                    then has "overrides": file of the nearest one replaced ] }
 *
 * Knowledge is looked for at the top of a file, in its first system block, and in the knowledge blocks of both. Of
 * inherited items the nearest counts; a nameless item replaces nothing. Errors in any file's syntax make it fail, with
 * the first diagnostic as the message. */
bool dsl_load_system(const char *path, json_t **system, spak_error *err);

#endif
