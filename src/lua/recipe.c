/* Running a recipe, and reporting on its traces. Two boxes: one runs the recipe, the other evaluates the backticks of
 * the systems that the recipe drives, so that neither can reach into the other. */
#include "lua/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "data/data.h"
#include "lua/api.h"
#include "lua/sandbox.h"

typedef struct recipe {
    const lua_recipe_options *options;
    lua_box *box, *expressions;
    char *name, *system, *report;
    json_t *inputs; /* paths */
    json_t *data;   /* names of data sets */
    long long seed;
    spak_error elsewhere; /* why this machine cannot run the experiment; empty: it can */
} recipe;

/* The string member of the table on the stack top. */
static bool member(recipe *r, const char *key, char **out, spak_error *err) {
    lua_State *L = lua_box_state(r->box);
    if (lua_getfield(L, -1, key) == LUA_TSTRING) *out = spak_strdup(lua_tostring(L, -1));
    bool found = lua_type(L, -1) == LUA_TSTRING;
    lua_pop(L, 1);
    if (!found) return spak_fail(err, "%s: the recipe's table has no text `%s`", r->options->recipe, key);
    return *out || spak_fail_oom(err);
}

/* `data`: the list of names in the table on the stack top, or nothing. A slip here would run without the data set. */
static bool data_names(recipe *r, spak_error *err) {
    lua_State *L = lua_box_state(r->box);
    int type = lua_getfield(L, -1, "data");
    bool good = type == LUA_TTABLE || type == LUA_TNIL;
    r->data = json_array();
    lua_Integer count = type == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
    for (lua_Integer i = 1; good && i <= count; i++) {
        good = lua_rawgeti(L, -1, i) == LUA_TSTRING;
        if (good && json_array_append_new(r->data, json_string(lua_tostring(L, -1)))) return spak_fail_oom(err);
        lua_pop(L, 1);
    }
    if (type == LUA_TTABLE && good)
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) count--; /* nothing beside the list */
    good = good && count == 0;
    return good || spak_fail(err, "%s: expected `data` to be a list of names of data sets, such as { \"names\" }",
                             r->options->recipe);
}

/* Loads the recipe; its table stays on the box's stack. */
static bool load(recipe *r, spak_error *err) {
    lua_State *L = lua_box_state(r->box);
    lua_box_set_require_root(r->box, "experiments");
    if (!lua_box_run_file(r->box, r->options->recipe, err)) return false;
    if (!lua_istable(L, -1))
        return spak_fail(err, "%s: a recipe returns a table (see CONTRIBUTING.md)", r->options->recipe);
    if (!member(r, "name", &r->name, err) || !member(r, "system", &r->system, err) ||
        !member(r, "report", &r->report, err))
        return false;
    bool function = lua_getfield(L, -1, "experiment") == LUA_TFUNCTION;
    lua_pop(L, 1);
    if (!function) return spak_fail(err, "%s: the recipe's table has no function `experiment`", r->options->recipe);
    lua_getfield(L, -1, "seed");
    r->seed = lua_tointeger(L, -1);
    lua_pop(L, 1);
    r->inputs = json_array();
    json_array_append_new(r->inputs, json_string(r->options->recipe));
    if (lua_getfield(L, -1, "inputs") == LUA_TTABLE)
        for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++, lua_pop(L, 1))
            json_array_append_new(r->inputs, json_string(lua_tostring(L, -1)));
    lua_settop(L, 1);
    bool good = data_names(r, err);
    lua_settop(L, 1);
    return good;
}

/* Downloads a data set that is not here. That it fails is no error: there may be a stand-in, and if there is none,
 * opening the run says so. */
static void fetch(const json_t *set) {
    const char *name = spak_json_str(set, "name", ""), *builtin = spak_json_str(set, "builtin", NULL);
    const char *offline = getenv("SPAK_DATA_OFFLINE");
    spak_error cause = {0};
    if (offline && *offline && strcmp(offline, "0") != 0) {
        spak_fail(&cause, "%s is not here, and SPAK_DATA_OFFLINE forbids fetching it", name);
    } else {
        fprintf(stderr, "data set %s: fetching %s\n", name, spak_json_str(set, "url", ""));
        if (data_fetch(set, &cause)) return;
    }
    fprintf(stderr, "data set %s\n", cause.message);
    if (builtin)
        fprintf(stderr, "data set %s: there is its stand-in %s; results on it are not results on the data set\n", name,
                builtin);
}

static bool prepare_data(const recipe *r, spak_error *err) {
    json_t *sets = NULL;
    size_t count = json_array_size(r->data);
    if (!count) return true;
    bool ok = data_manifest(".", &sets, err);
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *set = NULL;
        ok = data_find(sets, json_string_value(json_array_get(r->data, i)), &set, err) ||
             spak_fail_context(err, "%s", r->options->recipe);
        if (ok && data_absent(set)) fetch(set);
    }
    json_decref(sets);
    return ok;
}

enum { MOST = 64 };

/* The texts of an array, borrowed. */
static bool list_texts(const recipe *r, const json_t *texts, const char *what, const char *list[MOST],
                       spak_error *err) {
    if (json_array_size(texts) > MOST) return spak_fail(err, "%s: more than %d %s", r->options->recipe, MOST, what);
    for (size_t i = 0; i < json_array_size(texts); i++) list[i] = json_string_value(json_array_get(texts, i));
    return true;
}

static bool open_run(recipe *r, loop_run **run, spak_error *err) {
    const char *inputs[MOST], *data[MOST];
    if (!list_texts(r, r->inputs, "inputs", inputs, err) || !list_texts(r, r->data, "data sets", data, err))
        return false;
    loop_spec spec = {.name = r->name,
                      .profile = r->options->profile,
                      .system_path = r->system,
                      .out_dir = r->options->out_dir,
                      .inputs = inputs,
                      .num_inputs = json_array_size(r->inputs),
                      .data = data,
                      .num_data = json_array_size(r->data),
                      .seed = r->seed,
                      .eval = lua_box_evaluator(r->expressions)};
    return loop_open(&spec, run, err);
}

