/* The shape of a model, as a table of its members.
 *
 * One row a member: its name in JSON, its type, where it lies in nn_config, and for an enum the words for its values.
 * Reading, writing and the messages all go over that table, so that a member cannot be read and not written. What the
 * types do not say (heads divide the width, and so on) is in nn_config_check, one line a condition. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/model.h"

typedef enum member_type { SIZE, INT, BOOL, FLOAT, WORD } member_type;

typedef struct member {
    const char *name;
    member_type type;
    size_t at;
    const char *const *words; /* of an enum, in the order of its values, NULL at the end */
} member;

static const char *const NORMS[] = {"layernorm", "rmsnorm", NULL};
static const char *const ACTS[] = {"gelu_erf", "gelu_tanh", "relu", "silu", "swiglu", NULL};
static const char *const POSITIONS[] = {"none", "learned", "learned_index", "rope", "rope_index", NULL};
static const char *const PAIRINGS[] = {"halves", "neighbours", NULL};
static const char *const SUPERVISIONS[] = {"last", "second_half", NULL};

#define MEMBER(name, type, words) \
    { #name, type, offsetof(nn_config, name), words }
static const member MEMBERS[] = {
    MEMBER(vocab, SIZE, NULL),
    MEMBER(context, SIZE, NULL),
    MEMBER(layers, SIZE, NULL),
    MEMBER(loops, SIZE, NULL),
    MEMBER(heads, SIZE, NULL),
    MEMBER(kv_heads, SIZE, NULL),
    MEMBER(width, SIZE, NULL),
    MEMBER(hidden, SIZE, NULL),
    MEMBER(norm, WORD, NORMS),
    MEMBER(norm_gain, BOOL, NULL),
    MEMBER(bias, BOOL, NULL),
    MEMBER(act, WORD, ACTS),
    MEMBER(positions, WORD, POSITIONS),
    MEMBER(rope_pairing, WORD, PAIRINGS),
    MEMBER(rope_base, FLOAT, NULL),
    MEMBER(kinds, SIZE, NULL),
    MEMBER(tied, BOOL, NULL),
    MEMBER(final_norm, BOOL, NULL),
    MEMBER(inject, BOOL, NULL),
    MEMBER(normalise_state, BOOL, NULL),
    MEMBER(causal, BOOL, NULL),
    MEMBER(window, INT, NULL),
    MEMBER(slope, FLOAT, NULL),
    MEMBER(segments, BOOL, NULL),
    MEMBER(dropout, FLOAT, NULL),
    MEMBER(norm_eps, FLOAT, NULL),
    MEMBER(init_sigma, FLOAT, NULL),
    MEMBER(init_residual_scaled, BOOL, NULL),
    MEMBER(label_smoothing, FLOAT, NULL),
    MEMBER(supervision, WORD, SUPERVISIONS),
};
enum { NUM_MEMBERS = sizeof MEMBERS / sizeof *MEMBERS };

/* --- presets --- */

typedef struct preset {
    const char *name;
    size_t vocab, context, layers, loops, heads, width;
    bool bias;
    nn_positions positions;
    float dropout;
} preset;

/* GPT-2 as OpenAI's four sizes; "nanogpt-cpu" and "shakespeare-char" as nanoGPT's README and configuration train them,
 * on 65 characters and without bias. looplm-12 is one block, twelve times; its data set says how large the vocabulary
 * is (14 characters of addition: ten digits, '+', '=', end of line, blank). */
static const preset PRESETS[] = {
    {"gpt2", 50257, 1024, 12, 1, 12, 768, true, NN_POS_LEARNED, 0},
    {"gpt2-medium", 50257, 1024, 24, 1, 16, 1024, true, NN_POS_LEARNED, 0},
    {"gpt2-large", 50257, 1024, 36, 1, 20, 1280, true, NN_POS_LEARNED, 0},
    {"gpt2-xl", 50257, 1024, 48, 1, 25, 1600, true, NN_POS_LEARNED, 0},
    {"nanogpt-cpu", 65, 64, 4, 1, 4, 128, false, NN_POS_LEARNED, 0},
    {"shakespeare-char", 65, 256, 6, 1, 6, 384, false, NN_POS_LEARNED, 0.2f},
    {"looplm-12", 14, 64, 1, 12, 4, 256, false, NN_POS_ROPE, 0},
};
enum { NUM_PRESETS = sizeof PRESETS / sizeof *PRESETS };

bool nn_config_preset(const char *name, nn_config *config, spak_error *err) {
    spak_str known = {0};
    for (size_t i = 0; i < NUM_PRESETS; i++) {
        const preset *p = &PRESETS[i];
        spak_str_printf(&known, "%s%s", i ? ", " : "", p->name);
        if (strcmp(name, p->name) != 0) continue;
        spak_str_free(&known);
        *config = (nn_config){.vocab = p->vocab,
                              .context = p->context,
                              .layers = p->layers,
                              .loops = p->loops,
                              .heads = p->heads,
                              .kv_heads = p->heads,
                              .width = p->width,
                              .hidden = 4 * p->width,
                              .norm_gain = true,
                              .bias = p->bias,
                              .positions = p->positions,
                              .rope_base = 10000,
                              .tied = true,
                              .final_norm = true,
                              .causal = true,
                              .window = -1,
                              .dropout = p->dropout,
                              .norm_eps = 1e-5f,
                              .init_sigma = 0.02f,
                              .init_residual_scaled = true};
        return true;
    }
    if (spak_str_ok(&known, err)) spak_fail(err, "no preset \"%s\"; there are %s", name, known.data);
    spak_str_free(&known);
    return false;
}

/* --- reading --- */

static bool wrong_type(const member *m, const json_t *value, const char *wanted, spak_error *err) {
    spak_str found = {0};
    if (spak_json_canonical(value, &found, err) && spak_str_ok(&found, err))
        spak_fail(err, "member \"%s\": %s expected, found %.80s", m->name, wanted, found.data);
    spak_str_free(&found);
    return false;
}

/* A whole number, also one that is written as 12.0: Lua's division gives such. */
static bool whole(const json_t *value, double least, double most, double *number) {
    if (!json_is_number(value)) return false;
    *number = json_number_value(value);
    return *number == floor(*number) && *number >= least && *number <= most;
}

static bool read_word(const member *m, const json_t *value, void *at, spak_error *err) {
    const char *word = json_string_value(value);
    for (int i = 0; word && m->words[i]; i++) {
        if (strcmp(word, m->words[i]) != 0) continue;
        memcpy(at, &i, sizeof i); /* an enum without negative values lies in memory as an int does */
        return true;
    }
    spak_str wanted = {0};
    for (int i = 0; m->words[i]; i++) spak_str_printf(&wanted, "%s\"%s\"", i ? ", " : "one of ", m->words[i]);
    if (spak_str_ok(&wanted, err)) wrong_type(m, value, wanted.data, err);
    spak_str_free(&wanted);
    return false;
}
_Static_assert(sizeof(nn_norm_kind) == sizeof(int) && sizeof(nn_positions) == sizeof(int), "enums are read as int");

static bool read_member(const member *m, const json_t *value, nn_config *config, spak_error *err) {
    void *at = (char *)config + m->at;
    double number;
    switch (m->type) {
        case SIZE:
            if (!whole(value, 0, INT32_MAX, &number))
                return wrong_type(m, value, "a whole number, not negative, below 2^31", err);
            *(size_t *)at = (size_t)number;
            return true;
        case INT:
            if (!whole(value, -1, INT32_MAX, &number)) return wrong_type(m, value, "a whole number from -1 on", err);
            *(int *)at = (int)number;
            return true;
        case BOOL:
            if (!json_is_boolean(value)) return wrong_type(m, value, "true or false", err);
            *(bool *)at = json_is_true(value);
            return true;
        case FLOAT:
            if (!json_is_number(value)) return wrong_type(m, value, "a number", err);
            *(float *)at = (float)json_number_value(value);
            return true;
        case WORD: return read_word(m, value, at, err);
    }
    return false;
}

static const member *find_member(const char *name) {
    for (size_t i = 0; i < NUM_MEMBERS; i++)
        if (strcmp(MEMBERS[i].name, name) == 0) return &MEMBERS[i];
    return NULL;
}

bool nn_config_read(const json_t *json, nn_config *config, spak_error *err) {
    if (!json_is_object(json)) return spak_fail(err, "the configuration of a model is not an object");
    nn_config read = *config;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        const member *m = find_member(key);
        if (!m) return spak_fail(err, "member \"%s\": a model has none of that name", key);
        if (!read_member(m, value, &read, err)) return false;
    }
    if (json_object_get(json, "width") && !json_object_get(json, "hidden")) read.hidden = 4 * read.width;
    if (json_object_get(json, "heads") && !json_object_get(json, "kv_heads")) read.kv_heads = read.heads;
    if (!nn_config_check(&read, err)) return false;
    *config = read;
    return true;
}

