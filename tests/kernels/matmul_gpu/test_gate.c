/* The gate of MatMul on the GPU: every invariant holds, and each planted fault is caught. */
#include "../../tap.h"
#include "matmul/gpu/matmul_gpu.h"

static bool holds(const dev_invariant *invariant, const char *fault, json_t **evidence) {
    spak_error err = {0};
    json_t *options = json_pack("{s:i, s:s*}", "seed", 1, "fault", fault);
    bool ran = invariant->check(options, evidence, &err);
    json_decref(options);
    if (!ran) printf("# %s: %s\n", invariant->name, err.message);
    return ran && spak_json_bool(*evidence, "holds", false);
}

int main(void) {
    for (int i = 0; i < MATMUL_GPU_INVARIANTS; i++) {
        json_t *evidence = NULL;
        bool good = holds(&matmul_gpu_invariants[i], NULL, &evidence);
        const char *what = spak_json_str(json_object_get(evidence, "counterexample"), "what", "no counterexample");
        ok(good && spak_json_int(evidence, "cases", 0) > 10, "%s holds: %s", matmul_gpu_invariants[i].name, what);
        json_decref(evidence);
    }
    for (int f = 0; f < MATMUL_GPU_FAULTS; f++) {
        const char *by = NULL;
        json_t *evidence = NULL;
        for (int i = 0; i < MATMUL_GPU_INVARIANTS && !by; i++) {
            json_decref(evidence);
            evidence = NULL;
            if (!holds(&matmul_gpu_invariants[i], matmul_gpu_faults[f].name, &evidence) && evidence)
                by = matmul_gpu_invariants[i].name;
        }
        ok(by, "%s is caught by %s: %s", matmul_gpu_faults[f].name, by ? by : "nothing",
           spak_json_str(json_object_get(evidence, "counterexample"), "what", ""));
        json_decref(evidence);
    }
    json_t *evidence = NULL;
    ok(!holds(&matmul_gpu_invariants[0], "no_such_fault", &evidence) && !evidence, "a fault that is none is an error");
    return done_testing();
}
