/* A model and what is done with it: first weights, training, sampling. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "microgpt/microgpt.h"

enum { ALIGN = 64 };

bool microgpt_model_new(const microgpt_config *config, microgpt_fault fault,
                        microgpt_model *model, spak_error *err) {
    const microgpt_kernels *kernels = microgpt_kernels_of(config);
    *model = (microgpt_model){.kernels = kernels, .fault = fault};
    if (!kernels)
        return spak_fail(err, "microgpt: not compiled for %s",
                         dev_isa_name(config->isa));
    model->memory = spak_malloc(kernels->bytes + ALIGN);
    if (!model->memory) return spak_fail_oom(err);
    model->state =
        (void *)(((uintptr_t)model->memory + ALIGN - 1) / ALIGN * ALIGN);
    return true;
}

void microgpt_model_free(microgpt_model *model) {
    spak_free(model->memory);
    *model = (microgpt_model){0};
}

void microgpt_set(microgpt_model *model, const double *params) {
    model->kernels->set(model->state, params, model->fault);
}

void microgpt_get(const microgpt_model *model, microgpt_array which,
                  double *out) {
    model->kernels->get(model->state, which, out);
}

void microgpt_init(spak_mt *mt, microgpt_fault fault, double *params) {
    double sigma = MICROGPT_INIT_SIGMA;
    if (fault == MICROGPT_LARGE_WEIGHTS) sigma = 1;
    for (int i = 0; i < MICROGPT_PARAMS; i++)
        params[i] = spak_mt_gauss(mt, 0, sigma);
    if (fault != MICROGPT_WEIGHTS_IN_OTHER_ORDER) return;
    /* The head before the positions. */
    double drawn[MICROGPT_QKV];
    memcpy(drawn, params, sizeof drawn);
    enum { POSITIONS = MICROGPT_HEAD - MICROGPT_WPE, HEAD = MICROGPT_WPE };
    memcpy(params + MICROGPT_HEAD, drawn + MICROGPT_WPE, HEAD * sizeof *params);
    memcpy(params + MICROGPT_WPE, drawn + MICROGPT_WPE + HEAD,
           POSITIONS * sizeof *params);
}

/* --- training --- */

double microgpt_step(microgpt_model *model, const microgpt_doc *doc, int step,
                     int steps) {
    double rate = MICROGPT_RATE * (1 - (double)step / steps);
    if (model->fault == MICROGPT_RATE_DOES_NOT_FALL) rate = MICROGPT_RATE;
    double loss = model->kernels->forward(model->state, doc);
    model->kernels->backward(model->state, doc);
    model->kernels->adam(model->state, rate, step);
    return loss;
}

void microgpt_train(microgpt_model *model, const microgpt_docs *docs, int steps,
                    double *losses) {
    for (int step = 0; step < steps; step++) {
        microgpt_doc doc;
        size_t length;
        const char *name = microgpt_docs_get(docs, (size_t)step, &length);
        microgpt_doc_of(name, length, &doc);
        losses[step] = microgpt_step(model, &doc, step, steps);
    }
}

double microgpt_flop(size_t n) {
    enum { WEIGHTS = MICROGPT_PARAMS - MICROGPT_HEAD, ADAM = 12 };
    /* Each weight is multiplied and added three times a position. For a pair of
     * query and key, 16 lanes are multiplied and added twice on the way there
     * and four times on the way back. */
    double pairs = (double)(n * (n + 1) / 2);
    return 6.0 * WEIGHTS * (double)n + 12.0 * MICROGPT_WIDTH * pairs +
           (double)ADAM * MICROGPT_PARAMS;
}

/* --- two precisions --- */

uint64_t microgpt_pattern(const microgpt_model *model, size_t n) {
    uint64_t active[MICROGPT_CONTEXT], hash = 14695981039346656037u;
    model->kernels->active(model->state, n, active);
    for (size_t t = 0; t < n; t++) { /* a permutation at each step: FNV-like */
        hash = (hash ^ active[t]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    return hash;
}

void microgpt_part(const double *single, const double *exact,
                   const uint64_t *single_pattern,
                   const uint64_t *exact_pattern, int steps, double *deviation,
                   microgpt_parting *parting) {
    *parting = (microgpt_parting){.first_flip = -1};
    for (int i = 0; i < steps; i++) {
        double apart = fabs(single[i] - exact[i]), d = apart / exact[i];
        double over =
            apart / microgpt_loss_bound(exact[i], (double)FLT_EPSILON / 2);
        if (deviation) deviation[i] = d;
        if (!(d <= parting->deviation)) parting->deviation = d;
        bool flips = single_pattern[i] != exact_pattern[i];
        if (flips && parting->first_flip < 0) parting->first_flip = i;
        if (parting->first_flip >= 0) continue;
        parting->deviation_before = parting->deviation;
        if (!(over <= parting->over_bound)) parting->over_bound = over;
    }
}

/* --- sampling --- */

/* softmax(logits / temperature), as weights of random.choices. */
static size_t draw(spak_mt *mt, double *logits) {
    double most = -INFINITY, total = 0;
    for (int i = 0; i < MICROGPT_TOKENS; i++) {
        logits[i] /= MICROGPT_TEMPERATURE;
        most = fmax(most, logits[i]);
    }
    for (int i = 0; i < MICROGPT_TOKENS; i++) {
        logits[i] = exp(logits[i] - most);
        total += logits[i];
    }
    for (int i = 0; i < MICROGPT_TOKENS; i++) logits[i] /= total;
    return spak_mt_choice_weighted(mt, logits, MICROGPT_TOKENS);
}

size_t microgpt_sample(microgpt_model *model, spak_mt *mt, bool cache,
                       char name[MICROGPT_CONTEXT + 1]) {
    int tokens[MICROGPT_CONTEXT + 1] = {MICROGPT_BOS};
    double logits[MICROGPT_TOKENS];
    size_t t = 0;
    while (t < MICROGPT_CONTEXT) {
        model->kernels->logits(model->state, tokens, cache ? t : 0,
                               cache ? 1 : t + 1, logits);
        size_t next = draw(mt, logits);
        if (next == MICROGPT_BOS) break;
        name[t++] = (char)('a' + next);
        tokens[t] = (int)next;
    }
    name[t] = '\0';
    return t;
}

/* --- before the first step --- */

bool microgpt_start_text(const char *text, size_t size, uint64_t seed,
                         microgpt_fault fault, microgpt_start **out,
                         spak_error *err) {
    *out = NULL;
    microgpt_start *start = spak_calloc(1, sizeof *start);
    if (!start) return spak_fail_oom(err);
    spak_mt_seed(&start->mt, seed);
    if (!microgpt_docs_new(text, size, &start->mt, fault, &start->docs, err)) {
        spak_free(start);
        return false;
    }
    microgpt_init(&start->mt, fault, start->params);
    *out = start;
    return true;
}

bool microgpt_start_new(const char *dataset, uint64_t seed,
                        microgpt_fault fault, microgpt_start **start,
                        spak_error *err) {
    data_set *set;
    *start = NULL;
    if (!data_open(dataset, &set, err)) return false;
    bool good =
        microgpt_start_text(set->bytes, set->size, seed, fault, start, err) ||
        spak_fail_context(err, "data set %s (%s)", dataset, set->origin);
    data_close(set);
    return good;
}

void microgpt_start_free(microgpt_start *start) {
    if (!start) return;
    microgpt_docs_free(start->docs);
    spak_free(start);
}
