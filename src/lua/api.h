/* What the files of the recipe API share. */
#ifndef SPAK_LUA_API_H
#define SPAK_LUA_API_H

#include <lua.h>

#include "loop/loop.h"
#include "report/report.h"

/* Pushes the object `run` for a recipe's experiment(run). It must not be used after loop_close. */
void lua_push_run(lua_State *L, loop_run *run);

/* What a report function works on. */
typedef struct lua_report {
    rep_place place;
    const char *name;    /* of the experiment */
    const char *machine; /* "here", or the archived machine's id */
    json_t *records;
    json_t *values; /* filled by report:value */
} lua_report;
void lua_push_report(lua_State *L, lua_report *report);

/* Raises err's message as a Lua error. */
int lua_raise(lua_State *L, const spak_error *err);

/* What data_describe said of a data set when the run was opened. Fails unless the recipe names it in its `data`, for
 * only then does another content of it start a new trace. */
const json_t *lua_data_of(const loop_run *run, const char *name, spak_error *err);

/* Fails unless the recipe's `inputs` hold the file of the project at this path (as it stands there) with this hash:
 * only then does a change of it start a new trace and make this one stale. */
bool lua_is_input(const loop_run *run, const char *path, const char *sha256, spak_error *err);

/* Argument `index` (a table) as JSON; raises when it cannot be. An absent or nil argument gives NULL. */
json_t *lua_json_argument(lua_State *L, int index);

/* api_engine.c and api_program.c: the steps run:engine and run:program on their decoded argument (an object). An equal
 * earlier record of the trace is returned instead of a new run. Both need a valid ticket. *record is borrowed. */
bool lua_engine(loop_run *run, const json_t *asked, const json_t **record, spak_error *err);
bool lua_program(loop_run *run, const json_t *asked, const json_t **record, spak_error *err);

#endif
