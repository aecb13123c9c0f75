/* Other programs: gnuplot, pandoc, curl. */
#ifndef SPAK_BASE_PROCESS_H
#define SPAK_BASE_PROCESS_H

#include "base/err.h"
#include "base/str.h"

/* Runs argv (found through PATH) with an empty standard input and collects what it prints. *found is false when there
 * is no such program (and the function succeeds); *status is its exit status, 128 + n when signal n ended it. One that
 * runs longer than limit_s is killed, and the function fails. */
bool spak_spawn(char *const argv[], int limit_s, bool *found, int *status, spak_str *out, spak_str *errors,
                spak_error *err);

#endif
