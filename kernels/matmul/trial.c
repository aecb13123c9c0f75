/* One measurement: a configuration on a problem, checked against the oracle and
 * timed against OpenBLAS as device/trial.h says.
 *
 * What is timed is checked (verify.c): the first product thoroughly, then the
 * calibrating one and the last of each sample cheaply, the peer's first one
 * cheaply. C is filled with NaN before each product, of both sides alike. */
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "device/blas.h"
#include "device/trial.h"
#include "matmul/matmul.h"
#include "matmul/verify.h"

enum {
    WAKE = 192,
    DRAW_PEER = 0, /* numbers of the cheap checks */
    DRAW_SAMPLES = 1
};

typedef struct trial {
    size_t m, n, k;
    int threads;
    bool trans_a, trans_b;
    uint64_t seed;
    dev_trial_options options;
    matmul_config config;
    matmul_plan *plan;
    const matmul_subject *subject, *peer_subject; /* NULL but in tests */
    const dev_blas *peer;                         /* NULL: not compared */
    const char *peer_reason;                      /* why not */
    dev_blas planted;                             /* describes peer_subject */
    matmul_verifier *verifier;                    /* NULL: nothing is checked */
    matmul_args ours, theirs;                     /* the same inputs; C apart */
    matmul_args wake; /* a small product, to wake threads with */
    float *memory;
} trial;

/* --- reading the call --- */

