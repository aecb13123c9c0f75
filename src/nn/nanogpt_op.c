/* nanoGPT as an operator: its invariants, its faults, its studies and its trial, for the loop to drive. */
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/trial.h"
#include "nn/nanogpt_gate.h"

static bool read_options(const json_t *options, size_t default_cases, nanogpt_check *check, spak_error *err) {
    static const dev_member members[] = {
        {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
        {"cases", JSON_INTEGER, 1, 100000, false},
        {"fault", JSON_STRING, 0, 0, false},
    };
    if (!dev_members_check("nanogpt", "options", options, members, 3, err)) return false;
    check->seed = (uint64_t)spak_json_int(options, "seed", 1);
    check->cases = (size_t)spak_json_int(options, "cases", (long long)default_cases);
    const char *name = spak_json_str(options, "fault", NULL);
    for (int i = 0; name && i < NANOGPT_NUM_FAULTS - 1; i++)
        if (!strcmp(name, nanogpt_faults[i].name)) check->fault = (nanogpt_fault)(i + 1);
    return !name || check->fault != NANOGPT_SOUND || spak_fail(err, "nanogpt: options.fault: unknown fault '%s'", name);
}

static bool run_check(const json_t *options, size_t default_cases, bool (*body)(nanogpt_check *check),
                      json_t **evidence, spak_error *err) {
    spak_error inner = {""};
    nanogpt_check check = {.err = &inner};
    *evidence = NULL;
    if (!read_options(options, default_cases, &check, err)) return false;
    const bool holds = body(&check);
    if (!holds && !check.counterexample) return spak_fail(err, "%s", inner.message);
    *evidence = json_pack("{s:b,s:I,s:I,s:o*}", "holds", holds, "cases", (json_int_t)check.tried, "seed",
                          (json_int_t)check.seed, "counterexample", check.counterexample);
    return *evidence || spak_fail_oom(err);
}

#define INVARIANT(name, body, cases)                                              \
    static bool name(const json_t *options, json_t **evidence, spak_error *err) { \
        return run_check(options, cases, body, evidence, err);                    \
    }
INVARIANT(tied, nanogpt_tied, 1)
INVARIANT(residual, nanogpt_residual, 1)
INVARIANT(entropy, nanogpt_entropy, 4)
INVARIANT(adam, nanogpt_adam, 6)
INVARIANT(all_train, nanogpt_all_train, 1)
INVARIANT(against_oracle, nanogpt_against_oracle, 1)
INVARIANT(differences, nanogpt_differences, 1)
INVARIANT(cache, nanogpt_cache, 1)
INVARIANT(resume, nanogpt_resume, 1)
INVARIANT(threads, nanogpt_threads, 1)
INVARIANT(operators, nanogpt_operators, 1)

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
