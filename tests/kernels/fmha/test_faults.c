/* The kernels' own faults: each must break at least one invariant, and those that are named here for it; without a
 * fault all of them hold. A fault that does nothing shows that a miss would be seen. */
#include "../../tap.h"
#include "base/clock.h"
#include "fmha/invariants.h"

enum { NO_SUCH_FAULT = FMHA_NUM_FAULTS + 1 };

/* Which invariants are about the fault. One that is not here may be caught by any. */
static const struct {
    const char *fault, *invariant;
} about[] = {
    {"accumulator_not_rescaled", "online_merge_is_associative"},
    {"accumulator_not_rescaled", "rescaled_equals_two_pass"},
    {"sum_not_rescaled", "online_merge_is_associative"},
    {"sum_not_rescaled", "rescaled_equals_two_pass"},
    {"running_maximum_forgotten", "rescaled_equals_two_pass"},
    {"causal_one_key_more", "causal_skip_contributes_nothing"},
    {"causal_one_key_more", "masked_row_is_zero"},
    {"causal_one_key_less", "tiled_sum_within_bound"},
    {"diagonal_tile_skipped", "tiled_sum_within_bound"},
    {"aligned_top_left", "causal_skip_contributes_nothing"},
    {"tail_keys_not_masked", "tiled_sum_within_bound"},
    {"tail_tile_dropped", "tiled_sum_within_bound"},
    {"scale_forgotten", "tiled_sum_within_bound"},
    {"wrong_kv_head", "grouped_heads_map"},
    {"floor_of_minus_infinity", "masked_row_is_zero"},
    {"lse_without_maximum", "rescaled_equals_two_pass"},
    {"lse_in_base_two", "tiled_sum_within_bound"},
    {"empty_row_divided_by_zero", "masked_row_is_zero"},
    {"last_rows_from_neighbour", "tiled_sum_within_bound"},
    {"scores_rounded_to_16_bits", "tiled_sum_within_bound"},
    {"delta_forgotten", "backward_matches_differences"},
    {"group_not_summed", "grouped_heads_map"},
    {"group_not_summed", "backward_matches_differences"},
    {"scale_missing_in_dq", "backward_matches_differences"},
    {"causal_forgotten_in_backward", "backward_matches_differences"},
    {"dv_from_unnormalised_p", "backward_matches_differences"},
    {"empty_row_in_backward", "masked_row_is_zero"},
    {"parts_by_threads", "threads_do_not_change_bits"},
};
enum { ABOUT = sizeof about / sizeof *about };

/* Whether the invariant holds with the fault (NULL: none). What a fault needs are the cases that are always tried: one
 * random case is enough here. */
static bool holds(const dev_invariant *invariant, const char *fault, char what[200]) {
    json_t *options = json_pack("{s:s*,s:i}", "fault", fault, "cases", fault ? 1 : 6), *evidence = NULL;
    spak_error err = {""};
    bool ran = invariant->check(options, &evidence, &err), good = spak_json_bool(evidence, "holds", false);
    const char *text = spak_json_str(json_object_get(evidence, "counterexample"), "what", err.message);
    snprintf(what, 200, "%s", text);
    if (!ran) printf("# %s could not run: %s\n", invariant->name, err.message);
    json_decref(options);
    json_decref(evidence);
    return good || !ran; /* what could not run caught nothing */
}

/* The first invariant in the gate's order that breaks; NULL: the fault is missed. */
static const char *first_catch(const char *fault, char what[200]) {
    for (int i = 0; i < FMHA_NUM_INVARIANTS; i++)
        if (!holds(&fmha_invariants[i], fault, what)) return fmha_invariants[i].name;
    return NULL;
}

static const dev_invariant *invariant_of(const char *name) {
    for (int i = 0; i < FMHA_NUM_INVARIANTS; i++)
        if (strcmp(fmha_invariants[i].name, name) == 0) return &fmha_invariants[i];
    return NULL;
}

static void each_fault(void) {
    double slowest = 0;
    for (int f = 0; f < FMHA_NUM_FAULTS; f++) {
        char what[200];
        uint64_t begun = spak_now_ns();
        const char *by = first_catch(fmha_faults[f].name, what);
        slowest = fmax(slowest, (double)(spak_now_ns() - begun) * 1e-9);
        ok(by != NULL, "%s is caught by %s: %s", fmha_faults[f].name, by ? by : "nothing", what);
    }
    printf("# the slowest catch took %.2f s\n", slowest);
}

static void who_is_about_it(void) {
    for (int i = 0; i < ABOUT; i++) {
        char what[200];
        const dev_invariant *invariant = invariant_of(about[i].invariant);
        bool known = false;
        for (int f = 0; f < FMHA_NUM_FAULTS; f++) known = known || strcmp(fmha_faults[f].name, about[i].fault) == 0;
        ok(known && invariant && !holds(invariant, about[i].fault, what), "%s breaks %s", about[i].fault,
           about[i].invariant);
    }
}

/* --- no fault, and one that does nothing --- */

static bool run_plan(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                     const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err) {
    fmha_plan *plan;
    if (!fmha_plan_new(config, shape, threads, *(fmha_fault *)ctx, &plan, err)) return false;
    if (f) fmha_forward(plan, f);
    if (b) fmha_backward(plan, b);
    fmha_plan_free(plan);
    return true;
}

/* Bit i: check i has a counterexample. */
static unsigned caught(fmha_fault fault) {
    static fmha_check_fn *const checks[] = {
        fmha_check_merge,  fmha_check_two_pass, fmha_check_causal,    fmha_check_masked,  fmha_check_groups,
        fmha_check_bounds, fmha_check_threads,  fmha_check_gradients, fmha_check_written, fmha_check_reads};
    _Static_assert(sizeof checks / sizeof *checks == FMHA_NUM_INVARIANTS, "every check is here");
    unsigned bits = 0;
    for (int i = 0; i < FMHA_NUM_INVARIANTS; i++) {
        fmha_subject subject = {.run = run_plan, .ctx = &fault, .fused_only = true};
        json_t *evidence = NULL;
        spak_error err = {""};
        bool ran = fmha_check_run(checks[i], &subject, NULL, &evidence, &err);
        if (ran && json_object_get(evidence, "counterexample")) bits |= 1u << i;
        if (!ran) printf("# %s\n", err.message);
        json_decref(evidence);
    }
    return bits;
}

static void without_fault(void) {
    double total = 0;
    for (int i = 0; i < FMHA_NUM_INVARIANTS; i++) {
        char what[200];
        uint64_t begun = spak_now_ns();
        bool good = holds(&fmha_invariants[i], NULL, what);
        total += (double)(spak_now_ns() - begun) * 1e-9;
        ok(good, "without a fault %s holds %s", fmha_invariants[i].name, what);
    }
    printf("# the whole gate took %.2f s\n", total);
    is_int(caught(NO_SUCH_FAULT), 0, "a fault that does nothing is missed by all: a miss would be seen");
    ok(caught(1) != 0, "and by the same way a fault that does something is caught");
}

int main(void) {
    spak_json_init();
    each_fault();
    who_is_about_it();
    without_fault();
    return done_testing();
}
