/* string.* with an end: rep and format here, the functions that take patterns over our own matcher in pattern.c. */
#include <string.h>

#include "lua/box.h"

/* Stock rep loops n times even over nothing; of something, the memory limit ends it. */
static int safe_rep(lua_State *L) {
    size_t len, between;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &between);
    if (n <= 1 || len + between == 0) {
        lua_pushlstring(L, n < 1 ? "" : text, n < 1 ? 0 : len);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* Stock format, without %p and without the addresses that %s shows of tables. */
static int safe_format(lua_State *L) {
    const char *format = luaL_checkstring(L, 1);
    int top = lua_gettop(L), arg = 1;
    for (const char *p = format; (p = strchr(p, '%')) != NULL; p++) {
        p++;
        if (*p == '%') continue;
        p += strspn(p, "-+ #0123456789.");
        if (!*p) break;
        if (*p == 'p') return luaL_error(L, "string.format: %%p shows an address, which no run repeats; use %%s");
        if (++arg > top || *p != 's') continue;
        box_tostring(L, arg, NULL);
        lua_replace(L, arg);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, 1);
    return 1;
}

void box_open_string(lua_State *L) {
    static const luaL_Reg wrapped[] = {{"rep", safe_rep}, {"format", safe_format}, {NULL, NULL}};
    for (const luaL_Reg *f = wrapped; f->name; f++) {
        lua_getfield(L, -1, f->name);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -3, f->name);
    }
}
