/* Private to src/nn: what the files of a model share. nn.h is what others see. */
#ifndef SPAK_NN_MODEL_H
#define SPAK_NN_MODEL_H

#include "nn/nn.h"

enum {
    NN_MOST_PASSES = 1 << 16,   /* loops times layers: a dropout mask's stream numbers its pass */
    NN_LOGITS_BYTES = 64 << 20, /* the head works in chunks of rows whose logits take no more */
    NN_ALIGN = 64               /* bytes; of every array in an arena */
};
#define NN_ABSENT SIZE_MAX

static inline bool nn_uses_rope(const nn_config *c) {
    return c->positions == NN_POS_ROPE || c->positions == NN_POS_ROPE_INDEX;
}
static inline bool nn_uses_table(const nn_config *c) {
    return c->positions == NN_POS_LEARNED || c->positions == NN_POS_LEARNED_INDEX;
}
/* Attention looks at the tokens' indices. */
static inline bool nn_indexed(const nn_config *c) { return c->window >= 0 || c->slope > 0; }
static inline bool nn_needs_index(const nn_config *c) {
    return nn_indexed(c) || c->positions == NN_POS_LEARNED_INDEX || c->positions == NN_POS_ROPE_INDEX;
}
static inline size_t nn_head_dim(const nn_config *c) { return c->width / c->heads; }
static inline size_t nn_kv_width(const nn_config *c) { return nn_head_dim(c) * c->kv_heads; } /* of K, and of V */
static inline size_t nn_qkv_width(const nn_config *c) { return c->width + 2 * nn_kv_width(c); }
static inline size_t nn_up_width(const nn_config *c) { return c->act == NN_SWIGLU ? 2 * c->hidden : c->hidden; }
static inline size_t nn_widest(const nn_config *c) {
    return nn_qkv_width(c) > nn_up_width(c) ? nn_qkv_width(c) : nn_up_width(c);
}

/* --- parameters: where each lies in its arena, in numbers; NN_ABSENT where the model has none --- */

typedef struct nn_block_slots {
    size_t norm1, norm1_bias, qkv, qkv_bias, proj, proj_bias;
    size_t norm2, norm2_bias, up, up_bias, down, down_bias;
} nn_block_slots;

typedef struct nn_slots {
    size_t token, position, kind, norm, norm_bias, head; /* head is token when tied */
} nn_slots;

/* Walks over all parameters in their order. list, slots, blocks (one a layer) may be NULL: then only counts. */
bool nn_params_build(const nn_config *config, nn_param *list, nn_slots *slots, nn_block_slots *blocks, size_t *numbers,
                     spak_error *err);
size_t nn_params_count(const nn_config *config);

/* --- activations --- */

/* What one pass (a layer of a loop) keeps for its backward pass. rows x width unless said otherwise. */
typedef struct nn_pass {
    void *base;        /* the state before the loop; of a loop's first layer, where it injects, x0 is added */
    void *base_stat;   /* (rows, 2), where the state is normalised */
    void *in;          /* the block's input; the same array as base, or as the last pass's out, where nothing is done */
    void *n1, *stat1;  /* norm(in); (rows, 2) */
    void *qkv;         /* (rows, qkv width), after RoPE */
    void *heads, *lse; /* what attention gives; (batch, heads, len) */
    void *mid;         /* after the first residual */
    void *n2, *stat2;
    void *up, *act; /* (rows, up width), (rows, hidden) */
    void *out;
} nn_pass;

struct nn_model {
    nn_config config;
    const nn_ops *ops;
    nn_ctx *ctx;
    nn_memory memory;
    size_t most_batch, most_len, most_loops, chunk; /* chunk: rows of logits at a time */
    bool training;
    int threads;
    nn_fault fault;

    nn_param *params;
    size_t num_params, numbers;
    nn_slots slots;
    nn_block_slots *blocks;
    void *values, *grads, *moments, *arena; /* moments: numbers of the mean, then of the square */

