/* One measurement: a whole training run, again and again, from the same weights
 * on the same names.
 *
 * What is timed is checked. First the run is made once step by step with the
 * clock standing: there each loss is held against the oracle's, on the weights
 * as they then are, and every so often the gradient, along a random direction,
 * against the oracle's slope, and the update against Adam's definition. A timed
 * run must then end with the bits of that run, in every loss and in every
 * parameter; both are wiped before it, so a run that was left out, cut short or
 * played back from memory does not pass.
 *
 * Floats are held against doubles as well: the losses of the two runs may
 * differ by what the roundings of one forward pass allow, although each goes
 * its own way through all the steps; but only as long as the same hidden units
 * are on in both (see microgpt_parting). */
#include "device/trial.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "microgpt/microgpt.h"

enum { LOOK_EVERY = 20, MOST_STEPS = 100000 };

typedef struct run {
    microgpt_config config;
    microgpt_model model;
    double *losses;    /* (steps) of the run made last */
    double *kept;      /* (steps) of the run that was checked */
    uint64_t *pattern; /* (steps) its hidden units that were on */
    double kept_end[MICROGPT_PARAMS]; /* its parameters at the end */
} run;

typedef struct trial {
    const char *dataset;
    int steps, threads;
    uint64_t seed;
    dev_trial_options options;
    microgpt_config config;
    microgpt_start *start;
    run ours, exact; /* exact: in doubles, beside floats */
    bool has_exact;
    double *memory;            /* of all lists that follow */
    double *deviation;         /* (steps) of ours from exact */
    double positions, flop;    /* of a step, on average */
    microgpt_trainer *trainer; /* NULL: microgpt_train */
    void *trainer_ctx;
    microgpt_fault fault; /* of ours */
} trial;

