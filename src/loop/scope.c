/* Expressions, scopes and the tuning space.
 *
 * Knowledge has a scope. An item applies here when every member of its `scope` block holds and its `when` condition,
 * where it has one in backticks, is true. A scope that speaks of something this machine does not say about itself does
 * not hold: outside its scope a rule is not applied. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "dsl/dsl.h"
#include "loop/loop_internal.h"

json_t *loop_expression_env(const loop_run *run, const json_t *config, const json_t *problem) {
    json_t *env = json_object();
    if (problem) json_object_update(env, (json_t *)problem);
    if (config) json_object_update(env, (json_t *)config);
    json_object_set_new(env, "op", json_string(run->op->name));
    if (!json_object_get(env, "dtype")) /* where the type is no axis, it is the operator's */
        json_object_set_new(env, "dtype", json_string(dsl_text(dsl_value(run->manifest, "dtype"), "f32")));
    json_object_set(env, "hw", run->hw);
    if (problem) json_object_set(env, "problem", (json_t *)problem);
    return env;
}

const char *loop_where(const json_t *item, const char *file, char *buffer, size_t size) {
    snprintf(buffer, size, "%s:%lld:%lld", spak_json_str(item, "origin", file), spak_json_int(item, "line", 0),
             spak_json_int(item, "column", 0));
    return buffer;
}

bool loop_condition(const loop_run *run, const char *code, const char *where, const json_t *env, bool *holds,
                    spak_error *err) {
    json_t *value = NULL;
    if (!run->eval.eval(run->eval.ctx, code, where, env, &value, err)) return false;
    bool boolean = json_is_boolean(value);
    *holds = json_is_true(value);
    json_decref(value);
    return boolean || spak_fail(err, "%s: `%s` is neither true nor false; write a comparison", where, code);
}

bool loop_each(const loop_run *run, const char *kind, bool (*visit)(void *ctx, const json_t *item, spak_error *err),
               void *ctx, spak_error *err) {
    const json_t *knowledge = json_object_get(run->system, "knowledge");
    for (size_t i = 0; i < json_array_size(knowledge); i++) {
        const json_t *item = json_array_get(knowledge, i);
        if (!strcmp(spak_json_str(item, "kind", ""), kind) && !visit(ctx, item, err)) return false;
    }
    return true;
}

json_t *loop_plain(const json_t *value) {
    const json_t *word = json_is_object(value) ? json_object_get(value, "word") : NULL;
    return json_incref((json_t *)(word ? word : value));
}

static bool equal_values(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* One member of a scope block: a backtick condition, a list of allowed values, or one value. */
static bool member_holds(const loop_run *run, const json_t *entry, const json_t *env, const char *where, bool *holds,
                         spak_error *err) {
    const json_t *value = json_object_get(entry, "value");
    const char *key = spak_json_str(entry, "key", "");
    if (dsl_code(value)) return loop_condition(run, dsl_code(value), where, env, holds, err);
    const json_t *here = json_object_get(env, key);
    if (!here) here = json_object_get(run->hw, key);
    *holds = false;
    if (!here) return true;
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; i < count && !*holds; i++) {
        json_t *allowed = loop_plain(json_is_array(value) ? json_array_get(value, i) : value);
        *holds = equal_values(allowed, here);
        json_decref(allowed);
    }
    return true;
}

bool loop_in_scope(const loop_run *run, const json_t *item, bool *applies, json_t **why, spak_error *err) {
    char where[512];
    json_t *env = loop_expression_env(run, NULL, NULL);
    const json_t *body = json_object_get(dsl_block(item, "scope", NULL, 0), "body");
    bool ok = true;
    *applies = true;
    if (why) *why = NULL;
    for (size_t i = 0; ok && *applies && i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i);
        loop_where(entry, spak_json_str(item, "origin", run->system_path), where, sizeof where);
        ok = member_holds(run, entry, env, where, applies, err);
        if (ok && !*applies && why) *why = json_sprintf("scope: %s", spak_json_str(entry, "key", "?"));
    }
    const char *when = dsl_code(dsl_value(item, "when"));
    if (ok && *applies && when) {
        ok = loop_condition(run, when, loop_where(item, run->system_path, where, sizeof where), env, applies, err);
        if (ok && !*applies && why) *why = json_sprintf("when: %s", when);
    }
    json_decref(env);
    return ok;
}

bool loop_mentions(const char *code, const char *name) {
    size_t len = strlen(name);
    for (const char *at = code; (at = strstr(at, name)); at += len) {
        bool left = at == code || !(isalnum((unsigned char)at[-1]) || at[-1] == '_' || at[-1] == '"' || at[-1] == '\'');
        bool right = !(isalnum((unsigned char)at[len]) || at[len] == '_' || at[len] == '"' || at[len] == '\'');
        if (left && right) return true;
    }
    return false;
}

/* --- the tuning space --- */

