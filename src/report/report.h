/* From traces to what a reader sees: figures, tables, values, the claims ledger and the woven book.
 *
 * Nobody types a number. Every number that leaves this part carries a reference to the trace record it came from:
 *
 *   trace:NAME/MACHINE#SEQ      record SEQ of the trace NAME; MACHINE `here` (or `here-SOMETHING`, where SOMETHING
 *                               begins the machine's id) is OUT/traces/NAME.jsonl, any other is the archived
 *                               data/traces/MACHINE/NAME.jsonl[.gz] below the project's root
 *
 * and every function here refuses a number whose reference does not lead to a record of a trace that verifies. */
#ifndef SPAK_REPORT_REPORT_H
#define SPAK_REPORT_REPORT_H

#include <stddef.h>

#include "base/err.h"
#include "base/eval.h"
#include "base/json.h"
#include "base/str.h"

typedef struct rep_place {
    const char *root;          /* the project's root: sources, figures/, dsl/, data/ */
    const char *out;           /* where results go; as given, not relative to root */
    struct rep_traces *traces; /* rep_place_keep: those read so far; NULL: each call reads its own */
} rep_place;

/* From now on a trace that a call on place refers to is read and verified once, for all of them, until
 * rep_place_release. place must stay where it is. */
bool rep_place_keep(rep_place *place, spak_error *err);
void rep_place_release(rep_place *place); /* one that keeps nothing is fine */

/* --- figures --- */

/* Validates data, writes OUT/figures/NAME.dat and has gnuplot draw NAME.svg, NAME.png and NAME.pdf with
 * figures/style.gp and the figure's script. spec:
 *
 *   { "name": "matmul_ladder",
 *     "script": "figures/matmul_ladder.gp",         default: figures/NAME.gp (the last part of the name)
 *     "columns": [ {"name": "step", "type": "text"}, {"name": "size", "type": "number"}, ... ],
 *     "rows": [ ["naive", 512, ...], ... ],
 *     "series": "step",                             text column that cuts the rows into series; optional
 *     "x": "size",                                  must increase strictly within a series; optional
 *     "positive": ["ratio"],                        columns for a log axis: every number > 0; optional
 *     "expect_series": ["naive", ...],              series that must not be empty; optional
 *     "refs": ["trace:..."],                        the records behind the rows, at least one
 *     "vars": {"peer": "OpenBLAS"} }                texts and numbers for the script
 *
 * A series is a block of the data file (gnuplot's `index`), in order of first appearance. The script sees data, kind
 * (svg, png, pdf), series (how many), series_names, col_NAME for each column, and the vars. Fails on bad data, on an
 * error or warning of gnuplot (its text is in err), and on output that is no drawing; what stood there before stays.
 * *drawn (may be NULL) says whether gnuplot ran: with unchanged data, script, style and vars it does not. */
bool rep_plot(const rep_place *place, const json_t *spec, bool *drawn, spak_error *err);

/* --- tables --- */

/* Writes OUT/tables/NAME.md (GitHub Markdown) and NAME.tex (booktabs). spec:
 *
 *   { "name", "caption": "...",
 *     "columns": [ {"header": "step", "align": "left"|"right"|"center", "format": "%.2f"}, ... ],
 *     "rows": [ [ "text", {"value": 0.97, "ref": "trace:..."}, {"text": "n/a"}, ... ], ... ] }
 *
 * A number needs a ref; `text` beside a value replaces the formatted number, and `refs` names all records that it comes
 * from. */
bool rep_table(const rep_place *place, const json_t *spec, spak_error *err);

/* --- values --- */

/* Writes OUT/values/NAME.json (OUT/values/MACHINE/NAME.json for an archived trace). spec:
 *
 *   { "name": "matmul", "machine": "here" (default) or the archived machine's id,
 *     "values": { KEY: {"value": 0.97, "format": "%.2f" | "text": "0.97", "unit": "", "refs": ["trace:..."]} } }
 *
 * The file adds what the trace says of itself: trace, head, profile, archived, complete, stale, and where
 * a data set was replaced by its stand-in stand_ins (names). Fails when the trace
 * does not verify, a value is not a finite number or has no refs, or a ref leads nowhere. */
bool rep_values_write(const rep_place *place, const json_t *spec, spak_error *err);

/* "trace:NAME/MACHINE#SEQ", appended. */
void rep_ref_text(const char *name, const char *machine, long long seq, spak_str *out);

/* A number through a printf-like format with exactly one of %f %e %g %d (with width and precision, `%%` for a per cent
 * sign); format NULL gives the shortest text that reads back. Fails on any other format and on a number that is not
 * finite. */
bool rep_format_number(const char *format, double value, spak_str *out, spak_error *err);

/* --- the claims ledger --- */

/* Reads the claims file (dsl/claims.dsl) and the values files below OUT and gives a verdict for each evaluation:
 * REPRODUCED, DIFFERS, NOT EVALUATED, STALE or INCONSISTENT. eval may be NULL when no claim holds an expression.
 * archived_only leaves what was measured here out of it (for README.md). *ledger: see ledger.c. An expression that
 * cannot be evaluated is listed in ledger.errors, with file and line, and its row reads NOT EVALUATED; the function
 * itself fails only when there is no ledger to speak of. */
bool rep_ledger(const rep_place *place, const char *claims_path, const spak_evaluator *eval, bool archived_only,
                json_t **ledger, spak_error *err);

/* OUT/verdicts.json and OUT/verdicts.md. */
bool rep_ledger_write(const rep_place *place, const json_t *ledger, spak_error *err);

/* The summary for a terminal: counts, then one line for each row that was evaluated; with only (a claim's id) every
 * row of that claim, with its reason. Fails when there is no such claim. */
bool rep_ledger_print(const json_t *ledger, const char *only, bool colour, spak_str *out, spak_error *err);

/* Puts the table between `<!-- claims:begin -->` and `<!-- claims:end -->` of a README; with check only compares and
 * fails when it is out of date. Takes a ledger of archived evidence only. */
bool rep_ledger_readme(const json_t *ledger, const char *readme, bool check, spak_error *err);

/* --- status --- */

/* The machine, the tools, each trace made here or archived and whether it is still good evidence, as text. */
bool rep_status(const rep_place *place, spak_str *out, spak_error *err);

/* --- the book --- */

typedef struct rep_problems { /* what is wrong, all of it: one "file:line: message" a line */
    spak_str text;
    size_t count;
} rep_problems;
void rep_problems_free(rep_problems *problems);

typedef struct rep_weave_options {
    bool partial; /* some of the chapters only: a region that none of them uses is no fault */
} rep_weave_options;

/* Weaves Markdown files to OUT/book/NAME.html, with index.html, claims.html and a page for each trace; a file in a
 * folder named `paper` also becomes OUT/paper/NAME.tex. Nothing is written when there are problems: the function then
 * fails, and problems lists them. escapes (may be NULL) counts the lines that `<!-- number: reason -->` excuses. */
bool rep_weave(const rep_place *place, char *const files[], size_t count, const rep_weave_options *options,
               rep_problems *problems, size_t *escapes, spak_error *err);

/* Fails, with file and line, at a zero byte (which would cut the text there) and at what is not UTF-8. */
bool rep_text_check(const char *file, const char *text, size_t len, spak_error *err);

/* The check on numbers typed by hand, for one Markdown text (README.md too: what stands between `<!-- NAME:begin -->`
 * and `<!-- NAME:end -->` was generated and is left out). */
bool rep_check_numbers(const char *file, const char *text, size_t len, rep_problems *problems, size_t *escapes,
                       spak_error *err);

#endif
