/* The claims ledger: what others published, what was measured here, and the verdict that follows.
 *
 * A claim in dsl/claims.dsl holds prose (title, source, published, evaluate, known), numbers and expressions of its own
 * (its fields), and any number of evaluations. An evaluation names an experiment; its `holds` is a condition on the
 * experiment's values (`v.NAME`) and the claim's fields, its `value` the number to show for it. The verdict:
 *
 *   REPRODUCED     the condition holds on good evidence, made here or archived from a machine that is named
 *   DIFFERS        it does not hold
 *   STALE          the evidence was made from inputs that have changed since
 *   INCONSISTENT   what was published contradicts itself, which the machine finds by comparing the published numbers:
 *                  `same_quantity_as: ID` with the other claim's published_value, `implied:` with its own
 *   NOT EVALUATED  anything else, with the reason
 *
 * Evidence made here counts before archived evidence, whatever it says; where they disagree both are shown. What cannot
 * be computed (a value that is missing, a condition that is neither true nor false) is an error and no pass. Where an
 * experiment measures only part of what a claim says, its evaluation has `undecided: "why"` in the place of `holds`:
 * the number is shown, and the verdict stays NOT EVALUATED.
 *
 * The ledger as JSON:
 *
 *   { "claims": [ { "id", "title", "source", "published", "evaluate", "known", "line", "fields": {...},
 *                   "rows": [ { "evaluation", "scope", "verdict", "machine": "here" | id | "",
 *                               "text", "value", "refs", "profile", "experiment", "trace", "head", "reason",
 *                               "others": [ {"machine", "verdict", "text", "reason"} ] } ] } ],
 *                   (a row, or another, from a run on a stand-in for a data set also has "stand_ins": [names])
 *     "counts": {VERDICT: rows}, "errors": ["file:line: ..."], "archived_only": bool }
 *
 * Rejected: to declare a verdict in the claims file. Whoever writes the file would then decide what the machine should
 * find out. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dsl/dsl.h"
#include "report/internal.h"

static const char REPRODUCED[] = "REPRODUCED", DIFFERS[] = "DIFFERS", STALE[] = "STALE",
                  INCONSISTENT[] = "INCONSISTENT", NOT_EVALUATED[] = "NOT EVALUATED";
static const double SAME_PUBLISHED = 0.05; /* published numbers are rounded: this far apart they still agree */

typedef struct ledger_state {
    const rep_place *place;
    const spak_evaluator *eval;
    const char *file;
    bool archived_only;
    rep_traces traces;
    json_t *values, *claims, *errors;
} ledger_state;

/* --- small things --- */

static bool is_prose_key(const char *key) {
    static const char *const keys[] = {"title", "source", "published", "evaluate", "known"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i], key)) return true;
    return false;
}

static bool set_text(json_t *object, const char *key, const char *text) {
    return json_object_set_new(object, key, json_string(text)) == 0;
}

/* Puts "file:line: claim ID: message" among the errors. */
static bool note_error(ledger_state *s, const json_t *item, const char *id, const char *message, spak_error *err) {
    spak_str text = {0};
    spak_str_printf(&text, "%s:%lld: claim %s: %s", s->file, spak_json_int(item, "line", 0), id, message);
    bool good = !text.oom && json_array_append_new(s->errors, json_string(text.data)) == 0;
    spak_str_free(&text);
    return good ? true : spak_fail_oom(err);
}

static bool evaluate(const ledger_state *s, const json_t *item, const char *code, const json_t *env, json_t **out,
                     spak_error *err) {
    spak_str where = {0};
    spak_str_printf(&where, "%s:%lld:%lld", s->file, spak_json_int(item, "line", 0), spak_json_int(item, "column", 1));
    bool good = spak_str_ok(&where, err);
    if (good && !s->eval) good = spak_fail(err, "%s: an expression, and nothing to evaluate it with", where.data);
    good = good && s->eval->eval(s->eval->ctx, code, where.data, env, out, err);
    spak_str_free(&where);
    return good;
}

