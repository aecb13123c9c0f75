#include "lua/convert.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* Their addresses are the sentinel and the registry key of the array mark. */
static const char null_tag, array_tag;

void lua_push_null(lua_State *L) { lua_pushlightuserdata(L, (void *)&null_tag); }

bool lua_is_null(lua_State *L, int index) { return lua_touserdata(L, index) == &null_tag; }

static int null_tostring(lua_State *L) {
    lua_pushliteral(L, "null");
    return 1;
}

void lua_convert_open(lua_State *L) {
    lua_push_null(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, null_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);

    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_tag);
}

void lua_mark_array(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_tag);
    lua_setmetatable(L, index);
}

static bool is_marked_array(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_tag);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* --- JSON to Lua --- */

static bool push_value(lua_State *L, const json_t *value, int depth) {
    if (!value || depth > LUA_JSON_MAX_DEPTH || !lua_checkstack(L, 4)) return false;
    switch (json_typeof(value)) {
        case JSON_OBJECT: {
            const char *key;
            json_t *member;
            lua_createtable(L, 0, (int)json_object_size(value));
            json_object_foreach((json_t *)value, key, member) {
                lua_pushstring(L, key);
                if (!push_value(L, member, depth + 1)) {
                    lua_pop(L, 2);
                    return false;
                }
                lua_rawset(L, -3);
            }
            return true;
        }
        case JSON_ARRAY:
            lua_createtable(L, (int)json_array_size(value), 0);
            for (size_t i = 0; i < json_array_size(value); i++) {
                if (!push_value(L, json_array_get(value, i), depth + 1)) {
                    lua_pop(L, 1);
                    return false;
                }
                lua_rawseti(L, -2, (lua_Integer)i + 1);
            }
            lua_mark_array(L, -1);
            return true;
        case JSON_STRING: lua_pushlstring(L, json_string_value(value), json_string_length(value)); return true;
        case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); return true;
        case JSON_REAL: lua_pushnumber(L, json_real_value(value)); return true;
        case JSON_TRUE:
        case JSON_FALSE: lua_pushboolean(L, json_is_true(value)); return true;
        case JSON_NULL: lua_push_null(L); return true;
    }
    return false;
}

bool lua_push_json(lua_State *L, const json_t *value) { return push_value(L, value, 0); }

/* --- Lua to JSON --- */

/* The way from the outermost table to the value at hand, for messages and to find cycles; lives on the C stack. */
typedef struct step {
    const struct step *up;
    const void *table; /* the table that holds the value */
    const char *key;   /* NULL: index */
    lua_Integer index;
} step;

static void put_path(const step *at, spak_str *out) {
    if (!at) return;
    put_path(at->up, out);
    if (at->key) {
        spak_str_printf(out, "%s%s", out->len ? "." : "", at->key);
    } else {
        spak_str_printf(out, "[%lld]", (long long)at->index);
    }
}

static bool refuse(const step *at, spak_error *err, const char *what) {
    spak_str path = {0};
    put_path(at, &path);
    /* The tail tells more than the head of a path that would fill the message. */
    const char *text = path.len ? spak_str_text(&path) : "value";
    if (path.len > 300) text = spak_str_text(&path) + path.len - 300;
    spak_fail(err, "%s: %s", text, what);
    spak_str_free(&path);
    return false;
}

static bool to_value(lua_State *L, int index, const step *at, int depth, json_t **out, spak_error *err);

static bool to_array(lua_State *L, int index, lua_Integer count, const step *up, int depth, json_t **out,
                     spak_error *err) {
    json_t *array = json_array();
    if (!array) return spak_fail_oom(err);
    step at = {.up = up, .table = lua_topointer(L, index)};
    for (lua_Integer i = 1; i <= count; i++) {
        json_t *member = NULL;
        at.index = i;
        lua_rawgeti(L, index, i);
        bool good = to_value(L, lua_gettop(L), &at, depth + 1, &member, err);
        lua_pop(L, 1);
        if (good && json_array_append_new(array, member) != 0) good = spak_fail_oom(err);
        if (!good) {
            json_decref(array);
            return false;
        }
    }
    *out = array;
    return true;
}

typedef struct shape {
    size_t count;           /* members */
    bool array, object;     /* all keys are integers / strings */
    lua_Integer beyond;     /* an integer key outside of 1..count, or 0 */
    const char *other_kind; /* the type of a key that is neither, or NULL */
    bool zero_byte;         /* a string key holds a zero byte or is not UTF-8 */
} shape;

/* UTF-8 as jansson wants it: shortest form, no surrogates, up to U+10FFFF. */
static bool is_utf8(const char *text, size_t len) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        unsigned char c = s[i++];
        if (c < 0x80) continue;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || len - i < (size_t)more) return false;
        if ((c == 0xe0 && s[i] < 0xa0) || (c == 0xed && s[i] > 0x9f)) return false;
        if ((c == 0xf0 && s[i] < 0x90) || (c == 0xf4 && s[i] > 0x8f)) return false;
        while (more--)
            if ((s[i++] & 0xc0) != 0x80) return false;
    }
    return true;
}

