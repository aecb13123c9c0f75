/* The invariants of training: what a model begins with, what a step does to it, and going on after a stop. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/rng.h"
#include "nn/checkpoint.h"
#include "nn/nanogpt_gate.h"

/* --- shared --- */

const nanogpt_subject nanogpt_subjects[NANOGPT_NUM_SUBJECTS] = {
    {"3 heads of 13, no biases", "nanogpt-cpu",
     "{\"vocab\": 29, \"context\": 13, \"layers\": 2, \"heads\": 3, \"width\": 39, \"dropout\": 0.125}", 3, 13, true},
    {"2 heads of 13, biases", "gpt2",
     "{\"vocab\": 31, \"context\": 16, \"layers\": 2, \"heads\": 2, \"width\": 26, \"dropout\": 0.125}", 2, 16, true},
};

bool nanogpt_shape(const char *preset, const char *more, nanogpt_fault fault, nn_config *config, spak_error *err) {
    json_t *members = NULL;
    bool good =
        nn_config_preset(preset, config, err) &&
        (!more || (spak_json_parse(preset, more, strlen(more), &members, err) && nn_config_read(members, config, err)));
    json_decref(members);
    if (fault == NANOGPT_FAULT_head_untied) config->tied = false;
    if (fault == NANOGPT_FAULT_residual_not_scaled) config->init_residual_scaled = false;
    if (fault == NANOGPT_FAULT_large_weights) config->init_sigma = 0.2f;
    return good;
}

/* Matrices of deviation 1 / sqrt(columns), so that every layer has numbers of size one; gains about one, biases not
 * zero. Floats: both precisions begin with the same. */
static bool put_wild(nanogpt_specimen *s, uint64_t seed, spak_error *err) {
    for (size_t k = 0; k < s->count; k++) {
        const nn_param *p = &s->params[k];
        const size_t n = p->rows * p->cols;
        const float sigma = p->matrix ? 1 / sqrtf((float)p->cols) : 0.25f;
        float *values = spak_malloc(n * sizeof *values);
        if (!values) return spak_fail_oom(err);
        spak_philox_fill_normal(values, n, p->init == NN_INIT_ONES ? 1 : 0, sigma, seed, k);
        nn_model_put_f32(s->model, NN_VALUES, p->at, n, values);
        spak_free(values);
    }
    return true;
}

/* Targets at a power of two of the rows, the last ones: the weight of a row is then exact in floats too. */
static bool draw_batch(nanogpt_specimen *s, size_t batch, size_t len, size_t vocab, uint64_t seed, spak_error *err) {
    const size_t rows = batch * len;
    size_t used = 1;
    while (2 * used <= rows) used *= 2;
    s->tokens = spak_malloc(2 * rows * sizeof *s->tokens);
    if (!s->tokens) return spak_fail_oom(err);
    for (size_t i = 0; i < 2 * rows; i++) {
        const float u = spak_philox_uniform(seed, 5000, i);
        s->tokens[i] = i >= rows && i < 2 * rows - used ? -1 : (int32_t)(u * (float)vocab);
    }
    s->batch = (nn_batch){
        .batch = batch, .len = len, .tokens = s->tokens, .targets = s->tokens + rows, .training = true, .seed = seed};
    return true;
}

bool nanogpt_specimen_new(nn_check *check, const nanogpt_subject *subject, const nn_ops *base, int threads,
                          nanogpt_specimen *s) {
    nn_config config;
    *s = (nanogpt_specimen){.name = subject->name};
    bool good = nanogpt_shape(subject->preset, subject->more, check->fault, &config, check->err) &&
                nn_model_new(&config, nanogpt_table(base, check->fault), threads, subject->batch, subject->len, 0, true,
                             &s->model, check->err);
    if (good) s->params = nn_model_params(s->model, &s->count, &s->numbers);
    if (good && !subject->wild) nn_model_init(s->model, check->seed);
    good = good && (!subject->wild || put_wild(s, check->seed, check->err)) &&
           draw_batch(s, subject->batch, subject->len, config.vocab, check->seed, check->err);
    if (!good) nanogpt_specimen_free(s);
    return good;
}

