/* The executable invariants: what must hold before anything is measured. Here
 * the two about the gradient, and what all of them share; behaviour.c has the
 * rest.
 *
 * A backward pass written by hand can be wrong in a way that training hides:
 * the loss falls all the same, only less far. So each of the 4,192 derivatives
 * is held against the loss itself, and the loss they are held against is not
 * the step's own but the oracle's: a step that computes another function, and
 * its derivative correctly, is caught too. */
#include "microgpt/invariants.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* --- shared --- */

bool microgpt_refute(microgpt_check *check, const microgpt_config *config,
                     const char *fmt, ...) {
    char what[256], subject[32] = "";
    if (check->counterexample) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (config)
        snprintf(subject, sizeof subject, "%s %s",
                 microgpt_variant_name(config->variant),
                 dev_isa_name(config->isa));
    check->counterexample =
        json_pack("{s:s,s:s}", "subject", subject, "what", what);
    if (!check->counterexample) spak_fail_oom(check->err);
    return false;
}

static bool read_options(const json_t *options, int default_cases,
                         microgpt_check *check, spak_error *err) {
    static const dev_member members[] = {
        {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
        {"cases", JSON_INTEGER, 1, 100000, false},
        {"fault", JSON_STRING, 0, 0, false},
    };
    if (!dev_members_check("microgpt", "options", options, members, 3, err))
        return false;
    check->seed = (uint64_t)spak_json_int(options, "seed", 1);
    check->cases = (int)spak_json_int(options, "cases", default_cases);
    const char *name = spak_json_str(options, "fault", NULL);
    if (!name) return true;
    for (int i = 0; i < MICROGPT_NUM_FAULTS; i++)
        if (!strcmp(name, microgpt_faults[i].name)) {
            check->fault = (microgpt_fault)(i + 1);
            return true;
        }
    return spak_fail(err, "microgpt: options.fault: unknown fault '%s'", name);
}

bool microgpt_run_check(const json_t *options, int default_cases,
                        bool (*body)(microgpt_check *check), json_t **evidence,
                        spak_error *err) {
    spak_error inner = {""};
    microgpt_check check = {.err = &inner};
    *evidence = NULL;
    if (!read_options(options, default_cases, &check, err)) return false;
    bool holds = body(&check);
    if (!holds && !check.counterexample)
        return spak_fail(err, "%s", inner.message);
    *evidence = json_pack("{s:b,s:i,s:I}", "holds", holds, "cases", check.tried,
                          "seed", (json_int_t)check.seed);
    if (!*evidence) {
        json_decref(check.counterexample);
        return spak_fail_oom(err);
    }
    if (check.counterexample)
        json_object_set_new(*evidence, "counterexample", check.counterexample);
    return true;
}

bool microgpt_each_model(microgpt_check *check, microgpt_variant first,
                         microgpt_variant last,
                         bool (*fn)(microgpt_check *check,
                                    const microgpt_config *config,
                                    microgpt_model *model, void *ctx),
                         void *ctx) {
    for (int v = (int)first; v <= (int)last; v++)
        for (int isa = 0; isa < DEV_ISA_COUNT; isa++) {
            microgpt_config config = {(microgpt_variant)v, (dev_isa)isa};
            microgpt_model model;
            if (!dev_cpu_has(config.isa) || !microgpt_kernels_of(&config))
                continue;
            if (!microgpt_model_new(&config, check->fault, &model, check->err))
                return false;
            bool good = fn(check, &config, &model, ctx);
            microgpt_model_free(&model);
            if (!good) return false;
            check->tried++;
        }
    return true;
}

void microgpt_check_doc(int index, microgpt_doc *doc) {
    static const char *const names[MICROGPT_DOCS] = {
        "anna", "abcdefghijklmno", "o",           "pqrstuvwxyz",
        "liii", "zyxwvutsrqponml", "kjihgfedcba", "mississippimississippi"};
    const char *name = names[index % MICROGPT_DOCS];
    microgpt_doc_of(name, strlen(name), doc);
}

void microgpt_check_weights(uint64_t seed, int draw, double scale,
                            double *params) {
    for (int i = 0; i < MICROGPT_PARAMS; i++)
        params[i] = (float)(scale * MICROGPT_INIT_SIGMA *
                            spak_philox_normal(seed, 300 + (uint64_t)draw,
                                               (uint64_t)i));
}

const char *microgpt_matrix_of(int i) {
    static const struct {
        int end;
        const char *name;
    } matrices[] = {{MICROGPT_WPE, "wte"},      {MICROGPT_HEAD, "wpe"},
                    {MICROGPT_QKV, "lm_head"},  {MICROGPT_QKV + 256, "wq"},
                    {MICROGPT_QKV + 512, "wk"}, {MICROGPT_WO, "wv"},
                    {MICROGPT_FC1, "wo"},       {MICROGPT_FC2, "fc1"},
                    {MICROGPT_PARAMS, "fc2"}};
    size_t m = 0;
    while (i >= matrices[m].end) m++;
    return matrices[m].name;
}

/* --- backward_matches_differences --- */

/* Does the loss depend on parameter i at all? */
static bool is_reached(const microgpt_doc *doc, int i) {
    if (i >= MICROGPT_HEAD) return true;
    int row = i / MICROGPT_WIDTH;
    if (i >= MICROGPT_WPE)
        return (size_t)(row - MICROGPT_WPE / MICROGPT_WIDTH) < doc->n;
    for (size_t t = 0; t < doc->n; t++)
        if (doc->tokens[t] == row) return true;
    return false;
}

//> gradients
/* (f(x + h) - f(x - h)) / 2h for parameter i; *same stays true unless a hidden
 * unit goes on or off in between, where f has a kink. */
static double difference(double *params, int i, double h,
                         const microgpt_doc *doc, const microgpt_oracle *at,
                         bool *same) {
    microgpt_oracle above, below;
    double x = params[i], f_above, f_below;
    params[i] = x + h;
    f_above = microgpt_oracle_loss(params, doc, &above);
    params[i] = x - h;
    f_below = microgpt_oracle_loss(params, doc, &below);
    params[i] = x;
    for (size_t t = 0; t < doc->n; t++)
        if (above.active[t] != at->active[t] ||
            below.active[t] != at->active[t])
            *same = false;
    return (f_above - f_below) / (2 * h);
}

/* With D(h) the difference above, D(h) = f' + h^2 f''' / 6 + O(h^4): so D(h) -
 * (D(2h) - D(h)) / 3 is f' up to O(h^4), and D(2h) - D(h), of order h^2, says
 * how large that is. f itself is known to ROUNDINGS u |f|, which the division
 * by 2h magnifies. h shrinks until no unit changes sides. */
static double derivative(double *params, int i, const microgpt_doc *doc,
                         double f, const microgpt_oracle *at, double *bound) {
    enum { ROUNDINGS = 250 }; /* the longest chain from a weight to the loss */
    double h = 0x1p-11, d = 0, curved = 0;
    for (bool same = false; !same; h /= 4) {
        same = true;
        d = difference(params, i, h, doc, at, &same);
        curved = difference(params, i, 2 * h, doc, at, &same) - d;
        double rounding = ROUNDINGS * (DBL_EPSILON / 2) * f / h;
        *bound = 2 * rounding + fabs(curved) / 16;
        if (h < 0x1p-24) { /* on the kink itself there is no derivative */
            *bound = INFINITY;
            break;
        }
    }
    return d - curved / 3;
}
//< gradients

typedef struct gradients {
    const microgpt_doc *doc;
    const double *params, *want, *bound;
    double *got;
    int index;
} gradients;

static bool compare_gradients(microgpt_check *check,
                              const microgpt_config *config,
                              microgpt_model *model, void *ctx) {
    gradients *g = ctx;
    microgpt_set(model, g->params);
    model->kernels->forward(model->state, g->doc);
    model->kernels->backward(model->state, g->doc);
    microgpt_get(model, MICROGPT_GRADIENT, g->got);
    for (int i = 0; i < MICROGPT_PARAMS; i++)
        if (!(fabs(g->got[i] - g->want[i]) <= g->bound[i]))
            return microgpt_refute(
                check, config,
                "document %d, parameter %d (%s): the gradient is %.9g, "
                "differences give %.9g within %.2g",
                g->index, i, microgpt_matrix_of(i), g->got[i], g->want[i],
                g->bound[i]);
    return true;
}

bool microgpt_gradients(microgpt_check *check) {
    enum { N = MICROGPT_PARAMS, LARGER = 3 };
    double *params = spak_calloc(4 * N, sizeof *params);
    bool good = params || spak_fail_oom(check->err);
    for (int index = 0; good && index < check->cases; index++) {
        double *want = params + N, *bound = want + N;
        microgpt_doc doc;
        microgpt_oracle at;
        microgpt_check_doc(index, &doc);
        microgpt_check_weights(check->seed, index, LARGER, params);
        double f = microgpt_oracle_loss(params, &doc, &at);
        for (int i = 0; i < N; i++) {
            want[i] = bound[i] = 0;
            if (is_reached(&doc, i))
                want[i] = derivative(params, i, &doc, f, &at, &bound[i]);
        }
        gradients g = {&doc, params, want, bound, bound + N, index};
        good = microgpt_each_model(check, MICROGPT_EXACT, MICROGPT_EXACT,
                                   compare_gradients, &g);
    }
    spak_free(params);
    return good;
}

/* --- every_parameter_trains --- */

int microgpt_coverage(microgpt_model *model, int docs, bool *trained) {
    double gradient[MICROGPT_PARAMS];
    int count = 0;
    memset(trained, 0, MICROGPT_PARAMS * sizeof *trained);
    for (int index = 0; index < docs; index++) {
        microgpt_doc doc;
        microgpt_check_doc(index, &doc);
        model->kernels->forward(model->state, &doc);
        model->kernels->backward(model->state, &doc);
        microgpt_get(model, MICROGPT_GRADIENT, gradient);
        for (int i = 0; i < MICROGPT_PARAMS; i++)
            if (gradient[i] != 0) trained[i] = true;
    }
    for (int i = 0; i < MICROGPT_PARAMS; i++) count += trained[i];
    return count;
}

static bool all_train(microgpt_check *check, const microgpt_config *config,
                      microgpt_model *model, void *params) {
    bool trained[MICROGPT_PARAMS];
    microgpt_set(model, params);
    int count = microgpt_coverage(model, check->cases, trained), i = 0;
    if (count == MICROGPT_PARAMS) return true;
    while (trained[i]) i++;
    return microgpt_refute(check, config,
                           "%d of %d parameters have a gradient in %d "
                           "documents; %d (%s) is the first without",
                           count, MICROGPT_PARAMS, check->cases, i,
                           microgpt_matrix_of(i));
}

bool microgpt_all_train(microgpt_check *check) {
    double params[MICROGPT_PARAMS];
    microgpt_check_weights(check->seed, 0, 1, params);
    return microgpt_each_model(check, MICROGPT_EXACT, MICROGPT_SINGLE,
                               all_train, params);
}
