/* Studies of whole models: weights carried over to another program's layout and back, and what GPT-2 124M needs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "data/data.h"
#include "device/device.h"
#include "device/trial.h"
#include "nn/hf.h"
#include "nn/nanogpt_gate.h"

#define MEMBERS(list) (sizeof(list) / sizeof *(list))

/* --- transplant --- */

enum { PROMPTS = 8, PROMPT = 16 }; /* characters of the data set, from places all over it */

/* A model for inference with its decoder, and what it has made of the prompts. */
typedef struct speaker {
    nn_model *model;
    nn_decoder *decoder;
    int32_t *text; /* (PROMPTS, len) */
} speaker;

typedef struct carried {
    nn_trainer *trainer;
    nn_config config;
    size_t len; /* tokens of a text, its prompt included */
    int32_t prompts[PROMPTS][PROMPT];
    float *logits; /* (vocab) */
    double *whole; /* (vocab) */
    double margin; /* the smallest distance of the best logit from the next */
    char *folder;
} carried;

static void close_speaker(speaker *s) {
    nn_decoder_free(s->decoder);
    nn_model_free(s->model);
    spak_free(s->text);
}

static int32_t best_of(carried *c, const double *logits) {
    size_t best = 0;
    double next = -INFINITY;
    for (size_t v = 1; v < c->config.vocab; v++)
        if (logits[v] > logits[best]) best = v;
    for (size_t v = 0; v < c->config.vocab; v++)
        if (v != best) next = fmax(next, logits[v]);
    c->margin = fmin(c->margin, logits[best] - next);
    return (int32_t)best;
}

/* The logits after text (len). Beyond the context a window of it is read anew, as nanoGPT's generate() does it; within,
 * the cache takes what it has not seen. */
static bool logits_after(carried *c, speaker *s, const int32_t *text, size_t len, size_t *fed, spak_error *err) {
    const size_t context = c->config.context, from = len > context ? len - context : 0;
    if (!s->decoder) {
        const nn_batch one = {.batch = 1, .len = len - from, .tokens = text + from};
        if (!nn_forward(s->model, &one, NULL, err)) return false;
        nn_logits(s->model, len - from - 1, 1, c->whole);
        return true;
    }
    if (from) { /* positions have moved: what is in the cache is of others */
        nn_decoder_reset(s->decoder);
        *fed = from;
    }
    if (!nn_decode(s->decoder, len - *fed, text + *fed, NULL, NULL, c->logits, NULL, err)) return false;
    for (size_t v = 0; v < c->config.vocab; v++) c->whole[v] = (double)c->logits[v];
    *fed = len;
    return true;
}

/* Continues every prompt greedily: with the cache, or by a whole pass for each token. */
static bool speak(carried *c, speaker *s, bool cached, spak_error *err) {
    s->text = spak_malloc(PROMPTS * c->len * sizeof *s->text);
    if (!s->text) return spak_fail_oom(err);
    if (cached && !nn_decoder_new(s->model, 1, NULL, &s->decoder, err)) return false;
    for (size_t p = 0; p < PROMPTS; p++) {
        int32_t *text = s->text + p * c->len;
        size_t fed = 0;
        memcpy(text, c->prompts[p], sizeof c->prompts[p]);
        if (cached) nn_decoder_reset(s->decoder);
        for (size_t len = PROMPT; len < c->len; len++) {
            if (!logits_after(c, s, text, len, &fed, err)) return false;
            text[len] = best_of(c, c->whole);
        }
    }
    return true;
}

/* What the text is continued by: the trained model itself, and the imported one on both tables, with the cache and
 * without. */
enum { TRAINED, IMPORTED, IMPORTED_WHOLE, ORACLE, ORACLE_WHOLE, SPEAKERS };
static const char *const speaker_names[SPEAKERS] = {"as trained, cache", "imported, cache", "imported, no cache",
                                                    "imported, double precision, cache",
                                                    "imported, double precision, no cache"};

static bool open_speaker(carried *c, int which, speaker *s, spak_error *err) {
    if (which == TRAINED)
        return nn_model_for_inference(nn_trainer_model(c->trainer), 1, c->config.context, 0, dev_cpu_count(), &s->model,
                                      err);
    const nn_ops *ops = which >= ORACLE ? &nn_oracle : &nn_cpu;
    nn_config found;
    return nn_hf_config(c->folder, 0, &found, err) &&
           nn_model_new(&found, ops, dev_cpu_count(), 1, found.context, 0, false, &s->model, err) &&
           nn_hf_import(c->folder, s->model, err);
}

