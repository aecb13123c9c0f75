/* Models: one transformer in all the forms that the artifact needs, from GPT-2 to LoopLM, over the operator table.
 *
 *   ops.h           the operator table; cpu.c and oracle.c fill it in
 *   config.c        the shape of a model: reading, defaults, what is refused; members.c reads and writes any structure
 *   params.c        the parameters: names, shapes, where they lie, how they begin
 *   plan.c          memory: planned first, taken once
 *   forward.c       embedding, blocks over layers and loops, head; backward.c mirrors it
 *   decode.c        one token at a time with a cache of keys and values; halting (Wait-to-Think)
 *   sample.c        a token from logits
 *   optimiser.c     clipping, schedule, AdamW over the parameters
 *   safetensors.c   tensors in a file; hf.c the names and layouts of GPT-2 in nanoGPT and in transformers
 *   checkpoint.c    everything a run needs to go on, in one safetensors file
 *   tokens.c        characters; bpe.c GPT-2's byte-pair encoding
 *   addition.c      problems of addition: generator, layouts, masks, evaluation
 *   train.c         the training run: batches, steps, evaluations, trace, checkpoints
 *
 * A model of `layers` blocks is run `loops` times: GPT-2 is 12 layers, 1 loop; LoopLM is 1 layer, 12 loops.
 *
 *   x = token (+ position) (+ kind) embedding, dropout
 *   for each loop:  x = x + x0 when inject;  x = RMSNorm(x) when normalise_state;  for each layer:
 *       x = x + dropout(proj(attention(norm(x))));  x = x + dropout(down(act(up(norm(x)))))
 *   logits = head(norm(x)) */
#ifndef SPAK_NN_NN_H
#define SPAK_NN_NN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "nn/ops.h"

/* --- the shape of a model --- */

typedef enum nn_positions {
    NN_POS_NONE,
    NN_POS_LEARNED,       /* a table, added to the embedding, by the token's position */
    NN_POS_LEARNED_INDEX, /* the same by the token's index (of its digit), a random offset of the sequence included */
    NN_POS_ROPE,          /* rotary, by the token's position */
    NN_POS_ROPE_INDEX,    /* rotary, by the token's index */
} nn_positions;

typedef enum nn_supervision { NN_LOSS_LAST, NN_LOSS_SECOND_HALF } nn_supervision; /* of which loops' outputs */

typedef struct nn_config {
    size_t vocab, context;                 /* tokens; the longest sequence */
    size_t layers, loops;                  /* loops: of training, unless a batch says otherwise */
    size_t heads, kv_heads, width, hidden; /* hidden: of the MLP, 4 width by default */
    nn_norm_kind norm;
    bool norm_gain; /* false: norms have no parameters */
    bool bias;      /* of linears and LayerNorm */
    nn_act_kind act;
    nn_positions positions;
    nn_rope_pairing rope_pairing;
    float rope_base; /* 10000 */
    size_t kinds;    /* > 0: a learned embedding of the token's kind (operand, answer), so many */
    bool tied;       /* the head is the token embedding */
    bool final_norm;
    bool inject;          /* x0 is added before each loop but the first */
    bool normalise_state; /* RMSNorm without gain before each loop */
    bool causal;
    int window;    /* over the index; < 0: none */
    float slope;   /* over the index */
    bool segments; /* tokens of different segments do not see each other */
    float dropout;
    float norm_eps;            /* 1e-5 */
    float init_sigma;          /* 0.02 */
    bool init_residual_scaled; /* sigma / sqrt(2 layers loops) for the projections into the residual */
    float label_smoothing;     /* of the loss in training */
    nn_supervision supervision;
} nn_config;

/* nanoGPT's GPT-2 124M. Presets by name: "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "nanogpt-cpu" (4 layers, 4
 * heads, 128 wide, context 64), "shakespeare-char" (6 layers, 6 heads, 384 wide, context 256), "looplm-12". */
bool nn_config_preset(const char *name, nn_config *config, spak_error *err);

/* Members of `json` over what *config holds; every member of the struct by its name, enums by theirs ("gelu_erf",
 * "rope_index", "second_half" ...). hidden follows a width that is given without it (4 times), and kv_heads the heads.
 * An unknown member, a wrong type or a shape that cannot be (heads that do not divide the width, ...) is an error that
 * names the member, and *config stays as it was. */
bool nn_config_read(const json_t *json, nn_config *config, spak_error *err);
json_t *nn_config_json(const nn_config *config); /* every member; new reference, NULL when out of memory */
bool nn_config_check(const nn_config *config, spak_error *err);

/* --- parameters --- */

