/* What the tests of this part share: a project folder in a temporary place with a trace in it. */
#ifndef SPAK_TESTS_REPORT_HELP_H
#define SPAK_TESTS_REPORT_HELP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "report/report.h"
#include "trace/trace.h"

static char root[128], out[160]; /* the project, and OUT */
static rep_place place = {.root = root, .out = out};

__attribute__((unused)) static const char *in(const char *base, const char *path) {
    static char text[8][512];
    static int next;
    next = (next + 1) % 8;
    snprintf(text[next], sizeof text[next], "%s/%s", base, path);
    return text[next];
}

__attribute__((unused)) static void put(const char *path, const char *text) {
    spak_error err = {0};
    if (!spak_write_file(path, text, strlen(text), &err)) printf("Bail out! %s\n", err.message), exit(1);
}

__attribute__((unused)) static char *get(const char *path) {
    spak_str text = {0};
    spak_error err = {0};
    if (!spak_read_file(path, &text, &err)) printf("# %s\n", err.message);
    return text.data ? text.data : strdup("");
}

__attribute__((unused)) static bool same_file(const char *path, const char *golden) {
    char *a = get(path), *b = get(golden);
    bool same = strcmp(a, b) == 0;
    if (!same && getenv("BLESS")) {
        put(golden, a);
        same = true;
    }
    if (!same) printf("# %s differs from %s:\n# ---\n%s\n# ---\n", path, golden, a);
    free(a);
    free(b);
    return same;
}

__attribute__((unused)) static void make_place(const char *name) {
    spak_json_init();
    snprintf(root, sizeof root, "/tmp/spak-%s-%ld", name, (long)getpid());
    snprintf(out, sizeof out, "%s/out", root);
    spak_make_dirs(out, NULL);
}

__attribute__((unused)) static void remove_place(void) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (!getenv("KEEP") && system(command)) printf("# could not remove %s\n", root);
}

static json_t
    *trace_data; /* what the run record of the next traces lists as its data sets; NULL: it has no such list */

/* A trace of `measures` measure records for the machine (`here` or an archived one), ended with status (NULL: never).
 * Its one input is kernels/ladder.c below root. */
__attribute__((unused)) static void make_trace(const char *name, const char *machine, int measures,
                                               const char *status) {
    spak_error err = {0};
    char path[512], hash[SPAK_SHA256_HEX + 1] = "";
    bool here = !strcmp(machine, "here");
    if (here)
        snprintf(path, sizeof path, "%s/traces/%s.jsonl", out, name);
    else
        snprintf(path, sizeof path, "%s/data/traces/%s/%s.jsonl", root, machine, name);
    if (!spak_exists(in(root, "kernels/ladder.c"))) put(in(root, "kernels/ladder.c"), "int ladder;\n");
    spak_sha256_file(in(root, "kernels/ladder.c"), hash, &err);
    unlink(path);
    trace_writer *writer = NULL;
    bool good = trace_open(path, &writer, NULL, &err) &&
                trace_append(writer, "run",
                             json_pack("{s:s,s:s,s:s,s:{s:s,s:s,s:i},s:[{s:s,s:s}],s:s,s:i,s:O*}", "name", name,
                                       "profile", "smoke", "started", "2026-11-21T07:00:00Z", "hw", "id",
                                       here ? "amd-epyc-zen3-2c" : machine, "cpu", "AMD EPYC", "cores", 2, "inputs",
                                       "path", "kernels/ladder.c", "sha256", hash, "binary_sha256",
                                       "0000000000000000000000000000000000000000000000000000000000000000", "seed", 42,
                                       "data", trace_data),
                             NULL, &err);
    for (int i = 0; good && i < measures; i++) {
        good = trace_append(writer, "measure",
                            json_pack("{s:s,s:i,s:f,s:[f,f,f]}", "step", i % 2 ? "blocked" : "naive", "size", 512,
                                      "gflops", 10.5 + i, "samples_ms", 1.5, 1.25, 1.75),
                            NULL, &err);
    }
    if (good && status) good = trace_append(writer, "end", json_pack("{s:s}", "status", status), NULL, &err);
    if (writer) trace_close(writer);
    if (!good) printf("Bail out! %s\n", err.message), exit(1);
}

/* The text as JSON; the test ends when it is none. */
__attribute__((unused)) static json_t *json(const char *text) {
    json_t *value = NULL;
    spak_error err = {0};
    if (!spak_json_parse("test", text, strlen(text), &value, &err)) printf("Bail out! %s\n", err.message), exit(1);
    return value;
}

/* Copies a file of the repository into the test's project. */
__attribute__((unused)) static void use(const char *from, const char *to) {
    char *text = get(from);
    put(in(root, to), text);
    free(text);
}

/* text with the first `from` replaced by `to`; to be freed. */
__attribute__((unused)) static char *with(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at) printf("Bail out! '%s' is not in the fixture\n", from), exit(1);
    char *copy = malloc(strlen(text) + strlen(to) + 1);
    sprintf(copy, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return copy;
}

/* OUT/values/step.json (or an archived machine's): ratio, from record 1, and steps, from records 1 to 3. */
__attribute__((unused)) static bool make_values(const char *machine, double ratio, spak_error *err) {
    json_t *spec =
        json_pack("{s:s,s:s,s:{s:{s:f,s:s,s:[o]},s:{s:i,s:s,s:[o,o,o]}}}", "name", "step", "machine", machine, "values",
                  "ratio", "value", ratio, "format", "%.3f", "refs", json_sprintf("trace:step/%s#1", machine), "steps",
                  "value", 1200, "format", "%d", "refs", json_sprintf("trace:step/%s#1", machine),
                  json_sprintf("trace:step/%s#2", machine), json_sprintf("trace:step/%s#3", machine));
    bool good = rep_values_write(&place, spec, err);
    json_decref(spec);
    return good;
}

#endif
