/* Our pattern functions against those of the stock library, on a table of cases and on random patterns: the same
 * results and, where the stock one refuses, a refusal. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "../tap.h"
#include "base/rng.h"
#include "lua/sandbox.h"

/* Puts everything that the string functions give for a subject and a pattern into one text. */
static const char PROBE[] =
    "local s, p = ...\n"
    "local function show(name, good, ...)\n"
    "  local out = {name, tostring(good)}\n"
    "  if good then for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end end\n"
    "  return table.concat(out, ',')\n"
    "end\n"
    "local function all(...)\n"
    "  local out = {}\n"
    "  for a, b, c in string.gmatch(...) do out[#out + 1] = tostring(a) .. ':' .. tostring(b) .. ':' .. tostring(c) "
    "end\n"
    "  return table.concat(out, ' ')\n"
    "end\n"
    "return table.concat({show('find', pcall(string.find, s, p)), show('from 3', pcall(string.find, s, p, 3)),\n"
    "  show('from -2', pcall(string.match, s, p, -2)), show('plain', pcall(string.find, s, p, 1, true)),\n"
    "  show('match', pcall(string.match, s, p)), show('gmatch', pcall(all, s, p)), show('late', pcall(all, s, p, 2)),\n"
    "  show('gsub', pcall(string.gsub, s, p, '<%0>')), show('gsub %1', pcall(string.gsub, s, p, '<%1>', 2)),\n"
    "  show('gsub %2', pcall(string.gsub, s, p, '%2%%')), show('table', pcall(string.gsub, s, p, {a = 'A', b = "
    "false})),\n"
    "  show('call', pcall(string.gsub, s, p, function(a, b) return b or nil end))}, '\\n')\n";

static lua_State *stock;
static lua_box *box;
static bool loaded;

static const char *probe_stock(const char *s, size_t slen, const char *p, size_t plen) {
    lua_settop(stock, 1);
    lua_pushvalue(stock, 1);
    lua_pushlstring(stock, s, slen);
    lua_pushlstring(stock, p, plen);
    return lua_pcall(stock, 2, 1, 0) == LUA_OK ? lua_tostring(stock, -1) : "failed";
}

static const char *probe_ours(const char *s, size_t slen, const char *p, size_t plen) {
    static spak_error err;
    lua_State *L = lua_box_state(box);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushlstring(L, s, slen);
    lua_pushlstring(L, p, plen);
    return lua_box_call(box, 2, 1, &err) ? lua_tostring(L, -1) : err.message;
}

static bool same(const char *s, size_t slen, const char *p, size_t plen) {
    const char *want = probe_stock(s, slen, p, plen), *got = probe_ours(s, slen, p, plen);
    if (strcmp(want, got) == 0) return true;
    printf("# subject '%s' pattern '%s'\n# stock %s\n# ours  %s\n", s, p, want, got);
    return false;
}

static void set_up(void) {
    spak_error err;
    stock = luaL_newstate();
    luaL_openlibs(stock);
    char maker[4000];
    snprintf(maker, sizeof maker, "return function(...)\n%s end", PROBE);
    loaded = lua_box_new(NULL, &box, &err) && lua_box_run_text(box, "probe", maker, strlen(maker), &err) &&
             luaL_dostring(stock, maker) == LUA_OK;
    ok(loaded, "both libraries are ready");
}

static void test_table(void) {
    static const char *const cases[][2] = {
        {"hello world", "o w"},
        {"hello world", "(o)(.)"},
        {"  trim me  ", "^%s*(.-)%s*$"},
        {"key = value", "^(%w+)%s*=%s*(%w+)$"},
        {"THE (quick) fox", "%((%a+)%)"},
        {"f(a(b)c)d", "%b()"},
        {"f(a(b)c", "%b()"},
        {"THE (quick) fox", "%f[%a]%a+%f[%A]"},
        {"abcabc", "(abc)%1"},
        {"aXbXc", "()X()"},
        {"", ""},
        {"", "^$"},
        {"abc", ""},
        {"abc", "^"},
        {"abc", "b*"},
        {"abc", "[]]"},
        {"a]c", "[]]"},
        {"a-c", "[a-]"},
        {"a^c", "[%^a]"},
        {"a^c", "[^a]"},
        {"a-z", "[a%-z]+"},
        {"x", "[a-"},
        {"x", "["},
        {"x", "[^"},
        {"x", "[%"},
        {"x", "%"},
        {"x", "(x"},
        {"x", "x)"},
        {"x", "%b"},
        {"x", "%bx"},
        {"x", "%f"},
        {"x", "%fx"},
        {"x", "%1"},
        {"x", "(%1)"},
        {"xx", "()%1"},
        {"x", "%0"},
        {"a$b", "$b"},
        {"a$b", "a$"},
        {"a^b", "a^b"},
        {"^ab", "^^"},
        {"aab", "a?ab"},
        {"aaa", "a-$"},
        {"\xff\x80z", "[\x80-\xff]+"},
        {"tab\tx\n", "%c"},
        {"a1_B", "%W"},
        {"a.b", "."},
        {"*+?", "[*+?]+"},
        {"aaa", "^a"},
        {"aaab", "a*(a)b"},
        {"aaab", "(a-)(a?)(b)%2"},
    };
    size_t n = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < n; i++)
        ok(same(cases[i][0], strlen(cases[i][0]), cases[i][1], strlen(cases[i][1])), "'%s' in '%s'", cases[i][1],
           cases[i][0]);
    ok(same("a\0b\0c", 5, "\0.", 2), "zero bytes");
    ok(same("a\0b", 3, "[%z\0]", 5), "a zero byte in a set");
}

static void test_random(void) {
    /* Whole items, and parts of items that mostly make a pattern malformed. */
    static const char *const items[] = {"a",     "b",    "a*",  "a-",   ".-",   "b+",     "a?",     "%a*",   "[ab]",
                                        "[^a]-", "(a)",  "(b)", "(a*)", "(.-)", "()",     "(a?)",   "(ab)",  "(a-(b))",
                                        "%1",    "%bab", "$",   "^",    "c",    "%f[ab]", "%f[^b]", "((a)b)"};
    static const char *const parts[] = {"*", "-", "?", "(",  ")", "%2",  "%b", "%f",
                                        "%", "[", "]", "%%", "1", "[a-", " "};
    enum { ITEMS = sizeof items / sizeof *items, PARTS = sizeof parts / sizeof *parts, ROUNDS = 20000 };
    spak_mt mt;
    spak_mt_seed(&mt, 5);
    int different = 0;
    for (int i = 0; i < ROUNDS && different < 5; i++) {
        char s[16], p[64] = "";
        size_t len = spak_mt_below(&mt, 10), count = 1 + spak_mt_below(&mt, 6);
        for (size_t k = 0; k < len; k++) s[k] = "aaabbbc1"[spak_mt_below(&mt, 8)];
        s[len] = 0;
        while (count--) {
            bool whole = spak_mt_below(&mt, 8) != 0;
            strcat(p, whole ? items[spak_mt_below(&mt, ITEMS)] : parts[spak_mt_below(&mt, PARTS)]);
        }
        if (!same(s, len, p, strlen(p))) different++;
    }
    is_int(different, 0, "%d random patterns give what the stock library gives", ROUNDS);
}

int main(void) {
    spak_json_init();
    set_up();
    if (loaded) {
        test_table();
        test_random();
    }
    lua_box_free(box);
    lua_close(stock);
    return done_testing();
}
