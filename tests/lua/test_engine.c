/* run:engine and run:program: what their records hold, that they resume, and what becomes of bad scripts, absent
 * programs and hostile output. */
#include <sys/stat.h>

#include "../loop/toy.h"
#include "../tap.h"
#include "base/hash.h"
#include "data/data.h"
#include "lua/api.h"

static const char atom[] = "experiments/microgpt/atom.lua";

/* The first losses of the Python original, on the data set and on its stand-in (with an alphabet of a to z). */
static const double losses_of_names[] = {3.3659669475848504, 3.4242727838717717, 3.177802125458052,  3.066355684224198,
                                         3.220883089750623,  2.945159723009943,  3.2894250644306684, 3.324529585380703,
                                         2.8990336423579377, 3.2228882401182624};
static const double losses_of_builtin[] = {
    3.254717728810906,  3.3570312760838754, 3.301528902779024,  3.1910186367461364, 3.2311073453775307,
    3.1068271198104087, 2.867411836324998,  2.9643580287073124, 2.963215171840409,  3.21681718381011};

static json_t *parsed(const char *text) {
    json_t *value = NULL;
    spak_error err = {0};
    if (!spak_json_parse("asked", text, strlen(text), &value, &err)) toy_fatal(&err);
    return value;
}

/* A run whose recipe names the data set. */
static void open_run(toy *t) {
    spak_error err = {0};
    json_t *description = NULL;
    toy_open(t, toy_system_text);
    if (!data_describe("names", &description, &err)) toy_fatal(&err);
    t->run.data = json_pack("[o]", description);
}

static void close_run(toy *t) {
    json_decref(t->run.data);
    t->run.data = NULL;
    toy_close(t);
}

static void pass_gate(toy *t) {
    spak_error err = {0};
    open_run(t);
    if (!loop_plan(&t->run, &err) || !loop_gate(&t->run, &err)) toy_fatal(&err);
}

static void add_input(toy *t, const char *path) {
    char hex[SPAK_SHA256_HEX + 1];
    if (spak_sha256_file(path, hex, NULL))
        json_array_append_new(t->run.inputs, json_pack("{s:s, s:s}", "path", path, "sha256", hex));
}

/* --- engines --- */

static json_t *ask_engine(const char *script, int steps) {
    return json_pack("{s:s, s:s, s:{s:s, s:i, s:i, s:i}, s:i, s:f}", "label", "atom", "script", script, "problem",
                     "dataset", "names", "steps", steps, "seed", 42, "schedule", 1000, "samples", 1, "step_timeout_s",
                     20.0);
}

static json_t *ask_program(const char *script) {
    return json_pack("{s:s, s:[s,s,s], s:f}", "label", "peer", "command", "sh", "-c", script, "timeout_s", 20.0);
}

