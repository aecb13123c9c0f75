/* gate: no trial before the invariants have passed.
 *
 * The gate reads the guide (and refuses one that is no guide), runs each invariant that it names on the CPU, and traces
 * every outcome. When all hold it writes a ticket: hashes of the guide, the system and the binary, and the `ticket`
 * record of the trace that says so. tune accepts a ticket only when all three are as they were, and when this very
 * ticket stands in the trace, after records of its invariants; so it does not outlive a change. (Whoever rewrites the
 * whole trace can forge one: the chain tells of changes to a trace, not of a trace that was made up.) */
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/progress.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

/* What to do, for the author of a recipe and for who goes step by step. */
#define PLAN_REMEDY "plan first: `run:plan()` in a recipe, `spak plan %s` by hand"
#define GATE_REMEDY "pass the gate first: `run:gate()` in a recipe, `spak gate %s` by hand"

static bool load_guide(const loop_run *run, json_t **guide, spak_error *err) {
    if (!spak_exists(run->guide_path))
        return spak_fail(err, "%s: no guide yet; " PLAN_REMEDY, run->guide_path, run->system_path);
    if (!loop_load_block(run->guide_path, "guide", NULL, guide, err)) return false;
    spak_str problems = {0};
    bool ok = loop_guide_problems(*guide, run->system, run->manifest, &problems, err);
    if (ok && problems.len) ok = spak_fail(err, "%s: not a guide:\n%s", run->guide_path, problems.data);
    const char *planned = dsl_text(dsl_value(*guide, "system_sha256"), "");
    if (ok && strcmp(planned, spak_json_str(run->system, "sha256", "?")) != 0)
        ok = spak_fail(err, "%s was planned from another version of %s; " PLAN_REMEDY, run->guide_path,
                       run->system_path, run->system_path);
    spak_str_free(&problems);
    if (!ok) {
        json_decref(*guide);
        *guide = NULL;
    }
    return ok;
}

/* Runs one invariant, or finds that this trace holds its outcome. */
static bool run_invariant(loop_run *run, const char *name, bool *holds, spak_error *err) {
    const dev_invariant *invariant = dev_op_invariant(run->op, name);
    if (!invariant)
        return spak_fail(err, "%s: operator %s has no invariant '%s'; the gate cannot pass what it cannot run",
                         run->guide_path, run->op->name, name);
    json_t *like = json_pack("{s:s, s:s}", "op", run->op->name, "invariant", name), *evidence = NULL;
    const json_t *earlier = like ? loop_find(run, "invariant", like) : NULL;
    json_decref(like);
    if (earlier) {
        *holds = spak_json_bool(earlier, "holds", false);
        return true;
    }
    json_t *options = json_pack("{s:I}", "seed", (json_int_t)run->seed);
    uint64_t begun = spak_now_ns();
    bool ok = invariant->check(options, &evidence, err) || spak_fail_context(err, "invariant %s could not run", name);
    json_decref(options);
    if (!ok) return false;
    *holds = spak_json_bool(evidence, "holds", false);
    json_t *body = json_pack("{s:s, s:s, s:s, s:b, s:O, s:f}", "op", run->op->name, "invariant", name, "statement",
                             invariant->statement, "holds", *holds, "evidence", evidence, "seconds",
                             (double)(spak_now_ns() - begun) * 1e-9);
    json_decref(evidence);
    return loop_record(run, "invariant", body, NULL, err);
}

static json_t *ticket_body(const loop_run *run, const json_t *guide, bool granted, spak_error *err) {
    char guide_hex[SPAK_SHA256_HEX + 1], binary[SPAK_SHA256_HEX + 1];
    if (!spak_sha256_file(run->guide_path, guide_hex, err) || !spak_sha256_self(binary, err)) return NULL;
    json_t *names = json_array();
    const json_t *listed = dsl_value(guide, "invariants");
    for (size_t i = 0; i < json_array_size(listed); i++)
        json_array_append_new(names, json_string(dsl_text(json_array_get(listed, i), "")));
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b}", "op", run->op->name, "guide_sha256", guide_hex,
                             "system_sha256", spak_json_str(run->system, "sha256", ""), "binary_sha256", binary,
                             "invariants", names, "granted", granted);
    if (!body) spak_fail_oom(err);
    return body;
}

