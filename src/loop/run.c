/* Opening, resuming and ending a run.
 *
 * A trace belongs to one set of inputs. Its first record names them with their hashes, together with the binary, the
 * profile and the machine; when all of that is unchanged a later process goes on in the same file (and says so in a
 * `run` record of its own), otherwise the old file is put aside and a new chain starts. So every measurement of a
 * trace was made by the same code, and nothing is ever overwritten. One exception: a finished trace on a data set stays
 * when there is only the data set's stand-in to measure on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "data/data.h"
#include "device/device.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

static bool add_input(json_t *inputs, const char *path, spak_error *err) {
    char hex[SPAK_SHA256_HEX + 1];
    for (size_t i = 0; i < json_array_size(inputs); i++)
        if (!strcmp(spak_json_str(json_array_get(inputs, i), "path", ""), path)) return true;
    if (!spak_sha256_file(path, hex, err)) return false;
    json_t *entry = json_pack("{s:s, s:s}", "path", path, "sha256", hex);
    return json_array_append_new(inputs, entry) == 0 || spak_fail_oom(err);
}

/* The files beside the manifest. A folder in there is another operator's. */
static bool add_folder(json_t *inputs, const char *manifest_path, spak_error *err) {
    const char *slash = strrchr(manifest_path, '/');
    spak_str folder = {0}, path = {0};
    spak_str_append(&folder, manifest_path, slash ? (size_t)(slash - manifest_path) : 0);
    char **names = NULL;
    size_t count = 0;
    bool ok = spak_str_ok(&folder, err) && spak_list_dir(spak_str_text(&folder), &names, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        spak_str_clear(&path);
        spak_str_printf(&path, "%s/%s", folder.data, names[i]);
        struct stat about;
        ok = spak_str_ok(&path, err);
        if (ok && stat(path.data, &about) == 0 && S_ISDIR(about.st_mode)) continue;
        ok = ok && add_input(inputs, path.data, err);
    }
    spak_names_free(names, count);
    spak_str_free(&folder);
    spak_str_free(&path);
    return ok;
}

/* Everything the result depends on, apart from the binary: the system and what it inherits, the operator's folder, and
 * what the recipe names. */
static bool collect_inputs(loop_run *run, const loop_spec *spec, spak_error *err) {
    run->inputs = json_array();
    if (!run->inputs) return spak_fail_oom(err);
    if (!add_input(run->inputs, spec->system_path, err)) return false;
    const json_t *parents = json_object_get(run->system, "inherits");
    for (size_t i = 0; i < json_array_size(parents); i++)
        if (!add_input(run->inputs, spak_json_str(json_array_get(parents, i), "file", ""), err)) return false;
    if (!add_folder(run->inputs, run->op->manifest, err)) return false;
    for (size_t i = 0; i < spec->num_inputs; i++)
        if (!add_input(run->inputs, spec->inputs[i], err)) return false;
    return true;
}

static const json_t *data_of_name(const json_t *data, const char *name) {
    for (size_t i = 0; i < json_array_size(data); i++)
        if (!strcmp(spak_json_str(json_array_get(data, i), "name", ""), name)) return json_array_get(data, i);
    return NULL;
}

static bool collect_data(loop_run *run, const loop_spec *spec, spak_error *err) {
    run->data = json_array();
    if (!run->data) return spak_fail_oom(err);
    for (size_t i = 0; i < spec->num_data; i++) {
        json_t *description = NULL;
        if (data_of_name(run->data, spec->data[i])) continue;
        if (!data_describe(spec->data[i], &description, err)) return false;
        if (json_array_append_new(run->data, description)) return spak_fail_oom(err);
    }
    return true;
}

/* The same data sets with the same content; where each was found does not matter. Traces without any may lack the list.
 */
static bool same_data(const json_t *a, const json_t *b) {
    bool same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; same && i < json_array_size(a); i++) {
        const json_t *one = json_array_get(a, i);
        const json_t *other = data_of_name(b, spak_json_str(one, "name", ""));
        same = other && !strcmp(spak_json_str(one, "sha256", ""), spak_json_str(other, "sha256", "-"));
    }
    return same;
}

