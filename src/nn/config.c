/* The shape of a model, as a table of its members. What that does not say (heads divide the width, and so on) is in
 * nn_config_check, one line a condition. */
#include <math.h>
#include <string.h>

#include "nn/members.h"
#include "nn/model.h"

static const char *const NORMS[] = {"layernorm", "rmsnorm", NULL};
static const char *const ACTS[] = {"gelu_erf", "gelu_tanh", "relu", "silu", "swiglu", NULL};
static const char *const POSITIONS[] = {"none", "learned", "learned_index", "rope", "rope_index", NULL};
static const char *const PAIRINGS[] = {"halves", "neighbours", NULL};
static const char *const SUPERVISIONS[] = {"last", "second_half", NULL};

#define MEMBER(name, type, least, most, words) \
    { #name, NN_##type, offsetof(nn_config, name), least, most, words }
#define SIZE(name)        MEMBER(name, SIZE, 0, INT32_MAX, NULL)
#define FLAG(name)        MEMBER(name, FLAG, 0, 0, NULL)
#define FLOAT(name)       MEMBER(name, FLOAT, -INFINITY, INFINITY, NULL)
#define WORD(name, words) MEMBER(name, WORD, 0, 0, words)
static const nn_member MEMBERS[] = {
    SIZE(vocab),
    SIZE(context),
    SIZE(layers),
    SIZE(loops),
    SIZE(heads),
    SIZE(kv_heads),
    SIZE(width),
    SIZE(hidden),
    WORD(norm, NORMS),
    FLAG(norm_gain),
    FLAG(bias),
    WORD(act, ACTS),
    WORD(positions, POSITIONS),
    WORD(rope_pairing, PAIRINGS),
    FLOAT(rope_base),
    SIZE(kinds),
    FLAG(tied),
    FLAG(final_norm),
    FLAG(inject),
    FLAG(normalise_state),
    FLAG(causal),
    MEMBER(window, INT, -1, INT32_MAX, NULL),
    FLOAT(slope),
    FLAG(segments),
    FLOAT(dropout),
    FLOAT(norm_eps),
    FLOAT(init_sigma),
    FLAG(init_residual_scaled),
    FLOAT(label_smoothing),
    WORD(supervision, SUPERVISIONS),
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

_Static_assert(sizeof(nn_norm_kind) == sizeof(int) && sizeof(nn_positions) == sizeof(int), "enums are read as int");

bool nn_config_read(const json_t *json, nn_config *config, spak_error *err) {
    if (!json_is_object(json)) return spak_fail(err, "the configuration of a model is not an object");
    nn_config read = *config;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        const nn_member *m = nn_member_find(MEMBERS, NUM_MEMBERS, key);
        if (!m) return spak_fail(err, "member \"%s\": a model has none of that name", key);
        if (!nn_member_read(m, value, &read, err)) return spak_fail_context(err, "member \"%s\"", key);
    }
    if (json_object_get(json, "width") && !json_object_get(json, "hidden")) read.hidden = 4 * read.width;
    if (json_object_get(json, "heads") && !json_object_get(json, "kv_heads")) read.kv_heads = read.heads;
    if (!nn_config_check(&read, err)) return false;
    *config = read;
    return true;
}

json_t *nn_config_json(const nn_config *config) { return nn_members_json(MEMBERS, NUM_MEMBERS, config); }

/* --- what cannot be --- */

static bool check_types(const nn_config *c, spak_error *err) {
    for (size_t i = 0; i < NUM_MEMBERS; i++) {
        const nn_member *m = &MEMBERS[i];
        const void *at = (const char *)c + m->at;
        if (m->type == NN_SIZE && *(const size_t *)at > INT32_MAX)
            return spak_fail(err, "member \"%s\": %zu is 2^31 or more", m->name, *(const size_t *)at);
        if (m->type == NN_FLOAT && !isfinite(*(const float *)at))
            return spak_fail(err, "member \"%s\": %g is no finite number", m->name, (double)*(const float *)at);
        if (m->type != NN_WORD) continue;
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
        if (*(const size_t *)((const char *)c + nn_member_find(MEMBERS, NUM_MEMBERS, at_least_one[i])->at) == 0)
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