static const dev_member problem_members[] = {
    {"m", JSON_INTEGER, 0, 1 << 20, true},
    {"n", JSON_INTEGER, 0, 1 << 20, true},
    {"k", JSON_INTEGER, 0, 1 << 20, true},
    {"threads", JSON_INTEGER, 0, 1 << 20, false},
    {"trans_a", JSON_TRUE, 0, 0, false},
    {"trans_b", JSON_TRUE, 0, 0, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
};
static bool read_call(trial *t, const json_t *config, const json_t *problem,
                      const json_t *options, spak_error *err) {
    enum { PROBLEM = sizeof problem_members / sizeof *problem_members };
    if (config && !json_is_object(config))
        return spak_fail(err, "matmul: the configuration must be an object");
    if (!problem) return spak_fail(err, "matmul: problem must be an object");
    if (!dev_members_check("matmul", "problem", problem, problem_members,
                           PROBLEM, err) ||
        !dev_trial_options_read("matmul", options, &t->options, err))
        return false;
    t->m = (size_t)spak_json_int(problem, "m", 0);
    t->n = (size_t)spak_json_int(problem, "n", 0);
    t->k = (size_t)spak_json_int(problem, "k", 0);
    t->threads = (int)spak_json_int(problem, "threads", 1);
    t->trans_a = spak_json_bool(problem, "trans_a", false);
    t->trans_b = spak_json_bool(problem, "trans_b", false);
    t->seed = (uint64_t)spak_json_int(problem, "seed", 1);
    return true;
}

/* --- inputs --- */

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

static bool prepare(trial *t, spak_error *err) {
    size_t a = t->m * t->k, b = t->k * t->n, c = t->m * t->n;
    size_t wake = t->threads > 1 ? WAKE * WAKE : 0,
           floats = round16(a) + round16(b) + 2 * round16(c) + 3 * wake + 16;
    t->memory = spak_malloc(floats * sizeof(float));
    if (!t->memory) return spak_fail_oom(err);
    float *start = (float *)(((uintptr_t)t->memory + 63) & ~(uintptr_t)63);
    t->ours = (matmul_args){t->m,
                            t->n,
                            t->k,
                            t->trans_a,
                            t->trans_b,
                            start,
                            t->trans_a ? t->m : t->k,
                            start + round16(a),
                            t->trans_b ? t->k : t->n,
                            start + round16(a) + round16(b),
                            t->n,
                            false};
    t->theirs = t->ours;
    t->theirs.c += round16(c);
    float *small = t->theirs.c + round16(c);
    memset(small, 0, 3 * wake * sizeof(float));
    t->wake = (matmul_args){WAKE,  WAKE, WAKE,         false, false,
                            small, WAKE, small + wake, WAKE,  small + 2 * wake,
                            WAKE,  false};
    spak_philox_fill_uniform(start, a, -1, 1, t->seed, 0);
    spak_philox_fill_uniform(start + round16(a), b, -1, 1, t->seed, 1);
    if (t->options.check &&
        !matmul_verifier_new(&t->ours, t->seed, &t->verifier, err))
        return false;
    return matmul_plan_new(&t->config, t->threads, &t->plan, err);
}

/* --- products --- */

static void run_ours(trial *t, const matmul_args *x) {
    if (t->subject)
        t->subject->run(t->subject->ctx, x, t->threads);
    else
        matmul_run(t->plan, x);
}

static void run_theirs(trial *t, const matmul_args *x) {
    if (t->peer_subject)
        t->peer_subject->run(t->peer_subject->ctx, x, t->threads);
    else
        dev_blas_sgemm(x->m, x->n, x->k, x->a, x->lda, x->trans_a, x->b, x->ldb,
                       x->trans_b, x->c, x->ldc, t->threads);
}

/* NaN all over C. The first time it also touches C's pages, so that no page
 * fault is timed. */
static void poison(const matmul_args *x) {
    memset(x->c, 0xFF, x->m * x->ldc * sizeof(float));
}

static void prepare_our_side(void *ctx) { poison(&((trial *)ctx)->ours); }
static void prepare_their_side(void *ctx) { poison(&((trial *)ctx)->theirs); }
static void run_our_side(void *ctx) { run_ours(ctx, &((trial *)ctx)->ours); }
static void run_their_side(void *ctx) {
    run_theirs(ctx, &((trial *)ctx)->theirs);
}
static void wake_our_side(void *ctx) { run_ours(ctx, &((trial *)ctx)->wake); }
static void wake_their_side(void *ctx) {
    run_theirs(ctx, &((trial *)ctx)->wake);
}

/* Is our last product right? If not, why names it. */
static bool sound(void *ctx, int sample, spak_error *why) {
    trial *t = ctx;
    if (!t->verifier) return true;
    double worst = matmul_verify_quickly(t->verifier, t->ours.c, t->ours.ldc,
                                         DRAW_SAMPLES + (uint64_t)sample);
    return worst <= 1 ||
           spak_fail(why,
                     "%s %d of %d: the last product is wrong (error / bound "
                     "%.3g); the first one was right",
                     sample ? "sample" : "calibration, before sample",
                     sample ? sample : 1, t->options.samples, worst);
}

/* --- the result --- */

static void put_peer(const trial *t, json_t *result) {
    if (!t->peer) {
        json_object_set_new(result, "peer", json_null());
        if (t->peer_reason)
            json_object_set_new(result, "peer_reason",
                                json_string(t->peer_reason));
        return;
    }
    json_object_set_new(result, "peer", json_string(t->peer->description));
    json_object_set_new(result, "peer_core", json_string(t->peer->core));
    json_object_set_new(result, "peer_path", json_string(t->peer->path));
    if (t->peer->asked_core)
        json_object_set_new(result, "peer_core_asked",
                            json_string(t->peer->asked_core));
}

static bool first_is_right(trial *t, json_t *result) {
    poison(&t->ours);
    run_ours(t, &t->ours);
    if (!t->verifier) return true;
    return dev_trial_put_first(
        result, matmul_verify(t->verifier, t->ours.c, t->ours.ldc));
}

/* Finds the peer and lets it compute once. A peer that is wrong is no peer. */
static void meet_peer(trial *t) {
    if (!t->options.peer) return;
    t->planted = (dev_blas){"planted", "planted", NULL, "planted"};
    t->peer = t->peer_subject ? &t->planted : dev_blas_peer();
    if (!t->peer) {
        t->peer_reason = "there is none on this machine";
    } else if (!t->m || !t->n || !t->k) {
        t->peer_reason = "the product is empty";
        t->peer = NULL;
    } else {
        poison(&t->theirs);
        run_theirs(t, &t->theirs);
        if (t->verifier &&
            !(matmul_verify_quickly(t->verifier, t->theirs.c, t->theirs.ldc,
                                    DRAW_PEER) <= 1)) {
            t->peer_reason = "its product is wrong by more than the bound";
            t->peer = NULL;
        }
    }
}

static bool time_it(trial *t, json_t *result, spak_error *err) {
    bool team = t->threads > 1, good;
    dev_side ours = {prepare_our_side, run_our_side,
                     team ? wake_our_side : NULL, t};
    dev_side theirs = {prepare_their_side, run_their_side,
                       team ? wake_their_side : NULL, t};
    double flop = 2.0 * (double)t->m * (double)t->n * (double)t->k;
    if (!dev_trial_time(&ours, t->peer ? &theirs : NULL, &t->options, sound, t,
                        flop, result, &good, err))
        return false;
    if (good) put_peer(t, result);
    return true;
}

static bool run_trial(trial *t, json_t *result, spak_error *err) {
    if (!prepare(t, err)) return false;
    if (!first_is_right(t, result)) return true;
    meet_peer(t);
    return time_it(t, result, err);
}

bool matmul_trial_with(const matmul_subject *ours, const matmul_subject *peer,
                       const json_t *config, const json_t *problem,
                       const json_t *options, json_t **out, spak_error *err) {
    trial t = {.subject = ours, .peer_subject = peer};
    spak_error why = {""};
    *out = NULL;
    if (!read_call(&t, config, problem, options, err)) return false;
    json_t *result = json_object();
    if (!result) return spak_fail_oom(err);
    bool done = true;
    if (!matmul_config_read(config, t.threads, &t.config, &why)) {
        dev_trial_put_refusal(result, config, why.message);
    } else {
        json_object_set_new(result, "config", matmul_config_json(&t.config));
        done = run_trial(&t, result, err);
    }
    matmul_plan_free(t.plan);
    matmul_verifier_free(t.verifier);
    spak_free(t.memory);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}

bool matmul_trial(const json_t *config, const json_t *problem,
                  const json_t *options, json_t **result, spak_error *err) {
    return matmul_trial_with(NULL, NULL, config, problem, options, result, err);
}
