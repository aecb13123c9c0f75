/* Every allocation fails once: a clean error each time, nothing leaked (run it with SAN=1), the file intact. */
#include "trace_test.h"

/* A record whose parts make every buffer grow. */
static json_t *big_body(void) {
    json_t *samples = json_array();
    for (int i = 0; i < 60; i++) json_array_append_new(samples, json_real(1.0 / (i + 3)));
    return json_pack("{s:o, s:{s:s, s:[i,b,n]}, s:s}", "samples_ms", samples, "nested", "unit", "ms", "list", 1, 1,
                     "text",
                     "a longer text with \"quotes\" and \x01 control characters, enough to outgrow a first buffer");
}

static bool is_oom(const spak_error *err) { return strstr(err->message, "out of memory") != NULL; }

static void test_append(void) {
    spak_error err = {0};
    trace_writer *writer;
    trace_status status;
    make_trace("append.jsonl", 2, &err);
    if (!trace_open("append.jsonl", &writer, NULL, &err)) return;
    long n = 0, clean = 0, failed = 0;
    for (bool appended = false; !appended && n < 1000; n++) {
        json_t *body = big_body();
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        appended = trace_append(writer, "measure", body, NULL, &err);
        spak_alloc_fail_after(-1);
        failed += !appended;
        clean += !appended && is_oom(&err) && trace_verify("append.jsonl", &status, &err) && status.records == 2;
    }
    ok(n > 10 && n < 1000, "append: %ld allocations", n - 1);
    is_int(clean, failed, "each failure is an error about memory and leaves the trace alone (%s)", err.message);
    ok(trace_verify("append.jsonl", &status, &err) && status.records == 3, "then it succeeds");
    trace_close(writer);
}

static void test_open(void) {
    spak_error err = {0};
    trace_status status;
    make_trace("open.jsonl", 3, &err);
    spak_str text = slurp("open.jsonl");
    long n = 0, clean = 0, failed = 0;
    bool opened = false;
    for (; !opened && n < 1000; n++) {
        trace_writer *writer = NULL;
        spill("open.jsonl", text.data, text.len - 3); /* a torn tail, to be cut by a successful opening only */
        spak_alloc_fail_after(n);
        opened = trace_open("open.jsonl", &writer, &status, &err);
        spak_alloc_fail_after(-1);
        failed += !opened;
        if (!opened) {
            spak_str now = slurp("open.jsonl");
            clean += !writer && is_oom(&err) && now.len == text.len - 3;
            spak_str_free(&now);
        }
        trace_close(writer);
    }
    ok(n > 10 && n < 1000, "open: %ld allocations", n - 1);
    is_int(clean, failed, "each failure is clean and cuts nothing off (%s)", err.message);
    ok(opened && status.records == 2 && status.torn_bytes > 0, "then it succeeds");
    spak_str_free(&text);
}

static void test_read(const char *path, const json_t *want) {
    spak_error err = {0};
    long n = 0, clean = 0, failed = 0;
    bool done = false;
    for (; !done && n < 2000; n++) {
        json_t *records = NULL;
        trace_status status;
        spak_alloc_fail_after(n);
        done = trace_read(path, &records, &status, &err);
        spak_alloc_fail_after(-1);
        failed += !done;
        clean += !done && !records && is_oom(&err);
        if (done) ok(json_equal(records, want), "%s: what is read is whole", path);
        json_decref(records);
    }
    ok(n > 10 && n < 2000, "%s: %ld allocations", path, n - 1);
    is_int(clean, failed, "%s: each failure is an error about memory (%s)", path, err.message);
}

static void test_lock(void) {
    spak_error err = {0};
    long n = 0, clean = 0, failed = 0;
    size_t traces = 0;
    ok(trace_lock_write("LOCK", &err), "pinned: %s", err.message);
    bool done = false;
    for (; !done && n < 2000; n++) {
        spak_alloc_fail_after(n);
        done = trace_lock_check("LOCK", &traces, &err);
        spak_alloc_fail_after(-1);
        failed += !done;
        clean += !done && is_oom(&err) && traces == 0;
    }
    ok(done && traces >= 3, "lock check: %ld allocations, %zu traces", n - 1, traces);
    is_int(clean, failed, "each failure is an error about memory (%s)", err.message);
}

int main(void) {
    if (!make_scratch()) return 1;
    spak_error err = {0};
    test_append();
    test_open();
    json_t *records = NULL;
    ok(trace_read("append.jsonl", &records, NULL, &err), "reads: %s", err.message);
    ok(system("gzip -k append.jsonl") == 0, "packs");
    test_read("append.jsonl", records);
    test_read("append.jsonl.gz", records);
    json_decref(records);
    test_lock();
    remove_scratch();
    return done_testing();
}
