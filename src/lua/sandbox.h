/* The sandbox that recipes and backtick expressions run in: Lua 5.4 without the outside world, without hidden state and
 * with an end.
 *
 * What a recipe sees: the base functions, string, table, math and utf8, `require` below one folder, and the table
 * `spak`, which holds `null`, `array` and `rng` from the start and to which src/lua/api*.c adds the rest. What it does
 * not see: os, io, debug, package, coroutine, load and its kin, string.dump/pack/unpack, collectgarbage. Nothing a
 * program can ask for depends on an address, a clock or a hash seed: pairs and next go in sorted order, tostring of a
 * table is "table", table.sort is stable, random numbers come from spak.rng(seed).
 *
 * An expression sees less: its variables over a frozen library (see expr.c).
 *
 * A box serves one thread. Its functions may be called from inside a C function that the same box is running (a recipe
 * that calls a C function that evaluates an expression): such inner calls draw on the outer call's limits. */
#ifndef SPAK_LUA_SANDBOX_H
#define SPAK_LUA_SANDBOX_H

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

#include "base/err.h"
#include "base/eval.h"
#include "base/json.h"

typedef struct lua_box lua_box;

/* Limits of one outermost call. 0 takes the default: 2e9 instructions, 1 GiB. An expression never gets more than 1e6
 * instructions and 64 MiB on top of what the box holds when it begins, and never more than these limits. Memory that is
 * allocated counts as instructions too (64 bytes one instruction in a recipe, 4 bytes in an expression), and so do the
 * steps of library functions that loop, so that no call can run long behind the counter's back.
 *
 * Counting each instruction halves Lua's speed. With max_seconds above 0 only allocations and library functions are
 * counted, and the call fails when it has taken that long: for code whose time is the result. One such call at a time
 * in a process; it takes SIGALRM. */
typedef struct lua_limits {
    long long max_instructions;
    size_t max_memory_bytes;
    double max_seconds;
} lua_limits;

/* limits may be NULL (all defaults). On success *box is to be freed with lua_box_free. Fails when memory runs out. */
bool lua_box_new(const lua_limits *limits, lua_box **box, spak_error *err);
void lua_box_free(lua_box *box);

/* The state, for registering functions in the global table `spak`. Use it inside a protected call: an API function
 * that allocates raises a Lua error when memory runs out. */
lua_State *lua_box_state(lua_box *box);

/* Loads a chunk, text only, and runs it; its first return value (nil if none) is left on the stack, nothing on failure.
 * Errors give file:line and the innermost callers. A limit that was hit is reported and cannot be caught inside; the
 * box can be used again afterwards. Globals that the chunk sets stay for the next chunk. */
bool lua_box_run_file(lua_box *box, const char *path, spak_error *err);
bool lua_box_run_text(lua_box *box, const char *chunk_name, const char *text, size_t len, spak_error *err);

/* Calls the function below its nargs arguments on top of the stack, as lua_call does, under the limits. On success
 * nresults values (or all with LUA_MULTRET) are in place of function and arguments; on failure nothing is. */
bool lua_box_call(lua_box *box, int nargs, int nresults, spak_error *err);

/* The folder below which `require "lib.stats"` finds lib/stats.lua. Without one, require fails. */
void lua_box_set_require_root(lua_box *box, const char *folder);

/* Evaluates the expression `code`. The members of env (an object or NULL) are its variables; a name that is neither a
 * variable nor in the library is an error, not nil. *out is a new reference; nil gives JSON null. Errors begin with
 * `where`. Nothing an expression does can be seen by a later one. Compiled code is cached by its text. */
bool lua_box_eval(lua_box *box, const char *code, const char *where, const json_t *env, json_t **out, spak_error *err);

/* The same as a table for the floors below (base/eval.h); valid as long as the box. */
spak_evaluator lua_box_evaluator(lua_box *box);

/* For C functions that loop: counts `steps` as instructions and raises the limit error when the budget is spent. Only
 * inside a function that Lua called. */
void lua_box_charge(lua_State *L, long long steps);

#endif