static bool eval_number(const ledger_state *s, const json_t *item, const char *code, const json_t *env, double *out,
                        spak_error *err) {
    json_t *value = NULL;
    if (!evaluate(s, item, code, env, &value, err)) return false;
    bool good = json_is_number(value) && isfinite(json_number_value(value));
    if (good) *out = json_number_value(value);
    json_decref(value);
    return good ? true : spak_fail(err, "`%s` gives no finite number", code);
}

/* --- reading the claims file --- */

/* An entry that is neither prose nor an evaluation: a field. */
static bool read_field(ledger_state *s, const char *id, const json_t *item, json_t *fields, spak_error *err) {
    const char *key = spak_json_str(item, "key", "");
    const json_t *value = json_object_get(item, "value");
    const char *code = dsl_code(value);
    if (!strcmp(key, "v") || json_object_get(fields, key))
        return note_error(s, item, id, !strcmp(key, "v") ? "a field cannot be named 'v'" : "a field stands here twice",
                          err);
    json_t *result = NULL;
    spak_error cause = {0};
    if (code) {
        if (!evaluate(s, item, code, fields, &result, &cause)) return note_error(s, item, id, cause.message, err);
        bool finite = !json_is_real(result) || isfinite(json_real_value(result));
        if (json_is_null(result) || !finite) {
            json_decref(result);
            return note_error(s, item, id, "a field's expression gives no value", err);
        }
    } else if (json_is_number(value) || json_is_boolean(value)) {
        result = json_incref((json_t *)value);
    } else {
        const char *text = dsl_text(value, NULL);
        if (!text) return note_error(s, item, id, "a field must be a number, a text or an expression", err);
        result = json_string(text);
    }
    return json_object_set_new(fields, key, result) ? spak_fail_oom(err) : true;
}

static bool read_claim(ledger_state *s, const json_t *block, spak_error *err) {
    const char *id = spak_json_str(block, "name", NULL);
    if (!id) return spak_fail(err, "%s:%lld: a claim without a name", s->file, spak_json_int(block, "line", 0));
    size_t i;
    json_t *item, *other;
    json_array_foreach(s->claims, i, other) {
        if (!strcmp(spak_json_str(other, "id", ""), id))
            return spak_fail(err, "%s:%lld: claim %s stands here twice (first in line %lld)", s->file,
                             spak_json_int(block, "line", 0), id, spak_json_int(other, "line", 0));
    }
    json_t *fields = json_object(), *evaluations = json_array(), *rows = json_array();
    json_t *claim = json_pack("{s:s,s:I,s:o,s:o,s:o}", "id", id, "line", (json_int_t)spak_json_int(block, "line", 0),
                              "fields", fields, "evaluations", evaluations, "rows", rows);
    if (!claim || json_array_append_new(s->claims, claim)) return spak_fail_oom(err);
    json_array_foreach(json_object_get(block, "body"), i, item) {
        const char *key = spak_json_str(item, "key", NULL), *kind = spak_json_str(item, "kind", "");
        if (key && is_prose_key(key)) { /* a key that repeats goes on where it stopped */
            spak_str text = {0};
            const char *before = spak_json_str(claim, key, NULL);
            spak_str_printf(&text, "%s%s%s", before ? before : "", before ? " " : "",
                            dsl_text(json_object_get(item, "value"), ""));
            bool good = !text.oom && set_text(claim, key, text.data);
            spak_str_free(&text);
            if (!good) return spak_fail_oom(err);
        } else if (key) {
            if (!read_field(s, id, item, fields, err)) return false;
        } else if (!strcmp(kind, "evaluation")) {
            if (json_array_append(evaluations, item)) return spak_fail_oom(err);
        } else if (!note_error(s, item, id, "expected entries and evaluations, found something else", err)) {
            return false;
        }
    }
    if (!spak_json_str(claim, "title", NULL) || !spak_json_str(claim, "published", NULL) ||
        !spak_json_str(claim, "source", NULL))
        return spak_fail(err, "%s:%lld: claim %s needs title, source and published", s->file,
                         spak_json_int(block, "line", 0), id);
    return true;
}

