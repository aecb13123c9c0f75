/* The box itself: limits, protected calls, chunks.
 *
 * Two things can run away, instructions and memory, and three places watch them. A count hook fires every thousand
 * instructions and draws them from the budget. The allocator counts the bytes that Lua holds, refuses what passes the
 * ceiling, and draws on the instruction budget too, because `s = s .. s` is few instructions and much work. Library
 * functions that loop in C, where no hook fires, announce their steps with lua_box_charge first; one that may
 * take long asks for the deadline with box_poll as it goes.
 *
 * A limit must not be caught: a recipe's pcall would swallow it and go on. So hitting one sets `tripped`, from then on
 * the hook raises whenever it fires, and our pcall and xpcall raise again as soon as they see it. It is cleared when
 * the outermost call ends, where box_describe turns it into the message. The error object on the way is a light
 * userdata, because nothing may be allocated any more.
 *
 * Lua answers a refused allocation with a full collection and asks again; so a refusal alone is no trip, only the
 * LUA_ERRMEM that follows when the second request was refused too.
 *
 * Rejected: a limit on wall time for recipes (the same recipe would pass here and fail there; code that is timed has
 * one, see deadline.c), a thread as watchdog (Lua must not be interrupted inside an allocation), and a process per
 * recipe (the C functions that recipes call share the device with the host). */
#include "lua/sandbox.h"

#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lua/box.h"
#include "lua/convert.h"

static const long long DEFAULT_INSTRUCTIONS = 2000000000;
static const size_t DEFAULT_MEMORY = (size_t)1 << 30;

enum { INTERVAL = 1000, RECIPE_ALLOC_SHIFT = 6, TRACE_LINES = 4 };

/* Budget while no call runs: the host may register functions and push values freely. */
static const long long AT_REST = LLONG_MAX / 2;

static const char limit_tag; /* its address is the error object of a limit */

lua_box *box_of(lua_State *L) { return *(lua_box **)lua_getextraspace(L); }

