/* One measurement: a configuration on a problem, checked against the oracle and
 * timed against OpenBLAS.
 *
 * The samples of both sides alternate, and from pair to pair they take turns at
 * going first, so that a clock that drifts, or a neighbour that comes and goes,
 * hits both alike; the ratio is the median of the pairs' ratios. Before each
 * sample all caches are flushed (option "flush", on unless set to false), so
 * that neither side inherits the other's leftovers. A sample repeats the
 * product, as often on both sides, and only its first product meets cold
 * caches. The number is what the faster side needs to last min_sample_ms, but
 * no more than keeps the slower one under LONGEST_SAMPLE times that: beyond
 * such a ratio the faster side's samples are the shorter ones.
 *
 * What is timed is checked (verify.c): the first product thoroughly, then the
 * calibrating one and the last of each sample cheaply, the peer's first one
 * cheaply. C is filled with NaN before each product, of both sides alike and
 * while the clock stands, so that a product that was left out, or done in part,
 * cannot pass for the one before it. The price is a reading of the clock, some
 * 20 to 50 ns, in the time of each product. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "device/blas.h"
#include "matmul/matmul.h"
#include "matmul/verify.h"

enum {
    WAKE = 192,
    MAX_SAMPLES = 10000,
    MAX_REPEATS = 1 << 20,
    LONGEST_SAMPLE = 20, /* times min_sample_ms, poisoning included */
    DRAW_PEER = 0,       /* numbers of the cheap checks */
    DRAW_CALIBRATION = 1,
    DRAW_SAMPLES = 2
};

typedef struct trial {
    size_t m, n, k;
    int threads, samples, repeats;
    bool trans_a, trans_b, with_peer, with_check, flush;
    uint64_t seed;
    double min_sample_ms;
    matmul_config config;
    matmul_plan *plan;
    const matmul_subject *subject, *peer_subject; /* NULL but in tests */
    const dev_blas *peer;                         /* NULL: not compared */
    const char *peer_reason;                      /* why not */
    dev_blas planted;                             /* describes peer_subject */
    matmul_verifier *verifier;                    /* NULL: nothing is checked */
    char reason[160];                             /* why the trial failed */
    matmul_args ours, theirs;                     /* the same inputs; C apart */
    matmul_args wake; /* a small product, to wake threads with */
    float *memory;
    double *time_ms, *peer_time_ms, *scratch; /* samples values each */
} trial;

/* --- reading the call --- */

/* A misspelt member would be ignored, and the trace would then say that it had
 * been obeyed: so every member must be known, and of the right type. */
typedef struct member {
    const char *name;
    json_type type;     /* JSON_TRUE stands for both booleans */
    double least, most; /* of a number */
    bool needed;
} member;

static bool check_member(const member *m, const char *where,
                         const json_t *value, spak_error *err) {
    if (!value)
        return !m->needed ||
               spak_fail(err, "matmul: %s.%s is missing", where, m->name);
    if (m->type == JSON_TRUE)
        return json_is_boolean(value) ||
               spak_fail(err, "matmul: %s.%s: expected true or false", where,
                         m->name);
    double x = json_number_value(value);
    bool fits = json_is_number(value) && x >= m->least && x <= m->most;
    if (m->type == JSON_INTEGER) fits = fits && x == floor(x);
    return fits ||
           spak_fail(err, "matmul: %s.%s: expected a %s from %.0f to %.0f",
                     where, m->name,
                     m->type == JSON_INTEGER ? "whole number" : "number",
                     m->least, m->most);
}

static bool check_members(const json_t *object, const char *where,
                          const member *members, size_t count,
                          spak_error *err) {
    const char *key;
    json_t *value;
    if (object && !json_is_object(object))
        return spak_fail(err, "matmul: %s must be an object", where);
    json_object_foreach((json_t *)object, key, value) {
        size_t i = 0;
        while (i < count && strcmp(members[i].name, key) != 0) i++;
        if (i == count)
            return spak_fail(err, "matmul: %s.%s: there is no such member",
                             where, key);
    }
    for (size_t i = 0; i < count; i++)
        if (!check_member(&members[i], where,
                          json_object_get(object, members[i].name), err))
            return false;
    return true;
}