static void test_atom(void) {
    enum { STEPS = 10 };
    toy t;
    spak_error err = {0};
    const json_t *record = NULL, *again = NULL;
    json_t *asked = ask_engine(atom, STEPS), *description = NULL;
    open_run(&t);
    ok(!lua_engine(&t.run, asked, &record, &err) && strstr(err.message, "`inputs`"), "a script that is no input: %s",
       err.message);
    add_input(&t, atom);
    ok(!lua_engine(&t.run, asked, &record, &err) && strstr(err.message, "no ticket"), "no ticket, no engine");
    json_t *program = ask_program("echo no");
    ok(!lua_program(&t.run, program, &record, &err) && strstr(err.message, "no ticket"), "and no program");
    json_decref(program);
    json_t *data = t.run.data;
    t.run.data = NULL;
    ok(!lua_engine(&t.run, asked, &record, &err) && strstr(err.message, "`data`"), "a data set that is not named: %s",
       err.message);
    t.run.data = data;
    err = (spak_error){0};
    if (!loop_plan(&t.run, &err) || !loop_gate(&t.run, &err)) toy_fatal(&err);
    if (!ok(lua_engine(&t.run, asked, &record, &err), "the atom runs %s", err.message)) toy_fatal(&err);
    if (!data_describe("names", &description, &err)) toy_fatal(&err);
    bool builtin = !strcmp(spak_json_str(description, "origin", ""), "builtin");
    const double *want = builtin ? losses_of_builtin : losses_of_names;
    const json_t *losses = json_object_get(record, "losses"), *times = json_object_get(record, "step_ms");
    double worst = 0, fastest = 1e9, sum = 0;
    for (size_t i = 0; i < STEPS; i++) {
        worst = fmax(worst, fabs(json_number_value(json_array_get(losses, i)) - want[i]));
        fastest = fmin(fastest, json_number_value(json_array_get(times, i)));
        sum += json_number_value(json_array_get(times, i));
    }
    ok(json_array_size(losses) == STEPS && worst < 1e-9, "its first losses are the original's (%.2g apart)", worst);
    ok(json_array_size(times) == STEPS && fastest > 0.1, "each step has its time");
    times = json_object_get(record, "time_ms");
    is_int(json_array_size(times), 1, "the run is one sample");
    is_near(json_number_value(json_array_get(times, 0)), sum / STEPS, 1e-12 * sum, "the mean of its steps");
    is_int(json_array_size(json_object_get(record, "names")), 1, "and a name was drawn");
    ok(json_equal(json_object_get(record, "dataset"), description), "the data set is named, with its hash");
    is_str(spak_json_str(record, "engine", ""), LUA_RELEASE, "and the engine");
    size_t before = json_array_size(t.run.records);
    ok(lua_engine(&t.run, asked, &again, &err) && again == record && json_array_size(t.run.records) == before,
       "an equal record is not made twice");
    is_str(spak_json_str(record, "status", ""), "ok", "it went well");
    ok(!json_object_get(record, "config"), "without a configuration it is no side of a prediction");
    json_object_set_new(asked, "config", json_pack("{s:s}", "variant", "atom"));
    ok(lua_engine(&t.run, asked, &again, &err) && again != record &&
           json_equal(json_object_get(again, "config"), json_object_get(asked, "config")) &&
           json_equal(json_object_get(again, "asked"), json_object_get(asked, "config")),
       "with one it is another record, which holds it");
    json_object_set_new(asked, "label", json_string("other"));
    json_object_set_new(json_object_get(asked, "problem"), "steps", json_integer(2));
    ok(lua_engine(&t.run, asked, &again, &err) && again != record, "another problem is another record");
    json_decref(asked);
    json_decref(description);
    close_run(&t);
}

/* Runs a script of the test's own for two steps; the message, or NULL when it ran. */
static const char *engine_error(const char *text) {
    static spak_error err;
    toy t;
    const json_t *record = NULL;
    pass_gate(&t);
    char *path = toy_path(&t, "engine.lua");
    err = (spak_error){0};
    if (!spak_write_file(path, text, strlen(text), &err)) toy_fatal(&err);
    add_input(&t, path);
    json_t *asked = ask_engine(path, 2);
    json_object_set_new(asked, "step_timeout_s", json_real(0.5));
    bool fine = lua_engine(&t.run, asked, &record, &err);
    if (fine == !record) toy_fatal(&(spak_error){"a record without a run, or a run without a record"});
    json_decref(asked);
    spak_free(path);
    close_run(&t);
    return fine ? NULL : err.message;
}

static void fails(const char *text, const char *with, const char *what) {
    const char *message = engine_error(text);
    ok(message && strstr(message, with), "%s: %s", what, message ? message : "no error");
}

#define MODEL(step, sample)                                                                      \
    "local M = {} M.__index = M function M:step(i, n) " step " end function M:sample(t) " sample \
    " end return { new = function(docs, rng) return setmetatable({ n = #docs }, M) end }"

