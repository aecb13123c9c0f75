/* The gate tried on planted faults, and an operator's studies. */
#include "../tap.h"
#include "toy.h"

static const json_t *mutation(const toy *t, const char *fault) {
    json_t *like = json_pack("{s:s, s:s}", "label", "mutation", "fault", fault);
    const json_t *record = loop_find(&t->run, "evaluate", like);
    json_decref(like);
    return record;
}

static void test_mutate(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    ok(!loop_mutate(&t.run, &err) && strstr(err.message, "no ticket"), "without a ticket no fault is planted");
    if (!loop_plan(&t.run, &err) || !loop_gate(&t.run, &err)) toy_fatal(&err);
    ok(loop_mutate(&t.run, &err), "each fault is tried");
    const json_t *seen = mutation(&t, "adds_wrongly"), *missed = mutation(&t, "is_slow");
    ok(spak_json_bool(seen, "caught", false), "a fault that breaks an invariant is caught");
    is_str(spak_json_str(seen, "by", ""), "adds_up", "... by its name");
    is_int(spak_json_int(json_object_get(seen, "counterexample"), "n", 0), 3, "... with the counterexample");
    ok(!spak_json_bool(missed, "caught", true), "one that breaks none is not");
    ok(json_is_null(json_object_get(missed, "by")), "... by nothing");
    size_t before = json_array_size(t.run.records);
    ok(loop_mutate(&t.run, &err) && json_array_size(t.run.records) == before, "what the trace holds is not done again");
    ok(loop_ticket_check(&t.run, &err), "the ticket still stands: a planted fault is no failure of the gate");
    toy_close(&t);
}

static void test_study(void) {
    toy t;
    spak_error err = {0};
    const json_t *record = NULL, *again = NULL;
    json_t *options = json_pack("{s:i}", "n", 21);
    toy_open(&t, toy_system_text);
    ok(!loop_study(&t.run, "doubling", options, &record, &err) && strstr(err.message, "no ticket"),
       "without a ticket nothing is studied");
    if (!loop_plan(&t.run, &err) || !loop_gate(&t.run, &err)) toy_fatal(&err);
    ok(!loop_study(&t.run, "halving", options, &record, &err) && strstr(err.message, "no study 'halving'"),
       "an unknown study is an error");
    ok(loop_study(&t.run, "doubling", options, &record, &err), "a study runs");
    is_int(spak_json_int(json_object_get(record, "result"), "doubled", 0), 42, "... and its result is in the trace");
    int runs = toy_studies_run;
    ok(loop_study(&t.run, "doubling", options, &again, &err) && again == record && toy_studies_run == runs,
       "the same study is not run twice");
    ok(loop_study(&t.run, "doubling", NULL, &again, &err) && again != record, "with other options it is another one");
    json_decref(options);
    toy_close(&t);
}

/* A prediction may be about a number that a study finds. */
static void test_prediction(void) {
    toy t;
    spak_error err = {0};
    dev_spread found = {0};
    size_t count = 9;
    json_t *options = json_pack("{s:i}", "n", 21), *refs = json_array();
    toy_open(&t, toy_system_text);
    if (!loop_plan(&t.run, &err) || !loop_gate(&t.run, &err)) toy_fatal(&err);
    static const char code[] = "study(\"doubling\", \"doubled\")";
    ok(loop_predicted_ratio(&t.run, NULL, code, "here:1:1", &found, &count, refs, &err) && count == 0,
       "before the study there is nothing to compare %s", err.message);
    if (!loop_study(&t.run, "doubling", options, NULL, &err)) toy_fatal(&err);
    ok(loop_predicted_ratio(&t.run, NULL, code, "here:1:1", &found, &count, refs, &err) && count == 1,
       "after it there is");
    is_near(found.median, 42, 0, "... its number");
    is_int(json_array_size(refs), 1, "... and its record");
    ok(loop_predicted_ratio(&t.run, NULL, "study(\"doubling\", \"inner.twice\")", "here:1:1", &found, &count, NULL,
                            &err),
       "a member of a member");
    is_near(found.median, 84, 0, "... its number");
    static const char *const wrong[][2] = {{"study(\"halving\", \"doubled\")", "no study 'halving'"},
                                           {"study(\"doubling\", \"halved\")", "finds no number 'halved'"},
                                           {"study(\"doubling\", \"inner.thrice\")", "finds no number 'inner.thrice'"},
                                           {"study(\"doubling\")", "a prediction reads"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ok(!loop_predicted_ratio(&t.run, NULL, wrong[i][0], "here:1:1", &found, &count, refs, &err) &&
               strstr(err.message, wrong[i][1]) && strstr(err.message, "here:1:1"),
           "refused: %s", err.message);
    json_decref(options);
    json_decref(refs);
    toy_close(&t);
}

int main(void) {
    spak_json_init();
    test_prediction();
    test_mutate();
    test_study();
    return done_testing();
}
