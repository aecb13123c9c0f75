/* tune, predictions and crystallise on an operator whose every outcome is known. */
#include "../tap.h"
#include "toy.h"

static void open_gated(toy *t, const char *system_text) {
    spak_error err = {0};
    toy_open(t, system_text);
    if (!loop_plan(&t->run, &err) || !loop_gate(&t->run, &err)) toy_fatal(&err);
    toy_trials = 0;
}

static void test_tune(void) {
    toy t;
    spak_error err = {0};
    open_gated(&t, toy_system_text);
    ok(loop_tune_system(&t.run, &err), "tune: %s", err.message);
    const json_t *converged = json_array_get(t.run.records, json_array_size(t.run.records) - 1);
    is_str(spak_json_str(converged, "kind", ""), "converge", "the search ends in a converge record");
    const json_t *best = json_object_get(converged, "best");
    is_int(spak_json_int(best, "size", 0), 4, "the best size that the constraint allows is found");
    is_str(spak_json_str(best, "shape", ""), "wide", "the best shape is found");
    ok(toy_count(&t, "measure", "status", "refused") >= 2, "constraint and rule refuse, and both refusals are traced");
    is_int(toy_count(&t, "measure", "status", "failed"), 0, "the path of this search meets no wrong result");
    is_int(toy_count(&t, "correct", NULL, NULL), toy_trials, "each trial's check is traced");
    is_int(toy_count(&t, "converge", "label", "elsewhere"), 0, "a problem whose condition does not hold is left out");
    bool by_constraint = false, by_rule = false;
    for (size_t i = 0; i < json_array_size(t.run.records); i++) {
        const char *reason = spak_json_str(json_array_get(t.run.records, i), "reason", "");
        by_constraint = by_constraint || strstr(reason, "constraint size_fits");
        by_rule = by_rule || strstr(reason, "rule not_odd");
    }
    ok(by_constraint && by_rule, "refusals name the constraint and the rule");

    int trials = toy_trials;
    size_t before = json_array_size(t.run.records);
    ok(loop_tune_system(&t.run, &err), "tune again: %s", err.message);
    is_int(toy_trials, trials, "no trial of the trace is repeated");
    is_int(json_array_size(t.run.records), before, "and nothing is added");
    toy_close(&t);
}

static void test_failed_trial(void) {
    toy t;
    spak_error err = {0};
    const json_t *record = NULL;
    open_gated(&t, toy_system_text);
    json_t *config = json_pack("{s:i, s:s, s:i}", "size", 1, "shape", "odd", "flag", 0), *problem = json_object();
    ok(loop_trial(&t.run, "measure", &(loop_asked){"x", config, problem, NULL}, &record, &err),
       "a wrong result is a result");
    is_str(spak_json_str(record, "status", ""), "failed", "... with status failed");
    ok(!spak_json_bool(json_array_get(t.run.records, json_array_size(t.run.records) - 2), "correct", true),
       "... and its correctness record says so");
    ok(!loop_tune(&t.run, "y", config, problem, NULL, 10, NULL, &err) && strstr(err.message, "starting configuration"),
       "a search does not start from it");
    json_decref(config);
    json_decref(problem);
    toy_close(&t);
}

static void test_budget(void) {
    toy t;
    spak_error err = {0};
    json_t *problem = json_object(), *best = NULL;
    open_gated(&t, toy_system_text);
    ok(loop_tune(&t.run, "short", NULL, problem, NULL, 3, &best, &err), "a search with a small budget: %s",
       err.message);
    is_int(toy_trials, 3, "it keeps to its budget");
    json_decref(problem);
    json_decref(best);
    toy_close(&t);
}

