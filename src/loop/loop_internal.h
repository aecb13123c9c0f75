/* What the files of src/loop share. */
#ifndef SPAK_LOOP_LOOP_INTERNAL_H
#define SPAK_LOOP_LOOP_INTERNAL_H

#include "loop/loop.h"

/* The first block of a kind (and name, unless NULL) at the top of a file without errors; a new reference. */
bool loop_load_block(const char *path, const char *kind, const char *name, json_t **block, spak_error *err);

/* The variables a backtick expression sees: op, dtype, hw, the members of config and of problem as plain names, and
 * `problem` itself. config and problem may be NULL. New reference. */
json_t *loop_expression_env(const loop_run *run, const json_t *config, const json_t *problem);

/* A bareword of the language as a JSON string; other values as they are. New reference. */
json_t *loop_plain(const json_t *value);

/* Whether an expression speaks of a variable (as a word, not inside quotes). */
bool loop_mentions(const char *code, const char *name);

/* Evaluates a condition; anything but true or false is an error that names where. */
bool loop_condition(const loop_run *run, const char *code, const char *where, const json_t *env, bool *holds,
                    spak_error *err);

/* "file:line:column" of an item of the meaning; buffer of at least 256 bytes. */
const char *loop_where(const json_t *item, const char *file, char *buffer, size_t size);

/* Calls visit for each item of run->system's knowledge of that kind, until it returns false. */
bool loop_each(const loop_run *run, const char *kind, bool (*visit)(void *ctx, const json_t *item, spak_error *err),
               void *ctx, spak_error *err);

/* The tuning space: {"axis": [values...]} in the manifest's order, narrowed by the system's own tuning_space where it
 * names the same axis. New reference. */
bool loop_space(const loop_run *run, json_t **space, spak_error *err);

/* Whether the manifest's constraints and the rules in scope allow this configuration; else *reason is a new string. */
bool loop_allowed(const loop_run *run, const json_t *config, const json_t *problem, bool *allowed, json_t **reason,
                  spak_error *err);

/* The figure of merit of a trial's record: the ratio to the peer, or GFLOP/s where there is no peer; 0 if not ok. */
double loop_merit(const json_t *record);

#endif
