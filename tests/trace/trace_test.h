/* What the trace tests share: a scratch folder, small traces, raw bytes in and out of files. */
#ifndef SPAK_TESTS_TRACE_TEST_H
#define SPAK_TESTS_TRACE_TEST_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "trace/trace.h"

static char scratch[64];

__attribute__((unused)) static void remove_scratch(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command) != 0) printf("# cannot remove %s\n", scratch);
}

__attribute__((unused)) static bool make_scratch(void) {
    snprintf(scratch, sizeof scratch, "/tmp/spak-trace-XXXXXX");
    spak_json_init();
    if (!mkdtemp(scratch)) return false;
    return chdir(scratch) == 0;
}

/* Appends one record {"i": i, "text": "..."} of the kind. */
__attribute__((unused)) static bool append_one(trace_writer *writer, const char *kind, int i, spak_error *err) {
    return trace_append(writer, kind, json_pack("{s:i, s:s, s:f}", "i", i, "text", "a \"b\" \xc3\xa9", "ms", i * 0.1),
                        NULL, err);
}

/* A trace of `count` records, the first a run. */
__attribute__((unused)) static bool make_trace(const char *path, int count, spak_error *err) {
    trace_writer *writer;
    if (!trace_open(path, &writer, NULL, err)) return false;
    bool good = true;
    for (int i = 0; good && i < count; i++) good = append_one(writer, i ? "measure" : "run", i, err);
    trace_close(writer);
    return good;
}

__attribute__((unused)) static spak_str slurp(const char *path) {
    spak_str text = {0};
    spak_read_file(path, &text, NULL);
    return text;
}

__attribute__((unused)) static void spill(const char *path, const void *data, size_t len) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }
}

#endif
