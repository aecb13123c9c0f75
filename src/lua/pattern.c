/* A backtracking matcher. It takes the place of the stock one because no hook fires inside of that, and a pattern such
 * as ("a?"):rep(40) .. ("a"):rep(40) keeps it busy for years. Here each character and each set member looked at is a
 * step, and steps are charged to the box as instructions, so a pattern ends where a loop in Lua would.
 *
 * Rejected: a limit on the lengths of subject and pattern (thirty characters suffice for years), a bound computed from
 * the pattern's repetitions (it refuses "^%s*(.-)%s*$" on a page of text, which in fact is quick), and an automaton
 * (%b, %f, back references and lazy repetition with captures do not fit one).
 *
 * A pattern is a row of items. match_here walks along it; items that leave a choice (captures, repetitions) try the
 * rest of the row by a call of match_here, so that its depth is the number of open choices. */
#include "lua/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "lua/box.h"

enum { MAX_DEPTH = 200, CHARGE_EVERY = 256 };

static const char *match_here(pattern_match *m, const char *s, const char *p);

static void count(pattern_match *m, size_t steps) {
    m->steps += steps > 1 << 30 ? 1 << 30 : (int)steps;
    if (m->steps < CHARGE_EVERY) return;
    lua_box_charge(m->L, m->steps);
    m->steps = 0;
}

/* --- one character against one class --- */

