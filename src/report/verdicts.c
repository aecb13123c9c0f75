/* The ledger as people read it: verdicts.json and verdicts.md, the terminal's summary, the README's table, the book's
 * claims page. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "report/internal.h"

static const struct {
    const char *verdict, *class, *colour;
} verdicts[] = {{"REPRODUCED", "reproduced", "\033[32m"},
                {"DIFFERS", "differs", "\033[31m"},
                {"INCONSISTENT", "inconsistent", "\033[35m"},
                {"STALE", "stale-verdict", "\033[33m"},
                {"NOT EVALUATED", "not-evaluated", "\033[2m"}};
enum { VERDICTS = sizeof verdicts / sizeof *verdicts };

const char *rep_verdict_class(const char *verdict) {
    for (int i = 0; i < VERDICTS; i++)
        if (!strcmp(verdicts[i].verdict, verdict)) return verdicts[i].class;
    return "not-evaluated";
}

static bool is_decided(const char *verdict) { return !strcmp(verdict, "REPRODUCED") || !strcmp(verdict, "DIFFERS"); }

/* "REPRODUCED (here)"; what was measured on a stand-in is no result on the data set, and says so. */
void rep_verdict_label(const json_t *row, spak_str *out) {
    const char *verdict = spak_json_str(row, "verdict", ""), *machine = spak_json_str(row, "machine", "");
    const json_t *names = json_object_get(row, "stand_ins");
    bool decided = is_decided(verdict);
    spak_str_puts(out, verdict);
    if (!decided && (!json_array_size(names) || strcmp(verdict, "NOT EVALUATED") != 0)) return;
    spak_str_puts(out, " (");
    if (decided && !strcmp(machine, "here")) spak_str_puts(out, "here");
    if (decided && strcmp(machine, "here") != 0) spak_str_printf(out, "archived, %s", machine);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *before = i || decided ? ", " : "", *what = i ? "" : "on a stand-in for ";
        spak_str_printf(out, "%s%s%s", before, what, json_string_value(json_array_get(names, i)));
    }
    spak_str_putc(out, ')');
}

/* --- tables --- */

/* Where the record behind a measured value is found. */
static void put_target(const json_t *row, const rep_ref *ref, rep_table_for target, spak_str *out) {
    if (target == REP_FOR_README) {
        spak_str_puts(out, spak_json_str(row, "trace", ""));
        return;
    }
    if (target == REP_FOR_OUT) spak_str_puts(out, "book/");
    rep_ref_href(ref->name, ref->machine, ref->seq, out);
}

static void put_measured(const json_t *row, rep_table_for target, spak_str *out) {
    const char *text = spak_json_str(row, "text", "");
    const char *first = json_string_value(json_array_get(json_object_get(row, "refs"), 0));
    rep_ref ref;
    if (!*text) return;
    bool link = target != REP_FOR_LATEX && first && rep_ref_parse(first, &ref, NULL);
    if (link) spak_str_putc(out, '[');
    rep_markdown(out, text);
    if (link) {
        spak_str_puts(out, "](");
        put_target(row, &ref, target, out);
        const size_t more = json_array_size(json_object_get(row, "refs")) - 1;
        spak_str_printf(out, " \"%s", first);
        if (more) spak_str_printf(out, " and %zu more", more);
        spak_str_puts(out, "\")");
    }
    const char *profile = spak_json_str(row, "profile", "");
    if (*profile && strcmp(profile, "paper") != 0) spak_str_printf(out, " (%s run)", profile);
}

static void put_verdict(const json_t *row, rep_table_for target, spak_str *out) {
    const char *verdict = spak_json_str(row, "verdict", "");
    bool book = target == REP_FOR_BOOK;
    if (book) spak_str_putc(out, '[');
    rep_verdict_label(row, out);
    if (book) spak_str_printf(out, "]{.badge .%s}", rep_verdict_class(verdict));
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(row, "others"), i, other) {
        spak_str_puts(out, "; ");
        rep_verdict_label(other, out);
        if (!is_decided(spak_json_str(other, "verdict", "")))
            spak_str_printf(out, " (%s)", spak_json_str(other, "machine", ""));
    }
}

