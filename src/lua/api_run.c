/* The object `run` of a recipe's experiment(run):
 *
 *   run.name run.profile run.out run.seed   texts and a number
 *   run.hw run.system                       tables: the machine, the system's meaning
 *   run:plan() run:gate() run:hypothesise() run:settle()
 *   run:tune()                              every problem of the system's engineering_loop
 *   run:tune{label=, problem=, start=, options=, max_trials=}   -> best configuration
 *            starts= instead of start=: a list, and the search goes on from the best of them
 *   run:best(label)                         the best configuration that a search with this label ended at, or nil
 *   run:problem(name) run:options()         the system's problem; the profile's options, and its budget of trials
 *   run:evaluate{label=, config=, problem=, options=}           -> the trial's record
 *   run:evaluate_all{{label=, ...}, ...}    many of them, one on each core (problem.threads = 1) -> their records
 *   run:mutate()                            the gate on each of the operator's planted faults
 *   run:study(name, options)                one of the operator's studies -> its record
 *   run:engine{label=, script=, problem=, ...}   times a model in Lua (api_engine.c) -> its record
 *   run:program{label=, command=, ...}           a peer that is a program (api_program.c) -> its record
 *   run:crystallise(file)                   writes OUT/NAME/file
 *
 * Every step traces itself, and every step that stands in the trace already is not done again. */
#include <lauxlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "device/trial.h"
#include "lua/api.h"
#include "lua/convert.h"

static const char TYPE[] = "spak.run";

int lua_raise(lua_State *L, const spak_error *err) { return luaL_error(L, "%s", err->message); }

json_t *lua_json_argument(lua_State *L, int index) {
    spak_error err = {0};
    json_t *value = NULL;
    if (lua_isnoneornil(L, index)) return NULL;
    luaL_checktype(L, index, LUA_TTABLE);
    if (!lua_to_json(L, index, &value, &err)) lua_raise(L, &err);
    return value;
}

const json_t *lua_data_of(const loop_run *run, const char *name, spak_error *err) {
    size_t i;
    json_t *description;
    json_array_foreach(run->data, i, description) {
        if (!strcmp(spak_json_str(description, "name", ""), name)) return description;
    }
    spak_fail(err, "the result depends on the data set %s, so name it in the recipe's `data`", name);
    return NULL;
}

bool lua_is_input(const loop_run *run, const char *path, const char *hex, spak_error *err) {
    size_t i;
    json_t *input;
    json_array_foreach(run->inputs, i, input) {
        if (strcmp(spak_json_str(input, "path", ""), path) != 0) continue;
        if (!strcmp(spak_json_str(input, "sha256", ""), hex)) return true;
        return spak_fail(err, "%s changed while the experiment ran; run it again", path);
    }
    return spak_fail(err, "%s: the result depends on it, so name it in the recipe's `inputs`", path);
}

static loop_run *self(lua_State *L) { return *(loop_run **)luaL_checkudata(L, 1, TYPE); }

typedef bool (*step)(loop_run *run, spak_error *err);

static int do_step(lua_State *L, step function) {
    spak_error err = {0};
    return function(self(L), &err) ? 0 : lua_raise(L, &err);
}

static int run_plan(lua_State *L) { return do_step(L, loop_plan); }
static int run_gate(lua_State *L) { return do_step(L, loop_gate); }
static int run_hypothesise(lua_State *L) { return do_step(L, loop_hypothesise); }
static int run_settle(lua_State *L) { return do_step(L, loop_settle); }
static int run_mutate(lua_State *L) { return do_step(L, loop_mutate); }

static int run_crystallise(lua_State *L) {
    loop_run *run = self(L);
    const char *file = luaL_checkstring(L, 2);
    spak_error err = {0};
    spak_str path = {0};
    if (strchr(file, '/')) return luaL_error(L, "crystallise: '%s' must be a file name without a folder", file);
    spak_str_printf(&path, "%s/%s/%s", run->out_dir, run->name, file);
    bool ok = spak_str_ok(&path, &err) && loop_crystallise(run, path.data, &err);
    spak_str_free(&path);
    return ok ? 0 : lua_raise(L, &err);
}

