/* A model by its definition, for the tests: the whole sequence anew in each loop, no cache, one array after the other,
 * frozen rows held. It knows every member of a configuration but dropout. */
#ifndef SPAK_TESTS_REFERENCE_H
#define SPAK_TESTS_REFERENCE_H

#include "model_test.h"

enum { MOST_WIDTH = 24, MOST_LOOPS = 8, OF_MODEL = 999 };
static const nn_ops *const ops = &nn_oracle;
static nn_ctx *ref; /* the test opens it with open_reference() */
static bool plant;  /* frozen rows' keys without x0 */

__attribute__((unused)) static void open_reference(void) {
    const nn_limits limits = {.threads = 1, .num_attentions = 1, .attentions = &(nn_attention){.kv_len = TEST_LEN}};
    spak_error err;
    if (!ops->open(&limits, &ref, &err)) exit(1);
}

/* The values of "transformer.h.LAYER.part" or of "part"; NULL where the model has none. Good for sixteen calls. */
static void *param(const nn_model *m, size_t layer, const char *part) {
    static double value[16][TEST_VOCAB * MOST_WIDTH * 2];
    static size_t next;
    char name[64];
    size_t count, numbers;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    snprintf(name, sizeof name, "transformer.h.%zu.%s", layer, part);
    double *to = value[next++ % 16];
    for (size_t i = 0; i < count; i++) {
        if (strcmp(p[i].name, layer == OF_MODEL ? part : name) != 0) continue;
        nn_model_get(m, NN_VALUES, p[i].at, p[i].rows * p[i].cols, to);
        return to;
    }
    return NULL;
}

typedef struct sequence { /* of TEST_LEN tokens */
    const int32_t *tokens, *index, *kinds, *segments;
} sequence;

static const int32_t PLACES[TEST_LEN] = {0, 1, 2, 3, 4};

static void reference_attention(const nn_config *c, const sequence *q, double *o, double *qkv) {
    size_t w = c->width, d = w / c->heads, kv = d * c->kv_heads, all = w + 2 * kv;
    double lse[TEST_LEN * 4];
    if (c->positions == NN_POS_ROPE || c->positions == NN_POS_ROPE_INDEX)
        ops->rope(ref, c->rope_pairing, qkv, c->positions == NN_POS_ROPE ? PLACES : q->index, TEST_LEN,
                  c->heads + c->kv_heads, d, all, c->rope_base, false);
    nn_attention a = {.batch = 1, .q_len = TEST_LEN, .kv_len = TEST_LEN, .heads = c->heads, .kv_heads = c->kv_heads};
    a.head_dim = d, a.causal = c->causal, a.q_index = a.kv_index = q->index, a.window = c->window, a.slope = c->slope;
    if (c->segments) a.q_segment = a.kv_segment = q->segments;
    ops->attention(ref, &a, (nn_heads){o, TEST_LEN, w}, lse, (nn_heads){qkv, TEST_LEN, all},
                   (nn_heads){qkv + w, TEST_LEN, all}, (nn_heads){qkv + w + kv, TEST_LEN, all});
}

/* s (len, width) -> s after one layer, for the rows that think. */
static void reference_layer(const nn_model *m, size_t layer, const sequence *q, double *s, const bool *frozen) {
    static double n[TEST_LEN * MOST_WIDTH], p[TEST_LEN * 3 * MOST_WIDTH], o[TEST_LEN * MOST_WIDTH],
        y[TEST_LEN * MOST_WIDTH], u[TEST_LEN * 2 * MOST_WIDTH], a[TEST_LEN * MOST_WIDTH], stat[2 * TEST_LEN];
    const nn_config *c = nn_model_config(m);
    size_t w = c->width, len = TEST_LEN, up = c->act == NN_SWIGLU ? 2 * c->hidden : c->hidden;
#define LINEAR(out, in, part, n_in, n_out) \
    ops->linear(ref, out, in, param(m, layer, part ".weight"), param(m, layer, part ".bias"), len, n_in, n_out)
#define NORM(out, in, part)                                                                                        \
    ops->norm(ref, c->norm, out, stat, in, param(m, layer, part ".weight"), param(m, layer, part ".bias"), len, w, \
              c->norm_eps)
    NORM(n, s, "ln_1");
    LINEAR(p, n, "attn.c_attn", w, w + 2 * (w / c->heads * c->kv_heads));
    reference_attention(c, q, o, p);
    LINEAR(y, o, "attn.c_proj", w, w);
    ops->add(ref, y, y, s, len * w);
    NORM(n, y, "ln_2");
    LINEAR(u, n, "mlp.c_fc", w, up);
    ops->act(ref, c->act, a, u, len, c->hidden);
    LINEAR(n, a, "mlp.c_proj", c->hidden, w);
#undef LINEAR
#undef NORM
    for (size_t i = 0; i < len * w; i++)
        if (!frozen[i / w]) s[i] = y[i] + n[i];
}

