/* Lua patterns, as chapter 6.4.1 of the Lua 5.4 manual defines them, by a matcher that counts its steps. */
#ifndef SPAK_LUA_PATTERN_H
#define SPAK_LUA_PATTERN_H

#include <lua.h>
#include <stddef.h>

enum { PATTERN_CAPTURES = 32 };

typedef struct pattern_match {
    lua_State *L;
    const char *text, *text_end; /* the subject */
    const char *pattern, *pattern_end;
    int steps; /* not yet charged to the box */
    int depth;
    int captures;
    struct {
        const char *begin;
        ptrdiff_t len; /* or one of the two marks below */
    } capture[PATTERN_CAPTURES];
} pattern_match;

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

/* Matches the whole pattern (without a leading '^') at `at`; the end of the match, or NULL. Raises on a malformed
 * pattern, on nesting beyond 200 and when the instruction budget is spent. */
const char *pattern_match_at(pattern_match *m, const char *at);

#endif
