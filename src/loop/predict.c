/* Predictions and what became of them.
 *
 *     predict: `ratio(METRIC, CONDITION, CONDITION)` within: [lo, hi]
 *
 * compares trials that differ in nothing but what the two conditions speak of: for each pair of trials a, b where the
 * first condition holds for a, the second for b, and every member of configuration and problem that neither condition
 * mentions is equal, one quotient METRIC(a) / METRIC(b); the median over the pairs is compared with the interval.
 * Conditions are Lua over the trial's axes and problem, so they are evaluated once for each trial. The alternative,
 * best against best, would credit an axis with what other axes gained.
 *
 *     predict: `paired(METRIC, METRIC, CONDITION)` within: [lo, hi]
 *
 * compares two metrics of one trial, such as peer_time_ms and time_ms: samples that were taken in turn are divided one
 * by one, and the median counts; over several trials their median. Two trials may lie minutes apart, and the machine
 * may have changed between them; what stands in one trial was measured side by side. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

double loop_merit(const json_t *record) {
    if (strcmp(spak_json_str(record, "status", ""), "ok") != 0) return 0;
    return spak_json_num(record, "ratio", spak_json_num(record, "gflops", 0));
}

static bool is_paired(const char *code) { return spak_starts_with(code + strspn(code, " \t\n"), "paired"); }

/* Splits `ratio(a, b, c)` or `paired(a, b, c)` at its top-level commas into three trimmed texts; frees nothing on
 * failure. */
static bool split_call(const char *code, const char *where, char *parts[3], spak_error *err) {
    const char *c = code + strspn(code, " \t\n");
    if (!spak_starts_with(c, "ratio") && !is_paired(c)) goto shape;
    c += is_paired(c) ? strlen("paired") : strlen("ratio");
    c += strspn(c, " \t\n");
    if (*c++ != '(') goto shape;
    int depth = 0, found = 0;
    char quote = 0;
    const char *begin = c;
    for (; *c; c++) {
        if (quote) {
            if (*c == '\\' && c[1])
                c++;
            else if (*c == quote)
                quote = 0;
            continue;
        }
        if (*c == '"' || *c == '\'') quote = *c;
        if (*c == '(' || *c == '[' || *c == '{') depth++;
        if ((*c == ',' && !depth) || (*c == ')' && !depth)) {
            if (found == 3) goto shape;
            while (isspace((unsigned char)*begin)) begin++;
            const char *end = c;
            while (end > begin && isspace((unsigned char)end[-1])) end--;
            if (!(parts[found++] = spak_strndup(begin, (size_t)(end - begin)))) return spak_fail_oom(err);
            begin = c + 1;
            if (*c == ')') break;
        } else if (*c == ')' || *c == ']' || *c == '}') {
            depth--;
        }
    }
    if (found == 3 && *c == ')' && !c[1 + strspn(c + 1, " \t\n")]) return true;
shape:
    return spak_fail(
        err,
        "%s: a prediction reads `ratio(METRIC, CONDITION, CONDITION)`, `paired(METRIC, METRIC, CONDITION)` or "
        "`study(\"NAME\", \"MEMBER\")`, not `%s`",
        where, code);
}

/* The members that neither condition mentions, in canonical form: equal for trials that may be compared. A rung of a
 * ladder is named by what was asked for; the parameters that others of its kind have do not set it apart. */
static bool others_key(const json_t *record, const char *a, const char *b, spak_str *key, spak_error *err) {
    bool evaluated = !strcmp(spak_json_str(record, "kind", ""), "evaluate");
    const char *const parts[] = {evaluated ? "asked" : "config", "problem"};
    spak_str_clear(key);
    for (int p = 0; p < 2; p++) {
        json_t *rest = json_object();
        const char *name;
        json_t *value;
        json_object_foreach(json_object_get(record, parts[p]), name,
                            value) if (!loop_mentions(a, name) && !loop_mentions(b, name))
            json_object_set(rest, name, value);
        bool ok = spak_json_canonical(rest, key, err);
        json_decref(rest);
        if (!ok) return false;
    }
    return true;
}

typedef struct sided {
    char *key; /* others_key */
    double metric;
    const json_t *record;
    bool first, second;
} sided;

/* A peer that is a program leaves a record of the same kind, which has no configuration. */
static bool is_trial(const json_t *record) {
    const char *kind = spak_json_str(record, "kind", "");
    return (!strcmp(kind, "measure") || !strcmp(kind, "evaluate")) &&
           !strcmp(spak_json_str(record, "status", ""), "ok") && json_is_object(json_object_get(record, "config"));
}

