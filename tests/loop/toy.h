/* A toy operator for the tests of the loop: its speed is a formula of its axes, so that every outcome is known. */
#ifndef SPAK_TESTS_LOOP_TOY_H
#define SPAK_TESTS_LOOP_TOY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/progress.h"
#include "dsl/dsl.h"
#include "loop/loop.h"
#include "lua/sandbox.h"

static const char toy_manifest_text[] =
    "kernel toy {\n"
    "    operator: toy\n"
    "    dtype: f32\n"
    "    tuning_space {\n"
    "        size: [1, 2, 4, 8]\n"
    "        shape: [\"6x16\", \"wide\", \"odd\"]\n"
    "        flag: [0, 1]\n"
    "    }\n"
    "    constraint size_fits { that: `size <= hw.room` reason: \"no more room\" }\n"
    "}\n";

static const char toy_system_text[] =
    "system Toy_System_v1 {\n"
    "    operator: toy\n"
    "    objective Speed { target: \"be fast without being wrong\" }\n"
    "    engineering_loop {\n"
    "        problem small { n: 10 }\n"
    "        problem elsewhere { n: 20  when: `hw.cores >= 64` }\n"
    "        profile smoke { trials: 30  samples: 3 }\n"
    "    }\n"
    "    hypothesis four_beats_one {\n"
    "        expect: \"a larger size does more at once\"\n"
    "        predict: `ratio(gflops, size == 4, size == 1)` within: [3.0, 5.0]\n"
    "    }\n"
    "    hypothesis wide_wins { predict: `ratio(gflops, shape == \"wide\", shape == \"6x16\")` within: [1.2, 2.0] }\n"
    "    hypothesis never_tried { predict: `ratio(gflops, size == 8, size == 1)` within: [1.0, 2.0] }\n"
    "    knowledge {\n"
    "        invariant adds_up { statement: \"it adds up\" }\n"
    "        invariant elsewhere_only { statement: \"not here\" scope { kind: [gpu] } }\n"
    "        rule not_odd { when: `op == \"toy\"` apply: `shape ~= \"odd\" or size < 4` reason: \"odd shapes break\"\n"
    "            predict: `ratio(gflops, flag == 0, flag == 1)` within: [0.9, 1.1]\n"
    "            scope { kind: [cpu] } support: 0 contradictions: 0 status: proposed }\n"
    "        rule of_the_gpu { apply: `size == 1` scope { cc: [120] } support: 0 contradictions: 0 status: valid }\n"
    "        rule gone { apply: `size == 1` status: retired }\n"
    "    }\n"
    "}\n";

static bool toy_holds = true;
static int toy_trials;

/* Of the two faults it sees one. */
static bool toy_check(const json_t *options, json_t **evidence, spak_error *err) {
    bool holds = toy_holds && strcmp(spak_json_str(options, "fault", ""), "adds_wrongly") != 0;
    *evidence = json_pack("{s:b, s:i}", "holds", holds, "cases", 7);
    if (!holds) json_object_set_new(*evidence, "counterexample", json_pack("{s:i}", "n", 3));
    return *evidence || spak_fail_oom(err);
}

/* Speed: size, 1.5 times for wide; flag does nothing; odd with size 1 is wrong. */
static bool toy_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                      spak_error *err) {
    (void)problem, (void)options;
    toy_trials++;
    long long size = spak_json_int(config, "size", 1);
    const char *shape = spak_json_str(config, "shape", "6x16");
    bool correct = strcmp(shape, "odd") != 0 || size != 1;
    double speed = (double)size * (!strcmp(shape, "wide") ? 1.5 : 1.0);
    json_t *filled = json_pack("{s:I, s:s, s:I}", "size", (json_int_t)size, "shape", shape, "flag",
                               (json_int_t)spak_json_int(config, "flag", 0));
    *result = json_pack("{s:s, s:o, s:[f], s:f, s:f, s:b, s:f}", "status", correct ? "ok" : "failed", "config", filled,
                        "time_ms", 1 / speed, "gflops", speed, "ratio", speed / 10, "correct", correct,
                        "error_over_bound", correct ? 0.5 : 40.0);
    if (*result && !correct) json_object_set_new(*result, "reason", json_string("wrong"));
    return *result || spak_fail_oom(err);
}

static const dev_invariant toy_invariants[] = {{"adds_up", "it adds up", toy_check}};
static const dev_fault toy_faults[] = {{"adds_wrongly", "it adds one too many"}, {"is_slow", "it takes its time"}};