static bool read_claims(ledger_state *s, spak_error *err) {
    dsl_doc *doc = NULL;
    json_t *meaning = NULL;
    if (!dsl_parse_file(s->file, &doc, err)) return false;
    bool good = true;
    if (dsl_error_count(doc) > 0) {
        spak_str text = {0};
        for (size_t i = 0; i < dsl_diagnostic_count(doc) && !text.len; i++)
            if (dsl_diagnostic_at(doc, i)->severity == DSL_ERROR)
                dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, i), &text);
        good = spak_fail(err, "%s", spak_str_text(&text));
        spak_str_free(&text);
    }
    good = good && dsl_meaning(doc, &meaning, err);
    const json_t *block;
    for (size_t i = 0; good && (block = dsl_block(meaning, "claim", NULL, i)); i++) good = read_claim(s, block, err);
    if (good && json_array_size(s->claims) == 0) good = spak_fail(err, "%s: no claims in it", s->file);
    json_decref(meaning);
    dsl_free(doc);
    return good;
}

/* --- does what was published contradict itself? --- */

static const json_t *find_claim(const ledger_state *s, const char *id) {
    size_t i;
    json_t *claim;
    json_array_foreach(s->claims, i, claim) {
        if (!strcmp(spak_json_str(claim, "id", ""), id)) return claim;
    }
    return NULL;
}

static bool differ(double a, double b, double tolerance) { return fabs(a - b) > tolerance * fmax(fabs(a), fabs(b)); }

static double field(const json_t *claim, const char *key, double otherwise) {
    return spak_json_num(json_object_get(claim, "fields"), key, otherwise);
}

static bool add_row(json_t *claim, json_t *row, spak_error *err) {
    return row && !json_array_append_new(json_object_get(claim, "rows"), row) ? true : spak_fail_oom(err);
}

static bool add_contradiction(json_t *claim, const char *reason, spak_error *err) {
    return add_row(claim,
                   json_pack("{s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:[]}", "evaluation", "", "scope", "as published",
                             "verdict", INCONSISTENT, "machine", "", "text", "", "refs", "reason", reason, "others"),
                   err);
}

/* Compares claim's published_value with that of a claim about the same quantity, both ways round. */
static bool compare_with_other(ledger_state *s, json_t *claim, spak_error *err) {
    const char *id = spak_json_str(claim, "id", "");
    size_t i;
    json_t *other;
    json_array_foreach(s->claims, i, other) {
        const char *other_id = spak_json_str(other, "id", "");
        const char *mine = spak_json_str(json_object_get(claim, "fields"), "same_quantity_as", "");
        const char *theirs = spak_json_str(json_object_get(other, "fields"), "same_quantity_as", "");
        if (strcmp(mine, other_id) != 0 && strcmp(theirs, id) != 0) continue;
        double a = field(claim, "published_value", NAN), b = field(other, "published_value", NAN);
        if (!isfinite(a) || !isfinite(b)) {
            if (!note_error(s, claim, id, "same_quantity_as needs a published_value in both claims", err)) return false;
            continue;
        }
        if (!differ(a, b, field(claim, "tolerance", SAME_PUBLISHED))) continue;
        spak_str reason = {0}, x = {0}, y = {0};
        rep_format_number("%.6g", a, &x, NULL);
        rep_format_number("%.6g", b, &y, NULL);
        spak_str_printf(&reason, "for the same quantity %s publishes %s and %s publishes %s", id, spak_str_text(&x),
                        other_id, spak_str_text(&y));
        bool good = !reason.oom && add_contradiction(claim, reason.data, err);
        spak_str_free(&reason);
        spak_str_free(&x);
        spak_str_free(&y);
        if (!good) return false;
    }
    const char *mine = spak_json_str(json_object_get(claim, "fields"), "same_quantity_as", NULL);
    if (mine && !find_claim(s, mine)) return note_error(s, claim, id, "same_quantity_as names no claim", err);
    return true;
}