void nanogpt_specimen_free(nanogpt_specimen *s) {
    nn_model_free(s->model);
    spak_free(s->tokens);
    *s = (nanogpt_specimen){0};
}

/* Steps from..to - 1 of a run whose batches are the specimen's tokens, a place further each step. */
static bool make_steps(nn_check *check, nanogpt_specimen *s, uint64_t from, uint64_t to) {
    static const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    const nn_schedule schedule = {.rate = 1e-2, .min_rate = 1e-3, .warmup_steps = 2, .decay_steps = 8};
    const size_t rows = s->batch.batch * s->batch.len;
    for (uint64_t step = from; step < to; step++) {
        s->batch.step = step;
        for (size_t i = 0; i < rows; i++)
            s->tokens[i] =
                (int32_t)((uint64_t)s->tokens[rows + i] + step + i) % (int32_t)nn_model_config(s->model)->vocab;
        for (size_t i = 0; i < rows; i++)
            if (s->tokens[i] < 0) s->tokens[i] = 0;
        nn_zero_gradients(s->model);
        if (!nn_forward_backward(s->model, &s->batch, 1, NULL, check->err)) return false;
        const double norm = nn_update(s->model, &adamw, nn_schedule_rate(&schedule, step), step);
        if (!isfinite(norm)) /* such a step changes nothing: two runs of them would agree */
            return nn_refute(check, s->name, "the norm of the gradients of step %d is %g", (int)step, norm);
    }
    return true;
}

static double *values_of(const nanogpt_specimen *s, spak_error *err) {
    double *values = spak_malloc(s->numbers * sizeof *values);
    if (!values)
        spak_fail_oom(err);
    else
        nn_model_get(s->model, NN_VALUES, 0, s->numbers, values);
    return values;
}

/* --- threads --- */

static double *trained_on(nn_check *check, const nanogpt_subject *subject, int threads, size_t *numbers) {
    nanogpt_specimen s;
    if (!nanogpt_specimen_new(check, subject, &nn_cpu, threads, &s)) return NULL;
    double *values = make_steps(check, &s, 0, 3) ? values_of(&s, check->err) : NULL;
    *numbers = s.numbers;
    nanogpt_specimen_free(&s);
    return values;
}

/* Large enough that operators are shared among threads; dropout is on. */
bool nanogpt_threads(nn_check *check) {
    static const nanogpt_subject wide = {
        "4 heads of 25, 8 times 48 tokens",
        "nanogpt-cpu",
        "{\"context\": 48, \"layers\": 2, \"heads\": 4, \"width\": 100, \"dropout\": 0.125}",
        8,
        48,
        true};
    const nanogpt_subject *subjects[] = {&wide, &nanogpt_subjects[NANOGPT_BIASED]};
    for (int i = 0; i < 2; i++) {
        size_t numbers;
        double *alone = trained_on(check, subjects[i], 1, &numbers);
        bool good = alone != NULL;
        for (size_t j = 0; good && j < numbers; j++)
            good = isfinite(alone[j]) ||
                   nn_refute(check, subjects[i]->name, "after three steps a parameter is %g", alone[j]);
        for (int threads = 2; good && threads <= 4; threads++, check->tried++) {
            double *shared = trained_on(check, subjects[i], threads, &numbers);
            good = shared && (memcmp(alone, shared, numbers * sizeof *alone) == 0 ||
                              nn_refute(check, subjects[i]->name,
                                        "after three steps on %d threads the parameters are others", threads));
            spak_free(shared);
        }
        spak_free(alone);
        if (!good) return false;
    }
    return true;
}

/* --- the first loss --- */

