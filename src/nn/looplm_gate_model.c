/* The invariants of the model: its gradients, its precision, what a token sees, its cache and its halting.
 *
 * The last two compare a decoder with what needs no decoder. Halting is pinned down by three things that follow from
 * its definition in a model of one layer, and that each mistake we know of breaks:
 *   - a threshold above one changes nothing;
 *   - with two loops, a token that halts after the first hands the second the very keys that it would have had: so
 *     tokens that think on have the same bits as without halting;
 *   - a token that halts after s loops ends as if there were only s. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "nn/looplm_gate.h"
#include "nn/worst.h"

/* A trainer of a subject and one batch. */
typedef struct specimen {
    nn_check *check;
    const char *name;
    nn_train_config config;
    nn_trainer *trainer;
    nn_model *model;
    nn_add_rows *rows;
    nn_batch batch;
} specimen;

static void close_subject(specimen *s) {
    nn_trainer_free(s->trainer);
    nn_add_rows_free(s->rows);
}

static bool open_subject(nn_check *check, size_t which, const char *more, uint64_t step, const char *device,
                         size_t threads, specimen *s) {
    *s = (specimen){.check = check, .name = looplm_subjects[which].name};
    if (!looplm_subject_read(check, &looplm_subjects[which], more, &s->config)) return false;
    strcpy(s->config.device, device);
    s->config.threads = threads;
    if (!looplm_subject_new(check, &s->config, true, &s->trainer) ||
        !looplm_rows_new(check, &s->config, step, &s->rows)) {
        close_subject(s);
        return false;
    }
    s->model = nn_trainer_model(s->trainer);
    s->batch = nn_add_rows_batch(s->rows);
    s->batch.training = true;
    s->batch.seed = s->config.seed;
    s->batch.step = step;
    return true;
}

/* --- gradients --- */

/* Every tensor along a random direction: what its gradient says, and the difference of the loss. */
static bool tensor_matches(specimen *s, const nn_param *p, size_t number, const double *gradient, double *values) {
    const size_t n = p->rows * p->cols;
    const double h = 1e-6;
    double said = 0, loss[2], scale = 0;
    nn_model_get(s->model, NN_VALUES, p->at, n, values);
    for (int side = 0; side < 2; side++) {
        for (size_t j = 0; j < n; j++) {
            const double u = (double)spak_philox_normal(s->check->seed, 9000 + number, j);
            const double moved = values[j] + (side ? -h : h) * u;
            nn_model_put(s->model, NN_VALUES, p->at + j, 1, &moved);
            if (!side) said += gradient[p->at + j] * u, scale += fabs(gradient[p->at + j] * u);
        }
        if (!nn_forward(s->model, &s->batch, &loss[side], s->check->err)) return false;
    }
    nn_model_put(s->model, NN_VALUES, p->at, n, values);
    const double found = (loss[0] - loss[1]) / (2 * h);
    /* Rounding leaves about 1e-16 / h of a loss near 3, curvature h^2, and a ReLU's kink a share of h. */
    if (isfinite(scale) && fabs(found - said) <= 1e-8 + 1e-5 * scale) return true;
    return nn_refute(s->check, s->name, "along a direction in %s the gradient says %.9g, the loss %.9g", p->name, said,
                     found);
}

static bool subject_matches(specimen *s) {
    size_t count, numbers;
    const nn_param *p = nn_model_params(s->model, &count, &numbers);
    double *gradient = spak_malloc(2 * numbers * sizeof *gradient);
    bool good = gradient || spak_fail_oom(s->check->err);
    nn_zero_gradients(s->model);
    good = good && nn_forward_backward(s->model, &s->batch, 1, NULL, s->check->err);
    if (good) nn_model_get(s->model, NN_GRADIENTS, 0, numbers, gradient);
    for (size_t i = 0; i < count && good; i++, s->check->tried++)
        good = tensor_matches(s, &p[i], i, gradient, gradient + numbers);
    spak_free(gradient);
    return good;
}

bool looplm_differences(nn_check *check) {
    for (size_t i = 0; i < LOOPLM_NUM_SUBJECTS; i++)
        for (uint64_t step = 0; step < check->cases; step++) {
            specimen s;
            if (!open_subject(check, i, NULL, step, "oracle", 1, &s)) return false;
            const bool good = subject_matches(&s);
            close_subject(&s);
            if (!good) return false;
        }
    return true;
}

