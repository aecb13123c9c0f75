/* The method: plan -> guide -> gate -> ticket -> tune -> crystallise, for any operator and any system.
 *
 *   plan         the Architect's step. Reads the system, applies the rules that are in scope on this machine, writes a
 *                guide: intent, axes, invariants to hold, hypotheses. A guide holds no number and no tuned value.
 *   gate         runs the guide's invariants on the CPU; when all hold, writes a ticket bound by hash to the guide, the
 *                system and the binary.
 *   tune         the Kernel Engineer's step. Refuses to run without a valid ticket; searches the tuning space under
 *                the constraints; traces every trial, refused and failed ones too.
 *   settle       compares what rules and hypotheses predicted with what was measured.
 *   crystallise  writes the next version of the system, with what the trace taught, negative results included.
 *
 * Everything that happens goes through one loop_run, whose trace is also its memory: a step that finds its own records
 * there (same configuration, same problem, same inputs) does not repeat the work, so a killed run resumes where it was.
 * The loop knows operators only through device/op.h, and evaluates backticks only through base/eval.h. */
#ifndef SPAK_LOOP_LOOP_H
#define SPAK_LOOP_LOOP_H

#include "base/err.h"
#include "base/eval.h"
#include "base/json.h"
#include "device/device.h"
#include "device/op.h"
#include "trace/trace.h"

typedef struct loop_spec {
    const char *name;        /* of the experiment: the trace is OUT/traces/NAME.jsonl */
    const char *profile;     /* "smoke" or "paper" */
    const char *system_path; /* dsl/..., relative to the project's root, as every path here */
    const char *out_dir;
    const char *const *inputs; /* further files whose content the result depends on (recipe, libraries) */
    size_t num_inputs;
    const char *const *data; /* names of data sets (data/data.h) that it depends on */
    size_t num_data;
    long long seed;
    spak_evaluator eval;
} loop_spec;

typedef struct loop_run {
    json_t *system;   /* dsl_load_system */
    json_t *manifest; /* the operator's `kernel` block */
    const dev_op *op;
    json_t *hw;      /* what the operator says of the machine, else dev_describe */
    json_t *records; /* every record of the trace so far */
    json_t *inputs;  /* [{"path", "sha256"}] */
    json_t *data;    /* [data_describe...] */
    trace_writer *trace;
    spak_evaluator eval;
    char *name, *profile, *system_path, *out_dir, *guide_path, *ticket_path;
    long long seed;
    bool complete;     /* the trace ended well and nothing it depends on has changed: steps only replay */
    size_t torn_bytes; /* of a truncated last line that was cut off at opening */
    char *note;        /* why an older trace was put aside and where it is, or why it was kept, for people; or NULL */
} loop_run;

/* Opens the trace, or resumes it when the binary, the inputs, the data sets, the profile, the machine and the peer are
 * the same; an old trace of anything else is moved to OUT/traces/old/, not deleted, and run->note says so. A finished
 * trace on a data set is kept as it is, and run->note says so, when there is only the data set's stand-in to measure on
 * now. Appends a `run` record unless the trace is complete. */
bool loop_open(const loop_spec *spec, loop_run **run, spak_error *err);

/* Whether this machine can run the trials of the system's operator (the GPU it needs is there, say); if not, why says
 * what is missing. Everything but trials runs anywhere. */
bool loop_runs_here(const char *system_path, bool *here, spak_error *why, spak_error *err);

/* A finished trace, made here or archived, as a run that is only read: for crystallising what another machine taught.
 * Its machine is the trace's, not this one. */
bool loop_open_trace(const char *system_path, const char *trace, spak_evaluator eval, loop_run **run, spak_error *err);

/* Hashes the inputs and the data sets once more and appends `end` with status "complete" or "inputs_changed" (an error
 * too). */
bool loop_end(loop_run *run, spak_error *err);
void loop_close(loop_run *run);

/* Appends to the trace and to run->records; body's reference is stolen. *record (may be NULL) is borrowed. */
bool loop_record(loop_run *run, const char *kind, json_t *body, const json_t **record, spak_error *err);

/* Finds a record of this kind all of whose members in `like` are equal; NULL when there is none. The last one wins. */
const json_t *loop_find(const loop_run *run, const char *kind, const json_t *like);

/* "trace:NAME/MACHINE#SEQ" as a new JSON string. */
json_t *loop_ref(const loop_run *run, const json_t *record);

/* --- the steps --- */

/* Traces `plan`: the guide's axes, invariants, rules and hypotheses, and as "knowledge" what loop_knowledge gives. */
bool loop_plan(loop_run *run, spak_error *err);
bool loop_gate(loop_run *run, spak_error *err);

