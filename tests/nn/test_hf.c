/* GPT-2 in and out of safetensors: every naming and layout gives the same values; what is no such model is refused. */
#include "base/rng.h"
#include "files.h"
#include "nn/hf.h"
#include "nn/nn.h"
#include "nn/safetensors.h"

static nn_config small(bool bias) {
    nn_config c;
    spak_error err;
    nn_config_preset("gpt2", &c, &err);
    c.vocab = 11, c.context = 7, c.layers = 2, c.heads = c.kv_heads = 2, c.width = 6, c.hidden = 20, c.bias = bias;
    return c;
}

static nn_model *make(const nn_config *c) {
    spak_error err = {0};
    nn_model *model = NULL;
    if (!nn_model_new(c, &nn_oracle, 1, 1, 7, 0, false, &model, &err)) ok(false, "a model: %s", err.message);
    return model;
}

/* Value number i of the arena: a float that is different everywhere. */
static float value(size_t i) { return spak_philox_uniform(3, 0, i) - 0.5f; }

static nn_model *make_filled(const nn_config *c) {
    nn_model *model = make(c);
    size_t count, numbers;
    nn_model_params(model, &count, &numbers);
    for (size_t i = 0; i < numbers; i++) nn_model_put_f32(model, NN_VALUES, i, 1, (float[]){value(i)});
    return model;
}

static size_t wrong_values(const nn_model *model) {
    size_t count, numbers, wrong = 0;
    nn_model_params(model, &count, &numbers);
    for (size_t i = 0; i < numbers; i++) {
        double x;
        nn_model_get(model, NN_VALUES, i, 1, &x);
        wrong += x != (double)value(i);
    }
    return wrong + (numbers == 0);
}

/* A file as others write it. */
typedef struct style {
    const char *lead, *head_lead;
    bool conv1d, head, buffers, metadata;
    const char *without; /* this tensor is left out */
    const char *extra;   /* and this one added */
    const char *bent;    /* this one gets a row more */
    const char *nan;     /* the last number of this one is none */
} style;

typedef struct listing {
    nn_tensor tensors[200];
    char names[200][128];
    const nn_param *params[200]; /* NULL: zeros */
    size_t count;
} listing;

static void add(listing *l, const char *name, const nn_param *p, bool turned, bool bent) {
    nn_tensor *t = &l->tensors[l->count];
    snprintf(l->names[l->count], sizeof l->names[0], "%s", name);
    *t = (nn_tensor){.name = l->names[l->count], .dtype = NN_F32, .rank = 1, .shape = {p ? p->cols : 4}};
    if (p && p->matrix) {
        t->rank = 2;
        t->shape[0] = turned ? p->cols : p->rows;
        t->shape[1] = turned ? p->rows : p->cols;
    }
    t->shape[0] += bent;
    l->params[l->count++] = bent ? NULL : p;
}

static bool linear(const char *name) {
    return (strstr(name, ".attn.") || strstr(name, ".mlp.")) && spak_ends_with(name, ".weight");
}

static void list(const nn_model *model, const style *s, listing *l) {
    char name[128];
    size_t count, numbers;
    const nn_param *p = nn_model_params(model, &count, &numbers);
    l->count = 0;
    for (size_t i = 0; i < count; i++) {
        bool trunk = spak_starts_with(p[i].name, "transformer.");
        snprintf(name, sizeof name, "%s%s", trunk ? s->lead : s->head_lead, p[i].name + (trunk ? 12 : 0));
        if (s->without && !strcmp(name, s->without)) continue;
        add(l, name, &p[i], s->conv1d && linear(name), s->bent && !strcmp(name, s->bent));
    }
    snprintf(name, sizeof name, "%slm_head.weight", s->head_lead);
    if (s->head) add(l, name, &p[0], false, false);
    for (int i = 0; s->buffers && i < 2; i++) {
        snprintf(name, sizeof name, "%sh.%d.attn.bias", s->lead, i);
        add(l, name, NULL, false, false);
        snprintf(name, sizeof name, "%sh.%d.attn.masked_bias", s->lead, i);
        add(l, name, NULL, false, false);
    }
    if (s->extra) add(l, s->extra, NULL, false, false);
}

