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

enum { PROMPTS = 16, PROMPT = 16 }; /* at most, and their characters: of the data set, from places all over it */

/* Each prompt is continued by the best token, and by tokens drawn as nanoGPT's sample.py draws them: temperature 0.8,
 * of the 200 best, which of characters is all. The draws depend on the place alone, so two models that agree say the
 * same. Greedy text of a small model falls into a loop; drawn text meets other contexts at every token. */
typedef enum manner { GREEDY, DRAWN, MANNERS } manner;
static const float TEMPERATURE = 0.8f;

/* A model for inference with its decoder, and what it has made of the prompts. */
typedef struct speaker {
    nn_model *model;
    nn_decoder *decoder;
    int32_t *text;         /* (num_prompts, len) */
    size_t same[MANNERS];  /* tokens up to where each text parts from the reference's */
    double apart[MANNERS]; /* the largest difference of a logit from the reference's, while the texts are the same */
    size_t from_cache[MANNERS]; /* tokens whose logits had keys and values of earlier calls */
} speaker;

typedef struct carried {
    nn_trainer *trainer;
    nn_config config;
    size_t num_prompts;
    size_t len; /* tokens of a text, its prompt included */
    int threads;
    int32_t prompts[PROMPTS][PROMPT];
    float *logits;          /* (vocab) */
    double *whole;          /* (vocab) */
    int32_t *said[MANNERS]; /* (num_prompts, len): the reference's texts, by the trained model itself without a cache */
    double *thought[MANNERS]; /* (num_prompts, len, vocab): its logits before each token */
    size_t contexts[MANNERS]; /* different ones among them */
    double margin;            /* the smallest distance of the reference's best logit from the next, greedily */
    char *folder;
} carried;

static void close_speaker(speaker *s) {
    nn_decoder_free(s->decoder);
    nn_model_free(s->model);
    spak_free(s->text);
}

static void note_margin(carried *c, const double *logits, int32_t best) {
    for (size_t v = 0; v < c->config.vocab; v++)
        if (v != (size_t)best) c->margin = fmin(c->margin, logits[best] - logits[v]);
}

/* The logits after text (len). Beyond the context a window of it is read anew, as nanoGPT's generate() does it; within,
 * the cache takes what it has not seen. */
static bool logits_after(carried *c, speaker *s, manner how, const int32_t *text, size_t len, size_t *fed,
                         spak_error *err) {
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
    if (*fed > from) s->from_cache[how]++;
    if (!nn_decode(s->decoder, len - *fed, text + *fed, NULL, NULL, c->logits, NULL, err)) return false;
    for (size_t v = 0; v < c->config.vocab; v++) c->whole[v] = (double)c->logits[v];
    *fed = len;
    return true;
}

static int32_t choose(carried *c, manner how, size_t place) {
    for (size_t v = 0; v < c->config.vocab; v++) c->logits[v] = (float)c->whole[v];
    return nn_sample(c->logits, c->config.vocab, how == GREEDY ? 0 : TEMPERATURE, 0,
                     (double)spak_philox_uniform(1, 6000, place));
}

/* The same tokens, and logits no further apart than what is kept so far: until the texts part. */
static void compare_token(carried *c, speaker *s, manner how, size_t place, int32_t token, bool *alike) {
    const double *reference = c->thought[how] + place * c->config.vocab;
    if (!*alike) return;
    for (size_t v = 0; v < c->config.vocab; v++) s->apart[how] = fmax(s->apart[how], fabs(c->whole[v] - reference[v]));
    *alike = token == c->said[how][place];
    s->same[how] += *alike;
}

/* Continues every prompt. The reference's texts and logits are kept, the others' compared with them. */
static bool speak(carried *c, speaker *s, manner how, bool reference, spak_error *err) {
    for (size_t p = 0; p < c->num_prompts; p++) {
        int32_t *text = reference ? c->said[how] + p * c->len : s->text + p * c->len;
        size_t fed = 0;
        bool alike = true;
        memcpy(text, c->prompts[p], sizeof c->prompts[p]);
        if (s->decoder) nn_decoder_reset(s->decoder);
        for (size_t len = PROMPT; len < c->len; len++) {
            const size_t place = p * c->len + len;
            if (!logits_after(c, s, how, text, len, &fed, err)) return false;
            text[len] = choose(c, how, place);
            if (!reference) {
                compare_token(c, s, how, place, text[len], &alike);
                continue;
            }
            memcpy(c->thought[how] + place * c->config.vocab, c->whole, c->config.vocab * sizeof *c->whole);
            if (how == GREEDY) note_margin(c, c->whole, text[len]);
        }
    }
    return true;
}