bool loop_load_block(const char *path, const char *kind, const char *name, json_t **block, spak_error *err) {
    dsl_doc *doc = NULL;
    json_t *meaning = NULL;
    bool ok = dsl_parse_file(path, &doc, err);
    if (ok && dsl_error_count(doc)) {
        spak_str text = {0};
        dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, 0), &text);
        ok = spak_fail(err, "%s", spak_str_text(&text));
        spak_str_free(&text);
    }
    ok = ok && dsl_meaning(doc, &meaning, err);
    if (ok) {
        *block = json_incref((json_t *)dsl_block(meaning, kind, name, 0));
        ok = *block || spak_fail(err, "%s: holds no block `%s%s%s`", path, kind, name ? " " : "", name ? name : "");
    }
    json_decref(meaning);
    dsl_free(doc);
    return ok;
}

static bool find_operator(const json_t *system, const char *path, const dev_op **op, spak_error *err) {
    const char *name = dsl_text(dsl_value(system, "operator"), NULL);
    if (!name) return spak_fail(err, "%s: the system does not name its `operator`; add e.g. `operator: matmul`", path);
    *op = dev_op_find(name);
    return *op || spak_fail(err, "%s: no operator '%s' in src/cli/registry.c", path, name);
}

static bool load_manifest(loop_run *run, spak_error *err) {
    return find_operator(run->system, run->system_path, &run->op, err) &&
           loop_load_block(run->op->manifest, "kernel", run->op->name, &run->manifest, err);
}

bool loop_runs_here(const char *system_path, bool *here, spak_error *why, spak_error *err) {
    json_t *system = NULL;
    const dev_op *op = NULL;
    if (!dsl_load_system(system_path, &system, err)) return false;
    bool ok = find_operator(system, system_path, &op, err);
    *here = ok && (!op->here || op->here(why));
    json_decref(system);
    return ok;
}

static bool set_path(char **to, spak_error *err, const char *fmt, const char *a, const char *b) {
    spak_str path = {0};
    spak_str_printf(&path, fmt, a, b);
    if (!spak_str_ok(&path, err)) return false;
    *to = path.data;
    return true;
}

static bool ended_well(const json_t *records) {
    const json_t *last = json_array_get(records, json_array_size(records) - 1);
    return !strcmp(spak_json_str(last, "kind", ""), "end") && !strcmp(spak_json_str(last, "status", ""), "complete");
}

static bool describe(const dev_op *op, json_t **hw, spak_error *err) {
    return op->describe ? op->describe(hw, err) : dev_describe(hw, err);
}

static const char *peer_of(const loop_run *run) { return run->op->peer ? run->op->peer() : NULL; }

static json_t *run_body(const loop_run *run, const char *binary, bool resumed) {
    char started[32];
    spak_utc_now(started);
    return json_pack("{s:s, s:s, s:s, s:O, s:O, s:O, s:s, s:I, s:b, s:s, s:s*}", "name", run->name, "profile",
                     run->profile, "started", started, "hw", run->hw, "inputs", run->inputs, "data", run->data,
                     "binary_sha256", binary, "seed", (json_int_t)run->seed, "resumed", resumed, "system",
                     run->system_path, "peer", peer_of(run));
}

static bool equal_or_absent(const json_t *a, const json_t *b) { return (!a && !b) || json_equal(a, b); }

/* What differs, besides program and data, between the world in which a trace began and this one; NULL when nothing
 * does. */
static const char *changed_setting(const loop_run *run, const json_t *first) {
    const json_t *hw = json_object_get(first, "hw");
    const char *peer = peer_of(run);
    static const char *const same[] = {"id", "isa", "cores", "driver", "nvrtc"};
    if (strcmp(spak_json_str(first, "profile", ""), run->profile) != 0) return "profile";
    if (!json_equal(json_object_get(first, "inputs"), run->inputs)) return "source";
    if (spak_json_int(first, "seed", -1) != run->seed) return "seed";
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!equal_or_absent(json_object_get(hw, same[i]), json_object_get(run->hw, same[i]))) return "machine";
    return strcmp(spak_json_str(first, "peer", ""), peer ? peer : "") != 0 ? "peer" : NULL;
}

