/* run:engine: a model that is written in Lua, trained and timed step by step.
 *
 *   run:engine{ label =, script = "experiments/microgpt/atom.lua",
 *               problem = {dataset = "names", steps = 1000, seed = 42, schedule = 1000},
 *               config = {variant = "atom"},
 *               samples = 20, temperature = 0.5, step_timeout_s = 60 }       -> the record
 *
 * The sandbox has no clock, so it is kept here. The script runs in a box of its own, which counts no instructions and
 * gives each call a deadline instead, and returns a table with `new`:
 *
 *   model = new(docs, rng)      docs: the lines of the data set; rng: spak.rng(problem.seed)
 *   model:step(i, schedule)     -> loss, for i = 1 .. steps; this is what is timed
 *   model:sample(temperature)   -> text
 *
 * schedule is the number of steps after which training would be over; without it, steps. A config makes the record one
 * side of a prediction, beside the operator's trials. The script's hash stands in the record, and it must be one of the
 * recipe's inputs, so that a change of it starts a new trace. A record: {label, script, script_sha256, problem,
 * samples, temperature, dataset; config, status, engine, step_ms: [each step], time_ms: [their mean], losses, names}.
 * The mean is what an operator's trial calls a sample, the time of a run over its steps; a median would be that of a
 * document of middling length. An engine that was killed begins again: its state is in no record. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/progress.h"
#include "data/data.h"
#include "device/trial.h"
#include "lua/api.h"
#include "lua/sandbox.h"

enum { MOST_STEPS = 1000000 };

typedef struct engine {
    const json_t *asked;
    const char *label, *script;
    long long steps, schedule, seed, samples;
    double temperature;
    const json_t *dataset; /* its description */
    lua_box *box;
    json_t *record;
} engine;

/* --- what was asked --- */

static const dev_member engine_members[] = {
    {"label", JSON_STRING, 0, 0, true},           {"script", JSON_STRING, 0, 0, true},
    {"config", JSON_OBJECT, 0, 0, false},         {"problem", JSON_OBJECT, 0, 0, true},
    {"samples", JSON_INTEGER, 0, 1e9, false},     {"temperature", JSON_REAL, 0, 1e9, false},
    {"step_timeout_s", JSON_REAL, 0, 1e6, false},
};
static const dev_member problem_members[] = {
    {"dataset", JSON_STRING, 0, 0, true},
    {"steps", JSON_INTEGER, 0, 1e9, true},
    {"schedule", JSON_INTEGER, 0, 1e9, false},
    {"seed", JSON_INTEGER, -1e15, 1e15, true},
};

static bool members_known(const engine *e, spak_error *err) {
    enum {
        ASKED = sizeof engine_members / sizeof *engine_members,
        PROBLEM = sizeof problem_members / sizeof *problem_members
    };
    return dev_members_check("run", "engine", e->asked, engine_members, ASKED, err) &&
           dev_members_check("run:engine", "problem", json_object_get(e->asked, "problem"), problem_members, PROBLEM,
                             err);
}

static bool read_asked(engine *e, const loop_run *run, spak_error *err) {
    if (!members_known(e, err)) return false;
    char hex[SPAK_SHA256_HEX + 1];
    const json_t *problem = json_object_get(e->asked, "problem");
    const char *dataset = spak_json_str(problem, "dataset", NULL);
    e->label = spak_json_str(e->asked, "label", NULL);
    e->script = spak_json_str(e->asked, "script", NULL);
    e->steps = spak_json_int(problem, "steps", 0);
    e->schedule = spak_json_int(problem, "schedule", e->steps);
    e->seed = spak_json_int(problem, "seed", -1);
    e->samples = spak_json_int(e->asked, "samples", 0);
    e->temperature = spak_json_num(e->asked, "temperature", 0.5);
    if (!e->label || !e->script || !dataset)
        return spak_fail(err, "engine: needs a label, a script and a problem with a dataset");
    if (e->steps < 1 || e->steps > MOST_STEPS || e->schedule < e->steps || e->seed < 0)
        return spak_fail(
            err,
            "engine %s: the problem needs steps, from 1 to %d, a schedule of no fewer and a seed that is not negative",
            e->script, MOST_STEPS);
    if (e->samples < 0 || e->samples > MOST_STEPS || !(e->temperature > 0))
        return spak_fail(err, "engine %s: samples must not be negative, and the temperature positive", e->script);
    if (!(spak_json_num(e->asked, "step_timeout_s", 1) > 0))
        return spak_fail(err, "engine %s: step_timeout_s must be positive", e->script);
    if (!spak_sha256_file(e->script, hex, err) || !lua_is_input(run, e->script, hex, err)) return false;
    e->dataset = lua_data_of(run, dataset, err);
    if (!e->dataset) return spak_fail_context(err, "engine %s", e->script);
    e->record = json_pack("{s:s, s:s, s:s, s:O, s:I, s:f}", "label", e->label, "script", e->script, "script_sha256",
                          hex, "problem", problem, "samples", (json_int_t)e->samples, "temperature", e->temperature);
    if (!e->record) return spak_fail_oom(err);
    json_t *config = json_object_get(e->asked, "config");
    return !config || (spak_json_set(e->record, "config", json_incref(config), err) &&
                       spak_json_set(e->record, "asked", json_incref(config), err));
}

/* --- its run --- */

/* new(docs, rng), as a C function so that what it allocates is under the box's limits. Upvalues: the bytes, the engine.
 */