/* --- precision and threads --- */

static double *gradients_of(specimen *s, double *loss) {
    size_t count, numbers;
    nn_model_params(s->model, &count, &numbers);
    double *g = spak_malloc(numbers * sizeof *g);
    nn_zero_gradients(s->model);
    if (!g)
        spak_fail_oom(s->check->err);
    else if (nn_forward_backward(s->model, &s->batch, 1, loss, s->check->err)) {
        nn_model_get(s->model, NN_GRADIENTS, 0, numbers, g);
        return g;
    }
    spak_free(g);
    return NULL;
}

/* On the way from a weight to the loss and back each pass adds sums over the width, the hidden units and the keys. */
static double roundings(const nn_train_config *c) {
    const nn_config *m = &c->model;
    return 2 * (double)(m->loops * m->layers) * (double)(4 * m->width + 2 * m->hidden + c->len);
}

static bool precise(specimen *single, specimen *twice) {
    size_t count, numbers;
    const nn_param *p = nn_model_params(single->model, &count, &numbers);
    double loss[2], *g[2] = {gradients_of(single, &loss[0]), gradients_of(twice, &loss[1])};
    const double bound = roundings(&single->config) * 0x1p-24;
    bool good = g[0] && g[1];
    if (good && !(fabs(loss[0] - loss[1]) <= bound * loss[1]))
        good = nn_refute(single->check, single->name, "the loss is %.9g, the oracle's %.9g", loss[0], loss[1]);
    for (size_t i = 0; i < count && good; i++, single->check->tried++) {
        double most = 0, apart = 0;
        for (size_t j = p[i].at; j < p[i].at + p[i].rows * p[i].cols; j++) {
            most = fmax(most, fabs(g[1][j]));
            apart = nn_worst(apart, fabs(g[0][j] - g[1][j]));
        }
        if (!(apart == 0 || apart / most <= bound))
            good = nn_refute(single->check, single->name,
                             "gradients of %s differ by %.3g of their largest, more than %.3g", p[i].name, apart / most,
                             bound);
    }
    spak_free(g[0]);
    spak_free(g[1]);
    return good;
}

bool looplm_against_oracle(nn_check *check) {
    for (size_t i = 0; i < LOOPLM_NUM_SUBJECTS; i++)
        for (uint64_t step = 0; step < check->cases; step++) {
            specimen single, twice;
            /* init is drawn in floats: both begin with the same numbers */
            if (!open_subject(check, i, NULL, step, "cpu", 1, &single)) return false;
            if (!open_subject(check, i, NULL, step, "oracle", 1, &twice)) {
                close_subject(&single);
                return false;
            }
            size_t count, numbers;
            nn_model_params(single.model, &count, &numbers);
            double *values = spak_malloc(numbers * sizeof *values);
            bool good = values || spak_fail_oom(check->err);
            if (good) {
                nn_model_get(single.model, NN_VALUES, 0, numbers, values);
                nn_model_put(twice.model, NN_VALUES, 0, numbers, values);
                good = precise(&single, &twice);
            }
            spak_free(values);
            close_subject(&single);
            close_subject(&twice);
            if (!good) return false;
        }
    return true;
}

/* Three steps on so many threads, 32 rows each: what works on fewer numbers than are worth sharing stays on one thread,
 * and would be the same on any. The parameters afterwards. */
static double *trained_on(nn_check *check, const looplm_subject *subject, size_t threads, size_t *numbers) {
    nn_train_config config;
    nn_trainer *trainer;
    size_t count;
    if (!looplm_subject_read(check, subject, "{\"width\": 32, \"dropout\": 0.1}", &config)) return NULL;
    config.batch = 32;
    config.threads = threads;
    if (!looplm_subject_new(check, &config, true, &trainer)) return NULL;
    nn_step step;
    bool good = true;
    for (int i = 0; i < 3 && good; i++) good = nn_trainer_step(trainer, &step, check->err);
    nn_model_params(nn_trainer_model(trainer), &count, numbers);
    double *values = good ? spak_malloc(*numbers * sizeof *values) : NULL;
    if (good && !values) spak_fail_oom(check->err);
    if (values) nn_model_get(nn_trainer_model(trainer), NN_VALUES, 0, *numbers, values);
    nn_trainer_free(trainer);
    return values;
}

