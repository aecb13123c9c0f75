/* The gate of an operator, tried: every invariant holds for the sound code, each fault breaks the one that is there for
 * it, and a fault that there is not is an error. */
#ifndef SPAK_TESTS_GATE_H
#define SPAK_TESTS_GATE_H

#include "base/clock.h"
#include "device/op.h"
#include "tap.h"

static bool gate_holds(const dev_invariant *invariant, const char *fault, int seed, const char **what) {
    static char kept[512];
    spak_error err = {""};
    json_t *evidence = NULL, *options = json_pack("{s:i,s:s*}", "seed", seed, "fault", fault);
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

static void gate_is_sound(const dev_op *op, int seed) {
    for (size_t i = 0; i < op->num_invariants; i++) {
        const char *what = "";
        uint64_t begin = spak_now_ns();
        bool good = gate_holds(&op->invariants[i], NULL, seed, &what);
        ok(good, "%s holds, seed %d, %.0f ms", op->invariants[i].name, seed, (double)(spak_now_ns() - begin) * 1e-6);
        if (!good) printf("# %s\n", what);
    }
}

/* caught_by: the invariant for each fault, in their order; others may see it too. NULL: whichever does. */
static void gate_is_tight(const dev_op *op, const char *const *caught_by) {
    for (size_t f = 0; f < op->num_faults; f++) {
        const char *by = NULL, *what = "";
        for (size_t i = 0; i < op->num_invariants && !by; i++)
            if ((!caught_by || !strcmp(caught_by[f], op->invariants[i].name)) &&
                !gate_holds(&op->invariants[i], op->faults[f].name, 1, &what))
                by = op->invariants[i].name;
        ok(by != NULL, "%s is caught by %s", op->faults[f].name, by ? by : caught_by ? caught_by[f] : "any");
        printf("# %s\n", what);
    }
    spak_error err = {""};
    json_t *evidence = NULL, *options = json_pack("{s:s}", "fault", "no_such_fault");
    ok(!op->invariants[0].check(options, &evidence, &err) && strstr(err.message, "no_such_fault"),
       "an unknown fault is an error: %s", err.message);
    json_decref(options);
}

#endif
