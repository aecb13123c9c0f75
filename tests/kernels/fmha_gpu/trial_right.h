/* A trial on the pretended GPU that has to be right; for the tests of trials. */
#ifndef SPAK_TESTS_FMHA_GPU_TRIAL_RIGHT_H
#define SPAK_TESTS_FMHA_GPU_TRIAL_RIGHT_H

#include "../../tap.h"
#include "pretend.h"

static const char *const CASUAL =
    "{\"batch\": 1, \"heads\": 2, \"kv_heads\": 1, \"q_len\": 8, \"kv_len\": 11, "
    "\"head_dim\": 32, \"causal\": true, \"seed\": 5}";

/* Runs a trial on `problem` with members of `more` put in; a new reference, or NULL. */
static json_t *trial(const char *problem, const char *more, const char *options, spak_error *err) {
    json_t *p = json_loads(problem, 0, NULL), *m = json_loads(more, 0, NULL), *o = json_loads(options, 0, NULL);
    json_t *result = NULL, *config = json_pack("{s:s}", "variant", "mma_sync");
    json_object_update(p, m);
    pretend.launches = 0;
    *err = (spak_error){0};
    if (!fmha_gpu_trial(config, p, o, &result, err)) result = NULL;
    json_decref(p), json_decref(m), json_decref(o), json_decref(config);
    return result;
}

static const char *const ALONE = "{\"samples\": 2, \"min_sample_ms\": 0, \"peer\": false}";

static void is_right(const char *what, const char *more) {
    spak_error err;
    json_t *r = trial(CASUAL, more, ALONE, &err);
    double worst = spak_json_num(r, "error_over_bound", 9);
    ok(r && !strcmp(spak_json_str(r, "status", ""), "ok") && spak_json_bool(r, "correct", false) && worst <= 1 &&
           spak_json_int(r, "checked_sets", 0) >= 1 && json_array_size(json_object_get(r, "time_ms")) == 2 &&
           spak_json_num(r, "tflops", 0) > 0 && json_object_get(r, "errors") && json_object_get(r, "during"),
       "%s: right, %.2f of the bound", what, worst);
    if (!r || strcmp(spak_json_str(r, "status", ""), "ok") != 0)
        printf("# %s %s\n", err.message, spak_json_str(r, "reason", ""));
    json_decref(r);
    is_int(pretend.bytes, 0, "%s: all memory is given back", what);
}

#endif
