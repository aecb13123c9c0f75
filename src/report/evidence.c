/* Where evidence lives and when it is good.
 *
 * A trace is read once for each command and its chain verified. It is good evidence when it verifies, ends in an `end`
 * record with status "complete", has no torn tail, and the inputs that its `run` record lists still have the content
 * that was hashed, and its data sets are those of the manifest. Anything else has a reason (`why`, `stale`) that ends
 * up in the verdict: a damaged trace never makes a claim pass, and it never makes the other claims fail either. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "data/data.h"
#include "report/internal.h"

bool rep_ref_parse(const char *text, rep_ref *ref, spak_error *err) {
    const char *hash = strrchr(text, '#');
    const char *begin = text + strlen("trace:");
    const char *slash = NULL;
    if (spak_starts_with(text, "trace:") && hash)
        for (const char *c = begin; c < hash; c++)
            if (*c == '/') slash = c;
    bool good = slash && slash > begin && hash > slash + 1 && (size_t)(slash - begin) < sizeof ref->name &&
                (size_t)(hash - slash - 1) < sizeof ref->machine && isdigit((unsigned char)hash[1]);
    char *end = NULL;
    long long seq = good ? strtoll(hash + 1, &end, 10) : 0;
    if (!good || *end) return spak_fail(err, "'%s' is no trace reference: expected trace:NAME/MACHINE#SEQ", text);
    snprintf(ref->name, sizeof ref->name, "%.*s", (int)(slash - begin), begin);
    snprintf(ref->label, sizeof ref->label, "%.*s", (int)(hash - slash - 1), slash + 1);
    if (!rep_valid_name(ref->name) || !rep_valid_name(ref->label)) {
        return spak_fail(err, "'%s' is no trace reference: names are letters, digits, '_', '-' and '.'", text);
    }
    bool here = !strcmp(ref->label, "here") || spak_starts_with(ref->label, "here-");
    snprintf(ref->machine, sizeof ref->machine, "%s", here ? "here" : ref->label);
    ref->seq = seq;
    return true;
}

void rep_ref_text(const char *name, const char *machine, long long seq, spak_str *out) {
    spak_str_printf(out, "trace:%s/%s#%lld", name, machine, seq);
}

bool rep_refs_add(json_t *refs, const json_t *more, spak_error *err) {
    for (size_t i = 0; i < json_array_size(more); i++) {
        json_t *ref = json_array_get(more, i);
        bool there = false;
        for (size_t k = 0; !there && k < json_array_size(refs); k++) there = json_equal(json_array_get(refs, k), ref);
        if (!there && json_array_append(refs, ref)) return spak_fail_oom(err);
    }
    return true;
}

void rep_ref_href(const char *name, const char *machine, long long seq, spak_str *out) {
    spak_str_puts(out, "trace-");
    for (const char *c = name; *c; c++) spak_str_putc(out, *c == '/' ? '-' : *c);
    if (strcmp(machine, "here") != 0) spak_str_printf(out, "-%s", machine);
    spak_str_puts(out, ".html");
    if (seq >= 0) spak_str_printf(out, "#r%lld", seq);
}

static char *trace_file(const rep_place *place, const char *name, const char *machine) {
    spak_str path = {0};
    if (!strcmp(machine, "here")) {
        spak_str_printf(&path, "%s/traces/%s.jsonl", place->out, name);
    } else {
        rep_path(&path, place->root, "data/traces/");
        spak_str_printf(&path, "%s/%s.jsonl", machine, name);
        if (!path.oom && !spak_exists(path.data)) {
            spak_str_puts(&path, ".gz");
            if (!path.oom && !spak_exists(path.data)) path.data[path.len - strlen(".gz")] = '\0';
        }
    }
    char *text = path.oom ? NULL : spak_strdup(path.data);
    spak_str_free(&path);
    return text;
}

static void set_why(rep_trace *trace, const char *why) {
    if (!trace->why) trace->why = spak_strdup(why);
}

/* Fills trace->stale from the run record's inputs; a file that is gone is stale too. */
static bool find_stale(const rep_place *place, rep_trace *trace, spak_error *err) {
    const json_t *inputs = json_object_get(json_array_get(trace->records, 0), "inputs");
    size_t i;
    json_t *input;
    json_array_foreach(inputs, i, input) {
        const char *path = spak_json_str(input, "path", NULL), *want = spak_json_str(input, "sha256", NULL);
        if (!path || !want) {
            set_why(trace, "its run record lists an input without path and sha256");
            return true;
        }
        spak_str full = {0};
        char now[SPAK_SHA256_HEX + 1] = "";
        rep_path(&full, path[0] == '/' ? "" : place->root, path);
        bool same = !full.oom && spak_sha256_file(full.data, now, NULL) && !strcmp(now, want);
        spak_str_free(&full);
        if (!same && json_array_append_new(trace->stale, json_string(path))) return spak_fail_oom(err);
    }
    return true;
}