bool looplm_threads(nn_check *check) {
    for (size_t i = 0; i < LOOPLM_NUM_SUBJECTS; i++) {
        size_t numbers;
        double *alone = trained_on(check, &looplm_subjects[i], 1, &numbers);
        bool good = alone != NULL;
        for (size_t j = 0; good && j < numbers; j++)
            good = isfinite(alone[j]) ||
                   nn_refute(check, looplm_subjects[i].name, "after three steps a parameter is %g", alone[j]);
        for (size_t threads = 2; threads < 5 && good; threads++, check->tried++) {
            double *shared = trained_on(check, &looplm_subjects[i], threads, &numbers);
            good = shared && (memcmp(alone, shared, numbers * sizeof *alone) == 0 ||
                              nn_refute(check, looplm_subjects[i].name,
                                        "after three steps on %zu threads the parameters are others", threads));
            spak_free(shared);
        }
        spak_free(alone);
        if (!good) return false;
    }
    return true;
}

/* --- what a token sees --- */

//> may_see
static bool may_see(const specimen *s, size_t row, size_t t, size_t from) {
    const nn_config *c = &s->config.model;
    const size_t a = row * s->rows->len + t, b = row * s->rows->len + from;
    const int32_t *part = s->rows->segments, *index = s->rows->index;
    if (t == from) return true;
    if (c->causal && from > t) return false;
    if (c->segments && (part[a] != part[b] || part[b] < 0)) return false;
    return c->window < 0 || abs(index[a] - index[b]) <= c->window;
}
//< may_see

/* Another token at one place, in a model of one pass: those that see it answer otherwise, no bit of the others moves.
 */
static bool place_is_seen(specimen *s, size_t row, size_t from, const double *before, double *after) {
    const size_t len = s->rows->len, vocab = s->config.model.vocab;
    int32_t *token = &s->rows->tokens[row * len + from];
    const int32_t old = *token;
    *token = (old + 1) % 10;
    bool good = nn_forward(s->model, &s->batch, NULL, s->check->err);
    *token = old;
    if (!good) return false;
    nn_logits(s->model, row * len, len, after);
    for (size_t t = 0; t < len && good; t++, s->check->tried++) {
        const bool moved = memcmp(before + t * vocab, after + t * vocab, vocab * sizeof *before) != 0;
        const bool blank = s->config.model.segments && s->rows->segments[row * len + t] < 0;
        if (moved != may_see(s, row, t, from) && !(blank && t == from))
            good = nn_refute(s->check, s->name, "the token at %zu %s that at %zu", t, moved ? "sees" : "does not see",
                             from);
    }
    return good;
}

bool looplm_sees(nn_check *check) {
    static const size_t which[] = {LOOPLM_PUBLISHED, LOOPLM_INDEXED, LOOPLM_ONE_PASS};
    for (size_t i = 0; i < 3; i++) {
        specimen s;
        if (!open_subject(check, which[i], "{\"loops\": 1, \"dropout\": 0, \"inject\": false}", check->seed, "oracle",
                          1, &s))
            return false;
        /* What may be seen goes by what the task writes, told by sound code. */
        nn_add_rows *sound = NULL;
        nn_train_config as = s.config;
        as.addition.fault = NN_SOUND;
        const size_t len = s.rows->len, vocab = s.config.model.vocab;
        double *logits = spak_malloc(2 * len * vocab * sizeof *logits);
        bool good = (logits || spak_fail_oom(check->err)) && looplm_rows_new(check, &as, check->seed, &sound);
        s.batch.training = false;
        s.batch.targets = NULL;
        for (size_t row = 0; row < 2 && good; row++) {
            good = nn_forward(s.model, &s.batch, NULL, check->err);
            if (good) nn_logits(s.model, row * len, len, logits);
            for (size_t from = 0; from < len && good; from++) {
                specimen seen = s;
                if (memcmp(sound->tokens, s.rows->tokens, 5 * sound->rows * len * sizeof(int32_t)) != 0) {
                    seen.rows = sound; /* the model is given what the fault wrote, and judged by what is right */
                    memcpy(sound->tokens, s.rows->tokens, sound->rows * len * sizeof(int32_t));
                    seen.batch.tokens = sound->tokens;
                }
                good = place_is_seen(&seen, row, from, logits, logits + len * vocab);
            }
        }
        nn_add_rows_free(sound);
        spak_free(logits);
        close_subject(&s);
        if (!good) return false;
    }
    return true;
}