static const dev_member problem_members[] = {
    {"dataset", JSON_STRING, 0, 0, false},
    {"steps", JSON_INTEGER, 1, MOST_STEPS, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
    {"threads", JSON_INTEGER, 0, 1 << 20, false},
};

static bool read_call(trial *t, const json_t *config, const json_t *problem,
                      const json_t *options, spak_error *err) {
    enum { MEMBERS = sizeof problem_members / sizeof *problem_members };
    if (config && !json_is_object(config))
        return spak_fail(err, "microgpt: the configuration must be an object");
    if (!dev_members_check("microgpt", "problem", problem, problem_members,
                           MEMBERS, err) ||
        !dev_trial_options_read("microgpt", options, &t->options, err))
        return false;
    t->dataset = spak_json_str(problem, "dataset", "names");
    t->steps = (int)spak_json_int(problem, "steps", MICROGPT_STEPS);
    t->seed = (uint64_t)spak_json_int(problem, "seed", MICROGPT_SEED);
    t->threads = (int)spak_json_int(problem, "threads", 1);
    return true;
}

static void doc_of_step(const trial *t, int step, microgpt_doc *doc) {
    size_t length;
    const char *name = microgpt_docs_get(t->start->docs, (size_t)step, &length);
    microgpt_doc_of(name, length, doc);
}

static bool prepare(trial *t, spak_error *err) {
    size_t steps = (size_t)t->steps;
    t->has_exact = t->config.variant == MICROGPT_SINGLE;
    t->ours.config = t->exact.config = t->config;
    t->exact.config.variant = MICROGPT_EXACT;
    double **lists[] = {&t->ours.losses, &t->ours.kept, &t->exact.losses,
                        &t->exact.kept, &t->deviation};
    enum { LISTS = sizeof lists / sizeof *lists };
    t->memory = spak_malloc((LISTS + 2) * steps * sizeof *t->memory);
    if (!t->memory) return spak_fail_oom(err);
    for (size_t i = 0; i < LISTS; i++) *lists[i] = t->memory + i * steps;
    t->ours.pattern = (uint64_t *)(t->memory + LISTS * steps);
    t->exact.pattern = t->ours.pattern + steps;
    if (!microgpt_start_new(t->dataset, t->seed, MICROGPT_SOUND, &t->start,
                            err))
        return false;
    for (int step = 0; step < t->steps; step++) {
        microgpt_doc doc;
        doc_of_step(t, step, &doc);
        t->positions += (double)doc.n / t->steps;
        t->flop += microgpt_flop(doc.n) / t->steps;
    }
    return microgpt_model_new(&t->ours.config, t->fault, &t->ours.model, err) &&
           (!t->has_exact ||
            microgpt_model_new(&t->exact.config, MICROGPT_SOUND,
                               &t->exact.model, err));
}

/* --- the run that is checked --- */

/* The steepest of all logits between two points 2 h apart. */
static double steepest(const microgpt_oracle *above,
                       const microgpt_oracle *below, size_t n, double h) {
    double most = 0;
    for (size_t t = 0; t < n; t++)
        for (int i = 0; i < MICROGPT_TOKENS; i++)
            most = fmax(most, fabs(above->logits[t][i] - below->logits[t][i]));
    return most / (2 * h);
}

/* The slope of the oracle's loss at params along v, a unit vector, by
 * differences; *bound is what rounding and curvature leave open, *steep the
 * largest slope of a logit. scratch (4192). The gradient times v must be that:
 * one number for all parameters. */
static double slope(const double *params, const double *v,
                    const microgpt_doc *doc, double *scratch, double *bound,
                    double *steep) {
    double d[2] = {0, 0}, f = 0;
    bool same = false;
    *bound = *steep = INFINITY; /* on a kink itself there is no slope */
    for (double h = 0x1p-10; !same && h > 0x1p-30; h /= 4) {
        microgpt_oracle at[4]; /* h, -h, 2h, -2h */
        same = true;
        for (int i = 0; i < 4; i++) {
            double x = (i < 2 ? h : 2 * h) * (i % 2 ? -1 : 1);
            for (int p = 0; p < MICROGPT_PARAMS; p++)
                scratch[p] = params[p] + x * v[p];
            f = microgpt_oracle_loss(scratch, doc, &at[i]);
            d[i / 2] = (i % 2 ? d[i / 2] : 0) + f / (2 * x);
            if (memcmp(at[0].active, at[i].active,
                       doc->n * sizeof *at[0].active) != 0)
                same = false; /* a kink in between: nearer */
        }
        if (!same) continue;
        *bound = microgpt_loss_bound(f, DBL_EPSILON) / h + fabs(d[1] - d[0]);
        *steep = steepest(&at[0], &at[1], doc->n, h);
    }
    return d[0];
}

/* Errors go through the chain of roundings, relatively. But the derivative by
 * the logits, p less one at the target, is what two numbers close to each other
 * leave when the loss is small: p's own roundings are an error of its size. It
 * reaches the slope as the logits do, weighed by p, which sums to one. */
static bool gradient_is_right(const trial *t, const microgpt_model *model,
                              const double *params, const microgpt_doc *doc,
                              double u, int step) {
    double gradient[MICROGPT_PARAMS], v[MICROGPT_PARAMS],
        scratch[MICROGPT_PARAMS], bound, steep, along = 0, squares = 0;
    microgpt_get(model, MICROGPT_GRADIENT, gradient);
    for (int i = 0; i < MICROGPT_PARAMS; i++) {
        uint32_t word[4];
        spak_philox(t->seed, 400 + (uint64_t)step, (uint64_t)i, word);
        v[i] = (word[0] & 1 ? 1 : -1) / sqrt(MICROGPT_PARAMS);
        along += v[i] * gradient[i];
        squares += gradient[i] * gradient[i];
    }
    double want = slope(params, v, doc, scratch, &bound, &steep);
    return fabs(along - want) <= bound +
                                     2 * MICROGPT_CHAIN * u * sqrt(squares) +
                                     MICROGPT_SOFTMAX_ROUNDINGS * u * steep;
}

/* Adam's update number `step`, whose state before it is in before. */
static bool update_is_right(const microgpt_model *model,
                            double (*before)[MICROGPT_PARAMS], double rate,
                            double u, int step) {
    double gradient[MICROGPT_PARAMS], after[MICROGPT_PARAMS];
    microgpt_get(model, MICROGPT_GRADIENT, gradient);
    microgpt_get(model, MICROGPT_VALUES, after);
    for (int i = 0; i < MICROGPT_PARAMS; i++) {
        double p = before[0][i], m = before[1][i], v = before[2][i];
        double terms = fabs(m) + fabs(gradient[i]);
        microgpt_oracle_adam(&p, &m, &v, gradient[i], rate, step);
        double stride = fabs(p - before[0][i]);
        double per_mean = m != 0 ? stride / fabs(m) : 0;
        if (!(fabs(after[i] - p) <= 2 * u * fabs(p) + 16 * u * stride +
                                        8 * u * terms * per_mean + u * 1e-8))
            return false;
    }
    return true;
}

/* Makes the run and keeps it. *worst becomes the largest error of a loss, over
 * its bound; false with why when a loss, a
 * gradient or an update is wrong. */
static bool checked_run(trial *t, run *r, double *worst, spak_error *why) {
    double before[3][MICROGPT_PARAMS];
    bool exact = r->config.variant == MICROGPT_EXACT;
    double u = (exact ? DBL_EPSILON : (double)FLT_EPSILON) / 2;
    *worst = 0;
    microgpt_set(&r->model, t->start->params);
    for (int step = 0; step < t->steps; step++) {
        microgpt_doc doc;
        bool look = t->options.check && step % LOOK_EVERY == 0;
        doc_of_step(t, step, &doc);
        microgpt_get(&r->model, MICROGPT_VALUES, before[0]);
        if (look) {
            microgpt_get(&r->model, MICROGPT_MEAN, before[1]);
            microgpt_get(&r->model, MICROGPT_SQUARE, before[2]);
        }
        r->kept[step] = microgpt_step(&r->model, &doc, step, t->steps);
        r->pattern[step] = microgpt_pattern(&r->model, doc.n);
        if (!t->options.check) continue;
        double want = microgpt_oracle_loss(before[0], &doc, NULL);
        double error =
            fabs(r->kept[step] - want) / microgpt_loss_bound(want, u);
        if (!(error <= 1))
            return spak_fail(why,
                             "the loss of step %d differs from the oracle's by "
                             "%.3g bounds",
                             step, error);
        *worst = fmax(*worst, error);
        double rate = MICROGPT_RATE * (1 - (double)step / t->steps);
        if (look && !gradient_is_right(t, &r->model, before[0], &doc, u, step))
            return spak_fail(
                why, "the gradient of step %d is not the loss's slope", step);
        if (look && !update_is_right(&r->model, before, rate, u, step))
            return spak_fail(why, "the update of step %d is not Adam's", step);
    }
    microgpt_get(&r->model, MICROGPT_VALUES, r->kept_end);
    return true;
}

/* --- what is timed --- */

static void wipe(trial *t, run *r) {
    memset(r->losses, 0xFF, (size_t)t->steps * sizeof *r->losses); /* NaN */
    microgpt_set(&r->model, t->start->params);
}

static void train(trial *t, run *r) {
    if (t->trainer && r == &t->ours)
        t->trainer(t->trainer_ctx, &r->model, t->start->docs, t->steps,
                   r->losses);
    else
        microgpt_train(&r->model, t->start->docs, t->steps, r->losses);
}

static void wipe_ours(void *ctx) { wipe(ctx, &((trial *)ctx)->ours); }
static void wipe_exact(void *ctx) { wipe(ctx, &((trial *)ctx)->exact); }
static void train_ours(void *ctx) { train(ctx, &((trial *)ctx)->ours); }
static void train_exact(void *ctx) { train(ctx, &((trial *)ctx)->exact); }

static bool sound(void *ctx, int sample, spak_error *why) {
    trial *t = ctx;
    run *r = &t->ours;
    double end[MICROGPT_PARAMS];
    int step = 0;
    if (!t->options.check) return true;
    while (step < t->steps &&
           !memcmp(&r->losses[step], &r->kept[step], sizeof(double)))
        step++;
    if (step < t->steps)
        return spak_fail(why,
                         "sample %d: the loss of step %d is %.17g, in the run "
                         "that was checked it is %.17g",
                         sample, step, r->losses[step], r->kept[step]);
    microgpt_get(&r->model, MICROGPT_VALUES, end);
    return !memcmp(end, r->kept_end, sizeof end) ||
           spak_fail(why,
                     "sample %d: the losses are those of the run that was "
                     "checked, the parameters are not",
                     sample);
}

/* --- the result --- */

static json_t *list_of(const double *x, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(x[i]));
    return list;
}

