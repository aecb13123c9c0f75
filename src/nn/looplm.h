/* LoopLM as an operator of the loop: a trial trains one model on additions and evaluates it.
 *
 *   looplm.c        the trial
 *   looplm_gate.c   the invariants: what is asserted before any training
 *   looplm_study.c  what is derived without training: the entropy of the data, parameters counted
 *   looplm_op.c     the operator's table
 *   gate.c          what its invariants share with nanoGPT's */
#ifndef SPAK_NN_LOOPLM_H
#define SPAK_NN_LOOPLM_H

#include "device/op.h"
#include "nn/train.h"

/* Splits flat axes ({"layers": 1, "loops": 12, "layout": "one_pass", "rate": 1e-3, ...}) into a training configuration:
 * a member of the addition task, of the model or of the run, by its name. Defaults: LoopLM-12 of width 64. */
bool looplm_config_read(const json_t *axes, const json_t *problem, nn_train_config *config, spak_error *err);

/* dev_op's trial.
 *   config   flat axes
 *   problem  {"steps", "seed", "batch", "rate", ...,
 *            "evaluate": [{"set", "digits": [..], "problems", "loops": [..], "marks", "reversed", "on_purpose"}],
 *            "decode": [the same with "threshold", "thinking_threshold": halting is on when one is there]}
 *            reversed: how the problems are written; what differs from training is refused unless it is on_purpose
 *   result   {"status", "config", "training": all of it, "sample": a row as text, "parameters", "flops_per_step",
 *            "losses": of each loss_stride-th step, "final_loss": mean of the last 50, "time_ms": of some steps,
 *            "train_seconds", "test_seconds", "beyond": mean exact
 *            match on random problems longer than training's, "evaluations": [nn_addition_evaluate's, one for each set
 * and number of digits], "decoded": [nn_addition_decode's], "correct": the gates held} */
bool looplm_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result, spak_error *err);

enum { LOOPLM_NUM_STUDIES = 2 };
extern const dev_fault looplm_faults[NN_NUM_FAULTS - 1]; /* fault f is number f - 1 */
extern const dev_study looplm_studies[LOOPLM_NUM_STUDIES];
extern const dev_op looplm_op;

#endif