static bool compare_with_implied(ledger_state *s, json_t *claim, spak_error *err) {
    const json_t *fields = json_object_get(claim, "fields");
    if (!json_object_get(fields, "implied")) return true;
    double implied = field(claim, "implied", NAN), published = field(claim, "published_value", NAN);
    if (!isfinite(implied) || !isfinite(published))
        return note_error(s, claim, spak_json_str(claim, "id", ""),
                          "implied needs to be a number beside published_value", err);
    if (!differ(implied, published, field(claim, "tolerance", SAME_PUBLISHED))) return true;
    spak_str reason = {0}, a = {0}, b = {0};
    rep_format_number("%.4g", published, &a, NULL);
    rep_format_number("%.4g", implied, &b, NULL);
    spak_str_printf(&reason, "published %s, but the published configuration implies %s", spak_str_text(&a),
                    spak_str_text(&b));
    bool good = !reason.oom && add_contradiction(claim, reason.data, err);
    spak_str_free(&reason);
    spak_str_free(&a);
    spak_str_free(&b);
    return good;
}

/* --- evaluations --- */

/* Every NAME of `v.NAME` in an expression: it must be among the values; its refs are added to refs (may be NULL). A
 * missing one would be nil to the expression, and `v.x ~= 1` would then be true. */
static bool check_names(const char *code, const json_t *values, json_t *refs, spak_error *err) {
    for (const char *c = code; (c = strstr(c, "v.")); c++) {
        if (c > code && (isalnum((unsigned char)c[-1]) || c[-1] == '_' || c[-1] == '.')) continue;
        char name[96];
        size_t len = 0;
        for (const char *n = c + 2; isalnum((unsigned char)*n) || *n == '_'; n++)
            if (len < sizeof name - 1) name[len++] = *n;
        name[len] = '\0';
        const json_t *value = json_object_get(values, name);
        if (!value) return spak_fail(err, "the experiment has no value '%s', which `%s` needs", name, code);
        if (refs && !rep_refs_add(refs, json_object_get(value, "refs"), err)) return false;
    }
    return true;
}

/* {"v": {NAME: number}, FIELD: value...} */
static json_t *environment(const json_t *claim, const json_t *values) {
    json_t *env = json_copy(json_object_get(claim, "fields")), *v = json_object();
    const char *key;
    json_t *value;
    bool good = env && v;
    json_object_foreach((json_t *)values, key, value) {
        good = good && !json_object_set(v, key, json_object_get(value, "value"));
    }
    good = good && !json_object_set(env, "v", v);
    json_decref(v);
    if (good) return env;
    json_decref(env);
    return NULL;
}

static bool measure(const ledger_state *s, const json_t *evaluation, const json_t *values, const json_t *env,
                    json_t *row, spak_error *err) {
    const char *code = dsl_code(dsl_value(evaluation, "value")), *show = dsl_text(dsl_value(evaluation, "show"), NULL);
    json_t *refs = json_object_get(row, "refs");
    if (!code) return true;
    double value = 0;
    spak_str text = {0};
    bool good = check_names(code, values, refs, err) && eval_number(s, evaluation, code, env, &value, err) &&
                rep_format_number(show ? show : "%.4g", value, &text, err) && spak_str_ok(&text, err);
    good = good && (!json_object_set_new(row, "value", json_real(value)) || spak_fail_oom(err)) &&
           (set_text(row, "text", text.data) || spak_fail_oom(err));
    spak_str_free(&text);
    return good;
}

static bool judge(const ledger_state *s, const json_t *evaluation, const json_t *values, const json_t *env, bool *holds,
                  spak_error *err) {
    const char *code = dsl_code(dsl_value(evaluation, "holds"));
    json_t *result = NULL;
    if (!code) return spak_fail(err, "the evaluation has an experiment but no condition: write holds: `...`");
    if (!check_names(code, values, NULL, err) || !evaluate(s, evaluation, code, env, &result, err)) return false;
    bool good = json_is_boolean(result);
    *holds = json_is_true(result);
    json_decref(result);
    return good ? true : spak_fail(err, "`%s` is neither true nor false", code);
}

/* Appends what did not hold: each part of the condition between its outermost `and`s that is false by itself. A part
 * that cannot stand alone is passed over. */
static void list_failed(const ledger_state *s, const json_t *evaluation, const json_t *env, spak_str *out) {
    const char *begin = dsl_code(dsl_value(evaluation, "holds"));
    int depth = 0;
    for (const char *c = begin;; c++) {
        depth += *c == '(' || *c == '[' || *c == '{';
        depth -= *c == ')' || *c == ']' || *c == '}';
        bool cut = !depth && spak_starts_with(c, " and ");
        if (*c && !cut) continue;
        char *part = spak_strndup(begin, (size_t)(c - begin));
        json_t *result = NULL;
        spak_error ignored = {0};
        if (part && evaluate(s, evaluation, part, env, &result, &ignored) && json_is_false(result))
            spak_str_printf(out, "%s`%s`", out->len ? ", " : "does not hold: ", part);
        json_decref(result);
        spak_free(part);
        if (!*c) return;
        begin = c + strlen(" and ");
    }
}

