/* Other programs: gnuplot, pandoc, curl, and the peers that a recipe runs. */
#ifndef SPAK_BASE_PROCESS_H
#define SPAK_BASE_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Runs argv (found through PATH) with an empty standard input and collects what it prints. *found is false when there
 * is no such program (and the function succeeds); *status is its exit status, 128 + n when signal n ended it. One that
 * runs longer than limit_s is killed, and the function fails. */
bool spak_spawn(char *const argv[], int limit_s, bool *found, int *status, spak_str *out, spak_str *errors,
                spak_error *err);

/* One line of a program's output. text ends with a NUL and may hold others. */
typedef struct spak_line {
    const char *text; /* without the newline; valid during the call */
    size_t len;
    size_t number;  /* from 1 */
    uint64_t at_ns; /* since the program was started */
} spak_line;

typedef struct spak_lines {
    const char *folder; /* to run in, or NULL */
    char *const *env;   /* "NAME=value" to set for it, up to a NULL; or NULL */
    double timeout_s;
    size_t max_line; /* a line of more bytes is an error */
    /* Takes each line as it comes. False (with err) ends the program and fails; *stop = true ends it and succeeds. */
    bool (*take)(void *context, const spak_line *line, bool *stop, spak_error *err);
    void *context;
} spak_lines;

typedef struct spak_ended {
    bool found;              /* there is such a program */
    bool stopped, timed_out; /* ended by `take`, or because its time was up */
    int status;              /* as spak_spawn's; of no meaning when the program was ended */
    double seconds;          /* from its start to its end */
    spak_str errors;         /* the last 4 KiB of its standard error; to be freed */
} spak_ended;

/* Runs argv (found through PATH) with an empty standard input in a process group of its own, and hands its lines to
 * how->take, the last one also without a newline. On return no process of the group is left. Fails when the program
 * cannot be started (other than for want of it), a line is too long, or `take` fails. */
bool spak_run_lines(char *const argv[], const spak_lines *how, spak_ended *ended, spak_error *err);

#endif
