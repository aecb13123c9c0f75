/* The invariants about what the step computes and does, beyond its gradient:
 * the loss itself, Adam, the two precisions, the generator, the cache, and
 * where training starts from. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "microgpt/invariants.h"

/* Unit roundoffs. */
#define U_DOUBLE (DBL_EPSILON / 2)
#define U_SINGLE ((double)FLT_EPSILON / 2)

static double unit(const microgpt_config *config) {
    return config->variant == MICROGPT_EXACT ? U_DOUBLE : U_SINGLE;
}

typedef struct weighed_doc {
    const double *params;
    const microgpt_doc *doc;
    int index;
} weighed_doc;

/* Runs fn on all models, documents and two sizes of weights. */
static bool each_document(microgpt_check *check, microgpt_variant first,
                          microgpt_variant last,
                          bool (*fn)(microgpt_check *, const microgpt_config *,
                                     microgpt_model *, void *)) {
    static const double scales[] = {1, 3};
    for (int index = 0; index < 2 * check->cases; index++) {
        double params[MICROGPT_PARAMS];
        microgpt_doc doc;
        microgpt_oracle oracle;
        microgpt_check_doc(index / 2, &doc);
        /* A unit on the verge may be on in one precision and off in the other:
         * such weights are drawn again. */
        double verge = MICROGPT_CHAIN * U_SINGLE;
        for (int draw = 0; draw == 0 || oracle.margin < verge; draw++) {
            microgpt_check_weights(check->seed, 1000 * index + draw,
                                   scales[index % 2], params);
            microgpt_oracle_loss(params, &doc, &oracle);
        }
        weighed_doc w = {params, &doc, index};
        if (!microgpt_each_model(check, first, last, fn, &w)) return false;
    }
    return true;
}

/* --- loss_matches_the_oracle --- */

static bool compare_loss(microgpt_check *check, const microgpt_config *config,
                         microgpt_model *model, void *ctx) {
    const weighed_doc *w = ctx;
    double factor = MICROGPT_CHAIN * unit(config), logits[MICROGPT_TOKENS];
    microgpt_oracle want;
    microgpt_set(model, w->params);
    double oracle = microgpt_oracle_loss(w->params, w->doc, &want),
           bound = microgpt_loss_bound(oracle, unit(config)),
           loss = model->kernels->forward(model->state, w->doc);
    if (!(fabs(loss - oracle) <= bound))
        return microgpt_refute(check, config,
                               "document %d: the loss is %.17g, the oracle "
                               "says %.17g within %.2g",
                               w->index / 2, loss, oracle, bound);
    for (size_t t = 0; t < w->doc->n; t++) {
        double most = 1;
        model->kernels->logits(model->state, w->doc->tokens, 0, t + 1, logits);
        for (int i = 0; i < MICROGPT_TOKENS; i++)
            most = fmax(most, fabs(want.logits[t][i]));
        for (int i = 0; i < MICROGPT_TOKENS; i++)
            if (!(fabs(logits[i] - want.logits[t][i]) <= factor * most))
                return microgpt_refute(
                    check, config,
                    "document %d, position %zu: logit %d is %.17g, the oracle "
                    "says %.17g within %.2g",
                    w->index / 2, t, i, logits[i], want.logits[t][i],
                    factor * most);
    }
    return true;
}

bool microgpt_loss(microgpt_check *check) {
    return each_document(check, MICROGPT_EXACT, MICROGPT_SINGLE, compare_loss);
}

/* --- adam_follows_its_definition --- */

enum { VALUE, MEAN, SQUARE, GRADIENT, ARRAYS };

static void read_arrays(const microgpt_model *model,
                        double (*a)[MICROGPT_PARAMS]) {
    microgpt_get(model, MICROGPT_VALUES, a[VALUE]);
    microgpt_get(model, MICROGPT_MEAN, a[MEAN]);
    microgpt_get(model, MICROGPT_SQUARE, a[SQUARE]);
    microgpt_get(model, MICROGPT_GRADIENT, a[GRADIENT]);
}

/* One update from the state before, by the reference's words. The running mean
 * may cancel, so its error goes by the terms, and the step's by the mean's. */
static bool compare_update(microgpt_check *check, const microgpt_config *config,
                           double (*before)[MICROGPT_PARAMS],
                           double (*after)[MICROGPT_PARAMS], double rate,
                           int step) {
    double u = unit(config);
    for (int i = 0; i < MICROGPT_PARAMS; i++) {
        double p = before[VALUE][i], m = before[MEAN][i], v = before[SQUARE][i],
               g = after[GRADIENT][i];
        double terms = fabs(m) + fabs(g), was = p;
        microgpt_oracle_adam(&p, &m, &v, g, rate, step);
        double per_mean = m != 0 ? fabs((p - was) / m) : 0;
        double bound_m = 4 * u * terms, bound_v = 4 * u * v + FLT_MIN;
        double bound_p = 2 * u * fabs(p) + 16 * u * fabs(p - was) +
                         2 * bound_m * per_mean + u * 1e-8;
        if (!(fabs(after[MEAN][i] - m) <= bound_m) ||
            !(fabs(after[SQUARE][i] - v) <= bound_v) ||
            !(fabs(after[VALUE][i] - p) <= bound_p))
            return microgpt_refute(
                check, config,
                "step %d, parameter %d (%s): becomes %.17g, the definition "
                "says %.17g within %.2g",
                step, i, microgpt_matrix_of(i), after[VALUE][i], p, bound_p);
    }
    return true;
}