static void test_bad_engines(void) {
    ok(!engine_error(MODEL("return i / n + self.n", "return tostring(t)")), "a model of a line runs");
    fails("return 1", "a function `new`", "no table");
    fails("return { new = function() end }", "returns a model", "no model");
    fails("return { new = function() return { step = function() return 1 end } end }", "no method `sample`",
          "no sample");
    fails(MODEL("return 0/0", "return ''"), "step 1: the loss is not a finite number", "a loss that is none");
    fails(MODEL("if i == 2 then error('boom') end return 1", "return ''"), "step 2", "an error names its step");
    fails(MODEL("return 1", "return 3"), "sample 1: a sample is a text", "a sample that is no text");
    fails(MODEL("while true do end", "return ''"), "time limit of 0.5 s", "a step that does not end");
    fails(MODEL("while true do pcall(function() while true do end end) end", "return ''"), "time limit",
          "and cannot catch its end");
    fails("while true do end", "time limit", "a script that does not end");
    fails(MODEL("local t = {} for k = 1, 1e9 do t[k] = { k } end", "return ''"), "limit of", "one that eats memory");
    fails("return { new = function() return setmetatable({}, { __index = function() error('trap') end }) end }", "trap",
          "a model whose look-up fails");
    fails(
        "local atom = require 'microgpt.atom' "
        "return { new = function(docs, rng) docs[3] = 'Zoe' return atom.new(docs, rng) end }",
        "name 3, 'Zoe': expected letters a to z, found the byte 0x5A", "the atom and a bad letter");
    fails("return { new = function() error('a bad name') end }", ", data set names (", "an error names the data set");
    fails("os.exit(1)", "os", "the sandbox holds");
}

/* --- programs --- */

static const char *text_at(const json_t *record, size_t i) {
    return spak_json_str(json_array_get(json_object_get(record, "lines"), i), "text", "(none)");
}

/* The programs' folders of the toy run that are still there. */
static bool folders_left(const toy *t) {
    char **names = NULL;
    size_t count = 0;
    bool left = false;
    char *place = toy_path(t, "toy");
    if (spak_exists(place) && !spak_list_dir(place, &names, &count, NULL)) left = true;
    for (size_t i = 0; i < count; i++) left = left || strstr(names[i], SPAK_TEMPORARY);
    spak_names_free(names, count);
    spak_free(place);
    return left;
}

static void test_program(toy *t) {
    spak_error err = {0};
    const json_t *record = NULL, *again = NULL;
    json_t *asked = ask_program(
        "ls; case $PWD in */toy/program.spak-tmp-*) ;; *) pwd ;; esac; echo $WORD; printf 'a\\0b\\377\\n'; pwd; echo "
        "'__SPAK_TRACE__ {\"ms\": [1, 2]}'");
    json_object_set_new(asked, "files", parsed("{\"input.txt\": {\"dataset\": \"names\"}}"));
    json_object_set_new(asked, "env", parsed("{\"WORD\": \"hello\"}"));
    json_object_set_new(asked, "versions", parsed("[[\"echo\", \"1.2\"], [\"spak-no-such-program\"]]"));
    if (!ok(lua_program(&t->run, asked, &record, &err), "a program runs %s", err.message)) toy_fatal(&err);
    is_str(spak_json_str(record, "status", ""), "ok", "to its end");
    is_str(text_at(record, 0), "input.txt", "in a folder that holds its files and no more");
    is_str(text_at(record, 1), "hello", "with its environment");
    is_str(text_at(record, 2),
           "a\xEF\xBF\xBD"
           "b\xEF\xBF\xBD",
           "what is no text is replaced");
    is_str(text_at(record, 3), ".", "its folder's path is not told");
    is_int(json_array_size(json_object_get(record, "lines")), 4, "a report is no line");
    const json_t *report = json_array_get(json_object_get(record, "reports"), 0);
    is_int(json_array_size(json_object_get(report, "ms")), 2, "but a report");
    is_str(spak_json_str(json_object_get(record, "versions"), "echo", ""), "1.2", "versions are asked");
    const json_t *file = json_object_get(json_object_get(record, "files"), "input.txt");
    is_int(strlen(spak_json_str(file, "sha256", "")), 64, "files have their hash");
    ok(!folders_left(t), "the folder is gone");
    size_t before = json_array_size(t->run.records);
    ok(lua_program(&t->run, asked, &again, &err) && again == record && json_array_size(t->run.records) == before,
       "an equal record is not made twice");
    json_decref(asked);
}

