/* A progress line on standard error: a bar that redraws itself on a terminal, plain lines at most every five seconds
 * elsewhere, each with the share done and an estimate of the time left. */
#ifndef SPAK_BASE_PROGRESS_H
#define SPAK_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct spak_progress {
    const char *label;
    long total, done; /* steps */
    uint64_t begun_ns, shown_ns;
    bool terminal, quiet;
} spak_progress;

void spak_progress_begin(spak_progress *bar, const char *label, long total);
void spak_progress_step(spak_progress *bar, const char *what); /* one step done; what: a few words, or NULL */
void spak_progress_end(spak_progress *bar);
/* No output from any bar begun later; returns what was set before. */
bool spak_progress_quiet(bool quiet);

#endif
