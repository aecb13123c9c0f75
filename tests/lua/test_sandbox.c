/* Ways out of the sandbox, each with the error that closes it; limits; recovery; determinism. */
#include "lua/sandbox.h"

#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"

static const lua_limits SMALL = {.max_instructions = 10000000, .max_memory_bytes = 64 << 20};

static bool run(lua_box *box, const char *code, spak_error *err) {
    return lua_box_run_text(box, "t", code, strlen(code), err);
}

/* Runs code in the box and compares the text of the value that it returns. */
static void gives(lua_box *box, const char *code, const char *want) {
    spak_error err;
    lua_State *L = lua_box_state(box);
    if (run(box, code, &err)) {
        is_str(lua_tostring(L, -1), want, "%s", code);
        lua_pop(L, 1);
    } else {
        ok(false, "%s: %s", code, err.message);
    }
}

static void is_usable(lua_box *box, const char *after) {
    spak_error err = {0};
    lua_State *L = lua_box_state(box);
    bool good =
        run(box, "local t = {} for i = 1, 1000 do t[i] = i end return #t", &err) && lua_tointeger(L, -1) == 1000;
    if (!good || lua_gettop(L) != 1) ok(false, "usable after %.60s: %s", after, err.message);
    lua_settop(L, 0);
}

typedef struct attempt {
    const char *code, *error; /* error: a part of the message */
} attempt;

static const char INSTRUCTIONS[] = "instruction limit of 10000000 reached in t:1";
static const char MEMORY[] = "memory limit of 64 MiB reached in t:1";