/* Tokens of all texts up to where each parts from the trained model's. */
static size_t count_same(const carried *c, const speaker *a, const speaker *b) {
    size_t same = 0;
    for (size_t p = 0; p < PROMPTS; p++) {
        size_t at = PROMPT;
        while (at < c->len && a->text[p * c->len + at] == b->text[p * c->len + at]) at++;
        same += at - PROMPT;
    }
    return same;
}

static bool compare(carried *c, json_t *list, json_t *samples, spak_error *err) {
    speaker all[SPEAKERS] = {{0}};
    bool good = true;
    for (int i = 0; good && i < SPEAKERS; i++) {
        good = open_speaker(c, i, &all[i], err) && speak(c, &all[i], i != IMPORTED_WHOLE && i != ORACLE_WHOLE, err) &&
               (json_array_append_new(list, json_pack("{s:s,s:I}", "by", speaker_names[i], "same",
                                                      (json_int_t)count_same(c, &all[i], &all[TRAINED]))) == 0 ||
                spak_fail_oom(err));
    }
    for (size_t p = 0; good && p < PROMPTS; p++) {
        spak_str prompt = {0}, text = {0};
        const int32_t *ids = all[TRAINED].text + p * c->len;
        good = nn_chars_decode(nn_trainer_chars(c->trainer), ids, PROMPT, &prompt, err) &&
               nn_chars_decode(nn_trainer_chars(c->trainer), ids + PROMPT, c->len - PROMPT, &text, err) &&
               (json_array_append_new(samples, json_pack("[s,s]", spak_str_text(&prompt), spak_str_text(&text))) == 0 ||
                spak_fail_oom(err));
        spak_str_free(&prompt);
        spak_str_free(&text);
    }
    for (int i = 0; i < SPEAKERS; i++) close_speaker(&all[i]);
    return good;
}

static bool train_briefly(carried *c, const json_t *options, double *loss, spak_error *err) {
    const long long steps = spak_json_int(options, "steps", 300);
    nn_train_config config;
    nn_step step = {0};
    bool good = nanogpt_small_run((size_t)steps, 12, &config, err) && nn_trainer_new(&config, &c->trainer, err);
    for (long long i = 0; good && i < steps; i++) good = nn_trainer_step(c->trainer, &step, err);
    *loss = step.loss;
    if (good) c->config = *nn_model_config(nn_trainer_model(c->trainer));
    return good;
}

static bool read_prompts(carried *c, spak_error *err) {
    const char *name = nn_trainer_config(c->trainer)->text.dataset;
    data_set *set = NULL;
    bool good = data_open(name, &set, err);
    for (size_t p = 0; good && p < PROMPTS; p++)
        good = nn_chars_encode(nn_trainer_chars(c->trainer), name, set->bytes + p * (set->size - PROMPT) / PROMPTS,
                               PROMPT, c->prompts[p], err);
    data_close(set);
    return good;
}

static bool carry(carried *c, const json_t *options, json_t **result, spak_error *err) {
    double loss;
    const size_t tokens = (size_t)spak_json_int(options, "tokens", 100);
    json_t *list = json_array(), *samples = json_array();
    c->len = PROMPT + tokens;
    bool good = ((list && samples) || spak_fail_oom(err)) && train_briefly(c, options, &loss, err) &&
                read_prompts(c, err) && nn_hf_export(nn_trainer_model(c->trainer), c->folder, err);
    c->logits = good ? spak_malloc(c->config.vocab * sizeof *c->logits) : NULL;
    c->whole = good ? spak_malloc(c->config.vocab * sizeof *c->whole) : NULL;
    c->margin = INFINITY;
    if (good && !(c->logits && c->whole)) good = spak_fail_oom(err);
    good = good && compare(c, list, samples, err);
    if (good)
        *result =
            json_pack("{s:O,s:i,s:I,s:f,s:f,s:O}", "texts", list, "prompts", PROMPTS, "tokens",
                      (json_int_t)(PROMPTS * tokens), "smallest_margin", c->margin, "loss", loss, "samples", samples);
    json_decref(list);
    json_decref(samples);
    return good && (*result || spak_fail_oom(err));
}

bool nanogpt_transplant(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {{"steps", JSON_INTEGER, 1, 100000, false},
                                         {"tokens", JSON_INTEGER, 1, 100000, false}};
    const char *temporary = getenv("TMPDIR");
    carried c = {0};
    spak_str path = {0};
    *result = NULL;
    if (!dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err)) return false;
    spak_str_printf(&path, "%s/spak-nanogpt-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!spak_str_ok(&path, err)) return false;
    c.folder = path.data;
    bool good = mkdtemp(path.data) || spak_fail_errno(err, "%s: a folder for the weights", path.data);
    good = good && carry(&c, options, result, err);
    spak_remove_tree(path.data);
    spak_str_free(&path);
    spak_free(c.logits);
    spak_free(c.whole);
    nn_trainer_free(c.trainer);
    return good;
}

