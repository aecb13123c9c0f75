/* The book's pages. pandoc turns each woven chapter into HTML (MathML, highlighted code); the pages around it
 * (contents, claims, traces) are written here, and all wear the same frame, src/report/web/page.html. Everything a page
 * needs lies in OUT/book, so that the folder can be copied anywhere. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "report/weave.h"

/* Runs pandoc; adds the remedy to err when it is missing. */
static bool run_pandoc(char *const argv[], spak_error *err) {
    spak_str out = {0}, said = {0};
    bool found = true;
    int status = 0;
    bool good = spak_spawn(argv, 120, &found, &status, &out, &said, err);
    if (good && !found) good = spak_fail(err, "pandoc is not installed; type: apt-get install pandoc");
    if (good && (status || said.len))
        good = spak_fail(err, "pandoc %s (exit status %d): %s", status ? "failed" : "warned", status,
                         spak_str_text(&said));
    spak_str_free(&out);
    spak_str_free(&said);
    return good;
}

static bool read_web(const rep_place *place, const char *name, spak_str *out, spak_error *err) {
    spak_str path = {0}, inner = {0};
    spak_str_printf(&inner, "src/report/web/%s", name);
    rep_path(&path, place->root, spak_str_text(&inner));
    bool good = spak_str_ok(&inner, err) && spak_str_ok(&path, err) && spak_read_file(path.data, out, err);
    spak_str_free(&path);
    spak_str_free(&inner);
    return good;
}

bool rep_page_write(const rep_place *place, const char *path, const char *title, const char *page_class,
                    const char *nav, const char *body, spak_error *err) {
    spak_str frame = {0}, page = {0};
    bool good = read_web(place, "page.html", &frame, err);
    for (const char *c = spak_str_text(&frame); good && *c;) {
        if (spak_starts_with(c, "$title$"))
            rep_html(&page, title), c += strlen("$title$");
        else if (spak_starts_with(c, "$class$"))
            spak_str_puts(&page, page_class), c += strlen("$class$");
        else if (spak_starts_with(c, "$nav$"))
            spak_str_puts(&page, nav), c += strlen("$nav$");
        else if (spak_starts_with(c, "$body$"))
            spak_str_puts(&page, body), c += strlen("$body$");
        else
            spak_str_putc(&page, *c++);
    }
    good = good && spak_str_ok(&page, err) && spak_write_if_changed(path, page.data, page.len, err);
    spak_str_free(&frame);
    spak_str_free(&page);
    return good;
}

static bool book_path(const rep_book *book, spak_str *path, const char *name, const char *suffix, spak_error *err) {
    spak_str_clear(path);
    spak_str_printf(path, "%s/book/%s%s", book->place->out, name, suffix);
    return spak_str_ok(path, err);
}

static bool copy(const char *from, const char *to, spak_error *err) {
    spak_str text = {0};
    bool good = spak_read_file(from, &text, err) && spak_write_if_changed(to, spak_str_text(&text), text.len, err);
    spak_str_free(&text);
    return good;
}

static bool copy_figures(const rep_book *book, const json_t *figures, const char *folder, const char *const *kinds,
                         spak_error *err) {
    const char *name;
    json_t *unused;
    bool good = true;
    spak_str from = {0}, to = {0};
    json_object_foreach((json_t *)figures, name, unused) {
        for (const char *const *kind = kinds; good && *kind; kind++) {
            spak_str_clear(&from);
            spak_str_clear(&to);
            spak_str_printf(&from, "%s/figures/%s.%s", book->place->out, name, *kind);
            spak_str_printf(&to, "%s/%s/figures/%s.%s", book->place->out, folder, name, *kind);
            good = spak_str_ok(&from, err) && spak_str_ok(&to, err) && copy(from.data, to.data, err);
        }
    }
    spak_str_free(&from);
    spak_str_free(&to);
    return good;
}