/* The same with program and data. */
static const char *changed_world(const loop_run *run, const json_t *first, const char *binary) {
    const char *setting = changed_setting(run, first);
    if (setting) return setting;
    if (strcmp(spak_json_str(first, "binary_sha256", ""), binary) != 0) return "program";
    return same_data(json_object_get(first, "data"), run->data) ? NULL : "data";
}

/* The data set on which a finished trace was measured while nothing but its stand-in is here now; NULL when there is
 * none, or when the trace is out of date for another reason than a new build of the program, which spoils no evidence.
 * What is measured now would be no result on the data set, and would take the place of one. */
static const char *lost_data(const loop_run *run) {
    const json_t *first = json_array_get(run->records, 0), *data = json_object_get(first, "data");
    const char *lost = NULL;
    if (!ended_well(run->records) || changed_setting(run, first)) return NULL;
    if (json_array_size(data) != json_array_size(run->data)) return NULL;
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *before = json_array_get(data, i);
        const char *name = spak_json_str(before, "name", ""), *hash = spak_json_str(before, "sha256", "");
        const char *now = spak_json_str(data_of_name(run->data, name), "sha256", "-");
        if (!strcmp(hash, now)) continue;
        if (!data_is_whole(name, hash) || data_is_whole(name, now)) return NULL;
        lost = name;
    }
    return lost;
}

static bool say_kept(loop_run *run, const char *path, const char *lost, spak_error *err) {
    spak_str note = {0};
    spak_str_printf(&note,
                    "%s: kept: it was measured on the data set %s, of which only the stand-in is here now. `make data` "
                    "fetches the data set; to measure on the stand-in all the same, move this trace away",
                    path, lost);
    run->note = note.data;
    return spak_str_ok(&note, err);
}

/* OUT/traces/NAME.jsonl -> OUT/traces/old/NAME.STARTED.HEAD.jsonl, while its lock is held. */
static bool put_aside(loop_run *run, const char *path, const char *why, spak_error *err) {
    spak_str to = {0}, note = {0};
    const char *slash = strrchr(path, '/');
    const char *started = spak_json_str(json_array_get(run->records, 0), "started", "unknown");
    spak_str_append(&to, path, (size_t)(slash - path));
    spak_str_printf(&to, "/old/%s.%s.%.8s.jsonl", run->name, started, trace_head(run->trace));
    bool ok = spak_str_ok(&to, err) && spak_make_parent_dirs(to.data, err);
    if (ok && rename(path, to.data) != 0) ok = spak_fail_errno(err, "%s: cannot move to %s", path, to.data);
    if (ok) {
        spak_str_printf(&note, "%s: the %s has changed since; measuring anew, the old trace is kept as %s", path, why,
                        to.data);
        run->note = note.data;
    }
    spak_str_free(&to);
    return ok;
}

/* The lock comes first: what another process is writing is neither judged nor moved. */
static bool open_trace(loop_run *run, spak_error *err) {
    char binary[SPAK_SHA256_HEX + 1];
    char *path = NULL;
    trace_status status = {0};
    if (!spak_sha256_self(binary, err) || !set_path(&path, err, "%s/traces/%s.jsonl", run->out_dir, run->name))
        return false;
    bool ok = trace_open(path, &run->trace, &status, err) && trace_read(path, &run->records, NULL, err);
    bool resumed = ok && json_array_size(run->records) > 0;
    const char *lost = resumed ? lost_data(run) : NULL;
    const char *why = resumed && !lost ? changed_world(run, json_array_get(run->records, 0), binary) : NULL;
    if (lost) ok = say_kept(run, path, lost, err);
    if (why) {
        ok = put_aside(run, path, why, err);
        trace_close(run->trace);
        run->trace = NULL;
        json_decref(run->records);
        run->records = json_array();
        resumed = false;
        ok = ok && trace_open(path, &run->trace, NULL, err);
    }
    run->torn_bytes = resumed ? status.torn_bytes : 0;
    run->complete = resumed && ended_well(run->records);
    if (ok && !run->complete) ok = loop_record(run, "run", run_body(run, binary, resumed), NULL, err);
    spak_free(path);
    return ok;
}