static const attempt ATTEMPTS[] = {
    /* the outside world */
    {"return os.getenv('HOME')", "'os'"},
    {"return io.open('/etc/passwd')", "'io'"},
    {"return debug.getregistry()", "'debug'"},
    {"return package.loaded", "'package'"},
    {"return load('return 1')()", "'load'"},
    {"return loadstring('return 1')()", "'loadstring'"},
    {"return loadfile('/etc/passwd')", "'loadfile'"},
    {"return dofile('/etc/passwd')", "'dofile'"},
    {"return collectgarbage('count')", "'collectgarbage'"},
    {"return warn('@on')", "'warn'"},
    {"return coroutine.create(print)", "'coroutine'"},
    {"return string.dump(print)", "'dump'"},
    {"return ('x').dump(print)", "'dump'"},
    {"return string.pack('i', 1)", "'pack'"},
    {"return string.unpack('i', 'xxxx')", "'unpack'"},
    {"return _G.os.exit()", "'os'"},
    {"return getmetatable('').__index.rep", "index a boolean value"},
    {"return getmetatable(spak.rng(1)).__index", "index a boolean value"},
    {"return getmetatable(spak.null).__index", "index a boolean value"},
    {"return setmetatable(spak.array{}, {})", "protected metatable"},
    {"return require 'os'", "no folder to load modules from"},
    /* chance, clocks and addresses */
    {"return math.random()", "use spak.rng(seed)"},
    {"math.randomseed(1)", "use spak.rng(seed)"},
    {"return string.format('%p', {})", "%p shows an address"},
    {"return ('%-20p'):format({})", "%p shows an address"},
    {"for k in pairs({[print] = 1}) do end", "key of type function has no fixed order"},
    {"for k in pairs({[true] = 1, x = 2}) do end", "key of type boolean has no fixed order"},
    {"return next({[{}] = 1})", "key of type table has no fixed order"},
    {"setmetatable({}, {__gc = function() end})", "__gc is not allowed"},
    {"setmetatable({}, {__mode = 'k'})", "__mode is not allowed"},
    {"return spak.rng(-1)", "not negative"},
    {"return spak.rng(1):below(0)", "at least 1"},
    /* compiled code */
    {"\33Lua\124\0", "compiled Lua is not accepted"},
    /* loops in Lua */
    {"while true do end", INSTRUCTIONS},
    {"repeat until false", INSTRUCTIONS},
    {"::a:: goto a", INSTRUCTIONS},
    {"local function f() return f() end f()", INSTRUCTIONS},
    {"for i = 1, math.huge do end", INSTRUCTIONS},
    {"while true do pcall(function() while true do end end) end", INSTRUCTIONS},
    {"while true do pcall(error, 1) end", INSTRUCTIONS},
    {"for _ in pcall, function() while true do end end do end", INSTRUCTIONS},
    {"pcall(function() while true do end end) while true do end", INSTRUCTIONS},
    {"xpcall(function() while true do end end, function() while true do end end) while true do end", INSTRUCTIONS},
    {"xpcall(error, function() while true do end end)", INSTRUCTIONS},
    {"local t <close> = setmetatable({}, {__close = function() while true do end end})", INSTRUCTIONS},
    {"local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
     INSTRUCTIONS},
    {"error(setmetatable({}, {__tostring = function() while true do end end}))", INSTRUCTIONS},
    {"print(setmetatable({}, {__tostring = function() while true do end end}))", INSTRUCTIONS},
    {"local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x", INSTRUCTIONS},
    {"table.sort({3, 2, 1}, function() while true do end end)", INSTRUCTIONS},
    {"('x'):gsub('x', function() while true do end end)", INSTRUCTIONS},
    /* loops in C */
    {"return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))", INSTRUCTIONS},
    {"return (('a'):rep(60)):find(('.-'):rep(30) .. 'x')", INSTRUCTIONS},
    {"return (('a'):rep(60)):match(('.*'):rep(30) .. 'x')", INSTRUCTIONS},
    {"return (('a'):rep(60)):gsub(('.-'):rep(30) .. 'x', '')", INSTRUCTIONS},
    {"for _ in (('a'):rep(60)):gmatch(('.-'):rep(30) .. 'x') do end", INSTRUCTIONS},
    {"return (('('):rep(4000000)):find('%b()')", INSTRUCTIONS},
    {"return (('a'):rep(100000)):find('[' .. ('b'):rep(10000) .. ']')", INSTRUCTIONS},
    {"return ('x'):find(('('):rep(33) .. ('%)'):rep(33))", "too many captures"},
    {"return (('a'):rep(1000)):find(('a?'):rep(1000))", "pattern too complex"},
    {"return pcall(string.find, ('a'):rep(60), ('.-'):rep(30) .. 'x')", INSTRUCTIONS},
    {"return #(''):rep(1 << 60)", NULL}, /* stock loops 2^60 times; ours gives '' */
    {"table.move({}, 1, 1 << 60, 2)", INSTRUCTIONS},
    {"table.move({}, math.mininteger, -1, 2)", INSTRUCTIONS},
    {"return table.concat({}, '', 1, 1 << 60)", INSTRUCTIONS},
    {"table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 0)", "without __len"},
    {"table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)", "without __len"},
    {"table.sort(setmetatable({}, {__len = function() return 1 << 30 end}), rawequal)", "without __len"},
    {"local t = {} for i = 0, 61 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end table.insert(t, 1, 0)", INSTRUCTIONS},
    {"local t = {} for i = 0, 61 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end table.remove(t, 1)", INSTRUCTIONS},
    {"local t = {} for i = 0, 61 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end table.sort(t)", INSTRUCTIONS},
    {"local t = {} for i = 0, 61 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end spak.rng(1):shuffle(t)", INSTRUCTIONS},
    {"return table.unpack({}, 1, 1 << 40)", "too many results to unpack"},
    {"return string.byte(('x'):rep(1 << 22), 1, -1)", "string slice too long"},
    {"return string.format('%99999d', 1)", "invalid conversion"},
    {"return string.format('%.99999f', 1)", "invalid conversion"},
    /* memory */
    {"return #('x'):rep(1 << 30)", MEMORY},
    {"return #('x'):rep(1 << 40)", MEMORY},
    {"return #('xy'):rep(1 << 62)", "resulting string too large"},
    {"return table.concat({1, {}, 3})", "invalid value (at index 2) in table for 'concat'"},
    {"table.move({}, math.mininteger, 9, 1)", INSTRUCTIONS},
    {"table.move({}, 1, 2, math.maxinteger)", "destination wrap around"},
    {"table.move({}, 1, 2, 1, 7)", "table expected"},
    {"local s = 'x' while true do s = s .. s end", MEMORY},
    {"local t = {} while true do t[#t + 1] = {1, 2, 3, 4, 5, 6} end", MEMORY},
    {"local t = {} while true do local a = {#t, 1, 2, 3, 4, 5} t[#t + 1] = function() return a end end", MEMORY},
    {"local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(100000) .. #t end end) end",
     MEMORY},
    {"return pcall(string.rep, 'x', 1 << 30)", MEMORY},
    {"return pcall(pcall, string.rep, 'x', 1 << 30)", MEMORY},
    {"return xpcall(string.rep, print, 'x', 1 << 30)", MEMORY},
    {"local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1000) end return #table.concat(t, ('y'):rep(100000))", MEMORY},
    {"return #(('x'):rep(100000)):gsub('x', ('y'):rep(1000))", MEMORY},
    {"while true do local s = ('x'):rep(4000000) end", INSTRUCTIONS}, /* garbage, so only work */
    /* the C stack and Lua's */
    {"local function f() return 1 + f() end f()", MEMORY},
    {"local function f() return pcall(f) end return select('#', f())", NULL},
    {"local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "'__index' chain too long"},
    {"local function f(s) return (s:gsub('.', f)) end return f('x')", "stack overflow"},
    {"return string.rep('x', -1) .. setmetatable({}, {__concat = function(a, b) return a .. b end})", "stack overflow"},
    {"local t = {} for i = 1, 300 do t = setmetatable({}, {__index = function(_, k) return t[k] end}) end", NULL},
    /* error objects */
    {"error()", "error object of type nil"},
    {"error({code = 1})", "error object of type table"},
    {"error(setmetatable({}, {__tostring = function() return 'own text' end}))", "own text"},
    {"error(setmetatable({}, {__tostring = function() return {} end}))", "error object of type table"},
    {"error(setmetatable({}, {__tostring = function() error('again') end}))", "again"},
    {"error('plain')", "t:1: plain\n  in t:1"},
    {"local function f() error('deep') end f()", "t:1: deep\n  in t:1 (f)\n  called from t:1"},
    {"x = = 1", "t:1: unexpected symbol"},
};

static void test_attempts(void) {
    spak_error err;
    lua_box *box;
    if (!ok(lua_box_new(&SMALL, &box, &err), "a box")) return;
    for (size_t i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
        const attempt *a = &ATTEMPTS[i];
        err.message[0] = 0;
        bool ran = run(box, a->code, &err);
        if (!a->error) {
            ok(ran, "runs: %s", a->code);
        } else if (!ok(!ran && strstr(err.message, a->error), "refused: %.100s", a->code)) {
            printf("# want '%s'\n# got  '%s'\n", a->error, ran ? "no error" : err.message);
        }
        lua_settop(lua_box_state(box), 0);
        is_usable(box, a->code);
    }
    lua_box_free(box);
}

/* Source text that is nested too deeply for the parser. */
static void test_nested_source(void) {
    static const char *const openers[] = {"(",   "{",          "not ", "- ", "a.b(", "function() return ",
                                          "do ", "if x then ", "1^"};
    spak_error err;
    lua_box *box;
    if (!ok(lua_box_new(&SMALL, &box, &err), "a box")) return;
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        char code[200000] = "return ";
        bool statement = strstr(openers[i], "do") || strstr(openers[i], "if");
        size_t at = statement ? 0 : strlen(code), n = strlen(openers[i]);
        for (int k = 0; k < 10000; k++, at += n) memcpy(code + at, openers[i], n);
        code[at] = 0;
        bool refused = !run(box, code, &err);
        ok(refused && (strstr(err.message, "overflow") || strstr(err.message, "levels")), "10000 times '%s'",
           openers[i]);
        if (!refused || !strstr(err.message, "overflow")) printf("# %.200s\n", err.message);
        is_usable(box, openers[i]);
    }
    lua_box_free(box);
}

