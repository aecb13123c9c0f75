/* Tables, in Markdown for the book and GitHub, in LaTeX (booktabs) for the paper. A number is a link to its record in
 * the one and carries the reference as a comment in the other. Links lead from OUT/tables to OUT/book. */
#include <string.h>

#include "base/fs.h"
#include "report/internal.h"

typedef struct columns_of {
    const json_t *list;
    size_t count;
} columns_of;

static const char *align_of(const columns_of *columns, size_t c) {
    return spak_json_str(json_array_get(columns->list, c), "align", "left");
}

/* The cell's text (without escapes) and its ref, NULL when it has none. A number made from several records has the
 * others in `refs`. */
static bool cell_text(const columns_of *columns, const json_t *cell, size_t c, spak_str *text, const char **ref,
                      spak_error *err) {
    *ref = NULL;
    if (json_is_string(cell)) {
        spak_str_puts(text, json_string_value(cell));
        return true;
    }
    const json_t *value = json_object_get(cell, "value");
    const char *given = spak_json_str(cell, "text", NULL);
    *ref = spak_json_str(cell, "ref", NULL);
    if (json_is_number(cell)) return spak_fail(err, "a number without a ref: write {value = ..., ref = \"trace:...\"}");
    if (value && !json_is_number(value)) return spak_fail(err, "value is not a number");
    if (value && !*ref) return spak_fail(err, "a number without a ref: name the trace record it comes from");
    if (!value && !given) return spak_fail(err, "neither text nor value; write the text for what was not measured");
    if (given) spak_str_puts(text, given);
    if (given) return true;
    return rep_format_number(spak_json_str(json_array_get(columns->list, c), "format", NULL), json_number_value(value),
                             text, err);
}

/* All refs of the cell, or its one. */
static bool put_refs(rep_traces *traces, const json_t *cell, const char *ref, spak_str *out, spak_error *err) {
    const json_t *refs = json_object_get(cell, "refs");
    if (!json_array_size(refs)) {
        spak_str_puts(out, ref ? ref : "");
        return !ref || rep_ref_check(traces, ref, NULL, NULL, err);
    }
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const char *each = json_string_value(json_array_get(refs, i));
        if (!rep_ref_check(traces, each ? each : "?", NULL, NULL, err)) return false;
        spak_str_printf(out, "%s%s", i ? " " : "", each);
    }
    return true;
}

static void md_cell(spak_str *md, const char *text, const char *ref, const char *refs) {
    rep_ref parsed;
    if (ref && rep_ref_parse(ref, &parsed, NULL)) {
        spak_str_putc(md, '[');
        rep_markdown(md, text);
        spak_str_puts(md, "](../book/");
        rep_ref_href(parsed.name, parsed.machine, parsed.seq, md);
        spak_str_printf(md, " \"%s\")", refs);
    } else {
        rep_markdown(md, text);
    }
}

static void headers(const columns_of *columns, spak_str *md, spak_str *tex) {
    spak_str_puts(md, "|");
    spak_str_puts(tex, "\\begin{tabular}{");
    for (size_t c = 0; c < columns->count; c++) spak_str_putc(tex, align_of(columns, c)[0]);
    spak_str_puts(tex, "}\n\\toprule\n");
    for (size_t c = 0; c < columns->count; c++) {
        const char *header = spak_json_str(json_array_get(columns->list, c), "header", "");
        spak_str_putc(md, ' ');
        rep_markdown(md, header);
        spak_str_puts(md, " |");
        if (c) spak_str_puts(tex, " & ");
        rep_latex(tex, header);
    }
    spak_str_puts(tex, " \\\\\n\\midrule\n");
    spak_str_puts(md, "\n|");
    for (size_t c = 0; c < columns->count; c++) {
        char align = align_of(columns, c)[0];
        spak_str_puts(md, align == 'r' ? " ---: |" : align == 'c' ? " :---: |" : " :--- |");
    }
    spak_str_putc(md, '\n');
}