static void put_tensor(nn_safetensors_writer *out, const nn_tensor *t, const nn_param *p, bool turned, bool nan) {
    size_t count = t->rank == 2 ? t->shape[0] * t->shape[1] : t->shape[0];
    for (size_t j = 0; j < count; j++) {
        size_t from = p && turned ? j % p->rows * p->cols + j / p->rows : j;
        nn_safetensors_put_f64(out,
                               (double[]){nan && j == count - 1 ? NAN
                                          : p                   ? (double)value(p->at + from)
                                                                : 0},
                               1, NULL);
    }
}

static void write_style(const char *path, const nn_model *model, const style *s) {
    static listing l;
    spak_error err = {0};
    nn_safetensors_writer *out;
    list(model, s, &l);
    json_t *metadata = s->metadata ? json_pack("{s:s}", "config", "{\"n_head\": 2, \"block_size\": 7}") : NULL;
    if (!nn_safetensors_create(path, l.tensors, l.count, metadata, &out, &err)) ok(false, "%s", err.message);
    json_decref(metadata);
    for (size_t i = 0; i < l.count; i++)
        put_tensor(out, &l.tensors[i], l.params[i], s->conv1d && linear(l.tensors[i].name),
                   s->nan && !strcmp(l.tensors[i].name, s->nan));
    if (!nn_safetensors_finish(out, &err)) ok(false, "%s", err.message);
}

static const char CONFIG[] =
    "{\"model_type\": \"gpt2\", \"n_head\": 2, \"n_embd\": 6, \"n_positions\": 7, \"n_inner\": null,"
    " \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-06}";

