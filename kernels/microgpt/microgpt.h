/* microGPT: the whole training step of a very small GPT as one operator. The
 * model and its schedule are those of Karpathy's microgpt.py, which builds
 * every number of the step as a node of a graph and walks the graph backwards.
 * Here the step is written out: forward pass, backward pass, Adam; no graph, no
 * tape, no allocation.
 *
 *   27 tokens (a to z, and one that begins and ends a name), width 16, 4 heads
 *   of 4, one layer, 16 positions, 4,192 parameters, no biases; RMSNorm without
 *   gain after the embeddings, before attention and before the MLP, none at the
 *   end; ReLU; a head of its own. One name a step.
 *
 *   forward.h, backward.h, adam.h   the step, over vectors of REAL
 *   lanes.h       the vectors; product.h their one matrix product; step.h state
 *                 and table
 *   micro_*.c     the step for one precision and one instruction set
 *   oracle.c      the loss and Adam once more, in plain loops
 *   docs.c        names, tokens, shuffling
 *   model.c       initial weights, training, sampling
 *   config.c      the tuning axes; faults.c what the step does wrong on request
 *   invariants.c, behaviour.c   the executable invariants; studies.c
 *   trial.c       one measurement; op.c the operator's table */
#ifndef SPAK_MICROGPT_H
#define SPAK_MICROGPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/data.h"
#include "device/device.h"
#include "device/op.h"

enum {
    MICROGPT_TOKENS = 27,
    MICROGPT_BOS = 26, /* begins a name and ends it */
    MICROGPT_WIDTH = 16,
    MICROGPT_HEADS = 4,
    MICROGPT_HEAD_DIM = 4,
    MICROGPT_HIDDEN = 64,
    MICROGPT_CONTEXT = 16,

    /* Where each matrix begins among the parameters: the reference's order. A
     * matrix is (out, in), row-major. */
    MICROGPT_WTE = 0,    /* (27, 16) token embeddings */
    MICROGPT_WPE = 432,  /* (16, 16) position embeddings */
    MICROGPT_HEAD = 688, /* (27, 16) */
    MICROGPT_QKV = 1120, /* (16, 16) of each of wq, wk, wv: one (48, 16) */
    MICROGPT_WO = 1888,  /* (16, 16) */
    MICROGPT_FC1 = 2144, /* (64, 16) */
    MICROGPT_FC2 = 3168, /* (16, 64) */
    MICROGPT_PARAMS = 4192
};

#define MICROGPT_NORM_EPS    1e-5
#define MICROGPT_RATE        0.01 /* falls to 0 over the run */
#define MICROGPT_BETA1       0.85
#define MICROGPT_BETA2       0.99
#define MICROGPT_ADAM_EPS    1e-8
#define MICROGPT_INIT_SIGMA  0.08
#define MICROGPT_TEMPERATURE 0.5
#define MICROGPT_STEPS       1000
#define MICROGPT_SEED        42

/* --- faults --- */

/* What the code does wrong on request; faults.c has their names. */
typedef enum microgpt_fault {
    MICROGPT_SOUND,
    MICROGPT_ONLY_OUTPUT_TRAINS,
    MICROGPT_ATTENTION_CUT,
    MICROGPT_MLP_CUT,
    MICROGPT_NORM_WITHOUT_CROSS_TERM,
    MICROGPT_RESIDUAL_GRADIENT_DROPPED,
    MICROGPT_RELU_LETS_ALL_THROUGH,
    MICROGPT_SOFTMAX_WITHOUT_ROW_SUM,
    MICROGPT_SCALE_MISSING_BACKWARD,
    MICROGPT_LOSS_NOT_AVERAGED,
    MICROGPT_TOKEN_GRADIENT_OVERWRITTEN,
    MICROGPT_MASK_LEAKS,
    MICROGPT_ADAM_WITHOUT_BIAS_CORRECTION,
    MICROGPT_RATE_DOES_NOT_FALL,
    MICROGPT_COPY_NOT_RENEWED,
    MICROGPT_CACHE_FORGETS_FIRST,
    MICROGPT_EXP_OF_LOW_DEGREE,
    MICROGPT_WEIGHTS_IN_OTHER_ORDER,
    MICROGPT_SHUFFLE_UPWARDS,
    MICROGPT_LARGE_WEIGHTS,
    MICROGPT_FAULT_END
} microgpt_fault;

enum { MICROGPT_NUM_FAULTS = MICROGPT_FAULT_END - 1 };
extern const dev_fault microgpt_faults[MICROGPT_NUM_FAULTS]; /* fault i + 1 */

/* --- names --- */

typedef struct microgpt_docs microgpt_docs;

