/* Backtick expressions.
 *
 * An expression is compiled once as `return (code)` and kept by its text. Each evaluation gets a new table with the
 * variables, whose metatable looks every other name up in the library and raises an error for a name that is in
 * neither: in a rule's condition a misspelt variable must not pass for nil. The table becomes the chunk's _ENV.
 *
 * Why nothing leaks from one evaluation to the next: an expression can hold assignments after all, inside of a function
 * body, but all that it can reach is its own new tables, values without state, and library tables that are empty
 * proxies whose real table is out of reach (no rawset, no getmetatable, no setmetatable). Functions that change a table
 * (table.insert, sort, ...) are left out. Even an assignment to _ENV ends with the evaluation, since the next one sets
 * that variable anew.
 *
 * The cache is emptied when it is full, which is cheaper than to keep an order of use, and programs do not hold
 * thousands of expressions. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/box.h"
#include "lua/convert.h"

enum { CACHE_SIZE = 4096, MAX_CODE = 64 * 1024, EXPR_ALLOC_SHIFT = 2, EXPR_INSTRUCTIONS = 1000000 };
static const size_t EXPR_MEMORY = (size_t)64 << 20;

static const char cache_tag, env_meta_tag; /* registry keys */
static const char CHUNK[] = "=expression";

/* --- helpers of the library --- */