/* Links to the contents and to the neighbours; at < 0: a page that is none of the chapters. */
static void navigation(const rep_book *book, long at, spak_str *nav) {
    spak_str_puts(nav, "<a href=\"index.html\">Contents</a>");
    for (long step = -1; step <= 1 && at >= 0; step += 2) {
        long other = at + step;
        if (other < 0 || other >= (long)book->count) continue;
        spak_str_printf(nav, "<a class=\"%s\" rel=\"%s\" href=\"%s.html\">", step < 0 ? "before" : "after",
                        step < 0 ? "prev" : "next", book->chapters[other].name);
        rep_html(nav, spak_str_text(&book->chapters[other].title));
        spak_str_puts(nav, "</a>");
    }
    if (book->ledger) spak_str_puts(nav, "<a href=\"claims.html\">Claims</a>");
}

/* Woven Markdown -> the chapter's inner HTML, through the file OUT/book/src/NAME.md, which stays for inspection. */
static bool to_html(const rep_book *book, const char *name, const spak_str *markdown, bool contents, spak_str *body,
                    spak_error *err) {
    spak_str source = {0}, target = {0}, style = {0}, stem = {0};
    spak_str_printf(&stem, "src/%s", name);
    rep_path(&style, book->place->root, "src/report/web/chapter.html");
    bool good = spak_str_ok(&stem, err) && book_path(book, &source, stem.data, ".md", err) &&
                book_path(book, &target, stem.data, ".html", err) && spak_str_ok(&style, err) &&
                spak_write_if_changed(source.data, spak_str_text(markdown), markdown->len, err);
    spak_str template_flag = {0};
    spak_str_printf(&template_flag, "--template=%s", spak_str_text(&style));
    good = good && spak_str_ok(&template_flag, err);
    if (good) {
        char *argv[] = {"pandoc",
                        "-f",
                        "markdown",
                        "-t",
                        "html5",
                        "-s",
                        "--mathml",
                        "--highlight-style=tango",
                        "--wrap=preserve",
                        "--columns=10000",
                        template_flag.data,
                        "--metadata=pagetitle:-",
                        "-o",
                        target.data,
                        source.data,
                        contents ? "--toc" : NULL,
                        "--toc-depth=2",
                        NULL};
        good = run_pandoc(argv, err) && spak_read_file(target.data, body, err);
        unlink(target.data);
    }
    if (!good) spak_fail_context(err, "%s", name);
    spak_str *all[] = {&source, &target, &style, &stem, &template_flag};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) spak_str_free(all[i]);
    return good;
}

bool rep_chapter_on_stand_in(rep_chapter *chapter, const char *experiment, const json_t *values, spak_error *err) {
    if (!chapter->stand_ins) chapter->stand_ins = json_object();
    return (chapter->stand_ins &&
            !json_object_set(chapter->stand_ins, experiment, json_object_get(values, "stand_ins"))) ||
           spak_fail_oom(err);
}

static void banner(const rep_chapter *chapter, spak_str *out) {
    const char *experiment;
    json_t *names, *name;
    size_t i;
    json_object_foreach(chapter->stand_ins, experiment, names) {
        spak_str_puts(out, "<p class=\"warn stand-in\">The numbers of the run ");
        rep_html(out, experiment);
        spak_str_puts(out, " come from the stand-in for the data set");
        json_array_foreach(names, i, name) {
            spak_str_puts(out, i ? ", " : " ");
            rep_html(out, json_string_value(name));
        }
        spak_str_puts(out,
                      ", not from the data set itself. They are no results on it. Fetch it (<code>make data</code>, "
                      "or name a folder that has it in <code>SPAK_DATA_MIRROR</code>) and run the experiment "
                      "again.</p>\n");
    }
}

static bool write_chapter(const rep_book *book, size_t i, spak_error *err) {
    const rep_chapter *chapter = &book->chapters[i];
    spak_str body = {0}, nav = {0}, path = {0};
    navigation(book, (long)i, &nav);
    banner(chapter, &body);
    bool good = spak_str_ok(&nav, err) && to_html(book, chapter->name, &chapter->html, true, &body, err) &&
                book_path(book, &path, chapter->name, ".html", err) &&
                rep_page_write(book->place, path.data, spak_str_text(&chapter->title),
                               chapter->paper ? "chapter paper" : "chapter", nav.data, spak_str_text(&body), err);
    spak_str_free(&body);
    spak_str_free(&nav);
    spak_str_free(&path);
    return good;
}

