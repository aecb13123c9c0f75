/* Appending: what a trace holds afterwards, what is refused, torn tails, full disks. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "trace_test.h"

static void test_append_and_read(void) {
    spak_error err = {0};
    trace_writer *writer = NULL;
    trace_status status;
    uint64_t seq = 99;
    ok(trace_open("new/folder/a.jsonl", &writer, &status, &err), "a trace and its folders are made: %s", err.message);
    is_int(status.records, 0, "a new trace holds nothing");
    is_str(trace_head(writer), "0000000000000000000000000000000000000000000000000000000000000000", "its head is zeros");
    is_str(trace_path(writer), "new/folder/a.jsonl", "the writer knows its path");
    ok(trace_append(writer, "run", json_pack("{s:s}", "machine", "m"), &seq, &err), "run: %s", err.message);
    is_int(seq, 0, "the first record has seq 0");
    ok(trace_append(writer, "measure", json_pack("{s:[f,f]}", "ms", 0.1, 2.0), &seq, &err), "measure: %s", err.message);
    is_int(seq, 1, "the second has seq 1");
    char head[SPAK_SHA256_HEX + 1];
    snprintf(head, sizeof head, "%s", trace_head(writer));
    trace_close(writer);

    spak_str text = slurp("new/folder/a.jsonl");
    char line0[SPAK_SHA256_HEX + 1], want[512];
    const char *newline = strchr(spak_str_text(&text), '\n');
    spak_sha256(text.data, (size_t)(newline - text.data), line0, NULL);
    snprintf(want, sizeof want,
             "{\"kind\":\"run\",\"machine\":\"m\",\"prev\":\"%064d\",\"seq\":0}\n"
             "{\"kind\":\"measure\",\"ms\":[0.1,2.0],\"prev\":\"%s\",\"seq\":1}\n",
             0, line0);
    is_str(spak_str_text(&text), want, "the file's bytes are the canonical, chained lines");
    spak_str_free(&text);

    json_t *records;
    ok(trace_read("new/folder/a.jsonl", &records, &status, &err), "reads: %s", err.message);
    is_int(json_array_size(records), 2, "two records");
    is_int(status.records, 2, "the status says so");
    is_int(status.torn_bytes, 0, "nothing torn");
    is_str(status.head, head, "the reader's head is the writer's");
    is_near(json_real_value(json_array_get(json_object_get(json_array_get(records, 1), "ms"), 0)), 0.1, 0, "values");
    json_decref(records);

    ok(trace_open("new/folder/a.jsonl", &writer, &status, &err), "opens again");
    is_int(status.records, 2, "with what is there");
    ok(trace_append(writer, "end", json_object(), &seq, &err), "goes on: %s", err.message);
    is_int(seq, 2, "counting on");
    trace_close(writer);
    ok(trace_verify("new/folder/a.jsonl", &status, &err) && status.records == 3, "three records verify");
}

static void refused(trace_writer *writer, const char *kind, json_t *body, const char *part, const char *name) {
    spak_error err = {0};
    ok(!trace_append(writer, kind, body, NULL, &err) && strstr(err.message, part), "refused: %s (%s)", name,
       err.message);
}

static void test_refusals(void) {
    spak_error err = {0};
    trace_writer *writer;
    trace_status status;
    trace_open("refuse.jsonl", &writer, NULL, &err);
    refused(writer, "measure", json_object(), "\"run\"", "first record not run");
    append_one(writer, "run", 0, &err);
    refused(writer, "speculate", json_object(), "known kind", "unknown kind");
    refused(writer, "measure", json_array(), "JSON object", "body an array");
    refused(writer, "measure", json_pack("{s:f}", "ms", (double)NAN), "not finite", "NaN");
    refused(writer, "measure", json_pack("{s:f}", "ms", (double)INFINITY), "not finite", "infinity");
    refused(writer, "measure", json_pack("{s:i}", "seq", 1), "\"seq\"", "own seq");
    refused(writer, "measure", json_pack("{s:s}", "kind", "run"), "\"kind\"", "own kind");
    refused(writer, "measure", json_pack("{s:s}", "prev", ""), "\"prev\"", "own prev");
    json_t *deep = json_object();
    for (int i = 0; i < 300; i++) deep = json_pack("{s:o}", "d", deep);
    refused(writer, "measure", deep, "nested deeper", "300 levels");
    json_t *kept = json_pack("{s:i}", "x", 1);
    ok(trace_append(writer, "measure", json_incref(kept), NULL, &err), "a body that someone else holds");
    is_int(json_object_size(kept), 1, "stays as it was");
    ok(trace_append(writer, "measure", json_incref(kept), NULL, &err), "and can be appended twice: %s", err.message);
    json_decref(kept);
    trace_close(writer);
    ok(trace_verify("refuse.jsonl", &status, &err) && status.records == 3, "the refused left no mark");

    ok(!trace_open("refuse.jsonl.gz", &writer, NULL, &err) && strstr(err.message, "archive"), "no .gz: %s",
       err.message);
    ok(!trace_open("/dev/full", &writer, NULL, &err) && strstr(err.message, "regular file"), "no device: %s",
       err.message);
    ok(!trace_open("refuse.jsonl/x", &writer, NULL, &err), "no file below a file: %s", err.message);
    ok(writer == NULL, "and no writer");
    ok(!trace_verify("absent.jsonl", &status, &err) && strstr(err.message, "absent.jsonl"), "absent: %s", err.message);
}

/* Every length of the last record, from one byte to all but its newline. */
static void test_torn_tails(void) {
    spak_error err = {0};
    make_trace("torn.jsonl", 4, &err);
    spak_str text = slurp("torn.jsonl");
    size_t last = text.len - 1;
    while (text.data[last - 1] != '\n') last--;
    int reported = 0, recovered = 0, lengths = 0;
    for (size_t len = last + 1; len < text.len; len++, lengths++) {
        trace_status status;
        json_t *records = NULL;
        spill("torn.jsonl", text.data, len);
        reported += trace_read("torn.jsonl", &records, &status, &err) && json_array_size(records) == 3 &&
                    status.torn_bytes == len - last;
        json_decref(records);
        spak_str untouched = slurp("torn.jsonl");
        reported -= untouched.len != len;
        spak_str_free(&untouched);

        trace_writer *writer = NULL;
        bool good = trace_open("torn.jsonl", &writer, &status, &err) && status.torn_bytes == len - last &&
                    status.records == 3 && append_one(writer, "measure", 3, &err);
        trace_close(writer);
        spak_str after = slurp("torn.jsonl");
        recovered += good && after.len == text.len && memcmp(after.data, text.data, text.len) == 0;
        spak_str_free(&after);
    }
    ok(lengths > 100, "%d lengths of a torn record", lengths);
    is_int(reported, lengths, "each is reported by readers, which change nothing");
    is_int(recovered, lengths, "each is cut off by the next writer, with all before it kept");
    spak_str_free(&text);
}

