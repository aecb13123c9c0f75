/* The gate: every invariant holds for the sound code, and each fault breaks at least one of them. */
#include <string.h>

#include "../../tap.h"
#include "base/clock.h"
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

static bool holds(const dev_invariant *invariant, const char *fault, int seed, const char **what) {
    static char kept[256];
    spak_error err = {""};
    json_t *evidence = NULL, *options = json_pack("{s:i}", "seed", seed);
    if (fault) json_object_set_new(options, "fault", json_string(fault));
    bool ran = invariant->check(options, &evidence, &err);
    json_decref(options);
    if (!ran) {
        ok(false, "%s could not run: %s", invariant->name, err.message);
        return false;
    }
    bool good = spak_json_bool(evidence, "holds", false);
    const json_t *example = json_object_get(evidence, "counterexample");
    if (spak_json_int(evidence, "cases", 0) < 1 && good) ok(false, "%s tried nothing", invariant->name);
    if (good == (example != NULL)) ok(false, "%s: evidence contradicts itself", invariant->name);
    snprintf(kept, sizeof kept, "%s: %s", spak_json_str(example, "subject", ""), spak_json_str(example, "what", ""));
    *what = kept;
    json_decref(evidence);
    return good;
}

int main(void) {
    const char *what;
    spak_json_init();
    uint64_t begin = spak_now_ns();
    for (int seed = 1; seed <= 2; seed++)
        for (size_t i = 0; i < microgpt_op.num_invariants; i++) {
            uint64_t one = spak_now_ns();
            bool good = holds(&microgpt_op.invariants[i], NULL, seed, &what);
            if (!ok(good, "%s holds, seed %d", microgpt_op.invariants[i].name, seed)) printf("# %s\n", what);
            printf("# %.0f ms\n", (double)(spak_now_ns() - one) * 1e-6);
        }
    printf("# the gate takes %.2f s\n", (double)(spak_now_ns() - begin) * 1e-9 / 2);
    for (size_t f = 0; f < microgpt_op.num_faults; f++) {
        const dev_fault *fault = &microgpt_op.faults[f];
        const dev_invariant *invariant = dev_op_invariant(&microgpt_op, caught_by[f]);
        if (!ok(invariant, "there is an invariant %s", caught_by[f])) continue;
        ok(!holds(invariant, fault->name, 1, &what), "%s is caught by %s", fault->name, caught_by[f]);
        printf("# %s\n", what);
    }

    spak_error err = {""};
    json_t *evidence = NULL, *options = json_pack("{s:s}", "fault", "no_such_fault");
    ok(!microgpt_op.invariants[0].check(options, &evidence, &err) && strstr(err.message, "no_such_fault"),
       "an unknown fault is an error: %s", err.message);
    json_decref(options);
    return done_testing();
}