/* --- the cache --- */

enum { DECODED = 3, DIGITS = 3, VOCAB = NN_ADD_VOCAB };

/* Greedy answers to test problems, a token at a time, and what the whole row says at each place. */
typedef struct decoded {
    nn_model *model;
    nn_add_rows *rows;
    size_t prompt, len;
    float *logits; /* (len, DECODED, vocab), from place prompt - 1 on */
    double *whole; /* (DECODED, len, vocab) */
    int32_t *tokens, *index, *kinds, *spent;
} decoded;

static void close_decoded(decoded *d) {
    nn_model_free(d->model);
    nn_add_rows_free(d->rows);
    spak_free(d->logits);
    spak_free(d->whole);
    spak_free(d->tokens);
}

static bool open_decoded(nn_check *check, const nn_train_config *config, nn_trainer *trainer, size_t most_loops,
                         decoded *d) {
    static nn_problem p[DECODED];
    size_t found;
    *d = (decoded){.prompt = 2 * DIGITS + 2, .len = nn_addition_test_len(&config->addition, DIGITS)};
    nn_addition task = config->addition;
    task.fault = NN_SOUND;
    d->logits = spak_malloc(d->len * DECODED * VOCAB * sizeof *d->logits);
    d->whole = spak_malloc(d->len * DECODED * VOCAB * sizeof *d->whole);
    d->tokens = spak_malloc(4 * d->len * DECODED * sizeof *d->tokens);
    if (!d->logits || !d->whole || !d->tokens) return spak_fail_oom(check->err);
    d->index = d->tokens + d->len * DECODED, d->kinds = d->index + d->len * DECODED;
    d->spent = d->kinds + d->len * DECODED;
    if (!nn_model_for_inference(nn_trainer_model(trainer), DECODED, d->len, most_loops, 1, &d->model, check->err) ||
        !nn_add_rows_new(DECODED, d->len, &d->rows, check->err) ||
        !nn_addition_test_set(NN_ADD_RANDOM, DIGITS, check->seed, DECODED, p, &found, check->err))
        return false;
    nn_addition_test_rows(&task, p, DECODED, d->rows);
    return true;
}

/* Feeds places at..at + n of the rows; leaves the last one's logits, and loops spent at their places. */
static bool feed(decoded *d, nn_decoder *decoder, size_t at, size_t n, float *logits, spak_error *err) {
    int32_t spent[DECODED * 64];
    for (size_t row = 0; row < DECODED; row++)
        for (size_t t = 0; t < n; t++) {
            const size_t from = row * d->len + at + t;
            d->tokens[row * n + t] = d->rows->tokens[from];
            d->index[row * n + t] = d->rows->index[from];
            d->kinds[row * n + t] = d->rows->kinds[from];
        }
    if (!nn_decode(decoder, n, d->tokens, d->index, d->kinds, logits, spent, err)) return false;
    for (size_t row = 0; row < DECODED; row++) memcpy(d->spent + row * d->len + at, spent + row * n, n * sizeof *spent);
    return true;
}

static int32_t best_of(const float *logits) { return nn_sample(logits, VOCAB, 0, 0, 0); }

static bool cache_agrees(nn_check *check, const char *name, decoded *d) {
    nn_decoder *decoder = NULL;
    bool good = nn_decoder_new(d->model, DECODED, NULL, &decoder, check->err);
    for (size_t t = d->prompt; t <= d->len && good; t++) {
        float *logits = d->logits + (t - d->prompt) * DECODED * VOCAB;
        good = t == d->prompt ? feed(d, decoder, 0, t, logits, check->err)
                              : feed(d, decoder, t - 1, 1, logits, check->err);
        for (size_t row = 0; row < DECODED && good && t < d->len; row++) /* its own answer goes in next */
            d->rows->tokens[row * d->len + t] = best_of(logits + row * VOCAB);
    }
    nn_decoder_free(decoder);
    nn_batch batch = nn_add_rows_batch(d->rows);
    batch.targets = NULL;
    memset(d->rows->segments, 0, d->rows->rows * d->len * sizeof *d->rows->segments);
    good = good && nn_forward(d->model, &batch, NULL, check->err);
    if (good) nn_logits(d->model, 0, DECODED * d->len, d->whole);
    for (size_t t = d->prompt - 1; t < d->len && good; t++)
        for (size_t row = 0; row < DECODED && good; row++, check->tried++) {
            const float *one = d->logits + ((t + 1 - d->prompt) * DECODED + row) * VOCAB;
            const double *all = d->whole + (row * d->len + t) * VOCAB;
            double most = 0, apart = 0;
            for (size_t v = 0; v < VOCAB; v++)
                most = fmax(most, fabs(all[v])), apart = nn_worst(apart, fabs(all[v] - one[v]));
            if (!(apart == 0 || apart / most <= 1e-4))
                good = nn_refute(check, name, "at place %zu the cache gives a logit that is %.3g off, of %.3g", t,
                                 apart, most);
        }
    return good;
}