/* The numbers of the list at index 1 as a C array inside a userdata, pushed; *n is their count, at least 1. */
static double *numbers_of(lua_State *L, lua_Integer *n) {
    luaL_checktype(L, 1, LUA_TTABLE);
    *n = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, *n >= 1, 1, "the list is empty");
    lua_box_charge(L, *n);
    double *x = lua_newuserdatauv(L, (size_t)*n * sizeof *x, 0);
    for (lua_Integer i = 0; i < *n; i++) {
        if (lua_rawgeti(L, 1, i + 1) != LUA_TNUMBER || isnan(lua_tonumber(L, -1)))
            luaL_error(L, "value %I of the list is not a number", (LUAI_UACINT)i + 1);
        x[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return x;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between order statistics, as R's type 7 and numpy's default. */
static int push_quantile(lua_State *L, double q) {
    lua_Integer n;
    double *x = numbers_of(L, &n);
    lua_box_charge(L, n * 8);
    qsort(x, (size_t)n, sizeof *x, ascending);
    double at = q * (double)(n - 1);
    lua_Integer low = (lua_Integer)at, high = low + 1 < n ? low + 1 : low;
    double share = at - (double)low;
    lua_pushnumber(L, share > 0 ? x[low] + share * (x[high] - x[low]) : x[low]);
    return 1;
}

static int median(lua_State *L) { return push_quantile(L, 0.5); }

static int quantile(lua_State *L) {
    double q = luaL_checknumber(L, 2);
    luaL_argcheck(L, q >= 0 && q <= 1, 2, "must be from 0 to 1");
    return push_quantile(L, q);
}

static int mean(lua_State *L) {
    lua_Integer n;
    const double *x = numbers_of(L, &n);
    double sum = 0;
    for (lua_Integer i = 0; i < n; i++) sum += x[i];
    lua_pushnumber(L, sum / (double)n);
    return 1;
}

static int contains(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    bool found = false;
    lua_box_charge(L, n);
    for (lua_Integer i = 1; !found && i <= n; i++) {
        lua_rawgeti(L, 1, i);
        found = lua_rawequal(L, -1, 2);
        lua_pop(L, 1);
    }
    lua_pushboolean(L, found);
    return 1;
}

/* min and max take numbers, or one list of them. */
static int extreme(lua_State *L, int sign) {
    bool list = lua_istable(L, 1);
    lua_Integer n = list ? (lua_Integer)lua_rawlen(L, 1) : lua_gettop(L);
    luaL_argcheck(L, n >= 1, 1, "expected at least one number");
    if (list) lua_box_charge(L, n);
    for (lua_Integer i = 1; i <= n; i++) {
        if (list) {
            lua_rawgeti(L, 1, i);
        } else {
            lua_pushvalue(L, (int)i);
        }
        if (lua_type(L, -1) != LUA_TNUMBER) luaL_error(L, "value %I is not a number", (LUAI_UACINT)i);
        if (i == 1) continue;
        int best = sign < 0 ? lua_compare(L, -1, -2, LUA_OPLT) : lua_compare(L, -2, -1, LUA_OPLT);
        if (best) lua_replace(L, -2);
        if (!best) lua_pop(L, 1);
    }
    return 1;
}

static int min_of(lua_State *L) { return extreme(L, -1); }
static int max_of(lua_State *L) { return extreme(L, 1); }

static const luaL_Reg HELPERS[] = {
    {"median", median}, {"mean", mean}, {"quantile", quantile}, {"contains", contains}, {"min", min_of},
    {"max", max_of},    {NULL, NULL}};

/* --- the frozen library --- */

static int frozen(lua_State *L) { return luaL_error(L, "the library cannot be changed"); }

/* Replaces the table on top by an empty proxy of it that cannot be written. */
static void freeze(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, frozen);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* Copies the listed members of the table on top to the table below it. */
static void take(lua_State *L, const char *const *names) {
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
}

/* __index of the variables: upvalue 1 is the library. */
static int look_up(lua_State *L) {
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    return luaL_error(L, "there is no variable or function '%s'; the caller gives the variables by name",
                      lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

void box_open_expressions(lua_State *L) {
    static const char *const base[] = {"assert",   "error",    "ipairs", "pairs", "select",
                                       "tonumber", "tostring", "type",   NULL};
    static const char *const numbers[] = {"abs", "ceil", "exp", "floor", "log", "sqrt", NULL};
    static const char *const lists[] = {"concat", "unpack", NULL};
    static const char *const libraries[] = {"string", "math", "utf8"};
    lua_newtable(L);
    int lib = lua_gettop(L);
    lua_pushglobaltable(L);
    take(L, base);
    lua_getfield(L, -1, "math");
    lua_replace(L, -2);
    take(L, numbers);
    lua_settop(L, lib);
    luaL_setfuncs(L, HELPERS, 0);
    lua_push_null(L);
    lua_setfield(L, lib, "null");
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_newtable(L);
        lua_pushglobaltable(L);
        lua_getfield(L, -1, libraries[i]);
        lua_replace(L, -2);
        for (lua_pushnil(L); lua_next(L, -2);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_settable(L, -5);
        }
        lua_pop(L, 1);
        freeze(L);
        lua_setfield(L, lib, libraries[i]);
    }
    lua_newtable(L);
    lua_getglobal(L, "table");
    take(L, lists);
    lua_pop(L, 1);
    freeze(L);
    lua_setfield(L, lib, "table");

    lua_createtable(L, 0, 2);
    lua_pushvalue(L, lib);
    lua_pushcclosure(L, look_up, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &env_meta_tag);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_tag);
    lua_settop(L, lib - 1);
}

/* --- evaluation --- */

typedef struct job {
    lua_box *box;
    const char *code;
    size_t len;
    const json_t *env;
    box_budget budget; /* for the run itself */
} job;

typedef struct piece {
    const char *text;
    size_t len;
} piece;

static const char *read_piece(lua_State *L, void *ctx, size_t *len) {
    piece **next = ctx;
    (void)L;
    *len = (*next)->len;
    return *len ? (*next)++->text : NULL;
}

static int load_between(lua_State *L, const char *before, const job *j, const char *after) {
    piece pieces[] = {{before, strlen(before)}, {j->code, j->len}, {after, strlen(after)}, {NULL, 0}}, *next = pieces;
    return lua_load(L, read_piece, &next, CHUNK, "t");
}

/* Pushes the compiled function. Compiled without parentheses first, where the parser's message reads better; the
 * parentheses then see to one value and keep `return` apart from code that closes it. */
static void compile(lua_State *L, const job *j) {
    if (load_between(L, "return ", j, "") != LUA_OK) lua_error(L);
    lua_pop(L, 1);
    if (load_between(L, "return (", j, "\n)") != LUA_OK)
        luaL_error(L, "expected one expression: not empty, not several with commas, no statement");
}

/* The function for the code, from the cache or new. */
static void push_compiled(lua_State *L, const job *j) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_tag);
    lua_pushlstring(L, j->code, j->len);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        compile(L, j);
        if (j->box->cached >= CACHE_SIZE) {
            lua_newtable(L);
            lua_pushvalue(L, -1);
            lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_tag);
            lua_replace(L, -4);
            j->box->cached = 0;
        }
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
        j->box->cached++;
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static void push_variables(lua_State *L, const json_t *env) {
    if (!env) {
        lua_newtable(L);
    } else if (!lua_push_json(L, env)) {
        luaL_error(L, "the variables are nested deeper than %d levels", LUA_JSON_MAX_DEPTH);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &env_meta_tag);
    lua_setmetatable(L, -2);
}

