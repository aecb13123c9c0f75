/* A trace as a page: what the run was, whether its chain verifies, and each record under its own address (#rSEQ), so
 * that the link behind a number ends at the numbers behind it. */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "report/internal.h"

enum { MAX_NESTED = 6 };

static void put_json(const json_t *value, int depth, spak_str *out);

static void put_scalar(const json_t *value, spak_str *out) {
    char number[32];
    if (json_is_string(value)) {
        rep_html(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        spak_str_printf(out, "<span class=\"n\">%lld</span>", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        spak_number_text(json_real_value(value), number);
        spak_str_printf(out, "<span class=\"n\">%s</span>", number);
    } else {
        spak_str_puts(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
    }
}

static void put_array(const json_t *value, int depth, spak_str *out) {
    size_t i;
    json_t *item;
    bool flat = true;
    json_array_foreach(value, i, item) { flat = flat && !json_is_object(item) && !json_is_array(item); }
    bool folded = json_array_size(value) > 12;
    if (folded) spak_str_printf(out, "<details><summary>%zu values</summary>", json_array_size(value));
    if (!flat) spak_str_puts(out, "<ol start=\"0\">");
    json_array_foreach(value, i, item) {
        if (!flat)
            spak_str_puts(out, "<li>");
        else if (i)
            spak_str_puts(out, ", ");
        put_json(item, depth + 1, out);
        if (!flat) spak_str_puts(out, "</li>");
    }
    if (!flat) spak_str_puts(out, "</ol>");
    if (folded) spak_str_puts(out, "</details>");
}

static bool is_chain_field(const char *key, int depth) {
    return depth == 0 && (!strcmp(key, "kind") || !strcmp(key, "seq") || !strcmp(key, "prev"));
}

static void put_object(const json_t *value, int depth, spak_str *out) {
    const char *key;
    json_t *member;
    spak_str_puts(out, "<dl>");
    json_object_foreach((json_t *)value, key, member) {
        if (is_chain_field(key, depth)) continue;
        spak_str_puts(out, "<div><dt>");
        rep_html(out, key);
        spak_str_puts(out, "</dt><dd>");
        put_json(member, depth + 1, out);
        spak_str_puts(out, "</dd></div>");
    }
    spak_str_puts(out, "</dl>");
}

static void put_json(const json_t *value, int depth, spak_str *out) {
    if (depth > MAX_NESTED)
        spak_str_puts(out, "…");
    else if (json_is_object(value))
        put_object(value, depth, out);
    else if (json_is_array(value))
        put_array(value, depth, out);
    else
        put_scalar(value, out);
}

static void put_warning(const char *text, const json_t *names, spak_str *out) {
    size_t i;
    json_t *name;
    if (json_array_size(names)) spak_str_printf(out, "<p class=\"warn\">%s", text);
    json_array_foreach(names, i, name) {
        spak_str_puts(out, i ? ", <code>" : "<code>");
        rep_html(out, json_string_value(name));
        spak_str_puts(out, "</code>");
    }
    if (json_array_size(names)) spak_str_puts(out, "</p>\n");
}

static void put_head(const rep_trace *trace, spak_str *out) {
    spak_str_puts(out, "<header><h1>Trace ");
    rep_html(out, trace->name);
    spak_str_puts(out, "</h1><p class=\"subtitle\">");
    if (trace->archived) {
        spak_str_puts(out, "archived, made on ");
        rep_html(out, trace->machine);
    } else {
        spak_str_puts(out, "made here, on ");
        rep_html(out,
                 spak_json_str(json_object_get(json_array_get(trace->records, 0), "hw"), "id", "an unnamed machine"));
    }
    spak_str_puts(out, "</p></header>\n");
    if (trace->records)
        spak_str_printf(out,
                        "<p>The chain of %zu records verifies; its head is <code class=\"hash\">%s</code>. That shows "
                        "that no record was altered after the fact, not that a measurement was right.</p>\n",
                        json_array_size(trace->records), trace->status.head);
    if (trace->why) {
        spak_str_puts(out, "<p class=\"warn\">No good evidence: ");
        rep_html(out, trace->why);
        spak_str_puts(out, "</p>\n");
    }
    put_warning("Stale: changed since this run: ", trace->stale, out);
    put_warning("Made on a stand-in, which is not the data set: ", trace->stand_ins, out);
}

static const char *time_of(const json_t *record) {
    static const char *const keys[] = {"time", "at", "started", "ended", "finished"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = spak_json_str(record, keys[i], NULL);
        if (text) return text;
    }
    return "";
}

bool rep_trace_page(const rep_place *place, rep_trace *trace, const char *nav, spak_error *err) {
    spak_str body = {0}, path = {0}, title = {0};
    size_t i;
    json_t *record;
    put_head(trace, &body);
    spak_str_puts(&body,
                  "<table class=\"records\"><thead><tr><th>record</th><th>kind</th><th>what it holds</th></tr>"
                  "</thead><tbody>\n");
    json_array_foreach(trace->records, i, record) {
        const char *kind = spak_json_str(record, "kind", "");
        spak_str_printf(&body, "<tr id=\"r%zu\"><td><a href=\"#r%zu\">%zu</a></td><td><span class=\"kind\">", i, i, i);
        rep_html(&body, kind);
        spak_str_puts(&body, "</span><time>");
        rep_html(&body, time_of(record));
        spak_str_puts(&body, "</time></td><td>");
        put_json(record, 0, &body);
        spak_str_puts(&body, "</td></tr>\n");
    }
    spak_str_puts(&body, "</tbody></table>\n");
    spak_str_printf(&path, "%s/book/", place->out);
    rep_ref_href(trace->name, trace->machine, -1, &path);
    spak_str_printf(&title, "Trace %s", trace->name);
    bool good = spak_str_ok(&body, err) && spak_str_ok(&path, err) && spak_str_ok(&title, err) &&
                rep_page_write(place, path.data, title.data, "trace", nav, body.data, err);
    spak_str_free(&body);
    spak_str_free(&path);
    spak_str_free(&title);
    return good;
}