static bool body_row(rep_traces *traces, const columns_of *columns, const json_t *row, spak_str *md, spak_str *tex,
                     spak_error *err) {
    spak_str comment = {0};
    bool good = true;
    spak_str_putc(md, '|');
    for (size_t c = 0; good && c < columns->count; c++) {
        spak_str text = {0}, refs = {0};
        const char *ref = NULL;
        const json_t *cell = json_array_get(row, c);
        good = cell_text(columns, cell, c, &text, &ref, err) && put_refs(traces, cell, ref, &refs, err);
        if (!good) spak_fail_context(err, "column '%s'", spak_json_str(json_array_get(columns->list, c), "header", ""));
        spak_str_putc(md, ' ');
        md_cell(md, spak_str_text(&text), ref, spak_str_text(&refs));
        spak_str_puts(md, " |");
        if (c) spak_str_puts(tex, " & ");
        rep_latex(tex, spak_str_text(&text));
        if (refs.len) spak_str_printf(&comment, " %s", refs.data);
        if (text.oom || refs.oom) good = spak_fail_oom(err);
        spak_str_free(&text);
        spak_str_free(&refs);
    }
    spak_str_putc(md, '\n');
    spak_str_puts(tex, " \\\\");
    if (comment.len) spak_str_printf(tex, " %%%s", comment.data);
    spak_str_putc(tex, '\n');
    spak_str_free(&comment);
    return good;
}

static bool render(const rep_place *place, const json_t *spec, spak_str *md, spak_str *tex, spak_error *err) {
    columns_of columns = {json_object_get(spec, "columns"), json_array_size(json_object_get(spec, "columns"))};
    const json_t *rows = json_object_get(spec, "rows");
    const char *name = spak_json_str(spec, "name", ""), *caption = spak_json_str(spec, "caption", "");
    if (columns.count == 0) return spak_fail(err, "table '%s': no columns", name);
    for (size_t c = 0; c < columns.count; c++) {
        const char *align = align_of(&columns, c);
        if (strcmp(align, "left") != 0 && strcmp(align, "right") != 0 && strcmp(align, "center") != 0)
            return spak_fail(err, "table '%s': align is '%s', expected left, right or center", name, align);
    }
    if (json_array_size(rows) == 0) return spak_fail(err, "table '%s': no rows", name);
    headers(&columns, md, tex);
    rep_traces own, *traces = rep_traces_of(place, &own);
    bool good = true;
    for (size_t r = 0; good && r < json_array_size(rows); r++) {
        const json_t *row = json_array_get(rows, r);
        if (json_array_size(row) != columns.count) {
            good = spak_fail(err, "%zu cells, expected %zu", json_array_size(row), columns.count);
        }
        good = good && body_row(traces, &columns, row, md, tex, err);
        if (!good) spak_fail_context(err, "table '%s', row %zu", name, r + 1);
    }
    rep_traces_free(&own);
    spak_str_puts(tex, "\\bottomrule\n\\end{tabular}\n");
    if (*caption) {
        spak_str_puts(md, "\nTable: "); /* pandoc takes it as the caption */
        rep_markdown(md, caption);
        spak_str_putc(md, '\n');
    }
    return good && spak_str_ok(md, err) && spak_str_ok(tex, err);
}

bool rep_table(const rep_place *place, const json_t *spec, spak_error *err) {
    const char *name = spak_json_str(spec, "name", NULL);
    if (!rep_valid_name(name)) return spak_fail(err, "table: expected a name (letters, digits, '_', '-')");
    spak_str md = {0}, tex = {0}, path = {0};
    spak_str_printf(&tex, "%% table %s, generated\n", name);
    const char *caption = spak_json_str(spec, "caption", "");
    spak_str_puts(&tex, "\\begin{table}[htbp]\n\\centering\n");
    if (*caption) {
        spak_str_puts(&tex, "\\caption{");
        rep_latex(&tex, caption);
        spak_str_puts(&tex, "}\n");
    }
    bool good = render(place, spec, &md, &tex, err);
    spak_str_puts(&tex, "\\end{table}\n");
    spak_str_printf(&path, "%s/tables/%s.md", place->out, name);
    good = good && spak_str_ok(&path, err) && spak_str_ok(&tex, err) &&
           spak_write_if_changed(path.data, md.data, md.len, err);
    spak_str_clear(&path);
    spak_str_printf(&path, "%s/tables/%s.tex", place->out, name);
    good = good && spak_write_if_changed(path.data, tex.data, tex.len, err);
    spak_str_free(&md);
    spak_str_free(&tex);
    spak_str_free(&path);
    return good;
}
