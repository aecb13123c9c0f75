/* A training run: where its batches come from, its steps, its evaluations, and going on after a stop.
 *
 * Everything that a step needs is a function of (configuration, seed, number of the step): the batch, the number of
 * loops, the dropout masks, the learning rate. So a run that is stopped after step s and goes on from the parameters
 * and the optimiser's state of step s is the run that was never stopped, bit for bit. */
#ifndef SPAK_NN_TRAIN_H
#define SPAK_NN_TRAIN_H

#include "base/err.h"
#include "base/json.h"
#include "nn/addition.h"
#include "nn/nn.h"
#include "nn/tokens.h"

typedef enum nn_task_kind { NN_TASK_TEXT, NN_TASK_ADDITION } nn_task_kind;

/* Text by characters: the first part of a data set trains, the rest validates, as nanoGPT's shakespeare_char has it. */
typedef struct nn_text_task {
    char dataset[64];        /* of data/MANIFEST.dsl */
    double validation_share; /* 0.1 */
} nn_text_task;

typedef struct nn_train_config {
    nn_config model; /* vocab and, for additions, context come from the task where the configuration has none */
    bool vocab_told; /* the configuration has one: the task must have as many tokens */
    nn_task_kind task;
    nn_text_task text;
    nn_addition addition;
    char device[16];                         /* "cpu", or "oracle": double precision */
    size_t threads;                          /* 0: one for each core */
    size_t steps, batch, len, micro_batches; /* batch: sequences of a micro-batch; len: of text */
    size_t seed;
    size_t least_loops, most_loops; /* each step draws its number of loops between them; 0: the model's */
    bool one_batch;                 /* every step sees the batch of step 0: learning it by heart */
    nn_schedule schedule;
    nn_optimiser optimiser;
    double late_weight_decay; /* from step late_decay_from on; < 0: the same throughout */
    size_t late_decay_from;
} nn_train_config;

/* {"model": {"preset": "nanogpt-cpu", ...members over it}, "task": {"kind": "text", "dataset": "tinyshakespeare"} or
 * {"kind": "addition", ...}, "steps": 2000, "batch": 12, ...}: the members of the struct by their names, those of
 * schedule and optimiser beside them ("rate", "min_rate", "warmup_steps", "decay_steps", "beta1", "beta2", "eps",
 * "weight_decay", "clip"). Ranges: rates 0 to 1000, betas from 0 to below 1, eps 0 to 1, clip 0 (none) to 1e9, weight
 * decay 0 to 1000; train_config.c has those of all members. Defaults are nanoGPT's. Errors name the member. */
bool nn_train_config_read(const json_t *json, nn_train_config *config, spak_error *err);
json_t *nn_train_config_json(const nn_train_config *config); /* every member; NULL when out of memory */

typedef struct nn_trainer nn_trainer;

typedef struct nn_step {
    uint64_t step; /* the one just made, from 0 */
    double loss;   /* mean over the micro-batches, before the step */
    double grad_norm, rate;
    size_t tokens, loops;
    double time_ms;
} nn_step;

/* Opens the data, plans and takes all memory, draws the weights. Nothing is allocated by the steps. */
bool nn_trainer_new(const nn_train_config *config, nn_trainer **trainer, spak_error *err);
/* The same on a table of the caller's, of the device's kind: with clocks, say. */
bool nn_trainer_new_on(const nn_train_config *config, const nn_ops *ops, nn_trainer **trainer, spak_error *err);
/* The same without gradients and optimiser: to validate only. */
bool nn_trainer_new_asleep(const nn_train_config *config, nn_trainer **trainer, spak_error *err);
void nn_trainer_free(nn_trainer *trainer); /* NULL is fine */

/* {"parameters": n, "memory": {"params": bytes, ...}, "data": {... data_describe's} or absent, "flops_per_step"} */
json_t *nn_trainer_describe(const nn_trainer *trainer);
const json_t *nn_trainer_data(const nn_trainer *trainer);            /* what data_describe says; NULL without data */
const nn_chars *nn_trainer_chars(const nn_trainer *trainer);         /* of text; else NULL */
const nn_train_config *nn_trainer_config(const nn_trainer *trainer); /* with what the task filled in */
nn_model *nn_trainer_model(nn_trainer *trainer);
uint64_t nn_trainer_next(const nn_trainer *trainer); /* the number of the next step: how many were made */
void nn_trainer_set_next(nn_trainer *trainer, uint64_t step);

/* Makes one step. Fails when the loss is not finite, and then has changed nothing: the parameters are those before. */
bool nn_trainer_step(nn_trainer *trainer, nn_step *report, spak_error *err);

/* Text: the mean loss over the validation part, in windows of len that do not overlap: {"validation_loss", "tokens"}.
 * Its last characters, fewer than a window and the token after it, are left out. Both: with the model's own loops.
 * Additions: the mean loss over a fixed set of batches that training never draws from: the same members. */
bool nn_trainer_validate(nn_trainer *trainer, json_t **result, spak_error *err);
/* Text: the losses of so many batches of windows at random places of the validation part, whose mean is nanoGPT's
 * estimate_loss(). The batches are a function of seed, step and number, and share nothing with training's. */
bool nn_trainer_estimate(nn_trainer *trainer, size_t batches, double *losses, spak_error *err);

/* --- checkpoints: train_save.c --- */

/* Writes FOLDER/ckpt-STEP.safetensors, whole or not at all, and removes all but the `keep` newest. */
bool nn_trainer_save(const nn_trainer *trainer, const char *folder, size_t keep, spak_error *err);

/* Goes on from a checkpoint: the next steps are those of the run that made it, bit for bit, on any number of threads.
 * Refused: another configuration but for threads and steps, naming the first member that differs, and other data.
 * After an error the trainer is not to be used. */
bool nn_trainer_load(nn_trainer *trainer, const char *path, spak_error *err);

/* The run of a checkpoint as far as validating it goes, in a fraction of the memory: its model cannot be trained. */
bool nn_trainer_examine(const char *path, size_t threads, nn_trainer **trainer, spak_error *err);

/* What a checkpoint says of the run that made it; chars->count is 0 where it trains on no text. */
bool nn_trained_read(const char *path, nn_train_config *config, nn_chars *chars, spak_error *err);

/* A model that does not train, for batches up to batch x len and so many loops, with the values of a checkpoint. */
bool nn_trained_model(const char *path, size_t batch, size_t len, size_t most_loops, int threads, nn_model **model,
                      spak_error *err);

/* A model of the same configuration that does not train, for batches up to batch x len and so many loops, with the
 * values of `from`. */
bool nn_model_for_inference(const nn_model *from, size_t batch, size_t len, size_t most_loops, int threads,
                            nn_model **model, spak_error *err);

#endif
