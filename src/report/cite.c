/* A number in the text and the records it came from.
 *
 * On a page the number itself is the link to its first record. A number made from several (a count of cases, of steps)
 * is followed by the others, raised and in brackets: `1200 [2 3 4]`, each a link to its own record. The brackets keep
 * them from being read as a power; they are plain links, so that a phone, a keyboard and a printed page have them all.
 * Of many the style sheet shows the first and the last until a pointer or the keyboard comes near.
 * In LaTeX the number alone is printed, and every record stands in the second argument of \spaktrace. */
#include "report/internal.h"

enum { MANY = 6 };

static void put_link(rep_trace *trace, const char *text, const char *ref_text, size_t number, rep_cite_for target,
                     spak_str *out) {
    rep_ref ref;
    bool stale = json_array_size(trace->stale) > 0, stand_in = json_array_size(trace->stand_ins) > 0;
    if (!rep_ref_parse(ref_text, &ref, NULL)) return;
    spak_str_putc(out, '[');
    rep_markdown(out, text);
    spak_str_puts(out, "](");
    rep_ref_href(ref.name, ref.machine, ref.seq, out);
    if (target == REP_CITE_HTML)
        spak_str_printf(out, " \"%s%s\"", ref_text, stale ? " (stale)" : stand_in ? " (on a stand-in)" : "");
    spak_str_printf(out, "){.%s%s", number > 1 ? "ref" : "value", stale ? " .stale" : "");
    if (number > 1 && target == REP_CITE_HTML) spak_str_printf(out, " aria-label=\"record %zu\"", number);
    spak_str_putc(out, '}');
}

static void put_latex(const char *text, const json_t *refs, spak_str *out) {
    size_t i;
    json_t *ref;
    spak_str_puts(out, "`\\spaktrace{");
    rep_latex(out, text);
    spak_str_puts(out, "}{");
    json_array_foreach(refs, i, ref) {
        if (i) spak_str_puts(out, ", ");
        rep_latex(out, json_string_value(ref));
    }
    spak_str_puts(out, "}`{=latex}");
}

bool rep_cite(rep_traces *traces, const char *text, const json_t *refs, rep_cite_for target, spak_str *out,
              spak_error *err) {
    size_t i, count = json_array_size(refs);
    json_t *ref;
    for (i = 0; i < count; i++) {
        const char *ref_text = json_string_value(json_array_get(refs, i));
        if (!rep_ref_check(traces, ref_text ? ref_text : "?", NULL, NULL, err)) return false;
    }
    if (target == REP_CITE_PLAIN) spak_str_puts(out, text);
    if (target == REP_CITE_LATEX) put_latex(text, refs, out);
    if (target == REP_CITE_PLAIN || target == REP_CITE_LATEX) return spak_str_ok(out, err);
    json_array_foreach(refs, i, ref) {
        rep_trace *trace = NULL;
        char number[24];
        snprintf(number, sizeof number, "%zu", i + 1);
        if (!rep_ref_check(traces, json_string_value(ref), &trace, NULL, err)) return false;
        if (i) spak_str_puts(out, i == 1 ? "[\\[" : " ");
        put_link(trace, i ? number : text, json_string_value(ref), i + 1, target, out);
    }
    if (count > 1) spak_str_puts(out, count > MANY ? "\\]]{.refs .many}" : "\\]]{.refs}");
    return spak_str_ok(out, err);
}