/* Every line of text (size bytes) as one name, in an order that the generator
 * draws as Python's random.shuffle does. Fails on a letter that is not a to z,
 * with its line, and when there is no name at all; whose text it is the caller
 * knows. */
bool microgpt_docs_new(const char *text, size_t size, spak_mt *mt,
                       microgpt_fault fault, microgpt_docs **docs,
                       spak_error *err);
void microgpt_docs_free(microgpt_docs *docs); /* NULL is fine */

/* What a step reads: position t sees tokens[t] and is to predict tokens[t + 1],
 * t < n <= MICROGPT_CONTEXT. */
typedef struct microgpt_doc {
    int tokens[MICROGPT_CONTEXT + 1];
    size_t n;
} microgpt_doc;

/* The name of the step: number step % count. Returns its text, which has
 * *length letters and no NUL. */
const char *microgpt_docs_get(const microgpt_docs *docs, size_t step,
                              size_t *length);
/* Tokenises letters a to z. */
void microgpt_doc_of(const char *name, size_t length, microgpt_doc *doc);

/* --- the step --- */

typedef enum microgpt_array {
    MICROGPT_VALUES,
    MICROGPT_GRADIENT,
    MICROGPT_MEAN,   /* Adam's running mean of the gradient */
    MICROGPT_SQUARE, /* and of its square */
} microgpt_array;

/* One precision on one instruction set. `state` points to `bytes` bytes, at an
 * address that is a multiple of 64. */
typedef struct microgpt_kernels {
    size_t bytes; /* 0: not compiled in (another architecture) */
    /* Sets the parameters and everything that follows from them; clears Adam.
     */
    void (*set)(void *state, const double *params, microgpt_fault fault);
    void (*get)(const void *state, microgpt_array which, double *out);
    /* The mean loss of a name. */
    double (*forward)(void *state, const microgpt_doc *doc);
    /* The gradient of the loss that forward computed last. */
    void (*backward)(void *state, const microgpt_doc *doc);
    /* Adam's step number `step` (0, 1, ...) with learning rate `rate`. */
    void (*adam)(void *state, double rate, int step);
    /* Which hidden units the forward pass of n positions found above zero: bit
     * u of active[t]. */
    void (*active)(const void *state, size_t n, uint64_t *active);
    /* Logits (27) at position first + count - 1. Positions first to that one
     * are computed; the keys and values of those before must stand already. */
    void (*logits)(void *state, const int *tokens, size_t first, size_t count,
                   double *logits);
} microgpt_kernels;

extern const microgpt_kernels microgpt_exact_portable, microgpt_exact_avx2,
    microgpt_exact_avx512, microgpt_single_portable, microgpt_single_avx2,
    microgpt_single_avx512;

/* --- configurations --- */

typedef enum microgpt_variant {
    MICROGPT_EXACT,  /* double: what the reference computes */
    MICROGPT_SINGLE, /* float */
    MICROGPT_VARIANTS
} microgpt_variant;

typedef struct microgpt_config {
    microgpt_variant variant;
    dev_isa isa;
} microgpt_config;

const char *microgpt_variant_name(microgpt_variant variant);
/* NULL when it was not compiled in. */
const microgpt_kernels *microgpt_kernels_of(const microgpt_config *config);
/* Axes of json (may be NULL) over the defaults: single, the machine's best
 * instruction set. Returns false with the reason when an axis is unknown or
 * this machine refuses its value. */
bool microgpt_config_read(const json_t *json, int threads,
                          microgpt_config *config, spak_error *why);
json_t *microgpt_config_json(const microgpt_config *config);

/* --- a model --- */

typedef struct microgpt_model {
    const microgpt_kernels *kernels;
    microgpt_fault fault;
    void *state;
    void *memory; /* state lies in it */
} microgpt_model;

bool microgpt_model_new(const microgpt_config *config, microgpt_fault fault,
                        microgpt_model *model, spak_error *err);
void microgpt_model_free(microgpt_model *model); /* zeroed is fine */
void microgpt_set(microgpt_model *model, const double *params);
void microgpt_get(const microgpt_model *model, microgpt_array which,
                  double *out);

/* The 4,192 first weights, drawn as the reference draws them. */
void microgpt_init(spak_mt *mt, microgpt_fault fault, double *params);

/* One step of training on one name; the loss before the update. */
double microgpt_step(microgpt_model *model, const microgpt_doc *doc, int step,
                     int steps);
/* Steps 0 to steps - 1 on the names in their order; losses (steps). */
void microgpt_train(microgpt_model *model, const microgpt_docs *docs, int steps,
                    double *losses);

/* Draws one name; letters and a NUL. With cache each position is computed once;
 * without, all positions again for every letter. Returns how many letters. */
