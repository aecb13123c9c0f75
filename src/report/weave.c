/* The weaver: prose in Markdown, with directives that pull in what the machine knows.
 *
 *   {{code kernels/matmul/ladder.c#naive}}   a region of the real source          alone on its line
 *   {{figure matmul_ladder "caption"}}       OUT/figures/NAME.svg                 alone on its line
 *   {{table matmul_ladder}}                  OUT/tables/NAME.md                   alone on its line
 *   {{claims}}                               the whole claims table               alone on its line
 *   {{value matmul.ratio %.2f}}              a number, linked to its records; matmul@MACHINE.ratio: an archived one,
 *                                            as is, and marked so, one that the run here has none of
 *   {{verdict M1}}, {{verdict M1.cpu}}       a badge
 *   {{claim L4.published_value %.1f}}        a field of a claim, such as what the source published
 *
 * A directive in code is left as it is. First every file is woven in memory and every problem collected; only when
 * there is none does pandoc run and anything get written (html.c). The paragraphs before a region are put beside it, as
 * many as the region is high, so that a wide screen shows prose and code next to each other.
 *
 * A chapter is woven once for HTML and, in the folder `paper`, once more for LaTeX; the two differ in how a number
 * links to its records, in a figure's format and in tables, so `latex` is a flag all the way down. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "report/weave.h"

typedef struct weaving { /* one file for one target */
    rep_book *book;
    rep_chapter *chapter;
    bool latex;
    spak_str *out;
    spak_str prose; /* paragraphs not yet written, because a region may follow */
    size_t line;    /* from 1; of a directive that runs over line ends, where it begins */
} weaving;

static void problem(const weaving *w, const char *what, const char *name, const char *remedy) {
    if (w->latex) return; /* it was reported when the file was woven for HTML */
    rep_problem(w->book->problems, w->chapter->file, w->line, "%s '%s'; %s", what, name, remedy);
}

/* --- inline directives --- */

/* The values file for NAME or NAME@MACHINE that has the key; without a machine the first, which is `here` when there is
 * one. Where none has the key, the first of that name. */
static const json_t *values_of(const rep_book *book, const char *name, const char *machine, const char *key) {
    size_t i;
    json_t *item;
    const json_t *first = NULL;
    json_array_foreach(book->values, i, item) {
        if (strcmp(spak_json_str(item, "name", ""), name) != 0) continue;
        if (machine && strcmp(spak_json_str(item, "machine", ""), machine) != 0) continue;
        if (json_object_get(json_object_get(json_object_get(item, "file"), "values"), key)) return item;
        if (!first) first = item;
    }
    return first;
}

/* A digit in a format beside its conversion would be a number typed by hand. */
static bool types_number(const char *format) {
    for (const char *c = format; c && *c; c++) {
        if (*c == '%' && c[1] == '%')
            c++;
        else if (*c == '%')
            c += strcspn(c, "fegd");
        else if (isdigit((unsigned char)*c))
            return true;
        if (!*c) break;
    }
    return false;
}

/* Every record that a value was made from is there, and the experiment's trace is what it was then. */
static bool refs_current(rep_book *book, const json_t *refs, const char *name, const char *head, spak_error *err) {
    size_t i;
    json_t *ref;
    json_array_foreach(refs, i, ref) {
        rep_trace *trace = NULL;
        if (!rep_ref_check(&book->traces, json_is_string(ref) ? json_string_value(ref) : "?", &trace, NULL, err))
            return false;
        if (head && !strcmp(trace->name, name) && strcmp(trace->status.head, head) != 0)
            return spak_fail(err, "the trace has changed since; run the experiment's report again");
    }
    return json_array_size(refs) > 0 || spak_fail(err, "it has no reference");
}

/* Front matter ends up in a title or an abstract, which holds no LaTeX of ours and no attributes in quotes. */
static rep_cite_for cite_for(const weaving *w) {
    bool front = w->chapter->lines.at[w->line - 1].kind == REP_FRONT;
    if (w->latex) return front ? REP_CITE_PLAIN : REP_CITE_LATEX;
    return front ? REP_CITE_FRONT : REP_CITE_HTML;
}

