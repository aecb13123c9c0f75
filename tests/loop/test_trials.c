/* Many trials at once: the trace is that of one after the other, whichever was done first. */
#include <stdatomic.h>
#include <unistd.h>

#include "../tap.h"
#include "device/device.h"
#include "toy.h"

enum { TRIALS = 6 };

static atomic_int running, most_running, begun;

/* The earlier ones take longer, so that the later ones are done first. size 4 cannot be run at all. */
static bool slow_trial(const json_t *config, const json_t *problem, const json_t *options, json_t **result,
                       spak_error *err) {
    const int now = atomic_fetch_add(&running, 1) + 1;
    int most = atomic_load(&most_running);
    while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now)) continue;
    atomic_fetch_add(&begun, 1);
    usleep((useconds_t)(60000 / spak_json_int(problem, "n", 1)));
    bool ok = spak_json_int(config, "size", 1) != 4 ? toy_trial(config, problem, options, result, err)
                                                    : spak_fail(err, "size 4 cannot be run");
    atomic_fetch_sub(&running, 1);
    return ok;
}

static const dev_op *slow_op(void) {
    static dev_op op;
    op = toy_op;
    op.trial = slow_trial;
    return &op;
}

typedef struct asked_list {
    loop_asked items[TRIALS];
    json_t *config[TRIALS], *problem[TRIALS];
} asked_list;

static void ask(asked_list *list, const int *sizes) {
    for (int i = 0; i < TRIALS; i++) {
        list->config[i] = json_pack("{s:i, s:s}", "size", sizes[i], "shape", i == 2 ? "odd" : "wide");
        list->problem[i] = json_pack("{s:i, s:i}", "n", i + 1, "threads", 1);
        list->items[i] = (loop_asked){"x", list->config[i], list->problem[i], NULL};
    }
}

static void drop(asked_list *list) {
    for (int i = 0; i < TRIALS; i++) {
        json_decref(list->config[i]);
        json_decref(list->problem[i]);
    }
}

static void open_gated(toy *t) {
    spak_error err = {0};
    toy_open(t, toy_system_text);
    if (!loop_plan(&t->run, &err) || !loop_gate(&t->run, &err)) toy_fatal(&err);
    t->run.op = slow_op();
    running = most_running = begun = 0;
}

/* Whether record i of the run's "evaluate" records asks for problem n = i + 1. */
static bool in_order(const toy *t, int count) {
    int seen = 0;
    for (size_t i = 0; i < json_array_size(t->run.records); i++) {
        const json_t *record = json_array_get(t->run.records, i);
        if (strcmp(spak_json_str(record, "kind", ""), "evaluate") != 0) continue;
        if (spak_json_int(json_object_get(record, "problem"), "n", 0) != ++seen) return false;
    }
    return seen == count;
}

static void test_order(void) {
    toy t;
    spak_error err = {0};
    asked_list list;
    const json_t *records[TRIALS] = {0};
    open_gated(&t);
    ask(&list, (const int[]){1, 2, 1, 8, 1, 2});
    ok(loop_trials(&t.run, "evaluate", list.items, TRIALS, records, &err), "six trials: %s", err.message);
    ok(in_order(&t, TRIALS), "stand in the trace in the order in which they were asked for");
    bool own = true;
    for (int i = 0; i < TRIALS; i++)
        own = own && spak_json_int(json_object_get(records[i], "problem"), "n", 0) == i + 1;
    ok(own, "and are handed back in that order");
    is_str(spak_json_str(records[2], "status", ""), "failed", "a wrong result is a result");
    is_str(spak_json_str(records[3], "status", ""), "refused", "what a constraint forbids is refused");
    is_int(begun, TRIALS - 1, "and not run");
    ok(dev_cpu_count() == 1 ? most_running == 1 : most_running > 1 && most_running <= dev_cpu_count(),
       "at most one on each core, %d at once", most_running);
    size_t before = json_array_size(t.run.records);
    ok(loop_trials(&t.run, "evaluate", list.items, TRIALS, NULL, &err) && begun == TRIALS - 1 &&
           json_array_size(t.run.records) == before,
       "asked again, none is run again and nothing is added");
    ok(loop_trials(&t.run, "evaluate", list.items, 0, NULL, &err), "none at all is no error");
    drop(&list);
    toy_close(&t);
}

static void test_failure(void) {
    toy t;
    spak_error err = {0};
    asked_list list;
    open_gated(&t);
    ask(&list, (const int[]){1, 2, 1, 1, 4, 2});
    ok(!loop_trials(&t.run, "evaluate", list.items, TRIALS, NULL, &err) && strstr(err.message, "size 4 cannot be run"),
       "a trial that cannot be run ends them: %s", err.message);
    const int kept = toy_count(&t, "evaluate", NULL, NULL);
    ok(kept <= 4 && in_order(&t, kept), "what was done before it is kept, in order: %d", kept);
    json_object_set_new(list.problem[1], "threads", json_integer(2));
    err = (spak_error){0};
    ok(!loop_trials(&t.run, "evaluate", list.items, TRIALS, NULL, &err) && strstr(err.message, "threads: 1"),
       "one that wants two threads is none for this: %s", err.message);
    drop(&list);
    toy_close(&t);
}

int main(void) {
    test_order();
    test_failure();
    return done_testing();
}