static bool write_latex(const rep_book *book, const rep_chapter *chapter, spak_error *err) {
    static const char *const kinds[] = {"pdf", NULL};
    spak_str source = {0}, target = {0};
    spak_str_printf(&source, "%s/paper/%s.md", book->place->out, chapter->name);
    spak_str_printf(&target, "%s/paper/%s.tex", book->place->out, chapter->name);
    bool good = spak_str_ok(&source, err) && spak_str_ok(&target, err) &&
                spak_write_if_changed(source.data, spak_str_text(&chapter->latex), chapter->latex.len, err);
    if (good) {
        /* \spaktrace{NUMBER}{RECORDS} prints the number; redefine it to see where each one comes from. */
        char *argv[] = {"pandoc",
                        "-f",
                        "markdown",
                        "-t",
                        "latex",
                        "-s",
                        "--highlight-style=tango",
                        "-V",
                        "documentclass=article",
                        "-V",
                        "geometry=margin=1in",
                        "-V",
                        "colorlinks=true",
                        "-V",
                        "tables=true",
                        "-V",
                        "graphics=true",
                        "-V",
                        "header-includes=\\newcommand{\\spaktrace}[2]{#1}",
                        "-o",
                        target.data,
                        source.data,
                        NULL};
        good = run_pandoc(argv, err);
    }
    spak_str_free(&source);
    spak_str_free(&target);
    return good && copy_figures(book, book->paper_figures, "paper", kinds, err);
}

static bool write_claims(const rep_book *book, spak_error *err) {
    spak_str markdown = {0}, body = {0}, nav = {0}, path = {0};
    if (!book->ledger) return true;
    spak_str_puts(&markdown, "---\ntitle: Claims and verdicts\n---\n\n");
    rep_claims_page(book->ledger, &markdown);
    navigation(book, -1, &nav);
    bool good =
        spak_str_ok(&markdown, err) && spak_str_ok(&nav, err) &&
        to_html(book, "claims", &markdown, false, &body, err) && book_path(book, &path, "claims", ".html", err) &&
        rep_page_write(book->place, path.data, "Claims and verdicts", "claims", nav.data, spak_str_text(&body), err);
    spak_str *all[] = {&markdown, &body, &nav, &path};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) spak_str_free(all[i]);
    return good;
}

/* Reads every trace that a values file or a verdict leads to, so that each link has its page. */
static bool collect_traces(rep_book *book, spak_error *err) {
    size_t i, r, k;
    json_t *item, *claim, *row, *ref;
    rep_trace *trace = NULL;
    json_array_foreach(book->values, i, item) {
        if (!rep_traces_get(&book->traces, spak_json_str(item, "name", ""), spak_json_str(item, "machine", ""), &trace,
                            err))
            return false;
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(json_object_get(item, "file"), "values"), key, value) {
            json_array_foreach(json_object_get(value, "refs"), k, ref) {
                rep_ref parsed;
                if (json_is_string(ref) && rep_ref_parse(json_string_value(ref), &parsed, NULL) &&
                    !rep_traces_get(&book->traces, parsed.name, parsed.machine, &trace, err))
                    return false;
            }
        }
    }
    json_array_foreach(json_object_get(book->ledger, "claims"), i, claim) {
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            json_array_foreach(json_object_get(row, "refs"), k, ref) {
                rep_ref parsed;
                if (json_is_string(ref) && rep_ref_parse(json_string_value(ref), &parsed, NULL) &&
                    !rep_traces_get(&book->traces, parsed.name, parsed.machine, &trace, err))
                    return false;
            }
        }
    }
    return true;
}

static bool write_traces(rep_book *book, spak_error *err) {
    spak_str nav = {0};
    navigation(book, -1, &nav);
    bool good = spak_str_ok(&nav, err) && collect_traces(book, err);
    for (size_t i = 0; good && i < book->traces.count; i++)
        good = rep_trace_page(book->place, book->traces.items[i], nav.data, err);
    spak_str_free(&nav);
    return good;
}