/* The members of a call's table argument, as JSON. */
typedef struct call {
    json_t *all;
    const char *label;
    const json_t *config, *problem, *options;
} call;

static const dev_member evaluate_members[] = {{"label", JSON_STRING, 0, 0, true},
                                              {"config", JSON_OBJECT, 0, 0, false},
                                              {"problem", JSON_OBJECT, 0, 0, true},
                                              {"options", JSON_OBJECT, 0, 0, false}};
static const dev_member tune_members[] = {
    {"label", JSON_STRING, 0, 0, true},    {"start", JSON_OBJECT, 0, 0, false},
    {"starts", JSON_ARRAY, 0, 0, false},   {"problem", JSON_OBJECT, 0, 0, true},
    {"options", JSON_OBJECT, 0, 0, false}, {"max_trials", JSON_INTEGER, 1, 1000000, false}};

static call call_arguments(lua_State *L, const char *function, const dev_member *members, size_t count) {
    spak_error err = {0};
    json_t *all = lua_json_argument(L, 2);
    if (!dev_members_check("run", function, all, members, count, &err)) {
        json_decref(all);
        lua_raise(L, &err);
    }
    call c = {.all = all, .label = spak_json_str(all, "label", NULL)};
    c.config = json_object_get(all, "config");
    c.problem = json_object_get(all, "problem");
    c.options = json_object_get(all, "options");
    return c;
}

static void push_or_raise(lua_State *L, bool ok, const json_t *value, json_t *owned, const spak_error *err) {
    bool pushed = ok && lua_push_json(L, value);
    json_decref(owned);
    if (!ok) lua_raise(L, err);
    if (!pushed) luaL_error(L, "a result could not be handed to the recipe");
}

static int run_tune(lua_State *L) {
    loop_run *run = self(L);
    if (lua_isnoneornil(L, 2)) return do_step(L, loop_tune_system);
    call c = call_arguments(L, "tune", tune_members, sizeof tune_members / sizeof *tune_members);
    spak_error err = {0};
    json_t *best = NULL;
    const json_t *starts = json_object_get(c.all, "starts");
    bool ok = loop_tune(run, c.label, starts ? starts : json_object_get(c.all, "start"), c.problem, c.options,
                        (int)spak_json_int(c.all, "max_trials", 20), &best, &err);
    json_decref(c.all);
    push_or_raise(L, ok, best, best, &err);
    return 1;
}

static int run_best(lua_State *L) {
    loop_run *run = self(L);
    json_t *like = json_pack("{s:s}", "label", luaL_checkstring(L, 2));
    const json_t *converged = like ? loop_find(run, "converge", like) : NULL;
    json_decref(like);
    if (!converged) return 0;
    push_or_raise(L, true, json_object_get(converged, "best"), NULL, NULL);
    return 1;
}

static int run_problem(lua_State *L) {
    spak_error err = {0};
    json_t *problem = NULL;
    bool ok = loop_system_problem(self(L), luaL_checkstring(L, 2), &problem, &err);
    push_or_raise(L, ok, problem, problem, &err);
    return 1;
}

static int run_options(lua_State *L) {
    spak_error err = {0};
    json_t *options = NULL;
    int max_trials = 0;
    bool ok = loop_system_options(self(L), &options, &max_trials, &err);
    push_or_raise(L, ok, options, options, &err);
    lua_pushinteger(L, max_trials);
    return 2;
}

static int run_evaluate(lua_State *L) {
    loop_run *run = self(L);
    call c = call_arguments(L, "evaluate", evaluate_members, sizeof evaluate_members / sizeof *evaluate_members);
    spak_error err = {0};
    const json_t *record = NULL;
    json_t *none = c.config ? NULL : json_object();
    loop_asked asked = {c.label, c.config ? c.config : none, c.problem, c.options};
    bool ok = loop_trial(run, "evaluate", &asked, &record, &err);
    json_decref(none);
    push_or_raise(L, ok, record, c.all, &err);
    return 1;
}