static void test_determinism(void) {
    spak_error err;
    lua_box *box;
    if (!ok(lua_box_new(NULL, &box, &err), "a box with default limits")) return;
    gives(box,
          "local s = '' for k in pairs{b=1, a=1, [3]=1, [1]=1, [2.5]=1, [-1]=1, ab=1, ['']=1, B=1} do "
          "s = s .. tostring(k) .. ' ' end return s",
          "-1 1 2.5 3  B a ab b ");
    gives(box,
          "local s = '' for k in pairs{[2^63]=1, [math.maxinteger]=1, [math.mininteger]=1, [-2.0^70]=1} do "
          "s = s .. tostring(k) .. ' ' end return s",
          "-1.1805916207174e+21 -9223372036854775808 9223372036854775807 9.2233720368548e+18 ");
    gives(box, "local t, s = {a=1, b=2, c=3}, '' for k in pairs(t) do t[k] = nil t.c = nil s = s .. k end return s",
          "ab");
    gives(box,
          "local t, k, s = {z=1, y=2, [1]=3}, nil, '' repeat k = next(t, k) s = s .. tostring(k) until not k "
          "return s",
          "1yznil");
    gives(box, "return tostring(next({}))", "nil");
    gives(box,
          "local t = setmetatable({}, {__pairs = function() return function() end, 'own', nil end}) "
          "local _, s = pairs(t) return s",
          "own");
    gives(box, "return tostring({}) .. tostring(print) .. tostring(spak.rng(1)) .. tostring(spak.null)",
          "tablefunctionspak.rngnull");
    gives(box, "return ('%s|%5s|%d%%'):format({}, setmetatable({}, {__tostring = function() return 'x' end}), 3)",
          "table|    x|3%");
    /* stable: equal keys keep their order */
    gives(box,
          "local t = {} for i = 1, 300 do t[i] = {i % 7, i} end "
          "table.sort(t, function(a, b) return a[1] < b[1] end) "
          "for i = 2, 300 do local a, b = t[i-1], t[i] "
          "assert(a[1] < b[1] or a[1] == b[1] and a[2] < b[2]) end return 'stable'",
          "stable");
    gives(box, "local t = {3, 1, 2.5, -1} table.sort(t) return table.concat(t, ' ')", "-1 1 2.5 3");
    gives(box, "local t = {'b', 'a'} table.sort(t, function(a, b) return a > b end) return table.concat(t)", "ba");
    gives(box,
          "local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) table.remove(t, 2) table.remove(t) "
          "return table.concat(table.move(t, 1, 2, 2), ',')",
          "0,0,2");
    /* random.Random(42): random(), gauss(0, 1), then shuffle(list(range(1, 6))) in CPython */
    gives(box, "local r = spak.rng(42) return ('%.17g'):format(r:uniform())", "0.63942679845788375");
    gives(box,
          "local a, b = spak.rng(7), spak.rng(7) for _ = 1, 1000 do assert(a:normal() == b:normal()) end "
          "assert(a:below(10) == b:below(10)) return a:choice{'x'}",
          "x");
    gives(box, "local t = {1, 2, 3, 4} table.move(t, 1, 3, 2) return table.concat(t, ' ')", "1 1 2 3");
    gives(box, "local t = {1, 2, 3, 4} table.move(t, 2, 4, 1) return table.concat(t, ' ')", "2 3 4 4");
    gives(box, "return table.concat(table.move({1, 2, 3}, 2, 3, 2, {9}), ' ')", "9 2 3");
    gives(box, "return #table.move({}, 1, 0, 5) .. #table.move({1}, 1, 1, 1, {})", "01");
    gives(box, "return table.concat({1, 2.5, 'x'}, ', ', 2) .. table.concat({}) .. table.concat({1}, 'y', 2)",
          "2.5, x");
    gives(box, "return table.concat({[math.maxinteger] = 'end'}, ' ', math.maxinteger, math.maxinteger)", "end");
    gives(box, "return ('ab'):rep(5) .. ('ab'):rep(3, ', ') .. ('ab'):rep(1, '-') .. (''):rep(3, '+') .. ('a'):rep(0)",
          "abababababab, ab, abab++");
    gives(box, "return table.concat(spak.rng(42):shuffle{1, 2, 3, 4, 5}, ' ')", "4 2 3 5 1");
    gives(box,
          "local r, t = spak.rng(42), {} for i = 1, 12 do t[i] = r:choices{1, 2, 0, 3.5} end return table.concat(t)",
          "412244412124");
    gives(box,
          "local r = spak.rng(42) for _, bad in ipairs { {}, {3, -1}, {0, 0}, {1, 'x'}, {1/0}, {0/0} } do "
          "assert(not pcall(r.choices, r, bad)) end return 'refused'",
          "refused");
    lua_box_free(box);
}

