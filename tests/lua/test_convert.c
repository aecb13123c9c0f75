/* JSON to Lua and back: round trips, what cannot be converted and where, lack of memory. */
#include "lua/convert.h"

#include <stdlib.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "lua/sandbox.h"

static lua_box *box;

/* Runs code and converts the value that it returns. */
static bool value_of(const char *code, json_t **out, spak_error *err) {
    lua_State *L = lua_box_state(box);
    lua_settop(L, 0);
    *out = NULL;
    if (!lua_box_run_text(box, "t", code, strlen(code), err)) return false;
    bool good = lua_to_json(L, -1, out, err);
    if (lua_gettop(L) != 1) ok(false, "%s leaves %d values", code, lua_gettop(L));
    lua_settop(L, 0);
    return good;
}

static void test_values(void) {
    static const char *const cases[][2] = {
        {"return nil", "null"},
        {"return spak.null", "null"},
        {"return true", "true"},
        {"return 7", "7"},
        {"return -0.0", "-0.0"},
        {"return 7.0", "7.0"},
        {"return 1e300", "1e+300"},
        {"return math.mininteger", "-9223372036854775808"},
        {"return 'a\\0b\\u{e4}'", "\"a\\u0000b\xc3\xa4\""},
        {"return {}", "{}"},
        {"return spak.array{}", "[]"},
        {"return spak.array()", "[]"},
        {"return {1, {2}, {}}", "[1,[2],{}]"},
        {"return {1, spak.null, 3}", "[1,null,3]"},
        {"return {b = 1, a = {x = {1.5}}}", "{\"a\":{\"x\":[1.5]},\"b\":1}"},
        {"local t = {} t[3] = 3 t[2] = 2 t[1] = 1 return t", "[1,2,3]"},
        {"return {[1.0] = 'x'}", "[\"x\"]"},
        {"return {['1'] = 'x'}", "{\"1\":\"x\"}"},
        {"local t = {1} return {t, t}", "[[1],[1]]"}, /* shared is no cycle */
        {"return setmetatable({x = 1}, {__index = {y = 2}, __pairs = error, __len = error})", "{\"x\":1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value;
        spak_error err;
        spak_str text = {0};
        if (value_of(cases[i][0], &value, &err) && spak_json_canonical(value, &text, &err)) {
            is_str(spak_str_text(&text), cases[i][1], "%s", cases[i][0]);
        } else {
            ok(false, "%s: %s", cases[i][0], err.message);
        }
        spak_str_free(&text);
        json_decref(value);
    }
}

static void test_refusals(void) {
    static const char *const cases[][2] = {
        {"return 0/0", "value: NaN is not a number a record can hold"},
        {"return {samples = {{}, {}, {time_ms = 0/0}}}", "samples[3].time_ms: NaN is not a number a record can hold"},
        {"return {{x = -1/0}}", "[1].x: an infinity is not a number"},
        {"return print", "value: a function has no form in JSON"},
        {"return {a = spak.rng(1)}", "a: a userdata has no form in JSON"},
        {"return {f = print, a = print, z = print, b = 1}", "a: a function"},
        {"return {1, 2, nil, 4}", "value: a list of 3 values with a hole: it has the key 4"},
        {"return {[0] = 1}", "with a hole"},
        {"return {[math.mininteger] = 1}", "with a hole"},
        {"return {x = {1, y = 2}}", "x: a table with both positions and names"},
        {"local t = spak.array{} t.x = 1 return t", "both positions and names"},
        {"return {[1.5] = 1}", "a number that is no integer"},
        {"return {[true] = 1}", "key of type boolean"},
        {"local t = {} t.a = {t} return t", "a[1]: the table contains itself"},
        {"return {'\\xff'}", "[1]: a string that is not UTF-8"},
        {"return '\\xed\\xa0\\x80'", "not UTF-8"}, /* a surrogate */
        {"return '\\xc0\\x80'", "not UTF-8"},      /* not the shortest form */
        {"return '\\xe4'", "not UTF-8"},           /* cut off */
        {"return '\\xf4\\x90\\x80\\x80'", "not UTF-8"},
        {"return {['a\\0b'] = 1}", "without zero bytes"},
        {"return {['\\xff'] = 1}", "not UTF-8"},
        {"local t = 1 for i = 1, 201 do t = {t} end return t", "nested deeper than 200 levels"},
        {"local t = 1 for i = 1, 100000 do t = {x = t} end return t", "nested deeper than 200 levels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value;
        spak_error err = {0};
        bool good = value_of(cases[i][0], &value, &err);
        if (!ok(!good && !value && strstr(err.message, cases[i][1]), "refused: %s", cases[i][0]))
            printf("# want '%s'\n# got  '%s'\n", cases[i][1], err.message);
        json_decref(value);
    }
    json_t *value;
    spak_error err;
    ok(value_of("local t = 1 for i = 1, 200 do t = {t} end return t", &value, &err), "200 levels are converted");
    lua_State *L = lua_box_state(box);
    ok(lua_push_json(L, value) && lua_gettop(L) == 1, "and pushed");
    json_t *deeper = json_pack("[o]", value);
    ok(!lua_push_json(L, deeper) && lua_gettop(L) == 1, "201 levels are not, and leave the stack alone");
    ok(!lua_push_json(L, NULL) && lua_gettop(L) == 1, "nor is no value");
    lua_settop(L, 0);
    json_decref(deeper);
}

static json_t *random_value(spak_mt *mt, int depth) {
    static const double reals[] = {0.0, -0.0, 0.1, 1e300, 5e-324, -1.5, 9007199254740993.0, 1e15};
    static const char *const texts[] = {"", "a", "\xc3\xa4", "\xf0\x9f\x98\x80", "1", "with space", "\"\\\n"};
    switch (depth < 2 ? 5 + spak_mt_below(mt, 2) : spak_mt_below(mt, depth > 5 ? 5 : 7)) {
        case 0: return json_null();
        case 1: return json_boolean(spak_mt_below(mt, 2));
        case 2: return json_integer((json_int_t)spak_mt_getrandbits(mt, 1 + (int)spak_mt_below(mt, 64)));
        case 3: return json_real(reals[spak_mt_below(mt, 8)]);
        case 4: return json_string(texts[spak_mt_below(mt, 7)]);
        case 5: {
            json_t *array = json_array();
            for (size_t n = spak_mt_below(mt, 6); n > 0; n--) json_array_append_new(array, random_value(mt, depth + 1));
            return array;
        }
        default: {
            json_t *object = json_object();
            for (size_t n = spak_mt_below(mt, 6); n > 0; n--)
                json_object_set_new(object, texts[spak_mt_below(mt, 7)], random_value(mt, depth + 1));
            return object;
        }
    }
}

static void test_round_trips(void) {
    enum { ROUNDS = 3000 };
    lua_State *L = lua_box_state(box);
    spak_mt mt;
    spak_mt_seed(&mt, 11);
    int different = 0;
    size_t bytes = 0;
    for (int i = 0; i < ROUNDS; i++) {
        json_t *value = random_value(&mt, 0), *back = NULL;
        spak_error err = {0};
        spak_str want = {0}, got = {0};
        bool good = lua_push_json(L, value) && lua_to_json(L, -1, &back, &err) &&
                    spak_json_canonical(value, &want, &err) && spak_json_canonical(back, &got, &err) &&
                    strcmp(spak_str_text(&want), spak_str_text(&got)) == 0;
        if (!good && different++ < 5) printf("# want %s\n# got  %s %s\n", want.data, spak_str_text(&got), err.message);
        bytes += want.len;
        lua_settop(L, 0);
        spak_str_free(&want);
        spak_str_free(&got);
        json_decref(value);
        json_decref(back);
    }
    is_int(different, 0, "%d random values (%zu bytes) come back as they went", ROUNDS, bytes);
    ok(bytes > 20 * ROUNDS, "and they were not all empty");
}

static int push_it(lua_State *L) {
    const json_t *value = lua_touserdata(L, 1);
    if (!lua_push_json(L, value)) return luaL_error(L, "not pushed");
    return 1;
}

/* Each allocation fails in turn, on the way in (Lua raises) and on the way out (an error value). */
static void test_no_memory(void) {
    lua_State *L = lua_box_state(box);
    json_t *value = json_pack("{s:[i,f,n,{s:s}],s:{s:b},s:[]}", "a", 1, 2.5, "deep",
                              "a longer text that is not interned", "o", "flag", 1, "e");
    long n = 0;
    bool done = false;
    int silent = 0;
    spak_error err;
    for (; !done && n < 1000; n++) {
        lua_pushcfunction(L, push_it);
        lua_pushlightuserdata(L, value);
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = lua_box_call(box, 1, 1, &err);
        spak_alloc_fail_after(-1);
        if (!done && !strstr(err.message, "out of memory")) silent++;
    }
    ok(done && n > 5 && !silent && lua_gettop(L) == 1, "pushed in %ld allocations", n - 1);
    json_t *back = NULL;
    for (n = 0, done = false; !done && n < 1000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = lua_to_json(L, -1, &back, &err);
        spak_alloc_fail_after(-1);
        if (!done && (back || !strstr(err.message, "out of memory"))) silent++;
    }
    ok(done && n > 5 && !silent && json_equal(value, back), "converted back in %ld allocations", n - 1);
    json_decref(back);
    lua_settop(L, 0);
    lua_getglobal(L, "print");
    done = true;
    for (n = 0; n < 3; n++) {
        spak_alloc_fail_after(n);
        done = done && !lua_to_json(L, -1, &back, &err) && !back;
        spak_alloc_fail_after(-1);
    }
    ok(done, "a refusal without memory for its text");
    lua_settop(L, 0);
    json_decref(value);
}

int main(void) {
    spak_error err;
    spak_json_init();
    if (!ok(lua_box_new(NULL, &box, &err), "a box")) return done_testing();
    test_values();
    test_refusals();
    test_round_trips();
    test_no_memory();
    lua_box_free(box);
    return done_testing();
}