/* A trial without an axis (a naive product has no tile) is on neither side of a condition on that axis. */
static bool speaks_past(const char *code, const json_t *space, const json_t *config) {
    const char *axis;
    json_t *values;
    json_object_foreach((json_t *)space, axis,
                        values) if (!json_object_get(config, axis) && loop_mentions(code, axis)) return true;
    return false;
}

/* A metric is a number, or a list of samples, whose median counts. */
static bool is_metric(const json_t *value) { return json_is_number(value) || json_array_size(value) > 0; }

static bool metric_of(const json_t *record, const char *name, double *metric, spak_error *err) {
    const json_t *value = json_object_get(record, name);
    size_t count = json_array_size(value);
    *metric = json_is_number(value) ? json_number_value(value) : 0;
    if (!count) return true;
    double *samples = spak_malloc(count * sizeof *samples);
    if (!samples) return spak_fail_oom(err);
    for (size_t i = 0; i < count; i++) samples[i] = json_number_value(json_array_get(value, i));
    *metric = dev_spread_of(samples, count).median;
    spak_free(samples);
    return true;
}

static bool take_side(const loop_run *run, const json_t *space, const json_t *record, char *const parts[3],
                      const char *where, sided *out, spak_error *err) {
    const json_t *config = json_object_get(record, "config");
    const char *metric = !strcmp(parts[0], "peer_ratio") ? "ratio" : parts[0];
    json_t *env = loop_expression_env(run, config, json_object_get(record, "problem"));
    spak_str key = {0};
    *out = (sided){.record = record};
    bool *sides[] = {&out->first, &out->second}, ok = metric_of(record, metric, &out->metric, err);
    for (int i = 0; ok && i < 2; i++)
        if (!speaks_past(parts[i + 1], space, config))
            ok = loop_condition(run, parts[i + 1], where, env, sides[i], err);
    if (ok && (out->first || out->second)) {
        bool known = is_metric(json_object_get(record, metric)) || !strcmp(metric, "ratio"); /* no peer, no ratio */
        ok = known ? others_key(record, parts[1], parts[2], &key, err)
                   : spak_fail(err,
                               "%s: trials have no metric '%s'; there are gflops, time_ms, peer_ratio, peer_gflops "
                               "and error_over_bound",
                               where, parts[0]);
    }
    out->key = key.data;
    json_decref(env);
    return ok;
}

static void add_ref_once(const loop_run *run, json_t *refs, const json_t *record) {
    json_t *ref = loop_ref(run, record);
    for (size_t i = 0; i < json_array_size(refs); i++)
        if (json_equal(json_array_get(refs, i), ref)) {
            json_decref(ref);
            return;
        }
    json_array_append_new(refs, ref);
}

/* Quotients over all pairs; returns their number. quotients has room for count * count. */
static size_t compare(const loop_run *run, const sided *sides, size_t count, double *quotients, json_t *refs) {
    size_t pairs = 0;
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++) {
            if (a == b || !sides[a].first || !sides[b].second || strcmp(sides[a].key, sides[b].key) != 0) continue;
            if (!(sides[a].metric > 0) || !(sides[b].metric > 0)) continue;
            quotients[pairs++] = sides[a].metric / sides[b].metric;
            if (refs) {
                add_ref_once(run, refs, sides[a].record);
                add_ref_once(run, refs, sides[b].record);
            }
        }
    return pairs;
}

/* `study("NAME", "MEMBER")` as a call: NAME and MEMBER; false when code is something else. */
static bool is_study(const char *code, char name[64], char member[64]) {
    int end = 0;
    int found = sscanf(code, " study ( \"%63[a-z0-9_]\" , \"%63[a-z0-9_.]\" ) %n", name, member, &end);
    return found == 2 && end > 0 && !code[end];
}

/* result["a"]["b"] for the member "a.b"; borrowed. */
static const json_t *member_of(const json_t *result, const char *member) {
    char first[64];
    const char *dot = strchr(member, '.');
    if (!dot) return json_object_get(result, member);
    snprintf(first, sizeof first, "%.*s", (int)(dot - member), member);
    return member_of(json_object_get(result, first), dot + 1);
}