static shape shape_of(lua_State *L, int index) {
    shape s = {.array = true, .object = true};
    lua_Integer largest = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        s.count++;
        if (lua_type(L, -2) == LUA_TSTRING) {
            size_t len;
            const char *key = lua_tolstring(L, -2, &len);
            s.array = false;
            if (strlen(key) != len || !is_utf8(key, len)) s.zero_byte = true;
        } else if (lua_isinteger(L, -2)) {
            lua_Integer key = lua_tointeger(L, -2);
            s.object = false;
            if (key < 1) s.beyond = key ? key : -1;
            if (key > largest) largest = key;
        } else {
            s.other_kind = lua_type(L, -2) == LUA_TNUMBER ? "a number that is no integer" : luaL_typename(L, -2);
        }
    }
    if (largest > (lua_Integer)s.count) s.beyond = largest;
    return s;
}

/* Among several members that cannot be converted the one with the first key is named, so that the message does not
 * depend on the order of a hash table. */
static bool to_object(lua_State *L, int index, const step *up, int depth, json_t **out, spak_error *err) {
    json_t *object = json_object();
    if (!object) return spak_fail_oom(err);
    step at = {.up = up, .table = lua_topointer(L, index)};
    const char *failed = NULL;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        json_t *member = NULL;
        spak_error why;
        at.key = lua_tostring(L, -2);
        bool good = to_value(L, lua_gettop(L), &at, depth + 1, &member, &why);
        if (good && json_object_set_new_nocheck(object, at.key, member) != 0) good = spak_fail_oom(&why);
        if (good || (failed && strcmp(failed, at.key) < 0)) continue;
        failed = at.key;
        if (err) *err = why;
    }
    if (failed) {
        json_decref(object);
        return false;
    }
    *out = object;
    return true;
}

static bool to_table(lua_State *L, int index, const step *at, int depth, json_t **out, spak_error *err) {
    char text[160];
    if (depth >= LUA_JSON_MAX_DEPTH) return refuse(at, err, "nested deeper than 200 levels; flatten it");
    for (const step *s = at; s; s = s->up)
        if (s->table == lua_topointer(L, index)) return refuse(at, err, "the table contains itself; break the cycle");
    if (!lua_checkstack(L, 4)) return spak_fail_oom(err);
    shape s = shape_of(L, index);
    bool marked = is_marked_array(L, index);
    if (s.other_kind) {
        snprintf(text, sizeof text, "a table with a key of type %s; use strings, or 1 to n", s.other_kind);
        return refuse(at, err, text);
    }
    if (s.count == 0) {
        *out = marked ? json_array() : json_object();
        return *out ? true : spak_fail_oom(err);
    }
    if (!s.array && (marked || !s.object))
        return refuse(at, err, "a table with both positions and names as keys; use one kind, or two tables");
    if (s.array && s.beyond) {
        snprintf(text, sizeof text, "a list of %zu values with a hole: it has the key %lld; fill holes with spak.null",
                 s.count, (long long)s.beyond);
        return refuse(at, err, text);
    }
    if (s.zero_byte) return refuse(at, err, "a key that is not UTF-8 text without zero bytes");
    return s.array ? to_array(L, index, (lua_Integer)s.count, at, depth, out, err)
                   : to_object(L, index, at, depth, out, err);
}

static bool to_value(lua_State *L, int index, const step *at, int depth, json_t **out, spak_error *err) {
    char text[120];
    size_t len;
    switch (lua_type(L, index)) {
        case LUA_TNIL: *out = json_null(); return true;
        case LUA_TBOOLEAN: *out = json_boolean(lua_toboolean(L, index)); return true;
        case LUA_TNUMBER:
            if (lua_isinteger(L, index)) {
                *out = json_integer(lua_tointeger(L, index));
            } else if (isfinite(lua_tonumber(L, index))) {
                *out = json_real(lua_tonumber(L, index));
            } else {
                const char *name = isnan(lua_tonumber(L, index)) ? "NaN" : "an infinity";
                snprintf(text, sizeof text, "%s is not a number a record can hold", name);
                return refuse(at, err, text);
            }
            return *out ? true : spak_fail_oom(err);
        case LUA_TSTRING: {
            const char *string = lua_tolstring(L, index, &len);
            if (!is_utf8(string, len))
                return refuse(at, err, "a string that is not UTF-8; encode it, in hex for example");
            *out = json_stringn_nocheck(string, len);
            return *out ? true : spak_fail_oom(err);
        }
        case LUA_TTABLE: return to_table(L, index, at, depth, out, err);
        case LUA_TLIGHTUSERDATA:
            if (!lua_is_null(L, index)) break;
            *out = json_null();
            return true;
        default: break;
    }
    snprintf(text, sizeof text, "a %s has no form in JSON", luaL_typename(L, index));
    return refuse(at, err, text);
}

bool lua_to_json(lua_State *L, int index, json_t **out, spak_error *err) {
    *out = NULL;
    return to_value(L, lua_absindex(L, index), NULL, 0, out, err);
}