static bool experiment(recipe *r, spak_error *err) {
    loop_run *run = NULL;
    lua_State *L = lua_box_state(r->box);
    if (r->elsewhere.message[0]) {
        fprintf(stderr, "%s: not run here: %s; its report uses the archived traces\n", r->name, r->elsewhere.message);
        return true;
    }
    if (!prepare_data(r, err) || !open_run(r, &run, err)) return false;
    bool ok = true;
    if (run->note) fprintf(stderr, "%s\n", run->note);
    if (run->torn_bytes)
        fprintf(stderr, "%s: %zu bytes of a torn last line were cut off\n", trace_path(run->trace), run->torn_bytes);
    if (run->complete) {
        if (!run->note) fprintf(stderr, "%s: complete and up to date\n", trace_path(run->trace));
    } else {
        lua_getfield(L, 1, "experiment");
        lua_push_run(L, run);
        ok = lua_box_call(r->box, 1, 0, err) && loop_end(run, err);
    }
    loop_close(run);
    return ok;
}

/* Half a run can be reported on, but not without a word. */
static void warn_of_half(const char *path, const json_t *records) {
    const size_t count = json_array_size(records);
    const json_t *last = count ? json_array_get(records, count - 1) : NULL;
    if (!strcmp(spak_json_str(last, "kind", ""), "end")) return;
    fprintf(
        stderr,
        "%s ends at record %zu without the end of its run: tables and figures show what is there; finish the run, or "
        "restore an archived trace (`spak trace lock --check data/traces/LOCK`)\n",
        path, count);
}

/* Calls the report function (on the stack top, which stays) on one trace. */
static bool report_on(recipe *r, const char *path, const char *machine, spak_error *err) {
    lua_State *L = lua_box_state(r->box);
    lua_report report = {.place = {.root = ".", .out = r->options->out_dir}, .name = r->name, .machine = machine};
    if (!trace_read(path, &report.records, NULL, err)) return false;
    warn_of_half(path, report.records);
    report.values = json_object();
    lua_pushvalue(L, -1);
    lua_push_report(L, &report);
    bool ok = rep_place_keep(&report.place, err) &&
              (lua_box_call(r->box, 1, 0, err) || spak_fail_context(err, "report on %s", path));
    json_t *spec =
        ok ? json_pack("{s:s, s:s, s:O}", "name", r->name, "machine", machine, "values", report.values) : NULL;
    ok = ok && rep_values_write(&report.place, spec, err);
    json_decref(spec);
    rep_place_release(&report.place);
    json_decref(report.values);
    json_decref(report.records);
    return ok;
}

/* Finds data/traces/MACHINE/NAME.jsonl[.gz]; false when this machine has none. */
static bool archived(const char *machine, const char *name, spak_str *path) {
    static const char *const suffixes[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        spak_str_clear(path);
        spak_str_printf(path, "data/traces/%s/%s.jsonl%s", machine, name, suffixes[i]);
        if (!path->oom && spak_exists(path->data)) return true;
    }
    return false;
}

static bool reports(recipe *r, spak_error *err) {
    char **machines = NULL;
    size_t count = 0, found = 0;
    spak_str path = {0};
    if (!lua_box_run_file(r->box, r->report, err)) return false;
    spak_str_printf(&path, "%s/traces/%s.jsonl", r->options->out_dir, r->name);
    bool ok = spak_str_ok(&path, err);
    if (ok && spak_exists(path.data)) {
        ok = report_on(r, path.data, "here", err);
        found++;
    }
    ok = ok && (!spak_exists("data/traces") || spak_list_dir("data/traces", &machines, &count, err));
    for (size_t i = 0; ok && i < count; i++) {
        if (!archived(machines[i], r->name, &path)) continue;
        ok = report_on(r, path.data, machines[i], err);
        found++;
    }
    if (ok && !found && r->elsewhere.message[0])
        fprintf(stderr, "%s: nothing to report: no archived trace in data/traces, and it cannot run here: %s\n",
                r->name, r->elsewhere.message);
    else if (ok && !found)
        ok = spak_fail(err, "no trace of %s, neither in %s/traces nor archived in data/traces; run `make reproduce`",
                       r->name, r->options->out_dir);
    spak_names_free(machines, count);
    spak_str_free(&path);
    return ok;
}

/* Where the operator lacks its machine (a GPU) only traces from elsewhere can be reported on. */
static bool find_machine(recipe *r, spak_error *err) {
    bool here = false;
    spak_error why = {0};
    if (!loop_runs_here(r->system, &here, &why, err)) return false;
    if (!here) r->elsewhere = why;
    return true;
}

bool lua_recipe_run(const lua_recipe_options *options, spak_error *err) {
    recipe r = {.options = options};
    if (!spak_exists("dsl/claims.dsl"))
        return spak_fail(err, "this is not the project's root (there is no dsl/claims.dsl here); change to it first");
    spak_sweep_temporaries(options->out_dir);
    bool ok = lua_box_new(NULL, &r.box, err) && lua_box_new(NULL, &r.expressions, err) && load(&r, err) &&
              find_machine(&r, err) && (options->report_only || experiment(&r, err)) &&
              (options->experiment_only || reports(&r, err));
    lua_box_free(r.box);
    lua_box_free(r.expressions);
    spak_free(r.name);
    spak_free(r.system);
    spak_free(r.report);
    json_decref(r.inputs);
    json_decref(r.data);
    return ok;
}