static bool predicted_study(const loop_run *run, const char *where, const char *name, const char *member,
                            dev_spread *found, size_t *count, json_t *refs, spak_error *err) {
    size_t total = json_array_size(run->records);
    if (!dev_op_study(run->op, name))
        return spak_fail(err, "%s: operator %s has no study '%s'", where, run->op->name, name);
    double *numbers = spak_malloc((total + 1) * sizeof *numbers);
    bool ok = numbers || spak_fail_oom(err);
    *count = 0;
    for (size_t i = 0; ok && i < total; i++) {
        const json_t *record = json_array_get(run->records, i);
        if (strcmp(spak_json_str(record, "label", ""), "study") != 0 ||
            strcmp(spak_json_str(record, "study", ""), name) != 0)
            continue;
        const json_t *number = member_of(json_object_get(record, "result"), member);
        ok = json_is_number(number) || spak_fail(err, "%s: study %s finds no number '%s'", where, name, member);
        if (!ok) break;
        numbers[(*count)++] = json_number_value(number);
        if (refs) add_ref_once(run, refs, record);
    }
    if (ok) *found = *count ? dev_spread_of(numbers, *count) : (dev_spread){0};
    spak_free(numbers);
    return ok;
}

/* top / bottom of one trial, sample by sample where both are lists; 0 when the trial had no peer to give one of them.
 */
static bool quotient_within(const json_t *record, const char *top, const char *bottom, const char *where, double *out,
                            spak_error *err) {
    const char *names[2] = {top, bottom};
    const json_t *of[2];
    *out = 0;
    for (int i = 0; i < 2; i++) {
        of[i] = json_object_get(record, names[i]);
        if (is_metric(of[i])) continue;
        if (spak_starts_with(names[i], "peer_") && !is_metric(json_object_get(record, "peer_time_ms"))) return true;
        return spak_fail(err, "%s: trials have no metric '%s'", where, names[i]);
    }
    size_t count = json_array_size(of[0]);
    if (count != json_array_size(of[1]))
        return spak_fail(err, "%s: '%s' and '%s' were not taken in pairs", where, top, bottom);
    double *quotients = spak_malloc((count + 1) * sizeof *quotients);
    if (!quotients) return spak_fail_oom(err);
    quotients[0] = json_number_value(of[0]) / json_number_value(of[1]);
    for (size_t i = 0; i < count; i++)
        quotients[i] = json_number_value(json_array_get(of[0], i)) / json_number_value(json_array_get(of[1], i));
    *out = dev_spread_of(quotients, count ? count : 1).median;
    spak_free(quotients);
    return true;
}

/* The quotient within each trial for which the condition holds; numbers has room for one a record. */
static bool predicted_paired(const loop_run *run, const json_t *space, const char *kind, char *const parts[3],
                             const char *where, double *numbers, size_t *count, json_t *refs, spak_error *err) {
    size_t i;
    json_t *record;
    json_array_foreach(run->records, i, record) {
        const json_t *config = json_object_get(record, "config");
        double quotient = 0;
        bool holds = false;
        if (!is_trial(record) || (kind && strcmp(spak_json_str(record, "kind", ""), kind) != 0)) continue;
        if (speaks_past(parts[2], space, config)) continue;
        json_t *env = loop_expression_env(run, config, json_object_get(record, "problem"));
        bool ok = loop_condition(run, parts[2], where, env, &holds, err) &&
                  (!holds || quotient_within(record, parts[0], parts[1], where, &quotient, err));
        json_decref(env);
        if (!ok) return false;
        if (!(quotient > 0)) continue;
        numbers[(*count)++] = quotient;
        if (refs) add_ref_once(run, refs, record);
    }
    return true;
}

bool loop_predicted_ratio(const loop_run *run, const char *kind, const char *code, const char *where, dev_spread *ratio,
                          size_t *pairs, json_t *refs, spak_error *err) {
    char *parts[3] = {0}, name[64], member[64];
    if (is_study(code, name, member)) return predicted_study(run, where, name, member, ratio, pairs, refs, err);
    size_t total = json_array_size(run->records), count = 0;
    sided *sides = spak_calloc(total + 1, sizeof *sides);
    json_t *space = NULL;
    bool ok = (sides ? split_call(code, where, parts, err) : spak_fail_oom(err)) && loop_space(run, &space, err);
    for (size_t i = 0; ok && !is_paired(code) && i < total; i++) {
        const json_t *record = json_array_get(run->records, i);
        if (!is_trial(record) || (kind && strcmp(spak_json_str(record, "kind", ""), kind) != 0)) continue;
        ok = take_side(run, space, record, parts, where, &sides[count], err);
        if (ok && (sides[count].first || sides[count].second))
            count++;
        else
            spak_free(sides[count].key);
    }
    double *quotients = ok ? spak_malloc((count * count + total + 1) * sizeof *quotients) : NULL;
    if (ok && !quotients) ok = spak_fail_oom(err);
    if (ok) *pairs = compare(run, sides, count, quotients, refs);
    if (ok && is_paired(code)) ok = predicted_paired(run, space, kind, parts, where, quotients, pairs, refs, err);
    if (ok) {
        *ratio = *pairs ? dev_spread_of(quotients, *pairs) : (dev_spread){0};
    }
    for (size_t i = 0; i < count; i++) spak_free(sides[i].key);
    for (int i = 0; i < 3; i++) spak_free(parts[i]);
    json_decref(space);
    spak_free(quotients);
    spak_free(sides);
    return ok;
}