static void index_chapters(const rep_book *book, bool paper, const char *heading, spak_str *body) {
    bool any = false;
    for (size_t i = 0; i < book->count; i++) {
        const rep_chapter *chapter = &book->chapters[i];
        if (chapter->paper != paper) continue;
        if (!any) spak_str_printf(body, "<h2>%s</h2>\n<ul class=\"contents\">\n", heading);
        any = true;
        spak_str about = {0};
        spak_str_printf(body, "<li><a href=\"%s.html\">", chapter->name);
        rep_html(body, spak_str_text(&chapter->title));
        spak_str_puts(body, "</a>");
        if (rep_front_value(&chapter->lines, "subtitle", &about)) {
            spak_str_puts(body, "<p>");
            rep_html(body, spak_str_text(&about));
            spak_str_puts(body, "</p>");
        }
        if (paper) spak_str_printf(body, "<p><a href=\"../paper/%s.tex\">as LaTeX</a></p>", chapter->name);
        spak_str_puts(body, "</li>\n");
        spak_str_free(&about);
    }
    if (any) spak_str_puts(body, "</ul>\n");
}

static void index_claims(const rep_book *book, spak_str *body) {
    const char *verdict;
    json_t *count;
    if (!book->ledger) return;
    spak_str_puts(body,
                  "<h2>Claims</h2>\n<ul class=\"contents\"><li><a href=\"claims.html\">Claims and verdicts</a><p>");
    json_object_foreach(json_object_get(book->ledger, "counts"), verdict, count) {
        if (json_integer_value(count) > 0)
            spak_str_printf(body, "<span class=\"badge %s\">%lld %s</span> ", rep_verdict_class(verdict),
                            json_integer_value(count), verdict);
    }
    spak_str_puts(body, "</p></li></ul>\n");
}

static void index_traces(const rep_book *book, spak_str *body) {
    if (!book->traces.count) return;
    spak_str_puts(body,
                  "<h2>Traces</h2>\n<p>Every number in these pages leads to its record in one of them.</p>\n<ul "
                  "class=\"contents\">\n");
    for (size_t i = 0; i < book->traces.count; i++) {
        const rep_trace *trace = book->traces.items[i];
        spak_str_puts(body, "<li><a href=\"");
        rep_ref_href(trace->name, trace->machine, -1, body);
        spak_str_printf(body, "\">%s</a><p>%s%s, %zu records%s</p></li>\n", trace->name,
                        trace->archived ? "archived, " : "made here", trace->archived ? trace->machine : "",
                        json_array_size(trace->records), trace->why ? ", not good evidence" : "");
    }
    spak_str_puts(body, "</ul>\n");
}

static bool write_index(const rep_book *book, spak_error *err) {
    spak_str body = {0}, nav = {0}, path = {0};
    spak_str_puts(&body,
                  "<header><h1>SPAK</h1><p class=\"subtitle\">GPU kernel engineering as a literate, reproducible "
                  "artifact: each number leads to the trace it came from.</p></header>\n");
    index_chapters(book, true, "Paper", &body);
    index_chapters(book, false, "Chapters", &body);
    index_claims(book, &body);
    index_traces(book, &body);
    navigation(book, -1, &nav);
    bool good = spak_str_ok(&body, err) && spak_str_ok(&nav, err) && book_path(book, &path, "index", ".html", err) &&
                rep_page_write(book->place, path.data, "SPAK", "index", nav.data, body.data, err);
    spak_str_free(&body);
    spak_str_free(&nav);
    spak_str_free(&path);
    return good;
}

bool rep_book_write(rep_book *book, spak_error *err) {
    static const char *const kinds[] = {"svg", "dat", NULL};
    spak_str style = {0}, path = {0};
    bool good = read_web(book->place, "style.css", &style, err) && book_path(book, &path, "style", ".css", err) &&
                spak_write_if_changed(path.data, spak_str_text(&style), style.len, err) &&
                copy_figures(book, book->figures, "book", kinds, err) && write_traces(book, err) &&
                write_claims(book, err);
    for (size_t i = 0; good && i < book->count; i++) {
        good = write_chapter(book, i, err);
        if (good && book->chapters[i].paper) good = write_latex(book, &book->chapters[i], err);
    }
    good = good && write_index(book, err);
    spak_str_free(&style);
    spak_str_free(&path);
    return good;
}