void rep_claims_markdown(const json_t *ledger, rep_table_for target, spak_str *out) {
    size_t i, r;
    json_t *claim, *row;
    spak_str_puts(out,
                  "| Id | Claim | Published | Measured | Verdict |\n"
                  "| :--- | :----------- | :-------------------- | :---------- | :-------- |\n");
    json_array_foreach(json_object_get(ledger, "claims"), i, claim) {
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            const char *id = spak_json_str(claim, "id", ""), *scope = spak_json_str(row, "scope", "");
            if (target == REP_FOR_BOOK)
                spak_str_printf(out, "| [%s](claims.html#claim-%s) | ", id, id);
            else
                spak_str_printf(out, "| %s | ", id);
            rep_markdown(out, spak_json_str(claim, "title", ""));
            if (*scope) spak_str_puts(out, ": ");
            rep_markdown(out, scope);
            spak_str_puts(out, " | ");
            if (r == 0) rep_markdown(out, spak_json_str(claim, "published", ""));
            spak_str_puts(out, " | ");
            put_measured(row, target, out);
            spak_str_puts(out, " | ");
            put_verdict(row, target, out);
            spak_str_puts(out, " |\n");
        }
    }
}

bool rep_ledger_write(const rep_place *place, const json_t *ledger, spak_error *err) {
    spak_str text = {0}, path = {0};
    spak_str_printf(&path, "%s/verdicts.json", place->out);
    bool good = spak_str_ok(&path, err) && spak_json_canonical(ledger, &text, err);
    spak_str_putc(&text, '\n');
    good = good && spak_str_ok(&text, err) && spak_write_if_changed(path.data, text.data, text.len, err);
    spak_str_clear(&text);
    spak_str_clear(&path);
    spak_str_printf(&path, "%s/verdicts.md", place->out);
    spak_str_puts(&text, "# Claims and verdicts\n\n");
    rep_claims_markdown(ledger, REP_FOR_OUT, &text);
    good = good && spak_str_ok(&path, err) && spak_str_ok(&text, err) &&
           spak_write_if_changed(path.data, text.data, text.len, err);
    spak_str_free(&text);
    spak_str_free(&path);
    return good;
}

static void prose(const char *label, const char *text, spak_str *out) {
    if (!*text) return;
    spak_str_printf(out, "%s\n: ", label);
    rep_markdown(out, text);
    spak_str_puts(out, "\n\n");
}

void rep_claims_page(const json_t *ledger, spak_str *out) {
    size_t i, r;
    json_t *claim, *row;
    spak_str_puts(out, "::: {.table .claims}\n");
    rep_claims_markdown(ledger, REP_FOR_BOOK, out);
    spak_str_puts(out, ":::\n\n");
    json_array_foreach(json_object_get(ledger, "claims"), i, claim) {
        const char *id = spak_json_str(claim, "id", "");
        spak_str_printf(out, "## %s: ", id);
        rep_markdown(out, spak_json_str(claim, "title", ""));
        spak_str_printf(out, " {#claim-%s}\n\n", id);
        prose("Source", spak_json_str(claim, "source", ""), out);
        prose("Published", spak_json_str(claim, "published", ""), out);
        prose("How it is evaluated here", spak_json_str(claim, "evaluate", ""), out);
        prose("What is known of the source", spak_json_str(claim, "known", ""), out);
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            const char *scope = spak_json_str(row, "scope", ""), *reason = spak_json_str(row, "reason", "");
            spak_str_puts(out, "- ");
            put_verdict(row, REP_FOR_BOOK, out);
            spak_str_puts(out, *scope ? " " : "");
            rep_markdown(out, scope);
            if (*spak_json_str(row, "text", "")) spak_str_puts(out, ": ");
            put_measured(row, REP_FOR_BOOK, out);
            if (*reason) spak_str_puts(out, ": ");
            rep_markdown(out, reason);
            spak_str_putc(out, '\n');
        }
        spak_str_putc(out, '\n');
    }
}

/* --- the terminal --- */

static void put_coloured(const char *verdict, const char *label, int width, bool colour, spak_str *out) {
    const char *begin = "";
    for (int i = 0; colour && i < VERDICTS; i++)
        if (!strcmp(verdicts[i].verdict, verdict)) begin = verdicts[i].colour;
    spak_str_printf(out, "%s%-*s%s", begin, width, label, *begin ? "\033[0m" : "");
}

