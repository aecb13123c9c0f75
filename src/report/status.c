/* What there is: the machine, the tools, the traces and whether they are still good evidence, the last verdicts. */
#include <string.h>

#include "base/fs.h"
#include "base/process.h"
#include "device/blas.h"
#include "device/device.h"
#include "report/internal.h"

static bool put_machine(spak_str *out, spak_error *err) {
    json_t *hw = NULL;
    if (!dev_describe(&hw, err)) return false;
    spak_str_printf(out, "machine    %s: %s, %lld cores, %s\n", spak_json_str(hw, "id", "unknown"),
                    spak_json_str(hw, "model", "unknown processor"), spak_json_int(hw, "cores", 0),
                    spak_json_str(hw, "isa", "?"));
    json_decref(hw);
    return true;
}

static bool put_tool(spak_str *out, const char *label, char *program, const char *remedy, spak_error *err) {
    char *argv[] = {program, "--version", NULL};
    bool found = false;
    int status = 0;
    spak_str text = {0}, errors = {0};
    bool ok = spak_spawn(argv, 20, &found, &status, &text, &errors, err);
    if (ok && found)
        spak_str_printf(out, "%-10s %.*s\n", label, (int)strcspn(spak_str_text(&text), "\n"), spak_str_text(&text));
    else if (ok)
        spak_str_printf(out, "%-10s not found; %s\n", label, remedy);
    spak_str_free(&text);
    spak_str_free(&errors);
    return ok;
}

static void put_peer(spak_str *out) {
    const dev_blas *blas = dev_blas_peer();
    if (blas)
        spak_str_printf(out, "%-10s %s\n", "peer", blas->description);
    else if (dev_blas_missing())
        spak_str_printf(out, "%-10s none, for SPAK_OPENBLAS cannot be loaded: %s\n", "peer", dev_blas_missing());
    else
        spak_str_printf(out, "%-10s none, so ratios will be missing; install libopenblas0-pthread\n", "peer");
}

static bool put_trace(spak_str *out, rep_traces *traces, const char *name, const char *machine, spak_error *err) {
    rep_trace *trace = NULL;
    if (!rep_traces_get(traces, name, machine, &trace, err)) return false;
    const char *stand_in = json_string_value(json_array_get(trace->stand_ins, 0));
    spak_str_printf(out, "trace      %s, %s: %zu records, ", name, trace->archived ? machine : "made here",
                    trace->status.records);
    if (trace->why)
        spak_str_printf(out, "no evidence: %s\n", trace->why);
    else if (json_array_size(trace->stale))
        spak_str_printf(out, "STALE: %s has changed since (%zu files in all)\n",
                        json_string_value(json_array_get(trace->stale, 0)), json_array_size(trace->stale));
    else
        spak_str_printf(out, "complete, its inputs unchanged%s%s\n", stand_in ? "; on a stand-in for " : "",
                        stand_in ? stand_in : "");
    return true;
}

/* Every trace in a folder. */
static bool put_folder(spak_str *out, rep_traces *traces, const char *folder, const char *machine, spak_error *err) {
    char **names = NULL;
    size_t count = 0;
    if (!spak_exists(folder)) return true;
    bool ok = spak_list_dir(folder, &names, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        char *dot = strstr(names[i], ".jsonl");
        if (!dot) continue;
        *dot = 0;
        ok = put_trace(out, traces, names[i], machine, err);
    }
    spak_names_free(names, count);
    return ok;
}

static bool put_traces(spak_str *out, const rep_place *place, spak_error *err) {
    rep_traces traces = {.place = place};
    spak_str path = {0};
    char **machines = NULL;
    size_t count = 0;
    spak_str_printf(&path, "%s/traces", place->out);
    bool ok = spak_str_ok(&path, err) && put_folder(out, &traces, path.data, "here", err);
    spak_str_clear(&path);
    rep_path(&path, place->root, "data/traces");
    ok = ok && spak_str_ok(&path, err) && (!spak_exists(path.data) || spak_list_dir(path.data, &machines, &count, err));
    for (size_t i = 0; ok && i < count; i++) {
        if (strchr(machines[i], '.') || !strcmp(machines[i], "LOCK")) continue;
        spak_str_clear(&path);
        rep_path(&path, place->root, "data/traces/");
        spak_str_puts(&path, machines[i]);
        ok = spak_str_ok(&path, err) && put_folder(out, &traces, path.data, machines[i], err);
    }
    spak_names_free(machines, count);
    spak_str_free(&path);
    rep_traces_free(&traces);
    return ok;
}

bool rep_status(const rep_place *place, spak_str *out, spak_error *err) {
    if (!put_machine(out, err) ||
        !put_tool(out, "figures", "gnuplot", "figures cannot be drawn: install gnuplot-nox", err) ||
        !put_tool(out, "book", "pandoc", "chapters cannot be woven: install pandoc", err))
        return false;
    put_peer(out);
    return put_traces(out, place, err) && spak_str_ok(out, err);
}