/* Metatables, methods and errors that a recipe needs still work. */
static void test_language(void) {
    spak_error err;
    lua_box *box;
    if (!ok(lua_box_new(NULL, &box, &err), "a box with default limits")) return;
    gives(box, "return 7 // 2 .. ' ' .. -7 // 2 .. ' ' .. 7 / 2 .. ' ' .. 7 % -3", "3 -4 3.5 -2");
    gives(box, "local C = {} C.__index = C function C:f() return self.x end return setmetatable({x = 'm'}, C):f()",
          "m");
    gives(box, "local ok, e = pcall(error, {code = 5}) return tostring(ok) .. e.code", "false5");
    gives(box, "local ok, e = xpcall(error, function(m) return 'handled ' .. m end, 'x') return e", "handled x");
    gives(box, "return select('#', pcall(function() return 1, 2, 3 end))", "4");
    gives(box, "return select('#', xpcall(function(...) return ... end, print, 1, 2))", "3");
    gives(box, "string.upper = nil local a = ('x'):upper() return a", "X");
    gives(box, "return utf8.len('\xc3\xa4') .. ('10' + 5)", "115");
    ok(!run(box, "local function f() return 1 + f() end f()", &err) && strstr(err.message, "stack overflow"),
       "Lua's own stack: %.40s", err.message);
    is_usable(box, "a stack overflow");
    gives(box, "local a <const> = 1 local n = 0 for w in ('a bc d'):gmatch('%a+') do n = n + #w end return n", "4");
    lua_box_free(box);
}