/* --- hypothesis before, insight after --- */

typedef bool (*with_prediction)(loop_run *run, const json_t *item, const char *code, double lo, double hi,
                                spak_error *err);

static bool prediction_of(loop_run *run, const json_t *item, with_prediction visit, spak_error *err) {
    char where[512];
    const char *code = dsl_code(dsl_value(item, "predict"));
    const json_t *within = dsl_value(item, "within");
    if (!code) return true;
    double lo = json_number_value(json_array_get(within, 0)), hi = json_number_value(json_array_get(within, 1));
    if (json_array_size(within) != 2 || !(lo < hi))
        return spak_fail(err, "%s: a prediction needs `within: [low, high]`, two numbers in order",
                         loop_where(item, run->system_path, where, sizeof where));
    return visit(run, item, code, lo, hi, err);
}

typedef struct predicting {
    loop_run *run;
    with_prediction visit;
} predicting;

static bool rule_prediction(void *ctx, const json_t *rule, spak_error *err) {
    predicting *p = ctx;
    bool applies;
    if (!strcmp(dsl_text(dsl_value(rule, "status"), "proposed"), "retired")) return true;
    if (!loop_in_scope(p->run, rule, &applies, NULL, err)) return false;
    return !applies || prediction_of(p->run, rule, p->visit, err);
}

static bool each_prediction(loop_run *run, with_prediction visit, spak_error *err) {
    predicting p = {run, visit};
    if (!loop_each(run, "rule", rule_prediction, &p, err)) return false;
    const json_t *hypothesis;
    for (size_t i = 0; (hypothesis = dsl_block(run->system, "hypothesis", NULL, i)); i++)
        if (!prediction_of(run, hypothesis, visit, err)) return false;
    return true;
}

static bool record_once(loop_run *run, const char *kind, json_t *body, spak_error *err) {
    if (body && loop_find(run, kind, body)) {
        json_decref(body);
        return true;
    }
    return loop_record(run, kind, body, NULL, err);
}

static bool hypothesise(loop_run *run, const json_t *item, const char *code, double lo, double hi, spak_error *err) {
    char where[512];
    dev_spread ratio;
    size_t pairs;
    /* A prediction that cannot be read is better refused before the trials than after them. */
    if (!loop_predicted_ratio(run, NULL, code, loop_where(item, run->system_path, where, sizeof where), &ratio, &pairs,
                              NULL, err))
        return false;
    return record_once(run, "hypothesis",
                       json_pack("{s:s, s:s, s:s, s:[f,f], s:s}", "item", spak_json_str(item, "kind", ""), "name",
                                 spak_json_str(item, "name", ""), "predict", code, "within", lo, hi, "reason",
                                 dsl_text(dsl_value(item, "reason"), dsl_text(dsl_value(item, "expect"), ""))),
                       err);
}

static bool settle(loop_run *run, const json_t *item, const char *code, double lo, double hi, spak_error *err) {
    char where[512];
    dev_spread spread = {0};
    size_t pairs = 0;
    json_t *refs = json_array();
    bool ok = loop_predicted_ratio(run, NULL, code, loop_where(item, run->system_path, where, sizeof where), &spread,
                                   &pairs, refs, err);
    const double ratio = spread.median;
    const char *outcome = !pairs ? "untested" : ratio >= lo && ratio <= hi ? "confirmed" : "contradicted";
    if (ok)
        ok = record_once(
            run, "insight",
            json_pack("{s:s, s:s, s:s, s:[f,f], s:f, s:I, s:s, s:O}", "item", spak_json_str(item, "kind", ""), "name",
                      spak_json_str(item, "name", ""), "predict", code, "within", lo, hi, "measured", ratio, "pairs",
                      (json_int_t)pairs, "outcome", outcome, "refs", refs),
            err);
    json_decref(refs);
    return ok;
}

bool loop_hypothesise(loop_run *run, spak_error *err) { return each_prediction(run, hypothesise, err); }

bool loop_settle(loop_run *run, spak_error *err) { return each_prediction(run, settle, err); }