/* A bad start among several does not stop the search, and the best of them is where it goes on from. */
static void test_several_starts(void) {
    toy t;
    spak_error err = {0};
    json_t *problem = json_object(), *best = NULL;
    json_t *starts = json_pack("[{s:i, s:s, s:i}, {s:i, s:s}, {s:i, s:s}]", "size", 1, "shape", "odd", "flag", 0,
                               "size", 1, "shape", "6x16", "size", 4, "shape", "6x16");
    open_gated(&t, toy_system_text);
    ok(loop_tune(&t.run, "several", starts, problem, NULL, 4, &best, &err), "a search from several starts: %s",
       err.message);
    is_int(spak_json_int(best, "size", 0), 4, "a good one behind a wrong one is met within the budget");
    json_array_remove(starts, 2), json_array_remove(starts, 1);
    ok(!loop_tune(&t.run, "none", starts, problem, NULL, 4, NULL, &err) &&
           strstr(err.message, "starting configuration"),
       "no good one among them is an error");
    json_decref(problem), json_decref(best), json_decref(starts);
    toy_close(&t);
}

/* What the operator fills in may break a rule that said nothing while the axis was open. */
static void test_refused_start(void) {
    static const char strict[] =
        "system Strict_v1 {\n operator: toy\n objective o { target: \"x\" }\n"
        " knowledge {\n  invariant adds_up { statement: \"y\" }\n  rule large { apply: `size == 4` }\n }\n}\n";
    toy t;
    spak_error err = {0};
    json_t *problem = json_object(), *start = json_pack("{s:i}", "size", 4);
    open_gated(&t, strict);
    ok(!loop_tune(&t.run, "strict", NULL, problem, NULL, 10, NULL, &err) && strstr(err.message, "refused by a rule"),
       "a refused default is an error that says so: %s", err.message);
    ok(loop_tune(&t.run, "other", start, problem, NULL, 10, NULL, &err), "another start is fine");
    json_decref(problem), json_decref(start);
    toy_close(&t);
}