/* The end of the single-character item that begins at p, before any repetition mark. */
static const char *item_end(pattern_match *m, const char *p) {
    if (*p == '%') {
        if (p + 1 == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[') return p;
    if (p < m->pattern_end && *p == '^') p++;
    do { /* a ']' that comes first is a member */
        if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ != '%') continue;
        if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
        p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int name) {
    bool in;
    switch (tolower(name)) {
        case 'a': in = isalpha(c); break;
        case 'c': in = iscntrl(c); break;
        case 'd': in = isdigit(c); break;
        case 'g': in = isgraph(c); break;
        case 'l': in = islower(c); break;
        case 'p': in = ispunct(c); break;
        case 's': in = isspace(c); break;
        case 'u': in = isupper(c); break;
        case 'w': in = isalnum(c); break;
        case 'x': in = isxdigit(c); break;
        default: return name == c;
    }
    return isupper(name) ? !in : in;
}

/* Is c in the set from '[' at p to ']' at last? */
static bool in_set(pattern_match *m, int c, const char *p, const char *last) {
    bool wanted = true;
    count(m, (size_t)(last - p));
    if (p[1] == '^') {
        wanted = false;
        p++;
    }
    while (++p < last) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p)) return wanted;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) return wanted;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

/* Does the item p..end match the character at s? */
static bool matches_one(pattern_match *m, const char *s, const char *p, const char *end) {
    count(m, 1);
    if (s >= m->text_end) return false;
    int c = (unsigned char)*s;
    switch (*p) {
        case '.': return true;
        case '%': return in_class(c, (unsigned char)p[1]);
        case '[': return in_set(m, c, p, end - 1);
        default: return (unsigned char)*p == c;
    }
}

/* --- items that are more than one character --- */

/* %bxy: balanced from x to y. */
static const char *match_balanced(pattern_match *m, const char *s, const char *p) {
    if (p + 1 >= m->pattern_end) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->text_end || *s != p[0]) return NULL;
    int open = 1;
    while (++s < m->text_end) {
        count(m, 1);
        if (*s == p[1]) {
            if (--open == 0) return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* As often as possible, then less often. */
static const char *match_greedy(pattern_match *m, const char *s, const char *p, const char *end, ptrdiff_t least) {
    ptrdiff_t n = 0;
    while (matches_one(m, s + n, p, end)) n++;
    for (; n >= least; n--) {
        const char *found = match_here(m, s + n, end + 1);
        if (found) return found;
    }
    return NULL;
}

/* As seldom as possible, then more often. */
static const char *match_lazy(pattern_match *m, const char *s, const char *p, const char *end) {
    for (;;) {
        const char *found = match_here(m, s, end + 1);
        if (found) return found;
        if (!matches_one(m, s, p, end)) return NULL;
        s++;
    }
}

static const char *open_capture(pattern_match *m, const char *s, const char *p, ptrdiff_t mark) {
    if (m->captures >= PATTERN_CAPTURES) luaL_error(m->L, "too many captures");
    m->capture[m->captures].begin = s;
    m->capture[m->captures].len = mark;
    m->captures++;
    const char *found = match_here(m, s, p);
    if (!found) m->captures--;
    return found;
}

static const char *close_capture(pattern_match *m, const char *s, const char *p) {
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].len != CAPTURE_OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->capture[i].len = s - m->capture[i].begin;
    const char *found = match_here(m, s, p);
    if (!found) m->capture[i].len = CAPTURE_OPEN;
    return found;
}

/* %1 to %9: the text of that capture again. */
static const char *match_again(pattern_match *m, const char *s, int digit) {
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].len == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    /* A position capture has no text; the stock matcher compares its mark as a length that nothing reaches. */
    if (m->capture[i].len == CAPTURE_POSITION) return NULL;
    size_t len = (size_t)m->capture[i].len;
    count(m, len / 8);
    return (size_t)(m->text_end - s) >= len && memcmp(m->capture[i].begin, s, len) == 0 ? s + len : NULL;
}

/* %f[set]: between a character outside of the set and one inside of it; both ends count as a zero byte. */
static bool at_frontier(pattern_match *m, const char *s, const char *p, const char *end) {
    int before = s == m->text ? 0 : (unsigned char)s[-1], after = s == m->text_end ? 0 : (unsigned char)*s;
    return !in_set(m, before, p, end - 1) && in_set(m, after, p, end - 1);
}

/* --- the row of items --- */

/* An item that matches one character, with its repetition mark. Moves *s and *p on and returns true when the walk can
 * go on; else *s is the result. */
static bool take_item(pattern_match *m, const char **s, const char **p) {
    const char *item = *p, *end = item_end(m, item), *found;
    switch (end < m->pattern_end ? *end : 0) {
        case '?':
            if (matches_one(m, *s, item, end) && (found = match_here(m, *s + 1, end + 1)) != NULL) {
                *s = found;
                return false;
            }
            *p = end + 1;
            return true;
        case '*': *s = match_greedy(m, *s, item, end, 0); return false;
        case '+': *s = match_greedy(m, *s, item, end, 1); return false;
        case '-': *s = match_lazy(m, *s, item, end); return false;
        default: break;
    }
    bool good = matches_one(m, *s, item, end);
    *s = good ? *s + 1 : NULL;
    *p = end;
    return good;
}

static const char *walk(pattern_match *m, const char *s, const char *p) {
    while (p < m->pattern_end) {
        char next = p + 1 < m->pattern_end ? p[1] : 0;
        count(m, 1);
        if (*p == '(')
            return next == ')' ? open_capture(m, s, p + 2, CAPTURE_POSITION) : open_capture(m, s, p + 1, CAPTURE_OPEN);
        if (*p == ')') return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->text_end ? s : NULL;
        if (*p == '%' && next == 'b') {
            s = match_balanced(m, s, p + 2);
            p += 4;
        } else if (*p == '%' && next == 'f') {
            p += 2;
            if (p >= m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
            const char *end = item_end(m, p);
            if (!at_frontier(m, s, p, end)) return NULL;
            p = end;
        } else if (*p == '%' && isdigit((unsigned char)next)) {
            s = match_again(m, s, next);
            p += 2;
        } else if (!take_item(m, &s, &p)) {
            return s;
        }
        if (!s) return NULL;
    }
    return s;
}

static const char *match_here(pattern_match *m, const char *s, const char *p) {
    if (m->depth >= MAX_DEPTH) luaL_error(m->L, "pattern too complex: more than %d choices are open", MAX_DEPTH);
    m->depth++;
    const char *found = walk(m, s, p);
    m->depth--;
    return found;
}

const char *pattern_match_at(pattern_match *m, const char *at) {
    m->captures = 0;
    m->depth = 0;
    return match_here(m, at, m->pattern);
}
