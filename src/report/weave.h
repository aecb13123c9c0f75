/* What weave.c (directives) hands to html.c (pages). Private to this part. */
#ifndef SPAK_REPORT_WEAVE_H
#define SPAK_REPORT_WEAVE_H

#include "report/internal.h"

typedef struct rep_chapter {
    const char *file;
    char *name; /* NAME.html */
    bool paper; /* becomes LaTeX too */
    rep_lines lines;
    spak_str title;
    spak_str html, latex; /* woven Markdown, for pandoc */
    json_t *stand_ins;    /* by experiment: the data sets that its numbers here stand in for; NULL: none */
} rep_chapter;

/* The chapter has a number from this values file, whose run read a stand-in: its page says so on top. */
bool rep_chapter_on_stand_in(rep_chapter *chapter, const char *experiment, const json_t *values, spak_error *err);

typedef struct rep_book {
    const rep_place *place;
    rep_problems *problems;
    rep_chapter *chapters;
    size_t count;
    rep_traces traces;
    rep_regions regions;
    json_t *values;                  /* see rep_values_list */
    json_t *ledger;                  /* OUT/verdicts.json, or NULL */
    json_t *figures, *paper_figures; /* sets of the names used */
} rep_book;

/* Writes every page of the book, and the paper's LaTeX. */
bool rep_book_write(rep_book *book, spak_error *err);

#endif