static bool write_ticket(const loop_run *run, const json_t *record, spak_error *err) {
    spak_str text = {0};
    static const char *const hashes[] = {"guide_sha256", "system_sha256", "binary_sha256"};
    json_t *ref = loop_ref(run, record);
    spak_str_puts(&text,
                  "// Written by `spak gate`. It lets `spak tune` run, for just this guide, system and binary.\n");
    spak_str_printf(&text, "ticket %s {\n", run->name);
    for (int i = 0; i < 3; i++)
        spak_str_printf(&text, "  %s: \"%s\"\n", hashes[i], spak_json_str(record, hashes[i], ""));
    spak_str_printf(&text, "  evidence: %s\n}\n", json_string_value(ref));
    json_decref(ref);
    bool ok = spak_str_ok(&text, err) && spak_write_if_changed(run->ticket_path, text.data, text.len, err);
    spak_str_free(&text);
    return ok;
}

bool loop_gate(loop_run *run, spak_error *err) {
    json_t *guide = NULL;
    if (!load_guide(run, &guide, err)) return false;
    const json_t *names = dsl_value(guide, "invariants");
    size_t count = json_array_size(names), failed = 0;
    const char *first_failed = "";
    bool ok = count > 0 || spak_fail(err, "%s: names no invariant, so nothing could fail; " PLAN_REMEDY,
                                     run->guide_path, run->system_path);
    spak_progress bar;
    spak_progress_begin(&bar, "gate", (long)count);
    for (size_t i = 0; ok && i < count; i++) {
        bool holds = false;
        const char *name = dsl_text(json_array_get(names, i), "");
        ok = run_invariant(run, name, &holds, err);
        if (!holds && !failed++) first_failed = name;
        spak_progress_step(&bar, name);
    }
    spak_progress_end(&bar);
    json_t *body = ok ? ticket_body(run, guide, failed == 0, err) : NULL;
    const json_t *record = body ? loop_find(run, "ticket", body) : NULL;
    if (record)
        json_decref(body);
    else
        ok = ok && body && loop_record(run, "ticket", body, &record, err);
    if (ok && failed)
        ok = spak_fail(err,
                       "the gate is shut: invariant %s does not hold (%zu of %zu failed); its counterexample is in %s",
                       first_failed, failed, count, trace_path(run->trace));
    ok = ok && write_ticket(run, record, err);
    json_decref(guide);
    return ok;
}

static bool same_hash(const loop_run *run, const json_t *ticket, const char *key, const char *now, const char *what,
                      spak_error *err) {
    if (!strcmp(dsl_text(dsl_value(ticket, key), ""), now)) return true;
    return spak_fail(err, "%s: not valid: the %s has changed since the gate passed; " GATE_REMEDY, run->ticket_path,
                     what, run->system_path);
}

/* A ticket speaks for invariants that hold in this trace, in records before its own. */
static bool invariants_stand(const loop_run *run, const json_t *record, spak_error *err) {
    const json_t *names = json_object_get(record, "invariants");
    bool ok = json_array_size(names) > 0;
    for (size_t i = 0; ok && i < json_array_size(names); i++) {
        json_t *like =
            json_pack("{s:s, s:O, s:b}", "op", run->op->name, "invariant", json_array_get(names, i), "holds", 1);
        const json_t *shown = like ? loop_find(run, "invariant", like) : NULL;
        ok = shown && spak_json_int(shown, "seq", 0) < spak_json_int(record, "seq", 0);
        json_decref(like);
    }
    return ok || spak_fail(err, "%s: the trace does not show that the ticket's invariants hold; " GATE_REMEDY,
                           run->ticket_path, run->system_path);
}

bool loop_ticket_check(const loop_run *run, spak_error *err) {
    if (!spak_exists(run->ticket_path))
        return spak_fail(err, "%s: no ticket, so no trial may run; " GATE_REMEDY, run->ticket_path, run->system_path);
    json_t *ticket = NULL, *like = NULL;
    char guide[SPAK_SHA256_HEX + 1], binary[SPAK_SHA256_HEX + 1];
    const char *system = spak_json_str(run->system, "sha256", "");
    bool ok = loop_load_block(run->ticket_path, "ticket", NULL, &ticket, err) && spak_sha256_self(binary, err) &&
              spak_sha256_file(run->guide_path, guide, err) &&
              same_hash(run, ticket, "guide_sha256", guide, "guide", err) &&
              same_hash(run, ticket, "system_sha256", system, "system", err) &&
              same_hash(run, ticket, "binary_sha256", binary, "binary", err);
    if (ok) {
        like = json_pack("{s:s, s:s, s:s, s:b}", "guide_sha256", guide, "system_sha256", system, "binary_sha256",
                         binary, "granted", 1);
        const json_t *record = loop_find(run, "ticket", like);
        ok = record && invariants_stand(run, record, err);
        if (!record)
            ok = spak_fail(err, "%s: this trace never issued it; " GATE_REMEDY, run->ticket_path, run->system_path);
    }
    json_decref(like);
    json_decref(ticket);
    return ok;
}
