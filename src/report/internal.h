/* What the files of this part share; nobody else includes it. */
#ifndef SPAK_REPORT_INTERNAL_H
#define SPAK_REPORT_INTERNAL_H

#include "base/hash.h"
#include "report/report.h"
#include "trace/trace.h"

/* --- evidence.c: references, traces, values files --- */

typedef struct rep_ref {
    char name[96], machine[96]; /* machine is "here" or an archived machine's id */
    char label[96];             /* the machine as it was written: `here-...` keeps its end */
    long long seq;
} rep_ref;

bool rep_ref_parse(const char *text, rep_ref *ref, spak_error *err);

/* Adds those of `more` that are not among refs yet: several values of one claim may come from one record. */
bool rep_refs_add(json_t *refs, const json_t *more, spak_error *err);

typedef struct rep_trace {
    char *name, *machine, *path;
    bool archived, complete;
    json_t *records; /* NULL when it could not be read */
    trace_status status;
    char *why;         /* why it is not good evidence (unreadable, torn, incomplete), or NULL */
    bool changed;      /* the run itself reports that its inputs changed under it */
    json_t *stale;     /* array of input paths whose content is no longer what the run hashed; "data set NAME" too */
    json_t *stand_ins; /* array of the names of data sets in whose place the run read a stand-in */
} rep_trace;

typedef struct rep_traces { /* those read so far */
    const rep_place *place;
    rep_trace **items;
    size_t count;
} rep_traces;

/* The trace, read on first use. Fails only for lack of memory: a missing or damaged one has `why`. */
bool rep_traces_get(rep_traces *traces, const char *name, const char *machine, rep_trace **trace, spak_error *err);
void rep_traces_free(rep_traces *traces);
/* Those that place keeps, else own, which becomes empty. rep_traces_free(own) is right in both cases. */
rep_traces *rep_traces_of(const rep_place *place, rep_traces *own);

/* Parses a reference and fails unless it leads to a record. trace and record may be NULL. */
bool rep_ref_check(rep_traces *traces, const char *text, rep_trace **trace, const json_t **record, spak_error *err);

/* "trace-NAME.html#rSEQ" or, archived, "trace-NAME-MACHINE.html#rSEQ"; seq < 0: without the fragment. */
void rep_ref_href(const char *name, const char *machine, long long seq, spak_str *out);

/* Every values file below OUT: array of {"name", "machine", "path", "file": content}, here first, then by machine. */
bool rep_values_list(const rep_place *place, json_t **list, spak_error *err);

/* path below root / out, appended. */
void rep_path(spak_str *out, const char *base, const char *path);

/* --- text.c: escaping --- */

void rep_html(spak_str *out, const char *text);     /* & < > " */
void rep_markdown(spak_str *out, const char *text); /* characters that mean something, '|' among them */
void rep_latex(spak_str *out, const char *text);
bool rep_valid_name(const char *name); /* letters, digits, '_', '-', parts joined by '/' */
void rep_problem(rep_problems *problems, const char *file, size_t line, const char *fmt, ...) SPAK_PRINTF(4, 5);

/* --- markdown.c: lines of a Markdown file and what they are --- */

typedef enum rep_line_kind { REP_TEXT, REP_FRONT, REP_CODE, REP_GENERATED, REP_BLANK, REP_HEADING } rep_line_kind;
typedef struct rep_line {
    const char *text; /* NUL-terminated, without the newline */
    rep_line_kind kind;
} rep_line;
typedef struct rep_lines {
    char *buffer;
    rep_line *at;
    size_t count;
} rep_lines;
bool rep_lines_split(const char *text, size_t len, rep_lines *lines, spak_error *err);
void rep_lines_free(rep_lines *lines);
/* Value of a `key: value` line of the front matter, without quotes, appended; false when there is none. */
bool rep_front_value(const rep_lines *lines, const char *key, spak_str *out);

/* --- numbers.c --- */

void rep_numbers(const char *file, const rep_lines *lines, rep_problems *problems, size_t *escapes);

/* --- regions.c: the marked regions of the sources --- */

typedef struct rep_region {
    char *file, *name;
    size_t first, last; /* line numbers of the text between the markers */
    char *text;         /* dedented, without inner markers */
    size_t lines, width;
    bool used;
} rep_region;
typedef struct rep_regions {
    rep_region *at;
    size_t count;
} rep_regions;
enum { REP_REGION_WIDTH = 80, REP_REGION_LINES = 60 };

/* Every region of every source below root (src, kernels, experiments, dsl, Makefile, reproduce.sh). */
bool rep_regions_read(const char *root, rep_regions *regions, rep_problems *problems, spak_error *err);
/* One file; for tests and the above. */
bool rep_regions_scan(const char *file, const char *text, rep_regions *regions, rep_problems *problems,
                      spak_error *err);
rep_region *rep_regions_find(rep_regions *regions, const char *file, const char *name);
void rep_regions_free(rep_regions *regions);

/* --- ledger.c, verdicts.c --- */

const char *rep_verdict_class(const char *verdict);       /* "reproduced", "differs", ...: for style sheets */
void rep_verdict_label(const json_t *row, spak_str *out); /* "REPRODUCED (here)" */
/* The claims table as Markdown; links as in a page of the book when book is set, else as seen from OUT. */
typedef enum rep_table_for { REP_FOR_OUT, REP_FOR_BOOK, REP_FOR_README, REP_FOR_LATEX } rep_table_for;
void rep_claims_markdown(const json_t *ledger, rep_table_for target, spak_str *out);
/* Every claim at length, as Markdown with divisions: what was published, how it is evaluated, each verdict with its
 * reason. */
void rep_claims_page(const json_t *ledger, spak_str *out);

/* --- cite.c: a number and the records it came from --- */

typedef enum rep_cite_for {
    REP_CITE_HTML,  /* Markdown for a page */
    REP_CITE_FRONT, /* the same in front matter, where an attribute in quotes would end a text */
    REP_CITE_LATEX, /* \spaktrace{TEXT}{REF, REF, ...} */
    REP_CITE_PLAIN  /* the text alone */
} rep_cite_for;

/* The text as a link to the first of refs, followed by a link to each of the others; links to a stale trace are marked.
 * Fails when a reference leads nowhere. */
bool rep_cite(rep_traces *traces, const char *text, const json_t *refs, rep_cite_for target, spak_str *out,
              spak_error *err);

/* --- html.c, tracepage.c: pages --- */

/* A whole page: src/report/web/page.html with $title$, $class$, $nav$ and $body$ filled in, written to path. */
bool rep_page_write(const rep_place *place, const char *path, const char *title, const char *page_class,
                    const char *nav, const char *body, spak_error *err);
bool rep_trace_page(const rep_place *place, rep_trace *trace, const char *nav, spak_error *err);

#endif