/* Puts the deviation from the doubles; false when it is above the bound. */
static bool put_deviation(trial *t, json_t *result, spak_error *why) {
    microgpt_parting p;
    microgpt_part(t->ours.kept, t->exact.kept, t->ours.pattern,
                  t->exact.pattern, t->steps, t->deviation, &p);
    json_object_set_new(result, "deviation", list_of(t->deviation, t->steps));
    json_object_set_new(result, "loss_deviation", json_real(p.deviation));
    json_object_set_new(result, "deviation_before_flip",
                        json_real(p.deviation_before));
    json_object_set_new(
        result, "first_flip",
        p.first_flip < 0 ? json_null() : json_integer(p.first_flip));
    json_object_set_new(result, "deviation_over_bound",
                        json_real(p.over_bound));
    return p.over_bound <= 1 ||
           spak_fail(why,
                     "the losses leave those in doubles by %.3g bounds, and no "
                     "hidden unit changed sides",
                     p.over_bound);
}

static void put_peer(const trial *t, json_t *result) {
    char text[96];
    snprintf(text, sizeof text, "the double-precision molecule (exact, %s)",
             dev_isa_name(t->exact.config.isa));
    bool asked = t->options.peer, has = asked && t->has_exact;
    json_object_set_new(result, "peer", has ? json_string(text) : json_null());
    if (asked && !has)
        json_object_set_new(result, "peer_reason",
                            json_string("it is itself what floats are held "
                                        "against"));
}