/* The innermost Lua code's file:line. Allocates nothing, so that the allocator may ask. */
static void note_where(lua_box *box) {
    lua_Debug ar;
    box->where[0] = 0;
    if (!box->L) return;
    for (int level = 0; lua_getstack(box->L, level, &ar); level++) {
        lua_getinfo(box->L, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        snprintf(box->where, sizeof box->where, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}

static void *refuse(lua_box *box, box_trip why) {
    box->refused = why;
    note_where(box);
    return NULL;
}

static void *allocate(void *ctx, void *ptr, size_t old_size, size_t size) {
    lua_box *box = ctx;
    if (!ptr) old_size = 0; /* it then holds the kind of object */
    if (size == 0) {
        box->used -= old_size;
        spak_free(ptr);
        return NULL;
    }
    if (size > old_size) {
        size_t more = size - old_size;
        if (box->used > box->now.ceiling || more > box->now.ceiling - box->used) return refuse(box, BOX_MEMORY);
        box->now.left -= (long long)(more >> box->now.alloc_shift);
        if (box->now.left < 0) return refuse(box, BOX_INSTRUCTIONS);
    }
    void *block = spak_realloc(ptr, size);
    if (!block && size > old_size) return refuse(box, BOX_HEAP);
    if (!block) block = ptr; /* Lua relies on shrinking; the larger block serves as well */
    box->used += size - old_size;
    return block;
}

int box_trip_and_raise(lua_State *L, box_trip why) {
    lua_box *box = box_of(L);
    if (!box->tripped) {
        if (why == BOX_INSTRUCTIONS || why == BOX_TIME) note_where(box);
        box->tripped = why;
    }
    lua_pushlightuserdata(L, (void *)&limit_tag);
    return lua_error(L);
}

void box_on_count(lua_State *L, lua_Debug *ar) {
    lua_box *box = box_of(L);
    (void)ar;
    if (box->overdue) box_trip_and_raise(L, BOX_TIME);
    if (!box->tripped) {
        box->now.left -= box->interval;
        if (box->now.left >= 0) return;
    }
    box_trip_and_raise(L, BOX_INSTRUCTIONS);
}

void box_poll(lua_State *L) {
    if (box_of(L)->overdue) box_trip_and_raise(L, BOX_TIME);
}

void lua_box_charge(lua_State *L, long long steps) {
    lua_box *box = box_of(L);
    box_poll(L);
    if (steps < 0 || steps > box->now.left) {
        box->now.left = 0;
        box_trip_and_raise(L, BOX_INSTRUCTIONS);
    }
    box->now.left -= steps;
}

static void rest(lua_box *box) {
    box->now =
        (box_budget){.left = AT_REST, .ceiling = box->limits.max_memory_bytes, .alloc_shift = RECIPE_ALLOC_SHIFT};
    box->now.memory = box->now.ceiling;
    box->tripped = box->refused = BOX_RUNS;
}

void box_enter(lua_box *box) {
    if (box->depth++) return;
    rest(box);
    box->now.left = box->now.instructions = box->limits.max_instructions;
    if (box->limits.max_seconds > 0) {
        box_deadline_begin(box);
    } else {
        lua_sethook(box->L, box_on_count, LUA_MASKCOUNT, box->interval);
    }
}

void box_leave(lua_box *box) {
    if (--box->depth) return;
    if (box->limits.max_seconds > 0) box_deadline_end(box);
    rest(box);
}

void box_forgive(lua_box *box) { box->tripped = box->refused = BOX_RUNS; }

/* --- errors --- */

static void say_limit(const lua_box *box, spak_error *err) {
    const char *where = box->where[0] ? box->where : "the host";
    switch (box->tripped) {
        case BOX_INSTRUCTIONS:
            spak_fail(err,
                      "instruction limit of %lld reached in %s; is there a loop that does not end? If not, do less "
                      "work in Lua or raise the limit",
                      box->now.instructions, where);
            return;
        case BOX_MEMORY:
            spak_fail(err, "memory limit of %.4g MiB reached in %s; keep less data in Lua at a time or raise the limit",
                      (double)box->now.memory / (1 << 20), where);
            return;
        case BOX_TIME:
            spak_fail(err,
                      "time limit of %.4g s reached in %s; is there a loop that does not end? If not, give it more",
                      box->limits.max_seconds, where);
            return;
        default: spak_fail_oom(err); spak_fail_context(err, "%s", where);
    }
}

/* lauxlib's buffers raise a refused allocation as a plain string, not as LUA_ERRMEM. */
box_trip box_limit_behind(lua_State *L, int status) {
    static const char lauxlib[] = "not enough memory";
    lua_box *box = box_of(L);
    if (box->tripped || status == LUA_OK) return box->tripped;
    if (status == LUA_ERRMEM) return box->refused;
    if (!box->refused || lua_type(L, -1) != LUA_TSTRING) return BOX_RUNS;
    return strncmp(lua_tostring(L, -1), lauxlib, sizeof lauxlib - 1) == 0 ? box->refused : BOX_RUNS;
}

bool box_describe(lua_box *box, int status, spak_error *err) {
    lua_State *L = box->L;
    box->tripped = box_limit_behind(L, status);
    if (box->tripped) {
        say_limit(box, err);
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        spak_fail(err, "%s", lua_tostring(L, -1));
    } else {
        spak_fail(err, "an error object of type %s was raised; raise a string, or a table with __tostring",
                  luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    return false;
}

/* Message handler: the text of the error object and the innermost Lua callers. */
static int with_callers(lua_State *L) {
    if (box_limit_behind(L, LUA_ERRRUN)) return 1;
    if (lua_type(L, 1) != LUA_TSTRING) {
        if (!luaL_callmeta(L, 1, "__tostring") || lua_type(L, -1) != LUA_TSTRING) return 1;
    }
    lua_Debug ar;
    int lines = 0;
    for (int level = 1; lines < TRACE_LINES && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "nSl", &ar);
        if (ar.currentline <= 0) continue;
        lua_pushfstring(L, "\n  %s %s:%d", lines++ ? "called from" : "in", ar.short_src, ar.currentline);
        if (ar.name) lua_pushfstring(L, " (%s)", ar.name);
        lua_concat(L, ar.name ? 3 : 2);
    }
    return 1;
}

bool lua_box_call(lua_box *box, int nargs, int nresults, spak_error *err) {
    lua_State *L = box->L;
    int base = lua_gettop(L) - nargs;
    if (!lua_checkstack(L, 8)) {
        lua_settop(L, base - 1);
        return spak_fail_oom(err);
    }
    box_enter(box);
    lua_pushcfunction(L, with_callers);
    lua_insert(L, base);
    int status = lua_pcall(L, nargs, nresults, base);
    bool good = status == LUA_OK || box_describe(box, status, err);
    box_leave(box);
    lua_remove(L, base);
    return good;
}

/* --- chunks --- */

bool box_load(lua_box *box, const char *name, const char *text, size_t len, spak_error *err) {
    if (!lua_checkstack(box->L, 8)) return spak_fail_oom(err);
    if (len && text[0] == LUA_SIGNATURE[0])
        return spak_fail(err, "%s: compiled Lua is not accepted; give the source text", name + 1);
    int status = luaL_loadbufferx(box->L, text, len, name, "t");
    if (status == LUA_OK) return true;
    box_describe(box, status, err);
    box->tripped = box->depth ? box->tripped : BOX_RUNS;
    return false;
}

static bool run(lua_box *box, char kind, const char *name, const char *text, size_t len, spak_error *err) {
    spak_str chunk = {0};
    spak_str_printf(&chunk, "%c%s", kind, name);
    bool good = spak_str_ok(&chunk, err) && box_load(box, spak_str_text(&chunk), text, len, err);
    spak_str_free(&chunk);
    return good && lua_box_call(box, 0, 1, err);
}

bool lua_box_run_text(lua_box *box, const char *chunk_name, const char *text, size_t len, spak_error *err) {
    return run(box, '=', chunk_name, text, len, err);
}

bool lua_box_run_file(lua_box *box, const char *path, spak_error *err) {
    spak_str text = {0};
    bool good = spak_read_file(path, &text, err) && run(box, '@', path, spak_str_text(&text), text.len, err);
    spak_str_free(&text);
    return good;
}

/* --- the box --- */

/* lauxlib makes the metatable of its big buffers on first use, and one left half made by a failed allocation breaks
 * every later use; so it is made here, where a failure costs the whole box. */
static void make_buffer_metatable(lua_State *L) {
    luaL_Buffer buffer;
    luaL_buffinitsize(L, &buffer, LUAL_BUFFERSIZE + 1);
    luaL_pushresult(&buffer);
    lua_pop(L, 1);
}

static int build(lua_State *L) {
    make_buffer_metatable(L);
    lua_convert_open(L);
    box_open_library(L);
    box_open_expressions(L);
    return 0;
}

bool lua_box_new(const lua_limits *limits, lua_box **out, spak_error *err) {
    *out = NULL;
    lua_box *box = spak_calloc(1, sizeof *box);
    if (!box) return spak_fail_oom(err);
    if (limits) box->limits = *limits;
    if (box->limits.max_instructions <= 0) box->limits.max_instructions = DEFAULT_INSTRUCTIONS;
    if (!box->limits.max_memory_bytes) box->limits.max_memory_bytes = DEFAULT_MEMORY;
    box->interval = box->limits.max_instructions < INTERVAL ? (int)box->limits.max_instructions : INTERVAL;
    rest(box);
    lua_State *L = lua_newstate(allocate, box);
    if (L) {
        box->L = L;
        *(lua_box **)lua_getextraspace(L) = box;
        lua_pushcfunction(L, build);
        int status = lua_pcall(L, 0, 0, 0);
        if (status == LUA_OK || box_describe(box, status, err)) {
            rest(box);
            *out = box;
            return true;
        }
    } else {
        spak_fail_oom(err);
    }
    lua_box_free(box);
    return false;
}

void lua_box_free(lua_box *box) {
    if (!box) return;
    if (box->L) lua_close(box->L);
    spak_free(box);
}

lua_State *lua_box_state(lua_box *box) { return box->L; }

void lua_box_set_require_root(lua_box *box, const char *folder) {
    /* A path that does not fit is kept as none: require then says that there is no root. */
    int len = snprintf(box->require_root, sizeof box->require_root, "%s", folder ? folder : "");
    if (len < 0 || (size_t)len >= sizeof box->require_root) box->require_root[0] = 0;
}
