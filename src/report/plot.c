/* Figures: checked data in, drawings out.
 *
 * gnuplot drops a row that it cannot read and draws the rest, without a word. So every row is checked here first, and
 * the data file is written from numbers, never passed on as text. gnuplot is then run once for each format with a
 * temporary output that is looked at before it takes the old drawing's place; anything that gnuplot says on standard
 * error counts as a failure, because its warnings ("Skipping data file with no valid points") are the errors of a
 * figure. A key file beside the drawing holds the hash of all that went in, so that nothing is drawn twice. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "report/internal.h"

typedef struct plot {
    const rep_place *place;
    const json_t *spec, *columns, *rows;
    const char *name;
    long series, x; /* column numbers, -1: none */
    json_t *names;  /* the series' names in order of first appearance */
    spak_str data;  /* the data file */
    spak_str script;
} plot;

static long column_of(const plot *p, const char *name) {
    for (size_t c = 0; c < json_array_size(p->columns); c++)
        if (!strcmp(spak_json_str(json_array_get(p->columns, c), "name", ""), name)) return (long)c;
    return -1;
}

static const char *column_name(const plot *p, size_t c) {
    return spak_json_str(json_array_get(p->columns, c), "name", "");
}

static bool is_number_column(const plot *p, size_t c) {
    return !strcmp(spak_json_str(json_array_get(p->columns, c), "type", ""), "number");
}

static bool word_name(const char *name) {
    if (!isalpha((unsigned char)*name)) return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_') return false;
    return true;
}

static bool check_columns(plot *p, spak_error *err) {
    size_t count = json_array_size(p->columns);
    if (count == 0) return spak_fail(err, "no columns");
    for (size_t c = 0; c < count; c++) {
        const char *type = spak_json_str(json_array_get(p->columns, c), "type", "");
        if (!word_name(column_name(p, c))) return spak_fail(err, "column %zu has no proper name", c + 1);
        if (column_of(p, column_name(p, c)) != (long)c) return spak_fail(err, "two columns '%s'", column_name(p, c));
        if (strcmp(type, "number") != 0 && strcmp(type, "text") != 0)
            return spak_fail(err, "column '%s': type is '%s', expected number or text", column_name(p, c), type);
    }
    const char *series = spak_json_str(p->spec, "series", NULL), *x = spak_json_str(p->spec, "x", NULL);
    p->series = series ? column_of(p, series) : -1;
    p->x = x ? column_of(p, x) : -1;
    if (series && (p->series < 0 || is_number_column(p, (size_t)p->series)))
        return spak_fail(err, "series '%s' is no text column", series);
    if (x && (p->x < 0 || !is_number_column(p, (size_t)p->x))) return spak_fail(err, "x '%s' is no number column", x);
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(p->spec, "positive"), i, name) {
        const char *text = json_is_string(name) ? json_string_value(name) : "";
        long c = column_of(p, text);
        if (c < 0 || !is_number_column(p, (size_t)c)) return spak_fail(err, "positive '%s' is no number column", text);
    }
    return true;
}

static bool must_be_positive(const plot *p, size_t c) {
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(p->spec, "positive"), i, name) {
        if (!strcmp(json_string_value(name), column_name(p, c))) return true;
    }
    return false;
}

static bool check_row(const plot *p, size_t r, spak_error *err) {
    const json_t *row = json_array_get(p->rows, r);
    size_t count = json_array_size(p->columns);
    if (json_array_size(row) != count)
        return spak_fail(err, "row %zu has %zu columns, expected %zu", r + 1, json_array_size(row), count);
    for (size_t c = 0; c < count; c++) {
        const json_t *cell = json_array_get(row, c);
        if (!is_number_column(p, c)) {
            const char *text = json_is_string(cell) ? json_string_value(cell) : "";
            if (!*text || strpbrk(text, "\"\n\t"))
                return spak_fail(err, "row %zu, column '%s': expected a text without quotes, tabs or line ends", r + 1,
                                 column_name(p, c));
        } else if (!json_is_number(cell) || !isfinite(json_number_value(cell))) {
            return spak_fail(err, "row %zu, column '%s': expected a finite number", r + 1, column_name(p, c));
        } else if (must_be_positive(p, c) && json_number_value(cell) <= 0) {
            return spak_fail(err, "row %zu, column '%s': %g on a log axis; it must be above zero", r + 1,
                             column_name(p, c), json_number_value(cell));
        }
    }
    return true;
}