static bool counts_agree(nn_check *check, const char *name, const nn_train_config *config, nn_trainer *trainer) {
    nn_model *model = NULL;
    json_t *given = NULL, *decoded_all = NULL;
    nn_addition task = config->addition;
    task.fault = NN_SOUND;
    const size_t len = nn_addition_test_len(&task, 1), loops[] = {config->model.loops};
    const nn_exam exam = {NN_ADD_RANDOM, 1, 64, check->seed, loops, 1, true};
    const nn_halting off = {.most_loops = loops[0]};
    bool good = nn_model_for_inference(nn_trainer_model(trainer), 16, len, loops[0], 1, &model, check->err) &&
                nn_addition_evaluate(&task, model, 16, &exam, &given, check->err) &&
                nn_addition_decode(&task, model, 16, &exam, &off, &decoded_all, check->err);
    if (good && strcmp(spak_json_str(given, "marks", "?"), spak_json_str(decoded_all, "marks", "-")) != 0)
        good = nn_refute(check, name, "given the right tokens it solves %s, by itself %s",
                         spak_json_str(given, "marks", ""), spak_json_str(decoded_all, "marks", ""));
    json_decref(given);
    json_decref(decoded_all);
    nn_model_free(model);
    return good;
}

/* Trained a little on one digit, so that some answers are right and others wrong. */
static bool cache_of(nn_check *check, const looplm_subject *subject, size_t steps) {
    nn_train_config config;
    nn_trainer *trainer;
    decoded d = {0};
    static const char *const more =
        "{\"dropout\": 0, \"segments\": false, \"layout\": \"single\", \"most_digits\": 3, \"context\": 24}";
    if (!looplm_subject_read(check, subject, more, &config)) return false;
    config.batch = 32;
    config.addition.most_digits = steps ? 1 : DIGITS;
    config.len = nn_addition_train_len(&config.addition);
    config.schedule = (nn_schedule){.rate = 3e-3, .min_rate = 3e-3};
    if (!looplm_subject_new(check, &config, !steps, &trainer)) return false;
    nn_step step;
    bool good = true;
    while (good && nn_trainer_next(trainer) < steps) good = nn_trainer_step(trainer, &step, check->err);
    good = good && open_decoded(check, &config, trainer, config.model.loops, &d) &&
           cache_agrees(check, subject->name, &d) && counts_agree(check, subject->name, &config, trainer);
    close_decoded(&d);
    nn_trainer_free(trainer);
    return good;
}

bool looplm_cache(nn_check *check) {
    static const size_t which[] = {LOOPLM_PUBLISHED, LOOPLM_INDEXED, LOOPLM_STATIC};
    for (size_t i = 0; i < 3; i++)
        if (!cache_of(check, &looplm_subjects[which[i]], 0)) return false;
    return cache_of(check, &looplm_subjects[LOOPLM_INDEXED], 300);
}

/* --- halting --- */

/* All rows at once, then logits at every place by feeding one at a time. */
static bool decode_with(nn_check *check, decoded *d, const nn_halting *halting, float *logits) {
    nn_decoder *decoder = NULL;
    bool good = nn_decoder_new(d->model, DECODED, halting, &decoder, check->err);
    for (size_t t = 0; t < d->len && good; t++) good = feed(d, decoder, t, 1, logits + t * DECODED * VOCAB, check->err);
    nn_decoder_free(decoder);
    return good;
}

static bool same_bits(const float *a, const float *b) { return memcmp(a, b, VOCAB * sizeof *a) == 0; }