size_t microgpt_sample(microgpt_model *model, spak_mt *mt, bool cache,
                       char name[MICROGPT_CONTEXT + 1]);

/* Everything before the first step, in the reference's order: one generator
 * shuffles the names, draws the weights, and is left for the samples. */
typedef struct microgpt_start {
    microgpt_docs *docs;
    double params[MICROGPT_PARAMS];
    spak_mt mt;
} microgpt_start;

/* From the data set of that name, and its text alone. */
bool microgpt_start_new(const char *dataset, uint64_t seed,
                        microgpt_fault fault, microgpt_start **start,
                        spak_error *err);
bool microgpt_start_text(const char *text, size_t size, uint64_t seed,
                         microgpt_fault fault, microgpt_start **start,
                         spak_error *err);
void microgpt_start_free(microgpt_start *start); /* NULL is fine */

/* Floating-point operations of one step on n positions: the products of
 * matrices, forward and backward, attention's, and 12 a parameter for Adam.
 * Norms, softmax and loss are left out. */
double microgpt_flop(size_t n);

/* The two precisions beside each other, after the same steps. The loss is
 * smooth but where a hidden unit goes on or off: there it has a kink, and two
 * runs that stand on either side of it take different steps. So they can be
 * held to a bound up to the first step at which a unit is on in one and off in
 * the other, and not beyond. */
typedef struct microgpt_parting {
    double deviation; /* largest relative difference of a loss, all steps */
    double deviation_before; /* ... before the first flip */
    double over_bound;       /* largest difference before the first flip, of
                                microgpt_loss_bound in floats */
    int first_flip;          /* a step; -1: none */
} microgpt_parting;

/* One number for which units are on; equal patterns give equal numbers. */
uint64_t microgpt_pattern(const microgpt_model *model, size_t n);

/* From the losses and patterns of both runs (steps of each); deviation (steps)
 * may be NULL. */
void microgpt_part(const double *single, const double *exact,
                   const uint64_t *single_pattern,
                   const uint64_t *exact_pattern, int steps, double *deviation,
                   microgpt_parting *parting);

/* --- the oracle --- */

/* Roundings between a weight and a logit, one after the other: three norms of
 * 20 each, and sums of 16, 4, 16, 16, 16, 64, 16 products; twice that, for what
 * a norm or a softmax makes of an error that reaches it. Times the unit
 * roundoff u it bounds the relative error of a loss: errors of the logits reach
 * the loss through 1 - p, which shrinks with it.
 *
 * The last roundings do not: p = e / sum is a sum of 27 positive terms, a
 * quotient and a product, all rounded relatively to p. So an error of 28 u in
 * log p is left when p is 1 and the loss is nothing. */
enum {
    MICROGPT_CHAIN = 2 * (3 * 20 + 148),
    MICROGPT_SOFTMAX_ROUNDINGS = MICROGPT_TOKENS - 1 + 2
};

/* What roundings with unit roundoff u leave open of this loss. */
double microgpt_loss_bound(double loss, double u);

/* What the plain forward pass found besides the loss. */
typedef struct microgpt_oracle {
    double logits[MICROGPT_CONTEXT][MICROGPT_TOKENS];
    uint64_t active[MICROGPT_CONTEXT]; /* bit u: hidden unit u is above zero */
    /* How near to zero the nearest hidden unit came, of the sum of its terms'
     * magnitudes: below MICROGPT_CHAIN u rounding may turn it on or off. */
    double margin;
} microgpt_oracle;

/* The mean loss; out may be NULL. */
double microgpt_oracle_loss(const double *params, const microgpt_doc *doc,
                            microgpt_oracle *out);
/* One of the reference's updates on one parameter, in its words. */
void microgpt_oracle_adam(double *p, double *m, double *v, double g,
                          double rate, int step);

/* --- the operator's table --- */

enum { MICROGPT_NUM_INVARIANTS = 8, MICROGPT_NUM_STUDIES = 4 };
extern const dev_invariant microgpt_invariants[MICROGPT_NUM_INVARIANTS];
extern const dev_study microgpt_studies[MICROGPT_NUM_STUDIES];

/* dev_op's trial; and the same for tests, with what is timed in the place of
 * microgpt_train (unless NULL), and a fault in the step. */
typedef void microgpt_trainer(void *ctx, microgpt_model *model,
                              const microgpt_docs *docs, int steps,
                              double *losses);
bool microgpt_trial(const json_t *config, const json_t *problem,
                    const json_t *options, json_t **result, spak_error *err);
bool microgpt_trial_with(microgpt_trainer *trainer, void *ctx,
                         microgpt_fault fault, const json_t *config,
                         const json_t *problem, const json_t *options,
                         json_t **result, spak_error *err);

extern const dev_op microgpt_op;

#endif
