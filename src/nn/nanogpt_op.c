/* nanoGPT as an operator: its invariants, its faults, its studies and its trial, for the loop to drive. */
#include "nn/nanogpt_gate.h"

NN_INVARIANT(nanogpt_op, tied, nanogpt_tied, 1)
NN_INVARIANT(nanogpt_op, residual, nanogpt_residual, 1)
NN_INVARIANT(nanogpt_op, entropy, nanogpt_entropy, 4)
NN_INVARIANT(nanogpt_op, adam, nanogpt_adam, 6)
NN_INVARIANT(nanogpt_op, all_train, nanogpt_all_train, 1)
NN_INVARIANT(nanogpt_op, against_oracle, nanogpt_against_oracle, 1)
NN_INVARIANT(nanogpt_op, differences, nanogpt_differences, 1)
NN_INVARIANT(nanogpt_op, cache, nanogpt_cache, 1)
NN_INVARIANT(nanogpt_op, resume, nanogpt_resume, 1)
NN_INVARIANT(nanogpt_op, threads, nanogpt_threads, 1)
NN_INVARIANT(nanogpt_op, operators, nanogpt_operators, 1)

static const dev_invariant invariants[] = {
    {"tied_head", "embedding and head are one matrix, and GPT-2 has nanoGPT's 124,439,808 parameters", tied},
    {"residual_scaled",
     "matrices begin with deviation 0.02, those into the residual with that over the root of twice the layers",
     residual},
    {"loss_is_entropy_at_start",
     "the first loss is the logarithm of the number of tokens, within what the first weights allow", entropy},
    {"adam_follows_its_definition",
     "each update is that of the definition: clipping, bias correction, decay on matrices alone", adam},
    {"every_parameter_trains", "each parameter has a gradient but the keys' biases, which softmax does not see",
     all_train},
    {"cpu_matches_oracle",
     "logits, loss and gradients in single precision are those in double, within the roundings there and back",
     against_oracle},
    {"backward_matches_differences",
     "in double precision each tensor's gradient is a difference of the loss, within what curvature and rounding leave",
     differences},
    {"cache_does_not_change_samples", "with a cache of keys and values greedy text is the same, token by token", cache},
    {"resume_does_not_change_bits", "a run that is stopped and goes on from its checkpoint ends with the same bits",
     resume},
    {"threads_do_not_change_bits", "after three steps with dropout the parameters are the same on one to four threads",
     threads},
    {"operators_match_oracle",
     "LayerNorm at widths 1 to 1600, GELU, attention over 1 to 257 tokens and cross-entropy, extreme scores included, "
     "are the oracle's within their bounds",
     operators},
};

const dev_op nanogpt_op = {
    .name = "nanogpt",
    .manifest = "src/nn/nanogpt.dsl",
    .invariants = invariants,
    .num_invariants = sizeof invariants / sizeof *invariants,
    .faults = nanogpt_faults,
    .num_faults = NANOGPT_NUM_FAULTS - 1,
    .studies = nanogpt_studies,
    .num_studies = NANOGPT_NUM_STUDIES,
    .trial = nanogpt_trial,
};
