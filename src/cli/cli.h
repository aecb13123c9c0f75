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
int cli_run(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_claims(int argc, char **argv);
int cli_weave(int argc, char **argv);
int cli_status(int argc, char **argv);

/* Prints "spak: error: ..." and returns CLI_FAILED. */
int cli_error(const spak_error *err);

/* Prints the usage text to standard error and returns CLI_USAGE. */
int cli_usage(const char *usage);

#endif