static const json_t *entry_of(const json_t *sets, const char *name) {
    for (size_t i = 0; i < json_array_size(sets); i++)
        if (!strcmp(spak_json_str(json_array_get(sets, i), "name", ""), name)) return json_array_get(sets, i);
    return NULL;
}

/* The same for its data sets. Their files need not be here: the manifest says which content counts now. Without a
 * manifest that can be read none does. */
static bool find_stale_data(const rep_place *place, rep_trace *trace, spak_error *err) {
    const json_t *data = json_object_get(json_array_get(trace->records, 0), "data");
    json_t *sets = NULL;
    bool good = true;
    if (json_array_size(data)) data_manifest(place->root, &sets, NULL);
    for (size_t i = 0; good && i < json_array_size(data); i++) {
        const json_t *used = json_array_get(data, i);
        const char *name = spak_json_str(used, "name", NULL), *hash = spak_json_str(used, "sha256", NULL);
        if (!name || !hash) {
            set_why(trace, "its run record lists a data set without name and sha256");
            break;
        }
        const json_t *entry = entry_of(sets, name);
        bool whole = !strcmp(spak_json_str(entry, "sha256", ""), hash);
        bool stand_in = !whole && !strcmp(spak_json_str(entry, "builtin_sha256", ""), hash);
        if (stand_in || !strcmp(spak_json_str(used, "origin", ""), "builtin"))
            good = !json_array_append_new(trace->stand_ins, json_string(name));
        if (!whole && !stand_in) good = good && !json_array_append_new(trace->stale, json_sprintf("data set %s", name));
    }
    json_decref(sets);
    return good || spak_fail_oom(err);
}

static bool load(const rep_place *place, rep_trace *trace, spak_error *err) {
    spak_error cause = {0};
    if (!spak_exists(trace->path)) {
        spak_str why = {0};
        spak_str_printf(&why, "there is no trace %s", trace->path);
        set_why(trace, spak_str_text(&why));
        spak_str_free(&why);
        return trace->why ? true : spak_fail_oom(err);
    }
    if (!trace_read(trace->path, &trace->records, &trace->status, &cause)) {
        trace->records = NULL;
        set_why(trace, cause.message);
        return trace->why ? true : spak_fail_oom(err);
    }
    const json_t *first = json_array_get(trace->records, 0);
    const json_t *last = json_array_get(trace->records, json_array_size(trace->records) - 1);
    const char *status = spak_json_str(last, "status", "");
    bool ended = !strcmp(spak_json_str(last, "kind", ""), "end");
    trace->changed = ended && !strcmp(status, "inputs_changed");
    trace->complete = ended && !strcmp(status, "complete") && trace->status.torn_bytes == 0;
    if (strcmp(spak_json_str(first, "kind", ""), "run") != 0)
        set_why(trace, "the trace does not begin with a run record");
    else if (trace->status.torn_bytes)
        set_why(trace, "the trace ends in a truncated line");
    else if (!ended)
        set_why(trace, "the run did not finish: its trace has no end record");
    else if (!trace->complete && !trace->changed)
        set_why(trace, "the run ended without status complete");
    if (!trace->complete && !trace->changed && !trace->why) return spak_fail_oom(err); /* no reason, no evidence */
    return find_stale(place, trace, err) && find_stale_data(place, trace, err);
}

static void trace_free(rep_trace *trace) {
    if (!trace) return;
    spak_free(trace->name);
    spak_free(trace->machine);
    spak_free(trace->path);
    spak_free(trace->why);
    json_decref(trace->records);
    json_decref(trace->stale);
    json_decref(trace->stand_ins);
    spak_free(trace);
}