/* What the model sees of the text p before token len: the last `context` tokens. */
static const int32_t *window_of(const carried *c, manner how, size_t number, size_t *len) {
    const size_t tokens = c->len - PROMPT, end = PROMPT + number % tokens, context = c->config.context;
    *len = end < context ? end : context;
    return c->said[how] + number / tokens * c->len + end - *len;
}

static size_t count_contexts(const carried *c, manner how) {
    const size_t all = c->num_prompts * (c->len - PROMPT);
    size_t different = 0;
    for (size_t i = 0; i < all; i++) {
        size_t len, other_len, j = 0;
        const int32_t *mine = window_of(c, how, i, &len);
        for (; j < i; j++) {
            const int32_t *other = window_of(c, how, j, &other_len);
            if (len == other_len && !memcmp(mine, other, len * sizeof *mine)) break;
        }
        different += j == i;
    }
    return different;
}

/* Who is held against the trained model: the imported one on both tables, without the cache and with it. */
enum { WHOLE, CACHED, DOUBLE_WHOLE, DOUBLE_CACHED, SPEAKERS };
static const char *const speaker_names[SPEAKERS] = {"imported, no cache", "imported, cache",
                                                    "imported, double precision, no cache",
                                                    "imported, double precision, cache"};

static bool set_reference(carried *c, spak_error *err) {
    speaker s = {0};
    bool good =
        nn_model_for_inference(nn_trainer_model(c->trainer), 1, c->config.context, 0, c->threads, &s.model, err);
    for (manner how = 0; good && how < MANNERS; how++) {
        good = speak(c, &s, how, true, err);
        if (good) c->contexts[how] = count_contexts(c, how);
    }
    close_speaker(&s);
    return good;
}

static bool try_speaker(carried *c, int which, json_t *list, spak_error *err) {
    speaker s = {.text = spak_malloc(c->num_prompts * c->len * sizeof *s.text)};
    nn_config found;
    bool good = (s.text || spak_fail_oom(err)) && nn_hf_config(c->folder, 0, &found, err) &&
                nn_model_new(&found, which >= DOUBLE_WHOLE ? &nn_oracle : &nn_cpu, c->threads, 1, found.context, 0,
                             false, &s.model, err) &&
                nn_hf_import(c->folder, s.model, err) &&
                (which == WHOLE || which == DOUBLE_WHOLE || nn_decoder_new(s.model, 1, NULL, &s.decoder, err));
    for (manner how = 0; good && how < MANNERS; how++) good = speak(c, &s, how, false, err);
    json_t *entry =
        good ? json_pack("{s:s,s:I,s:I,s:f,s:f,s:I,s:I}", "by", speaker_names[which], "same",
                         (json_int_t)s.same[GREEDY], "same_drawn", (json_int_t)s.same[DRAWN], "apart", s.apart[GREEDY],
                         "apart_drawn", s.apart[DRAWN], "from_cache", (json_int_t)s.from_cache[GREEDY],
                         "from_cache_drawn", (json_int_t)s.from_cache[DRAWN])
             : NULL;
    close_speaker(&s);
    return good && (json_array_append_new(list, entry) == 0 || spak_fail_oom(err));
}

/* ["prompt", "greedy text", "drawn text"] of each prompt. */
static bool put_samples(const carried *c, json_t *samples, spak_error *err) {
    const nn_chars *chars = nn_trainer_chars(c->trainer);
    bool good = true;
    for (size_t p = 0; good && p < c->num_prompts; p++) {
        spak_str text[3] = {{0}};
        good = nn_chars_decode(chars, c->prompts[p], PROMPT, &text[0], err);
        for (manner how = 0; good && how < MANNERS; how++)
            good = nn_chars_decode(chars, c->said[how] + p * c->len + PROMPT, c->len - PROMPT, &text[1 + how], err);
        good =
            good && (json_array_append_new(samples, json_pack("[s,s,s]", spak_str_text(&text[0]),
                                                              spak_str_text(&text[1]), spak_str_text(&text[2]))) == 0 ||
                     spak_fail_oom(err));
        for (int i = 0; i < 3; i++) spak_str_free(&text[i]);
    }
    return good;
}