/* Before anything is opened: a typing error must not touch a trace. */
static bool check_spec(loop_run *run, spak_error *err) {
    json_t *options = NULL;
    int max_trials = 0;
    if (!*run->name || strspn(run->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(run->name))
        return spak_fail(err, "experiment name '%s': use a-z, 0-9 and '_' only", run->name);
    bool ok =
        !dsl_block(run->system, "engineering_loop", NULL, 0) || loop_system_options(run, &options, &max_trials, err);
    json_decref(options);
    return ok;
}

bool loop_open(const loop_spec *spec, loop_run **out, spak_error *err) {
    *out = NULL;
    loop_run *run = spak_calloc(1, sizeof *run);
    if (!run) return spak_fail_oom(err);
    run->eval = spec->eval;
    run->seed = spec->seed;
    bool ok = set_path(&run->name, err, "%s%s", spec->name, "") &&
              set_path(&run->profile, err, "%s%s", spec->profile, "") &&
              set_path(&run->system_path, err, "%s%s", spec->system_path, "") &&
              set_path(&run->out_dir, err, "%s%s", spec->out_dir, "") &&
              set_path(&run->guide_path, err, "%s/%s/guide.dsl", spec->out_dir, spec->name) &&
              set_path(&run->ticket_path, err, "%s/%s/ticket.dsl", spec->out_dir, spec->name) &&
              dsl_load_system(spec->system_path, &run->system, err) && check_spec(run, err) &&
              load_manifest(run, err) && describe(run->op, &run->hw, err) && collect_inputs(run, spec, err) &&
              collect_data(run, spec, err) && open_trace(run, err);
    if (!ok) {
        loop_close(run);
        return false;
    }
    *out = run;
    return true;
}

static const char *file_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path; /* folders are another machine's affair */
}

/* Of any version: `a/b_v2.dsl` and `b_v3.dsl`. */
static bool same_system(const char *a, const char *b) {
    a = file_of(a);
    b = file_of(b);
    const char *va = strstr(a, "_v"), *vb = strstr(b, "_v");
    const size_t n = va ? (size_t)(va - a) : strlen(a);
    return n == (vb ? (size_t)(vb - b) : strlen(b)) && !strncmp(a, b, n);
}

/* A trace to be learned from is finished, and of a version of this system: another one's would teach it what it cannot
 * know. */
static bool check_trace(const loop_run *run, const char *trace, spak_error *err) {
    const size_t count = json_array_size(run->records);
    const json_t *first = json_array_get(run->records, 0),
                 *last = count ? json_array_get(run->records, count - 1) : NULL;
    const char *system = spak_json_str(first, "system", NULL);
    if (!json_is_object(run->hw) || !spak_json_str(first, "name", NULL) || !system)
        return spak_fail(
            err, "%s: its first record names no experiment, machine and system; it is no trace of a recipe", trace);
    if (!same_system(system, run->system_path))
        return spak_fail(err, "%s is a trace of %s, and no other system can learn from it; %s was asked for", trace,
                         system, run->system_path);
    if (strcmp(spak_json_str(last, "kind", ""), "end") != 0 ||
        strcmp(spak_json_str(last, "status", ""), "complete") != 0)
        return spak_fail(
            err,
            "%s ends at record %zu without the end of its run: restore it where it was cut off, or finish the "
            "run with `spak run`",
            trace, count);
    return true;
}

bool loop_open_trace(const char *system_path, const char *trace, spak_evaluator eval, loop_run **out, spak_error *err) {
    *out = NULL;
    loop_run *run = spak_calloc(1, sizeof *run);
    if (!run) return spak_fail_oom(err);
    run->eval = eval;
    run->complete = true; /* read-only: nothing is added to a trace that is learned from */
    bool ok = set_path(&run->system_path, err, "%s%s", system_path, "") &&
              dsl_load_system(system_path, &run->system, err) && load_manifest(run, err) &&
              trace_read(trace, &run->records, NULL, err);
    const json_t *first = ok ? json_array_get(run->records, 0) : NULL;
    run->hw = json_incref(json_object_get(first, "hw"));
    ok = ok && check_trace(run, trace, err) && set_path(&run->name, err, "%s%s", spak_json_str(first, "name", ""), "");
    if (!ok) {
        loop_close(run);
        return false;
    }
    *out = run;
    return true;
}