static bool follow_adam(microgpt_check *check, const microgpt_config *config,
                        microgpt_model *model, void *ctx) {
    double(*before)[MICROGPT_PARAMS] = ctx, (*after)[MICROGPT_PARAMS];
    double first[MICROGPT_PARAMS], u = unit(config);
    after = before + ARRAYS;
    microgpt_check_weights(check->seed, 7, 1, first);
    microgpt_set(model, first);
    for (int step = 0; step < check->cases; step++) {
        microgpt_doc doc;
        double rate = MICROGPT_RATE * (1 - (double)step / check->cases);
        microgpt_check_doc(step, &doc);
        read_arrays(model, before);
        microgpt_step(model, &doc, step, check->cases);
        read_arrays(model, after);
        if (!compare_update(check, config, before, after, rate, step))
            return false;
        /* The next step must see the new weights wherever it reads them. */
        double loss = model->kernels->forward(model->state, &doc),
               want = microgpt_oracle_loss(after[VALUE], &doc, NULL);
        if (!(fabs(loss - want) <= microgpt_loss_bound(want, u)))
            return microgpt_refute(check, config,
                                   "after step %d: the loss is %.9g, the "
                                   "oracle says %.9g",
                                   step, loss, want);
    }
    return true;
}

bool microgpt_adam_steps(microgpt_check *check) {
    double(*arrays)[MICROGPT_PARAMS] =
        spak_malloc((size_t)2 * ARRAYS * sizeof *arrays);
    if (!arrays) return spak_fail_oom(check->err);
    bool good = microgpt_each_model(check, MICROGPT_EXACT, MICROGPT_SINGLE,
                                    follow_adam, arrays);
    spak_free(arrays);
    return good;
}

/* --- single_matches_exact --- */

/* Matrix by matrix, against its largest entry. Twice the chain: there
 * and back. */
static bool compare_gradients(microgpt_check *check,
                              const microgpt_config *config,
                              microgpt_model *model, void *ctx) {
    const weighed_doc *w = ctx;
    microgpt_config as_exact = {MICROGPT_EXACT, config->isa};
    microgpt_model exact;
    double got[MICROGPT_PARAMS], want[MICROGPT_PARAMS];
    if (!microgpt_model_new(&as_exact, MICROGPT_SOUND, &exact, check->err))
        return false;
    microgpt_model *both[] = {model, &exact};
    for (int i = 0; i < 2; i++) {
        microgpt_set(both[i], w->params);
        both[i]->kernels->forward(both[i]->state, w->doc);
        both[i]->kernels->backward(both[i]->state, w->doc);
        microgpt_get(both[i], MICROGPT_GRADIENT, i ? want : got);
    }
    microgpt_model_free(&exact);
    for (int begin = 0, end; begin < MICROGPT_PARAMS; begin = end) {
        double most = 0;
        const char *matrix = microgpt_matrix_of(begin);
        for (end = begin;
             end < MICROGPT_PARAMS && !strcmp(microgpt_matrix_of(end), matrix);
             end++)
            most = fmax(most, fabs(want[end]));
        for (int i = begin; i < end; i++)
            if (!(fabs(got[i] - want[i]) <=
                  2 * MICROGPT_CHAIN * U_SINGLE * most))
                return microgpt_refute(
                    check, config,
                    "document %d, parameter %d (%s): the gradient is %.9g, in "
                    "doubles %.9g within %.2g",
                    w->index / 2, i, matrix, got[i], want[i],
                    2 * MICROGPT_CHAIN * U_SINGLE * most);
    }
    return true;
}

bool microgpt_precisions(microgpt_check *check) {
    return each_document(check, MICROGPT_SINGLE, MICROGPT_SINGLE,
                         compare_gradients);
}

/* --- rng_is_pythons --- */

/* Made with CPython 3.11: random.seed(42), shuffle of the letters a to l, 4,192
 * x gauss(0, 0.08), then 12 x choices(range(5), [1, 0, 2.5, 4, 0.5]). */
