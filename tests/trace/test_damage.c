/* Planted faults: whatever is done to a trace after the fact is seen, and the message says where. */
#include <zlib.h>

#include "trace_test.h"

static spak_str good; /* a trace of four records */
static size_t at[5];  /* where its lines begin; at[4] is the end */
static char good_head[SPAK_SHA256_HEX + 1];

static void prepare(void) {
    spak_error err = {0};
    trace_status status;
    if (!make_trace("good.jsonl", 4, &err) || !trace_verify("good.jsonl", &status, &err)) printf("# %s\n", err.message);
    memcpy(good_head, status.head, sizeof good_head);
    good = slurp("good.jsonl");
    for (size_t i = 0, line = 1; i < good.len; i++)
        if (good.data[i] == '\n') at[line++] = i + 1;
}

/* A trace made of lines, each given by its number in the good one. */
static void verify_lines(const char *numbers, int bad_line, const char *part, const char *name) {
    spak_str text = {0};
    for (const char *n = numbers; *n; n++)
        spak_str_append(&text, good.data + at[*n - '0'], at[*n - '0' + 1] - at[*n - '0']);
    spill("lines.jsonl", text.data, text.len);
    spak_str_free(&text);
    spak_error err = {0};
    char place[64];
    snprintf(place, sizeof place, "lines.jsonl:%d:", bad_line);
    ok(!trace_verify("lines.jsonl", NULL, &err) && strstr(err.message, place) && strstr(err.message, part), "%s: %s",
       name, err.message);
}

/* The second record with `old` replaced by `new`. */
static void verify_edit(const char *old, const char *new, const char *part, const char *name) {
    spak_str text = {0};
    spak_error err = {0};
    const char *found = strstr(good.data + at[1], old);
    size_t before = found ? (size_t)(found - good.data) : 0;
    bool there = found && before < at[2];
    spak_str_append(&text, good.data, before);
    spak_str_puts(&text, new);
    if (there) spak_str_append(&text, found + strlen(old), good.len - before - strlen(old));
    spill("edit.jsonl", spak_str_text(&text), text.len);
    spak_str_free(&text);
    json_t *records = NULL;
    bool failed = !trace_verify("edit.jsonl", NULL, &err);
    ok(there && failed && strstr(err.message, "edit.jsonl:") && strstr(err.message, part), "%s: %s", name, err.message);
    ok(!trace_read("edit.jsonl", &records, NULL, &err) && !records, "  read sees it too");
    trace_writer *writer = NULL;
    ok(!trace_open("edit.jsonl", &writer, NULL, &err) && !writer, "  and no one appends to it");
}

static void test_edits(void) {
    verify_edit("\"i\":1", "\"i\":2", "edit.jsonl:3: broken chain", "a field's value");
    verify_edit("\"ms\":0.1", "\"ms\":0.3", "edit.jsonl:3: broken chain", "a measurement");
    verify_edit("\"text\"", "\"texu\"", "edit.jsonl:3: broken chain", "a field's name");
    verify_edit("\"kind\":\"measure\"", "\"kind\":\"correct\"", "edit.jsonl:3: broken chain", "another known kind");
    verify_edit("\"kind\":\"measure\"", "\"kind\":\"guess\"", "edit.jsonl:2: damaged record: expected a known kind",
                "an unknown kind");
    verify_edit("\"kind\":\"measure\"", "\"kind\":7", "edit.jsonl:2: damaged record: expected a \"kind\"",
                "kind a number");
    verify_edit("\"kind\":\"measure\",", "", "expected a \"kind\"", "no kind");
    verify_edit("\"seq\":1", "\"seq\":2", "edit.jsonl:2: damaged record: expected seq 1, found 2", "a wrong seq");
    verify_edit("\"seq\":1", "\"seq\":1.0", "expected a \"seq\"", "seq a real");
    verify_edit(",\"seq\":1", "", "expected a \"seq\"", "no seq");
    verify_edit("\"prev\":\"", "\"prev\":\"0", "edit.jsonl:2: broken chain", "another prev");
    verify_edit("\"prev\"", "\"prew\"", "expected a \"prev\"", "no prev");
    verify_edit("\"i\":1,", "\"i\":1, ", "expected canonical JSON", "a space");
    verify_edit("\"ms\":0.1", "\"ms\":0.10", "expected canonical JSON", "a longer number");
    verify_edit("\"ms\":0.1", "\"ms\":1e-1", "expected canonical JSON", "another spelling of a number");
    verify_edit("{\"i\":1,\"kind\":\"measure\"", "{\"kind\":\"measure\",\"i\":1", "expected canonical JSON",
                "unsorted keys");
    verify_edit("\"i\":1,", "\"i\":1,\"i\":1,", "duplicate", "a duplicate key");
    verify_edit("\xc3\xa9", "\\u00e9", "expected canonical JSON", "an escape where none is needed");
    verify_edit("\xc3\xa9", "\xc3", "unable to decode byte", "half a character");
    verify_edit("}\n", "}\r\n", "expected canonical JSON", "a carriage return");
    verify_edit("}\n", "}\n\n", "edit.jsonl:3", "an empty line");
    verify_edit("}\n", "}}\n", "edit.jsonl:2:", "a brace too many");
    verify_edit("{\"i\":1", "[{\"i\":1", "edit.jsonl:2:", "a bracket");
    verify_edit("\"ms\":0.1", "\"ms\":NaN", "edit.jsonl:2:", "NaN");
    verify_edit("\"ms\":0.1", "\"ms\":1e999", "edit.jsonl:2:", "infinity");
    verify_edit("\"i\":1", "\"i\":99999999999999999999", "edit.jsonl:2:", "an integer beyond 64 bits");
}

