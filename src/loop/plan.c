/* plan: from a system to a guide.
 *
 * The guide is the Architect's word to the Kernel Engineer: what to aim for, which axes there are, which invariants
 * have to hold, which rules apply, and what is expected. It commits to an intent and not to parameters, so it holds no
 * number, no value of the tuning space and no name of hardware; guide.c refuses one that does. */
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

typedef struct planning {
    loop_run *run;
    json_t *invariants, *rules, *outside, *hypotheses; /* arrays of names; `outside` of {"rule", "why"} */
    spak_str expectations;                             /* the guide's hypothesis blocks */
} planning;

/* Prose in quotes again, whatever it holds. */
static void put_quoted(spak_str *out, const char *text) {
    spak_str_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') spak_str_putc(out, '\\');
        if (*text == '\n')
            spak_str_puts(out, "\\n");
        else
            spak_str_putc(out, *text);
    }
    spak_str_putc(out, '"');
}

static bool take_invariant(void *ctx, const json_t *item, spak_error *err) {
    planning *plan = ctx;
    bool applies;
    if (!loop_in_scope(plan->run, item, &applies, NULL, err)) return false;
    if (applies) json_array_append_new(plan->invariants, json_string(spak_json_str(item, "name", "")));
    return true;
}

static void expect(planning *plan, const json_t *item) {
    const char *name = spak_json_str(item, "name", "");
    const char *prose = dsl_text(dsl_value(item, "reason"), dsl_text(dsl_value(item, "expect"), ""));
    if (!dsl_value(item, "predict")) return;
    json_array_append_new(plan->hypotheses, json_string(name));
    spak_str_printf(&plan->expectations, "\n  hypothesis %s {\n    expect: ", name);
    put_quoted(&plan->expectations, prose);
    spak_str_puts(&plan->expectations, "\n  }\n");
}

static bool take_rule(void *ctx, const json_t *item, spak_error *err) {
    planning *plan = ctx;
    bool applies;
    json_t *why = NULL;
    const char *name = spak_json_str(item, "name", "");
    if (!strcmp(dsl_text(dsl_value(item, "status"), "proposed"), "retired")) {
        json_array_append_new(plan->outside, json_pack("{s:s, s:s}", "rule", name, "why", "status: retired"));
        return true;
    }
    if (!loop_in_scope(plan->run, item, &applies, &why, err)) return false;
    if (applies) {
        json_array_append_new(plan->rules, json_string(name));
        expect(plan, item);
    } else {
        json_array_append_new(plan->outside, json_pack("{s:s, s:O}", "rule", name, "why", why));
    }
    json_decref(why);
    return true;
}

static void put_names(spak_str *out, const char *key, const json_t *names) {
    spak_str_printf(out, "  %s: [", key);
    for (size_t i = 0; i < json_array_size(names); i++)
        spak_str_printf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
    spak_str_puts(out, "]\n");
}

static bool write_guide(planning *plan, const json_t *axes, spak_error *err) {
    loop_run *run = plan->run;
    const json_t *objective = dsl_block(run->system, "objective", NULL, 0);
    spak_str text = {0};
    spak_str_puts(&text,
                  "// Written by `spak plan`. A guide says what to aim for and what must hold; it holds no number\n"
                  "// and no tuned value. Those are for the trials to find.\n");
    spak_str_printf(&text, "guide %s {\n  system: %s\n", run->name, spak_json_str(run->system, "name", "unnamed"));
    spak_str_printf(&text, "  system_sha256: \"%s\"\n", spak_json_str(run->system, "sha256", ""));
    spak_str_puts(&text, "  intent: ");
    put_quoted(&text, dsl_text(dsl_value(objective, "target"), "state the objective's target in the system"));
    spak_str_putc(&text, '\n');
    put_names(&text, "axes", axes);
    put_names(&text, "invariants", plan->invariants);
    put_names(&text, "rules", plan->rules);
    spak_str_append(&text, spak_str_text(&plan->expectations), plan->expectations.len);
    spak_str_puts(&text, "}\n");
    bool ok = spak_str_ok(&text, err) && spak_str_ok(&plan->expectations, err) &&
              spak_write_if_changed(run->guide_path, text.data, text.len, err);
    spak_str_free(&text);
    return ok;
}

static bool axis_names(const loop_run *run, json_t **axes, spak_error *err) {
    json_t *space = NULL;
    if (!loop_space(run, &space, err)) return false;
    *axes = json_array();
    const char *axis;
    json_t *values;
    json_object_foreach(space, axis, values) json_array_append_new(*axes, json_string(axis));
    json_decref(space);
    return true;
}

static bool record_plan(planning *plan, const json_t *axes, spak_error *err) {
    loop_run *run = plan->run;
    char hex[SPAK_SHA256_HEX + 1];
    if (!spak_sha256_file(run->guide_path, hex, err)) return false;
    json_t *knowledge = NULL;
    if (!loop_knowledge(run, &knowledge, err)) return false;
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:O, s:O, s:O, s:O, s:O, s:o}", "system", spak_json_str(run->system, "name", ""),
                  "system_sha256", spak_json_str(run->system, "sha256", ""), "guide_sha256", hex, "axes", axes,
                  "invariants", plan->invariants, "rules", plan->rules, "rules_outside", plan->outside, "hypotheses",
                  plan->hypotheses, "knowledge", knowledge);
    if (body && loop_find(run, "plan", body)) {
        json_decref(body);
        return true;
    }
    return loop_record(run, "plan", body, NULL, err);
}

bool loop_plan(loop_run *run, spak_error *err) {
    planning plan = {.run = run,
                     .invariants = json_array(),
                     .rules = json_array(),
                     .outside = json_array(),
                     .hypotheses = json_array()};
    json_t *axes = NULL;
    bool ok = loop_each(run, "invariant", take_invariant, &plan, err) && loop_each(run, "rule", take_rule, &plan, err);
    const json_t *hypothesis;
    for (size_t i = 0; ok && (hypothesis = dsl_block(run->system, "hypothesis", NULL, i)); i++)
        expect(&plan, hypothesis);
    if (ok && json_array_size(plan.invariants) == 0)
        ok = spak_fail(err,
                       "%s: no invariant is in scope; a plan without invariants cannot be gated. State at least one "
                       "in the knowledge block",
                       run->system_path);
    ok = ok && axis_names(run, &axes, err) && write_guide(&plan, axes, err) && record_plan(&plan, axes, err);
    json_decref(axes);
    json_decref(plan.invariants);
    json_decref(plan.rules);
    json_decref(plan.outside);
    json_decref(plan.hypotheses);
    spak_str_free(&plan.expectations);
    return ok;
}
