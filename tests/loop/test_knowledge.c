/* The ledger of a plan's knowledge: each item in the one list that it belongs to, and none lost. */
#include "../tap.h"
#include "toy.h"

static const char parent_text[] =
    "system Parent_v3 {\n"
    "    operator: other\n"
    "    knowledge {\n"
    "        invariant adds_up { statement: \"as the parent says it\" }\n"
    "        invariant of_the_parent { statement: \"the parent's alone\" scope { op: [other] } }\n"
    "        rule same_for_all { apply: `size < 9` reason: \"anywhere\" }\n"
    "        rule narrow { when: `op == \"other\"` apply: `size == 1` }\n"
    "        hint think_first { text: \"before trying\" }\n"
    "        fact seen_there { scope { id: [\"toy-cpu\"] } }\n"
    "        fact seen_elsewhere { scope { id: [\"moon\"] } }\n"
    "    }\n"
    "}\n";

/* %s: the parent's file. */
static const char heir_text[] =
    "system Heir_v1 {\n"
    "    inherits: \"%s\"\n"
    "    operator: toy\n"
    "    objective Speed { target: \"be fast without being wrong\" }\n"
    "    engineering_loop { profile smoke { trials: 30 samples: 3 } }\n"
    "    knowledge {\n"
    "        invariant adds_up { statement: \"as the heir says it\" }\n"
    "        rule narrow { when: `op == \"other\" or op == \"toy\"` apply: `size < 9` }\n"
    "        rule fresh { apply: `size > 0` }\n"
    "        rule gone { apply: `size > 1` status: retired }\n"
    "        hint of_the_gpu { text: \"not here\" scope { kind: [gpu] } }\n"
    "    }\n"
    "}\n";

static const json_t *entry_in(const json_t *ledger, const char *list, const char *kind, const char *name) {
    const json_t *entries = json_object_get(ledger, list), *entry;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        entry = json_array_get(entries, i);
        if (!strcmp(spak_json_str(entry, "kind", ""), kind) && !strcmp(spak_json_str(entry, "name", ""), name))
            return entry;
    }
    return NULL;
}

static const json_t *plan_of(toy *t) {
    json_t *none = json_object();
    const json_t *plan = loop_find(&t->run, "plan", none);
    json_decref(none);
    return json_object_get(plan, "knowledge");
}

static void open_heir(toy *t, const char *parent) {
    spak_error err = {0};
    spak_str text = {0};
    if (!spak_write_file(parent, parent_text, strlen(parent_text), &err)) toy_fatal(&err);
    spak_str_printf(&text, heir_text, parent);
    toy_open(t, text.data);
    spak_str_free(&text);
}

static void test_lists(const char *parent) {
    static const struct {
        const char *list, *kind, *name;
        bool parents; /* from the parent's file */
    } wanted[] = {
        {"changed", "invariant", "adds_up", true},
        {"changed", "rule", "narrow", true},
        {"inherited", "rule", "same_for_all", true},
        {"inherited", "hint", "think_first", true},
        {"inherited", "fact", "seen_there", true},
        {"new", "rule", "fresh", false},
        {"outside", "invariant", "of_the_parent", true},
        {"outside", "fact", "seen_elsewhere", true},
        {"outside", "rule", "gone", false},
        {"outside", "hint", "of_the_gpu", false},
    };
    enum { WANTED = sizeof wanted / sizeof *wanted };
    toy t;
    spak_error err = {0};
    open_heir(&t, parent);
    ok(loop_plan(&t.run, &err), "a plan with an inheritance: %s", err.message);
    const json_t *ledger = plan_of(&t);
    size_t total = 0;
    const char *list;
    json_t *entries;
    json_object_foreach((json_t *)ledger, list, entries) total += json_array_size(entries);
    is_int(total, WANTED, "each item stands in one list");
    for (size_t i = 0; i < WANTED; i++) {
        const json_t *entry = entry_in(ledger, wanted[i].list, wanted[i].kind, wanted[i].name);
        is_str(spak_json_str(entry, "from", ""), wanted[i].parents ? parent : t.run.system_path, "%s: %s %s",
               wanted[i].list, wanted[i].kind, wanted[i].name);
    }
    is_str(spak_json_str(entry_in(ledger, "outside", "fact", "seen_elsewhere"), "why", ""), "scope: id", "and why");
    is_str(spak_json_str(entry_in(ledger, "outside", "rule", "gone"), "why", ""), "status: retired", "and why");
    size_t before = json_array_size(t.run.records);
    ok(loop_plan(&t.run, &err) && json_array_size(t.run.records) == before, "planning again adds nothing");
    toy_close(&t);
}

/* An inherited invariant that is in scope is in the plan: the gate has to pass it, so an operator without it is
 * stopped. */
static void test_inherited_invariants_bind(const char *parent) {
    toy t;
    spak_error err = {0};
    spak_str text = {0};
    spak_str_puts(&text, "system Bound_v1 {\n inherits: \"");
    spak_str_printf(&text, "%s\"\n operator: toy\n", parent);
    spak_str_puts(&text, " knowledge { invariant of_the_parent { statement: \"now for all\" } }\n}\n");
    if (!spak_write_file(parent, parent_text, strlen(parent_text), &err)) toy_fatal(&err);
    toy_open(&t, text.data);
    ok(loop_plan(&t.run, &err), "an invariant whose scope was widened");
    ok(!loop_gate(&t.run, &err) && strstr(err.message, "no invariant 'of_the_parent'"),
       "... and which the operator does not show shuts the gate");
    spak_str_free(&text);
    toy_close(&t);
}

static void test_without_inheritance(void) {
    toy t;
    spak_error err = {0};
    toy_open(&t, toy_system_text);
    ok(loop_plan(&t.run, &err), "a plan without an inheritance");
    const json_t *ledger = plan_of(&t);
    is_int(json_array_size(json_object_get(ledger, "inherited")), 0, "inherits nothing");
    is_int(json_array_size(json_object_get(ledger, "changed")), 0, "changes nothing");
    is_int(json_array_size(json_object_get(ledger, "new")), 2, "all that is in scope is new");
    is_int(json_array_size(json_object_get(ledger, "outside")), 3, "the rest is outside");
    toy_close(&t);
}

int main(void) {
    char parent[] = "/tmp/spak-parent-XXXXXX";
    spak_json_init();
    int file = mkstemp(parent);
    if (file < 0) toy_fatal(&(spak_error){"cannot make a file"});
    close(file);
    test_lists(parent);
    test_inherited_invariants_bind(parent);
    test_without_inheritance();
    unlink(parent);
    return done_testing();
}
