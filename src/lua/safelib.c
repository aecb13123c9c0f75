/* The library of a recipe: new tables into which only what is on the lists below is copied from the stock library, so
 * that what a later Lua adds stays out, with replacements for what would let in chance, addresses or unbounded work. */
#include <limits.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "lua/box.h"
#include "lua/convert.h"

/* --- text of a value --- */

/* What luaL_tolstring gives, without addresses: "table", or the __name of its metatable. */
const char *box_tostring(lua_State *L, int index, size_t *len) {
    int type = lua_type(L, index);
    bool plain = type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
    if (plain || luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        if (!plain) lua_pop(L, 1);
        return luaL_tolstring(L, index, len);
    }
    int name = luaL_getmetafield(L, index, "__name");
    if (name != LUA_TSTRING) {
        if (name != LUA_TNIL) lua_pop(L, 1);
        lua_pushstring(L, luaL_typename(L, index));
    }
    return lua_tolstring(L, -1, len);
}

static int safe_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    box_tostring(L, 1, NULL);
    return 1;
}

static int safe_print(lua_State *L) {
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++) {
        size_t len;
        const char *text = box_tostring(L, i, &len);
        if (i > 1) fputc('\t', stdout);
        fwrite(text, 1, len, stdout);
        lua_pop(L, 1);
    }
    fputc('\n', stdout);
    fflush(stdout);
    return 0;
}

/* --- sorted traversal --- */

/* A key that has an order: numbers come before strings. text is alive as long as the key is in the table. */
typedef struct key {
    const char *text; /* NULL: a number */
    size_t len;
    bool integer;
    lua_Integer i;
    lua_Number n;
} key;

static int order(const void *pa, const void *pb) {
    const key *a = pa, *b = pb;
    if (!a->text != !b->text) return a->text ? 1 : -1;
    if (a->text) {
        int by_bytes = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
        return by_bytes ? by_bytes : (a->len > b->len) - (a->len < b->len);
    }
    if (a->integer && b->integer) return (a->i > b->i) - (a->i < b->i);
    if (a->integer == b->integer) return (a->n > b->n) - (a->n < b->n);
    /* A real that is a key equals no integer: Lua makes those integers. So equality after rounding means 2^63. */
    double x = a->integer ? (double)a->i : a->n, y = b->integer ? (double)b->i : b->n;
    return x != y ? (x > y ? 1 : -1) : (a->integer ? -1 : 1);
}

static key key_at(lua_State *L, int index) {
    key k = {0};
    if (lua_type(L, index) == LUA_TSTRING) {
        k.text = lua_tolstring(L, index, &k.len);
    } else if (lua_type(L, index) == LUA_TNUMBER) {
        k.integer = lua_isinteger(L, index);
        if (k.integer) {
            k.i = lua_tointeger(L, index);
        } else {
            k.n = lua_tonumber(L, index);
        }
    } else {
        luaL_error(L, "a table with a key of type %s has no fixed order; use numbers or strings as keys",
                   luaL_typename(L, index));
    }
    return k;
}

static void push_key(lua_State *L, const key *k) {
    if (k->text) {
        lua_pushlstring(L, k->text, k->len);
    } else if (k->integer) {
        lua_pushinteger(L, k->i);
    } else {
        lua_pushnumber(L, k->n);
    }
}

/* Upvalues: the sorted keys. Arguments of the iterator: table, last key. The position is a third upvalue. */
static int next_sorted(lua_State *L) {
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
    lua_settop(L, 1);
    for (;;) {
        lua_pushinteger(L, ++at);
        lua_replace(L, lua_upvalueindex(2));
        if (lua_rawgeti(L, lua_upvalueindex(1), at) == LUA_TNIL) return 1;
        lua_pushvalue(L, 2);
        if (lua_rawget(L, 1) != LUA_TNIL) return 2; /* else it was removed on the way */
        lua_settop(L, 1);
    }
}

