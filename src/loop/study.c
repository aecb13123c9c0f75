/* What an operator can show of itself besides trials: how its gate does on planted faults, and its studies. */
#include "base/clock.h"
#include "base/progress.h"
#include "loop/loop_internal.h"

/* The invariants that the ticket stands for, which are the guide's; borrowed. */
static const json_t *gate_invariants(const loop_run *run) {
    json_t *like = json_pack("{s:s, s:b}", "op", run->op->name, "granted", 1);
    const json_t *ticket = like ? loop_find(run, "ticket", like) : NULL;
    json_decref(like);
    return json_object_get(ticket, "invariants");
}

/* The first invariant that does not hold on code with this fault; *by stays NULL when all of them hold. */
static bool catch_fault(const loop_run *run, const char *fault, const json_t *names, const char **by,
                        json_t **counterexample, long long *cases, spak_error *err) {
    json_t *options = json_pack("{s:I, s:s}", "seed", (json_int_t)run->seed, "fault", fault);
    bool ok = options ? true : spak_fail_oom(err);
    *by = NULL;
    for (size_t i = 0; ok && !*by && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const dev_invariant *invariant = dev_op_invariant(run->op, name);
        json_t *evidence = NULL;
        ok = invariant || spak_fail(err, "operator %s has no invariant '%s'", run->op->name, name);
        ok = ok && (invariant->check(options, &evidence, err) ||
                    spak_fail_context(err, "invariant %s could not run with fault %s", name, fault));
        if (ok) *cases += spak_json_int(evidence, "cases", 0);
        if (ok && !spak_json_bool(evidence, "holds", false)) {
            *by = name;
            *counterexample = json_incref(json_object_get(evidence, "counterexample"));
        }
        json_decref(evidence);
    }
    json_decref(options);
    return ok;
}

static bool try_fault(loop_run *run, const dev_fault *fault, const json_t *names, spak_error *err) {
    json_t *like = json_pack("{s:s, s:s, s:s}", "label", "mutation", "op", run->op->name, "fault", fault->name);
    if (!like) return spak_fail_oom(err);
    bool known = loop_find(run, "evaluate", like) != NULL, ok = true;
    const char *by = NULL;
    json_t *counterexample = NULL;
    long long cases = 0;
    uint64_t begun = spak_now_ns();
    if (!known) ok = catch_fault(run, fault->name, names, &by, &counterexample, &cases, err);
    if (!known && ok) {
        json_t *more = json_pack("{s:s, s:b, s:s?, s:o*, s:I, s:f}", "what", fault->what, "caught", by != NULL, "by",
                                 by, "counterexample", counterexample, "cases", (json_int_t)cases, "seconds",
                                 (double)(spak_now_ns() - begun) * 1e-9);
        json_object_update_missing(like, more);
        json_decref(more);
        return loop_record(run, "evaluate", like, NULL, err);
    }
    json_decref(like);
    return ok;
}

bool loop_mutate(loop_run *run, spak_error *err) {
    if (!loop_ticket_check(run, err)) return false;
    if (run->op->num_faults == 0) return spak_fail(err, "operator %s has no faults to plant", run->op->name);
    const json_t *names = gate_invariants(run);
    spak_progress bar;
    bool ok = true;
    spak_progress_begin(&bar, "faults", (long)run->op->num_faults);
    for (size_t i = 0; ok && i < run->op->num_faults; i++) {
        ok = try_fault(run, &run->op->faults[i], names, err);
        spak_progress_step(&bar, run->op->faults[i].name);
    }
    spak_progress_end(&bar);
    return ok;
}

bool loop_study(loop_run *run, const char *name, const json_t *options, const json_t **record, spak_error *err) {
    const dev_study *study = dev_op_study(run->op, name);
    if (!study) return spak_fail(err, "operator %s has no study '%s'", run->op->name, name);
    json_t *none = json_object(), *result = NULL;
    json_t *like = json_pack("{s:s, s:s, s:s, s:O}", "label", "study", "op", run->op->name, "study", name, "options",
                             options ? options : none);
    json_decref(none);
    if (!like) return spak_fail_oom(err);
    const json_t *found = loop_find(run, "evaluate", like);
    uint64_t begun = spak_now_ns();
    bool ok = found || (loop_ticket_check(run, err) &&
                        (study->run(options, &result, err) || spak_fail_context(err, "study %s could not run", name)));
    if (ok && !found) {
        json_object_set_new(like, "statement", json_string(study->statement));
        json_object_set_new(like, "result", result);
        json_object_set_new(like, "seconds", json_real((double)(spak_now_ns() - begun) * 1e-9));
        ok = loop_record(run, "evaluate", json_incref(like), &found, err);
    }
    json_decref(like);
    if (ok && record) *record = found;
    return ok;
}