static void test_ends(toy *t) {
    spak_error err = {0};
    const json_t *record = NULL;
    json_t *asked = ask_program("i=0; while :; do i=$((i+1)); echo $i; done");
    json_object_set_new(asked, "max_lines", json_integer(7));
    ok(lua_program(&t->run, asked, &record, &err) && json_array_size(json_object_get(record, "lines")) == 7,
       "max_lines stops it");
    is_str(spak_json_str(record, "status", ""), "stopped", "which its record says");
    json_decref(asked);
    asked = ask_program("echo begun; sleep 300");
    json_object_set_new(asked, "timeout_s", json_real(0.3));
    ok(lua_program(&t->run, asked, &record, &err) && !strcmp(spak_json_str(record, "status", ""), "stopped"),
       "so does its time");
    is_str(spak_json_str(record, "reason", ""), "it had not ended after 0.3 s", "with the reason");
    json_decref(asked);
    asked = ask_program("echo working; echo 'first' >&2; echo \"no luck in $PWD\" >&2; exit 3");
    ok(lua_program(&t->run, asked, &record, &err) && !strcmp(spak_json_str(record, "status", ""), "failed"),
       "a program that fails is a record too");
    is_str(spak_json_str(record, "reason", ""), "exit status 3: no luck in .", "with its last complaint");
    is_str(spak_json_str(record, "stderr", ""), "first\nno luck in .", "and all of them");
    json_decref(asked);
}

static void refused(toy *t, const char *script, const char *with, const char *what) {
    spak_error err = {0};
    const json_t *record = NULL;
    json_t *asked = ask_program(script);
    size_t before = json_array_size(t->run.records);
    bool fine = lua_program(&t->run, asked, &record, &err);
    ok(!fine && strstr(err.message, with) && json_array_size(t->run.records) == before, "%s: %s", what, err.message);
    json_decref(asked);
}

static void test_hostile(toy *t) {
    refused(t, "yes | head -n 1000000", "more than 100000 lines", "a million lines");
    refused(t, "head -c 3000000 /dev/zero", "line 1 of its output is longer than 1048576 bytes", "a line without end");
    refused(t, "for i in 1 2 3 4 5 6 7 8 9; do head -c 1000000 /dev/zero; echo; done", "or 8 MiB",
            "much of everything");
    refused(t, "echo fine; echo '__SPAK_TRACE__ {\"ms\": NaN}'", "line 2 of its output", "a malformed report");
    refused(t, "echo '__SPAK_TRACE__ 3'", "expected a JSON object", "a report that is no object");
    ok(!folders_left(t), "no folder is left");
}

/* A file of the project must be an input of the recipe, however its path is written and whoever reads it. */
static void test_inputs(toy *t) {
    char *here = getcwd(NULL, 0);
    spak_str absolute = {0};
    spak_str_printf(&absolute, "%s/tests/tap.sh", here);
    const char *const paths[] = {"tests/tap.sh", "./tests/tap.sh", "tests/lua/../tap.sh", absolute.data};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        spak_error err = {0};
        const json_t *record = NULL;
        json_t *asked = json_pack("{s:s, s:[s,s]}", "label", "own", "command", "cat", paths[i]);
        ok(!lua_program(&t->run, asked, &record, &err) && strstr(err.message, "program own: tests/tap.sh: ") &&
               strstr(err.message, "`inputs`"),
           "refused: %s", err.message);
        json_decref(asked);
    }
    add_input(t, "tests/tap.sh");
    spak_str_free(&absolute);
    free(here);
}