static int safe_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t n = 0, i = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) n++;
    lua_box_charge(L, (long long)n * 4);
    key *keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0); /* Lua frees it if an error is raised */
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) keys[i++] = key_at(L, -2);
    qsort(keys, n, sizeof *keys, order);
    lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
    for (i = 0; i < n; i++) {
        push_key(L, &keys[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_sorted, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* next(t, k): the smallest key above k. One pass over the table a call: meant for "is it empty", loops use pairs. */
static int safe_next(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    bool first = lua_isnil(L, 2), found = false;
    key after = {0}, best = {0};
    if (!first) after = key_at(L, 2);
    long long n = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        key k = key_at(L, -2);
        n++;
        if ((!first && order(&k, &after) <= 0) || (found && order(&k, &best) >= 0)) continue;
        best = k;
        found = true;
    }
    lua_box_charge(L, n);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    push_key(L, &best);
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    return 2;
}

/* --- errors --- */

/* A limit passes through; everything else is caught as usual. */
static void pass_limit_on(lua_State *L, int status) {
    box_trip why = box_limit_behind(L, status);
    if (why) box_trip_and_raise(L, why);
}

static int safe_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    pass_limit_on(L, status);
    if (status == LUA_OK) return lua_gettop(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int safe_xpcall(lua_State *L) {
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushboolean(L, 1); /* the results begin with true */
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
    int status = lua_pcall(L, n - 2, LUA_MULTRET, 2);
    pass_limit_on(L, status);
    if (status == LUA_OK) return lua_gettop(L) - 2;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* --- metatables --- */

/* Finalizers run at the whim of the collector, outside of any limit; weak tables lose members at its whim. */
static int safe_setmetatable(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        static const char *const forbidden[] = {"__gc", "__mode"};
        for (int i = 0; i < 2; i++) {
            lua_pushstring(L, forbidden[i]);
            if (lua_rawget(L, 2) != LUA_TNIL)
                return luaL_error(L, "a metatable with %s is not allowed here: its effect depends on the collector",
                                  forbidden[i]);
            lua_pop(L, 1);
        }
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* --- require --- */

static const char loaded_tag;

/* "lib.stats" -> "lib/stats"; names of a-z, 0-9, _ with single dots between them cannot leave the folder. */
static bool module_path(const char *name, size_t n, char path[256]) {
    if (n == 0 || n >= 250 || name[0] == '.' || name[n - 1] == '.' || strstr(name, "..")) return false;
    if (strlen(name) != n || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") != n) return false;
    for (size_t i = 0; i <= n; i++) path[i] = name[i] == '.' ? '/' : name[i];
    return true;
}

/* Finds the file of a module and sees that no link leads out of the root. */
static void find_module(lua_State *L, char real[BOX_PATH]) {
    lua_box *box = box_of(L);
    size_t len;
    const char *name = lua_tolstring(L, 1, &len);
    char relative[256], joined[BOX_PATH + 300], root[BOX_PATH];
    if (!module_path(name, len, relative))
        luaL_error(L, "require: '%s' is no module name; use names of a-z, 0-9 and _ with dots between them", name);
    if (!box->require_root[0]) luaL_error(L, "require: no folder to load modules from was set for this program");
    snprintf(joined, sizeof joined, "%s/%s.lua", box->require_root, relative);
    if (!realpath(box->require_root, root)) luaL_error(L, "require: the folder %s does not exist", box->require_root);
    if (!realpath(joined, real)) luaL_error(L, "require: '%s' not found; there is no file %s", name, joined);
    size_t n = strlen(root);
    if (strncmp(real, root, n) != 0 || (root[n - 1] != '/' && real[n] != '/'))
        luaL_error(L, "require: %s is a link that leads out of %s", joined, root);
    snprintf(real, BOX_PATH, "%.*s", BOX_PATH - 1, joined);
}

static int safe_require(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    char path[BOX_PATH];
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_tag);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL) {
        if (lua_is_null(L, -1)) return luaL_error(L, "require: '%s' is being loaded; modules require each other", name);
        return 1;
    }
    find_module(L, path);
    spak_error why;
    spak_str text = {0};
    bool good = spak_read_file(path, &text, &why);
    if (good) {
        spak_str chunk = {0};
        spak_str_printf(&chunk, "@%s", path);
        good = spak_str_ok(&chunk, &why) &&
               box_load(box_of(L), spak_str_text(&chunk), spak_str_text(&text), text.len, &why);
        spak_str_free(&chunk);
    }
    spak_str_free(&text);
    if (!good) return luaL_error(L, "require: %s", why.message);
    lua_pushvalue(L, 1);
    lua_push_null(L);
    lua_rawset(L, 2);
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    bool returned = status == LUA_OK && !lua_isnil(L, -1);
    lua_pushvalue(L, 1);
    if (returned) {
        lua_pushvalue(L, -2);
    } else if (status == LUA_OK) {
        lua_pushboolean(L, 1);
    } else {
        lua_pushnil(L);
    }
    lua_rawset(L, 2);
    if (status != LUA_OK) {
        lua_settop(L, 4);
        pass_limit_on(L, status);
        return lua_error(L);
    }
    if (!returned) lua_pushboolean(L, 1);
    return 1;
}

/* --- math --- */

static int no_random(lua_State *L) {
    return luaL_error(L, "math.random draws numbers that cannot be drawn again; use spak.rng(seed)");
}

/* --- building --- */

static const char *const BASE[] = {"assert", "error",  "getmetatable", "ipairs",   "rawequal", "rawget",
                                   "rawlen", "rawset", "select",       "tonumber", "type",     NULL};
static const luaL_Reg BASE_SAFE[] = {{"tostring", safe_tostring},
                                     {"print", safe_print},
                                     {"pairs", safe_pairs},
                                     {"next", safe_next},
                                     {"pcall", safe_pcall},
                                     {"xpcall", safe_xpcall},
                                     {"require", safe_require},
                                     {"setmetatable", safe_setmetatable},
                                     {NULL, NULL}};
static const char *const STRING[] = {"byte", "char", "len", "lower", "reverse", "sub", "upper", NULL};
static const char *const TABLE[] = {"pack", "unpack", NULL};
static const char *const MATH[] = {"abs", "acos",       "asin", "atan", "ceil", "cos",        "deg",
                                   "exp", "floor",      "fmod", "huge", "log",  "maxinteger", "max",
                                   "min", "mininteger", "modf", "pi",   "rad",  "sin",        "sqrt",
                                   "tan", "tointeger",  "type", "ult",  NULL};
static const luaL_Reg MATH_SAFE[] = {{"random", no_random}, {"randomseed", no_random}, {NULL, NULL}};
static const char *const UTF8[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};

/* From the stock table on top into the table at `into`. */
static void copy_names(lua_State *L, int into, const char *const *names) {
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, into, *names);
    }
}

static int mark_array(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_mark_array(L, 1);
    return 1;
}

/* Leaves a new table for the library `name` on the stack: listed stock functions, then the safe ones. */
static void make_library(lua_State *L, lua_CFunction open, const char *const *names, const luaL_Reg *safe,
                         void (*more)(lua_State *)) {
    lua_newtable(L);
    int into = lua_gettop(L);
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    copy_names(L, into, names);
    if (more) more(L); /* stock table on top, ours below */
    lua_settop(L, into);
    if (safe) luaL_setfuncs(L, safe, 0);
}

/* luaopen_string gave all strings a metatable whose __index is the stock library; ours takes its place, and nobody can
 * get at it. The table is the methods' own: a recipe that changes its `string` changes no method. */
static void protect_strings(lua_State *L) {
    make_library(L, luaopen_string, STRING, NULL, box_open_string);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void box_open_library(lua_State *L) {
    lua_newtable(L);
    int G = lua_gettop(L);
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    copy_names(L, G, BASE);
    lua_settop(L, G);
    luaL_setfuncs(L, BASE_SAFE, 0);
    lua_pushvalue(L, G);
    lua_setfield(L, G, "_G");

    make_library(L, luaopen_string, STRING, NULL, box_open_string);
    lua_setfield(L, G, "string");
    make_library(L, luaopen_table, TABLE, NULL, box_open_table);
    lua_setfield(L, G, "table");
    make_library(L, luaopen_math, MATH, MATH_SAFE, NULL);
    lua_setfield(L, G, "math");
    make_library(L, luaopen_utf8, UTF8, NULL, NULL);
    lua_setfield(L, G, "utf8");
    protect_strings(L);
    lua_settop(L, G);

    lua_newtable(L);
    lua_push_null(L);
    lua_setfield(L, -2, "null");
    lua_pushcfunction(L, mark_array);
    lua_setfield(L, -2, "array");
    box_open_rng(L);
    lua_pushcfunction(L, box_rng_new);
    lua_setfield(L, -2, "rng");
    lua_setfield(L, G, "spak");

    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_tag);
}
