/* nanoGPT, which is GPT-2 as nanoGPT writes it down, as an operator of the loop: a trial trains one model on
 * characters.
 *
 *   nanogpt.c          the trial
 *   nanogpt_table.c    the operator tables, with a fault planted or a clock around each operator
 *   nanogpt_parity.c   the invariants of arithmetic: operators, gradients, precision, the cache
 *   nanogpt_gate.c     the invariants of training: what it begins with, its steps, going on after a stop
 *   nanogpt_study.c    what is shown and decides nothing: depth, odd widths, time by operator
 *   nanogpt_large.c    the same of whole models: weights carried over, GPT-2 124M
 *   nanogpt_op.c       the operator's table for the loop */
#ifndef SPAK_NN_NANOGPT_H
#define SPAK_NN_NANOGPT_H

#include "device/op.h"

/* dev_op's trial.
 *   config   {"variant": "cpu" | "oracle", "threads": 2}
 *   problem  {"preset": "nanogpt-cpu", "model": {members over it}, "dataset": "tinyshakespeare", "steps", "batch",
 *            "len", "seed", "rate", ...: members of nn_train_config; "validate_every": 0 for never, else also after the
 *            last step; "eval_iters": with each validation also the losses of so many random batches of the validation
 *            part, as nanoGPT has it; "pass": "step" | "forward": forward passes with their loss, nothing is trained}
 *   options  {"check": true}
 *   result   {"status", "config", "losses": [each step], "time_ms": [each step], "validations": [{"step": steps done,
 *            "loss": of the whole part, "estimate": [each random batch] with eval_iters}], "parameters", "memory",
 * "flops_per_step", "gflops", "dataset": what data_describe says, "first_loss_bound": [from, to],
 * "gradient_error_over_bound", "correct"} The checks: the first loss is that of a model that knows nothing, and loss
 * and gradient of the first step are the oracle's. A trial that fails one has status "failed". */
bool nanogpt_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                   spak_error *err);

extern const dev_op nanogpt_op;

#endif
