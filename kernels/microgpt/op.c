#include <stdio.h>

#include "microgpt/invariants.h"

#define INVARIANT(name, body, cases)                                    \
    static bool name(const json_t *options, json_t **evidence,          \
                     spak_error *err) {                                 \
        return microgpt_run_check(options, cases, body, evidence, err); \
    }
INVARIANT(gradients, microgpt_gradients, 3)
INVARIANT(all_train, microgpt_all_train, MICROGPT_DOCS)
INVARIANT(loss, microgpt_loss, MICROGPT_DOCS)
INVARIANT(adam_steps, microgpt_adam_steps, 6)
INVARIANT(precisions, microgpt_precisions, MICROGPT_DOCS)
INVARIANT(rng, microgpt_rng, 1)
INVARIANT(cache, microgpt_cache, 20)
INVARIANT(entropy, microgpt_entropy, 4)

const dev_invariant microgpt_invariants[MICROGPT_NUM_INVARIANTS] = {
    {"backward_matches_differences",
     "each of the 4,192 derivatives in doubles is the central difference of "
     "the oracle's loss, within what rounding and curvature allow",
     gradients},
    {"every_parameter_trains",
     "over documents that hold every letter and fill every position, each of "
     "the 4,192 parameters has a gradient",
     all_train},
    {"loss_matches_the_oracle",
     "loss and logits are those of the plain loops, within the roundings "
     "between a weight and a logit",
     loss},
    {"adam_follows_its_definition",
     "each update is that of the definition, rate and bias correction "
     "included, and the next step sees it",
     adam_steps},
    {"single_matches_exact",
     "each derivative in floats is the one in doubles, within the roundings "
     "there and back times the matrix's largest",
     precisions},
    {"rng_is_pythons",
     "names are shuffled, weights drawn and letters chosen as Python's random "
     "module does",
     rng},
    {"cache_does_not_change_samples",
     "logits with a cache of keys and values have the bits of those without, "
     "and the samples are the same",
     cache},
    {"loss_is_entropy_at_start",
     "the first loss is log 27, within what first weights of deviation 0.08 "
     "allow",
     entropy},
};

static const char *peer(void) {
    static char text[96];
    snprintf(text, sizeof text, "the double-precision molecule (exact, %s)",
             dev_isa_name(dev_cpu_isa()));
    return text;
}

const dev_op microgpt_op = {
    .name = "microgpt",
    .manifest = "kernels/microgpt/microgpt.dsl",
    .invariants = microgpt_invariants,
    .num_invariants = MICROGPT_NUM_INVARIANTS,
    .faults = microgpt_faults,
    .num_faults = MICROGPT_NUM_FAULTS,
    .studies = microgpt_studies,
    .num_studies = MICROGPT_NUM_STUDIES,
    .trial = microgpt_trial,
    .peer = peer,
};
