#include "device/trial.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"

enum {
    MAX_SAMPLES = 10000,
    MAX_REPEATS = 1 << 20,
    LONGEST_SAMPLE = 20, /* times min_sample_ms, preparing included */
    FALL_ASLEEP_NS = 2000000
};

/* --- reading a call --- */

static bool check_member(const char *op, const char *where, const dev_member *m, const json_t *value, spak_error *err) {
    if (!value) return !m->needed || spak_fail(err, "%s: %s.%s is missing", op, where, m->name);
    if (m->type == JSON_TRUE)
        return json_is_boolean(value) || spak_fail(err, "%s: %s.%s: expected true or false", op, where, m->name);
    if (m->type == JSON_STRING)
        return json_is_string(value) || spak_fail(err, "%s: %s.%s: expected a text", op, where, m->name);
    if (m->type == JSON_OBJECT || m->type == JSON_ARRAY) /* an empty table of Lua may be either */
        return json_typeof(value) == m->type ||
               (json_array_size(value) == 0 && json_object_size(value) == 0 &&
                (json_is_array(value) || json_is_object(value))) ||
               spak_fail(err, "%s: %s.%s: expected %s", op, where, m->name,
                         m->type == JSON_OBJECT ? "a table of names and values" : "a list");
    double x = json_number_value(value);
    bool fits = json_is_number(value) && x >= m->least && x <= m->most;
    if (m->type == JSON_INTEGER) fits = fits && x == floor(x);
    return fits || spak_fail(err, "%s: %s.%s: expected a %s from %.0f to %.0f", op, where, m->name,
                             m->type == JSON_INTEGER ? "whole number" : "number", m->least, m->most);
}

bool dev_members_check(const char *op, const char *where, const json_t *object, const dev_member *members, size_t count,
                       spak_error *err) {
    const char *key;
    json_t *value;
    if (object && !json_is_object(object)) return spak_fail(err, "%s: %s must be an object", op, where);
    json_object_foreach((json_t *)object, key, value) {
        size_t i = 0;
        while (i < count && strcmp(members[i].name, key) != 0) i++;
        if (i == count) return spak_fail(err, "%s: %s.%s: there is no such member", op, where, key);
    }
    for (size_t i = 0; i < count; i++)
        if (!check_member(op, where, &members[i], json_object_get(object, members[i].name), err)) return false;
    return true;
}

static const dev_member option_members[] = {
    {"samples", JSON_INTEGER, 1, MAX_SAMPLES, false},
    {"min_sample_ms", JSON_REAL, 0, 60000, false},
    {"peer", JSON_TRUE, 0, 0, false},
    {"check", JSON_TRUE, 0, 0, false},
    {"flush", JSON_TRUE, 0, 0, false},
};

bool dev_trial_options_read(const char *op, const json_t *options, dev_trial_options *out, spak_error *err) {
    enum { OPTIONS = sizeof option_members / sizeof *option_members };
    if (!dev_members_check(op, "options", options, option_members, OPTIONS, err)) return false;
    *out = (dev_trial_options){.samples = (int)spak_json_int(options, "samples", 15),
                               .min_sample_ms = spak_json_num(options, "min_sample_ms", 2),
                               .peer = spak_json_bool(options, "peer", true),
                               .check = spak_json_bool(options, "check", true),
                               .flush = spak_json_bool(options, "flush", true)};
    return true;
}

/* --- reading a configuration --- */

/* A misspelt axis would measure the default under a wrong name. */
bool dev_axes_known(const json_t *config, const char *const *axes, size_t count, spak_error *why) {
    const char *key;
    json_t *value;
    if (config && !json_is_object(config)) return spak_fail(why, "the configuration must be an object");
    json_object_foreach((json_t *)config, key, value) {
        size_t i = 0;
        while (i < count && strcmp(axes[i], key) != 0) i++;
        if (i == count) return spak_fail(why, "there is no axis '%s'", key);
    }
    return true;
}

bool dev_axis_size(const json_t *config, const char *axis, size_t least, size_t most, size_t *value, spak_error *why) {
    const json_t *given = json_object_get(config, axis);
    if (!given) return true;
    double x = json_number_value(given);
    if (!json_is_number(given) || x != floor(x) || x < (double)least || x > (double)most)
        return spak_fail(why, "axis %s: expected a whole number from %zu to %zu", axis, least, most);
    *value = (size_t)x;
    return true;
}

