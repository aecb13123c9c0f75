/* plan, guide, gate and ticket: what goes through, and every way in which it must not. */
#include "../tap.h"
#include "toy.h"

static void edit_file(const char *path, const char *from, const char *to) {
    spak_str text = {0}, next = {0};
    spak_error err = {0};
    if (!spak_read_file(path, &text, &err)) toy_fatal(&err);
    const char *at = strstr(text.data, from);
    if (!at) toy_fatal(&(spak_error){"edit_file: the text to replace is not there"});
    spak_str_append(&next, text.data, (size_t)(at - text.data));
    spak_str_puts(&next, to);
    spak_str_puts(&next, at + strlen(from));
    if (!spak_write_file(path, next.data, next.len, &err)) toy_fatal(&err);
    spak_str_free(&text);
    spak_str_free(&next);
}

static bool file_has(const char *path, const char *needle) {
    spak_str text = {0};
    bool found = spak_read_file(path, &text, NULL) && strstr(text.data, needle);
    spak_str_free(&text);
    return found;
}

static void test_plan(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    ok(loop_plan(&t.run, &err), "plan: %s", err.message);
    ok(file_has(t.run.guide_path, "axes: [size, shape, flag]"), "the guide names the axes");
    ok(file_has(t.run.guide_path, "invariants: [adds_up]"), "the guide names the invariants in scope only");
    ok(file_has(t.run.guide_path, "rules: [not_odd]"), "the guide names the rules in scope only");
    ok(file_has(t.run.guide_path, "be fast without being wrong"), "the guide states the intent");
    const json_t *plan = json_array_get(t.run.records, 1);
    is_str(spak_json_str(plan, "kind", ""), "plan", "a plan record is traced");
    is_int(json_array_size(json_object_get(plan, "rules_outside")), 2, "rules out of scope are listed with the reason");
    is_str(spak_json_str(json_array_get(json_object_get(plan, "rules_outside"), 0), "why", ""), "scope: cc",
           "a scope that this machine says nothing about does not hold");
    size_t before = json_array_size(t.run.records);
    ok(loop_plan(&t.run, &err) && json_array_size(t.run.records) == before, "planning again adds nothing");
    toy_close(&t);
}

static void test_plan_without_invariants(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, "system Empty_v1 {\n operator: toy\n knowledge { hint x { text: \"y\" } }\n}\n");
    ok(!loop_plan(&t.run, &err) && strstr(err.message, "no invariant is in scope"), "no invariants, no plan");
    toy_close(&t);
}