/* A model that knows nothing pays log(vocab). A new one pays a little more. Its last state has numbers of size one, a
 * row of the head deviation s, so logits have variance s^2 width, which adds half of that to the mean loss. And the
 * head is the embedding: the logit of the token just read is up to s width, that of a vector with itself, and no target
 * knows it. On so many rows the mean wanders by the logits' deviation over the root of their number; four of these are
 * left. */
void nanogpt_first_loss(const nn_config *c, size_t rows, double *from, double *to) {
    const double s = (double)c->init_sigma, width = (double)c->width, vocab = (double)c->vocab;
    const double noise = 4 * s * sqrt(width / (double)rows), known = 0.02;
    *from = log(vocab) - noise;
    *to = log(vocab) + s * s * width / 2 + noise + log1p((exp(known * width) - 1) / vocab);
}

bool nanogpt_entropy(nn_check *check) {
    static const nanogpt_subject fresh = {"as it begins", "nanogpt-cpu", NULL, 12, 64, false};
    for (size_t i = 0; i < check->cases; i++, check->tried++) {
        nn_check one = *check;
        nanogpt_specimen s;
        nn_config sound;
        double loss, from, to;
        one.seed = check->seed + i;
        if (!nanogpt_shape("nanogpt-cpu", NULL, NANOGPT_SOUND, &sound, check->err) ||
            !nanogpt_specimen_new(&one, &fresh, &nn_cpu, 2, &s))
            return false;
        const bool ran = nn_forward(s.model, &s.batch, &loss, check->err);
        nanogpt_specimen_free(&s);
        if (!ran) return false;
        nanogpt_first_loss(&sound, 512, &from, &to);
        if (!(loss >= from && loss <= to))
            return nn_refute(check, fresh.name, "the loss is %.4g, not from %.4g to %.4g", loss, from, to);
    }
    return true;
}

/* --- Adam --- */

/* Loshchilov and Hutter's AdamW, in double precision. */
static double adamw_by_definition(double value, double *m, double *v, double gradient, double rate, double decay,
                                  int step) {
    const double beta1 = 0.9, beta2 = 0.99, eps = 1e-8;
    *m = beta1 * *m + (1 - beta1) * gradient;
    *v = beta2 * *v + (1 - beta2) * gradient * gradient;
    return value - rate * (*m / (1 - pow(beta1, step)) / (sqrt(*v / (1 - pow(beta2, step))) + eps) + decay * value);
}

typedef struct adam_case {
    nn_check *check;
    nanogpt_specimen *s;
    double *was, *now, *gradient, *m, *v; /* (numbers) */
} adam_case;

/* The norm of the gradients is about 30 in the first two steps and about 0.3 in the others: with clipping and without.
 */
static bool adam_step(adam_case *a, int step) {
    static const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    const size_t n = a->s->numbers;
    const double rate = 0.01, size = (step <= 2 ? 30 : 0.3) / sqrt((double)n);
    double squares = 0;
    nn_model_get(a->s->model, NN_VALUES, 0, n, a->was);
    for (size_t i = 0; i < n; i++)
        a->gradient[i] = (double)(float)(size * (double)spak_philox_normal(a->check->seed, 40 + (uint64_t)step, i));
    nn_model_put(a->s->model, NN_GRADIENTS, 0, n, a->gradient);
    for (size_t i = 0; i < n; i++) squares += a->gradient[i] * a->gradient[i];
    const double clip = sqrt(squares) + 1e-6 > 1 ? 1 / (sqrt(squares) + 1e-6) : 1;
    nn_update(a->s->model, &adamw, rate, (uint64_t)step - 1);
    nn_model_get(a->s->model, NN_VALUES, 0, n, a->now);
    for (size_t k = 0; k < a->s->count; k++) {
        const nn_param *p = &a->s->params[k];
        for (size_t i = p->at; i < p->at + p->rows * p->cols; i++) {
            const double want = adamw_by_definition(a->was[i], &a->m[i], &a->v[i], clip * a->gradient[i], rate,
                                                    p->rows > 1 ? 0.1 : 0, step);
            /* Floats: the value is rounded once, the stride a dozen times; early terms of m may cancel. */
            const double bound = FLT_EPSILON * fabs(want) + 64 * FLT_EPSILON * rate;
            if (!(fabs(a->now[i] - want) <= bound))
                return nn_refute(a->check, a->s->name, "step %d moves %s by %.7g, the definition by %.7g", step,
                                 p->name, a->now[i] - a->was[i], want - a->was[i]);
        }
    }
    a->check->tried++;
    return true;
}