static const char *series_of(const plot *p, size_t r) {
    return p->series < 0 ? "" : json_string_value(json_array_get(json_array_get(p->rows, r), (size_t)p->series));
}

static bool find_series(plot *p, spak_error *err) {
    p->names = json_array();
    if (!p->names) return spak_fail_oom(err);
    for (size_t r = 0; r < json_array_size(p->rows); r++) {
        size_t i;
        json_t *known;
        bool seen = false;
        json_array_foreach(p->names, i, known) { seen = seen || !strcmp(json_string_value(known), series_of(p, r)); }
        if (!seen && json_array_append_new(p->names, json_string(series_of(p, r)))) return spak_fail_oom(err);
    }
    size_t i;
    json_t *wanted; /* a series that was asked for by name must not come out empty */
    json_array_foreach(json_object_get(p->spec, "expect_series"), i, wanted) {
        size_t k;
        json_t *known;
        bool seen = false;
        json_array_foreach(p->names, k, known) { seen = seen || json_equal(known, wanted); }
        if (!seen)
            return spak_fail(err, "series '%s' is empty", json_is_string(wanted) ? json_string_value(wanted) : "?");
    }
    return true;
}

static bool put_series(plot *p, size_t s, spak_error *err) {
    const char *name = json_string_value(json_array_get(p->names, s));
    double before = -INFINITY;
    spak_str_printf(&p->data, "%s# series %zu%s%s\n", s ? "\n\n" : "", s, *name ? ": " : "", name);
    for (size_t r = 0; r < json_array_size(p->rows); r++) {
        if (strcmp(series_of(p, r), name) != 0) continue;
        const json_t *row = json_array_get(p->rows, r);
        double x = p->x < 0 ? 0 : json_number_value(json_array_get(row, (size_t)p->x));
        if (p->x >= 0 && x <= before)
            return spak_fail(err, "row %zu, series '%s': %s must increase, found %g after %g", r + 1, name,
                             column_name(p, (size_t)p->x), x, before);
        before = x;
        for (size_t c = 0; c < json_array_size(p->columns); c++) {
            const json_t *cell = json_array_get(row, c);
            char number[32];
            if (c) spak_str_putc(&p->data, '\t');
            if (is_number_column(p, c)) {
                spak_number_text(json_number_value(cell), number);
                spak_str_puts(&p->data, number);
            } else {
                spak_str_printf(&p->data, "\"%s\"", json_string_value(cell));
            }
        }
        spak_str_putc(&p->data, '\n');
    }
    return true;
}

static bool put_header(plot *p, spak_error *err) {
    const json_t *refs = json_object_get(p->spec, "refs");
    if (json_array_size(refs) == 0) return spak_fail(err, "no refs: name the trace records that the rows come from");
    rep_traces own, *traces = rep_traces_of(p->place, &own);
    bool good = true;
    size_t i;
    json_t *ref;
    spak_str_printf(&p->data, "# %s: generated from\n", p->name);
    json_array_foreach(refs, i, ref) {
        const char *text = json_is_string(ref) ? json_string_value(ref) : "?";
        good = good && rep_ref_check(traces, text, NULL, NULL, err);
        spak_str_printf(&p->data, "#   %s\n", text);
    }
    rep_traces_free(&own);
    spak_str_puts(&p->data, "#");
    for (size_t c = 0; c < json_array_size(p->columns); c++) spak_str_printf(&p->data, " %s", column_name(p, c));
    spak_str_puts(&p->data, "\n");
    return good;
}

static bool prepare(plot *p, spak_error *err) {
    if (!check_columns(p, err)) return false;
    if (json_array_size(p->rows) == 0) return spak_fail(err, "no rows");
    for (size_t r = 0; r < json_array_size(p->rows); r++)
        if (!check_row(p, r, err)) return false;
    if (!find_series(p, err) || !put_header(p, err)) return false;
    for (size_t s = 0; s < json_array_size(p->names); s++)
        if (!put_series(p, s, err)) return false;
    return spak_str_ok(&p->data, err);
}

/* A gnuplot string: in single quotes nothing is special but the quote itself. */
static void quoted(spak_str *out, const char *text) {
    spak_str_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'') spak_str_putc(out, '\'');
        spak_str_putc(out, *text == '\n' ? ' ' : *text);
    }
    spak_str_putc(out, '\'');
}