static void test_styles(void) {
    static const struct {
        const char *name;
        style style;
        bool bias, tied;
    } cases[] = {
        {"nanoGPT", {.lead = "transformer.", .head_lead = "", .head = true, .metadata = true}, true, true},
        {"nanoGPT without bias",
         {.lead = "transformer.", .head_lead = "", .head = true, .metadata = true},
         false,
         true},
        {"nanoGPT, compiled, with masks",
         {.lead = "_orig_mod.transformer.", .head_lead = "_orig_mod.", .head = true, .buffers = true, .metadata = true},
         true,
         true},
        {"transformers", {.lead = "transformer.", .head_lead = "", .conv1d = true}, true, true},
        {"transformers, bare, with masks", {.lead = "", .head_lead = "", .conv1d = true, .buffers = true}, true, true},
        {"transformers with a tied head",
         {.lead = "transformer.", .head_lead = "", .conv1d = true, .head = true},
         true,
         true},
        {"transformers with a head of its own", {.lead = "transformer.", .head_lead = "", .conv1d = true}, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spak_error err = {0};
        nn_config c = small(cases[i].bias), found;
        c.tied = cases[i].tied;
        nn_model *model = make_filled(&c);
        const char *path = cases[i].style.metadata ? "nano.safetensors" : "hf/model.safetensors";
        write_style(path, model, &cases[i].style);
        spak_write_file("hf/config.json", CONFIG, strlen(CONFIG), &err);
        bool read = nn_hf_config(cases[i].style.metadata ? path : "hf", 0, &found, &err);
        ok(read && found.vocab == 11 && found.context == 7 && found.layers == 2 && found.heads == 2 &&
               found.kv_heads == 2 && found.width == 6 && found.hidden == 20 && found.bias == c.bias &&
               found.tied == c.tied && found.loops == 1,
           "%s: the configuration: %s", cases[i].name, err.message);
        ok(read && found.act == (cases[i].style.conv1d ? NN_GELU_TANH : NN_GELU_ERF) &&
               found.norm_eps == (cases[i].style.conv1d ? 1e-6f : 1e-5f),
           "%s: GELU and epsilon", cases[i].name);
        nn_model *loaded = make(&found);
        ok(nn_hf_import(path, loaded, &err), "%s: imported %s", cases[i].name, err.message);
        is_int(wrong_values(loaded), 0, "%s: all values", cases[i].name);
        nn_model_free(loaded);
        nn_model_free(model);
    }
}

static void refused(nn_model *model, const style *s, const char *const *words, const char *what) {
    spak_error err = {0};
    write_style("bad.safetensors", model, s);
    ok(!nn_hf_import("bad.safetensors", model, &err) && names(err.message, words), "%s: %s", what, err.message);
}
#define WORDS(...) ((const char *const[]){"bad.safetensors", __VA_ARGS__, NULL})

static void test_refused(void) {
    nn_config c = small(true);
    nn_model *model = make_filled(&c);
    style nano = {.lead = "transformer.", .head_lead = ""}, conv = {.lead = "", .head_lead = "", .conv1d = true}, s;
    s = nano, s.without = "transformer.h.1.ln_2.bias";
    refused(model, &s, WORDS("transformer.h.1.ln_2.bias", "found none"), "a missing tensor");
    s = conv, s.without = "wte.weight";
    refused(model, &s, WORDS("wte.weight", "found none"), "no embedding");
    s = nano, s.extra = "transformer.h.0.attn.rotary";
    refused(model, &s, WORDS("transformer.h.0.attn.rotary", "none of the model's"), "an extra tensor");
    s = nano, s.extra = "attn.bias";
    refused(model, &s, WORDS("`attn.bias`"), "a mask outside a block");
    s = conv, s.extra = "h.2.attn.c_attn.weight";
    refused(model, &s, WORDS("h.2.attn.c_attn.weight"), "a layer too many");
    s = nano, s.bent = "transformer.h.1.mlp.c_proj.weight";
    refused(model, &s, WORDS("h.1.mlp.c_proj.weight", "[6, 20]", "found [7, 20]"), "a wrong matrix");
    s = conv, s.bent = "h.1.mlp.c_proj.weight";
    refused(model, &s, WORDS("h.1.mlp.c_proj.weight", "[20, 6]", "found [21, 6]"), "a wrong matrix of transformers");
    s = nano, s.bent = "transformer.ln_f.weight";
    refused(model, &s, WORDS("ln_f.weight", "[6]", "found [7]"), "a wrong vector");
    s = conv, s.bent = "h.0.attn.c_attn.weight";
    refused(model, &s, WORDS("c_attn", "found [7, 18]"), "no layout fits");
    s = conv, s.nan = "h.0.attn.c_attn.weight";
    refused(model, &s, WORDS("c_attn.weight", "NaN"), "a matrix of transformers with NaN");
    s = nano, s.nan = "transformer.ln_f.weight";
    refused(model, &s, WORDS("ln_f.weight", "NaN"), "a vector with NaN");
    nn_model_free(model);
    c.tied = false;
    model = make_filled(&c);
    write_style("bad.safetensors", model, &nano);
    nn_model_free(model);
    c.tied = true;
    model = make(&c);
    spak_error err = {0};
    ok(!nn_hf_import("bad.safetensors", model, &err) && strstr(err.message, "lm_head.weight differs"),
       "another head than the model's: %s", err.message);
    nn_model_free(model);
}

static void bad_config(const char *json, const char *word) {
    spak_error err = {0};
    nn_config c;
    spak_write_file("hf/config.json", json, strlen(json), &err);
    ok(!nn_hf_config("hf", 0, &c, &err) && strstr(err.message, "hf/config.json") && strstr(err.message, word), "%s: %s",
       json, err.message);
}

static void test_config(void) {
    spak_error err = {0};
    nn_config c = small(true), found;
    nn_model *model = make_filled(&c);
    write_style("hf/model.safetensors", model, &(style){.lead = "", .head_lead = "", .conv1d = true});
    bad_config("{}", "n_head");
    bad_config("[]", "JSON object");
    bad_config("{\"n_head\": 2, \"n_embd\": 8}", "shapes say 6");
    bad_config("{\"n_head\": 2, \"n_layer\": 3}", "shapes say 2");
    bad_config("{\"n_head\": -2}", "n_head");
    bad_config("{\"n_head\": 2, \"model_type\": \"llama\"}", "llama");
    bad_config("{\"n_head\": 2, \"activation_function\": \"tanh\"}", "found tanh");
    bad_config("{\"n_head\": 2, \"scale_attn_by_inverse_layer_idx\": true}", "scale_attn_by_inverse_layer_idx");
    bad_config("{\"n_head\": 2, \"scale_attn_by_inverse_layer_idx\": 1}", "not true or false");
    bad_config("{\"n_head\": 2, \"scale_attn_weights\": false}", "scale_attn_weights");
    bad_config("{\"n_head\": 2, \"add_cross_attention\": true}", "add_cross_attention");
    bad_config("{\"n_head\": 2, \"activation_function\": 3}", "not a text");
    bad_config("{\"n_head\": 2, \"model_type\": [\"gpt2\"]}", "not a text");
    bad_config("{\"n_head\": 2, \"layer_norm_epsilon\": \"1e-5\"}", "not a number");
    bad_config("{\"n_head\": \"2\"}", "not a whole number");
    bad_config("{\"n_head\": 2, \"n_inner\": 20.5}", "not a whole number");
    bad_config("{\"n_head\": 2, \"n_inner\": 24}", "shapes say 20");
    bad_config("{\"n_head\": 2, \"tie_word_embeddings\": false}", "no lm_head.weight");
    spak_write_file("hf/config.json", "{\"n_head\": 4}", 13, &err);
    ok(!nn_hf_config("hf", 0, &found, &err) && strstr(err.message, "heads"), "heads that do not divide: %s",
       err.message);
    ok(!nn_hf_config("hf", 2, &found, &err) && strstr(err.message, "asked for"), "heads that differ: %s", err.message);
    unlink("hf/config.json");
    ok(!nn_hf_config("hf", 0, &found, &err) && strstr(err.message, "n_head"), "no description: %s", err.message);
    ok(nn_hf_config("hf", 3, &found, &err) && found.heads == 3 && found.act == NN_GELU_TANH, "the caller's heads: %s",
       err.message);
    nn_model_free(model);
    c.tied = false;
    model = make_filled(&c);
    write_style("hf/model.safetensors", model, &(style){.lead = "transformer.", .head_lead = "", .conv1d = true});
    bad_config("{\"n_head\": 2, \"tie_word_embeddings\": true}", "differs from wte.weight");
    nn_model_free(model);
}

static void test_export(void) {
    for (int kind = 0; kind < 3; kind++) {
        spak_error err = {0};
        nn_config c = small(kind != 1), found;
        c.tied = kind != 2;
        c.act = kind == 2 ? NN_RELU : NN_GELU_ERF;
        nn_model *model = make_filled(&c), *back;
        ok(nn_hf_export(model, "exported/model", &err), "exported: %s", err.message);
        ok(nn_hf_config("exported/model", 0, &found, &err) && found.bias && found.tied == c.tied &&
               found.act == c.act && found.norm_eps == c.norm_eps && found.hidden == 20,
           "its configuration, with biases: %s", err.message);
        back = make(&found);
        ok(nn_hf_import("exported/model", back, &err), "imported: %s", err.message);
        size_t n = 3, len = 5;
        double before[11], after[11];
        int32_t tokens[] = {1, 10, 4, 4, 0};
        nn_batch batch = {.batch = 1, .len = len, .tokens = tokens};
        ok(nn_forward(model, &batch, NULL, &err) && nn_forward(back, &batch, NULL, &err), "run: %s", err.message);
        nn_logits(model, n, 1, before);
        nn_logits(back, n, 1, after);
        ok(!memcmp(before, after, sizeof before), "the same logits%s", kind == 1 ? " where biases are zeros" : "");
        nn_model_free(back);
        nn_model_free(model);
    }
    spak_error err = {0};
    nn_config c = small(true);
    c.loops = 2;
    nn_model *model = make(&c);
    ok(!nn_hf_export(model, "exported/loop", &err) && strstr(err.message, "`loops`"), "no GPT-2: %s", err.message);
    nn_model_free(model);
}

int main(void) {
    enter_scratch();
    test_styles();
    test_refused();
    test_config();
    test_export();
    leave_scratch();
    return done_testing();
}