static int label_width(const json_t *ledger) {
    size_t i, r;
    json_t *claim, *row;
    size_t width = 0;
    json_array_foreach(json_object_get(ledger, "claims"), i, claim) {
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            spak_str label = {0};
            rep_verdict_label(row, &label);
            if (label.len > width) width = label.len;
            spak_str_free(&label);
        }
    }
    return (int)width;
}

static void print_row(const json_t *claim, const json_t *row, int width, bool colour, bool reasons, spak_str *out) {
    const char *verdict = spak_json_str(row, "verdict", ""), *scope = spak_json_str(row, "scope", "");
    const char *text = spak_json_str(row, "text", ""), *reason = spak_json_str(row, "reason", "");
    spak_str label = {0};
    rep_verdict_label(row, &label);
    spak_str_printf(out, "  %-4s", spak_json_str(claim, "id", ""));
    put_coloured(verdict, spak_str_text(&label), width, colour, out);
    spak_str_printf(out, "  %s%s%s", spak_json_str(claim, "title", ""), *scope ? ", " : "", scope);
    if (*text) spak_str_printf(out, ": %s", text);
    if (*reason && (reasons || !is_decided(verdict))) spak_str_printf(out, " (%s)", reason);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(row, "others"), i, item) {
        spak_str_puts(out, "; ");
        rep_verdict_label(item, out);
    }
    json_array_foreach(json_object_get(row, "refs"), i, item) {
        if (reasons) spak_str_printf(out, "\n      %s", json_string_value(item));
    }
    spak_str_putc(out, '\n');
    spak_str_free(&label);
}

bool rep_ledger_print(const json_t *ledger, const char *only, bool colour, spak_str *out, spak_error *err) {
    size_t i, r;
    json_t *claim, *row;
    bool found = false;
    int width = label_width(ledger);
    if (!only) {
        spak_str_puts(out, "Claims:");
        for (int v = 0; v < VERDICTS; v++) {
            long long n = spak_json_int(json_object_get(ledger, "counts"), verdicts[v].verdict, 0);
            spak_str_printf(out, "%s %lld ", v ? "," : "", n);
            put_coloured(verdicts[v].verdict, verdicts[v].verdict, 0, colour && n > 0, out);
        }
        spak_str_putc(out, '\n');
    }
    json_array_foreach(json_object_get(ledger, "claims"), i, claim) {
        bool this_one = only && !strcmp(spak_json_str(claim, "id", ""), only);
        found = found || this_one;
        json_array_foreach(json_object_get(claim, "rows"), r, row) {
            bool told =
                strcmp(spak_json_str(row, "verdict", ""), "NOT EVALUATED") != 0 || *spak_json_str(row, "machine", "");
            if (only ? this_one : told) print_row(claim, row, width, colour, this_one, out);
        }
    }
    if (only && !found) return spak_fail(err, "no claim '%s' in the claims file", only);
    return spak_str_ok(out, err);
}

/* --- README.md --- */

bool rep_ledger_readme(const json_t *ledger, const char *readme, bool check, spak_error *err) {
    static const char begin[] = "<!-- claims:begin -->", end[] = "<!-- claims:end -->";
    if (!json_is_true(json_object_get(ledger, "archived_only")))
        return spak_fail(err, "%s: its table takes archived evidence only", readme);
    spak_str text = {0}, fresh = {0};
    bool good = spak_read_file(readme, &text, err);
    const char *from = good ? strstr(spak_str_text(&text), begin) : NULL, *to = from ? strstr(from, end) : NULL;
    if (good && !to)
        good = spak_fail(err, "%s: expected %s and, after it, %s, each on a line of its own", readme, begin, end);
    if (good) {
        spak_str_append(&fresh, text.data, (size_t)(from - text.data));
        spak_str_printf(&fresh, "%s\n", begin);
        rep_claims_markdown(ledger, REP_FOR_README, &fresh);
        spak_str_puts(&fresh, to);
        good = spak_str_ok(&fresh, err);
    }
    bool same = good && fresh.len == text.len && !memcmp(fresh.data, text.data, text.len);
    if (good && check && !same)
        good = spak_fail(err, "%s: the claims table is out of date; run spak claims --readme %s", readme, readme);
    if (good && !check) good = spak_write_if_changed(readme, fresh.data, fresh.len, err);
    spak_str_free(&text);
    spak_str_free(&fresh);
    return good;
}