bool dev_axis_choice(const json_t *config, const char *axis, const char *const *names, int count, int *choice,
                     spak_error *why) {
    const json_t *given = json_object_get(config, axis);
    if (!given) return true;
    const char *name = json_string_value(given);
    if (!name) return spak_fail(why, "axis %s: expected a name in quotes", axis);
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i])) {
            *choice = i;
            return true;
        }
    spak_str all = {0};
    for (int i = 0; i < count; i++) spak_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    spak_fail(why, "axis %s: '%s' is none of %s", axis, name, spak_str_text(&all));
    spak_str_free(&all);
    return false;
}

bool dev_axis_isa(const json_t *config, dev_isa *isa, spak_error *why) {
    const char *names[DEV_ISA_COUNT];
    int choice = (int)dev_cpu_isa();
    for (int i = 0; i < DEV_ISA_COUNT; i++) names[i] = dev_isa_name((dev_isa)i);
    if (!dev_axis_choice(config, "isa", names, DEV_ISA_COUNT, &choice, why)) return false;
    *isa = (dev_isa)choice;
    return dev_cpu_has(*isa) || spak_fail(why, "axis isa: this processor runs %s at best, not %s",
                                          dev_isa_name(dev_cpu_isa()), dev_isa_name(*isa));
}

/* --- timing --- */

static void prepare(const dev_side *side) {
    if (side->prepare) side->prepare(side->ctx);
}

static double run_ms(const dev_side *side) {
    uint64_t begin = spak_now_ns();
    side->run(side->ctx);
    return (double)(spak_now_ns() - begin) * 1e-6;
}

/* With several threads, the side that is not timed must have gone to sleep (see device/blas.c), and the one that is
 * must have woken up. prepare comes before the flush, which is to meet the outputs too. */
static double sample_ms(const dev_side *side, const dev_trial_options *options, int repeats) {
    prepare(side);
    if (options->flush) dev_flush_caches();
    if (side->wake) {
        nanosleep(&(struct timespec){0, FALL_ASLEEP_NS}, NULL);
        side->wake(side->ctx);
    }
    double sum = 0;
    for (int i = 0; i < repeats; i++) {
        if (i > 0) prepare(side);
        sum += run_ms(side);
    }
    return sum / repeats;
}

/* Time of a run; raises *wall_ms to what it takes with its preparation. */
static double calibrate(const dev_side *side, double *wall_ms) {
    uint64_t begin = spak_now_ns();
    prepare(side);
    double once = run_ms(side), wall = (double)(spak_now_ns() - begin) * 1e-6;
    if (wall > *wall_ms) *wall_ms = wall;
    return once;
}

typedef struct judge {
    bool (*sound)(void *ctx, int sample, spak_error *why);
    void *ctx;
} judge;

static bool is_sound(const judge *j, int sample, spak_error *why) { return !j->sound || j->sound(j->ctx, sample, why); }

static bool choose_repeats(const dev_side *ours, const dev_side *peer, const dev_trial_options *options, const judge *j,
                           int *repeats, spak_error *why) {
    double wall = 0, once = calibrate(ours, &wall);
    if (!is_sound(j, 0, why)) return false;
    if (peer) once = fmin(once, calibrate(peer, &wall));
    double wanted = fmin(ceil(options->min_sample_ms / fmax(once, 1e-6)),
                         LONGEST_SAMPLE * options->min_sample_ms / fmax(wall, 1e-6));
    *repeats = (int)fmin(fmax(wanted, 1), MAX_REPEATS);
    return true;
}

