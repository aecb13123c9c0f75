/* What the files of the operator nanogpt share. Private to them. */
#ifndef SPAK_NN_NANOGPT_GATE_H
#define SPAK_NN_NANOGPT_GATE_H

#include "nn/gate.h"
#include "nn/nanogpt.h"
#include "nn/train.h"

/* Mistakes that the operator's code makes on request: name, what it does. Those of the operator table come first. */
#define NANOGPT_FAULTS(X)                                                                                            \
    X(layernorm_without_mean, "LayerNorm does not take the mean away")                                               \
    X(layernorm_of_another_eps, "LayerNorm adds 1e-3 under the root in place of 1e-5")                               \
    X(layernorm_beta_dropped, "LayerNorm does not add its bias")                                                     \
    X(gelu_by_tanh, "GELU is computed by the tanh formula, forward and backward")                                    \
    X(gelu_backward_is_relus, "the gradient goes through GELU as through ReLU")                                      \
    X(mask_missing, "each position sees the ones after it")                                                          \
    X(attention_gradient_stops, "queries, keys and values get no gradient")                                          \
    X(residual_gradient_dropped, "what goes past a block is not added to what comes through it")                     \
    X(loss_not_averaged, "the gradient is that of the sum over positions, not of their mean")                        \
    X(token_gradient_overwritten, "a token that comes twice keeps the gradient of its last place alone")             \
    X(tied_table_learns_from_head_alone, "the embedding's gradient is not added to the head's, though they are one") \
    X(positions_do_not_learn, "the table of positions gets no gradient")                                             \
    X(dropout_redrawn_backward, "the backward pass drops other elements than the forward pass")                      \
    X(dropout_by_threads, "another number of threads drops other elements")                                          \
    X(decay_on_vectors, "weight decay shrinks gains and biases too")                                                 \
    X(clipping_left_out, "the gradients are not scaled down to the norm they may have")                              \
    X(adam_without_bias_correction, "Adam's means are not corrected for the zeros they began with")                  \
    X(cache_positions_shifted, "with a cache, tokens after the prompt get the position before theirs")               \
    X(cache_forgets_first, "with a cache, the first token is no longer looked at")                                   \
    X(head_untied, "the head is a matrix of its own")                                                                \
    X(residual_not_scaled, "projections into the residual begin as large as all others")                             \
    X(large_weights, "the first weights are drawn with deviation 0.2")                                               \
    X(resume_without_moments, "a run that goes on has forgotten Adam's means")                                       \
    X(resume_begins_anew, "a run that goes on counts its steps from zero")

#define NANOGPT_NAME(name, what) NANOGPT_FAULT_##name,
typedef enum nanogpt_fault { NANOGPT_SOUND, NANOGPT_FAULTS(NANOGPT_NAME) NANOGPT_NUM_FAULTS } nanogpt_fault;
#undef NANOGPT_NAME
extern const dev_fault nanogpt_faults[NANOGPT_NUM_FAULTS - 1]; /* in that order */

/* --- tables --- */

/* nn_cpu or nn_oracle with a fault, and with a clock around each operator. */
const nn_ops *nanogpt_table(const nn_ops *base, nanogpt_fault fault);

/* What the clocks of a model with such a table say: operators by name, milliseconds and calls since the last reset. */
typedef struct nanogpt_clock {
    const char *name;
    double ms;
    uint64_t calls;
} nanogpt_clock;
enum { NANOGPT_CLOCKS = 14 };
void nanogpt_clocks_reset(nn_model *model);
void nanogpt_clocks_read(const nn_model *model, nanogpt_clock clocks[NANOGPT_CLOCKS]);

/* The trial with a fault, of the variant cpu. */
bool nanogpt_trial_with(nanogpt_fault fault, const json_t *config, const json_t *problem, const json_t *options,
                        json_t **result, spak_error *err);

/* --- invariants --- */

/* A preset, with JSON members over it (NULL: none), and the faults that lie in the shape of a model. */
bool nanogpt_shape(const char *preset, const char *more, nanogpt_fault fault, nn_config *config, spak_error *err);

/* A training model on so many threads and one batch of random tokens for it. wild: parameters at random and large, so
 * that no gradient is zero by symmetry and attention is not flat. */
typedef struct nanogpt_specimen {
    const char *name;
    nn_model *model;
    nn_batch batch;
    size_t count, numbers;  /* of the model's parameters */
    const nn_param *params; /* (count) */
    int32_t *tokens;        /* (2, batch, len): tokens, targets */
} nanogpt_specimen;
typedef struct nanogpt_subject {
    const char *name, *preset, *more;
    size_t batch, len;
    bool wild;
} nanogpt_subject;
bool nanogpt_specimen_new(nn_check *check, const nanogpt_subject *subject, const nn_ops *base, int threads,
                          nanogpt_specimen *specimen);
void nanogpt_specimen_free(nanogpt_specimen *specimen);

/* Small models, of which one has what nanoGPT trains (no biases) and one what GPT-2 has; odd widths, with dropout. */
enum { NANOGPT_SMALL, NANOGPT_BIASED, NANOGPT_NUM_SUBJECTS };
extern const nanogpt_subject nanogpt_subjects[NANOGPT_NUM_SUBJECTS];

/* Between which the loss of a new model lies: see nanogpt_gate.c. */
void nanogpt_first_loss(const nn_config *config, size_t rows, double *from, double *to);

/* The roundings of a chain through the whole model and back, as a multiple of the unit roundoff. */
double nanogpt_roundings(const nn_config *config, size_t len);

/* The largest |a - b| over the largest |b| of each parameter's part of (numbers) arrays, and in which it is. */
double nanogpt_farthest(const nn_param *params, size_t count, const double *a, const double *b, const char **name);

/* LayerNorm of `rows` rows of so wide, forward and backward, in floats against doubles: the largest error over its
 * bound, and the largest error. */
bool nanogpt_norm_error(nanogpt_fault fault, size_t width, size_t rows, uint64_t seed, double *over_bound,
                        double *largest, spak_error *err);

/* The checks: a body returns false when it found something or could not run. */
bool nanogpt_operators(nn_check *check); /* nanogpt_parity.c */
bool nanogpt_differences(nn_check *check);
bool nanogpt_all_train(nn_check *check);
bool nanogpt_against_oracle(nn_check *check);
bool nanogpt_cache(nn_check *check);
bool nanogpt_threads(nn_check *check); /* nanogpt_gate.c */
bool nanogpt_entropy(nn_check *check);
bool nanogpt_adam(nn_check *check);
bool nanogpt_resume(nn_check *check);
bool nanogpt_tied(nn_check *check);
bool nanogpt_residual(nn_check *check);

/* --- studies --- */

enum { NANOGPT_NUM_STUDIES = 5 };
extern const dev_study nanogpt_studies[NANOGPT_NUM_STUDIES];
/* How the small model is trained on characters. */
bool nanogpt_small_run(size_t steps, size_t batch, int threads, nn_train_config *config, spak_error *err);
bool nanogpt_transplant(const json_t *options, json_t **result, spak_error *err); /* nanogpt_large.c */
bool nanogpt_memory_and_time(const json_t *options, json_t **result, spak_error *err);

#endif
