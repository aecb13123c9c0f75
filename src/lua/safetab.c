/* table.* with an end. The stock functions loop up to a length that a table may only claim to have (by __len, or by a
 * few members at powers of two), where no count hook sees them; here the steps are charged first and __len is refused.
 * concat and move may go through gigabytes, or through nothing at all for as long, so they are ours and ask for the
 * deadline at each step.
 * table.sort is a merge sort: stable, and without the stock one's pivot from the clock. */
#include "lua/box.h"

/* The length of the list at index 1, whose members a call will visit. */
static lua_Integer plain_length(lua_State *L, const char *name) {
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        luaL_error(L, "table.%s needs a list without __len in its metatable", name);
    return (lua_Integer)lua_rawlen(L, 1);
}

/* Calls the stock function (upvalue 1) on all arguments. */
static int call_stock(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int safe_insert(lua_State *L) {
    lua_Integer n = plain_length(L, "insert");
    if (lua_gettop(L) == 3) {
        lua_Integer at = luaL_checkinteger(L, 2);
        if (at >= 1 && at <= n) lua_box_charge(L, n - at);
    }
    return call_stock(L);
}

static int safe_remove(lua_State *L) {
    lua_Integer n = plain_length(L, "remove");
    if (lua_gettop(L) > 1) {
        lua_Integer at = luaL_checkinteger(L, 2);
        if (at >= 1 && at <= n) lua_box_charge(L, n - at);
    }
    return call_stock(L);
}

/* first..last inclusive; the subtraction cannot overflow in unsigned arithmetic. */
static void charge_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (last < first) return;
    lua_Unsigned steps = (lua_Unsigned)last - (lua_Unsigned)first;
    lua_box_charge(L, steps > (lua_Unsigned)LUA_MAXINTEGER ? LUA_MAXINTEGER : (long long)steps);
}

static int safe_concat(lua_State *L) {
    size_t len;
    lua_Integer n = plain_length(L, "concat");
    const char *between = luaL_optlstring(L, 2, "", &len);
    lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, n);
    charge_range(L, first, last);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = first; i <= last; i++) {
        box_poll(L);
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
        luaL_addvalue(&b);
        if (i == last) break; /* which may be the largest integer */
        luaL_addlstring(&b, between, len);
    }
    luaL_pushresult(&b);
    return 1;
}

/* move(from, first, last, at [, to]): in the order that no overlap spoils. */
static int safe_move(lua_State *L) {
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), at = luaL_checkinteger(L, 4);
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, to, LUA_TTABLE);
    charge_range(L, first, last);
    if (last < first) return lua_pushvalue(L, to), 1;
    luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
    lua_Integer n = last - first + 1;
    luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
    bool downwards = at > first && at <= last && lua_rawequal(L, 1, to);
    for (lua_Integer k = 0; k < n; k++) {
        lua_Integer i = downwards ? n - 1 - k : k;
        box_poll(L);
        lua_geti(L, 1, first + i);
        lua_seti(L, to, at + i);
    }
    lua_pushvalue(L, to);
    return 1;
}

/* --- sort --- */

/* Is a < b? Stack: 1 list, 2 comparison or nil. */
static bool less(lua_State *L, int a, int b) {
    if (lua_isnil(L, 2)) return lua_compare(L, a, b, LUA_OPLT);
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool result = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return result;
}

/* Merges from[lo..mid) and from[mid..hi) (1-based) into the same place of `to`; of equals the left one goes first. */
static void merge(lua_State *L, int from, int to, lua_Integer lo, lua_Integer mid, lua_Integer hi) {
    lua_Integer left = lo, right = mid;
    for (lua_Integer k = lo; k < hi; k++) {
        box_poll(L); /* the comparison may be a library function too */
        bool take_right = left >= mid;
        if (left < mid && right < hi) {
            lua_rawgeti(L, from, left);
            lua_rawgeti(L, from, right);
            take_right = less(L, -1, -2);
            lua_pop(L, 2);
        }
        lua_rawgeti(L, from, take_right ? right++ : left++);
        lua_rawseti(L, to, k);
    }
}

static int safe_sort(lua_State *L) {
    lua_Integer n = plain_length(L, "sort");
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_box_charge(L, n);
    if (n > 1 << 30) return luaL_error(L, "table.sort: a list of %I values is too long", (LUAI_UACINT)n);
    lua_createtable(L, (int)n, 0);
    int from = 1, to = 3;
    for (lua_Integer width = 1; width < n; width *= 2) {
        lua_box_charge(L, n);
        for (lua_Integer lo = 1; lo <= n; lo += 2 * width) {
            lua_Integer mid = lo + width < n + 1 ? lo + width : n + 1;
            merge(L, from, to, lo, mid, mid + width < n + 1 ? mid + width : n + 1);
        }
        int kept = from;
        from = to;
        to = kept;
    }
    for (lua_Integer i = 1; from == 3 && i <= n; i++) {
        lua_rawgeti(L, 3, i);
        lua_rawseti(L, 1, i);
    }
    return 0;
}

static const luaL_Reg WRAPPED[] = {{"insert", safe_insert}, {"remove", safe_remove}, {NULL, NULL}};
static const luaL_Reg OURS[] = {{"concat", safe_concat}, {"move", safe_move}, {"sort", safe_sort}, {NULL, NULL}};

void box_open_table(lua_State *L) {
    for (const luaL_Reg *f = WRAPPED; f->name; f++) {
        lua_getfield(L, -1, f->name);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -3, f->name);
    }
    for (const luaL_Reg *f = OURS; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -3, f->name);
    }
}