/* Records as a trial leaves them, whose samples say something else than their medians do. */
static void test_paired(toy *t) {
    spak_error err = {0};
    dev_spread ratio = {0};
    size_t pairs = 0;
    json_t *beside = json_pack("{s:s, s:s, s:{s:i}, s:{}, s:[f,f,f], s:[f,f,f], s:f, s:f}", "label", "p", "status",
                               "ok", "config", "size", 70, "problem", "time_ms", 1.0, 2.0, 4.0, "peer_time_ms", 3.0,
                               10.0, 4.0, "bytes", 2.0, "peer_bytes", 5.0);
    json_t *alone = json_pack("{s:s, s:s, s:{s:i}, s:{}, s:[f]}", "label", "p", "status", "ok", "config", "size", 70,
                              "problem", "time_ms", 1.0);
    ok(loop_record(&t->run, "evaluate", beside, NULL, &err) && loop_record(&t->run, "evaluate", alone, NULL, &err),
       "a trial beside its peer, and one alone: %s", err.message);
    ok(loop_predicted_ratio(&t->run, NULL, "paired(peer_time_ms, time_ms, size == 70)", "here:1:1", &ratio, &pairs,
                            NULL, &err),
       "two metrics of one trial: %s", err.message);
    is_near(ratio.median, 3.0, 1e-12, "are divided sample by sample (the medians' quotient is 2)");
    is_int(pairs, 1, "and a trial without a peer is passed over");
    ok(loop_predicted_ratio(&t->run, NULL, " paired(peer_bytes, bytes, size == 70)", "here:1:1", &ratio, &pairs, NULL,
                            &err),
       "single numbers too: %s", err.message);
    is_near(ratio.median, 2.5, 1e-12, "give their quotient");
    ok(loop_predicted_ratio(&t->run, NULL, "paired(peer_time_ms, time_ms, size == 71)", "here:1:1", &ratio, &pairs,
                            NULL, &err) &&
           !pairs,
       "no such trial, nothing compared");
    static const char *const wrong[][2] = {{"paired(peer_time_ms, tame_ms, size == 70)", "no metric 'tame_ms'"},
                                           {"paired(peer_tame_ms, time_ms, size == 70)", "no metric 'peer_tame_ms'"},
                                           {"paired(peer_bytes, time_ms, size == 70)", "not taken in pairs"},
                                           {"paired(peer_bytes, bytes, size)", "neither true nor false"},
                                           {"paired(peer_bytes, bytes)", "a prediction reads"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ok(!loop_predicted_ratio(&t->run, NULL, wrong[i][0], "here:1:1", &ratio, &pairs, NULL, &err) &&
               strstr(err.message, wrong[i][1]),
           "%s is refused: %s", wrong[i][0], err.message);
}

static void test_predictions(void) {
    toy t;
    spak_error err = {0};
    dev_spread ratio = {0};
    size_t pairs = 0;
    open_gated(&t, toy_system_text);
    ok(loop_hypothesise(&t.run, &err), "hypotheses: %s", err.message);
    is_int(toy_count(&t, "hypothesis", NULL, NULL), 4, "each prediction in scope is written down before the trials");
    if (!loop_tune_system(&t.run, &err)) toy_fatal(&err);
    ok(loop_predicted_ratio(&t.run, NULL, "ratio(gflops, size == 4, size == 1)", "here:1:1", &ratio, &pairs, NULL,
                            &err),
       "a ratio is computed: %s", err.message);
    is_near(ratio.median, 4.0, 1e-12, "over trials that agree in all else");
    ok(pairs >= 1, "from at least one pair");
    ok(loop_predicted_ratio(&t.run, NULL,
                            "ratio(gflops, shape == \"wide\" and size == 4, size == 4 and shape == \"6x16\")",
                            "here:1:1", &ratio, &pairs, NULL, &err),
       "commas and conditions in quotes: %s", err.message);
    is_near(ratio.median, 1.5, 1e-12, "compound conditions");
    ok(loop_predicted_ratio(&t.run, NULL, "ratio(time_ms, size == 1, size == 4)", "here:1:1", &ratio, &pairs, NULL,
                            &err),
       "a metric may be a list of samples: %s", err.message);
    is_near(ratio.median, 4.0, 1e-12, "whose median counts");
    json_t *program = json_pack("{s:s, s:s, s:[s]}", "label", "peer", "status", "ok", "command", "python3");
    ok(loop_record(&t.run, "evaluate", program, NULL, &err) &&
           loop_predicted_ratio(&t.run, NULL, "ratio(gflops, n == 10, n == 20)", "here:1:1", &ratio, &pairs, NULL,
                                &err),
       "a program's record is no trial: %s", err.message);
    static const char *const malformed[] = {"ratio(gflops, size == 1)", "gflops > 3", "ratio(a, b, c, d)",
                                            "ratio(gflops, size == 1, size == 2",
                                            "ratio(gflops, size == 1, size == 2) > 1"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        ok(!loop_predicted_ratio(&t.run, NULL, malformed[i], "here:1:1", &ratio, &pairs, NULL, &err) &&
               strstr(err.message, "here:1:1"),
           "malformed prediction refused: %s", malformed[i]);
    ok(!loop_predicted_ratio(&t.run, NULL, "ratio(gflops, size, size == 2)", "here:1:1", &ratio, &pairs, NULL, &err) &&
           strstr(err.message, "neither true nor false"),
       "a condition that is no condition is refused");

    ok(!loop_predicted_ratio(&t.run, NULL, "ratio(gflopz, size == 1, size == 2)", "here:1:1", &ratio, &pairs, NULL,
                             &err) &&
           strstr(err.message, "no metric 'gflopz'"),
       "a metric that trials do not have is refused, not untested");

    test_paired(&t);
    ok(loop_settle(&t.run, &err), "settle: %s", err.message);
    is_int(toy_count(&t, "insight", "outcome", "confirmed"), 3, "predictions that came true");
    is_int(toy_count(&t, "insight", "outcome", "untested"), 1, "what was never tried is untested, not confirmed");
    size_t before = json_array_size(t.run.records);
    ok(loop_settle(&t.run, &err) && json_array_size(t.run.records) == before, "settling again adds nothing");
    toy_close(&t);
}

/* A type that is an axis is the configuration's; else it is the operator's. */
static void test_type_as_axis(void) {
    static const char system[] =
        "system Typed_v1 {\n operator: toy\n objective o { target: \"x\" }\n"
        " engineering_loop { problem p { n: 1 } profile smoke { trials: 30 } }\n"
        " knowledge {\n  invariant adds_up { statement: \"y\" }\n  rule no_half { apply: `dtype ~= \"f16\"` }\n }\n}\n";
    toy t;
    spak_error err = {0};
    const json_t *record = NULL;
    json_t *problem = json_object(), *half = json_pack("{s:s}", "dtype", "f16"), *none = json_object();
    open_gated(&t, system);
    ok(loop_trial(&t.run, "measure", &(loop_asked){"x", half, problem, NULL}, &record, &err),
       "a trial in another type");
    is_str(spak_json_str(record, "status", ""), "refused", "a rule sees the configuration's type");
    ok(loop_trial(&t.run, "measure", &(loop_asked){"x", none, problem, NULL}, &record, &err),
       "one in the operator's type");
    is_str(spak_json_str(record, "status", ""), "ok", "which the rule sees otherwise");
    json_decref(problem), json_decref(half), json_decref(none);
    toy_close(&t);
}

static void test_contradiction(void) {
    static const char wrong[] =
        "system Wrong_v1 {\n operator: toy\n objective o { target: \"x\" }\n"
        " engineering_loop { problem p { n: 1 } profile smoke { trials: 30 } }\n"
        " knowledge {\n  invariant adds_up { statement: \"y\" }\n"
        "  rule small_is_fast { predict: `ratio(gflops, size == 4, size == 1)` within: [0.1, 0.9] support: 2\n"
        "   contradictions: 0 status: valid }\n }\n}\n";
    toy t;
    spak_error err = {0};
    open_gated(&t, wrong);
    char *next = toy_path(&t, "next.dsl");
    ok(loop_tune_system(&t.run, &err) && loop_settle(&t.run, &err) && loop_crystallise(&t.run, next, &err), "%s",
       err.message);
    is_int(toy_count(&t, "insight", "outcome", "contradicted"), 1, "a prediction that fails is contradicted");
    json_t *system = NULL;
    ok(dsl_load_system(next, &system, &err), "the next version parses: %s", err.message);
    const json_t *rule = dsl_block(dsl_block(system, "knowledge", NULL, 0), "rule", "small_is_fast", 0);
    is_int(json_integer_value(dsl_value(rule, "contradictions")), 1, "the contradiction is counted");
    is_int(json_integer_value(dsl_value(rule, "support")), 2, "the support stays");
    is_str(dsl_text(dsl_value(rule, "status"), ""), "contested", "the rule is contested");
    json_decref(system);
    spak_free(next);
    toy_close(&t);
}

static void test_crystallise(void) {
    toy t;
    spak_error err = {0};
    open_gated(&t, toy_system_text);
    char *next = toy_path(&t, "toy_system_v2.dsl");
    ok(!loop_crystallise(&t.run, next, &err) && strstr(err.message, "nothing that the system does not know"),
       "nothing measured, nothing learned");
    if (!loop_tune_system(&t.run, &err) || !loop_settle(&t.run, &err)) toy_fatal(&err);
    ok(loop_crystallise(&t.run, next, &err), "crystallise: %s", err.message);
    json_t *system = NULL;
    ok(dsl_load_system(next, &system, &err), "the next version is a system: %s", err.message);
    is_str(spak_json_str(system, "name", ""), "Toy_System_v2", "its version is one higher");
    const json_t *knowledge = dsl_block(system, "knowledge", NULL, 0);
    const json_t *best = dsl_block(knowledge, "fact", "best_small_on_toy_cpu", 0);
    ok(best && strstr(dsl_code(dsl_value(best, "config")), "size == 4"), "it states the best configuration");
    const char *evidence = dsl_text(json_array_get(dsl_value(best, "evidence"), 0), "");
    ok(spak_starts_with(evidence, "trace:toy/toy-cpu#"), "with a trace reference as evidence: %s", evidence);
    const json_t *scope = dsl_block(best, "scope", NULL, 0);
    is_str(dsl_text(json_array_get(dsl_value(scope, "op"), 0), ""), "toy", "it speaks of this operator");
    is_str(dsl_text(json_array_get(dsl_value(scope, "id"), 0), ""), "toy-cpu", "on this machine");
    ok(dsl_block(knowledge, "fact", "size_1_loses_small_on_toy_cpu", 0), "a losing value is a (negative) fact");
    ok(dsl_block(knowledge, "fact", "flag_makes_no_difference_small_on_toy_cpu", 0),
       "an axis without effect is a (negative) fact");
    const json_t *rule = dsl_block(knowledge, "rule", "prefer_size_on_avx2", 0);
    is_str(dsl_code(dsl_value(rule, "apply")), "size == 4", "an axis that matters becomes a rule");
    is_str(dsl_text(dsl_value(rule, "status"), ""), "proposed", "that is proposed, not proven");
    const json_t *counted = dsl_block(knowledge, "rule", "not_odd", 0);
    is_int(json_integer_value(dsl_value(counted, "support")), 1, "a confirmed rule gains support");
    ok(dsl_block(knowledge, "fact", "outcome_of_four_beats_one_on_toy_cpu", 0), "a hypothesis' outcome is a fact");
    json_decref(system);

    loop_run *archived = NULL;
    ok(!loop_open_trace(t.run.system_path, trace_path(t.run.trace), t.run.eval, &archived, &err),
       "a trace that names no machine is not learned from: %s", err.message);
    spak_str first = {0}, second = {0};
    size_t before = json_array_size(t.run.records);
    spak_read_file(next, &first, &err);
    ok(loop_crystallise(&t.run, next, &err) && json_array_size(t.run.records) == before, "again: nothing is added");
    spak_read_file(next, &second, &err);
    is_str(second.data, first.data, "and the file is the same");
    spak_str_free(&first);
    spak_str_free(&second);
    spak_free(next);
    toy_close(&t);
}

/* A system whose tuning_space is `axes`; the plan's error, or "" when it is made. */
static const char *plan_with(const char *axes) {
    static spak_error err;
    toy t;
    spak_str text = {0};
    const char *rest = strstr(toy_system_text, "    objective");
    spak_str_append(&text, toy_system_text, (size_t)(rest - toy_system_text));
    spak_str_printf(&text, "    tuning_space { %s }\n%s", axes, rest);
    err = (spak_error){0};
    toy_open(&t, text.data);
    bool planned = loop_plan(&t.run, &err);
    toy_close(&t);
    spak_str_free(&text);
    return planned ? "" : err.message;
}

static void test_axes(void) {
    is_str(plan_with("size: [2, 4]"), "", "a system may narrow an axis");
    ok(strstr(plan_with("size: \"4\""), "'size' (line 3): expected a list"), "but not with something that is no list");
    ok(strstr(plan_with("size: [4, \"a\"]"), "value 2 of the list is none"),
       "nor with a value that the manifest lacks");
    ok(strstr(plan_with("size: []"), "the list is empty"), "nor to nothing");
    ok(strstr(plan_with("sice: [4]"), "does not have"), "nor an axis that there is not");
}

int main(void) {
    spak_json_init();
    test_tune();
    test_failed_trial();
    test_budget();
    test_several_starts();
    test_refused_start();
    test_predictions();
    test_type_as_axis();
    test_contradiction();
    test_crystallise();
    test_axes();
    return done_testing();
}
