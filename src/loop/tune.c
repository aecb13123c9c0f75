/* tune: a search over trials.
 *
 * The search is greedy, one axis at a time: from the best configuration so far try every value of one axis, keep the
 * best, go on with the next axis, until a whole round changes nothing or the budget is spent. Local search beats random
 * sampling on published kernel tuning spaces, has no parameters of its own, and its trace reads like an argument: each
 * trial differs from a known one in one thing, which is also what predictions need (predict.c).
 *
 * A configuration that a constraint or a rule forbids is not run; that refusal is traced like any other result. */
#include <string.h>

#include "base/clock.h"
#include "base/progress.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

typedef struct search {
    loop_run *run;
    const char *label;
    const json_t *problem, *options;
    int trials, max_trials, refused, failed;
    json_t *best; /* configuration, owned */
    double best_merit;
    const json_t *best_record;
    uint64_t begun; /* on the clock */
    spak_progress bar;
} search;

/* Tries config; keeps it when it beats the best so far. */
static bool try_config(search *s, json_t *config, spak_error *err) {
    const json_t *record = NULL;
    loop_asked asked = {s->label, config, s->problem, s->options};
    if (!loop_trial(s->run, "measure", &asked, &record, err)) return false;
    const char *status = spak_json_str(record, "status", "");
    if (!strcmp(status, "refused")) {
        s->refused++;
        return true;
    }
    s->trials++;
    if (!strcmp(status, "failed")) s->failed++;
    double merit = loop_merit(record);
    if (merit > s->best_merit) {
        s->best_merit = merit;
        s->best_record = record;
        json_decref(s->best);
        s->best = json_incref(config);
    }
    spak_progress_step(&s->bar, s->label);
    return true;
}

static bool search_axis(search *s, const char *axis, const json_t *values, bool *improved, spak_error *err) {
    json_t *from = json_deep_copy(s->best);
    double before = s->best_merit;
    bool ok = from != NULL || spak_fail_oom(err);
    for (size_t i = 0; ok && i < json_array_size(values) && s->trials < s->max_trials; i++) {
        if (json_equal(json_object_get(from, axis), json_array_get(values, i))) continue;
        json_t *config = json_deep_copy(from);
        ok = config && json_object_set(config, axis, json_array_get(values, i)) == 0 ? try_config(s, config, err)
                                                                                     : spak_fail_oom(err);
        json_decref(config);
    }
    *improved = s->best_merit > before;
    json_decref(from);
    return ok;
}

/* One round over the axes. The operator has filled its defaults into the start's record, so every axis has a value. */
static bool search_round(search *s, const json_t *space, bool *improved, spak_error *err) {
    const char *axis;
    json_t *values;
    *improved = false;
    json_object_foreach((json_t *)space, axis, values) {
        bool better = false;
        if (json_array_size(values) < 2) continue;
        if (!search_axis(s, axis, values, &better, err)) return false;
        *improved = *improved || better;
    }
    return true;
}

static bool record_converged(search *s, json_t **best, spak_error *err) {
    json_t *ref = loop_ref(s->run, s->best_record);
    json_t *body = json_pack("{s:s, s:O, s:O, s:f, s:i, s:i, s:i, s:i, s:o}", "label", s->label, "problem", s->problem,
                             "best", s->best, "merit", s->best_merit, "trials", s->trials, "refused", s->refused,
                             "failed", s->failed, "max_trials", s->max_trials, "best_ref", ref);
    bool known = body && loop_find(s->run, "converge", body);
    bool ok = true;
    if (body) json_object_set_new(body, "seconds", json_real((double)(spak_now_ns() - s->begun) * 1e-9));
    if (known)
        json_decref(body);
    else
        ok = loop_record(s->run, "converge", body, NULL, err);
    if (ok && best) *best = json_incref(s->best);
    return ok;
}

/* Measures a start as it is given, and what the operator made of it, all axes filled in, as a candidate. */
static bool try_start(search *s, const json_t *start, spak_error *why, spak_error *err) {
    const json_t *record = NULL;
    if (!loop_trial(s->run, "measure", &(loop_asked){s->label, start, s->problem, s->options}, &record, err))
        return false;
    s->trials++;
    if (loop_merit(record) <= 0) {
        spak_fail(why, "tune %s: the starting configuration is %s (%s); give another start", s->label,
                  spak_json_str(record, "status", "not ok"), spak_json_str(record, "reason", "no reason given"));
        return true;
    }
    json_t *filled = json_deep_copy(json_object_get(record, "config"));
    bool ok = filled ? try_config(s, filled, err) : spak_fail_oom(err);
    json_decref(filled);
    if (ok && !s->best)
        spak_fail(why, "tune %s: the machine's default configuration is refused by a rule; give another start",
                  s->label);
    return ok;
}