void loop_close(loop_run *run) {
    if (!run) return;
    if (run->trace) trace_close(run->trace);
    json_decref(run->system);
    json_decref(run->manifest);
    json_decref(run->hw);
    json_decref(run->records);
    json_decref(run->inputs);
    json_decref(run->data);
    spak_free(run->name);
    spak_free(run->profile);
    spak_free(run->system_path);
    spak_free(run->out_dir);
    spak_free(run->guide_path);
    spak_free(run->ticket_path);
    spak_free(run->note);
    spak_free(run);
}

bool loop_end(loop_run *run, spak_error *err) {
    if (run->complete) return true;
    json_t *changed = json_array();
    for (size_t i = 0; i < json_array_size(run->inputs); i++) {
        const json_t *input = json_array_get(run->inputs, i);
        const char *path = spak_json_str(input, "path", "");
        char hex[SPAK_SHA256_HEX + 1];
        if (!spak_sha256_file(path, hex, NULL) || strcmp(hex, spak_json_str(input, "sha256", "")) != 0)
            json_array_append_new(changed, json_string(path));
    }
    for (size_t i = 0; i < json_array_size(run->data); i++) {
        const json_t *before = json_array_get(run->data, i);
        const char *name = spak_json_str(before, "name", "");
        json_t *now = NULL;
        if (!data_describe(name, &now, NULL) ||
            strcmp(spak_json_str(now, "sha256", ""), spak_json_str(before, "sha256", "-")) != 0)
            json_array_append_new(changed, json_sprintf("data set %s", name));
        json_decref(now);
    }
    char ended[32];
    spak_utc_now(ended);
    bool clean = json_array_size(changed) == 0;
    const char *first = clean ? "" : json_string_value(json_array_get(changed, 0));
    json_t *body = json_pack("{s:s, s:s, s:O}", "status", clean ? "complete" : "inputs_changed", "ended", ended,
                             "changed", changed);
    bool ok = loop_record(run, "end", body, NULL, err);
    if (ok && !clean)
        ok = spak_fail(err, "%s changed while the experiment ran, so its trace describes neither version; run it again",
                       first);
    if (ok) run->complete = true;
    json_decref(changed);
    return ok;
}

bool loop_record(loop_run *run, const char *kind, json_t *body, const json_t **record, spak_error *err) {
    uint64_t seq = 0;
    if (run->complete) {
        json_decref(body);
        return spak_fail(err,
                         "%s: the trace is complete, yet it lacks a %s record that this run would add; move it away "
                         "and run again",
                         trace_path(run->trace), kind);
    }
    unsigned long failures = spak_alloc_failures();
    json_t *kept = json_copy(body);
    if (!kept || spak_alloc_failures() != failures) { /* json_copy drops failures silently */
        json_decref(kept);
        json_decref(body);
        return spak_fail(err, "cannot build a %s record: out of memory, or a number that is not finite", kind);
    }
    if (!trace_append(run->trace, kind, body, &seq, err)) {
        json_decref(kept);
        return false;
    }
    bool ok = !json_object_set_new(kept, "kind", json_string(kind)) &&
              !json_object_set_new(kept, "seq", json_integer((json_int_t)seq)) &&
              !json_array_append(run->records, kept);
    json_decref(kept); /* the list holds it now */
    if (ok && record) *record = kept;
    return ok || spak_fail_oom(err);
}

const json_t *loop_find(const loop_run *run, const char *kind, const json_t *like) {
    for (size_t i = json_array_size(run->records); i-- > 0;) {
        const json_t *record = json_array_get(run->records, i);
        if (strcmp(spak_json_str(record, "kind", ""), kind) != 0) continue;
        bool equal = true;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)like, key, value) equal =
            equal && json_equal(value, json_object_get(record, key));
        if (equal) return record;
    }
    return NULL;
}

json_t *loop_ref(const loop_run *run, const json_t *record) {
    return json_sprintf("trace:%s/%s#%lld", run->name, spak_json_str(run->hw, "id", "unknown"),
                        spak_json_int(record, "seq", -1));
}