static bool evaluate_list(loop_run *run, const json_t *list, json_t *records, spak_error *err) {
    const size_t count = json_array_size(list);
    loop_asked *asked = spak_calloc(count + 1, sizeof *asked);
    const json_t **found = spak_calloc(count + 1, sizeof *found);
    json_t *none = json_object();
    bool ok = (asked && found && none && records) || spak_fail_oom(err);
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *one = json_array_get(list, i), *config = json_object_get(one, "config");
        ok = dev_members_check("run", "evaluate_all", one, evaluate_members,
                               sizeof evaluate_members / sizeof *evaluate_members, err);
        asked[i] = (loop_asked){spak_json_str(one, "label", NULL), config ? config : none,
                                json_object_get(one, "problem"), json_object_get(one, "options")};
    }
    ok = ok && loop_trials(run, "evaluate", asked, count, found, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = json_array_append(records, (json_t *)found[i]) == 0 || spak_fail_oom(err);
    json_decref(none);
    spak_free(found);
    spak_free(asked);
    return ok;
}

static int run_evaluate_all(lua_State *L) {
    loop_run *run = self(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    json_t *list = lua_json_argument(L, 2), *records = json_array();
    spak_error err = {0};
    bool ok = (!json_object_size(list) || spak_fail(&err, "evaluate_all: expected a list of trials")) &&
              evaluate_list(run, list, records, &err);
    json_decref(list);
    push_or_raise(L, ok, records, records, &err);
    return 1;
}

static int run_study(lua_State *L) {
    loop_run *run = self(L);
    const char *name = luaL_checkstring(L, 2);
    json_t *options = lua_json_argument(L, 3);
    spak_error err = {0};
    const json_t *record = NULL;
    bool ok = loop_study(run, name, options, &record, &err);
    push_or_raise(L, ok, record, options, &err);
    return 1;
}

typedef bool (*step_of_call)(loop_run *run, const json_t *asked, const json_t **record, spak_error *err);

static int record_of(lua_State *L, step_of_call function) {
    loop_run *run = self(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    json_t *asked = lua_json_argument(L, 2);
    spak_error err = {0};
    const json_t *record = NULL;
    bool ok = function(run, asked, &record, &err);
    push_or_raise(L, ok, record, asked, &err);
    return 1;
}

static int run_engine(lua_State *L) { return record_of(L, lua_engine); }
static int run_program(lua_State *L) { return record_of(L, lua_program); }

static int run_index(lua_State *L) {
    loop_run *run = self(L);
    const char *key = luaL_checkstring(L, 2);
    if (luaL_getmetafield(L, 1, "methods") == LUA_TTABLE && lua_getfield(L, -1, key) != LUA_TNIL) return 1;
    if (!strcmp(key, "name"))
        lua_pushstring(L, run->name);
    else if (!strcmp(key, "profile"))
        lua_pushstring(L, run->profile);
    else if (!strcmp(key, "out"))
        lua_pushstring(L, run->out_dir);
    else if (!strcmp(key, "seed"))
        lua_pushinteger(L, run->seed);
    else if (!strcmp(key, "hw"))
        push_or_raise(L, true, run->hw, NULL, NULL);
    else if (!strcmp(key, "system"))
        push_or_raise(L, true, run->system, NULL, NULL);
    else
        return luaL_error(L, "run has no member '%s'", key);
    return 1;
}

static const luaL_Reg methods[] = {{"plan", run_plan},
                                   {"gate", run_gate},
                                   {"hypothesise", run_hypothesise},
                                   {"settle", run_settle},
                                   {"crystallise", run_crystallise},
                                   {"tune", run_tune},
                                   {"best", run_best},
                                   {"problem", run_problem},
                                   {"options", run_options},
                                   {"evaluate", run_evaluate},
                                   {"evaluate_all", run_evaluate_all},
                                   {"mutate", run_mutate},
                                   {"study", run_study},
                                   {"engine", run_engine},
                                   {"program", run_program},
                                   {NULL, NULL}};

void lua_push_run(lua_State *L, loop_run *run) {
    *(loop_run **)lua_newuserdatauv(L, sizeof run, 0) = run;
    if (luaL_newmetatable(L, TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "methods");
        lua_pushcfunction(L, run_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}