static void say(json_t *row, const char *verdict, const char *reason) {
    set_text(row, "verdict", verdict);
    set_text(row, "reason", reason);
}

/* The first few texts of an array, and how many more there are. */
static void list_some(const json_t *texts, spak_str *out) {
    enum { SHOWN = 3 };
    size_t count = json_array_size(texts);
    for (size_t i = 0; i < count && i < SHOWN; i++)
        spak_str_printf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(texts, i)));
    if (count > SHOWN) spak_str_printf(out, " and %zu more", count - SHOWN);
}

/* Why the evidence cannot carry a verdict; true when it can. Sets the row's verdict otherwise. */
static bool good_evidence(ledger_state *s, rep_trace *trace, const json_t *file, json_t *row) {
    spak_str reason = {0};
    const char *verdict = NOT_EVALUATED;
    const char *key;
    json_t *value, *ref;
    size_t i;
    spak_error cause = {0};
    if (trace->changed) {
        verdict = STALE;
        spak_str_puts(&reason, "inputs changed while the run went on");
    } else if (trace->why) {
        spak_str_puts(&reason, trace->why);
    } else if (strcmp(spak_json_str(file, "head", ""), trace->status.head) != 0) {
        spak_str_puts(&reason, "the values are not those of this trace; run the experiment's report again");
    } else if (json_array_size(trace->stale)) {
        verdict = STALE;
        spak_str_puts(&reason, "changed since the run: ");
        list_some(trace->stale, &reason);
    }
    json_object_foreach(json_object_get(file, "values"), key, value) {
        if (reason.len) break;
        json_array_foreach(json_object_get(value, "refs"), i, ref) {
            if (!reason.len &&
                !rep_ref_check(&s->traces, json_is_string(ref) ? json_string_value(ref) : "", NULL, NULL, &cause))
                spak_str_printf(&reason, "value '%s': %s", key, cause.message);
        }
    }
    bool good = reason.len == 0 && !reason.oom;
    if (!good) say(row, verdict, spak_str_text(&reason));
    spak_str_free(&reason);
    return good;
}

/* A path as seen from the project's root. */
static const char *below_root(const rep_place *place, const char *path) {
    size_t len = strlen(place->root);
    return !strncmp(path, place->root, len) && path[len] == '/' ? path + len + 1 : path;
}

/* `needs: [names]`: values that a run may lack for a good reason (one core, no second thread), which `without: "..."`
 * can tell. The first that is not there, or NULL. */
static const char *lacking(const json_t *evaluation, const json_t *values) {
    const json_t *needs = dsl_value(evaluation, "needs");
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const char *name = dsl_text(json_array_get(needs, i), "");
        if (!json_object_get(values, name)) return name;
    }
    return NULL;
}

/* The verdict that good evidence gives. */
static bool decide(ledger_state *s, const char *id, const json_t *evaluation, const json_t *values, const json_t *env,
                   json_t *row, spak_error *err) {
    spak_error cause = {0};
    spak_str failed = {0};
    bool holds = false, ok;
    const char *lacks = lacking(evaluation, values), *open = dsl_text(dsl_value(evaluation, "undecided"), NULL);
    if (lacks) {
        const char *why = dsl_text(dsl_value(evaluation, "without"), NULL);
        spak_fail(&cause, "the run has no value %s%s%s", lacks, why ? ": " : "", why ? why : "");
        say(row, NOT_EVALUATED, cause.message);
        return true;
    }
    if (open && dsl_value(evaluation, "holds"))
        ok = spak_fail(&cause, "an evaluation has `holds` or `undecided`, not both");
    else
        ok = (open || judge(s, evaluation, values, env, &holds, &cause)) &&
             measure(s, evaluation, values, env, row, &cause);
    if (!ok) {
        say(row, NOT_EVALUATED, cause.message);
        return note_error(s, evaluation, id, cause.message, err);
    }
    if (!open && !holds) list_failed(s, evaluation, env, &failed);
    say(row, open ? NOT_EVALUATED : holds ? REPRODUCED : DIFFERS, open ? open : spak_str_text(&failed));
    spak_str_free(&failed);
    return true;
}