/* --- memory_and_time --- */

/* The largest memory that this process has held so far, in bytes. */
static double peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static json_t *plan_json(const nn_memory *m) {
    const double total =
        (double)m->params + (double)m->grads + (double)m->optimiser + (double)m->activations + (double)m->scratch;
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "params", (double)m->params, "grads", (double)m->grads, "optimiser",
                     (double)m->optimiser, "activations", (double)m->activations, "scratch", (double)m->scratch,
                     "total", total);
}

static bool time_both(nn_model *model, const nn_batch *batch, long long passes, json_t *forward, json_t *step,
                      double losses[2], spak_error *err) {
    static const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    for (long long i = 0; i < passes; i++) {
        uint64_t begun = spak_now_ns();
        if (!nn_forward(model, batch, &losses[0], err)) return false;
        const double forward_ms = (double)(spak_now_ns() - begun) * 1e-6;
        begun = spak_now_ns();
        nn_zero_gradients(model);
        if (!nn_forward_backward(model, batch, 1, &losses[1], err)) return false;
        nn_update(model, &adamw, 6e-4, (uint64_t)i);
        const double step_ms = (double)(spak_now_ns() - begun) * 1e-6;
        if (json_array_append_new(forward, json_real(forward_ms)) != 0 ||
            json_array_append_new(step, json_real(step_ms)) != 0)
            return spak_fail_oom(err);
    }
    return nn_forward(model, batch, &losses[1], err);
}

typedef struct large {
    nn_config config;
    size_t len;
    long long passes;
    nn_model *model;
    int32_t *tokens;
} large;

static bool open_large(const json_t *options, large *l, spak_error *err) {
    *l = (large){.passes = spak_json_int(options, "passes", 2)};
    const json_t *more = json_object_get(options, "model");
    if (!nn_config_preset(spak_json_str(options, "preset", "gpt2"), &l->config, err) ||
        (more && !nn_config_read(more, &l->config, err)))
        return false;
    l->len = (size_t)spak_json_int(options, "len", (long long)l->config.context);
    l->tokens = spak_malloc(2 * l->len * sizeof *l->tokens);
    if (!l->tokens) return spak_fail_oom(err);
    for (size_t i = 0; i < 2 * l->len; i++)
        l->tokens[i] = (int32_t)(spak_philox_uniform(1, 5000, i) * (float)l->config.vocab);
    if (!nn_model_new(&l->config, &nn_cpu, dev_cpu_count(), 1, l->len, 0, true, &l->model, err)) return false;
    nn_model_init(l->model, 1);
    return true;
}

static bool measure_large(large *l, json_t **result, spak_error *err) {
    size_t count, numbers;
    double losses[2];
    const nn_memory memory = nn_model_memory(l->model);
    const nn_batch batch = {
        .batch = 1, .len = l->len, .tokens = l->tokens, .targets = l->tokens + l->len, .training = true};
    json_t *forward = json_array(), *step = json_array();
    nn_model_params(l->model, &count, &numbers);
    bool good = (forward && step) || spak_fail_oom(err);
    good = good && time_both(l->model, &batch, l->passes, forward, step, losses, err);
    if (good)
        *result =
            json_pack("{s:I,s:o,s:O,s:O,s:f,s:f,s:f,s:f,s:I,s:i}", "parameters", (json_int_t)numbers, "plan",
                      plan_json(&memory), "forward_ms", forward, "step_ms", step, "forward_flop",
                      nn_forward_flops(&l->config, l->len, l->len, 0), "first_loss", losses[0], "last_loss", losses[1],
                      "peak_bytes", peak_bytes(), "tokens", (json_int_t)l->len, "threads", dev_cpu_count());
    json_decref(forward);
    json_decref(step);
    return good && (*result || spak_fail_oom(err));
}

bool nanogpt_memory_and_time(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {
        {"preset", JSON_STRING, 0, 0, false},
        {"model", JSON_OBJECT, 0, 0, false},
        {"len", JSON_INTEGER, 1, 65536, false},
        {"passes", JSON_INTEGER, 1, 1000, false},
    };
    large l;
    *result = NULL;
    if (!dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err)) return false;
    const bool good = open_large(options, &l, err) && measure_large(&l, result, err);
    nn_model_free(l.model);
    spak_free(l.tokens);
    return good;
}