static int toy_studies_run;

static bool toy_study(const json_t *options, json_t **result, spak_error *err) {
    toy_studies_run++;
    json_int_t doubled = 2 * spak_json_int(options, "n", 1);
    *result = json_pack("{s:I, s:{s:I}}", "doubled", doubled, "inner", "twice", 2 * doubled);
    return *result || spak_fail_oom(err);
}

static const dev_study toy_studies[] = {{"doubling", "it doubles", toy_study}};
static const dev_op toy_op = {.name = "toy",
                              .manifest = "toy.dsl",
                              .invariants = toy_invariants,
                              .num_invariants = 1,
                              .faults = toy_faults,
                              .num_faults = 2,
                              .studies = toy_studies,
                              .num_studies = 1,
                              .trial = toy_trial};

typedef struct toy {
    char dir[64];
    lua_box *box;
    loop_run run;
} toy;

static char *toy_path(const toy *t, const char *file) {
    spak_str path = {0};
    spak_str_printf(&path, "%s/%s", t->dir, file);
    return path.data;
}

static void toy_fatal(const spak_error *err) {
    printf("Bail out! %s\n", err->message);
    exit(1);
}

/* A run on the toy operator in a folder of its own, as loop_open would have made it. */
static void toy_open(toy *t, const char *system_text) {
    spak_error err = {0};
    dsl_doc *doc = NULL;
    json_t *meaning = NULL;
    memset(t, 0, sizeof *t);
    spak_progress_quiet(true);
    snprintf(t->dir, sizeof t->dir, "/tmp/spak-loop-XXXXXX");
    if (!mkdtemp(t->dir)) toy_fatal(&(spak_error){"cannot make a folder"});
    loop_run *run = &t->run;
    run->op = &toy_op;
    run->name = spak_strdup("toy");
    run->profile = spak_strdup("smoke");
    run->out_dir = spak_strdup(t->dir);
    run->system_path = toy_path(t, "toy_system_v1.dsl");
    run->guide_path = toy_path(t, "guide.dsl");
    run->ticket_path = toy_path(t, "ticket.dsl");
    run->hw =
        json_pack("{s:s, s:s, s:s, s:i, s:i}", "kind", "cpu", "id", "toy-cpu", "isa", "avx2", "room", 4, "cores", 2);
    run->records = json_array();
    run->inputs = json_array();
    char *trace = toy_path(t, "traces/toy.jsonl");
    bool ok = lua_box_new(NULL, &t->box, &err) &&
              spak_write_file(run->system_path, system_text, strlen(system_text), &err) &&
              dsl_load_system(run->system_path, &run->system, &err) &&
              dsl_parse("toy.dsl", toy_manifest_text, strlen(toy_manifest_text), &doc, &err) &&
              dsl_meaning(doc, &meaning, &err) && trace_open(trace, &run->trace, NULL, &err);
    if (!ok) toy_fatal(&err);
    run->manifest = json_incref((json_t *)dsl_block(meaning, "kernel", "toy", 0));
    run->eval = lua_box_evaluator(t->box);
    if (!loop_record(run, "run", json_pack("{s:s}", "name", "toy"), NULL, &err)) toy_fatal(&err);
    json_decref(meaning);
    dsl_free(doc);
    spak_free(trace);
}

static void toy_close(toy *t) {
    loop_run *run = &t->run;
    trace_close(run->trace);
    json_decref(run->system);
    json_decref(run->manifest);
    json_decref(run->hw);
    json_decref(run->records);
    json_decref(run->inputs);
    spak_free(run->name), spak_free(run->profile), spak_free(run->out_dir), spak_free(run->system_path);
    spak_free(run->guide_path), spak_free(run->ticket_path);
    lua_box_free(t->box);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", t->dir);
    if (system(command) != 0) printf("# could not remove %s\n", t->dir);
}

/* How many records of a kind the trace holds, with member == text where member is not NULL. */
__attribute__((unused)) static int toy_count(const toy *t, const char *kind, const char *member, const char *text) {
    int count = 0;
    for (size_t i = 0; i < json_array_size(t->run.records); i++) {
        const json_t *record = json_array_get(t->run.records, i);
        if (strcmp(spak_json_str(record, "kind", ""), kind) != 0) continue;
        count += !member || !strcmp(spak_json_str(record, member, ""), text);
    }
    return count;
}

#endif