typedef struct nn_param {
    char name[64];     /* nanoGPT's: "transformer.h.0.attn.c_attn.weight" */
    size_t rows, cols; /* a vector has rows 1 */
    bool matrix;       /* decays; a vector does not */
    size_t at;         /* offset in the arena, in numbers */
    enum { NN_INIT_NORMAL, NN_INIT_RESIDUAL, NN_INIT_ONES, NN_INIT_ZEROS } init;
} nn_param;

/* The parameters in their order; *list belongs to the caller (spak_free). A tied head is not listed. */
bool nn_params_list(const nn_config *config, nn_param **list, size_t *count, size_t *numbers, spak_error *err);

/* --- a batch --- */

/* (batch, len) each; NULL where the configuration does not need it. Memory of the host, kept by the caller until the
 * step is done. */
typedef struct nn_batch {
    size_t batch, len;
    const int32_t *tokens;
    const int32_t *targets;   /* < 0: no loss here; NULL: no loss at all */
    const int32_t *positions; /* NULL: 0, 1, 2 ... */
    const int32_t *index;     /* of the digit, for positions by index, window and slope; -1: none, adds no embedding.
                                 Any, but where it looks up a table: rotary positions and attention take differences */
    const int32_t *kinds;     /* -1: none */
    const int32_t *segments;
    size_t loops;        /* 0: the configuration's */
    bool training;       /* dropout and label smoothing are on */
    uint64_t seed, step; /* of the dropout masks: a function of these and the place, so each micro-batch has its step */
} nn_batch;

/* --- faults --- */

/* Mistakes that the code makes on request, so that a gate can be tried: each is one branch, where the mistake would be
 * made. What each does is said in looplm_faults. */
typedef enum nn_fault {
    NN_SOUND,
    NN_FAULT_OPERANDS_LEARNED, /* of what is written: addition.c */
    NN_FAULT_TARGETS_LATE,
    NN_FAULT_CARRY_LOST,
    NN_FAULT_TEST_LEAKS,
    NN_FAULT_TEST_NOT_REVERSED,
    NN_FAULT_ONE_SEGMENT,
    NN_FAULT_WINDOW_WIDER, /* of the forward pass */
    NN_FAULT_NOT_CAUSAL,
    NN_FAULT_KINDS_IGNORED,
    NN_FAULT_CPU_ROPE_BASE,
    NN_FAULT_CPU_NORM_EPS,
    NN_FAULT_DROPOUT_BY_THREADS,
    NN_FAULT_LAST_LOOP_LEARNS, /* of the backward pass */
    NN_FAULT_INJECTION_NOT_LEARNED,
    NN_FAULT_ROPE_NOT_TURNED_BACK,
    NN_FAULT_LAST_LOSS_ALONE,
    NN_FAULT_GRADIENTS_PILE_UP,       /* of a training step */
    NN_FAULT_CACHE_WITHOUT_INJECTION, /* of the decoder */
    NN_FAULT_CACHE_INDEX_LATE,
    NN_FAULT_HALTING_WITHOUT_ROPE,
    NN_FAULT_HALTED_GO_ON,
    NN_FAULT_LOOPS_MISCOUNTED,
    NN_NUM_FAULTS
} nn_fault;

/* --- a model --- */

typedef struct nn_model nn_model;

typedef struct nn_memory {
    size_t params, grads, optimiser, activations, scratch; /* bytes of the device; lists of the host are not counted */
} nn_memory;

/* Plans and takes all memory for batches up to batch x len (and as many loops): nothing is allocated afterwards.
 * training: with gradients and optimiser state. most_loops: 0 for the configuration's. */
bool nn_model_new(const nn_config *config, const nn_ops *ops, int threads, size_t batch, size_t len, size_t most_loops,
                  bool training, nn_model **model, spak_error *err);
void nn_model_free(nn_model *model); /* NULL is fine */

void nn_model_plant(nn_model *model, nn_fault fault); /* NN_SOUND at first */
nn_fault nn_model_fault(const nn_model *model);
const nn_config *nn_model_config(const nn_model *model);
const nn_ops *nn_model_ops(const nn_model *model);
nn_memory nn_model_memory(const nn_model *model);
const nn_param *nn_model_params(const nn_model *model, size_t *count, size_t *numbers);

/* Parameter values, drawn from Philox (seed, stream of the parameter's number in the list): the same on every device.
 */
void nn_model_init(nn_model *model, uint64_t seed);

typedef enum nn_array { NN_VALUES, NN_GRADIENTS, NN_MEAN, NN_SQUARE } nn_array; /* the last two are AdamW's */
/* Numbers at..at + n of the arena, to and from doubles, or from floats, of the host. All but the values: of a training
 * model.
 */