static bool put_run(const trial *t, double worst, json_t *result,
                    spak_error *err) {
    json_t *dataset;
    if (!data_describe(t->dataset, &dataset, err)) return false;
    json_object_set_new(result, "dataset", dataset);
    json_object_set_new(result, "losses", list_of(t->ours.kept, t->steps));
    json_object_set_new(result, "positions", json_real(t->positions));
    json_object_set_new(result, "flop_per_step", json_real(t->flop));
    if (t->options.check)
        json_object_set_new(result, "error_over_bound", json_real(worst));
    return true;
}

static bool time_it(trial *t, json_t *result, spak_error *why, bool *good,
                    spak_error *err) {
    dev_side ours = {wipe_ours, train_ours, NULL, t},
             exact = {wipe_exact, train_exact, NULL, t};
    bool beside = t->options.peer && t->has_exact;
    dev_timing timing;
    bool ok = dev_time(&ours, beside ? &exact : NULL, &t->options, sound, t,
                       &timing, good, why, err);
    for (int i = 0; ok && i < timing.samples; i++) { /* to times of a step */
        timing.time_ms[i] /= t->steps;
        if (beside) timing.peer_time_ms[i] /= t->steps;
    }
    if (ok && *good) ok = dev_timing_put(&timing, t->flop, result, err);
    dev_timing_free(&timing);
    return ok;
}

static bool run_trial(trial *t, json_t *result, spak_error *err) {
    double worst, worst_exact;
    spak_error why = {""};
    if (!prepare(t, err)) return false;
    bool good = checked_run(t, &t->ours, &worst, &why);
    if (good && t->has_exact)
        good = checked_run(t, &t->exact, &worst_exact, &why) &&
               put_deviation(t, result, &why);
    if (good && (!put_run(t, worst, result, err) ||
                 !time_it(t, result, &why, &good, err)))
        return false;
    if (!good) {
        dev_trial_put_failure(result, why.message);
        return true;
    }
    put_peer(t, result);
    if (t->options.check) json_object_set_new(result, "correct", json_true());
    json_object_set_new(result, "status", json_string("ok"));
    return true;
}

bool microgpt_trial_with(microgpt_trainer *trainer, void *ctx,
                         microgpt_fault fault, const json_t *config,
                         const json_t *problem, const json_t *options,
                         json_t **out, spak_error *err) {
    spak_error why = {""};
    unsigned long failures = spak_alloc_failures();
    *out = NULL;
    trial *t = spak_calloc(1, sizeof *t);
    json_t *result = t ? json_object() : NULL;
    bool done = false;
    if (!t || !result) {
        spak_fail_oom(err);
    } else if (read_call(t, config, problem, options, err)) {
        t->trainer = trainer;
        t->trainer_ctx = ctx;
        t->fault = fault;
        done = true;
        if (!microgpt_config_read(config, t->threads, &t->config, &why)) {
            json_object_set_new(result, "status", json_string("refused"));
            json_object_set_new(result, "reason", json_string(why.message));
            json_object_set_new(
                result, "config",
                config ? json_deep_copy(config) : json_object());
        } else {
            json_object_set_new(result, "config",
                                microgpt_config_json(&t->config));
            done = run_trial(t, result, err);
        }
    }
    if (t) {
        microgpt_model_free(&t->ours.model);
        microgpt_model_free(&t->exact.model);
        microgpt_start_free(t->start);
        spak_free(t->memory);
        spak_free(t);
    }
    if (done && spak_alloc_failures() != failures) /* a member was dropped */
        done = spak_fail_oom(err);
    if (done)
        *out = result;
    else
        json_decref(result);
    return done;
}

bool microgpt_trial(const json_t *config, const json_t *problem,
                    const json_t *options, json_t **result, spak_error *err) {
    return microgpt_trial_with(NULL, NULL, MICROGPT_SOUND, config, problem,
                               options, result, err);
}