static bool train_briefly(carried *c, const json_t *options, double *loss, spak_error *err) {
    const long long steps = spak_json_int(options, "steps", 300);
    nn_train_config config;
    nn_step step = {0};
    bool good =
        nanogpt_small_run((size_t)steps, 12, c->threads, &config, err) && nn_trainer_new(&config, &c->trainer, err);
    for (long long i = 0; good && i < steps; i++) good = nn_trainer_step(c->trainer, &step, err);
    *loss = step.loss;
    if (good) c->config = *nn_model_config(nn_trainer_model(c->trainer));
    return good;
}

static bool read_prompts(carried *c, spak_error *err) {
    const char *name = nn_trainer_config(c->trainer)->text.dataset;
    data_set *set = NULL;
    bool good = data_open(name, &set, err);
    for (size_t p = 0; good && p < c->num_prompts; p++)
        good = nn_chars_encode(nn_trainer_chars(c->trainer), name,
                               set->bytes + p * (set->size - PROMPT) / c->num_prompts, PROMPT, c->prompts[p], err);
    data_close(set);
    return good;
}

static bool take_memory(carried *c, spak_error *err) {
    const size_t places = c->num_prompts * c->len;
    bool good = (c->logits = spak_malloc(c->config.vocab * sizeof *c->logits)) &&
                (c->whole = spak_malloc(c->config.vocab * sizeof *c->whole));
    for (manner how = 0; good && how < MANNERS; how++)
        good = (c->said[how] = spak_malloc(places * sizeof *c->said[how])) &&
               (c->thought[how] = spak_malloc(places * c->config.vocab * sizeof *c->thought[how]));
    return good || spak_fail_oom(err);
}

static bool carry(carried *c, const json_t *options, json_t **result, spak_error *err) {
    double loss;
    const size_t tokens = (size_t)spak_json_int(options, "tokens", 100);
    json_t *list = json_array(), *samples = json_array();
    c->len = PROMPT + tokens;
    c->margin = INFINITY;
    bool good = ((list && samples) || spak_fail_oom(err)) && train_briefly(c, options, &loss, err) &&
                read_prompts(c, err) && nn_hf_export(nn_trainer_model(c->trainer), c->folder, err) &&
                take_memory(c, err) && set_reference(c, err);
    for (int which = 0; good && which < SPEAKERS; which++) good = try_speaker(c, which, list, err);
    good = good && put_samples(c, samples, err);
    if (good)
        *result =
            json_pack("{s:O,s:i,s:I,s:I,s:I,s:i,s:f,s:f,s:f,s:O}", "texts", list, "prompts", (int)c->num_prompts,
                      "tokens", (json_int_t)(c->num_prompts * tokens), "contexts", (json_int_t)c->contexts[GREEDY],
                      "contexts_drawn", (json_int_t)c->contexts[DRAWN], "threads", c->threads, "temperature",
                      (double)TEMPERATURE, "smallest_margin", c->margin, "loss", loss, "samples", samples);
    json_decref(list);
    json_decref(samples);
    return good && (*result || spak_fail_oom(err));
}