bool microgpt_rng(microgpt_check *check) {
    static const char letters[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n",
                      order[] = "hfcijgldeabk";
    static const struct {
        int at;
        double value;
    } drawn[] = {{0, 0x1.1cecae2c23e5dp-5},    {431, 0x1.103a082220e21p-4},
                 {432, -0x1.9b442974dd390p-4}, {687, -0x1.a6d6457baa8f6p-4},
                 {688, 0x1.2127a8b18d19ap-6},  {1120, 0x1.017efe57cc9ebp-4},
                 {4191, -0x1.f357906d087ffp-8}};
    static const double weights[] = {1, 0, 2.5, 4, 0.5};
    static const size_t chosen[] = {2, 3, 3, 3, 0, 3, 2, 0, 3, 2, 0, 2};
    microgpt_start *start;
    if (!microgpt_start_text(letters, sizeof letters - 1, MICROGPT_SEED,
                             check->fault, &start, check->err))
        return false;
    bool good = true;
    for (size_t i = 0; good && i < 12; i++, check->tried++) {
        size_t length;
        const char *name = microgpt_docs_get(start->docs, i, &length);
        if (*name != order[i] || length != 1)
            good = microgpt_refute(check, NULL, "name %zu is %c, not %c", i,
                                   *name, order[i]);
    }
    for (size_t i = 0; good && i < sizeof drawn / sizeof *drawn; i++) {
        /* log, sin and cos are the C library's: the last bit may differ. */
        double got = start->params[drawn[i].at], want = drawn[i].value;
        if (!(fabs(got - want) <= 4 * U_DOUBLE * fabs(want)))
            good = microgpt_refute(check, NULL, "weight %d is %.17g, not %.17g",
                                   drawn[i].at, got, want);
        check->tried++;
    }
    for (size_t i = 0; good && i < 12; i++, check->tried++) {
        size_t got = spak_mt_choice_weighted(&start->mt, weights, 5);
        if (got != chosen[i])
            good = microgpt_refute(check, NULL, "choice %zu is %zu, not %zu", i,
                                   got, chosen[i]);
    }
    microgpt_start_free(start);
    return good;
}

/* --- cache_does_not_change_samples --- */

static bool compare_samples(microgpt_check *check,
                            const microgpt_config *config,
                            microgpt_model *model, void *params) {
    double with[MICROGPT_TOKENS], without[MICROGPT_TOKENS];
    microgpt_doc doc;
    spak_mt one, other;
    char name[MICROGPT_CONTEXT + 1], again[MICROGPT_CONTEXT + 1];
    microgpt_check_doc(1, &doc);
    microgpt_set(model, params);
    for (size_t t = 0; t < doc.n; t++) {
        model->kernels->logits(model->state, doc.tokens, 0, t + 1, without);
        model->kernels->logits(model->state, doc.tokens, t, 1, with);
        if (memcmp(with, without, sizeof with) != 0)
            return microgpt_refute(check, config,
                                   "position %zu: logits with a cache have "
                                   "other bits than without",
                                   t);
    }
    spak_mt_seed(&one, check->seed);
    spak_mt_seed(&other, check->seed);
    for (int i = 0; i < check->cases; i++) {
        microgpt_sample(model, &one, true, name);
        microgpt_sample(model, &other, false, again);
        if (strcmp(name, again) != 0)
            return microgpt_refute(check, config,
                                   "sample %d is %s with a cache, %s without",
                                   i, name, again);
    }
    return true;
}

bool microgpt_cache(microgpt_check *check) {
    double params[MICROGPT_PARAMS];
    microgpt_check_weights(check->seed, 5, 3, params);
    return microgpt_each_model(check, MICROGPT_EXACT, MICROGPT_SINGLE,
                               compare_samples, params);
}

/* --- loss_is_entropy_at_start --- */

/* At first every token is about as likely as any other. A logit is a sum of 16
 * weights times a row of mean square 1 (a little more after the blocks): its
 * deviation is s = 4 * 0.08. The mean over the softmax adds s^2 / 2; the mean
 * of 27 targets' logits strays by s / sqrt(27), five times of which is allowed.
 */
static bool at_entropy(microgpt_check *check, const microgpt_config *config,
                       microgpt_model *model, void *params) {
    double s = sqrt(MICROGPT_WIDTH) * MICROGPT_INIT_SIGMA, sum = 0, count = 0;
    double want = log(MICROGPT_TOKENS) + s * s / 2,
           bound = 5 * s / sqrt(MICROGPT_TOKENS);
    microgpt_set(model, params);
    for (int index = 0; index < MICROGPT_DOCS; index++) {
        microgpt_doc doc;
        microgpt_check_doc(index, &doc);
        sum += model->kernels->forward(model->state, &doc) * (double)doc.n;
        count += (double)doc.n;
    }
    return fabs(sum / count - want) <= bound ||
           microgpt_refute(check, config,
                           "the mean loss at first is %.4f, log 27 and what "
                           "the weights add is %.4f within %.2f",
                           sum / count, want, bound);
}

bool microgpt_entropy(microgpt_check *check) {
    for (int i = 0; i < check->cases; i++) {
        double params[MICROGPT_PARAMS];
        spak_mt mt;
        spak_mt_seed(&mt, check->seed + (uint64_t)i);
        microgpt_init(&mt, check->fault, params);
        if (!microgpt_each_model(check, MICROGPT_EXACT, MICROGPT_SINGLE,
                                 at_entropy, params))
            return false;
    }
    return true;
}
