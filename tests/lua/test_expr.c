/* Backtick expressions: values, errors, limits, and that one evaluation cannot be felt by the next. */
#include <stdlib.h>

#include "../tap.h"
#include "base/alloc.h"
#include "lua/sandbox.h"

static lua_box *box;
static json_t *env;

/* The canonical text of what code evaluates to, or the error. */
static const char *eval(const char *code, const json_t *variables) {
    static char text[1200];
    json_t *value;
    spak_error err;
    spak_str canonical = {0};
    bool good =
        lua_box_eval(box, code, "x.dsl:3:9", variables, &value, &err) && spak_json_canonical(value, &canonical, &err);
    snprintf(text, sizeof text, "%s", good ? spak_str_text(&canonical) : err.message);
    if (good) json_decref(value);
    spak_str_free(&canonical);
    if (lua_gettop(lua_box_state(box)) != 0) ok(false, "%s leaves values on the stack", code);
    return text;
}

static void test_values(void) {
    static const char *const cases[][2] = {
        {"tile_m <= 64", "true"},
        {"op == \"fmha\" and hw.cc == 120", "true"},
        {"(tile_m * 64 + 64) * 2 * stages <= hw.smem", "true"},
        {"tile_m // 3", "21"},
        {"tile_m / 4", "16.0"},
        {"1, 2 -- two values", "expected one expression"},
        {"tile_m -- a comment", "64"},
        {"nil", "null"},
        {"none", "null"},
        {"none == null", "true"},
        {"hw", "{\"cc\":120,\"smem\":99000}"},
        {"list", "[3,1,2]"},
        {"#list", "3"},
        {"hw.absent", "null"},
        {"min(3, 1, 2)", "1"},
        {"max(3, 1.5)", "3"},
        {"min(list) + max(list)", "4"},
        {"median(list)", "2.0"},
        {"median({4, 1, 3, 2})", "2.5"},
        {"mean(list)", "2.0"},
        {"quantile({10, 20, 30, 40}, 0.25)", "17.5"},
        {"quantile(list, 1)", "3.0"},
        {"quantile(list, 0)", "1.0"},
        {"contains(list, 2)", "true"},
        {"contains(list, '2')", "false"},
        {"floor(2.7) + ceil(2.1) + abs(-1)", "6"},
        {"sqrt(16) + exp(0) + log(1)", "5.0"},
        {"log(8, 2)", "3.0"},
        {"math.fmod(7, 3)", "1"},
        {"('abc'):upper() .. string.rep('x', 2)", "\"ABCxx\""},
        {"('a1'):find('%d')", "2"}, /* one value of several */
        {"table.concat({1, 2}, '+')", "\"1+2\""},
        {"(function() local s = 0 for _, v in ipairs(list) do s = s + v end return s end)()", "6"},
        {"{tile_m, x = op}", "both positions and names"},
        {"0/0", "NaN is not a number"},
        {"print", "there is no variable or function 'print'"},
        {"tile_n <= 64", "x.dsl:3:9: in `tile_n <= 64`: there is no variable or function 'tile_n'"},
        {"op <= 64", "attempt to compare string with number"},
        {"tile_m +", "unexpected symbol near <eof>"},
        {"", "expected one expression"},
        {"1; x = 2", "'<eof>' expected"},
        {"1 end", "'<eof>' expected"},
        {"x = 1", "'<eof>' expected"},
        {"1) + (2", "<eof> expected"},
        {"\33Lua", "unexpected symbol"},
        {"median({})", "the list is empty"},
        {"median({1, 'x'})", "value 2 of the list is not a number"},
        {"mean({0/0})", "value 1 of the list is not a number"},
        {"quantile(list, 2)", "must be from 0 to 1"},
        {"min()", "expected at least one number"},
        {"max({'a', 2})", "value 1 is not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = eval(cases[i][0], env), *want = cases[i][1];
        bool error = strncmp(got, "x.dsl:3:9", 9) == 0;
        /* <eof> with or without quotes: the parser's choice */
        if (strstr(want, "<eof> expected") || strstr(want, "<eof>' expected")) want = "<eof>";
        if (!ok(error ? strstr(got, want) != NULL : strcmp(got, want) == 0, "%s", cases[i][0]))
            printf("# want %s\n# got  %s\n", want, got);
    }
}

/* Each first expression tries to leave something behind that would change the value of the second. */
static void test_leaks(void) {
    static const struct {
        const char *first, *second, *want;
        bool refused; /* the first one fails */
    } cases[] = {
        {"(function() leak = 1 return leak end)()", "leak", "no variable or function 'leak'", false},
        {"(function() _ENV = {} return 1 end)()", "min(1, 2)", "1", false},
        {"(function() tile_m = 1 return tile_m end)()", "tile_m", "64", false},
        {"(function() hw.cc = 1 list[1] = 9 return hw.cc end)()", "hw.cc + list[1]", "123", false},
        {"(function() math.floor = nil return 1 end)()", "math.floor(1.5)", "1", true},
        {"(function() string.rep = nil return 1 end)()", "('x'):rep(2)", "\"xx\"", true},
        {"(function() min = max return min(1, 2) end)()", "min(1, 2)", "1", false},
        {"rawset(math, 'floor', 1)", "math.floor(1.5)", "1", true},
        {"rawget(math, 'floor')", "1", "1", true},
        {"setmetatable(math, {})", "math.floor(1.5)", "1", true},
        {"getmetatable('')", "1", "1", true},
        {"getmetatable(math)", "1", "1", true},
        {"table.insert(math, 1)", "#math", "0", true},
        {"table.sort(list)", "list[1]", "3", true},
        {"require('x')", "1", "1", true},
        {"pcall(error)", "1", "1", true},
        {"load('x = 1')()", "1", "1", true},
        {"_G.x", "1", "1", true},
        {"spak.rng(1)", "1", "1", true},
        {"math.random()", "1", "1", true},
        {"({...})[1]", "1", "1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool refused = strncmp(eval(cases[i].first, env), "x.dsl:3:9", 9) == 0;
        const char *got = eval(cases[i].second, env);
        if (!ok(refused == cases[i].refused && strstr(got, cases[i].want), "after %s", cases[i].first))
            printf("# refused: %d; then %s\n", refused, got);
    }
    ok(strstr(eval("op", json_object_get(env, "hw")), "no variable or function 'op'") != NULL,
       "the variables of an earlier call are gone");
    lua_State *L = lua_box_state(box);
    spak_error err;
    static const char spoil[] =
        "math.floor = nil string.rep = nil rawset(string, 'upper', nil) tostring = nil x = 1 "
        "for k in pairs(math) do math[k] = nil end return 1";
    ok(lua_box_run_text(box, "t", spoil, sizeof spoil - 1, &err), "a recipe that spoils its own library");
    lua_settop(L, 0);
    is_str(eval("math.floor(2.5) .. ('x'):upper():rep(2) .. tostring(1)", NULL), "\"2XX1\"",
           "expressions do not see it");
}

static void test_limits(void) {
    static const char *const cases[][2] = {
        {"(function() while true do end end)()", "instruction limit of 1000000 reached in the expression"},
        {"(function() local function f() return f() end return f() end)()", "instruction limit of 1000000"},
        {"string.rep('x', 100000000)", "memory limit of 64 MiB reached in the expression"},
        {"string.rep('x', 60000000)", "instruction limit of 1000000"}, /* allocation is work */
        {"(function() local s = 'x' while true do s = s .. s end end)()", "limit of"},
        {"(('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))", "instruction limit of 1000000"},
        {"(('a'):rep(60)):find(('.-'):rep(30) .. 'x')", "instruction limit of 1000000"},
        {"table.concat({}, '', 1, 1 << 60)", "instruction limit of 1000000"},
        {"(function() local function f() return 1 + f() end return f() end)()", "limit of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = eval(cases[i][0], env);
        if (!ok(strstr(got, cases[i][1]) != NULL, "%s", cases[i][0])) printf("# got %s\n", got);
        if (strcmp(eval("1 + 1", env), "2") != 0) ok(false, "evaluates after %s", cases[i][0]);
    }
    char deep[20001];
    memset(deep, '(', 20000);
    deep[20000] = 0;
    ok(strstr(eval(deep, env), "overflow") != NULL, "20000 parentheses");
    char *long_code = calloc(1, 70000);
    memset(long_code, ' ', 69999);
    ok(strstr(eval(long_code, env), "longer than 65536 bytes") != NULL, "70 kB of blanks");
    free(long_code);
    json_t *list = json_array();
    ok(strstr(eval("1", list), "must come as an object") != NULL, "a list as variables");
    json_decref(list);
    lua_limits small = {.max_instructions = 5000};
    lua_box *tight;
    json_t *value;
    spak_error err;
    if (!ok(lua_box_new(&small, &tight, &err), "a box with 5000 instructions")) return;
    ok(!lua_box_eval(tight, "(function() for i = 1, 20000 do end end)()", "w", NULL, &value, &err) &&
           strstr(err.message, "instruction limit of 5000"),
       "the box's limit holds for expressions too: %s", err.message);
    lua_box_free(tight);
}

/* More different expressions than the cache holds, twice over. */
static void test_cache(void) {
    int wrong = 0;
    for (int i = 0; i < 10000; i++) {
        char code[32], want[32];
        snprintf(code, sizeof code, "tile_m + %d", i % 5000);
        snprintf(want, sizeof want, "%d", 64 + i % 5000);
        if (strcmp(eval(code, env), want) != 0) wrong++;
    }
    is_int(wrong, 0, "10000 evaluations of 5000 expressions");
    char shared[] = "tile_m * 2";
    json_t *other = json_pack("{s:i}", "tile_m", 3);
    is_str(eval(shared, env), "128", "the same code");
    is_str(eval(shared, other), "6", "with other variables");
    json_decref(other);
}

static void test_no_memory(void) {
    static const char code[] = "contains(list, tile_m) or #(op .. ('a string that is long enough'):upper()) > 3";
    json_t *value = NULL;
    spak_error err;
    long n = 0;
    int silent = 0;
    bool done = false;
    for (; !done && n < 2000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = lua_box_eval(box, code, "w", env, &value, &err);
        spak_alloc_fail_after(-1);
        if (!done && (value || !strstr(err.message, "out of memory"))) silent++, printf("# %ld %s\n", n, err.message);
        if (n % 7 == 0 && strcmp(eval("tile_m", env), "64") != 0) silent++;
    }
    ok(done && n > 10 && !silent && json_is_true(value), "evaluated in %ld allocations", n - 1);
    json_decref(value);
}

int main(void) {
    spak_error err;
    json_t *value = NULL;
    spak_json_init();
    if (!ok(lua_box_new(NULL, &box, &err), "a box")) return done_testing();
    env = json_pack("{s:i,s:s,s:i,s:n,s:[i,i,i],s:{s:i,s:i}}", "tile_m", 64, "op", "fmha", "stages", 3, "none", "list",
                    3, 1, 2, "hw", "cc", 120, "smem", 99000);
    test_values();
    test_leaks();
    test_limits();
    test_cache();
    test_no_memory();
    spak_evaluator evaluator = lua_box_evaluator(box);
    ok(evaluator.eval(evaluator.ctx, "tile_m - 1", "w", env, &value, &err) && json_integer_value(value) == 63,
       "through the evaluator's table");
    json_decref(value);
    json_decref(env);
    lua_box_free(box);
    return done_testing();
}