static const member problem_members[] = {
    {"m", JSON_INTEGER, 0, 1 << 20, true},
    {"n", JSON_INTEGER, 0, 1 << 20, true},
    {"k", JSON_INTEGER, 0, 1 << 20, true},
    {"threads", JSON_INTEGER, 0, 1 << 20, false},
    {"trans_a", JSON_TRUE, 0, 0, false},
    {"trans_b", JSON_TRUE, 0, 0, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
};
static const member option_members[] = {
    {"samples", JSON_INTEGER, 1, MAX_SAMPLES, false},
    {"min_sample_ms", JSON_REAL, 0, 60000, false},
    {"peer", JSON_TRUE, 0, 0, false},
    {"check", JSON_TRUE, 0, 0, false},
    {"flush", JSON_TRUE, 0, 0, false},
};

static bool read_call(trial *t, const json_t *config, const json_t *problem,
                      const json_t *options, spak_error *err) {
    enum {
        PROBLEM = sizeof problem_members / sizeof *problem_members,
        OPTIONS = sizeof option_members / sizeof *option_members
    };
    if (config && !json_is_object(config))
        return spak_fail(err, "matmul: the configuration must be an object");
    if (!problem) return spak_fail(err, "matmul: problem must be an object");
    if (!check_members(problem, "problem", problem_members, PROBLEM, err) ||
        !check_members(options, "options", option_members, OPTIONS, err))
        return false;
    t->m = (size_t)spak_json_int(problem, "m", 0);
    t->n = (size_t)spak_json_int(problem, "n", 0);
    t->k = (size_t)spak_json_int(problem, "k", 0);
    t->threads = (int)spak_json_int(problem, "threads", 1);
    t->trans_a = spak_json_bool(problem, "trans_a", false);
    t->trans_b = spak_json_bool(problem, "trans_b", false);
    t->seed = (uint64_t)spak_json_int(problem, "seed", 1);
    t->samples = (int)spak_json_int(options, "samples", 15);
    t->min_sample_ms = spak_json_num(options, "min_sample_ms", 2);
    t->with_peer = spak_json_bool(options, "peer", true);
    t->with_check = spak_json_bool(options, "check", true);
    t->flush = spak_json_bool(options, "flush", true);
    return true;
}

/* --- inputs --- */

static size_t round16(size_t n) { return (n + 15) / 16 * 16; }

static bool prepare(trial *t, spak_error *err) {
    size_t a = t->m * t->k, b = t->k * t->n, c = t->m * t->n;
    size_t wake = t->threads > 1 ? WAKE * WAKE : 0,
           floats = round16(a) + round16(b) + 2 * round16(c) + 3 * wake + 16;
    t->memory = spak_malloc(floats * sizeof(float));
    t->time_ms = spak_calloc((size_t)t->samples, 3 * sizeof(double));
    if (!t->memory || !t->time_ms) return spak_fail_oom(err);
    t->peer_time_ms = t->time_ms + t->samples;
    t->scratch = t->peer_time_ms + t->samples;
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
                            t->n};
    t->theirs = t->ours;
    t->theirs.c += round16(c);
    float *small = t->theirs.c + round16(c);
    memset(small, 0, 3 * wake * sizeof(float));
    t->wake = (matmul_args){WAKE,  WAKE, WAKE,         false, false,
                            small, WAKE, small + wake, WAKE,  small + 2 * wake,
                            WAKE};
    spak_philox_fill_uniform(start, a, -1, 1, t->seed, 0);
    spak_philox_fill_uniform(start + round16(a), b, -1, 1, t->seed, 1);
    if (t->with_check &&
        !matmul_verifier_new(&t->ours, t->seed, &t->verifier, err))
        return false;
    return matmul_plan_new(&t->config, t->threads, &t->plan, err);
}

/* --- products --- */

typedef void run_fn(trial *t, const matmul_args *x);

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

typedef struct side {
    run_fn *run;
    const matmul_args *x;
} side;

static side our_side(const trial *t) { return (side){run_ours, &t->ours}; }
static side their_side(const trial *t) {
    return (side){run_theirs, &t->theirs};
}

/* NaN all over C. The first time it also touches C's pages, so that no page
 * fault is timed. */
static void poison(side s) {
    memset(s.x->c, 0xFF, s.x->m * s.x->ldc * sizeof(float));
}

static double product_ms(trial *t, side s) {
    uint64_t begin = spak_now_ns();
    s.run(t, s.x);
    return (double)(spak_now_ns() - begin) * 1e-6;
}

/* --- timing --- */

/* With several threads, the side that is not timed must have gone to sleep (see
 * device/blas.c), and the one that is must have woken up: a small product on
 * memory of its own does that. */
static double sample(trial *t, side s) {
    poison(s); /* before the flush, which is to meet C too */
    if (t->flush) dev_flush_caches();
    if (t->threads > 1) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        s.run(t, &t->wake);
    }
    double sum = 0;
    for (int i = 0; i < t->repeats; i++) {
        if (i > 0) poison(s);
        sum += product_ms(t, s);
    }
    return sum / t->repeats;
}

/* Is our last product right? If not, the reason names it. */
static bool sound(trial *t, uint64_t draw, const char *what, int number) {
    if (!t->verifier) return true;
    double worst =
        matmul_verify_quickly(t->verifier, t->ours.c, t->ours.ldc, draw);
    if (worst <= 1) return true;
    snprintf(t->reason, sizeof t->reason,
             "%s %d of %d: the last product is wrong (error / bound %.3g); the "
             "first one was right",
             what, number, t->samples, worst);
    return false;
}

/* Time of a product; raises *wall_ms to what it takes with its poisoning. */
static double calibrate(trial *t, side s, double *wall_ms) {
    uint64_t begin = spak_now_ns();
    poison(s);
    double once = product_ms(t, s);
    double wall = (double)(spak_now_ns() - begin) * 1e-6;
    if (wall > *wall_ms) *wall_ms = wall;
    return once;
}