/* An API function that is called by a recipe and evaluates an expression in the same box. */
static int api_eval(lua_State *L) {
    lua_box *box = lua_touserdata(L, lua_upvalueindex(1));
    spak_error err;
    json_t *value;
    if (!lua_box_eval(box, luaL_checkstring(L, 1), "inner", NULL, &value, &err))
        return luaL_error(L, "%s", err.message);
    lua_pushinteger(L, json_integer_value(value));
    json_decref(value);
    return 1;
}

static int api_call(lua_State *L) {
    lua_box *box = lua_touserdata(L, lua_upvalueindex(1));
    spak_error err;
    if (!lua_box_call(box, lua_gettop(L) - 1, 1, &err)) return luaL_error(L, "%s", err.message);
    return 1;
}

static void test_nested_calls(void) {
    spak_error err;
    lua_box *box;
    if (!ok(lua_box_new(&SMALL, &box, &err), "a box")) return;
    lua_State *L = lua_box_state(box);
    lua_pushlightuserdata(L, box);
    lua_pushcclosure(L, api_eval, 1);
    lua_setglobal(L, "eval");
    lua_pushlightuserdata(L, box);
    lua_pushcclosure(L, api_call, 1);
    lua_setglobal(L, "call");
    gives(box, "return eval('20 + 1') * 2", "42");
    gives(box, "return call(function(a, b) return a + b end, 1, 2)", "3");
    gives(box,
          "local ok, e = pcall(eval, '(function() while true do end end)()') "
          "for i = 1, 5000 do local x = i end return e:match('instruction limit of %d+')",
          "instruction limit of 1000000");
    ok(!run(box, "while true do pcall(eval, '(function() while true do end end)()') end", &err) &&
           strstr(err.message, INSTRUCTIONS),
       "expressions draw on the recipe's budget: %s", err.message);
    is_usable(box, "nested expressions");
    ok(!run(box, "while true do pcall(call, function() while true do end end) end", &err) &&
           strstr(err.message, INSTRUCTIONS),
       "an inner call has no budget of its own: %s", err.message);
    is_usable(box, "nested calls");
    lua_pushinteger(L, 99);
    ok(!lua_box_call(box, 0, 0, &err) && strstr(err.message, "attempt to call a number"), "calling a number");
    is_int(lua_gettop(L), 0, "a failed call leaves nothing");
    lua_box_free(box);
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[300];
    spak_error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!spak_write_file(path, text, strlen(text), &err)) ok(false, "%s", err.message);
}

