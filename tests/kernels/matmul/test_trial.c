/* The trial: what is a result, what is a refusal, what is an error. */
#include <stdlib.h>
#include <string.h>

#include "../../tap.h"
#include "device/blas.h"
#include "matmul/matmul.h"

static json_t *parse(const char *text) { return text ? json_loads(text, 0, NULL) : NULL; }

static bool trial(const char *config, const char *problem, const char *options, json_t **result, spak_error *err) {
    json_t *c = parse(config), *p = parse(problem), *o = parse(options);
    *err = (spak_error){""};
    bool ran = matmul_op.trial(c, p, o, result, err);
    json_decref(c);
    json_decref(p);
    json_decref(o);
    return ran;
}

static const char *const small = "{\"m\": 65, \"n\": 70, \"k\": 33, \"seed\": 5}";
static const char *const quick = "{\"samples\": 3, \"min_sample_ms\": 0.05, \"flush\": false}";

static void test_ok(const char *config, const char *problem) {
    json_t *result;
    spak_error err;
    if (!ok(trial(config, problem, quick, &result, &err), "trial of %s on %s %s", config, problem, err.message)) return;
    is_str(spak_json_str(result, "status", ""), "ok", "its status");
    ok(spak_json_bool(result, "correct", false), "correct");
    double error = spak_json_num(result, "error_over_bound", -1);
    ok(error >= 0 && error <= 1, "error over bound %.3g", error);
    is_int(json_array_size(json_object_get(result, "time_ms")), 3, "every sample is there");
    bool peer = json_is_string(json_object_get(result, "peer"));
    is_int(json_array_size(json_object_get(result, "peer_time_ms")), peer ? 3 : 0, "and the peer's");
    bool work = spak_json_num(result, "gflops", 0) > 0;
    ok(!peer || !work || spak_json_num(result, "ratio", 0) > 0, "a ratio when there is a peer");
    ok(peer || !json_object_get(result, "ratio"), "no ratio without one");
    ok(json_object_get(json_object_get(result, "config"), "variant"), "the configuration is filled in");
    json_decref(result);
}

static void test_refused(const char *config, const char *problem, const char *reason) {
    json_t *result;
    spak_error err;
    if (!ok(trial(config, problem, quick, &result, &err), "%s is a result %s", config, err.message)) return;
    is_str(spak_json_str(result, "status", ""), "refused", "refused");
    const char *found = spak_json_str(result, "reason", "");
    ok(strstr(found, reason), "because: %s", found);
    ok(!json_object_get(result, "time_ms"), "nothing was timed");
    json_decref(result);
}

static void test_malformed(const char *problem, const char *options, const char *expected) {
    json_t *result;
    spak_error err;
    ok(!trial("{}", problem, options, &result, &err) && !result && strstr(err.message, expected), "error: %s",
       err.message);
}

int main(void) {
    spak_json_init();
    test_ok(NULL, small);
    test_ok("{\"variant\": \"naive\"}", small);
    test_ok("{\"variant\": \"packed\", \"kc\": 16}", small);
    test_ok("{\"isa\": \"portable\", \"tile\": \"4x8\", \"prefetch\": 0}", small);
    test_ok("{}", "{\"m\": 65, \"n\": 70, \"k\": 33, \"threads\": 2, \"trans_a\": true, \"trans_b\": true}");
    test_ok("{}", "{\"m\": 65, \"n\": 70, \"k\": 0}");
    test_ok("{}", "{\"m\": 0, \"n\": 70, \"k\": 3}");
    test_ok("{}", "{\"m\": 400, \"n\": 401, \"k\": 402}"); /* beyond the size where every element is checked */

    test_refused("{\"tile\": \"7x77\"}", small, "axis tile");
    test_refused("{\"tile\": 6}", small, "axis tile");
    test_refused("{\"isa\": \"mmx\"}", small, "axis isa");
    test_refused("{\"variant\": \"magic\"}", small, "axis variant");
    test_refused("{\"kc\": 100000}", small, "panel_of_b_in_l1");
    test_refused("{\"kc\": 64, \"mc\": 1000000}", small, "block_of_a_in_l2");
    test_refused("{\"kc\": 0.5}", small, "axis kc");
    test_refused("{\"variant\": \"naive\"}", "{\"m\": 4, \"n\": 4, \"k\": 4, \"threads\": 2}", "threads_use_them");
    test_refused("{}", "{\"m\": 4, \"n\": 4, \"k\": 4, \"threads\": 0}", "problem.threads");
    if (!dev_cpu_has(DEV_ISA_AVX512)) test_refused("{\"isa\": \"avx512\"}", small, "axis isa");

    test_malformed("{\"m\": 4, \"n\": 4}", quick, "problem.k");
    test_malformed("{\"m\": -1, \"n\": 4, \"k\": 4}", quick, "problem.m");
    test_malformed("{\"m\": \"big\", \"n\": 4, \"k\": 4}", quick, "problem.m");
    test_malformed("[]", quick, "problem");
    test_malformed(small, "{\"samples\": 0}", "samples");
    test_malformed(small, "{\"samples\": 4294967297}", "samples");
    test_malformed(small, "{\"samples\": 1.5}", "samples");
    test_malformed(small, "{\"sampels\": 3}", "no such member");
    test_malformed(small, "{\"check\": 5}", "check: expected true or false");
    test_malformed("{\"m\": 4, \"n\": 4, \"k\": 4, \"threads\": 4294967297}", quick, "threads");
    test_malformed("{\"m\": 4, \"n\": 4, \"k\": 4, \"trans_a\": 1}", quick, "trans_a");
    test_malformed("{\"m\": 4, \"n\": 4, \"k\": 4, \"seed\": \"x\"}", quick, "seed");
    test_refused("{\"varient\": \"naive\"}", small, "no axis 'varient'");

    /* The same call twice gives the same inputs, hence the same error. */
    json_t *one, *two;
    spak_error err;
    bool both = trial("{}", small, "{\"samples\": 1, \"peer\": false}", &one, &err) &&
                trial("{}", small, "{\"samples\": 1, \"peer\": false}", &two, &err);
    ok(both && json_is_null(json_object_get(one, "peer")), "without a peer, peer is null");
    ok(both && spak_json_num(one, "error_over_bound", 1) == spak_json_num(two, "error_over_bound", 2),
       "a seed gives the same inputs");
    json_decref(one);
    json_decref(two);
    return done_testing();
}