bool rep_traces_get(rep_traces *traces, const char *name, const char *machine, rep_trace **found, spak_error *err) {
    for (size_t i = 0; i < traces->count; i++) {
        *found = traces->items[i];
        if (!strcmp((*found)->name, name) && !strcmp((*found)->machine, machine)) return true;
    }
    rep_trace **grown = spak_realloc(traces->items, (traces->count + 1) * sizeof *grown);
    if (!grown) return spak_fail_oom(err);
    traces->items = grown;
    rep_trace *trace = spak_calloc(1, sizeof *trace);
    if (!trace) return spak_fail_oom(err);
    trace->name = spak_strdup(name);
    trace->machine = spak_strdup(machine);
    trace->path = trace_file(traces->place, name, machine);
    trace->archived = strcmp(machine, "here") != 0;
    trace->stale = json_array();
    trace->stand_ins = json_array();
    if (!trace->name || !trace->machine || !trace->path || !trace->stale || !trace->stand_ins) {
        trace_free(trace);
        return spak_fail_oom(err);
    }
    if (!load(traces->place, trace, err)) {
        trace_free(trace);
        return false;
    }
    traces->items[traces->count++] = *found = trace;
    return true;
}

void rep_traces_free(rep_traces *traces) {
    for (size_t i = 0; i < traces->count; i++) trace_free(traces->items[i]);
    spak_free(traces->items);
    traces->items = NULL;
    traces->count = 0;
}

rep_traces *rep_traces_of(const rep_place *place, rep_traces *own) {
    *own = (rep_traces){.place = place};
    return place->traces ? place->traces : own;
}

bool rep_place_keep(rep_place *place, spak_error *err) {
    place->traces = spak_calloc(1, sizeof *place->traces);
    if (!place->traces) return spak_fail_oom(err);
    place->traces->place = place;
    return true;
}

void rep_place_release(rep_place *place) {
    if (place->traces) rep_traces_free(place->traces);
    spak_free(place->traces);
    place->traces = NULL;
}

bool rep_ref_check(rep_traces *traces, const char *text, rep_trace **trace_out, const json_t **record,
                   spak_error *err) {
    rep_ref ref;
    rep_trace *trace;
    if (!rep_ref_parse(text, &ref, err) || !rep_traces_get(traces, ref.name, ref.machine, &trace, err)) return false;
    if (!trace->records) return spak_fail(err, "%s: %s", text, trace->why);
    if ((size_t)ref.seq >= json_array_size(trace->records)) {
        return spak_fail(err, "%s: the trace %s has %zu records, there is no such one", text, trace->path,
                         json_array_size(trace->records));
    }
    const json_t *run = json_array_get(trace->records, 0);
    const char *id = spak_json_str(json_object_get(run, "hw"), "id", "");
    if (spak_starts_with(ref.label, "here-") && !spak_starts_with(id, ref.label + strlen("here-"))) {
        return spak_fail(err, "%s: the trace was made on '%s'; write trace:%s/here#%lld", text, id, ref.name, ref.seq);
    }
    if (trace_out) *trace_out = trace;
    if (record) *record = json_array_get(trace->records, (size_t)ref.seq);
    return true;
}

/* Adds DIR's *.json to the list; folders in it are machines when machine is "here". */
static bool list_folder(const char *dir, const char *machine, json_t *list, spak_error *err) {
    char **names = NULL;
    size_t count = 0;
    if (!spak_exists(dir)) return true;
    if (!spak_list_dir(dir, &names, &count, err)) return false;
    bool good = true;
    for (int pass = 0; good && pass < 2; pass++) { /* files first, so that `here` precedes the machines */
        for (size_t i = 0; good && i < count; i++) {
            spak_str path = {0};
            spak_str_printf(&path, "%s/%s", dir, names[i]);
            bool is_file = spak_ends_with(names[i], ".json");
            if (path.oom) {
                good = spak_fail_oom(err);
            } else if (pass == 0 && is_file) {
                json_t *file = NULL;
                good = spak_json_load(path.data, &file, err);
                if (good && json_array_append_new(
                                list, json_pack("{s:s,s:s,s:s,s:o}", "name", spak_json_str(file, "name", names[i]),
                                                "machine", machine, "path", path.data, "file", file))) {
                    good = spak_fail_oom(err);
                }
            } else if (pass == 1 && !is_file && !strcmp(machine, "here") && rep_valid_name(names[i]) &&
                       !strstr(names[i], ".tmp")) {
                good = list_folder(path.data, names[i], list, err);
            }
            spak_str_free(&path);
        }
    }
    spak_names_free(names, count);
    return good;
}

bool rep_values_list(const rep_place *place, json_t **list, spak_error *err) {
    spak_str dir = {0};
    spak_str_printf(&dir, "%s/values", place->out);
    *list = json_array();
    bool good = spak_str_ok(&dir, err) && (*list || spak_fail_oom(err)) && list_folder(dir.data, "here", *list, err);
    spak_str_free(&dir);
    if (!good) {
        json_decref(*list);
        *list = NULL;
    }
    return good;
}
