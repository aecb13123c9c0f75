/* LoopLM as an operator: the gate holds, every planted fault is caught by it, trials refuse what they should, and what
 * is derived is right. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../gate.h"
#include "base/alloc.h"
#include "nn/looplm.h"

static json_t *trial(const char *config, const char *problem) {
    spak_error err = {""};
    json_t *c = json_loads(config, 0, NULL), *p = json_loads(problem, 0, NULL), *result = NULL;
    if (!c || !p || !looplm_trial(c, p, NULL, &result, &err)) printf("# %s\n", err.message);
    json_decref(c);
    json_decref(p);
    return result;
}

static void refused(const char *config, const char *problem, const char *why) {
    json_t *r = trial(config, problem);
    is_str(spak_json_str(r, "status", ""), "refused", "%s %s", config, problem);
    ok(strstr(spak_json_str(r, "reason", ""), why) != NULL, "because: %s", spak_json_str(r, "reason", ""));
    json_decref(r);
}

#define TINY                                                                                                       \
    "{\"layers\": 1, \"loops\": 2, \"width\": 16, \"heads\": 2, \"most_digits\": 1, \"window\": 1, \"kinds\": 2, " \
    "\"positions\": \"rope_index\"}"
#define BRIEF "\"steps\": 120, \"batch\": 16, \"seed\": 3, \"threads\": 1, \"rate\": 5e-3"

static void test_trial(void) {
    refused(TINY, "{" BRIEF ", \"evaluate\": [{\"digits\": [1], \"reversed\": false}]}", "a format that it never saw");
    refused(TINY, "{" BRIEF ", \"evaluate\": [{\"digits\": [0]}]}", "digits");
    refused(TINY, "{" BRIEF ", \"evaluate\": [{\"digits\": [1], \"loops\": [2, 1]}]}", "ascending");
    refused(TINY, "{" BRIEF ", \"evaluate\": [{\"digits\": [1], \"lops\": [2]}]}", "lops");
    refused("{\"depth\": 3}", "{" BRIEF "}", "depth");
    const char *asked =
        "{" BRIEF
        ", \"evaluate\": [{\"digits\": [1, 3], \"marks\": true}, {\"digits\": [1], \"loops\": [1, 2, 4]}, "
        "{\"digits\": [1], \"reversed\": false, \"on_purpose\": true}], "
        "\"decode\": [{\"digits\": [1], \"marks\": true}, {\"digits\": [1], \"threshold\": 0}]}";
    json_t *r = trial(TINY, asked), *again = trial(TINY, asked);
    is_str(spak_json_str(r, "status", ""), "ok", "a run %s", spak_json_str(r, "reason", ""));
    const json_t *tests = json_object_get(r, "evaluations"), *decoded = json_object_get(r, "decoded");
    is_int((long long)json_array_size(tests), 4, "a test for each length");
    is_int((long long)json_array_size(json_object_get(r, "losses")), 120, "the loss of every step");
    ok(json_equal(json_object_get(r, "losses"), json_object_get(again, "losses")) &&
           json_equal(tests, json_object_get(again, "evaluations")),
       "a second run is the same");
    is_str(spak_json_str(json_array_get(tests, 0), "marks", "?"),
           spak_json_str(json_array_get(decoded, 0), "marks", "-"),
           "decoding by itself solves the problems that are solved given the right tokens");
    const json_t *by = json_object_get(json_array_get(tests, 0), "by_carries");
    long long sum = 0;
    for (size_t i = 0; i < json_array_size(by); i++)
        sum += json_integer_value(json_array_get(json_array_get(by, i), 1));
    is_int(sum, spak_json_int(json_array_get(tests, 0), "problems", -1),
           "every problem is counted once by its carries");
    ok(spak_json_bool(json_array_get(tests, 3), "wrong_format", false), "a wrong format says that it is one");
    const json_t *operand = json_object_get(json_object_get(json_array_get(decoded, 1), "spent"), "operand");
    is_int(json_integer_value(json_array_get(operand, 0)), json_integer_value(json_array_get(operand, 1)),
           "at a threshold of nought an operand takes one loop");
    json_decref(r);
    json_decref(again);
}

static double study(size_t which, const char *options, const char *member) {
    spak_error err = {""};
    json_t *o = json_loads(options, 0, NULL), *result = NULL;
    if (!looplm_studies[which].run(o, &result, &err)) printf("# %s\n", err.message);
    const double x = spak_json_num(result, member, NAN);
    json_decref(o);
    json_decref(result);
    return x;
}

static void test_studies(void) {
    /* One digit, two numbers: 2 log 10 nats over 1 + 1 + 1 + 1 + 1.45 + 1 tokens: 45 of 100 sums have two digits. */
    const double floor = study(0, "{\"layout\": \"packed\", \"most_digits\": 1}", "floor");
    ok(fabs(floor - 2 * log(10) / 6.45) < 0.01, "one digit: %.4f nats a token", floor);
    ok(isnan(study(0, "{\"layout\": \"one_pass\"}", "floor")), "no entropy where it is not derived");
    ok(study(1, "{\"layers\": 12, \"loops\": 1, \"width\": 256}", "parameters") == 12 * (12 * 65536 + 512) + 16 * 256,
       "GPT-12L of width 256: %g parameters", study(1, "{\"layers\": 12, \"loops\": 1, \"width\": 256}", "parameters"));
    ok(study(1, "{\"layers\": 1, \"loops\": 30}", "parameters") ==
           study(1, "{\"layers\": 1, \"loops\": 6}", "parameters"),
       "loops add no parameters");
}

/* In the order of looplm_faults. */
static const char *const caught_by[NN_NUM_FAULTS - 1] = {
    "masks_on_the_answer",
    "masks_on_the_answer",
    "masks_on_the_answer",
    "train_and_test_disjoint",
    "one_format",
    "sees_only_what_it_may",
    "sees_only_what_it_may",
    "sees_only_what_it_may",
    "gradients_match_differences",
    "cpu_matches_oracle",
    "cpu_matches_oracle",
    "threads_do_not_change_bits",
    "one_batch_by_heart",
    "gradients_match_differences",
    "gradients_match_differences",
    "gradients_match_differences",
    "one_batch_by_heart",
    "cache_does_not_change_answers",
    "cache_does_not_change_answers",
    "halting_keeps_frozen_state",
    "halting_keeps_frozen_state",
    "halting_keeps_frozen_state",
};

int main(void) {
    spak_json_init();
    gate_is_sound(&looplm_op, 7);
    gate_is_tight(&looplm_op, caught_by);
    test_trial();
    test_studies();
    return done_testing();
}