bool nanogpt_transplant(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {{"steps", JSON_INTEGER, 1, 100000, false},
                                         {"tokens", JSON_INTEGER, 1, 100000, false},
                                         {"threads", JSON_INTEGER, 1, 256, false},
                                         {"prompts", JSON_INTEGER, 1, PROMPTS, false}};
    const char *temporary = getenv("TMPDIR");
    carried c = {.threads = (int)spak_json_int(options, "threads", dev_cpu_count()),
                 .num_prompts = (size_t)spak_json_int(options, "prompts", PROMPTS)};
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
    for (manner how = 0; how < MANNERS; how++) {
        spak_free(c.said[how]);
        spak_free(c.thought[how]);
    }
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

/* A pass of each kind that is not timed, since the first ones touch the memory first, and then those that are. losses:
 * before all steps, and after them. */
static bool time_both(nn_model *model, const nn_batch *batch, long long passes, json_t *forward, json_t *step,
                      double losses[2], spak_error *err) {
    static const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    for (long long i = 0; i <= passes; i++) {
        uint64_t begun = spak_now_ns();
        if (!nn_forward(model, batch, &losses[i ? 1 : 0], err)) return false;
        const double forward_ms = (double)(spak_now_ns() - begun) * 1e-6;
        begun = spak_now_ns();
        nn_zero_gradients(model);
        if (!nn_forward_backward(model, batch, 1, &losses[1], err)) return false;
        nn_update(model, &adamw, 6e-4, (uint64_t)i);
        const double step_ms = (double)(spak_now_ns() - begun) * 1e-6;
        if (i > 0 && (json_array_append_new(forward, json_real(forward_ms)) != 0 ||
                      json_array_append_new(step, json_real(step_ms)) != 0))
            return spak_fail_oom(err);
    }
    return nn_forward(model, batch, &losses[1], err);
}

typedef struct large {
    nn_config config;
    size_t batch, len;
    int threads;
    long long passes;
    nn_model *model;
    int32_t *tokens;
} large;

static bool open_large(const json_t *options, large *l, spak_error *err) {
    *l = (large){.batch = (size_t)spak_json_int(options, "batch", 1),
                 .threads = (int)spak_json_int(options, "threads", dev_cpu_count()),
                 .passes = spak_json_int(options, "passes", 2)};
    const json_t *more = json_object_get(options, "model");
    if (!nn_config_preset(spak_json_str(options, "preset", "gpt2"), &l->config, err) ||
        (more && !nn_config_read(more, &l->config, err)))
        return false;
    l->len = (size_t)spak_json_int(options, "len", (long long)l->config.context);
    const size_t rows = l->batch * l->len;
    l->tokens = spak_malloc(2 * rows * sizeof *l->tokens);
    if (!l->tokens) return spak_fail_oom(err);
    for (size_t i = 0; i < 2 * rows; i++)
        l->tokens[i] = (int32_t)(spak_philox_uniform(1, 5000, i) * (float)l->config.vocab);
    if (!nn_model_new(&l->config, &nn_cpu, l->threads, l->batch, l->len, 0, true, &l->model, err)) return false;
    nn_model_init(l->model, 1);
    return true;
}

static bool measure_large(large *l, json_t **result, spak_error *err) {
    size_t count, numbers;
    double losses[2];
    const nn_memory memory = nn_model_memory(l->model);
    const nn_batch batch = {.batch = l->batch,
                            .len = l->len,
                            .tokens = l->tokens,
                            .targets = l->tokens + l->batch * l->len,
                            .training = true};
    json_t *forward = json_array(), *step = json_array();
    nn_model_params(l->model, &count, &numbers);
    bool good = (forward && step) || spak_fail_oom(err);
    good = good && time_both(l->model, &batch, l->passes, forward, step, losses, err);
    if (good)
        *result = json_pack("{s:I,s:o,s:O,s:O,s:f,s:f,s:f,s:f,s:I,s:i}", "parameters", (json_int_t)numbers, "plan",
                            plan_json(&memory), "forward_ms", forward, "step_ms", step, "forward_flop",
                            (double)l->batch * nn_forward_flops(&l->config, l->len, l->len, 0), "first_loss", losses[0],
                            "last_loss", losses[1], "peak_bytes", peak_bytes(), "tokens",
                            (json_int_t)(l->batch * l->len), "threads", l->threads);
    json_decref(forward);
    json_decref(step);
    return good && (*result || spak_fail_oom(err));
}

bool nanogpt_memory_and_time(const json_t *options, json_t **result, spak_error *err) {
    static const dev_member members[] = {
        {"preset", JSON_STRING, 0, 0, false},     {"model", JSON_OBJECT, 0, 0, false},
        {"batch", JSON_INTEGER, 1, 4096, false},  {"len", JSON_INTEGER, 1, 65536, false},
        {"passes", JSON_INTEGER, 1, 1000, false}, {"threads", JSON_INTEGER, 1, 256, false},
    };
    large l;
    *result = NULL;
    if (!dev_members_check("nanogpt", "options", options, members, MEMBERS(members), err)) return false;
    const bool good = open_large(options, &l, err) && measure_large(&l, result, err);
    nn_model_free(l.model);
    spak_free(l.tokens);
    return good;
}