/* --- writing --- */

/* The double whose text is the shortest that reads back as this float: 0.1f is written as 0.1. */
static double short_double(float x) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return strtod(text, NULL);
}

static json_t *member_json(const member *m, const nn_config *config) {
    const void *at = (const char *)config + m->at;
    switch (m->type) {
        case SIZE: return json_integer((json_int_t) * (const size_t *)at);
        case INT: return json_integer(*(const int *)at);
        case BOOL: return json_boolean(*(const bool *)at);
        case FLOAT: return json_real(short_double(*(const float *)at));
        case WORD: return json_string(m->words[*(const int *)at]);
    }
    return NULL;
}

json_t *nn_config_json(const nn_config *config) {
    json_t *json = json_object();
    for (size_t i = 0; json && i < NUM_MEMBERS; i++) {
        if (spak_json_set(json, MEMBERS[i].name, member_json(&MEMBERS[i], config), NULL)) continue;
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* --- what cannot be --- */

static bool check_types(const nn_config *c, spak_error *err) {
    for (size_t i = 0; i < NUM_MEMBERS; i++) {
        const member *m = &MEMBERS[i];
        const void *at = (const char *)c + m->at;
        if (m->type == SIZE && *(const size_t *)at > INT32_MAX)
            return spak_fail(err, "member \"%s\": %zu is 2^31 or more", m->name, *(const size_t *)at);
        if (m->type == FLOAT && !isfinite(*(const float *)at))
            return spak_fail(err, "member \"%s\": %g is no finite number", m->name, (double)*(const float *)at);
        if (m->type != WORD) continue;
        int value = *(const int *)at, count = 0;
        while (m->words[count]) count++;
        if (value < 0 || value >= count)
            return spak_fail(err, "member \"%s\": there is no value number %d", m->name, value);
    }
    return true;
}

static bool check_ranges(const nn_config *c, spak_error *err) {
    if (!(c->dropout >= 0 && c->dropout < 1))
        return spak_fail(err, "member \"dropout\": %g is not in [0, 1)", (double)c->dropout);
    if (!(c->label_smoothing >= 0 && c->label_smoothing < 1))
        return spak_fail(err, "member \"label_smoothing\": %g is not in [0, 1)", (double)c->label_smoothing);
    if (!(c->norm_eps > 0)) return spak_fail(err, "member \"norm_eps\": %g is not above 0", (double)c->norm_eps);
    if (!(c->init_sigma >= 0)) return spak_fail(err, "member \"init_sigma\": %g is negative", (double)c->init_sigma);
    if (!(c->slope >= 0)) return spak_fail(err, "member \"slope\": %g is negative", (double)c->slope);
    if (!(c->rope_base > 0)) return spak_fail(err, "member \"rope_base\": %g is not above 0", (double)c->rope_base);
    return true;
}

bool nn_config_check(const nn_config *c, spak_error *err) {
    static const char *const at_least_one[] = {"vocab", "context",  "layers", "loops",
                                               "heads", "kv_heads", "width",  "hidden"};
    if (!check_types(c, err) || !check_ranges(c, err)) return false;
    for (size_t i = 0; i < sizeof at_least_one / sizeof *at_least_one; i++)
        if (*(const size_t *)((const char *)c + find_member(at_least_one[i])->at) == 0)
            return spak_fail(err, "member \"%s\": must be 1 or more", at_least_one[i]);
    if (c->width % c->heads)
        return spak_fail(err, "member \"heads\": %zu do not divide the width %zu", c->heads, c->width);
    if (c->heads % c->kv_heads)
        return spak_fail(err, "member \"kv_heads\": %zu do not divide the %zu heads", c->kv_heads, c->heads);
    if (nn_uses_rope(c) && c->width / c->heads % 2)
        return spak_fail(err,
                         "member \"positions\": rotary positions turn pairs, and heads of %zu numbers (width %zu "
                         "over %zu heads) are odd",
                         c->width / c->heads, c->width, c->heads);
    if (c->loops > NN_MOST_PASSES / c->layers)
        return spak_fail(err, "member \"loops\": %zu loops of %zu layers are more than %d passes", c->loops, c->layers,
                         NN_MOST_PASSES);
    size_t numbers;
    return nn_params_build(c, NULL, NULL, NULL, &numbers, err);
}

/* --- what it costs --- */

double nn_forward_flops(const nn_config *c, size_t rows, size_t kv_len, size_t loops) {
    double width = (double)c->width, hidden = (double)c->hidden, up = (double)nn_up_width(c);
    double pass = width * (double)nn_qkv_width(c) + width * width + width * up + hidden * width;
    pass += 2 * width * (double)kv_len;
    double passes = (double)(loops ? loops : c->loops) * (double)c->layers;
    return 2 * (double)rows * (passes * pass + width * (double)c->vocab);
}
