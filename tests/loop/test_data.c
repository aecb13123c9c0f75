/* The data sets of a run: its record names them with their hashes, and a run on other content is another run. In a copy
 * of what a run reads, so that its data can be changed. */
#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"

#include "base/fs.h"
#include "base/progress.h"
#include "loop/loop.h"
#include "lua/sandbox.h"

static const char first_names[] = "ana\nbela\n", other_names[] = "ana\nbelo\n";
static const char *const names[] = {"names", "names"}, *const nobody[] = {"nobody"};
static lua_box *box;

static void put(const char *path, const char *text) {
    spak_error err = {0};
    if (!spak_write_file(path, text, strlen(text), &err)) printf("Bail out! %s\n", err.message), exit(1);
}

/* The data set and its stand-in have the same content, `text`; only the stand-in is there. */
static void put_data(const char *text) {
    char hash[SPAK_SHA256_HEX + 1], manifest[1024];
    spak_sha256(text, strlen(text), hash, NULL);
    snprintf(
        manifest, sizeof manifest,
        "dataset names {\n  file: \"names.txt\"\n  bytes: %zu\n  sha256: \"%s\"\n  url: \"https://example.org/n\"\n"
        "  license: \"MIT\"\n  holds: \"names\"\n  builtin: \"data/builtin/names.txt\"\n  builtin_sha256: \"%s\"\n}\n",
        strlen(text), hash, hash);
    put("data/MANIFEST.dsl", manifest);
    put("data/builtin/names.txt", text);
    unlink("data/cache/names.txt");
}

static loop_run *opened(const char *const *data, size_t count, spak_error *err) {
    loop_spec spec = {.name = "toy",
                      .profile = "smoke",
                      .system_path = "tests/cli/fixtures/tiny_system_v1.dsl",
                      .out_dir = "out",
                      .data = data,
                      .num_data = count,
                      .seed = 1,
                      .eval = lua_box_evaluator(box)};
    loop_run *run = NULL;
    if (!loop_open(&spec, &run, err)) printf("# %s\n", err->message);
    return run;
}

static const json_t *recorded(const loop_run *run) {
    return run ? json_object_get(json_array_get(run->records, 0), "data") : NULL;
}

static void is_recorded(const loop_run *run, const char *origin, const char *text) {
    char hash[SPAK_SHA256_HEX + 1];
    const json_t *data = recorded(run), *one = json_array_get(data, 0);
    spak_sha256(text, strlen(text), hash, NULL);
    is_int(json_array_size(data), 1, "the run record lists the data set once");
    is_str(spak_json_str(one, "name", ""), "names", "... its name");
    is_str(spak_json_str(one, "origin", ""), origin, "... its origin");
    is_str(spak_json_str(one, "sha256", ""), hash, "... its hash");
}

static void test_open(void) {
    spak_error err = {0};
    put_data(first_names);
    loop_run *run = opened(nobody, 1, &err);
    ok(!run && strstr(err.message, "no data set 'nobody'") && !spak_exists("out/traces/toy.jsonl"),
       "an unknown data set is an error, and no trace is begun");
    loop_close(run);
    run = opened(names, 2, &err);
    is_recorded(run, "builtin", first_names);
    loop_close(run);
    run = opened(names, 2, &err);
    ok(run && !run->note && json_array_size(run->records) == 2, "the same data: the run goes on in its trace");
    loop_close(run);
    put("data/cache/names.txt", first_names);
    run = opened(names, 2, &err);
    ok(run && !run->note && json_array_size(run->records) == 3, "the same content from elsewhere: it goes on too");
    loop_close(run);
    put_data(other_names);
    run = opened(names, 2, &err);
    ok(run && run->note && strstr(run->note, "the data has changed since"), "other content: the trace is put aside");
    is_recorded(run, "builtin", other_names);
    loop_close(run);
    run = opened(names, 0, &err);
    ok(run && run->note && strstr(run->note, "the data has changed since"), "a run without the data is another one");
    is_int(json_array_size(recorded(run)), 0, "... and lists none");
    loop_close(run);
}

static void ends_changed(loop_run *run, const char *what) {
    spak_error err = {0};
    ok(run && !loop_end(run, &err) && strstr(err.message, "data set names changed while the experiment ran"), "%s: %s",
       what, err.message);
    const json_t *end = run ? json_array_get(run->records, json_array_size(run->records) - 1) : NULL;
    is_str(spak_json_str(end, "status", ""), "inputs_changed", "... and the end record says so");
    is_str(json_string_value(json_array_get(json_object_get(end, "changed"), 0)), "data set names", "... of which");
    loop_close(run);
}

static void test_end(void) {
    spak_error err = {0};
    put_data(first_names);
    loop_run *run = opened(names, 1, &err);
    put_data(other_names);
    ends_changed(run, "data that change during the run");
    put_data(first_names);
    run = opened(names, 1, &err);
    unlink("data/builtin/names.txt");
    ends_changed(run, "data that vanish");
    put_data(first_names);
    run = opened(names, 1, &err);
    ok(run && loop_end(run, &err), "data left alone: the run ends well %s", err.message);
    loop_close(run);
    run = opened(names, 1, &err);
    ok(run && run->complete, "... and is complete when it is opened again");
    loop_close(run);
    put_data(other_names);
    run = opened(names, 1, &err);
    ok(run && !run->complete && run->note, "... but not with other data");
    loop_close(run);
}

int main(void) {
    char folder[] = "/tmp/spak-loop-data-XXXXXX", command[512];
    spak_error err = {0};
    spak_json_init();
    spak_progress_quiet(true);
    unsetenv("SPAK_DATA_MIRROR");
    if (!mkdtemp(folder)) return 1;
    snprintf(command, sizeof command,
             "mkdir -p %s/tests/cli %s/kernels && cp -R kernels/matmul %s/kernels/ && cp -R tests/cli/fixtures "
             "%s/tests/cli/",
             folder, folder, folder, folder);
    if (system(command) != 0 || chdir(folder) != 0 || !lua_box_new(NULL, &box, &err)) return 1;
    test_open();
    test_end();
    lua_box_free(box);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return (system(command) != 0) | done_testing();
}