static int make_model(lua_State *L) {
    const data_set *data = lua_touserdata(L, lua_upvalueindex(1));
    const engine *e = lua_touserdata(L, lua_upvalueindex(2));
    lua_Integer count = 0;
    if (!lua_istable(L, 1) || lua_getfield(L, 1, "new") != LUA_TFUNCTION)
        return luaL_error(L, "%s: an engine returns a table with a function `new`", e->script);
    lua_newtable(L);
    for (const char *at = data->bytes, *end = at + data->size; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        const char *next = newline ? newline + 1 : end;
        while (at < stop && strchr(" \t\r\f\v", *at)) at++;
        while (stop > at && strchr(" \t\r\f\v", stop[-1])) stop--;
        if (stop > at) {
            lua_pushlstring(L, at, (size_t)(stop - at));
            lua_rawseti(L, -2, ++count);
        }
        at = next;
    }
    lua_getglobal(L, "spak");
    lua_getfield(L, -1, "rng");
    lua_remove(L, -2);
    lua_pushinteger(L, e->seed);
    lua_call(L, 1, 1);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) return luaL_error(L, "%s: new(docs, rng) returns a model, a table", e->script);
    return 1;
}

/* Leaves the model alone on the box's stack. */
static bool open_model(engine *e, spak_error *err) {
    data_set *data = NULL;
    const char *dataset = spak_json_str(e->dataset, "name", "");
    lua_limits limits = {.max_seconds = spak_json_num(e->asked, "step_timeout_s", 60)};
    if (!lua_box_new(&limits, &e->box, err)) return false;
    lua_box_set_require_root(e->box, "experiments");
    if (!lua_box_run_file(e->box, e->script, err) || !data_open(dataset, &data, err)) return false;
    lua_State *L = lua_box_state(e->box);
    lua_pushlightuserdata(L, data);
    lua_pushlightuserdata(L, e);
    lua_pushcclosure(L, make_model, 2);
    lua_insert(L, 1);
    bool ok = lua_box_call(e->box, 1, 1, err) ||
              spak_fail_context(err, "engine %s, data set %s (%s)", e->script, dataset, data->origin);
    data_close(data);
    return ok;
}

/* model:NAME(...). Arguments: the model, the name's address, what else the method gets. */
static int call_method(lua_State *L) {
    const char *name = lua_touserdata(L, 2);
    if (lua_getfield(L, 1, name) != LUA_TFUNCTION) return luaL_error(L, "the model has no method `%s`", name);
    lua_pushvalue(L, 1);
    lua_replace(L, 2);
    lua_replace(L, 1); /* the function, the model, the rest */
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* Begins a call of a method; the caller pushes the arguments, and the result comes on top of the model. */
static lua_State *begin_call(engine *e, const char *name) {
    lua_State *L = lua_box_state(e->box);
    lua_settop(L, 1);
    lua_pushcfunction(L, call_method);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)name);
    return L;
}

static bool train(engine *e, spak_progress *bar, spak_error *err) {
    json_t *times, *losses;
    double sum = 0;
    if (!spak_json_set(e->record, "step_ms", times = json_array(), err)) return false;
    if (!spak_json_set(e->record, "losses", losses = json_array(), err)) return false;
    for (long long i = 1; i <= e->steps; i++) {
        char text[32];
        uint64_t begun = spak_now_ns();
        lua_State *L = begin_call(e, "step");
        lua_pushinteger(L, i);
        lua_pushinteger(L, e->schedule);
        bool ok = lua_box_call(e->box, 4, 1, err);
        double ms = (double)(spak_now_ns() - begun) * 1e-6;
        double loss = ok && lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
        if (ok && !isfinite(loss)) ok = spak_fail(err, "the loss is not a finite number");
        if (!ok) return spak_fail_context(err, "engine %s, step %lld", e->script, i);
        if (json_array_append_new(times, json_real(ms)) || json_array_append_new(losses, json_real(loss)))
            return spak_fail_oom(err);
        sum += ms;
        snprintf(text, sizeof text, "loss %.4f", loss);
        spak_progress_step(bar, text);
    }
    return spak_json_set(e->record, "time_ms", json_pack("[f]", sum / (double)e->steps), err);
}

static bool draw(engine *e, spak_progress *bar, spak_error *err) {
    json_t *names = json_array();
    if (!spak_json_set(e->record, "names", names, err)) return false;
    for (long long i = 1; i <= e->samples; i++) {
        size_t len = 0;
        lua_State *L = begin_call(e, "sample");
        lua_pushnumber(L, e->temperature);
        bool ok = lua_box_call(e->box, 3, 1, err);
        const char *text = ok && lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        if (ok && (!text || strlen(text) != len || spak_first_bad_utf8(text, len) != len))
            ok = spak_fail(err, "a sample is a text, found a %s", luaL_typename(L, -1));
        if (!ok) return spak_fail_context(err, "engine %s, sample %lld", e->script, i);
        if (json_array_append_new(names, json_string(text))) return spak_fail_oom(err);
        spak_progress_step(bar, text);
    }
    return true;
}

bool lua_engine(loop_run *run, const json_t *asked, const json_t **record, spak_error *err) {
    engine e = {.asked = asked};
    bool ok = read_asked(&e, run, err);
    *record = ok ? loop_find(run, "evaluate", e.record) : NULL;
    if (ok && !*record) {
        spak_progress bar;
        ok = loop_ticket_check(run, err) && open_model(&e, err) &&
             spak_json_set(e.record, "engine", json_string(LUA_RELEASE), err) &&
             spak_json_set(e.record, "dataset", json_incref((json_t *)e.dataset), err);
        if (ok) {
            spak_progress_begin(&bar, e.label, (long)(e.steps + e.samples));
            ok = train(&e, &bar, err) && draw(&e, &bar, err) &&
                 spak_json_set(e.record, "status", json_string("ok"), err);
            spak_progress_end(&bar);
        }
        ok = ok && loop_record(run, "evaluate", json_incref(e.record), record, err);
    }
    lua_box_free(e.box);
    json_decref(e.record);
    return ok;
}
