/* Memory against pages that nobody may touch, and a child process to touch them in.
 *
 * An array gets a mapping of its own with a forbidden page before it and one after it, and lies either at the mapping's
 * end, against the page after it, or at its beginning. An access outside is then a fault of the processor. So that a
 * fault is a counterexample and not the end of the program, the work runs in a child process, which notes in shared
 * memory what it is at. */
#ifndef SPAK_DEVICE_GUARD_H
#define SPAK_DEVICE_GUARD_H

#include <stddef.h>

#include "base/err.h"

typedef struct dev_guarded {
    void *data; /* the array; aligned to a page only at the beginning */
    char *base;
    size_t size; /* of the whole mapping */
} dev_guarded;

/* False when it cannot be mapped. at_end: the array's last byte is the last before the forbidden page. */
bool dev_guard(dev_guarded *g, size_t bytes, bool at_end);
void dev_guard_free(dev_guarded *g);

/* Runs in a child process, where an array may be read or written outside; false: it could not be set up. */
typedef bool dev_guard_job(void *ctx, int index, bool at_end);

typedef struct dev_guard_outcome {
    bool outside; /* the child did not come to its end: it touched memory outside of an array */
    int index;    /* ... in this job */
    bool at_end;  /* ... after the end of an array, or before its beginning */
    char how[32]; /* "signal 11" or "exit status 1" */
} dev_guard_outcome;

/* job for every index below count, once with arrays at the end and once at the beginning, up to the first access
 * outside. Fails when there is no child process, or a job could not be set up. */
bool dev_guard_run(int count, dev_guard_job *job, void *ctx, dev_guard_outcome *outcome, spak_error *err);

#endif