bool nanogpt_adam(nn_check *check) {
    nanogpt_specimen s;
    if (!nanogpt_specimen_new(check, &nanogpt_subjects[NANOGPT_BIASED], &nn_cpu, 2, &s)) return false;
    const size_t n = s.numbers;
    double *memory = spak_calloc(5 * n, sizeof *memory);
    adam_case a = {check, &s, memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n};
    bool good = memory || spak_fail_oom(check->err);
    for (int step = 1; good && step <= (int)check->cases; step++) good = adam_step(&a, step);
    spak_free(memory);
    nanogpt_specimen_free(&s);
    return good;
}

/* --- going on --- */

/* Into a new model, with what a fault forgets; *step is where the run goes on. */
static bool go_on(nn_check *check, const char *path, nanogpt_specimen *s, uint64_t *step) {
    nn_checkpoint kept = {0};
    bool good = nn_checkpoint_load(path, s->model, NULL, &kept, check->err);
    *step = check->fault == NANOGPT_FAULT_resume_begins_anew ? 0 : kept.step;
    nn_checkpoint_free(&kept);
    double *zeros = spak_calloc(s->numbers, sizeof *zeros);
    if (!zeros) good = spak_fail_oom(check->err);
    if (good && check->fault == NANOGPT_FAULT_resume_without_moments) {
        nn_model_put(s->model, NN_MEAN, 0, s->numbers, zeros);
        nn_model_put(s->model, NN_SQUARE, 0, s->numbers, zeros);
    }
    spak_free(zeros);
    return good;
}

static bool goes_on(nn_check *check, const nanogpt_subject *subject, const char *folder, uint64_t stop, uint64_t last) {
    nanogpt_specimen whole = {0}, part = {0};
    char trainer[] = "{}", *path = NULL;
    nn_checkpoint now = {.step = stop, .trainer = trainer};
    uint64_t step = 0;
    bool good = nanogpt_specimen_new(check, subject, &nn_cpu, 2, &whole) && make_steps(check, &whole, 0, stop) &&
                nn_checkpoint_save(folder, whole.model, &now, 1, check->err) && make_steps(check, &whole, stop, last) &&
                nanogpt_specimen_new(check, subject, &nn_cpu, 1, &part) &&
                nn_checkpoint_newest(folder, &path, NULL, check->err) &&
                (path || spak_fail(check->err, "%s: the checkpoint is gone", folder)) &&
                go_on(check, path, &part, &step) && make_steps(check, &part, step, last);
    double *a = good ? values_of(&whole, check->err) : NULL, *b = good ? values_of(&part, check->err) : NULL;
    good = a && b;
    if (good && memcmp(a, b, whole.numbers * sizeof *a) != 0)
        good = nn_refute(check, subject->name, "stopped after step %d of %d, the parameters at the end are others",
                         (int)stop, (int)last);
    spak_free(a);
    spak_free(b);
    spak_free(path);
    nanogpt_specimen_free(&whole);
    nanogpt_specimen_free(&part);
    check->tried++;
    return good;
}