static bool choose_repeats(trial *t) {
    double wall = 0, once = calibrate(t, our_side(t), &wall);
    if (!sound(t, DRAW_CALIBRATION, "calibration, before sample", 1))
        return false;
    if (t->peer) once = fmin(once, calibrate(t, their_side(t), &wall));
    double repeats = fmin(ceil(t->min_sample_ms / fmax(once, 1e-6)),
                          LONGEST_SAMPLE * t->min_sample_ms / fmax(wall, 1e-6));
    t->repeats = (int)fmin(fmax(repeats, 1), MAX_REPEATS);
    return true;
}

static bool measure(trial *t) {
    if (!choose_repeats(t)) return false;
    for (int i = 0; i < t->samples; i++) {
        if (t->peer && i % 2) t->peer_time_ms[i] = sample(t, their_side(t));
        t->time_ms[i] = sample(t, our_side(t));
        if (!sound(t, DRAW_SAMPLES + (uint64_t)i, "sample", i + 1))
            return false;
        if (t->peer && i % 2 == 0)
            t->peer_time_ms[i] = sample(t, their_side(t));
    }
    return true;
}

/* --- the result --- */

static json_t *times(const double *ms, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(ms[i]));
    return list;
}

static double median_of(trial *t, const double *values) {
    memcpy(t->scratch, values, (size_t)t->samples * sizeof *values);
    return dev_spread_of(t->scratch, (size_t)t->samples).median;
}

static void put_speeds(trial *t, json_t *result) {
    double gflop = 2e-9 * (double)t->m * (double)t->n * (double)t->k;
    json_object_set_new(result, "time_ms", times(t->time_ms, t->samples));
    json_object_set_new(result, "repeats", json_integer(t->repeats));
    double ms = median_of(t, t->time_ms);
    if (ms > 0)
        json_object_set_new(result, "gflops", json_real(gflop / ms * 1e3));
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
    json_object_set_new(result, "peer_time_ms",
                        times(t->peer_time_ms, t->samples));
    double peer_ms = median_of(t, t->peer_time_ms);
    if (peer_ms > 0)
        json_object_set_new(result, "peer_gflops",
                            json_real(gflop / peer_ms * 1e3));
    for (int i = 0; i < t->samples; i++)
        t->scratch[i] = t->peer_time_ms[i] / t->time_ms[i];
    dev_spread ratio = dev_spread_of(t->scratch, (size_t)t->samples);
    if (isfinite(ratio.median) && isfinite(ratio.max))
        json_object_update_new(
            result, json_pack("{s:f,s:f,s:f}", "ratio", ratio.median,
                              "ratio_q1", ratio.q1, "ratio_q3", ratio.q3));
}

static void put_failure(json_t *result, const char *reason) {
    json_object_set_new(result, "correct", json_false());
    json_object_set_new(result, "status", json_string("failed"));
    json_object_set_new(result, "reason", json_string(reason));
}

static bool first_is_right(trial *t, json_t *result) {
    poison(our_side(t));
    run_ours(t, &t->ours);
    if (!t->verifier) return true;
    double worst = matmul_verify(t->verifier, t->ours.c, t->ours.ldc);
    if (isfinite(worst))
        json_object_set_new(result, "error_over_bound", json_real(worst));
    return worst <= 1;
}

/* Finds the peer and lets it compute once. A peer that is wrong is no peer. */
static void meet_peer(trial *t) {
    if (!t->with_peer) return;
    t->planted = (dev_blas){"planted", "planted", NULL, "planted"};
    t->peer = t->peer_subject ? &t->planted : dev_blas_peer();
    if (!t->peer) {
        t->peer_reason = "there is none on this machine";
    } else if (!t->m || !t->n || !t->k) {
        t->peer_reason = "the product is empty";
        t->peer = NULL;
    } else {
        poison(their_side(t));
        run_theirs(t, &t->theirs);
        if (t->verifier &&
            !(matmul_verify_quickly(t->verifier, t->theirs.c, t->theirs.ldc,
                                    DRAW_PEER) <= 1)) {
            t->peer_reason = "its product is wrong by more than the bound";
            t->peer = NULL;
        }
    }
}

static bool run_trial(trial *t, json_t *result, spak_error *err) {
    if (!prepare(t, err)) return false;
    if (!first_is_right(t, result)) {
        put_failure(
            result,
            "the output differs from the oracle by more than the bound");
        return true;
    }
    meet_peer(t);
    if (!measure(t)) {
        put_failure(result, t->reason);
        return true;
    }
    if (t->verifier) json_object_set_new(result, "correct", json_true());
    json_object_set_new(result, "status", json_string("ok"));
    put_speeds(t, result);
    return true;
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
        json_object_set_new(result, "status", json_string("refused"));
        json_object_set_new(result, "reason", json_string(why.message));
        json_object_set_new(result, "config",
                            config ? json_deep_copy(config) : json_object());
    } else {
        json_object_set_new(result, "config", matmul_config_json(&t.config));
        done = run_trial(&t, result, err);
    }
    matmul_plan_free(t.plan);
    matmul_verifier_free(t.verifier);
    spak_free(t.memory);
    spak_free(t.time_ms);
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
