/* Records from programs in other languages, through a pipe that cuts their lines anywhere. */
#include <fcntl.h>
#include <signal.h>

#include "trace_test.h"

typedef struct result {
    bool done;
    int exit_status;
    size_t records; /* beside the run record */
    spak_str output;
    json_t *all;
    spak_error err;
} result;

/* Runs argv with standard output in a file (or in `to`), collecting into a fresh trace. */
static result collect_to(const char *to, char *const argv[]) {
    result r = {0};
    trace_writer *writer;
    unlink("c.jsonl");
    if (!trace_open("c.jsonl", &writer, NULL, &r.err) || !append_one(writer, "run", 0, &r.err)) return r;
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), file = open(to, O_RDWR | O_CREAT | O_TRUNC, 0666);
    dup2(file, STDOUT_FILENO);
    close(file);
    r.done = trace_collect(writer, argv, &r.exit_status, &r.err);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    trace_close(writer);
    r.output = slurp(to);
    trace_status status;
    spak_error err = {0};
    if (trace_read("c.jsonl", &r.all, &status, &err))
        r.records = status.records - 1;
    else
        printf("# %s\n", err.message);
    return r;
}

static result collect_sh(const char *script) {
    char text[4096];
    snprintf(text, sizeof text, "%s", script);
    char sh[] = "sh", flag[] = "-c";
    return collect_to("out.txt", (char *[]){sh, flag, text, NULL});
}

static void done_with(result *r) {
    json_decref(r->all);
    spak_str_free(&r->output);
}

#define M "__SPAK_TRACE__ "

static void test_good(void) {
    result r = collect_sh("echo plain; echo '" M "{\"kind\": \"measure\", \"ms\": [1.50, 2]}'; echo ' " M
                          "{}';"
                          "echo '" M "'; echo __SPAK_TRACE__; printf '" M "{\"kind\":\"end\"}'");
    ok(!r.done && strstr(r.err.message, "line 4"), "a marker with nothing behind it is a fault: %s", r.err.message);
    is_int(r.exit_status, 0, "the program's status");
    is_int(r.records, 2, "both records are kept, the last line's without its newline too");
    is_str(spak_str_text(&r.output),
           "plain\n" M "{\"kind\": \"measure\", \"ms\": [1.50, 2]}\n " M "{}\n" M "\n__SPAK_TRACE__\n" M
           "{\"kind\":\"end\"}",
           "the output is passed on unchanged");
    json_t *measure = json_array_get(r.all, 1);
    is_near(json_real_value(json_array_get(json_object_get(measure, "ms"), 0)), 1.5, 0, "with its values");
    is_str(spak_json_str(measure, "kind", ""), "measure", "and its kind");
    done_with(&r);

    r = collect_sh("true");
    ok(r.done && r.records == 0 && r.output.len == 0, "a program that prints nothing");
    done_with(&r);
}

static void test_split_lines(void) {
    result r = collect_sh("for part in __SP AK_TR 'ACE__ ' '{\"ki' 'nd\":\"mea' 'sure\",\"i\":' 7 '}' '\n" M
                          "{' '\"kind\":"
                          "\"end\"}\n'; do printf '%s' \"$part\"; sleep 0.02; done");
    ok(r.done && r.records == 2, "lines in pieces: %s", r.err.message);
    is_int(spak_json_int(json_array_get(r.all, 1), "i", 0), 7, "put together");
    done_with(&r);
    r = collect_sh("i=0; while [ $i -lt 40 ]; do printf '%s{\"kind\":\"measure\",\"i\":%d}\\nnoise\\n' '" M
                   "' $i; i=$((i+1)); done");
    ok(r.done && r.records == 40, "many records: %s", r.err.message);
    is_int(spak_json_int(json_array_get(r.all, 40), "i", 0), 39, "in order");
    done_with(&r);
}

static void test_long_lines(void) {
    result r = collect_sh("head -c 300000 /dev/zero | tr '\\0' x; echo; printf '" M
                          "{\"kind\":\"measure\",\"text\":\"';"
                          "head -c 300000 /dev/zero | tr '\\0' y; echo '\"}'");
    ok(r.done && r.records == 1, "long lines: %s", r.err.message);
    is_int(strlen(spak_json_str(json_array_get(r.all, 1), "text", "")), 300000, "a long record is whole");
    is_int(r.output.len, 300001 + strlen(M "{'kind':'measure','text':''}\n") + 300000, "all is passed on");
    done_with(&r);
    r = collect_sh("printf '" M
                   "{\"kind\":\"measure\",\"text\":\"'; head -c 68000000 /dev/zero | tr '\\0' y; echo '\"}';"
                   "echo '" M "{\"kind\":\"end\"}'");
    ok(!r.done && strstr(r.err.message, "found a longer one") && strstr(r.err.message, "line 1 "), "too long: %s",
       r.err.message);
    is_int(r.records, 1, "the next record is kept");
    ok(r.output.len > 68000000, "and all is passed on");
    done_with(&r);
    unlink("out.txt");
}