static void test_guide_refusals(void) {
    static const struct {
        const char *entry, *complaint;
    } faults[] = {
        {"note: \"use tiles of 64\"", "'64' is a number"},
        {"note: \"the 6x16 tile\"", "'6x16' is a value of the tuning space"},
        {"size: [4]", "'size' is an axis"},
        {"shape: \"wide\"", "'shape' is an axis"},
        {"note: `shape == 3`", "'3' is a number"},
        {"note: \"made for Hopper\"", "'Hopper' is a name of hardware"},
        {"note: 0.5", "'0.5' is a number"},
        {"note: [a, [b, -2]]", "is a number"},
        {"deep { deeper { note: 1e6 } }", "is a number"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        toy t;
        spak_error err = {0};
        spak_str entry = {0};
        toy_open(&t, toy_system_text);
        if (!loop_plan(&t.run, &err)) toy_fatal(&err);
        spak_str_printf(&entry, "  intent: \"x\"\n  %s\n", faults[i].entry);
        edit_file(t.run.guide_path, "  intent:", entry.data);
        edit_file(t.run.guide_path, " \"be fast", "  second_intent: \"be fast");
        ok(!loop_gate(&t.run, &err) && strstr(err.message, faults[i].complaint), "refused: %s", faults[i].entry);
        if (!strstr(err.message, faults[i].complaint)) printf("# message: %s\n", err.message);
        ok(!spak_exists(t.run.ticket_path), "... and no ticket is written");
        spak_str_free(&entry);
        toy_close(&t);
    }
}

static void test_gate(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    ok(!loop_gate(&t.run, &err) && strstr(err.message, "`run:plan()`") && strstr(err.message, "spak plan"),
       "no guide, no gate");
    if (!loop_plan(&t.run, &err)) toy_fatal(&err);
    ok(!loop_ticket_check(&t.run, &err) && strstr(err.message, "`run:gate()`") && strstr(err.message, "spak gate"),
       "no ticket before the gate");
    ok(!loop_tune_system(&t.run, &err) && toy_trials == 0, "no trial without a ticket");
    ok(loop_gate(&t.run, &err), "the gate opens: %s", err.message);
    ok(loop_ticket_check(&t.run, &err), "the ticket is valid: %s", err.message);
    is_int(toy_count(&t, "invariant", NULL, NULL), 1, "the invariant is traced");
    size_t before = json_array_size(t.run.records);
    ok(loop_gate(&t.run, &err) && json_array_size(t.run.records) == before, "passing the gate again adds nothing");

    edit_file(t.run.guide_path, "be fast", "be faster");
    ok(!loop_ticket_check(&t.run, &err) && strstr(err.message, "guide has changed"),
       "a changed guide voids the ticket");
    edit_file(t.run.guide_path, "be faster", "be fast");
    ok(loop_ticket_check(&t.run, &err), "the old guide's ticket holds again");

    edit_file(t.run.ticket_path, "binary_sha256: \"", "binary_sha256: \"0");
    ok(!loop_ticket_check(&t.run, &err) && strstr(err.message, "binary has changed"),
       "another binary voids the ticket");
    toy_close(&t);
}

static void test_forged_ticket(void) {
    toy honest, forger;
    spak_error err = {0};
    spak_str ticket = {0}, guide = {0};
    toy_open(&honest, toy_system_text);
    if (!loop_plan(&honest.run, &err) || !loop_gate(&honest.run, &err)) toy_fatal(&err);
    toy_open(&forger, toy_system_text);
    if (!loop_plan(&forger.run, &err)) toy_fatal(&err);
    if (!spak_read_file(honest.run.ticket_path, &ticket, &err) || !spak_read_file(honest.run.guide_path, &guide, &err))
        toy_fatal(&err);
    spak_write_file(forger.run.ticket_path, ticket.data, ticket.len, &err);
    spak_write_file(forger.run.guide_path, guide.data, guide.len, &err);
    ok(!loop_ticket_check(&forger.run, &err) && strstr(err.message, "never issued it"),
       "a ticket with the right hashes, but from another trace, is refused");
    /* Its record in the trace, too, but none of the invariants it speaks for. */
    const json_t *issued = json_array_get(honest.run.records, json_array_size(honest.run.records) - 1);
    json_t *body = json_copy((json_t *)issued);
    const char *const own[] = {"seq", "kind", "prev"};
    for (int i = 0; i < 3; i++) json_object_del(body, own[i]);
    if (!loop_record(&forger.run, "ticket", body, NULL, &err)) toy_fatal(&err);
    ok(!loop_ticket_check(&forger.run, &err) && strstr(err.message, "does not show that the ticket's invariants hold"),
       "a ticket without its invariants in the trace is refused");
    spak_str_free(&ticket);
    spak_str_free(&guide);
    toy_close(&honest);
    toy_close(&forger);
}

static void test_failing_invariant(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    if (!loop_plan(&t.run, &err)) toy_fatal(&err);
    toy_holds = false;
    ok(!loop_gate(&t.run, &err) && strstr(err.message, "adds_up does not hold"), "a failing invariant shuts the gate");
    toy_holds = true;
    ok(!spak_exists(t.run.ticket_path), "... and no ticket is written");
    ok(!loop_gate(&t.run, &err), "... nor is the failure forgotten by asking again");
    ok(!loop_tune_system(&t.run, &err), "... so nothing can be tuned");
    toy_close(&t);
}

static void test_unknown_invariant(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    if (!loop_plan(&t.run, &err)) toy_fatal(&err);
    edit_file(t.run.guide_path, "[adds_up]", "[adds_up, never_heard_of]");
    ok(!loop_gate(&t.run, &err) && strstr(err.message, "no invariant 'never_heard_of'"),
       "an unknown invariant is no pass");
    edit_file(t.run.guide_path, "[adds_up, never_heard_of]", "[]");
    ok(!loop_gate(&t.run, &err) && strstr(err.message, "names no invariant"), "a guide without invariants is refused");
    toy_close(&t);
}

int main(void) {
    spak_json_init();
    test_plan();
    test_plan_without_invariants();
    test_guide_refusals();
    test_gate();
    test_forged_ticket();
    test_failing_invariant();
    test_unknown_invariant();
    return done_testing();
}