static bool copy_stand_ins(json_t *row, json_t *names) {
    return !json_array_size(names) || !json_object_set(row, "stand_ins", names);
}

/* One evaluation on one values file -> a row. */
static bool evaluate_on(ledger_state *s, const json_t *claim, const json_t *evaluation, const json_t *item,
                        json_t **out, spak_error *err) {
    const char *id = spak_json_str(claim, "id", ""), *machine = spak_json_str(item, "machine", "");
    const json_t *file = json_object_get(item, "file"), *values = json_object_get(file, "values");
    json_t *env = environment(claim, values);
    json_t *row =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:s,s:[]}", "evaluation", spak_json_str(evaluation, "name", ""),
                  "scope", dsl_text(dsl_value(evaluation, "scope"), ""), "verdict", NOT_EVALUATED, "machine", machine,
                  "text", "", "refs", "profile", spak_json_str(file, "profile", ""), "reason", "", "others");
    rep_trace *trace = NULL;
    bool good = (env && row) || spak_fail_oom(err);
    good = good && rep_traces_get(&s->traces, spak_json_str(item, "name", ""), machine, &trace, err) &&
           ((set_text(row, "trace", below_root(s->place, trace->path)) && set_text(row, "experiment", trace->name) &&
             set_text(row, "head", trace->status.head) && copy_stand_ins(row, trace->stand_ins)) ||
            spak_fail_oom(err));
    if (good && good_evidence(s, trace, file, row)) good = decide(s, id, evaluation, values, env, row, err);
    json_decref(env);
    if (good)
        *out = row;
    else
        json_decref(row);
    return good;
}

/* The other machines' results beside the one that counts, when they say something else, or the same of a stand-in. */
static bool add_other(json_t *row, const json_t *other, spak_error *err) {
    json_t *own_names = json_object_get(row, "stand_ins"), *names = json_object_get(other, "stand_ins");
    if (!strcmp(spak_json_str(row, "verdict", ""), spak_json_str(other, "verdict", "")) && !own_names == !names)
        return true;
    json_t *brief = json_pack("{s:s,s:s,s:s,s:s,s:O*}", "machine", spak_json_str(other, "machine", ""), "verdict",
                              spak_json_str(other, "verdict", ""), "text", spak_json_str(other, "text", ""), "reason",
                              spak_json_str(other, "reason", ""), "stand_ins", names);
    return brief && !json_array_append_new(json_object_get(row, "others"), brief) ? true : spak_fail_oom(err);
}

static bool is_decided(const json_t *row) {
    const char *verdict = spak_json_str(row, "verdict", "");
    return !strcmp(verdict, REPRODUCED) || !strcmp(verdict, DIFFERS);
}

/* A misspelt key must not silently drop a condition. */
static bool keys_known(ledger_state *s, const char *id, const json_t *evaluation, bool *known, spak_error *err) {
    static const char *const keys[] = {"scope", "experiment", "needs", "without",
                                       "holds", "undecided",  "value", "show"};
    size_t i;
    json_t *item;
    *known = true;
    json_array_foreach(json_object_get(evaluation, "body"), i, item) {
        bool found = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            found = found || !strcmp(spak_json_str(item, "key", ""), keys[k]);
        if (found) continue;
        *known = false;
        if (!note_error(
                s, item, id,
                "an evaluation has scope, experiment, needs, without, holds or undecided, value and show, nothing else",
                err))
            return false;
    }
    return true;
}

static bool add_undecided(json_t *claim, const json_t *evaluation, const char *reason, spak_error *err) {
    return add_row(claim,
                   json_pack("{s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:[]}", "evaluation", spak_json_str(evaluation, "name", ""),
                             "scope", dsl_text(dsl_value(evaluation, "scope"), ""), "verdict", NOT_EVALUATED, "machine",
                             "", "text", "", "refs", "reason", reason, "others"),
                   err);
}