static void test_absent(toy *t) {
    spak_error err = {0};
    const json_t *record = NULL, *again = NULL;
    json_t *asked = parsed("{\"label\": \"peer\", \"command\": [\"sh\", \"$SPAK_TEST_PEER\"]}");
    unsetenv("SPAK_TEST_PEER");
    ok(!lua_program(&t->run, asked, &record, &err) && strstr(err.message, "SPAK_TEST_PEER is not set"),
       "a peer that is not there: %s", err.message);
    err = (spak_error){0};
    json_object_set_new(asked, "optional", json_true());
    ok(lua_program(&t->run, asked, &record, &err) && !strcmp(spak_json_str(record, "status", ""), "absent"),
       "is no error when it is optional");
    size_t before = json_array_size(t->run.records);
    ok(lua_program(&t->run, asked, &again, &err) && again == record && json_array_size(t->run.records) == before,
       "and recorded once");
    char *path = toy_path(t, "peer.sh");
    spak_write_file(path, "echo \"I am $0\"", 14, &err);
    setenv("SPAK_TEST_PEER", path, 1);
    if (!ok(lua_program(&t->run, asked, &again, &err) && again != record, "when it comes, it runs %s", err.message))
        toy_fatal(&err);
    char *text = json_dumps(again, 0);
    ok(text && !strstr(text, t->dir), "and no path of this machine is in its record");
    is_str(json_string_value(json_array_get(json_object_get(again, "command"), 1)), "peer.sh", "but its name");
    is_int(strlen(spak_json_str(json_array_get(json_object_get(again, "scripts"), 0), "sha256", "")), 64,
           "and its hash");
    is_str(text_at(again, 0), "I am peer.sh", "also in what it prints");
    spak_write_file(path, "echo changed!", 13, &err);
    ok(lua_program(&t->run, asked, &record, &err) && record != again, "a changed program runs anew");
    free(text);
    spak_free(path);
    json_decref(asked);
    asked = parsed("{\"label\": \"gone\", \"command\": [\"spak-no-such-program\"], \"optional\": true}");
    ok(lua_program(&t->run, asked, &record, &err) && !strcmp(spak_json_str(record, "status", ""), "absent"),
       "so is a program that is not installed");
    ok(!json_object_get(record, "lines"), "and it has no lines");
    json_decref(asked);
    asked = parsed("{\"label\": \"gone\", \"command\": [\"sh\", \"experiments/no_such.sh\"], \"optional\": true}");
    bool fine = lua_program(&t->run, asked, &record, &err);
    is_str(fine ? spak_json_str(record, "reason", "") : err.message, "experiments/no_such.sh: there is no such file",
           "and so is a file of the project");
    json_decref(asked);
    test_inputs(t);
    asked = parsed("{\"label\": \"own\", \"command\": [\"cat\", \"tests/tap.sh\"], \"max_lines\": 1}");
    ok(lua_program(&t->run, asked, &record, &err) && strstr(text_at(record, 0), "TAP 13"),
       "one that is there is found from the program's folder %s", err.message);
    json_decref(asked);
}

/* What was not installed may be when the run goes on. */
static void test_installed(toy *t) {
    spak_error err = {0};
    const json_t *record = NULL, *again = NULL;
    json_t *asked = parsed("{\"label\": \"late\", \"command\": [\"spak-test-peer\"], \"optional\": true}");
    if (!lua_program(&t->run, asked, &record, &err)) toy_fatal(&err);
    spak_str path = {0};
    spak_str_printf(&path, "%s:%s", t->dir, getenv("PATH"));
    setenv("PATH", path.data, 1);
    spak_str_clear(&path);
    spak_str_printf(&path, "%s/spak-test-peer", t->dir);
    spak_write_file(path.data, "#!/bin/sh\necho here\n", 20, &err);
    chmod(path.data, 0755);
    ok(lua_program(&t->run, asked, &again, &err) && again != record && !strcmp(text_at(again, 0), "here"),
       "a program that was absent is looked for again %s", err.message);
    ok(lua_program(&t->run, asked, &record, &err) && again == record, "until it was there");
    spak_str_free(&path);
    json_decref(asked);
}