void nn_model_get(const nn_model *model, nn_array which, size_t at, size_t n, double *to);
void nn_model_put(nn_model *model, nn_array which, size_t at, size_t n, const double *from);
void nn_model_put_f32(nn_model *model, nn_array which, size_t at, size_t n, const float *from);

/* --- forward and backward --- */

/* Forward pass. *loss (may be NULL): the mean over the positions with a target, in nats, averaged over the supervised
 * loops; 0 without targets. Fails on a token, target or kind outside the configuration, and on a position or index
 * outside its table where one is looked up, naming it and where it stands; and when no place has a target. */
bool nn_forward(nn_model *model, const nn_batch *batch, double *loss, spak_error *err);

/* Forward and backward; gradients += those of scale * loss. scale: 1 / micro-batches. */
bool nn_forward_backward(nn_model *model, const nn_batch *batch, double scale, double *loss, spak_error *err);
void nn_zero_gradients(nn_model *model);

/* After a forward pass. logits: row (b, t), or all rows, of the last loop, as floats or doubles of the host. */
void nn_logits(const nn_model *model, size_t row, size_t rows, double *logits);
/* The best token of every row of the last forward pass, and its probability or NULL; after the loop `loop` (counted
 * from 1, at most that pass's: what lies behind them is of another pass; 0: the last), through the final norm and the
 * head. */
void nn_predictions(nn_model *model, size_t loop, int32_t *best, float *confidence);
/* The state after block number `block`, counted over all loops (0: the embedding): (rows, width) doubles. For parity.
 */
void nn_hidden(const nn_model *model, size_t block, double *hidden);

/* --- optimiser --- */

typedef struct nn_schedule {
    double rate, min_rate;
    size_t warmup_steps, decay_steps; /* linear to rate, cosine to min_rate at decay_steps, min_rate afterwards */
} nn_schedule;
/* The whole rate is that of step warmup_steps; the first of the steps before it has 1 / (warmup_steps + 1) of it. */
double nn_schedule_rate(const nn_schedule *schedule, uint64_t step); /* step from 0 */

typedef struct nn_optimiser {
    double beta1, beta2, eps, weight_decay, clip; /* clip: of the norm of all gradients; 0: none */
} nn_optimiser;
/* One AdamW step, number step (from 0); returns the norm of the gradients before clipping. Decoupled decay, on
 * matrices only. A norm that is not finite changes nothing. Source: nanoGPT's train.py, torch's clip_grad_norm_. */
double nn_update(nn_model *model, const nn_optimiser *optimiser, double rate, uint64_t step);

/* --- one token at a time --- */

typedef struct nn_decoder nn_decoder; /* caches for `batch` sequences of at most the context */

/* After each loop a token halts when the probability of its best next token has come to its threshold: its state is
 * frozen, and it costs nothing more. decode.c says what later tokens see of it. */
typedef struct nn_halting {
    bool on;
    float threshold, thinking_threshold; /* of the confidence: of a token, and from the token `thinking_from` on */
    int32_t thinking_from;               /* '='; < 0: never */
    size_t most_loops;                   /* 0: the configuration's */
} nn_halting;

/* For a causal model, which must outlive it; each sequence is one segment. halting NULL: off, the configuration's
 * loops. Off, most_loops still says how many loops there are. */
bool nn_decoder_new(nn_model *model, size_t batch, const nn_halting *halting, nn_decoder **decoder, spak_error *err);
void nn_decoder_free(nn_decoder *decoder);
void nn_decoder_reset(nn_decoder *decoder);

/* Feeds `len` more tokens of every sequence, whose positions count on from 0 at the last reset (the prompt at first,
 * then one a call; index, kinds: as in nn_batch) and leaves the logits of the last one: (batch, vocab) floats of the
 * host, or NULL. loops_spent (batch, len) or NULL. A call that fails (a token outside the vocabulary, more than the
 * context) changes nothing. */
bool nn_decode(nn_decoder *decoder, size_t len, const int32_t *tokens, const int32_t *index, const int32_t *kinds,
               float *logits, int32_t *loops_spent, spak_error *err);

/* A token from logits / temperature, of the top_k best and what equals the last of these (0: all); temperature 0: the
 * best. u: uniform in [0, 1). */
int32_t nn_sample(const float *logits, size_t vocab, float temperature, size_t top_k, double u);

/* Multiply-adds times two of one forward pass over `rows` tokens, attention of each to `kv_len` keys included, the head
 * once. loops 0: the configuration's. */
double nn_forward_flops(const nn_config *config, size_t rows, size_t kv_len, size_t loops);

#endif