bool dev_time(const dev_side *ours, const dev_side *peer, const dev_trial_options *options,
              bool (*sound)(void *ctx, int sample, spak_error *why), void *sound_ctx, dev_timing *timing, bool *good,
              spak_error *why, spak_error *err) {
    judge j = {sound, sound_ctx};
    *timing = (dev_timing){.samples = options->samples};
    timing->time_ms = spak_calloc((size_t)options->samples, sizeof(double));
    if (peer) timing->peer_time_ms = spak_calloc((size_t)options->samples, sizeof(double));
    if (!timing->time_ms || (peer && !timing->peer_time_ms)) return spak_fail_oom(err);
    *good = choose_repeats(ours, peer, options, &j, &timing->repeats, why);
    for (int i = 0; *good && i < options->samples; i++) {
        if (peer && i % 2) timing->peer_time_ms[i] = sample_ms(peer, options, timing->repeats);
        timing->time_ms[i] = sample_ms(ours, options, timing->repeats);
        *good = is_sound(&j, i + 1, why);
        if (*good && peer && i % 2 == 0) timing->peer_time_ms[i] = sample_ms(peer, options, timing->repeats);
    }
    return true;
}

void dev_timing_free(dev_timing *timing) {
    spak_free(timing->time_ms);
    spak_free(timing->peer_time_ms);
    *timing = (dev_timing){0};
}

/* --- the result --- */

static json_t *list_of(const double *ms, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(ms[i]));
    return list;
}

/* Times, and the speed that their median gives. */
static void put_side(json_t *result, const char *times, const char *speed, double *scratch, const double *ms, int n,
                     double flop) {
    json_object_set_new(result, times, list_of(ms, n));
    memcpy(scratch, ms, (size_t)n * sizeof *ms);
    double median = dev_spread_of(scratch, (size_t)n).median;
    if (median > 0 && flop > 0) json_object_set_new(result, speed, json_real(flop / median * 1e-6));
}

bool dev_timing_put(const dev_timing *timing, double flop, json_t *result, spak_error *err) {
    int n = timing->samples;
    double *scratch = spak_calloc((size_t)n, sizeof *scratch);
    if (!scratch) return spak_fail_oom(err);
    json_object_set_new(result, "repeats", json_integer(timing->repeats));
    put_side(result, "time_ms", "gflops", scratch, timing->time_ms, n, flop);
    if (timing->peer_time_ms) {
        put_side(result, "peer_time_ms", "peer_gflops", scratch, timing->peer_time_ms, n, flop);
        for (int i = 0; i < n; i++) scratch[i] = timing->peer_time_ms[i] / timing->time_ms[i];
        dev_spread ratio = dev_spread_of(scratch, (size_t)n);
        if (isfinite(ratio.median) && isfinite(ratio.max))
            json_object_update_new(
                result, json_pack("{s:f,s:f,s:f}", "ratio", ratio.median, "ratio_q1", ratio.q1, "ratio_q3", ratio.q3));
    }
    spak_free(scratch);
    return true;
}

void dev_trial_put_failure(json_t *result, const char *reason) {
    json_object_set_new(result, "correct", json_false());
    json_object_set_new(result, "status", json_string("failed"));
    json_object_set_new(result, "reason", json_string(reason));
}

void dev_trial_put_refusal(json_t *result, const json_t *config, const char *reason) {
    json_object_set_new(result, "status", json_string("refused"));
    json_object_set_new(result, "reason", json_string(reason));
    json_object_set_new(result, "config", config ? json_deep_copy(config) : json_object());
}

bool dev_trial_put_first(json_t *result, double worst) {
    if (isfinite(worst)) json_object_set_new(result, "error_over_bound", json_real(worst));
    if (worst <= 1) return true;
    dev_trial_put_failure(result, "the output differs from the oracle by more than the bound");
    return false;
}

bool dev_trial_time(const dev_side *ours, const dev_side *peer, const dev_trial_options *options,
                    bool (*sound)(void *ctx, int sample, spak_error *why), void *sound_ctx, double flop, json_t *result,
                    bool *good, spak_error *err) {
    dev_timing timing;
    spak_error why = {""};
    *good = false;
    bool ok = dev_time(ours, peer, options, sound, sound_ctx, &timing, good, &why, err);
    if (ok && *good) {
        if (options->check) json_object_set_new(result, "correct", json_true());
        json_object_set_new(result, "status", json_string("ok"));
        ok = dev_timing_put(&timing, flop, result, err);
    } else if (ok) {
        dev_trial_put_failure(result, why.message);
    }
    dev_timing_free(&timing);
    return ok;
}