/* Each allocation fails in turn: an error, no record, no folder. */
static void test_memory(toy *t) {
    spak_error err = {0};
    const json_t *record = NULL;
    bool good = true, fine = false;
    long n = 0;
    json_t *asked = ask_program("echo one; echo '__SPAK_TRACE__ {}'; echo no >&2; exit 1");
    json_object_set_new(asked, "label", json_string("memory"));
    json_object_set_new(asked, "files", parsed("{\"input.txt\": {\"dataset\": \"names\"}}"));
    json_object_set_new(asked, "env", parsed("{\"WORD\": \"hello\"}"));
    for (; n < 5000 && !fine; n += n < 60 ? 1 : 23) {
        size_t before = json_array_size(t->run.records);
        err = (spak_error){0};
        spak_alloc_fail_after(n);
        fine = lua_program(&t->run, asked, &record, &err);
        spak_alloc_fail_after(-1);
        if (fine) break;
        good = good && *err.message && json_array_size(t->run.records) == before && !folders_left(t);
    }
    ok(fine && good && n > 60, "each of %ld allocations may fail: %s", n, good ? "" : err.message);
    json_decref(asked);
}

/* The same from a recipe. */
static void test_recipe(toy *t) {
    static const char text[] =
        "return function(run)\n"
        "  local r = run:program { label = 'lua', command = { 'sh', '-c', 'echo one; echo two' } }\n"
        "  assert(r.status == 'ok' and #r.lines == 2 and r.lines[2].text == 'two' and r.lines[2].t_ms > 0)\n"
        "  assert(not pcall(run.program, run, 3) and not pcall(run.engine, run, { label = 'x' }))\n"
        "end\n";
    spak_error err = {0};
    ok(lua_box_run_text(t->box, "recipe", text, strlen(text), &err), "a recipe loads %s", err.message);
    lua_push_run(lua_box_state(t->box), &t->run);
    ok(lua_box_call(t->box, 1, 0, &err), "and calls run:program %s", err.message);
}

/* A time that no clock can keep is refused before anything runs; the number's own way through Lua and JSON included. */
static void test_timeouts(toy *t) {
    static const char text[] =
        "return function(run)\n"
        "  local function try(time)\n"
        "    local a, x = pcall(run.program, run, { label = 'p', command = { 'true' }, timeout_s = time })\n"
        "    local b, y = pcall(run.engine, run, { label = 'e', script = 'experiments/microgpt/atom.lua',\n"
        "      problem = { dataset = 'names', steps = 1, seed = 1 }, step_timeout_s = time })\n"
        "    assert(not a and x:find('timeout_s', 1, true), tostring(x))\n"
        "    assert(not b and y:find('step_timeout_s', 1, true), tostring(y))\n"
        "  end\n"
        "  for _, time in ipairs { 0, -1, -0.0, 0/0, 1/0, -1/0, 1e300, -1e300, 1000001, 1 << 62, '5' } do try(time) "
        "end\n"
        "end\n";
    spak_error err = {0};
    size_t before = json_array_size(t->run.records);
    lua_settop(lua_box_state(t->box), 0);
    ok(lua_box_run_text(t->box, "recipe", text, strlen(text), &err), "a recipe loads %s", err.message);
    lua_push_run(lua_box_state(t->box), &t->run);
    ok(lua_box_call(t->box, 1, 0, &err), "each bad time is refused by its name %s", err.message);
    is_int(json_array_size(t->run.records), before, "and nothing ran");
    json_t *asked = ask_program("exec sleep 300");
    const json_t *record = NULL;
    json_object_set_new(asked, "timeout_s", json_real(1e-300));
    ok(lua_program(&t->run, asked, &record, &err) && !strcmp(spak_json_str(record, "status", ""), "stopped"),
       "the shortest time is over at once %s", err.message);
    json_decref(asked);
}

int main(void) {
    toy t;
    spak_json_init();
    test_atom();
    test_bad_engines();
    pass_gate(&t);
    test_program(&t);
    test_ends(&t);
    test_hostile(&t);
    test_absent(&t);
    test_installed(&t);
    test_memory(&t);
    test_recipe(&t);
    test_timeouts(&t);
    close_run(&t);
    return done_testing();
}