static void test_require(void) {
    char folder[] = "/tmp/spak-test-XXXXXX", root[100], path[200];
    spak_error err;
    lua_box *box;
    if (!ok(mkdtemp(folder) != NULL && lua_box_new(&SMALL, &box, &err), "a box and a folder")) return;
    snprintf(root, sizeof root, "%s/root", folder);
    write_file(root, "lib/stats.lua", "count = (count or 0) + 1\nreturn {name = ..., n = count}");
    write_file(root, "lib/none.lua", "local x = 1");
    write_file(root, "lib/bad.lua", "\n\nerror('from bad')");
    write_file(root, "lib/syntax.lua", "x = = 1");
    write_file(root, "lib/a.lua", "return require 'lib.b'");
    write_file(root, "lib/b.lua", "return require 'lib.a'");
    write_file(root, "lib/loop.lua", "while true do end");
    write_file(root, "lib/code.lua", "\33Lua");
    write_file(folder, "secret.lua", "return 'secret'");
    snprintf(path, sizeof path, "%s/lib/link.lua", root);
    ok(symlink("../../secret.lua", path) == 0, "a link that leads out");
    lua_box_set_require_root(box, root);
    gives(box, "local a, b = require 'lib.stats', require 'lib.stats' assert(a == b) return a.name .. a.n",
          "lib.stats1");
    gives(box, "return tostring(require 'lib.none') .. tostring(require 'lib.none')", "truetrue");
    static const attempt bad[] = {
        {"require 'lib.bad'", "bad.lua:3: from bad"},
        {"require 'lib.bad'", "bad.lua:3: from bad"}, /* again: a failure is not cached */
        {"require 'lib.syntax'", "syntax.lua:1: unexpected symbol"},
        {"require 'lib.a'", "modules require each other"},
        {"pcall(require, 'lib.loop') while true do end", "instruction limit"},
        {"require 'lib.code'", "compiled Lua is not accepted"},
        {"require 'lib.link'", "leads out of"},
        {"require 'lib.absent'", "not found"},
        {"require '..secret'", "is no module name"},
        {"require '../secret'", "is no module name"},
        {"require 'lib/stats'", "is no module name"},
        {"require '/etc/passwd'", "is no module name"},
        {"require 'lib..stats'", "is no module name"},
        {"require 'lib.stats\\0x'", "is no module name"},
        {"require 'Lib.stats'", "is no module name"},
        {"require '.lib'", "is no module name"},
        {"require ''", "is no module name"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool refused = !run(box, bad[i].code, &err);
        if (!ok(refused && strstr(err.message, bad[i].error), "%s", bad[i].code)) printf("# %s\n", err.message);
    }
    snprintf(path, sizeof path, "%s/lib/bad.lua", root);
    ok(!lua_box_run_file(box, path, &err) && strstr(err.message, "bad.lua:3: from bad\n  in"), "a file's error: %s",
       err.message);
    snprintf(path, sizeof path, "%s/lib/stats.lua", root);
    ok(lua_box_run_file(box, path, &err) && lua_istable(lua_box_state(box), -1), "a file's value");
    ok(!lua_box_run_file(box, "/nonexistent.lua", &err) && strstr(err.message, "/nonexistent.lua"), "no such file");
    lua_box_free(box);
    snprintf(path, sizeof path, "rm -r %s", folder);
    ok(system(path) == 0, "cleaned up");
}

/* The n-th allocation fails, n = 0, 1, ...: no crash, no leak (the sanitizer looks), an error text, and the box can be
 * used when memory is back. */
static void test_no_memory(void) {
    spak_error err;
    lua_box *box = NULL;
    long n = 0;
    int silent = 0;
    for (bool made = false; !made && n < 100000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        made = lua_box_new(NULL, &box, &err);
        spak_alloc_fail_after(-1);
        if (!made && (box || !err.message[0])) silent++;
    }
    ok(n > 100 && box && !silent, "a box in %ld allocations", n - 1);
    static const char code[] =
        "local t = {} for i = 1, 50 do t[i] = ('x'):rep(i * 50):upper() end table.sort(t) "
        "local n = 0 for k, v in pairs(t) do n = n + select(2, v:gsub('X', 'yy')) end "
        "local ok, e = pcall(error, {}) return #table.concat(t)";
    bool done = false;
    for (n = 0, silent = 0; !done && n < 5000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = lua_box_run_text(box, "t", code, sizeof code - 1, &err);
        spak_alloc_fail_after(-1);
        if (!done && !strstr(err.message, "out of memory")) silent++, printf("# %ld: %s\n", n, err.message);
        lua_settop(lua_box_state(box), 0);
        if (n % 50 == 0) is_usable(box, "a failed allocation");
    }
    ok(done && n > 20 && !silent, "a chunk in %ld allocations", n - 1);
    lua_box_free(box);
}

int main(void) {
    spak_json_init();
    test_attempts();
    test_nested_source();
    test_determinism();
    test_language();
    test_nested_calls();
    test_require();
    test_no_memory();
    return done_testing();
}
