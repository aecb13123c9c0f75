/* The commands of `spak`, one file each. A command gets its own arguments (argv[0] is its name) and returns the exit
 * status: 0 done, 1 failed, 2 wrong usage. Only here are errors printed. */
#ifndef SPAK_CLI_CLI_H
#define SPAK_CLI_CLI_H

#include "base/err.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_dsl(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_loop(int argc, char **argv); /* plan, gate, tune, crystallise */
int cli_data(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_sample(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_trial(int argc, char **argv);
int cli_kernels(int argc, char **argv);
int cli_claims(int argc, char **argv);
int cli_weave(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_device(int argc, char **argv);

/* Prints "spak: error: ..." and returns CLI_FAILED. */
int cli_error(const spak_error *err);

/* Prints the usage text to standard error and returns CLI_USAGE. */
int cli_usage(const char *usage);

/* Says on standard error what is wrong with an argument, before the usage; returns false. */
bool cli_wrong(const char *argument, const char *why);

/* The same of an argument that is no known option: first says that there is one already of what else it could be. */
bool cli_stray(const char *argument, const char *first);

/* True when argv[*i] is this option and a text that is not empty follows; then *value is that text and *i its place. */
bool cli_value(int argc, char **argv, int *i, const char *option, const char **value);

/* The last thing a process does: closes standard output. Output that never arrived is a failure, not a success with
 * nothing to show; it is reported, and a status of CLI_OK becomes CLI_FAILED. */
int cli_finish(int status);

#endif