    nn_pass *passes;                                 /* most_loops x layers */
    void *x0;                                        /* (rows, width): the embedding */
    void *final, *final_stat, *logits, *row_numbers; /* of the head: (rows, width), (rows, 2), (chunk, vocab), (rows) */
    void *dx, *dx0, *dwidth, *dheads, *dqkv, *dup, *dact;

    int32_t *positions; /* (rows) of the host, where a batch has none */
    /* Of the last forward pass. */
    nn_batch last;
    size_t loops;
};

/* n numbers further. */
static inline void *nn_at(const nn_ops *ops, const void *array, size_t n) { return (char *)array + n * ops->elem; }
static inline void *nn_value(const nn_model *m, size_t slot) {
    return slot == NN_ABSENT ? NULL : nn_at(m->ops, m->values, slot);
}
static inline void *nn_grad(const nn_model *m, size_t slot) {
    return slot == NN_ABSENT ? NULL : nn_at(m->ops, m->grads, slot);
}

/* --- laying out: the same walk measures (arena NULL) and hands out --- */

typedef struct nn_layout {
    char *arena;
    size_t elem, bytes;
    bool overflow;
} nn_layout;
void *nn_take(nn_layout *layout, size_t rows, size_t width); /* rows x width numbers, aligned */
size_t nn_chunk_rows(const nn_config *config, const nn_ops *ops, size_t rows);

/* --- parts that forward, backward and decoder share; ctx is the caller's: a decoder has its own --- */

/* norm of the block's input (second: of its middle) */
void nn_block_norm(const nn_model *m, nn_ctx *ctx, size_t layer, bool second, void *y, void *stat, const void *x,
                   size_t rows);
/* p->mid -> p->n2, p->up, p->act, p->out = down(act(up(norm(mid)))), without the residual */
void nn_mlp(const nn_model *m, nn_ctx *ctx, size_t layer, const nn_pass *p, size_t rows);
/* What the head sees of a state: y = norm(x), or x itself where there is no final norm. */
const void *nn_final(const nn_model *m, nn_ctx *ctx, void *y, void *stat, const void *x, size_t rows);
void nn_head(const nn_model *m, nn_ctx *ctx, void *logits, const void *x, size_t rows);

/* Every id in its range, or an error that names the array, the sequence and the place in it. */
bool nn_check_ids(const char *what, const int32_t *ids, size_t batch, size_t len, int64_t least, int64_t most,
                  spak_error *err);
/* What tokens, kinds and index must be for any pass. positions of a batch are not looked at. */
bool nn_check_inputs(const nn_config *c, const nn_batch *b, spak_error *err);

/* A dropout mask is element i of Philox (the batch's seed, stream). The stream is made of the step, the pass and the
 * site in the pass and nothing else: a run that goes on later, or on more threads, draws the same masks. Its highest
 * bit is set, so that no stream of the initial values is met. */
typedef enum nn_site { NN_DROP_ATTENTION, NN_DROP_PROJ, NN_DROP_MLP, NN_DROP_EMBEDDING } nn_site;
void nn_drop(const nn_model *m, void *x, size_t pass, nn_site site); /* (rows, width); nothing where there is none */
static inline uint64_t nn_dropout_stream(uint64_t step, size_t pass, nn_site site) {
    return UINT64_C(1) << 63 | step << 20 | (uint64_t)pass << 2 | (uint64_t)site;
}
bool nn_dropping(const nn_model *m);
nn_attention nn_attention_of(const nn_model *m, size_t pass);
const int32_t *nn_position_ids(const nn_model *m); /* of the last batch: for the table, or for RoPE */

/* The embeddings' and all passes' gradients, from the heads down; adds up the losses of the supervised loops. */
double nn_backward(nn_model *m, float weight);
bool nn_supervised(const nn_model *m, size_t loop); /* loop from 0 */
/* Cross-entropy after a loop, summed over the rows; with dx, its gradient times weight is added there. */
double nn_head_loss(nn_model *m, size_t loop, void *dx, float weight);

#endif