static bool add_axis(json_t *space, const json_t *entry, bool narrow, spak_error *err) {
    const char *axis = spak_json_str(entry, "key", NULL);
    const json_t *values = json_object_get(entry, "value");
    if (!axis) return true;
    if (!json_is_array(values))
        return spak_fail(err, "axis '%s' (line %lld): expected a list of values in brackets, as [16, 32]", axis,
                         spak_json_int(entry, "line", 0));
    const json_t *known = json_object_get(space, axis);
    if (narrow && !known)
        return spak_fail(err,
                         "the system's tuning_space names the axis '%s' (line %lld), which the operator's manifest "
                         "does not have; remove it or add it to the manifest",
                         axis, spak_json_int(entry, "line", 0));
    json_t *kept = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(values); i++) {
        json_t *value = loop_plain(json_array_get(values, i));
        bool keep = !narrow;
        for (size_t k = 0; k < json_array_size(known); k++)
            keep = keep || equal_values(value, json_array_get(known, k));
        ok = keep || spak_fail(err, "axis '%s' (line %lld): value %zu of the list is none that the manifest has", axis,
                               spak_json_int(entry, "line", 0), i + 1);
        if (keep) json_array_append(kept, value);
        json_decref(value);
    }
    if (ok && json_array_size(kept) == 0)
        ok = spak_fail(err, "axis '%s' (line %lld): the list is empty", axis, spak_json_int(entry, "line", 0));
    if (!ok) {
        json_decref(kept);
        return false;
    }
    return json_object_set_new(space, axis, kept) == 0 || spak_fail_oom(err);
}

bool loop_space(const loop_run *run, json_t **space, spak_error *err) {
    *space = json_object();
    const json_t *sources[] = {dsl_block(run->manifest, "tuning_space", NULL, 0),
                               dsl_block(run->system, "tuning_space", NULL, 0)};
    bool ok = sources[0] || spak_fail(err, "%s: no tuning_space in the manifest", run->op->manifest);
    for (int s = 0; ok && s < 2; s++) {
        const json_t *body = json_object_get(sources[s], "body");
        for (size_t i = 0; ok && i < json_array_size(body); i++)
            ok = add_axis(*space, json_array_get(body, i), s == 1, err);
        if (!ok) spak_fail_context(err, "%s", s ? run->system_path : run->op->manifest);
    }
    if (!ok) {
        json_decref(*space);
        *space = NULL;
    }
    return ok;
}

/* --- what the constraints allow --- */

typedef struct allowance {
    const loop_run *run;
    json_t *env;
    json_t *missing; /* names without a value: axes left to the operator, and what is derived from them */
    bool allowed;
    json_t *reason;
} allowance;

static bool speaks_of_missing(const allowance *a, const char *code) {
    for (size_t i = 0; i < json_array_size(a->missing); i++)
        if (loop_mentions(code, json_string_value(json_array_get(a->missing, i)))) return true;
    return false;
}

/* The manifest's `derived` block gives names to expressions over the axes (the rows of a tile, say). */
static bool derive(allowance *a, spak_error *err) {
    const json_t *body = json_object_get(dsl_block(a->run->manifest, "derived", NULL, 0), "body");
    char where[512];
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i);
        const char *name = spak_json_str(entry, "key", ""), *code = dsl_code(json_object_get(entry, "value"));
        json_t *value = NULL;
        if (!code) continue;
        if (speaks_of_missing(a, code)) {
            json_array_append_new(a->missing, json_string(name));
            continue;
        }
        loop_where(entry, a->run->op->manifest, where, sizeof where);
        if (!a->run->eval.eval(a->run->eval.ctx, code, where, a->env, &value, err)) return false;
        json_object_set_new(a->env, name, value);
    }
    return true;
}

static bool find_missing(allowance *a, const json_t *config, spak_error *err) {
    json_t *space = NULL;
    const char *axis;
    json_t *values;
    if (!loop_space(a->run, &space, err)) return false;
    json_object_foreach(space, axis, values) if (!json_object_get(config, axis))
        json_array_append_new(a->missing, json_string(axis));
    json_decref(space);
    return derive(a, err);
}

/* A condition that speaks of an axis the configuration leaves to the operator is the operator's to check: it fills in
 * the axis and refuses by the same constraints. */
static bool obey(allowance *a, const json_t *item, const char *key, spak_error *err) {
    const char *code = dsl_code(dsl_value(item, key));
    if (!a->allowed || !code || speaks_of_missing(a, code)) return true;
    char where[512];
    loop_where(item, a->run->op->manifest, where, sizeof where);
    if (!loop_condition(a->run, code, where, a->env, &a->allowed, err)) return false;
    if (!a->allowed)
        a->reason = json_sprintf("%s %s: `%s` does not hold", spak_json_str(item, "kind", "rule"),
                                 spak_json_str(item, "name", "?"), code);
    return true;
}

static bool obey_rule(void *ctx, const json_t *rule, spak_error *err) {
    allowance *a = ctx;
    const char *status = dsl_text(dsl_value(rule, "status"), "proposed");
    bool applies = false;
    if (!a->allowed || !strcmp(status, "retired") || !dsl_code(dsl_value(rule, "apply"))) return true;
    return loop_in_scope(a->run, rule, &applies, NULL, err) && (!applies || obey(a, rule, "apply", err));
}

bool loop_allowed(const loop_run *run, const json_t *config, const json_t *problem, bool *allowed, json_t **reason,
                  spak_error *err) {
    allowance a = {
        .run = run, .env = loop_expression_env(run, config, problem), .missing = json_array(), .allowed = true};
    bool ok = find_missing(&a, config, err);
    const json_t *constraint;
    for (size_t i = 0; ok && a.allowed && (constraint = dsl_block(run->manifest, "constraint", NULL, i)); i++)
        ok = obey(&a, constraint, "that", err);
    ok = ok && loop_each(run, "rule", obey_rule, &a, err);
    json_decref(a.env);
    json_decref(a.missing);
    *allowed = a.allowed;
    if (ok)
        *reason = a.reason;
    else
        json_decref(a.reason);
    return ok;
}