/* The row that counts: made here if there is one, else the first archived one that is decided. */
static json_t *best_of(const json_t *rows) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        if (!strcmp(spak_json_str(row, "machine", ""), "here")) return row;
    }
    json_array_foreach(rows, i, row) {
        if (is_decided(row)) return row;
    }
    return json_array_get(rows, 0);
}

static bool evaluate_one(ledger_state *s, json_t *claim, const json_t *evaluation, spak_error *err) {
    const char *experiment = dsl_text(dsl_value(evaluation, "experiment"), NULL), *id = spak_json_str(claim, "id", "");
    size_t i;
    json_t *item, *found = json_array();
    bool known = false, good = (found || spak_fail_oom(err)) && keys_known(s, id, evaluation, &known, err);
    json_array_foreach(s->values, i, item) {
        json_t *row = NULL;
        if (!good || !known || !experiment || strcmp(spak_json_str(item, "name", ""), experiment) != 0) continue;
        if (s->archived_only && !strcmp(spak_json_str(item, "machine", ""), "here")) continue;
        good = evaluate_on(s, claim, evaluation, item, &row, err) &&
               (!json_array_append_new(found, row) || spak_fail_oom(err));
    }
    json_t *best = best_of(found);
    json_array_foreach(found, i, item) {
        if (good && item != best) good = add_other(best, item, err);
    }
    if (good && best)
        good = add_row(claim, json_incref(best), err);
    else if (good && !known)
        good = add_undecided(claim, evaluation, "its entry in the claims file is faulty", err);
    else if (good && experiment)
        good = add_undecided(claim, evaluation, "the experiment has not been run", err);
    else if (good)
        good = add_undecided(claim, evaluation, "there is no experiment for it", err);
    json_decref(found);
    return good;
}

static bool evaluate_claim(ledger_state *s, json_t *claim, spak_error *err) {
    size_t i;
    json_t *evaluation;
    if (!compare_with_other(s, claim, err) || !compare_with_implied(s, claim, err)) return false;
    json_array_foreach(json_object_get(claim, "evaluations"), i, evaluation) {
        if (!evaluate_one(s, claim, evaluation, err)) return false;
    }
    json_object_del(claim, "evaluations");
    if (json_array_size(json_object_get(claim, "rows")) > 0) return true;
    return add_undecided(claim, NULL, "there is no experiment for it", err);
}

static json_t *count_rows(const json_t *claims) {
    static const char *const verdicts[] = {REPRODUCED, DIFFERS, INCONSISTENT, STALE, NOT_EVALUATED};
    json_t *counts = json_object(), *claim, *row;
    size_t i, r;
    for (size_t v = 0; counts && v < sizeof verdicts / sizeof *verdicts; v++) {
        long long n = 0;
        json_array_foreach(claims, i, claim) {
            json_array_foreach(json_object_get(claim, "rows"), r, row) {
                n += !strcmp(spak_json_str(row, "verdict", ""), verdicts[v]);
            }
        }
        json_object_set_new(counts, verdicts[v], json_integer(n));
    }
    return counts;
}

bool rep_ledger(const rep_place *place, const char *claims_path, const spak_evaluator *eval, bool archived_only,
                json_t **ledger, spak_error *err) {
    ledger_state s = {.place = place, .eval = eval, .file = claims_path, .archived_only = archived_only};
    s.traces.place = place;
    s.claims = json_array();
    s.errors = json_array();
    bool good = (s.claims && s.errors) || spak_fail_oom(err);
    good = good && rep_values_list(place, &s.values, err) && read_claims(&s, err);
    size_t i;
    json_t *claim;
    json_array_foreach(s.claims, i, claim) { good = good && evaluate_claim(&s, claim, err); }
    if (good) {
        *ledger = json_pack("{s:O,s:O,s:o,s:b}", "claims", s.claims, "errors", s.errors, "counts", count_rows(s.claims),
                            "archived_only", archived_only);
        if (!*ledger) good = spak_fail_oom(err);
    }
    rep_traces_free(&s.traces);
    json_decref(s.values);
    json_decref(s.claims);
    json_decref(s.errors);
    return good;
}
