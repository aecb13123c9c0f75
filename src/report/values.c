/* The numbers that prose and claims may use, each with the records it came from. */
#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "report/internal.h"

/* One value of the spec -> one of the file, checked. */
static json_t *checked_value(rep_traces *traces, const char *file, const char *key, json_t *given, spak_error *err) {
    const json_t *number = json_object_get(given, "value"), *refs = json_object_get(given, "refs");
    if (!rep_valid_name(key) || strpbrk(key, "./-")) {
        spak_fail(err, "%s: '%s' is no name for a value: expected letters, digits and '_'", file, key);
        return NULL;
    }
    if (!json_is_number(number) || !isfinite(json_number_value(number))) {
        spak_fail(err, "%s: value '%s' is not a finite number; leave out what was not measured", file, key);
        return NULL;
    }
    if (json_array_size(refs) == 0) {
        spak_fail(err, "%s: value '%s' has no refs: name the trace records it comes from", file, key);
        return NULL;
    }
    size_t i;
    json_t *ref;
    json_array_foreach(refs, i, ref) {
        if (!json_is_string(ref) || !rep_ref_check(traces, json_string_value(ref), NULL, NULL, err)) {
            if (!json_is_string(ref)) spak_fail(err, "a ref must be a text such as trace:matmul/here#12");
            spak_fail_context(err, "%s: value '%s'", file, key);
            return NULL;
        }
    }
    spak_str text = {0};
    const char *given_text = spak_json_str(given, "text", NULL);
    if (given_text)
        spak_str_puts(&text, given_text);
    else if (!rep_format_number(spak_json_str(given, "format", NULL), json_number_value(number), &text, err)) {
        spak_fail_context(err, "%s: value '%s'", file, key);
        spak_str_free(&text);
        return NULL;
    }
    json_t *value = json_pack("{s:O,s:s,s:s,s:O}", "value", number, "text", spak_str_text(&text), "unit",
                              spak_json_str(given, "unit", ""), "refs", refs);
    spak_str_free(&text);
    if (!value) spak_fail_oom(err);
    return value;
}

static bool fill_values(rep_traces *traces, const char *path, const json_t *given, json_t *values, spak_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)given, key, value) {
        json_t *checked = checked_value(traces, path, key, value, err);
        if (!checked) return false;
        if (json_object_set_new(values, key, checked)) return spak_fail_oom(err);
    }
    return true;
}

static bool write_values(rep_traces *traces, const char *path, rep_trace *trace, const json_t *spec, spak_error *err) {
    const json_t *run = json_array_get(trace->records, 0);
    json_t *values = json_object();
    bool good = values && fill_values(traces, path, json_object_get(spec, "values"), values, err);
    json_t *file = NULL;
    if (good) {
        file = json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:O,s:O}", "name", trace->name, "trace", trace->path, "head",
                         trace->status.head, "machine", spak_json_str(json_object_get(run, "hw"), "id", trace->machine),
                         "profile", spak_json_str(run, "profile", ""), "archived", trace->archived, "complete",
                         trace->complete, "stale", trace->stale, "values", values);
        if (!file || (json_array_size(trace->stand_ins) && json_object_set(file, "stand_ins", trace->stand_ins)))
            good = spak_fail_oom(err);
    }
    spak_str text = {0};
    good = good && spak_json_canonical(file, &text, err);
    spak_str_putc(&text, '\n');
    good = good && spak_str_ok(&text, err) && spak_write_if_changed(path, text.data, text.len, err);
    spak_str_free(&text);
    json_decref(file);
    json_decref(values);
    return good;
}

bool rep_values_write(const rep_place *place, const json_t *spec, spak_error *err) {
    const char *name = spak_json_str(spec, "name", NULL), *machine = spak_json_str(spec, "machine", "here");
    if (!rep_valid_name(name) || !rep_valid_name(machine)) {
        return spak_fail(err, "values: expected a name (letters, digits, '_', '-'), found '%s'", name ? name : "none");
    }
    if (!json_is_object(json_object_get(spec, "values")))
        return spak_fail(err, "values '%s': no table of values", name);
    spak_str path = {0};
    rep_traces own, *traces = rep_traces_of(place, &own);
    rep_trace *trace = NULL;
    bool here = !strcmp(machine, "here");
    spak_str_printf(&path, "%s/values/%s%s%s.json", place->out, here ? "" : machine, here ? "" : "/", name);
    bool good = spak_str_ok(&path, err) && rep_traces_get(traces, name, machine, &trace, err);
    if (good && !trace->records) good = spak_fail(err, "values '%s': %s", name, trace->why);
    good = good && write_values(traces, path.data, trace, spec, err);
    rep_traces_free(&own);
    spak_str_free(&path);
    return good;
}
