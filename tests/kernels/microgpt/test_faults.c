/* The gate: every invariant holds for the sound code, and each fault breaks at least one of them. */
#include "../../gate.h"
#include "microgpt/microgpt.h"

/* Which invariant is there for which fault; the others may see it too. */
static const char *const caught_by[MICROGPT_NUM_FAULTS] = {
    "every_parameter_trains",        /* only_output_trains */
    "every_parameter_trains",        /* attention_cut */
    "every_parameter_trains",        /* mlp_cut */
    "backward_matches_differences",  /* norm_without_cross_term */
    "backward_matches_differences",  /* residual_gradient_dropped */
    "backward_matches_differences",  /* relu_lets_all_through */
    "backward_matches_differences",  /* softmax_without_row_sum */
    "backward_matches_differences",  /* scale_missing_backward */
    "backward_matches_differences",  /* loss_not_averaged */
    "backward_matches_differences",  /* token_gradient_overwritten */
    "loss_matches_the_oracle",       /* mask_leaks */
    "adam_follows_its_definition",   /* adam_without_bias_correction */
    "adam_follows_its_definition",   /* rate_does_not_fall */
    "adam_follows_its_definition",   /* copy_not_renewed */
    "cache_does_not_change_samples", /* cache_forgets_first */
    "single_matches_exact",          /* exp_of_low_degree */
    "rng_is_pythons",                /* weights_in_other_order */
    "rng_is_pythons",                /* shuffle_upwards */
    "loss_is_entropy_at_start",      /* large_weights */
};

int main(void) {
    spak_json_init();
    gate_is_sound(&microgpt_op, 1);
    gate_is_sound(&microgpt_op, 2);
    gate_is_tight(&microgpt_op, caught_by);
    return done_testing();
}