static void put_value(const weaving *w, const char *name, const char *format, spak_str *out) {
    char who[200];
    const char *dot = strrchr(name, '.');
    size_t len = dot ? (size_t)(dot - name) : 0;
    if (!len || len >= sizeof who || !dot[1]) {
        problem(w, "bad value", name, "expected EXPERIMENT.NAME or EXPERIMENT@MACHINE.NAME");
        return;
    }
    snprintf(who, sizeof who, "%.*s", (int)len, name);
    char *machine = strchr(who, '@');
    if (machine) *machine++ = '\0';
    const json_t *item = values_of(w->book, who, machine, dot + 1), *file = json_object_get(item, "file");
    const json_t *value = json_object_get(json_object_get(file, "values"), dot + 1);
    if (!value) {
        problem(w, "unknown value", name,
                item ? "the experiment's values file has no such name" : "run the experiment's report first");
        return;
    }
    if (types_number(format)) {
        problem(w, "number typed by hand in the format", format, "leave the conversion alone");
        return;
    }
    spak_error err = {0};
    spak_str text = {0};
    const json_t *refs = json_object_get(value, "refs");
    bool good = refs_current(w->book, refs, who, spak_json_str(file, "head", NULL), &err);
    if (good && format)
        good = rep_format_number(format, json_number_value(json_object_get(value, "value")), &text, &err);
    else
        spak_str_puts(&text, spak_json_str(value, "text", ""));
    if (good) good = rep_cite(&w->book->traces, spak_str_text(&text), refs, cite_for(w), out, &err);
    /* What the run here has no number of, say for want of the units, is said to be another machine's. */
    if (good && !machine && item != values_of(w->book, who, NULL, ""))
        spak_str_printf(out, " (archived, %s)", spak_json_str(item, "machine", "?"));
    if (good && json_object_get(file, "stand_ins")) good = rep_chapter_on_stand_in(w->chapter, who, file, &err);
    if (!good) problem(w, "value", name, err.message);
    spak_str_free(&text);
}

static const json_t *claim_of(const rep_book *book, const char *id) {
    size_t i;
    json_t *claim;
    json_array_foreach(json_object_get(book->ledger, "claims"), i, claim) {
        if (!strcmp(spak_json_str(claim, "id", ""), id)) return claim;
    }
    return NULL;
}

/* "M1.cpu" -> claim and "cpu" (or NULL). */
static const json_t *claim_and_part(const weaving *w, const char *name, const char **part) {
    char id[64];
    const char *dot = strchr(name, '.');
    size_t len = dot ? (size_t)(dot - name) : strlen(name);
    *part = dot ? dot + 1 : NULL;
    if (len >= sizeof id) return NULL;
    snprintf(id, sizeof id, "%.*s", (int)len, name);
    return claim_of(w->book, id);
}

static const char *claims_remedy(const rep_book *book) {
    return book->ledger ? "the claims file has no such claim" : "there are no verdicts yet; run spak claims first";
}

static void put_verdict(const weaving *w, const char *name, spak_str *out) {
    const char *part = NULL;
    const json_t *claim = claim_and_part(w, name, &part);
    const char *id = spak_json_str(claim, "id", name);
    size_t i, shown = 0;
    json_t *row;
    json_array_foreach(json_object_get(claim, "rows"), i, row) {
        const char *evaluation = spak_json_str(row, "evaluation", "");
        if (part && strcmp(part, evaluation) != 0) continue;
        const char *verdict = spak_json_str(row, "verdict", "");
        if (shown++) spak_str_putc(out, ' ');
        spak_str_printf(out, w->latex ? "**%s%s" : "[[%s%s", id, *evaluation ? " " : "");
        for (const char *c = evaluation; *c; c++) spak_str_putc(out, *c == '_' ? ' ' : *c);
        spak_str_puts(out, ": ");
        rep_verdict_label(row, out);
        if (w->latex)
            spak_str_puts(out, "**");
        else
            spak_str_printf(out, "](claims.html#claim-%s)]{.badge .%s}", id, rep_verdict_class(verdict));
    }
    if (!claim)
        problem(w, "unknown claim", name, claims_remedy(w->book));
    else if (!shown)
        problem(w, "unknown evaluation", name, "the claim has no evaluation of that name");
}

