/* spak.rng(seed): random numbers that can be drawn again. An object over the MT19937 of base/rng.h, so that a recipe
 * and a Python program with the same seed draw the same numbers:
 *
 *     r:uniform()        random.random()          r:uniform(a, b)   random.uniform(a, b)
 *     r:normal(mu, s)    random.gauss(mu, s)      r:below(n)        random.randrange(n), 0 to n - 1
 *     r:shuffle(list)    random.shuffle(list)     r:choice(list)    random.choice(list)
 *     r:choices(weights) random.choices(range(n), weights)[0] + 1, with n = #weights
 *
 * shuffle works in place and returns its argument. */
#include <math.h>

#include "base/rng.h"
#include "lua/box.h"

static const char *const TYPE = "spak.rng";

int box_rng_new(lua_State *L) {
    lua_Integer seed = luaL_checkinteger(L, 1);
    luaL_argcheck(L, seed >= 0, 1, "the seed must be an integer that is not negative");
    spak_mt_seed(lua_newuserdatauv(L, sizeof(spak_mt), 0), (uint64_t)seed);
    luaL_setmetatable(L, TYPE);
    return 1;
}

static spak_mt *self(lua_State *L) { return luaL_checkudata(L, 1, TYPE); }

static int uniform(lua_State *L) {
    spak_mt *mt = self(L);
    double low = luaL_optnumber(L, 2, 0), high = luaL_optnumber(L, 3, 1);
    luaL_argcheck(L, lua_gettop(L) != 2, 3, "expected no bounds or both");
    lua_pushnumber(L, low + (high - low) * spak_mt_random(mt));
    return 1;
}

static int normal(lua_State *L) {
    spak_mt *mt = self(L);
    lua_pushnumber(L, spak_mt_gauss(mt, luaL_optnumber(L, 2, 0), luaL_optnumber(L, 3, 1)));
    return 1;
}

static int below(lua_State *L) {
    spak_mt *mt = self(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 1, 2, "must be at least 1");
    lua_pushinteger(L, (lua_Integer)spak_mt_below(mt, (uint64_t)n));
    return 1;
}

static lua_Integer list_length(lua_State *L) {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    lua_box_charge(L, n);
    return n;
}

static int shuffle(lua_State *L) {
    spak_mt *mt = self(L);
    for (lua_Integer i = list_length(L); i > 1; i--) {
        lua_Integer j = (lua_Integer)spak_mt_below(mt, (uint64_t)i) + 1;
        lua_rawgeti(L, 2, i);
        lua_rawgeti(L, 2, j);
        lua_rawseti(L, 2, i);
        lua_rawseti(L, 2, j);
    }
    lua_settop(L, 2);
    return 1;
}

static int choice(lua_State *L) {
    spak_mt *mt = self(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    luaL_argcheck(L, n >= 1, 2, "the list is empty");
    lua_rawgeti(L, 2, (lua_Integer)spak_mt_below(mt, (uint64_t)n) + 1);
    return 1;
}

static int choices(lua_State *L) {
    spak_mt *mt = self(L);
    lua_Integer n = list_length(L);
    luaL_argcheck(L, n >= 1, 2, "the list is empty");
    double *weights = lua_newuserdatauv(L, (size_t)n * sizeof *weights, 0);
    double total = 0;
    for (lua_Integer i = 0; i < n; i++) {
        int is_number = 0;
        lua_rawgeti(L, 2, i + 1);
        weights[i] = lua_tonumberx(L, -1, &is_number);
        luaL_argcheck(L, is_number && weights[i] >= 0, 2, "a weight must be a number that is not negative");
        total += weights[i];
        lua_pop(L, 1);
    }
    luaL_argcheck(L, total > 0 && isfinite(total), 2, "the sum of the weights must be positive and finite");
    lua_pushinteger(L, (lua_Integer)spak_mt_choice_weighted(mt, weights, (size_t)n) + 1);
    return 1;
}

static const luaL_Reg METHODS[] = {{"uniform", uniform}, {"normal", normal},   {"below", below}, {"shuffle", shuffle},
                                   {"choice", choice},   {"choices", choices}, {NULL, NULL}};

void box_open_rng(lua_State *L) {
    luaL_newmetatable(L, TYPE);
    luaL_newlib(L, METHODS);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