static void test_lines(void) {
    spak_error err = {0};
    trace_status status;
    verify_lines("023", 2, "expected seq 1, found 2", "a removed record");
    verify_lines("0213", 2, "expected seq 1, found 2", "swapped records");
    verify_lines("01123", 3, "expected seq 2, found 1", "a record put in");
    verify_lines("123", 1, "expected the first record's kind to be \"run\"", "the first record removed");
    verify_lines("0123012", 5, "expected seq 4, found 0", "two traces in one file");
    spill("short.jsonl", good.data, at[3]);
    ok(trace_verify("short.jsonl", &status, &err) && status.records == 3 && strcmp(status.head, good_head) != 0,
       "records cut from the end leave a valid chain with another head");
    spill("last.jsonl", good.data, good.len - 2);
    FILE *file = fopen("last.jsonl", "a");
    fputs("\n", file);
    fclose(file);
    trace_writer *writer;
    ok(!trace_verify("last.jsonl", NULL, &err) && strstr(err.message, "last.jsonl:4:"),
       "half a record with a newline is damage, no torn tail: %s", err.message);
    ok(!trace_open("last.jsonl", &writer, NULL, &err), "which a writer does not cut off either");
    spak_str kept = slurp("last.jsonl");
    is_int(kept.len, good.len - 1, "and leaves as it is");
    spak_str_free(&kept);
    spill("array.jsonl", "[1]\n", 4);
    ok(!trace_verify("array.jsonl", NULL, &err) && strstr(err.message, "found an array"), "an array: %s", err.message);
    spill("empty.jsonl", "", 0);
    ok(trace_verify("empty.jsonl", &status, &err) && status.records == 0, "an empty file is an empty trace");
}

/* Each bit of each byte. In the last record a change may keep the line canonical: then the head differs. */
static void test_every_flip(void) {
    size_t missed = 0, torn = 0, by_head = 0;
    for (size_t i = 0; i < good.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            trace_status status;
            good.data[i] ^= (char)(1 << bit);
            spill("flip.jsonl", good.data, good.len);
            bool verified = trace_verify("flip.jsonl", &status, NULL);
            good.data[i] ^= (char)(1 << bit);
            if (!verified) continue;
            if (status.torn_bytes && status.records == 3)
                torn++;
            else if (i >= at[3] && strcmp(status.head, good_head) != 0)
                by_head++;
            else
                missed++;
        }
    }
    is_int(missed, 0, "no flipped bit of %zu bytes goes unseen", good.len);
    is_int(torn, 8, "the eight of the final newline read as a torn tail");
    ok(by_head > 0, "%zu in the last record are seen by the head alone", by_head);
}

static void pack(const char *path, const void *data, size_t len) {
    gzFile file = gzopen(path, "wb");
    if (gzwrite(file, data, (unsigned)len) != (int)len || gzclose(file) != Z_OK) printf("# cannot pack %s\n", path);
}

static void test_gzip(void) {
    spak_error err = {0};
    trace_status status;
    json_t *records = NULL;
    pack("good.jsonl.gz", good.data, good.len);
    ok(trace_read("good.jsonl.gz", &records, &status, &err), "a packed trace reads: %s", err.message);
    is_int(json_array_size(records), 4, "all its records");
    is_str(status.head, good_head, "with the same head");
    json_decref(records);

    pack("half1.gz", good.data, at[2]);
    pack("half2.gz", good.data + at[2], good.len - at[2]);
    spak_str one = slurp("half1.gz"), two = slurp("half2.gz");
    spak_str_append(&one, two.data, two.len);
    spill("members.jsonl.gz", one.data, one.len);
    ok(trace_verify("members.jsonl.gz", &status, &err) && status.records == 4, "two gzip members: %s", err.message);
    spak_str_free(&one);
    spak_str_free(&two);

    spak_str packed = slurp("good.jsonl.gz");
    size_t seen = 0;
    for (size_t len = 0; len < packed.len; len++) {
        spill("cut.jsonl.gz", packed.data, len);
        seen += !trace_verify("cut.jsonl.gz", &status, &err) && strstr(err.message, "cut.jsonl.gz");
    }
    is_int(seen, packed.len, "a packed trace cut at any length is damage: %s", err.message);
    packed.data[packed.len / 2] ^= 1;
    spill("cut.jsonl.gz", packed.data, packed.len);
    ok(!trace_verify("cut.jsonl.gz", &status, &err), "a flipped bit in it: %s", err.message);
    spak_str_free(&packed);
    spill("plain.jsonl.gz", good.data, good.len);
    ok(!trace_verify("plain.jsonl.gz", &status, &err), "a plain file named .gz: %s", err.message);
    pack("torn.jsonl.gz", good.data, good.len - 5);
    ok(trace_verify("torn.jsonl.gz", &status, &err) && status.records == 3 && status.torn_bytes > 0,
       "a torn tail inside an archive is reported");
}

static void test_long_line(void) {
    spak_error err = {0};
    FILE *file = fopen("long.jsonl", "w");
    ok(file && ftruncate(fileno(file), (off_t)65 << 20) == 0, "65 MiB without a newline");
    if (file) fclose(file);
    ok(!trace_verify("long.jsonl", NULL, &err) && strstr(err.message, "64 MiB"), "are refused: %s", err.message);
    unlink("long.jsonl");
}

int main(void) {
    if (!make_scratch()) return 1;
    prepare();
    test_edits();
    test_lines();
    test_every_flip();
    test_gzip();
    test_long_line();
    spak_str_free(&good);
    remove_scratch();
    return done_testing();
}