static void put_claim_field(const weaving *w, const char *name, const char *format, spak_str *out) {
    const char *field = NULL;
    const json_t *claim = claim_and_part(w, name, &field);
    const json_t *value = field ? json_object_get(json_object_get(claim, "fields"), field) : NULL;
    spak_error err = {0};
    spak_str text = {0};
    if (!claim) {
        problem(w, "unknown claim", name, claims_remedy(w->book));
    } else if (json_is_string(value)) {
        rep_markdown(out, json_string_value(value));
    } else if (!json_is_number(value)) {
        problem(w, "unknown field", name, "the claim has no such text or number");
    } else if (!rep_format_number(format, json_number_value(value), &text, &err)) {
        problem(w, "claim", name, err.message);
    } else {
        if (!w->latex) spak_str_putc(out, '[');
        rep_markdown(out, spak_str_text(&text));
        if (!w->latex) spak_str_printf(out, "](claims.html#claim-%s){.published}", spak_json_str(claim, "id", ""));
    }
    spak_str_free(&text);
}

/* One directive between its braces. */
static void put_directive(const weaving *w, char *text, spak_str *out) {
    char *save = NULL;
    const char *kind = strtok_r(text, " ", &save), *name = strtok_r(NULL, " ", &save),
               *format = strtok_r(NULL, "", &save);
    if (kind && name && !strcmp(kind, "value"))
        put_value(w, name, format, out);
    else if (kind && name && !format && !strcmp(kind, "verdict"))
        put_verdict(w, name, out);
    else if (kind && name && !strcmp(kind, "claim"))
        put_claim_field(w, name, format, out);
    else
        problem(w, "unknown directive", kind ? kind : "",
                "expected value, verdict or claim and a name; code, figure, "
                "table and claims stand alone on their line");
}

/* A line of prose, its directives resolved; code spans are passed over. */
static void put_inline(const weaving *w, const char *text, spak_str *out) {
    while (*text) {
        size_t ticks = strspn(text, "`");
        const char *close = NULL;
        if (ticks) { /* the run of the same length that closes the span, if it does on this line */
            for (const char *c = strchr(text + ticks, '`'); c && !close; c = strchr(c, '`')) {
                size_t run = strspn(c, "`");
                if (run == ticks) close = c + run;
                c += run;
            }
            size_t len = close ? (size_t)(close - text) : ticks;
            spak_str_append(out, text, len);
            text += len;
        } else if (spak_starts_with(text, "{{")) {
            const char *end = strstr(text, "}}");
            char *inner = end ? spak_strndup(text + 2, (size_t)(end - text) - 2) : NULL;
            if (!inner) {
                problem(w, "directive without", "}}", "close it before the paragraph ends");
                return;
            }
            put_directive(w, inner, out);
            spak_free(inner);
            text = end + 2;
        } else {
            spak_str_putc(out, *text++);
        }
    }
}

/* --- block directives --- */