static void bad_record(const char *record, const char *part, const char *name) {
    char script[1024];
    snprintf(script, sizeof script,
             "echo '" M "{\"kind\":\"measure\",\"i\":1}'; cat <<'EOF'\n" M "%s\nEOF\necho '" M
             "{\"kind\":\"measure\",\"i\":2}'; exit 5",
             record);
    result r = collect_sh(script);
    ok(!r.done && strstr(r.err.message, "line 2 of its output") && strstr(r.err.message, part), "%s: %s", name,
       r.err.message);
    ok(r.records == 2 && r.exit_status == 5 && spak_json_int(json_array_get(r.all, 2), "i", 0) == 2,
       "  the good records around it are kept, and the exit status");
    done_with(&r);
}

static void test_bad_records(void) {
    bad_record("{\"kind\":\"measure\"", "not valid JSON", "half a record");
    bad_record("[1, 2]", "\"kind\"", "an array");
    bad_record("{\"ms\": 1}", "\"kind\"", "no kind");
    bad_record("{\"kind\": 3}", "\"kind\"", "kind a number");
    bad_record("{\"kind\": \"guess\"}", "known kind", "an unknown kind");
    bad_record("{\"kind\": \"measure\", \"seq\": 4}", "\"seq\"", "its own seq");
    bad_record("{\"kind\": \"measure\", \"a\": 1, \"a\": 2}", "duplicate", "a duplicate key");
    bad_record("{\"kind\": \"measure\", \"ms\": NaN}", "no NaN", "NaN");
    bad_record("{\"kind\": \"measure\", \"ms\": -Infinity}", "no Infinity", "infinity");
    result r = collect_sh("echo '" M "x'; echo '" M "y'; echo '" M "z'");
    ok(!r.done && strstr(r.err.message, "line 1 ") && strstr(r.err.message, "2 more"), "three faults: %s",
       r.err.message);
    done_with(&r);
}

static void test_endings(void) {
    result r = collect_sh("echo '" M "{\"kind\":\"end\"}'; kill -TERM $$");
    ok(r.done && r.records == 1, "a killed program's records are kept: %s", r.err.message);
    is_int(r.exit_status, 128 + SIGTERM, "its exit status is 128 + the signal");
    done_with(&r);
    r = collect_sh("exit 42");
    ok(r.done && r.exit_status == 42, "an exit status of 42");
    done_with(&r);
    char absent[] = "spak-no-such-program";
    r = collect_to("out.txt", (char *[]){absent, NULL});
    ok(!r.done && strstr(r.err.message, absent) && strstr(r.err.message, "No such file"), "not found: %s",
       r.err.message);
    is_int(r.exit_status, 127, "with a shell's exit status for it");
    done_with(&r);
    char nothing[] = "";
    r = collect_to("out.txt", (char *[]){nothing, NULL});
    ok(!r.done, "an empty name: %s", r.err.message);
    done_with(&r);
    char sh[] = "sh", flag[] = "-c",
         text[] = "echo '" M "{\"kind\":\"measure\"}'; echo a; sleep 0.05; echo b; echo '" M "{\"kind\":\"end\"}'";
    r = collect_to("/dev/full", (char *[]){sh, flag, text, NULL});
    ok(!r.done && strstr(r.err.message, "standard output"), "output that cannot be passed on: %s", r.err.message);
    is_int(r.records, 2, "loses no record");
    done_with(&r);
}

static void test_other_languages(void) {
    char python[] = "python3", awk[] = "awk", flag[] = "-c";
    char code[] = "import json\nprint('" M "' + json.dumps({'kind': 'measure', 'ms': [0.1, 1e-7], 'who': 'p\\u00e9'}))";
    char program[] = "BEGIN { print \"" M "{\\\"kind\\\":\\\"measure\\\",\\\"ms\\\":[\" 0.1 \",1e-7]}\" }";
    result r = collect_to("out.txt", (char *[]){awk, program, NULL});
    ok(r.done && r.records == 1, "awk takes part: %s", r.err.message);
    done_with(&r);
    if (system("python3 -c pass 2>/dev/null") != 0) {
        skip_test("no python3 here");
        return;
    }
    r = collect_to("out.txt", (char *[]){python, flag, code, NULL});
    ok(r.done && r.records == 1, "python takes part: %s", r.err.message);
    is_str(spak_json_str(json_array_get(r.all, 1), "who", ""), "p\xc3\xa9", "its escapes are read");
    done_with(&r);
}

int main(void) {
    if (!make_scratch()) return 1;
    test_good();
    test_split_lines();
    test_long_lines();
    test_bad_records();
    test_endings();
    test_other_languages();
    remove_scratch();
    return done_testing();
}