/* The assignments that the script finds made, without data, kind and the output. */
static bool variables(const plot *p, spak_str *out, spak_error *err) {
    spak_str names = {0};
    for (size_t s = 0; s < json_array_size(p->names); s++)
        spak_str_printf(&names, "%s\"%s\"", s ? " " : "", json_string_value(json_array_get(p->names, s)));
    spak_str_printf(out, "series=%zu; series_names=", json_array_size(p->names));
    quoted(out, spak_str_text(&names));
    spak_str_free(&names);
    for (size_t c = 0; c < json_array_size(p->columns); c++)
        spak_str_printf(out, "; col_%s=%zu", column_name(p, c), c + 1);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(p->spec, "vars"), key, value) {
        char number[32];
        if (!word_name(key)) return spak_fail(err, "variable '%s': expected letters, digits and '_'", key);
        spak_str_printf(out, "; %s=", key);
        if (json_is_string(value)) {
            quoted(out, json_string_value(value));
        } else if (json_is_number(value) && isfinite(json_number_value(value))) {
            spak_number_text(json_number_value(value), number);
            spak_str_puts(out, number);
        } else {
            return spak_fail(err, "variable '%s': expected a text or a finite number", key);
        }
    }
    return spak_str_ok(out, err);
}

static bool looks_drawn(const char *kind, const spak_str *file) {
    const char *text = spak_str_text(file);
    if (!strcmp(kind, "svg"))
        return strstr(text, "<svg") && strstr(text, "</svg>") && (strstr(text, "<path") || strstr(text, "<use"));
    if (!strcmp(kind, "png"))
        return file->len > 500 && !memcmp(text, "\x89PNG\r\n\x1a\n", 8) &&
               !memcmp(text + file->len - 8, "IEND\xae\x42\x60\x82", 8);
    return file->len > 500 && !memcmp(text, "%PDF-", 5) && strstr(text + file->len - 32, "%%EOF");
}

/* What gnuplot said that is of interest; a container without a font cache makes fontconfig complain, harmlessly. */
static void complaints(const char *said, spak_str *out) {
    while (*said) {
        size_t len = strcspn(said, "\n");
        bool blank = strspn(said, " \t") >= len;
        if (!blank && !spak_starts_with(said, "Fontconfig")) {
            if (out->len) spak_str_puts(out, " | ");
            spak_str_append(out, said, len);
        }
        said += len + (said[len] == '\n');
    }
}

/* gnuplot does not say that a disk is full and leaves half a drawing. Whether one can write there is tried out. */
static bool can_write(const char *temporary, spak_error *err) {
    static const char zeros[1 << 16];
    return spak_write_file(temporary, zeros, sizeof zeros, err);
}

static bool draw_to(const plot *p, const char *kind, const char *data_path, const char *final, const char *temporary,
                    const char *vars, spak_error *err) {
    spak_str command = {0}, style = {0}, script = {0}, out = {0}, said = {0}, bad = {0};
    spak_str_puts(&command, "data=");
    quoted(&command, data_path);
    spak_str_printf(&command, "; kind='%s'; %s; out=", kind, vars);
    quoted(&command, temporary);
    rep_path(&style, p->place->root, "figures/style.gp");
    rep_path(&script, p->place->root, spak_str_text(&p->script));
    bool found = true, good = spak_str_ok(&command, err) && spak_str_ok(&style, err) && spak_str_ok(&script, err);
    int status = 0;
    if (good) {
        char *argv[] = {"gnuplot", "-e", command.data, style.data, script.data, NULL};
        good = spak_spawn(argv, 60, &found, &status, &out, &said, err);
    }
    if (good && !found) good = spak_fail(err, "gnuplot is not installed; type: apt-get install gnuplot-nox");
    complaints(spak_str_text(&said), &bad);
    spak_str_clear(&out);
    bool proper = good && spak_exists(temporary) && spak_read_file(temporary, &out, NULL) && looks_drawn(kind, &out);
    if (good && (status || !proper)) good = can_write(temporary, err);
    if (good && (status || bad.len))
        good = spak_fail(err, "%s: gnuplot %s (exit status %d): %s", script.data, status ? "failed" : "warned", status,
                         spak_str_text(&bad));
    if (good && !proper)
        good = spak_fail(err, "%s: gnuplot wrote no proper %s; does the script plot to the output it was given?",
                         script.data, kind);
    if (good && rename(temporary, final)) good = spak_fail_errno(err, "rename to %s", final);
    if (!good) unlink(temporary);
    spak_str *all[] = {&command, &style, &script, &out, &said, &bad};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) spak_str_free(all[i]);
    return good;
}