bool nanogpt_resume(nn_check *check) {
    const char *folder = getenv("TMPDIR");
    spak_str path = {0};
    spak_str_printf(&path, "%s/spak-nanogpt-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!spak_str_ok(&path, check->err)) return false;
    bool good = mkdtemp(path.data) || spak_fail_errno(check->err, "%s: a folder for checkpoints", path.data);
    for (int i = 0; good && i < NANOGPT_NUM_SUBJECTS; i++)
        good = goes_on(check, &nanogpt_subjects[i], path.data, 1 + (uint64_t)i, 5);
    if (path.data) spak_remove_tree(path.data);
    spak_str_free(&path);
    return good;
}

/* --- what a model begins with --- */

static const nn_param *find(const nn_param *params, size_t count, const char *name) {
    for (size_t k = 0; k < count; k++)
        if (strcmp(params[k].name, name) == 0) return &params[k];
    return NULL;
}

/* GPT-2 124M has nanoGPT's number of parameters, and one matrix for the embedding and the head: what is added to a
 * row of it moves that token's logits. */
bool nanogpt_tied(nn_check *check) {
    nn_config large;
    nn_param *list = NULL;
    size_t count, numbers;
    if (!nanogpt_shape("gpt2", NULL, check->fault, &large, check->err) ||
        !nn_params_list(&large, &list, &count, &numbers, check->err))
        return false;
    spak_free(list);
    check->tried = 2;
    if (numbers != 124439808)
        return nn_refute(check, "GPT-2 124M", "it has %zu parameters, nanoGPT's 124439808", numbers);
    nanogpt_specimen s;
    if (!nanogpt_specimen_new(check, &nanogpt_subjects[NANOGPT_SMALL], &nn_cpu, 1, &s)) return false;
    const nn_param *token = find(s.params, s.count, "transformer.wte.weight");
    const nn_config *c = nn_model_config(s.model);
    const int32_t other = (s.tokens[0] + 1) % (int32_t)c->vocab; /* not read in what follows */
    const nn_batch one = {.batch = 1, .len = 1, .tokens = s.tokens};
    double logits[2][64] = {{0}}, row[64];
    bool good = token != NULL;
    for (int i = 0; good && i < 2; i++) {
        good = nn_forward(s.model, &one, NULL, check->err);
        if (good) nn_logits(s.model, 0, 1, logits[i]);
        const size_t at = token->at + (size_t)other * c->width;
        nn_model_get(s.model, NN_VALUES, at, c->width, row);
        for (size_t j = 0; j < c->width; j++) row[j] += j % 2 ? 1 : -0.5;
        nn_model_put(s.model, NN_VALUES, at, c->width, row);
    }
    if (good && logits[0][other] == logits[1][other])
        good = nn_refute(check, s.name, "the head does not see what was added to the embedding");
    nanogpt_specimen_free(&s);
    return good;
}

/* Each matrix has the deviation that it should begin with, within what its number of elements allows: the deviation of
 * n normal numbers wanders by 1 / sqrt(2 n), relatively. */
bool nanogpt_residual(nn_check *check) {
    static const nanogpt_subject fresh = {"as it begins", "nanogpt-cpu", NULL, 1, 1, false};
    nanogpt_specimen s;
    if (!nanogpt_specimen_new(check, &fresh, &nn_cpu, 1, &s)) return false;
    const double layers = (double)nn_model_config(s.model)->layers;
    double *values = values_of(&s, check->err);
    bool good = values != NULL;
    for (size_t k = 0; good && k < s.count; k++) {
        const nn_param *p = &s.params[k];
        const size_t n = p->rows * p->cols;
        double squares = 0, want = strstr(p->name, "c_proj") ? 0.02 / sqrt(2 * layers) : 0.02;
        if (p->rows == 1) continue;
        for (size_t i = p->at; i < p->at + n; i++) squares += values[i] * values[i];
        const double found = sqrt(squares / (double)n);
        check->tried++;
        if (!(fabs(found / want - 1) <= 5 / sqrt(2 * (double)n)))
            good = nn_refute(check, s.name, "%s begins with deviation %.4g, not %.4g", p->name, found, want);
    }
    spak_free(values);
    nanogpt_specimen_free(&s);
    return good;
}
