/* One measurement: a configuration on a problem, checked against the oracle and
 * timed against OpenBLAS.
 *
 * The samples of both sides alternate, and from pair to pair they take turns at
 * going first, so that a clock that drifts, or a neighbour that comes and goes,
 * hits both alike; the ratio is the median of the pairs' ratios. Before each
 * sample all caches are flushed (option "flush", on unless set to false), so
 * that neither side inherits the other's leftovers. A sample repeats the
 * product until it lasts min_sample_ms, as often on both sides; only its first
 * product meets cold caches.
 *
 * The check: up to CHECK_ALL multiply-adds every element is compared with the
 * oracle; beyond that the first and the last row and column and a few random
 * ones are, which every panel edge and every slice of k passes through. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "device/blas.h"
#include "matmul/matmul.h"

enum {
    WAKE = 192,
    CHECK_ALL = 1 << 25,
    CHECK_LINES = 4,
    MAX_SAMPLES = 10000,
    MAX_REPEATS = 1 << 20
};

typedef struct trial {
    size_t m, n, k;
    int threads, samples, repeats;
    bool trans_a, trans_b, with_peer, with_check, flush;
    uint64_t seed;
    double min_sample_ms;
    matmul_config config;
    matmul_plan *plan;
    const dev_blas *peer;
    matmul_args ours, theirs; /* the same inputs; C apart */
    matmul_args wake;         /* a small product, to wake threads with */
    float *memory;
    double *time_ms, *peer_time_ms, *scratch; /* samples values each */
    double error_over_bound, peer_error_over_bound;
} trial;

/* --- reading the call --- */

static bool read_dimension(const json_t *problem, const char *key,
                           size_t *value, spak_error *err) {
    const json_t *given = json_object_get(problem, key);
    if (!json_is_integer(given) || json_integer_value(given) < 0 ||
        json_integer_value(given) > 1 << 20)
        return spak_fail(
            err, "matmul: problem.%s: expected a whole number from 0 to %d",
            key, 1 << 20);
    *value = (size_t)json_integer_value(given);
    return true;
}

static bool read_call(trial *t, const json_t *config, const json_t *problem,
                      const json_t *options, spak_error *err) {
    if (config && !json_is_object(config))
        return spak_fail(err, "matmul: the configuration must be an object");
    if (!json_is_object(problem))
        return spak_fail(
            err, "matmul: the problem must be an object with m, n and k");
    if (options && !json_is_object(options))
        return spak_fail(err, "matmul: the options must be an object");
    if (!read_dimension(problem, "m", &t->m, err) ||
        !read_dimension(problem, "n", &t->n, err) ||
        !read_dimension(problem, "k", &t->k, err))
        return false;
    t->threads = (int)spak_json_int(problem, "threads", 1);
    t->trans_a = spak_json_bool(problem, "trans_a", false);
    t->trans_b = spak_json_bool(problem, "trans_b", false);
    t->seed = (uint64_t)spak_json_int(problem, "seed", 1);
    t->samples = (int)spak_json_int(options, "samples", 15);
    t->min_sample_ms = spak_json_num(options, "min_sample_ms", 2);
    t->with_peer = spak_json_bool(options, "peer", true);
    t->with_check = spak_json_bool(options, "check", true);
    t->flush = spak_json_bool(options, "flush", true);
    if (t->samples < 1 || t->samples > MAX_SAMPLES)
        return spak_fail(err,
                         "matmul: options.samples: expected 1 to %d, found %d",
                         MAX_SAMPLES, t->samples);
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
    /* Both outputs are touched, so that no page fault is timed, and hold no
     * plausible value. */
    memset(t->ours.c, 0xFF, (round16(c) + c) * sizeof(float));
    return matmul_plan_new(&t->config, t->threads, &t->plan, err);
}

/* --- checking --- */

static void worst_of(double *worst, float found, double want, double bound,
                     double factor) {
    double error = fabs((double)found - want), limit = factor * bound;
    double ratio = error == 0 ? 0 : limit > 0 ? error / limit : INFINITY;
    if (!(ratio <= *worst))
        *worst = isfinite(ratio)
                     ? ratio
                     : INFINITY; /* a NaN counts as infinitely wrong */
}

/* The largest |error| / bound over one row (or column) of the output. */
static void check_line(const matmul_args *x, bool row, size_t at, double *want,
                       double *bound, double *worst) {
    double factor = matmul_error_factor(x->k);
    if (row) {
        matmul_oracle_row(x, at, want, bound);
        for (size_t j = 0; j < x->n; j++)
            worst_of(worst, x->c[at * x->ldc + j], want[j], bound[j], factor);
    } else {
        matmul_oracle_column(x, at, want, bound);
        for (size_t i = 0; i < x->m; i++)
            worst_of(worst, x->c[i * x->ldc + at], want[i], bound[i], factor);
    }
}

