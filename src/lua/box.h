/* What the files of the sandbox share; nobody else includes this. */
#ifndef SPAK_LUA_BOX_H
#define SPAK_LUA_BOX_H

#include <signal.h>

#include "lua/sandbox.h"

enum { BOX_WHERE = LUA_IDSIZE + 24, BOX_PATH = 4096 };

typedef enum box_trip { BOX_RUNS, BOX_INSTRUCTIONS, BOX_MEMORY, BOX_HEAP, BOX_TIME } box_trip;

/* What a call may use. An inner call (an expression) gets a smaller budget and pays it back to the outer one. */
typedef struct box_budget {
    long long left, instructions; /* left of how many */
    size_t ceiling, memory;       /* `used` may not pass ceiling; memory is the limit's size, for the message */
    int alloc_shift;              /* 2^shift allocated bytes count as one instruction */
} box_budget;

struct lua_box {
    lua_State *L;
    lua_limits limits;
    box_budget now;
    size_t used;           /* bytes that Lua holds */
    int depth;             /* protected calls that are running */
    int interval;          /* instructions between two looks at the budget */
    box_trip tripped;      /* the limit that was hit; stays until the outermost call ends */
    box_trip refused;      /* why the allocator last said no */
    char where[BOX_WHERE]; /* file:line where the limit was hit */
    char require_root[BOX_PATH];
    volatile sig_atomic_t overdue; /* the deadline has passed */
    int cached;                    /* compiled expressions */
};

lua_box *box_of(lua_State *L);

/* Begin and end a protected stretch; box_call is lua_pcall with a traceback in between. */
void box_enter(lua_box *box);
void box_leave(lua_box *box);

/* After a failed lua_pcall: pops the error object and turns it, or the limit behind it, into err; returns false. */
bool box_describe(lua_box *box, int status, spak_error *err);

/* The limit that a failed call hit, whose error object is on top of the stack; BOX_RUNS if it failed for another
 * reason. */
box_trip box_limit_behind(lua_State *L, int status);

/* Marks the limit as hit and raises. */
int box_trip_and_raise(lua_State *L, box_trip why);

/* Raises when the deadline has passed. For library functions that loop: no hook fires there. */
void box_poll(lua_State *L);

/* The hook that draws on the budget. */
void box_on_count(lua_State *L, lua_Debug *ar);

/* deadline.c: begin and end the time that limits.max_seconds gives the outermost call. */
void box_deadline_begin(lua_box *box);
void box_deadline_end(lua_box *box);

/* Takes a limit that an inner call hit for an ordinary error of the outer one. */
void box_forgive(lua_box *box);

/* Loads text into a function on the stack; name is a chunk name ("@file" or "=name"). */
bool box_load(lua_box *box, const char *name, const char *text, size_t len, spak_error *err);

/* safelib.c: builds the recipe's globals and the string methods. */
void box_open_library(lua_State *L);
const char *box_tostring(lua_State *L, int index, size_t *len); /* pushes; without addresses */

/* safestr.c and safetab.c: put their functions into the table on top of the stack, which holds the stock ones. */
void box_open_string(lua_State *L);
void box_open_table(lua_State *L);

/* expr.c: builds the frozen library of expressions. */
void box_open_expressions(lua_State *L);

/* random.c: spak.rng. */
int box_rng_new(lua_State *L);
void box_open_rng(lua_State *L);

#endif
