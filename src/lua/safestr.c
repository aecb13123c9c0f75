/* string.* with an end: format over the stock one, rep of our own, find, match, gmatch and gsub over our matcher. */
#include <stdint.h>
#include <string.h>

#include "lua/box.h"
#include "lua/pattern.h"

/* Stock rep loops n times, over a byte or over nothing; here each copy doubles what is there. */
static int safe_rep(lua_State *L) {
    size_t len, between;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &between);
    size_t period = len + between;
    if (n <= 1 || period == 0) {
        lua_pushlstring(L, n < 1 ? "" : text, n < 1 ? 0 : len);
        return 1;
    }
    if ((lua_Unsigned)n > (lua_Unsigned)PTRDIFF_MAX / period) return luaL_error(L, "resulting string too large");
    size_t total = (size_t)n * period - between;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total);
    memcpy(out, text, len);
    memcpy(out + len, separator, between); /* n > 1: there is room for one */
    for (size_t done = period; done < total;) {
        size_t more = done < total - done ? done : total - done;
        memcpy(out + done, out, more);
        done += more;
    }
    luaL_pushresultsize(&b, total);
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

/* --- patterns --- */

/* Subject at stack index 1, pattern at 2, as arguments or put there. *anchored: the pattern began with '^'; gmatch
 * gives NULL, since an anchor there has no meaning and stands for itself. */
static pattern_match prepare(lua_State *L, bool *anchored) {
    size_t text_len, pattern_len;
    const char *text = luaL_checklstring(L, 1, &text_len), *pattern = luaL_checklstring(L, 2, &pattern_len);
    pattern_match m = {.L = L, .text = text, .text_end = text + text_len, .pattern = pattern};
    m.pattern_end = pattern + pattern_len;
    if (anchored) {
        *anchored = pattern_len && *pattern == '^';
        m.pattern += *anchored;
    }
    return m;
}

/* Pushes capture i, or the whole match s..e when i is 0 and there is none. */
static void push_capture(pattern_match *m, int i, const char *s, const char *e) {
    if (i >= m->captures) {
        if (i != 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[i].len == CAPTURE_POSITION) {
        lua_pushinteger(m->L, m->capture[i].begin - m->text + 1);
    } else if (m->capture[i].len == CAPTURE_OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].begin, (size_t)m->capture[i].len);
    }
}

/* All captures; if there are none the whole match, unless s is NULL. Returns how many. */
static int push_captures(pattern_match *m, const char *s, const char *e) {
    int n = m->captures == 0 && s ? 1 : m->captures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) push_capture(m, i, s, e);
    return n;
}

/* The offset that a start position stands for: from 1, or from the end if negative. May lie behind the text. */
static size_t start_offset(lua_Integer init, size_t len) {
    if (init > 0) return (size_t)init - 1;
    if (init == 0 || init < -(lua_Integer)len) return 0;
    return len - (size_t)-init;
}

/* string.find (positions and captures) and string.match (captures). */
static int search(lua_State *L, bool find) {
    bool anchored;
    pattern_match m = prepare(L, &anchored);
    size_t len = (size_t)(m.text_end - m.text), start = start_offset(luaL_optinteger(L, 3, 1), len);
    size_t pattern_len = (size_t)(m.pattern_end - m.pattern);
    lua_pushnil(L);
    if (start > len) return 1;
    if (find && (lua_toboolean(L, 4) || (!anchored && strcspn(m.pattern, "^$*+?.([%-") == pattern_len))) {
        if (anchored) m.pattern--, pattern_len++;
        lua_box_charge(L, (long long)((len - start + pattern_len) / 16));
        const char *s = memmem(m.text + start, len - start, m.pattern, pattern_len);
        if (!s) return 1;
        lua_pushinteger(L, s - m.text + 1);
        lua_pushinteger(L, s - m.text + (lua_Integer)pattern_len);
        return 2;
    }
    for (const char *s = m.text + start; s <= m.text_end; s++) {
        const char *e = pattern_match_at(&m, s);
        if (e && find) {
            lua_pushinteger(L, s - m.text + 1);
            lua_pushinteger(L, e - m.text);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (e) return push_captures(&m, s, e);
        if (anchored) break;
    }
    return 1;
}

static int safe_find(lua_State *L) { return search(L, true); }
static int safe_match(lua_State *L) { return search(L, false); }

/* Upvalues: subject, pattern, offset to go on at, offset where the last match ended (-1: none yet). */
static int next_match(lua_State *L) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    pattern_match m = prepare(L, NULL);
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    for (const char *s = m.text + lua_tointeger(L, lua_upvalueindex(3)); s <= m.text_end; s++) {
        const char *e = pattern_match_at(&m, s);
        if (!e || e - m.text == last) continue;
        lua_pushinteger(L, e - m.text);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&m, s, e);
    }
    return 0;
}

static int safe_gmatch(lua_State *L) {
    size_t len;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t start = start_offset(luaL_optinteger(L, 3, 1), len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(start > len ? len + 1 : start));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, next_match, 4);
    return 1;
}

/* The replacement text at index 3 with %0 to %9 and %% filled in. */
static void add_text(pattern_match *m, luaL_Buffer *b, const char *s, const char *e) {
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len), *end = text + len;
    for (const char *p; (p = memchr(text, '%', (size_t)(end - text))) != NULL; text = p + 1) {
        lua_box_charge(m->L, 1); /* "%0" of an empty match adds nothing, so that memory ends no row of them */
        luaL_addlstring(b, text, (size_t)(p - text));
        p++;
        if (p < end && *p == '%') {
            luaL_addchar(b, *p);
        } else if (p < end && *p == '0') {
            luaL_addlstring(b, s, (size_t)(e - s));
        } else if (p < end && *p >= '1' && *p <= '9') {
            push_capture(m, *p - '1', s, e);
            luaL_tolstring(m->L, -1, NULL);
            lua_remove(m->L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(b, text, (size_t)(end - text));
}

/* What replaces the match s..e. */
static void add_replacement(pattern_match *m, luaL_Buffer *b, const char *s, const char *e) {
    lua_State *L = m->L;
    int type = lua_type(L, 3);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, e), 1);
    } else if (type == LUA_TTABLE) {
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
    } else {
        add_text(m, b, s, e);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(e - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        luaL_addvalue(b);
    }
}

static int safe_gsub(lua_State *L) {
    bool anchored;
    pattern_match m = prepare(L, &anchored);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                     "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, m.text_end - m.text + 1), n = 0;
    const char *s = m.text, *last = NULL;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *e = pattern_match_at(&m, s);
        if (e && e != last) {
            n++;
            add_replacement(&m, &b, s, e);
            s = last = e;
        } else if (s < m.text_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored) break;
    }
    luaL_addlstring(&b, s, (size_t)(m.text_end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

static const luaL_Reg OURS[] = {{"rep", safe_rep},       {"find", safe_find}, {"match", safe_match},
                                {"gmatch", safe_gmatch}, {"gsub", safe_gsub}, {NULL, NULL}};

void box_open_string(lua_State *L) {
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, safe_format, 1);
    lua_setfield(L, -3, "format");
    for (const luaL_Reg *f = OURS; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -3, f->name);
    }
}