/* The search goes on from the best of the starts. */
static bool try_starts(search *s, const json_t *start, spak_error *err) {
    json_t *none = json_object();
    spak_error why = {0};
    bool ok = none || spak_fail_oom(err);
    bool several = json_array_size(start) > 0;
    for (size_t i = 0; ok && i < (several ? json_array_size(start) : 1); i++)
        ok = try_start(s, several ? json_array_get(start, i) : json_is_object(start) ? start : none, &why, err);
    json_decref(none);
    if (ok && !s->best) {
        *err = why;
        return false;
    }
    return ok;
}

bool loop_tune(loop_run *run, const char *label, const json_t *start, const json_t *problem, const json_t *options,
               int max_trials, json_t **best, spak_error *err) {
    json_t *space = NULL;
    search s = {.run = run,
                .label = label,
                .problem = problem,
                .options = options,
                .max_trials = max_trials,
                .begun = spak_now_ns()};
    if (!loop_ticket_check(run, err) || !loop_space(run, &space, err)) return false;
    spak_progress_begin(&s.bar, "tune", max_trials);
    bool ok = try_starts(&s, start, err);
    for (bool improved = true; ok && improved && s.trials < s.max_trials;) ok = search_round(&s, space, &improved, err);
    spak_progress_end(&s.bar);
    ok = ok && record_converged(&s, best, err);
    json_decref(s.best);
    json_decref(space);
    return ok;
}

/* --- what the system's engineering_loop block asks for --- */

static json_t *entries(const json_t *block, const char *without) {
    json_t *object = json_object();
    const json_t *body = json_object_get(block, "body");
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i), *value = json_object_get(entry, "value");
        const char *key = spak_json_str(entry, "key", NULL);
        if (key && value && !dsl_code(value) && strcmp(key, without) != 0)
            json_object_set_new(object, key, loop_plain(value));
    }
    return object;
}

bool loop_system_problem(const loop_run *run, const char *name, json_t **problem, spak_error *err) {
    const json_t *block = dsl_block(dsl_block(run->system, "engineering_loop", NULL, 0), "problem", name, 0);
    if (!block) return spak_fail(err, "%s: engineering_loop has no `problem %s`", run->system_path, name);
    *problem = entries(block, "");
    return *problem || spak_fail_oom(err);
}

bool loop_system_options(const loop_run *run, json_t **options, int *max_trials, spak_error *err) {
    const json_t *block = dsl_block(dsl_block(run->system, "engineering_loop", NULL, 0), "profile", run->profile, 0);
    if (!block)
        return spak_fail(err,
                         "%s: engineering_loop has no `profile %s`; the profiles there are the ones to choose from",
                         run->system_path, run->profile);
    *max_trials = (int)json_number_value(dsl_value(block, "trials"));
    if (*max_trials < 2)
        return spak_fail(err, "%s: profile %s needs `trials:` of at least two", run->system_path, run->profile);
    *options = entries(block, "trials");
    return *options || spak_fail_oom(err);
}

bool loop_tune_system(loop_run *run, spak_error *err) {
    json_t *options = NULL, *env = loop_expression_env(run, NULL, NULL);
    int max_trials = 0, tuned = 0;
    char where[512];
    bool ok = loop_system_options(run, &options, &max_trials, err);
    const json_t *block, *engineering = dsl_block(run->system, "engineering_loop", NULL, 0);
    for (size_t i = 0; ok && (block = dsl_block(engineering, "problem", NULL, i)); i++) {
        const char *when = dsl_code(dsl_value(block, "when"));
        bool here = true;
        if (when)
            ok = loop_condition(run, when, loop_where(block, run->system_path, where, sizeof where), env, &here, err);
        if (!ok || !here) continue;
        json_t *problem = entries(block, "");
        ok = loop_tune(run, spak_json_str(block, "name", "problem"), NULL, problem, options, max_trials, NULL, err) ||
             spak_fail_context(err, "%s", loop_where(block, run->system_path, where, sizeof where));
        json_decref(problem);
        tuned++;
    }
    if (ok && !tuned)
        ok = spak_fail(err, "%s: no problem of engineering_loop applies on this machine", run->system_path);
    json_decref(options);
    json_decref(env);
    return ok;
}
