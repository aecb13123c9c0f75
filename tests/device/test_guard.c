/* Guarded memory: an access outside is found with its job and its side, and nothing else is. */
#include "../tap.h"

#include <string.h>

#include "device/guard.h"

enum { FLOATS = 37, JOBS = 5 };

typedef struct plan {
    int job;    /* which one goes wrong; -1: none */
    int offset; /* the element it touches; FLOATS is the first after the end */
    bool writes, setup_fails;
} plan;

static bool work(void *ctx, int index, bool at_end) {
    const plan *p = ctx;
    dev_guarded g;
    if (p->setup_fails && index == p->job) return false;
    if (!dev_guard(&g, FLOATS * sizeof(float), at_end)) return false;
    volatile float *x = g.data;
    for (int i = 0; i < FLOATS; i++) x[i] = (float)i;
    if (index == p->job && p->writes) x[p->offset] = 1;
    if (index == p->job && !p->writes) (void)x[p->offset];
    dev_guard_free(&g);
    return true;
}

static void found(plan p, bool at_end, const char *what) {
    dev_guard_outcome outcome;
    spak_error err = {{0}};
    ok(dev_guard_run(JOBS, work, &p, &outcome, &err) && outcome.outside, "%s is found %s", what, err.message);
    is_int(outcome.index, p.job, "... in its job");
    is_int(outcome.at_end, at_end, "... on its side");
    ok(strncmp(outcome.how, "signal ", 7) == 0 || strncmp(outcome.how, "exit status ", 12) == 0, "... and how: %s",
       outcome.how);
}

int main(void) {
    dev_guard_outcome outcome;
    spak_error err = {{0}};
    plan good = {.job = -1}, no_memory = {.job = 2, .setup_fails = true};
    ok(dev_guard_run(JOBS, work, &good, &outcome, &err) && !outcome.outside, "work inside its arrays passes");
    found((plan){.job = 3, .offset = FLOATS}, true, "a read after the end");
    found((plan){.job = 3, .offset = FLOATS, .writes = true}, true, "a write after the end");
    found((plan){.job = 0, .offset = -1}, false, "a read before the beginning");
    found((plan){.job = 4, .offset = -1, .writes = true}, false, "a write before the beginning");
    ok(!dev_guard_run(JOBS, work, &no_memory, &outcome, &err) && strstr(err.message, "cannot map"),
       "a job that cannot be set up is no pass");
    ok(!outcome.outside, "... and no counterexample");
    return done_testing();
}
