/* LoopLM as an operator of the loop: a trial trains one model on additions and evaluates it.
 *
 *   looplm.c        the trial
 *   looplm_gate.c   the invariants: what is asserted before any training
 *   looplm_op.c     the operator's table */
#ifndef SPAK_NN_LOOPLM_H
#define SPAK_NN_LOOPLM_H

#include "device/op.h"
#include "nn/train.h"

/* Splits flat axes ({"layers": 1, "loops": 12, "layout": "one_pass", "rate": 1e-3, ...}) into a training configuration:
 * a member of the addition task, of the model or of the run, by its name. Defaults: LoopLM-12 of width 64. */
bool looplm_config_read(const json_t *axes, const json_t *problem, nn_train_config *config, spak_error *err);

/* dev_op's trial.
 *   config   flat axes, and "test_reversed": false writes the test problems in the wrong order
 *   problem  {"steps", "seed", "batch", "rate", ..., "evaluate": [{"set", "digits": [..], "problems", "loops": [..]}],
 *            "wrong_format": true lets a training run begin although evaluation has another format}
 *   result   {"status", "config", "losses": [each step], "time_ms": [each step], "parameters", "flops_per_step",
 *            "evaluations": [nn_addition_evaluate's, one for each set and number of digits], "sample": a row as text,
 *            "correct": the gates held, "final_loss": mean of the last 50} */
bool looplm_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result, spak_error *err);

extern const dev_op looplm_op;

#endif