static size_t line_to_check(uint64_t seed, bool row, size_t i, size_t lines,
                            size_t count) {
    if (i == 0) return 0;
    if (i + 1 == lines) return count - 1;
    return (size_t)(spak_philox_uniform(seed, row ? 2 : 3, i) * (float)count) %
           count;
}

static bool check(const trial *t, const matmul_args *x, double *worst,
                  spak_error *err) {
    *worst = 0;
    if (x->m == 0 || x->n == 0) return true;
    size_t longest = x->m > x->n ? x->m : x->n;
    double *want = spak_malloc(2 * longest * sizeof *want);
    if (!want) return spak_fail_oom(err);
    if ((double)x->m * (double)x->n * (double)x->k <= CHECK_ALL) {
        for (size_t i = 0; i < x->m; i++)
            check_line(x, true, i, want, want + longest, worst);
    } else {
        for (int row = 0; row < 2; row++)
            for (size_t i = 0; i < CHECK_LINES; i++)
                check_line(x, row,
                           line_to_check(t->seed, row, i, CHECK_LINES,
                                         row ? x->m : x->n),
                           want, want + longest, worst);
    }
    spak_free(want);
    return true;
}

/* --- timing --- */

typedef void run_fn(trial *t, const matmul_args *x);

static void run_ours(trial *t, const matmul_args *x) {
    matmul_run(t->plan, x ? x : &t->ours);
}

static void run_theirs(trial *t, const matmul_args *x) {
    if (!x) x = &t->theirs;
    if (x->m && x->n && x->k)
        dev_blas_sgemm(x->m, x->n, x->k, x->a, x->lda, x->trans_a, x->b, x->ldb,
                       x->trans_b, x->c, x->ldc, t->threads);
}

static double time_once(trial *t, run_fn *run, int repeats) {
    uint64_t begin = spak_now_ns();
    for (int i = 0; i < repeats; i++) run(t, NULL);
    return (double)(spak_now_ns() - begin) * 1e-6 / repeats;
}

/* With several threads, the side that is not timed must have gone to sleep (see
 * device/blas.c), and the one that is must have woken up: a small product on
 * memory of its own does that. */
static double sample(trial *t, run_fn *run) {
    if (t->flush) dev_flush_caches();
    if (t->threads > 1) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        run(t, &t->wake);
    }
    return time_once(t, run, t->repeats);
}

static void measure(trial *t) {
    double once = time_once(t, run_ours, 1);
    if (t->peer) {
        double other = time_once(t, run_theirs, 1);
        if (other < once) once = other;
    }
    double repeats = once > 0 ? ceil(t->min_sample_ms / once) : MAX_REPEATS;
    t->repeats = repeats < 1             ? 1
                 : repeats > MAX_REPEATS ? MAX_REPEATS
                                         : (int)repeats;
    for (int i = 0; i < t->samples; i++) {
        if (t->peer && i % 2) t->peer_time_ms[i] = sample(t, run_theirs);
        t->time_ms[i] = sample(t, run_ours);
        if (t->peer && i % 2 == 0) t->peer_time_ms[i] = sample(t, run_theirs);
    }
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

static bool run_trial(trial *t, json_t *result, spak_error *err) {
    if (!prepare(t, err)) return false;
    t->peer = t->with_peer ? dev_blas_peer() : NULL;
    run_ours(t, NULL);
    if (t->peer) run_theirs(t, NULL);
    if (t->with_check) {
        if (!check(t, &t->ours, &t->error_over_bound, err)) return false;
        bool correct = t->error_over_bound <= 1;
        json_object_set_new(result, "correct", json_boolean(correct));
        if (isfinite(t->error_over_bound))
            json_object_set_new(result, "error_over_bound",
                                json_real(t->error_over_bound));
        if (!correct) {
            json_object_set_new(result, "status", json_string("failed"));
            json_object_set_new(result, "reason",
                                json_string("the output differs from the "
                                            "oracle by more than the bound"));
            return true;
        }
    }
    measure(t);
    json_object_set_new(result, "status", json_string("ok"));
    put_speeds(t, result);
    return true;
}

bool matmul_trial(const json_t *config, const json_t *problem,
                  const json_t *options, json_t **out, spak_error *err) {
    trial t = {0};
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
    spak_free(t.memory);
    spak_free(t.time_ms);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}