static void reference_logits(const nn_model *m, const double *x, double *logits) {
    const nn_config *c = nn_model_config(m);
    double y[TEST_LEN * MOST_WIDTH], stat[2 * TEST_LEN];
    memcpy(y, x, TEST_LEN * c->width * sizeof *y);
    if (c->final_norm)
        ops->norm(ref, c->norm, y, stat, x, param(m, OF_MODEL, "transformer.ln_f.weight"),
                  param(m, OF_MODEL, "transformer.ln_f.bias"), TEST_LEN, c->width, c->norm_eps);
    ops->linear(ref, logits, y, param(m, OF_MODEL, c->tied ? "transformer.wte.weight" : "lm_head.weight"), NULL,
                TEST_LEN, c->width, c->vocab);
}

static void reference_embedding(const nn_model *m, const sequence *q, double *x) {
    const nn_config *c = nn_model_config(m);
    const int32_t *at = c->positions == NN_POS_LEARNED ? PLACES : q->index;
    ops->embed(ref, x, q->tokens, param(m, OF_MODEL, "transformer.wte.weight"), TEST_LEN, c->width, false);
    if (c->positions == NN_POS_LEARNED || c->positions == NN_POS_LEARNED_INDEX)
        ops->embed(ref, x, at, param(m, OF_MODEL, "transformer.wpe.weight"), TEST_LEN, c->width, true);
    if (c->kinds) ops->embed(ref, x, q->kinds, param(m, OF_MODEL, "transformer.wke.weight"), TEST_LEN, c->width, true);
}

/* Freezes the rows that are sure after loops_done loops. */
static void reference_halt(const nn_halting *h, const sequence *q, const double *logits, size_t vocab,
                           size_t loops_done, bool *frozen, int32_t *spent) {
    bool thinks = false;
    for (size_t t = 0; t < TEST_LEN; t++) {
        int32_t best;
        double top;
        thinks = thinks || q->tokens[t] == h->thinking_from;
        ops->argmax(ref, &best, &top, logits + t * vocab, 1, vocab);
        if (frozen[t] || (float)top < (thinks ? h->thinking_threshold : h->threshold)) continue;
        frozen[t] = true;
        spent[t] = (int32_t)loops_done;
    }
}

/* logits[loop] (len, vocab) after each loop; spent (len), and frozen rows as h says; h NULL: none. */
__attribute__((unused)) static void reference(const nn_model *m, const sequence *q, size_t loops, const nn_halting *h,
                                              double logits[][TEST_LEN * TEST_VOCAB], int32_t *spent) {
    const nn_config *c = nn_model_config(m);
    size_t w = c->width, n = TEST_LEN * w;
    double x[TEST_LEN * MOST_WIDTH], x0[TEST_LEN * MOST_WIDTH], s[TEST_LEN * MOST_WIDTH], stat[2 * TEST_LEN];
    bool frozen[TEST_LEN] = {0};
    reference_embedding(m, q, x);
    memcpy(x0, x, sizeof x);
    for (size_t t = 0; t < TEST_LEN; t++) spent[t] = (int32_t)loops;
    for (size_t loop = 0; loop < loops; loop++) {
        for (size_t i = 0; i < n; i++) s[i] = x[i] + (c->inject && loop && !(plant && frozen[i / w]) ? x0[i] : 0);
        if (c->normalise_state) ops->norm(ref, NN_RMSNORM, s, stat, s, NULL, NULL, TEST_LEN, w, c->norm_eps);
        for (size_t layer = 0; layer < c->layers; layer++) reference_layer(m, layer, q, s, frozen);
        for (size_t i = 0; i < n; i++)
            if (!frozen[i / w]) x[i] = s[i];
        reference_logits(m, x, logits[loop]);
        if (h && loop + 1 < loops) reference_halt(h, q, logits[loop], c->vocab, loop + 1, frozen, spent);
    }
}

#endif