/* A threshold above one: nothing halts, nothing changes. */
static bool never_halts(nn_check *check, decoded *d, size_t loops, float *plain, float *halted) {
    const nn_halting off = {.most_loops = loops, .thinking_from = -1};
    const nn_halting never = {true, 2, 2, NN_ADD_EQUALS, loops};
    if (!decode_with(check, d, &off, plain) || !decode_with(check, d, &never, halted)) return false;
    for (size_t i = 0; i < d->len * DECODED; i++, check->tried++) {
        if (!same_bits(plain + i * VOCAB, halted + i * VOCAB))
            return nn_refute(check, "never", "with a threshold of 2 the logits are others");
        if (d->spent[i] != (int32_t)loops)
            return nn_refute(check, "never", "%d loops spent of %zu", d->spent[i], loops);
    }
    return true;
}

/* Two loops: what stands before '=' halts after the first, the answer thinks on and is what it was. */
static bool hands_on_its_keys(nn_check *check, decoded *d, float *plain, float *halted) {
    const nn_halting off = {.most_loops = 2, .thinking_from = -1}, on = {true, 0, 2, NN_ADD_EQUALS, 2};
    if (!decode_with(check, d, &off, plain) || !decode_with(check, d, &on, halted)) return false;
    for (size_t t = 0; t < d->len; t++)
        for (size_t row = 0; row < DECODED; row++, check->tried++) {
            const bool thinks = t + 1 >= d->prompt;
            const int32_t spent = d->spent[row * d->len + t];
            if (spent != (thinks ? 2 : 1)) return nn_refute(check, "two loops", "place %zu spent %d loops", t, spent);
            if (thinks && !same_bits(plain + (t * DECODED + row) * VOCAB, halted + (t * DECODED + row) * VOCAB))
                return nn_refute(check, "two loops", "place %zu, which never halted, sees other keys of those that did",
                                 t);
        }
    return true;
}

/* At a threshold that some tokens come to: each ends as if there were only the loops that it spent. */
static bool stops_where_it_halts(nn_check *check, decoded *d, size_t loops, float threshold, float *plain,
                                 float *halted) {
    const nn_halting on = {true, threshold, threshold, -1, loops};
    size_t early = 0;
    if (!decode_with(check, d, &on, halted)) return false;
    int32_t *spent = spak_malloc(d->len * DECODED * sizeof *spent);
    bool good = spent || spak_fail_oom(check->err);
    if (good) memcpy(spent, d->spent, d->len * DECODED * sizeof *spent);
    for (size_t most = 1; most <= loops && good; most++) {
        const nn_halting until = {true, threshold, threshold, -1, most};
        good = decode_with(check, d, &until, plain);
        for (size_t t = 0; t < d->len && good; t++)
            for (size_t row = 0; row < DECODED && good; row++) {
                if (spent[row * d->len + t] != (int32_t)most) continue;
                check->tried++;
                early += most < loops;
                if (!same_bits(plain + (t * DECODED + row) * VOCAB, halted + (t * DECODED + row) * VOCAB))
                    good = nn_refute(check, "stops", "place %zu halted after %zu loops, and went on", t, most);
            }
    }
    spak_free(spent);
    return good && (early || nn_refute(check, "stops", "at a threshold of %g no token halts", (double)threshold));
}

static bool halting_of(nn_check *check, const looplm_subject *subject) {
    enum { LOOPS = 5 };
    nn_train_config config;
    nn_trainer *trainer;
    decoded d = {0};
    static const char *const more = "{\"dropout\": 0, \"segments\": false, \"layout\": \"single\", \"context\": 24}";
    if (!looplm_subject_read(check, subject, more, &config) || !looplm_subject_new(check, &config, true, &trainer))
        return false;
    bool good = open_decoded(check, &config, trainer, LOOPS, &d);
    float *halted = good ? spak_malloc(d.len * DECODED * VOCAB * sizeof *halted) : NULL;
    good = good && (halted || spak_fail_oom(check->err)) && never_halts(check, &d, LOOPS, d.logits, halted) &&
           hands_on_its_keys(check, &d, d.logits, halted) &&
           stops_where_it_halts(check, &d, LOOPS, 0.5f, d.logits, halted);
    spak_free(halted);
    close_decoded(&d);
    nn_trainer_free(trainer);
    return good;
}

bool looplm_halting(nn_check *check) {
    return halting_of(check, &looplm_subjects[LOOPLM_PUBLISHED]) && halting_of(check, &looplm_subjects[LOOPLM_INDEXED]);
}
