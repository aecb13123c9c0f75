/* Between JSON and Lua values.
 *
 * An object is a table with string keys, an array a table with keys 1..n whose metatable marks it as an array, and null
 * is the sentinel `spak.null` (named `null` in expressions): a light userdata, so that an array keeps its length and an
 * object its keys. The way back needs no mark except for the empty table, which is an object unless it is marked by
 * `spak.array{}`. Integers stay integers and reals stay reals in both directions. */
#ifndef SPAK_LUA_CONVERT_H
#define SPAK_LUA_CONVERT_H

#include <lua.h>

#include "base/err.h"
#include "base/json.h"

enum { LUA_JSON_MAX_DEPTH = 200 };

/* Pushes one value. False, with nothing pushed, when value is NULL, nested deeper than 200 or the stack is full; raises
 * a Lua error when memory runs out, so call it inside a protected call. */
bool lua_push_json(lua_State *L, const json_t *value);

/* The value at index as JSON, a new reference in *out. Reads tables raw, calls no metamethod and raises nothing. Fails,
 * naming the path ("samples[3].time_ms: ..."), on a function or other value JSON has no form for, a table with gaps or
 * mixed keys, a cycle, NaN or an infinity, a string that is not UTF-8 or (as a key) holds a zero byte, and nesting
 * deeper than 200. */
bool lua_to_json(lua_State *L, int index, json_t **out, spak_error *err);

/* Makes the array mark and the null sentinel's metatable; lua_box_new calls it. Raises on lack of memory. */
void lua_convert_open(lua_State *L);
void lua_push_null(lua_State *L);
bool lua_is_null(lua_State *L, int index);
void lua_mark_array(lua_State *L, int index);

#endif