/* The hash of everything that the drawing depends on. The variables come from a Lua table, in another order each time:
 * so their canonical form is hashed. Columns and series are named in the data. */
static bool key_of(const plot *p, char key[SPAK_SHA256_HEX + 1], spak_error *err) {
    const json_t *vars = json_object_get(p->spec, "vars");
    spak_str all = {0}, path = {0};
    bool good = !vars || spak_json_canonical(vars, &all, err);
    spak_str_putc(&all, '\n');
    spak_str_append(&all, spak_str_text(&p->data), p->data.len);
    rep_path(&path, p->place->root, "figures/style.gp");
    good = good && spak_str_ok(&path, err) && spak_read_file(path.data, &all, err);
    spak_str_clear(&path);
    rep_path(&path, p->place->root, spak_str_text(&p->script));
    good = good && spak_str_ok(&path, err) && spak_read_file(path.data, &all, err) && spak_str_ok(&all, err) &&
           spak_sha256(all.data, all.len, key, err);
    spak_str_free(&all);
    spak_str_free(&path);
    return good;
}

static bool draw(const plot *p, bool *drawn, spak_error *err) {
    static const char *const kinds[] = {"svg", "png", "pdf"};
    spak_str vars = {0}, base = {0}, file = {0}, temporary = {0}, old = {0};
    char key[SPAK_SHA256_HEX + 1] = "";
    spak_str_printf(&base, "%s/figures/%s", p->place->out, p->name);
    spak_str_printf(&file, "%s.key", spak_str_text(&base));
    bool good = variables(p, &vars, err) && spak_str_ok(&base, err) && spak_str_ok(&file, err) && key_of(p, key, err);
    bool same = good && spak_exists(file.data) && spak_read_file(file.data, &old, NULL) &&
                spak_starts_with(spak_str_text(&old), key);
    for (size_t k = 0; good && same && k < 3; k++) {
        spak_str_clear(&file);
        spak_str_printf(&file, "%s.%s", base.data, kinds[k]);
        same = spak_exists(spak_str_text(&file));
    }
    if (drawn) *drawn = good && !same;
    spak_str data_path = {0};
    spak_str_printf(&data_path, "%s.dat", spak_str_text(&base));
    good =
        good && spak_str_ok(&data_path, err) && spak_write_if_changed(data_path.data, p->data.data, p->data.len, err);
    for (size_t k = 0; good && !same && k < 3; k++) {
        spak_str_clear(&file);
        spak_str_clear(&temporary);
        spak_str_printf(&file, "%s.%s", base.data, kinds[k]);
        spak_str_printf(&temporary, "%s" SPAK_TEMPORARY "%ld.%s", base.data, (long)getpid(), kinds[k]);
        good = spak_str_ok(&file, err) && spak_str_ok(&temporary, err) &&
               draw_to(p, kinds[k], data_path.data, file.data, temporary.data, vars.data, err);
    }
    spak_str_clear(&file);
    spak_str_printf(&file, "%s.key", spak_str_text(&base));
    if (good && !same) good = spak_write_file(spak_str_text(&file), key, strlen(key), err);
    spak_str *all[] = {&vars, &base, &file, &temporary, &old, &data_path};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) spak_str_free(all[i]);
    return good;
}

bool rep_plot(const rep_place *place, const json_t *spec, bool *drawn, spak_error *err) {
    plot p = {.place = place,
              .spec = spec,
              .columns = json_object_get(spec, "columns"),
              .rows = json_object_get(spec, "rows"),
              .name = spak_json_str(spec, "name", NULL)};
    if (drawn) *drawn = false;
    if (!rep_valid_name(p.name)) return spak_fail(err, "figure: expected a name (letters, digits, '_', '-')");
    const char *last = strrchr(p.name, '/');
    const char *script = spak_json_str(spec, "script", NULL);
    if (script)
        spak_str_puts(&p.script, script);
    else
        spak_str_printf(&p.script, "figures/%s.gp", last ? last + 1 : p.name);
    bool good = prepare(&p, err) && draw(&p, drawn, err);
    if (!good && drawn) *drawn = false;
    if (!good) spak_fail_context(err, "figure '%s'", p.name);
    json_decref(p.names);
    spak_str_free(&p.data);
    spak_str_free(&p.script);
    return good;
}