static const char *language(const char *file) {
    static const char *const table[][2] = {{".c", "c"},     {".h", "c"},     {".cu", "cpp"},          {".cuh", "cpp"},
                                           {".lua", "lua"}, {".sh", "bash"}, {"Makefile", "makefile"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (spak_ends_with(file, table[i][0])) return table[i][1];
    return "default";
}

/* How many lines a text takes in a column of prose. */
static size_t prose_lines(size_t bytes) { return bytes / 60 + 2; }

/* Splits w->prose: what goes beside a region of `lines` lines is what begins at the offset returned. */
static size_t beside(const weaving *w, size_t lines) {
    const char *text = spak_str_text(&w->prose);
    size_t at = w->prose.len, height = 0;
    while (at > 0 && height < lines) {
        size_t begin = at;
        while (begin > 0 && text[begin - 1] == '\n') begin--;
        while (begin > 0 && !(text[begin - 1] == '\n' && (begin < 2 || text[begin - 2] == '\n'))) begin--;
        /* never cut inside a fence: a block that begins with one goes with all before it */
        height += prose_lines(at - begin);
        at = begin;
    }
    size_t fences = 0;
    for (const char *c = text; c < text + at && (c = strstr(c, "```")); c += 3) fences += c < text + at;
    return fences % 2 ? 0 : at;
}

static void flush_prose(weaving *w) {
    spak_str_append(w->out, spak_str_text(&w->prose), w->prose.len);
    spak_str_clear(&w->prose);
}

static void put_listing(const weaving *w, const rep_region *region) {
    spak_str *out = w->out;
    spak_str_printf(out, "~~~~~~~~ {.%s}\n%s~~~~~~~~\n\n", language(region->file), region->text);
    if (!w->latex) spak_str_puts(out, "::: {.caption}\n");
    spak_str_printf(out, "`%s`, line%s %zu", region->file, region->last > region->first ? "s" : "", region->first);
    if (region->last > region->first) spak_str_printf(out, "–%zu", region->last);
    spak_str_puts(out, ": *");
    rep_markdown(out, region->name);
    spak_str_puts(out, "*\n");
    if (!w->latex) spak_str_puts(out, ":::\n");
    spak_str_putc(out, '\n');
}

static void put_code(weaving *w, const char *name) {
    char file[300];
    const char *hash = strchr(name, '#');
    size_t len = hash ? (size_t)(hash - name) : 0;
    if (!len || len >= sizeof file) {
        problem(w, "bad region", name, "expected FILE#REGION");
        return;
    }
    snprintf(file, sizeof file, "%.*s", (int)len, name);
    rep_region *region = rep_regions_find(&w->book->regions, file, hash + 1);
    if (!region) {
        problem(w, "unknown region", name, "the file has no such region (or there is no such file)");
        return;
    }
    region->used = true;
    if (w->latex) {
        flush_prose(w);
        put_listing(w, region);
        return;
    }
    size_t split = beside(w, region->lines + 2);
    const char *prose = spak_str_text(&w->prose);
    bool pair = strspn(prose + split, " \n") < w->prose.len - split;
    spak_str_append(w->out, prose, split);
    spak_str_printf(w->out, "\n:::::: {.%s}\n", pair ? "pair" : "single");
    if (pair) spak_str_printf(w->out, "::::: {.prose}\n%s\n:::::\n", prose + split);
    spak_str_puts(w->out, "::::: {.listing}\n");
    spak_str_clear(&w->prose);
    put_listing(w, region);
    spak_str_puts(w->out, ":::::\n::::::\n\n");
}

/* OUT/FOLDER/NAME.SUFFIX, or below it the first archived machine's: found becomes NAME or MACHINE/NAME. */
static bool find_output(const weaving *w, const char *folder, const char *name, const char *suffix, spak_str *found) {
    spak_str path = {0};
    bool there = false;
    char **machines = NULL;
    size_t count = 0;
    if (!rep_valid_name(name)) return false;
    spak_str_printf(&path, "%s/%s/%s.%s", w->book->place->out, folder, name, suffix);
    spak_str_puts(found, name);
    if (!path.oom && spak_exists(path.data)) there = true;
    spak_str_clear(&path);
    spak_str_printf(&path, "%s/%s", w->book->place->out, folder);
    if (!there && !path.oom && spak_exists(path.data)) spak_list_dir(path.data, &machines, &count, NULL);
    for (size_t i = 0; i < count && !there; i++) {
        spak_str_clear(&path);
        spak_str_printf(&path, "%s/%s/%s/%s.%s", w->book->place->out, folder, machines[i], name, suffix);
        there = !path.oom && spak_exists(path.data);
        if (!there) continue;
        spak_str_clear(found);
        spak_str_printf(found, "%s/%s", machines[i], name);
    }
    spak_names_free(machines, count);
    spak_str_free(&path);
    return there && !found->oom;
}

static void put_figure(weaving *w, const char *name, const char *caption) {
    spak_str found = {0};
    if (!find_output(w, "figures", name, "svg", &found)) {
        problem(w, "unknown figure", name, "the experiment's report has not drawn it");
    } else {
        json_t *set = w->latex ? w->book->paper_figures : w->book->figures;
        const char *slash = strrchr(found.data, '/');
        if (json_object_set_new(set, found.data, json_true())) w->out->oom = true;
        spak_str_puts(w->out, "\n![");
        put_inline(w, caption, w->out);
        if (slash) spak_str_printf(w->out, " (archived, %.*s)", (int)(slash - found.data), found.data);
        if (w->latex)
            spak_str_printf(w->out, "](figures/%s.pdf){width=100%%}\n\n", found.data);
        else
            spak_str_printf(w->out, " ([data](figures/%s.dat))](figures/%s.svg)\n\n", found.data, found.data);
    }
    spak_str_free(&found);
}

static void put_table(weaving *w, const char *name) {
    spak_str found = {0}, path = {0}, text = {0};
    const char *suffix = w->latex ? "tex" : "md";
    bool there = find_output(w, "tables", name, suffix, &found);
    spak_str_printf(&path, "%s/tables/%s.%s", w->book->place->out, spak_str_text(&found), suffix);
    if (!there || path.oom || !spak_read_file(path.data, &text, NULL)) {
        problem(w, "unknown table", name, "the experiment's report has not written it");
    } else if (w->latex) {
        spak_str_printf(w->out, "\n```{=latex}\n%s```\n\n", spak_str_text(&text));
    } else { /* its links lead from OUT/tables to OUT/book, where we are */
        spak_str_puts(w->out, "\n::: {.table}\n");
        for (const char *c = spak_str_text(&text); *c;) {
            const char *link = strstr(c, "](../book/");
            size_t len = link ? (size_t)(link - c) + 2 : strlen(c);
            spak_str_append(w->out, c, len);
            c += len + (link ? strlen("../book/") : 0);
        }
        spak_str_puts(w->out, ":::\n\n");
    }
    spak_str_free(&found);
    spak_str_free(&path);
    spak_str_free(&text);
}

static void put_claims(weaving *w) {
    if (!w->book->ledger) {
        problem(w, "no", "claims", claims_remedy(w->book));
        return;
    }
    spak_str_puts(w->out, w->latex ? "\n" : "\n::: {.table .claims}\n");
    rep_claims_markdown(w->book->ledger, w->latex ? REP_FOR_LATEX : REP_FOR_BOOK, w->out);
    spak_str_puts(w->out, w->latex ? "\n" : ":::\n\n");
}

/* Handles a line that is nothing but a block directive; false when it is something else. */
static bool put_block(weaving *w, const char *line) {
    size_t len = strlen(line);
    while (len && isspace((unsigned char)line[len - 1])) len--;
    if (len < 5 || !spak_starts_with(line, "{{") || strncmp(line + len - 2, "}}", 2) != 0) return false;
    char *text = spak_strndup(line + 2, len - 4), *save = NULL;
    if (!text) {
        w->out->oom = true;
        return true;
    }
    const char *kind = strtok_r(text, " ", &save), *name = kind ? strtok_r(NULL, " ", &save) : NULL;
    char *rest = name ? strtok_r(NULL, "", &save) : NULL;
    size_t rest_len = rest ? strlen(rest) : 0;
    bool code = kind && name && !rest && !strcmp(kind, "code");
    bool figure = kind && name && !strcmp(kind, "figure");
    bool table = kind && name && !rest && !strcmp(kind, "table");
    bool claims = kind && !name && !strcmp(kind, "claims");
    if (code) {
        put_code(w, name);
    } else if (figure || table || claims) {
        flush_prose(w);
        if (table) put_table(w, name);
        if (claims) put_claims(w);
        if (figure && rest_len >= 3 && rest[0] == '"' && rest[rest_len - 1] == '"') {
            rest[rest_len - 1] = '\0';
            put_figure(w, name, rest + 1);
        } else if (figure) {
            problem(w, "figure without caption", name, "write {{figure NAME \"caption\"}}");
        }
    }
    spak_free(text);
    return code || figure || table || claims;
}

/* --- a file --- */

/* True when a directive opens in text and does not close: it goes on in the next line. */
static bool is_open(const char *text) {
    const char *last = NULL;
    for (const char *c = text; (c = strstr(c, "{{")); c += 2) last = c;
    return last && !strstr(last, "}}") && !strchr(last, '`');
}

/* The text of line w->line, with those after it that a directive runs into; *last is the last of them. */
static const char *whole_line(const weaving *w, spak_str *joined, size_t *last) {
    const rep_lines *lines = &w->chapter->lines;
    const char *text = lines->at[w->line - 1].text;
    spak_str_clear(joined);
    for (*last = w->line; is_open(text) && *last < lines->count && lines->at[*last].kind == REP_TEXT; ++*last) {
        const char *more = lines->at[*last].text;
        if (!joined->len) spak_str_puts(joined, text);
        spak_str_printf(joined, " %s", more + strspn(more, " "));
        text = spak_str_text(joined);
    }
    return text;
}

/* A first heading that only repeats the title of the front matter. */
static bool repeats_title(const rep_chapter *chapter, const rep_line *line) {
    bool front = chapter->lines.count > 0 && chapter->lines.at[0].kind == REP_FRONT;
    return front && spak_starts_with(line->text, "# ") && !strcmp(line->text + 2, spak_str_text(&chapter->title));
}

static bool weave_for(rep_book *book, rep_chapter *chapter, bool latex, spak_str *out, spak_error *err) {
    weaving w = {book, chapter, latex, out, {0}, 0};
    spak_str joined = {0};
    for (size_t last = 0; last < chapter->lines.count;) {
        w.line = ++last;
        const rep_line *line = &chapter->lines.at[w.line - 1];
        bool stands_alone = line->kind == REP_HEADING || line->kind == REP_FRONT;
        if (stands_alone) flush_prose(&w);
        if (line->kind == REP_HEADING && repeats_title(chapter, line)) continue;
        const char *text = line->kind == REP_TEXT ? whole_line(&w, &joined, &last) : line->text;
        if (line->kind == REP_TEXT && put_block(&w, text)) continue;
        spak_str *to = stands_alone ? out : &w.prose;
        if (stands_alone || line->kind == REP_TEXT)
            put_inline(&w, text, to);
        else
            spak_str_puts(to, text);
        spak_str_putc(to, '\n');
    }
    flush_prose(&w);
    if (w.prose.oom || joined.oom) out->oom = true;
    spak_str_free(&joined);
    spak_str_free(&w.prose);
    return spak_str_ok(out, err);
}

static void unused_regions(const rep_book *book) {
    for (size_t i = 0; i < book->regions.count; i++) {
        const rep_region *region = &book->regions.at[i];
        if (!region->used)
            rep_problem(book->problems, region->file, region->first - 1, "region '%s' is used by no chapter",
                        region->name);
    }
}

static bool open_chapter(rep_book *book, rep_chapter *chapter, const char *file, size_t *escapes, spak_error *err) {
    spak_str text = {0};
    chapter->file = file;
    bool good =
        spak_read_file(file, &text, err) && rep_lines_split(spak_str_text(&text), text.len, &chapter->lines, err);
    spak_str_free(&text);
    if (!good) return false;
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t len = strlen(base) - (spak_ends_with(base, ".md") ? strlen(".md") : 0);
    chapter->name = spak_strndup(base, len);
    chapter->paper = spak_starts_with(file, "paper/") || strstr(file, "/paper/");
    if (!chapter->name) return spak_fail_oom(err);
    if (!strcmp(chapter->name, "index") || !strcmp(chapter->name, "claims") ||
        spak_starts_with(chapter->name, "trace-"))
        return spak_fail(err, "%s: the book has a page %s.html of its own; give the file another name", file,
                         chapter->name);
    for (rep_chapter *other = book->chapters; other < chapter; other++)
        if (!strcmp(other->name, chapter->name))
            return spak_fail(err, "%s and %s would both become %s.html; rename one", other->file, file, chapter->name);
    if (!rep_front_value(&chapter->lines, "title", &chapter->title)) {
        for (size_t i = 0; i < chapter->lines.count && !chapter->title.len; i++)
            if (chapter->lines.at[i].kind == REP_HEADING)
                spak_str_puts(&chapter->title, chapter->lines.at[i].text + strspn(chapter->lines.at[i].text, "# "));
    }
    if (!chapter->title.len) spak_str_puts(&chapter->title, chapter->name);
    rep_numbers(file, &chapter->lines, book->problems, escapes);
    return spak_str_ok(&chapter->title, err);
}

/* Verdicts that were given before a trace grew or was made anew are not those of this book. */
static bool verdicts_current(rep_book *book, spak_error *err) {
    size_t i, r;
    json_t *claim, *row;
    json_array_foreach(json_object_get(book->ledger, "claims"), i, claim) {
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            const char *experiment = spak_json_str(row, "experiment", NULL);
            rep_trace *trace = NULL;
            if (!experiment) continue;
            if (!rep_traces_get(&book->traces, experiment, spak_json_str(row, "machine", ""), &trace, err))
                return false;
            if (!strcmp(trace->status.head, spak_json_str(row, "head", ""))) continue;
            return spak_fail(err, "the verdict on %s is older than the trace %s; run spak claims again",
                             spak_json_str(claim, "id", ""), trace->path);
        }
    }
    return true;
}

static bool open_book(rep_book *book, spak_error *err) {
    spak_str path = {0};
    spak_str_printf(&path, "%s/verdicts.json", book->place->out);
    book->traces.place = book->place;
    book->figures = json_object();
    book->paper_figures = json_object();
    bool good = (book->figures && book->paper_figures) || spak_fail_oom(err);
    good = good && spak_str_ok(&path, err) && rep_values_list(book->place, &book->values, err) &&
           rep_regions_read(book->place->root, &book->regions, book->problems, err);
    if (good && spak_exists(path.data))
        good = spak_json_load(path.data, &book->ledger, err) && verdicts_current(book, err);
    spak_str_free(&path);
    return good;
}

static void close_book(rep_book *book) {
    for (size_t i = 0; i < book->count; i++) {
        rep_chapter *chapter = &book->chapters[i];
        spak_free(chapter->name);
        rep_lines_free(&chapter->lines);
        spak_str_free(&chapter->title);
        spak_str_free(&chapter->html);
        spak_str_free(&chapter->latex);
        json_decref(chapter->stand_ins);
    }
    spak_free(book->chapters);
    rep_traces_free(&book->traces);
    rep_regions_free(&book->regions);
    json_decref(book->values);
    json_decref(book->ledger);
    json_decref(book->figures);
    json_decref(book->paper_figures);
}

bool rep_weave(const rep_place *place, char *const files[], size_t count, const rep_weave_options *options,
               rep_problems *problems, size_t *escapes, spak_error *err) {
    rep_book book = {.place = place, .problems = problems, .count = count};
    if (count == 0) return spak_fail(err, "no chapters to weave");
    book.chapters = spak_calloc(count, sizeof *book.chapters);
    if (!book.chapters) return spak_fail_oom(err);
    bool good = open_book(&book, err);
    for (size_t i = 0; good && i < count; i++) {
        rep_chapter *chapter = &book.chapters[i];
        good = open_chapter(&book, chapter, files[i], escapes, err) &&
               weave_for(&book, chapter, false, &chapter->html, err) &&
               (!chapter->paper || weave_for(&book, chapter, true, &chapter->latex, err));
    }
    if (good && !(options && options->partial)) unused_regions(&book);
    if (good && problems->count) good = spak_fail(err, "%zu problem(s); nothing was woven", problems->count);
    good = good && spak_str_ok(&problems->text, err) && rep_book_write(&book, err);
    close_book(&book);
    return good;
}
