/* The parameters: names, shapes, where they lie, how they begin.
 *
 * One walk visits them in their order, the one in which nanoGPT's modules list theirs. It counts, fills a list or notes
 * where each lies, so that these cannot disagree. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "nn/model.h"

typedef struct walk {
    nn_param *list; /* NULL: only counts */
    size_t count, numbers;
    bool overflow;
} walk;

SPAK_PRINTF(5, 6)
static size_t visit(walk *w, int init, size_t rows, size_t cols, const char *name, ...) {
    size_t numbers, at = w->numbers;
    w->overflow = w->overflow || __builtin_mul_overflow(rows, cols, &numbers) ||
                  __builtin_add_overflow(w->numbers, numbers, &w->numbers) || w->numbers > SIZE_MAX / 64;
    if (w->list) {
        nn_param *p = &w->list[w->count];
        *p = (nn_param){.rows = rows, .cols = cols, .at = at};
        p->matrix = init == NN_INIT_NORMAL || init == NN_INIT_RESIDUAL;
        p->init = init;
        va_list ap;
        va_start(ap, name);
        vsnprintf(p->name, sizeof p->name, name, ap);
        va_end(ap);
    }
    w->count++;
    return at;
}

static void visit_norm(walk *w, const nn_config *c, const char *name, size_t *gain, size_t *bias) {
    bool has_bias = c->norm_gain && c->norm == NN_LAYERNORM && c->bias;
    *gain = c->norm_gain ? visit(w, NN_INIT_ONES, 1, c->width, "%s.weight", name) : NN_ABSENT;
    *bias = has_bias ? visit(w, NN_INIT_ZEROS, 1, c->width, "%s.bias", name) : NN_ABSENT;
}

static void visit_linear(walk *w, const nn_config *c, int init, size_t in, size_t out, const char *name, size_t *weight,
                         size_t *bias) {
    *weight = visit(w, init, out, in, "%s.weight", name);
    *bias = c->bias ? visit(w, NN_INIT_ZEROS, 1, out, "%s.bias", name) : NN_ABSENT;
}

static void visit_block(walk *w, const nn_config *c, size_t layer, nn_block_slots *b) {
    char name[48];
#define NAMED(part) (snprintf(name, sizeof name, "transformer.h.%zu." part, layer), name)
    visit_norm(w, c, NAMED("ln_1"), &b->norm1, &b->norm1_bias);
    visit_linear(w, c, NN_INIT_NORMAL, c->width, nn_qkv_width(c), NAMED("attn.c_attn"), &b->qkv, &b->qkv_bias);
    visit_linear(w, c, NN_INIT_RESIDUAL, c->width, c->width, NAMED("attn.c_proj"), &b->proj, &b->proj_bias);
    visit_norm(w, c, NAMED("ln_2"), &b->norm2, &b->norm2_bias);
    visit_linear(w, c, NN_INIT_NORMAL, c->width, nn_up_width(c), NAMED("mlp.c_fc"), &b->up, &b->up_bias);
    visit_linear(w, c, NN_INIT_RESIDUAL, c->hidden, c->width, NAMED("mlp.c_proj"), &b->down, &b->down_bias);
#undef NAMED
}

static void visit_all(walk *w, const nn_config *c, nn_slots *s, nn_block_slots *blocks) {
    nn_block_slots none;
    s->position = s->kind = s->norm = s->norm_bias = NN_ABSENT;
    s->token = visit(w, NN_INIT_NORMAL, c->vocab, c->width, "transformer.wte.weight");
    if (nn_uses_table(c)) s->position = visit(w, NN_INIT_NORMAL, c->context, c->width, "transformer.wpe.weight");
    if (c->kinds) s->kind = visit(w, NN_INIT_NORMAL, c->kinds, c->width, "transformer.wke.weight");
    for (size_t i = 0; i < c->layers; i++) visit_block(w, c, i, blocks ? &blocks[i] : &none);
    if (c->final_norm) visit_norm(w, c, "transformer.ln_f", &s->norm, &s->norm_bias);
    s->head = c->tied ? s->token : visit(w, NN_INIT_NORMAL, c->vocab, c->width, "lm_head.weight");
}

bool nn_params_build(const nn_config *c, nn_param *list, nn_slots *slots, nn_block_slots *blocks, size_t *numbers,
                     spak_error *err) {
    walk w = {.list = list};
    nn_slots ignored;
    visit_all(&w, c, slots ? slots : &ignored, blocks);
    *numbers = w.numbers;
    if (!w.overflow) return true;
    return spak_fail(err,
                     "a model of vocab %zu, context %zu, width %zu, hidden %zu and %zu layers has more parameters "
                     "than memory has addresses",
                     c->vocab, c->context, c->width, c->hidden, c->layers);
}

size_t nn_params_count(const nn_config *c) {
    walk w = {0};
    nn_slots ignored;
    visit_all(&w, c, &ignored, NULL);
    return w.count;
}

bool nn_params_list(const nn_config *config, nn_param **list, size_t *count, size_t *numbers, spak_error *err) {
    if (!nn_config_check(config, err)) return false;
    *count = nn_params_count(config);
    *list = spak_calloc(*count, sizeof **list);
    return *list ? nn_params_build(config, *list, NULL, NULL, numbers, err) : spak_fail_oom(err);
}

/* In pieces that fit on the stack: a table of GPT-2's is 150 MB. */
static void init_param(nn_model *m, const nn_param *p, uint64_t seed, uint64_t stream) {
    enum { PIECE = 2048 };
    float piece[PIECE];
    const nn_config *c = &m->config;
    float sigma = c->init_sigma;
    if (p->init == NN_INIT_RESIDUAL && c->init_residual_scaled)
        sigma /= sqrtf(2.0f * (float)c->layers * (float)c->loops);
    size_t n = p->rows * p->cols;
    for (size_t from = 0; from < n; from += PIECE) {
        size_t len = n - from < PIECE ? n - from : PIECE;
        for (size_t i = 0; i < len; i++) piece[i] = p->init == NN_INIT_ONES ? 1.0f : 0.0f;
        for (size_t i = 0; p->matrix && i < len; i += 4) {
            float four[4];
            spak_philox_normals(seed, stream, (from + i) / 4, four);
            for (size_t j = 0; j < 4 && i + j < len; j++) piece[i + j] = sigma * four[j];
        }
        m->ops->put_f32(m->ctx, nn_value(m, p->at + from), piece, len);
    }
}

void nn_model_init(nn_model *model, uint64_t seed) {
    for (size_t i = 0; i < model->num_params; i++) init_param(model, &model->params[i], seed, i);
}
