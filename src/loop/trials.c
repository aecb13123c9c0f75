/* Trials: one, or many at once.
 *
 * What is timed beside a peer is run by itself (loop_trial). Training runs of small models are another matter: two
 * threads that share the steps of one run wait for each other at every operator, whereas two runs on one thread each
 * never do. So loop_trials gives each core a trial of its own. Rules are asked before, in the thread that may ask them
 * (it holds Lua), and records go into the trace in the order in which the trials were asked for, whichever was done
 * first: the trace does not depend on how many cores there were. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "device/device.h"
#include "device/threads.h"
#include "loop/loop_internal.h"

/* result: from the operator, or that a rule refuses it; NULL when a record was found or the trial has not been run. */
typedef struct trial {
    loop_asked asked;
    json_t *options, *result;
    const json_t *record;
    bool done;
} trial;

/* Looks for an equal trial in the trace, or asks the rules. */
static bool prepare(loop_run *run, const char *kind, const loop_asked *asked, trial *t, spak_error *err) {
    *t = (trial){.asked = *asked, .options = asked->options ? json_incref((json_t *)asked->options) : json_object()};
    json_t *reason = NULL, *like = json_pack("{s:s, s:O, s:O, s:O}", "label", asked->label, "asked", asked->config,
                                             "problem", asked->problem, "options", t->options);
    if (!like) return spak_fail_oom(err);
    t->record = loop_find(run, kind, like);
    json_decref(like);
    t->done = t->record != NULL;
    if (t->done) return true;
    bool allowed = false;
    if (!loop_ticket_check(run, err) || !loop_allowed(run, asked->config, asked->problem, &allowed, &reason, err))
        return false;
    if (!allowed)
        t->result = json_pack("{s:s, s:o, s:O}", "status", "refused", "reason", reason, "config", asked->config);
    return allowed || t->result || spak_fail_oom(err);
}

static bool measure(const loop_run *run, trial *t, spak_error *err) {
    return t->result || run->op->trial(t->asked.config, t->asked.problem, t->options, &t->result, err);
}

static bool put(loop_run *run, const char *kind, trial *t, spak_error *err) {
    json_t *result = t->result, *correct = json_object_get(result, "correct");
    t->result = NULL;
    bool ok = true;
    if (correct) {
        json_t *body = json_pack("{s:s, s:O, s:O, s:O, s:O*}", "label", t->asked.label, "asked", t->asked.config,
                                 "problem", t->asked.problem, "correct", correct, "error_over_bound",
                                 json_object_get(result, "error_over_bound"));
        ok = loop_record(run, "correct", body, NULL, err);
    }
    json_object_set_new(result, "label", json_string(t->asked.label));
    json_object_set(result, "asked", (json_t *)t->asked.config);
    json_object_set(result, "problem", (json_t *)t->asked.problem);
    json_object_set(result, "options", t->options);
    if (ok) return loop_record(run, kind, result, &t->record, err);
    json_decref(result);
    return false;
}

static void release(trial *t) {
    json_decref(t->options);
    json_decref(t->result);
}

bool loop_trial(loop_run *run, const char *kind, const loop_asked *asked, const json_t **record, spak_error *err) {
    trial t;
    bool ok = prepare(run, kind, asked, &t, err) && (t.done || (measure(run, &t, err) && put(run, kind, &t, err)));
    if (ok && record) *record = t.record;
    release(&t);
    return ok;
}

/* --- many at once --- */

typedef struct team {
    loop_run *run;
    const char *kind;
    trial *trials;
    size_t count, next, written;
    pthread_mutex_t lock; /* of all below and of the trials' results */
    bool failed;
    spak_error err; /* the first */
    spak_progress bar;
} team;

static void fail(team *all, const spak_error *err) {
    if (!all->failed) all->err = *err;
    all->failed = true;
}

/* Records what is done, up to the first that is not. Under the lock. */
static void put_in_order(team *all) {
    spak_error err = {0};
    for (; !all->failed && all->written < all->count && all->trials[all->written].done; all->written++) {
        trial *t = &all->trials[all->written];
        if (!t->record && !put(all->run, all->kind, t, &err)) fail(all, &err);
    }
}

static void work(void *arg, int thread, int threads) {
    (void)thread, (void)threads;
    team *all = arg;
    pthread_mutex_lock(&all->lock);
    while (!all->failed && all->next < all->count) {
        trial *t = &all->trials[all->next++];
        if (!t->done) {
            spak_error err = {0};
            pthread_mutex_unlock(&all->lock);
            bool ok = measure(all->run, t, &err);
            pthread_mutex_lock(&all->lock);
            if (!ok) fail(all, &err);
            t->done = ok;
        }
        put_in_order(all);
        spak_progress_step(&all->bar, t->asked.label);
    }
    pthread_mutex_unlock(&all->lock);
}

static bool on_one_thread(const loop_asked *asked, spak_error *err) {
    return spak_json_int(asked->problem, "threads", 0) == 1 ||
           spak_fail(err, "%s: of trials that run at once each needs `threads: 1` in its problem", asked->label);
}

bool loop_trials(loop_run *run, const char *kind, const loop_asked *asked, size_t count, const json_t **records,
                 spak_error *err) {
    team all = {.run = run, .kind = kind, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER};
    all.trials = spak_calloc(count + 1, sizeof *all.trials);
    bool ok = all.trials != NULL || spak_fail_oom(err);
    size_t ready = 0;
    for (; ok && ready < count; ready++)
        ok = on_one_thread(&asked[ready], err) && prepare(run, kind, &asked[ready], &all.trials[ready], err);
    dev_pool *pool = NULL;
    ok = ok && dev_pool_new((size_t)dev_cpu_count() < count ? dev_cpu_count() : (int)count + !count, &pool, err);
    if (ok) {
        spak_progress_begin(&all.bar, "trials", (long)count);
        const bool quiet = spak_progress_quiet(true); /* each trial's own bar */
        dev_pool_run(pool, work, &all);
        spak_progress_quiet(quiet);
        spak_progress_end(&all.bar);
        ok = !all.failed;
        if (!ok && err) *err = all.err;
    }
    for (size_t i = 0; ok && records && i < count; i++) records[i] = all.trials[i].record;
    for (size_t i = 0; i < ready; i++) release(&all.trials[i]);
    dev_pool_free(pool);
    pthread_mutex_destroy(&all.lock);
    spak_free(all.trials);
    return ok;
}