static int evaluate(lua_State *L) {
    job *j = lua_touserdata(L, 1);
    push_compiled(L, j);
    push_variables(L, j->env);
    lua_setupvalue(L, -2, 1); /* _ENV */
    lua_pushvalue(L, -1);
    j->box->now = j->budget;
    lua_call(L, 0, 1);
    lua_pushnil(L);
    lua_setupvalue(L, -3, 1); /* the cache must not keep the variables alive */
    return 1;
}

static box_budget budget_within(const lua_box *box, const box_budget *outer) {
    box_budget inner = *outer;
    if (outer->left >= EXPR_INSTRUCTIONS) inner.left = inner.instructions = EXPR_INSTRUCTIONS;
    if (box->used < outer->ceiling && outer->ceiling - box->used > EXPR_MEMORY) {
        inner.ceiling = box->used + EXPR_MEMORY;
        inner.memory = EXPR_MEMORY;
    }
    inner.alloc_shift = EXPR_ALLOC_SHIFT;
    return inner;
}

/* Runs the job on a smaller budget and takes what it used from the outer one. The value is left on the stack. A limit
 * of the expression's own is an ordinary error to the program around it; one of the program's own stays in force. */
static bool run(lua_box *box, job *j, spak_error *err) {
    lua_State *L = box->L;
    box_budget outer = box->now;
    j->budget = budget_within(box, &outer);
    box->now.left = LLONG_MAX / 2; /* preparation is ours, not the expression's */
    box->refused = BOX_RUNS;
    lua_pushcfunction(L, evaluate);
    lua_pushlightuserdata(L, j);
    int status = lua_pcall(L, 1, 1, 0);
    if (box->now.alloc_shift == EXPR_ALLOC_SHIFT) outer.left -= j->budget.left - box->now.left;
    if (status != LUA_OK) {
        snprintf(box->where, sizeof box->where, "the expression");
        box_describe(box, status, err);
    }
    bool inner_only = (box->tripped == BOX_INSTRUCTIONS && outer.left > 0) || box->tripped == BOX_HEAP ||
                      (box->tripped == BOX_MEMORY && j->budget.ceiling < outer.ceiling);
    if (inner_only) box_forgive(box);
    box->now = outer;
    return status == LUA_OK;
}

static void blame(const char *code, const char *where, spak_error *err) {
    static const char prefix[] = "expression:";
    if (!err) return;
    char *message = err->message, *text = message;
    if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
        char *after = strstr(text, ": ");
        if (after) memmove(message, after + 2, strlen(after + 2) + 1);
    }
    spak_fail_context(err, "%s: in `%.200s`%s", where ? where : "expression", code, strlen(code) > 200 ? "..." : "");
}

bool lua_box_eval(lua_box *box, const char *code, const char *where, const json_t *env, json_t **out, spak_error *err) {
    job j = {.box = box, .code = code, .len = strlen(code), .env = env};
    bool good = false;
    *out = NULL;
    box_enter(box);
    if (j.len > MAX_CODE) {
        spak_fail(err, "the expression is longer than %d bytes", MAX_CODE);
    } else if (env && !json_is_object(env)) {
        spak_fail(err, "the variables of an expression must come as an object");
    } else if (!lua_checkstack(box->L, 12)) {
        spak_fail_oom(err);
    } else if (run(box, &j, err)) {
        good = lua_to_json(box->L, -1, out, err);
        lua_pop(box->L, 1);
    }
    box_leave(box);
    if (!good) blame(code, where, err);
    return good;
}

static bool eval(void *ctx, const char *code, const char *where, const json_t *env, json_t **out, spak_error *err) {
    return lua_box_eval(ctx, code, where, env, out, err);
}

spak_evaluator lua_box_evaluator(lua_box *box) { return (spak_evaluator){.ctx = box, .eval = eval}; }