/* Fails, and says what to do, unless OUT/NAME/ticket.dsl is a ticket that this trace issued for the guide, the system
 * and the binary as they are now. */
bool loop_ticket_check(const loop_run *run, spak_error *err);

/* What a trial is: label: what it is part of; options may be NULL. All borrowed. */
typedef struct loop_asked {
    const char *label;
    const json_t *config, *problem, *options;
} loop_asked;

/* One traced trial. kind: "measure" (tuning) or "evaluate" (for a claim). An equal earlier record of the trace is
 * returned instead of a new trial. Needs a valid ticket. *record is borrowed. */
bool loop_trial(loop_run *run, const char *kind, const loop_asked *asked, const json_t **record, spak_error *err);

/* `count` traced trials, one on each core at a time; the problem of each has `threads: 1`. As if one after the other,
 * but for the time; records (count of them, borrowed, may be NULL) are in the order of asked. */
bool loop_trials(loop_run *run, const char *kind, const loop_asked *asked, size_t count, const json_t **records,
                 spak_error *err);

/* Greedy search, one axis at a time, from `start` (NULL: the operator's defaults; an array: the best of these), at most
 * max_trials measurements. *best (may be NULL) is a new reference to the `converge` record's best configuration. */
bool loop_tune(loop_run *run, const char *label, const json_t *start, const json_t *problem, const json_t *options,
               int max_trials, json_t **best, spak_error *err);

/* loop_tune for every `problem` of the system's engineering_loop block whose `when` holds here, with the options and
 * the budget (`trials`) of the block's `profile` of the run's name. */
bool loop_tune_system(loop_run *run, spak_error *err);

/* The problem of that name / the options of the run's profile, as the trial takes them; new references. */
bool loop_system_problem(const loop_run *run, const char *name, json_t **problem, spak_error *err);
bool loop_system_options(const loop_run *run, json_t **options, int *max_trials, spak_error *err);

/* Before the measurements: a `hypothesis` record for each prediction of the rules in scope and of the system's
 * hypotheses. After them: an `insight` record with the outcome. */
bool loop_hypothesise(loop_run *run, spak_error *err);
bool loop_settle(loop_run *run, spak_error *err);

/* Tries the gate: for each fault of the operator, runs the guide's invariants on code that makes it, up to the first
 * that catches it, and appends `evaluate` {"label": "mutation", "fault", "what", "caught", "by", "counterexample"}.
 * Needs a valid ticket. */
bool loop_mutate(loop_run *run, spak_error *err);

/* One of the operator's studies: `evaluate` {"label": "study", "study", "statement", "options", "result", "seconds"}.
 * An equal earlier record of the trace is returned instead. Needs a valid ticket. *record is borrowed. */
bool loop_study(loop_run *run, const char *name, const json_t *options, const json_t **record, spak_error *err);

/* Writes the next version of the system to path. */
bool loop_crystallise(loop_run *run, const char *path, spak_error *err);

/* --- pieces of the steps, for tests and for the report --- */

/* Appends one line per problem to problems (empty: the guide is fine): numbers, values of the tuning space and names of
 * hardware do not belong in a guide. */
bool loop_guide_problems(const json_t *guide, const json_t *system, const json_t *manifest, spak_str *problems,
                         spak_error *err);

/* True in *applies when a knowledge item's `scope` and `when` hold on this machine; else *why (may be NULL) says which
 * part does not, as a new reference. */
bool loop_in_scope(const loop_run *run, const json_t *item, bool *applies, json_t **why, spak_error *err);

/* What the system knows, sorted by where it comes from: *ledger is a new object of four arrays, "inherited", "changed",
 * "new" and "outside" (out of scope here, or retired), with an entry {"kind", "name", "from": file} for every
 * invariant, rule, hint and fact; an entry that is outside says "why", a changed one names the file whose item it
 * replaces. */
bool loop_knowledge(const loop_run *run, json_t **ledger, spak_error *err);

/* Evaluates a prediction, `ratio(METRIC, CONDITION, CONDITION)`, over the trials of
 * the trace: the spread over pairs of trials that agree in everything the two conditions do not speak of; or
 * `study("NAME", "MEMBER")`, over what that study found. kind: "measure" or "evaluate", or NULL for both. *pairs is 0
 * when there is nothing to compare (and *ratio is zeroed); refs (an array) collects the trials used. */
bool loop_predicted_ratio(const loop_run *run, const char *kind, const char *code, const char *where, dev_spread *ratio,
                          size_t *pairs, json_t *refs, spak_error *err);

#endif