/* A file size limit stands for a full disk: write() comes up short, then fails. */
static void test_full_disk(void) {
    spak_error err = {0};
    trace_writer *writer;
    trace_status status;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    int clean = 0, tries = 0;
    for (int room = 0; room < 140; room += 7, tries++) {
        unlink("full.jsonl");
        make_trace("full.jsonl", 3, &err);
        struct stat st;
        stat("full.jsonl", &st);
        bool good = trace_open("full.jsonl", &writer, NULL, &err);
        small = old;
        small.rlim_cur = (rlim_t)(st.st_size + room);
        setrlimit(RLIMIT_FSIZE, &small);
        err.message[0] = 0;
        bool failed = !append_one(writer, "measure", 3, &err) && strstr(err.message, "full.jsonl") &&
                      strstr(err.message, "disk full") && strstr(err.message, strerror(EFBIG));
        setrlimit(RLIMIT_FSIZE, &old);
        good = good && failed && trace_verify("full.jsonl", &status, &err) && status.records == 3 &&
               status.torn_bytes == 0;
        good = good && append_one(writer, "measure", 3, &err) && trace_verify("full.jsonl", &status, &err) &&
               status.records == 4;
        trace_close(writer);
        clean += good;
    }
    is_int(clean, tries, "a full disk: clear error, the trace verifies, and goes on once there is room (%s)",
           err.message);
}

/* Another program that ignores the lock. */
static void test_meddling(void) {
    spak_error err = {0};
    trace_writer *writer;
    make_trace("meddle.jsonl", 2, &err);
    trace_open("meddle.jsonl", &writer, NULL, &err);
    FILE *other = fopen("meddle.jsonl", "a");
    fputs("x", other);
    fclose(other);
    ok(!append_one(writer, "measure", 2, &err) && strstr(err.message, "another program"), "seen: %s", err.message);
    trace_close(writer);
    trace_open("meddle.jsonl", &writer, NULL, &err);
    unlink("meddle.jsonl");
    ok(!append_one(writer, "measure", 2, &err) && strstr(err.message, "deleted"), "a deleted trace: %s", err.message);
    trace_close(writer);
}

int main(void) {
    if (!make_scratch()) return 1;
    test_append_and_read();
    test_refusals();
    test_torn_tails();
    test_full_disk();
    test_meddling();
    remove_scratch();
    return done_testing();
}
