/* crystallise: what the trace taught becomes the next version of the system.
 *
 * The next version is the old file with entries added to its knowledge block and counters brought up to date; all else
 * stays byte for byte, so `diff` between two versions shows what was learned and nothing more. Added are
 *
 *   - for each search, the best configuration found, as a fact;
 *   - for each value of an axis that was tried beside the best one, a fact when it loses (a negative result): valid
 * when it lost in each of several pairs, else proposed; and one fact for an axis whose values make no difference beyond
 *     the noise;
 *   - a proposed rule for an axis that matters, with the interval in which its effect was seen;
 *   - for each prediction, a fact that says whether it came true.
 *
 * All evidence is trace references. The noise is what the trace itself shows: the starting configuration is measured
 * twice, and no difference smaller than that gap, or than MIN_NOISE, is taken for one. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

static const double MIN_NOISE = 0.02; /* relative; below what medians of interleaved samples resolve on a shared CPU */
enum { SURE_PAIRS = 3 };              /* a value that lost fewer times, or won once, is only proposed as a loser */
static const double RULE_EFFECT = 0.10; /* an axis is worth a rule when its worst value costs at least this share */

typedef struct growing {
    loop_run *run;
    spak_str text; /* the file as it stands */
    json_t *added; /* "kind name" of what this call has added */
    int facts, rules;
    double noise;
} growing;

/* --- editing the text --- */

static bool edited(growing *g, const char *path, const char *key, const char *entry, spak_error *err) {
    dsl_doc *doc = NULL;
    spak_str next = {0};
    bool ok =
        dsl_parse(g->run->system_path, spak_str_text(&g->text), g->text.len, &doc, err) &&
        (key ? dsl_set_value(doc, path, key, entry, &next, err) : dsl_append_to_block(doc, path, entry, &next, err));
    dsl_free(doc);
    if (!ok) {
        spak_str_free(&next);
        return false;
    }
    spak_str_free(&g->text);
    g->text = next;
    return true;
}

static bool known(const growing *g, const char *kind, const char *name) {
    const json_t *items = json_object_get(g->run->system, "knowledge");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (!strcmp(spak_json_str(item, "kind", ""), kind) && !strcmp(spak_json_str(item, "name", ""), name))
            return true;
    }
    return false;
}

/* Adds `kind name { body }` to the knowledge, unless the system has one of that name. */
static bool add_item(growing *g, const char *kind, const char *name, const spak_str *body, spak_error *err) {
    spak_str entry = {0};
    spak_str_printf(&entry, "%s %s", kind, name);
    if (!spak_str_ok(&entry, err)) return false;
    if (known(g, kind, name) || json_object_get(g->added, entry.data)) {
        spak_str_free(&entry);
        return true;
    }
    json_object_set_new(g->added, entry.data, json_true());
    spak_str_printf(&entry, " {\n%s}", spak_str_text(body));
    bool ok =
        spak_str_ok(body, err) && spak_str_ok(&entry, err) && edited(g, "system/knowledge", NULL, entry.data, err);
    spak_str_free(&entry);
    if (ok && !strcmp(kind, "fact")) g->facts++;
    if (ok && !strcmp(kind, "rule")) g->rules++;
    return ok;
}

/* --- pieces of an entry --- */

/* A name of letters, digits and '_' out of anything. */
static void put_name(spak_str *out, const char *text) {
    for (; *text; text++) spak_str_putc(out, isalnum((unsigned char)*text) ? *text : '_');
}

static void put_rounded(spak_str *out, double value) { spak_str_printf(out, "%.3g", value); }

/* "_LABEL_on_MACHINE": what one machine taught stands beside what others did. */
static void put_origin(const growing *g, spak_str *name, const char *label) {
    spak_str_putc(name, '_');
    put_name(name, label);
    spak_str_puts(name, "_on_");
    put_name(name, spak_json_str(g->run->hw, "id", "unknown"));
}

/* A JSON scalar as a Lua literal. */
static void put_literal(spak_str *out, const json_t *value) {
    if (json_is_string(value))
        spak_str_printf(out, "\"%s\"", json_string_value(value));
    else if (json_is_integer(value))
        spak_str_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        spak_str_puts(out, json_is_true(value) ? "true" : "false");
    else
        spak_str_printf(out, "%.17g", json_number_value(value));
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* `a == 1 and b == "x"`, by name: the same text whether the record was just made or read back from its file. */
static void put_conjunction(spak_str *out, const json_t *object) {
    enum { MOST = 64 };
    const char *names[MOST], *name;
    size_t count = 0;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) if (count < MOST) names[count++] = name;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        spak_str_printf(out, "%s%s == ", i ? " and " : "", names[i]);
        put_literal(out, json_object_get(object, names[i]));
    }
}

/* Where it was seen: of this operator, on this machine, in this type; a system that inherits it may be about another
 * operator. A rule's scope is wider, the instruction set; its `when` names the operator. */
static void put_scope(const growing *g, spak_str *out, bool this_machine) {
    const json_t *hw = g->run->hw;
    const char *key = this_machine ? "id" : "isa";
    spak_str_puts(out, "    scope { ");
    if (this_machine) spak_str_printf(out, "op: [%s] ", g->run->op->name);
    spak_str_printf(out, "%s: [\"%s\"] dtype: [%s] }\n", key, spak_json_str(hw, key, "unknown"),
                    dsl_text(dsl_value(g->run->manifest, "dtype"), "f32"));
}

static void put_evidence(spak_str *out, const json_t *refs) {
    enum { MOST = 6 };
    spak_str_puts(out, "    evidence: [");
    for (size_t i = 0; i < json_array_size(refs) && i < MOST; i++)
        spak_str_printf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(refs, i)));
    spak_str_puts(out, "]\n");
}

/* --- what a search taught --- */

static bool add_best(growing *g, const json_t *converged, spak_error *err) {
    spak_str name = {0}, body = {0};
    spak_str_puts(&name, "best");
    put_origin(g, &name, spak_json_str(converged, "label", "search"));
    spak_str_printf(&body, "    description: \"the best configuration that the search met, of %lld trials\"\n",
                    spak_json_int(converged, "trials", 0));
    spak_str_puts(&body, "    config: `");
    put_conjunction(&body, json_object_get(converged, "best"));
    spak_str_puts(&body, "`\n    problem: `");
    put_conjunction(&body, json_object_get(converged, "problem"));
    spak_str_puts(&body, "`\n    merit: ");
    put_rounded(&body, spak_json_num(converged, "merit", 0));
    spak_str_puts(&body, "\n");
    put_scope(g, &body, true);
    spak_str_printf(&body, "    evidence: [%s]\n    support: 1\n    contradictions: 0\n    status: valid\n",
                    spak_json_str(converged, "best_ref", ""));
    bool ok = spak_str_ok(&name, err) && add_item(g, "fact", name.data, &body, err);
    spak_str_free(&name);
    spak_str_free(&body);
    return ok;
}

typedef struct axis_effect {
    const char *axis;
    const json_t *best;  /* the best configuration's value */
    const json_t *worst; /* the value that costs most */
    double worst_ratio;  /* merit(worst) / merit(best) */
    json_t *worst_refs;
    int losing, equal;
} axis_effect;

/* The code `ratio(peer_ratio, axis == a and problem, axis == b and problem)` restricted to one search's problem. */
static void put_comparison(spak_str *code, const char *axis, const json_t *a, const json_t *b) {
    spak_str_printf(code, "ratio(peer_ratio, %s == ", axis);
    put_literal(code, a);
    spak_str_printf(code, ", %s == ", axis);
    put_literal(code, b);
    spak_str_putc(code, ')');
}

static bool add_losing(growing *g, const char *label, const axis_effect *effect, const json_t *value,
                       const dev_spread *ratio, size_t pairs, const json_t *refs, spak_error *err) {
    spak_str name = {0}, body = {0}, literal = {0};
    put_literal(&literal, value);
    spak_str_printf(&name, "%s_", effect->axis);
    put_name(&name, json_is_string(value) ? json_string_value(value) : spak_str_text(&literal));
    spak_str_puts(&name, "_loses");
    put_origin(g, &name, label);
    spak_str_puts(&body,
                  "    negative: true\n    description: \"this value loses against the best one, all else equal\"\n"
                  "    comparison: `");
    put_comparison(&body, effect->axis, value, effect->best);
    spak_str_puts(&body, "`\n    measured: ");
    put_rounded(&body, ratio->median);
    spak_str_puts(&body, "\n    range: [");
    put_rounded(&body, ratio->min);
    spak_str_puts(&body, ", ");
    put_rounded(&body, ratio->max);
    spak_str_printf(&body, "]\n    pairs: %zu\n", pairs);
    put_scope(g, &body, true);
    put_evidence(&body, refs);
    bool sure = pairs >= SURE_PAIRS && ratio->max < 1;
    spak_str_printf(&body, "    support: 1\n    contradictions: 0\n    status: %s\n", sure ? "valid" : "proposed");
    bool ok = spak_str_ok(&name, err) && spak_str_ok(&literal, err) && add_item(g, "fact", name.data, &body, err);
    spak_str_free(&name);
    spak_str_free(&body);
    spak_str_free(&literal);
    return ok;
}

/* Compares one value with the best configuration's on the same axis. */
static bool weigh_value(growing *g, const char *label, axis_effect *effect, const json_t *value, spak_error *err) {
    spak_str code = {0};
    dev_spread spread = {0};
    size_t pairs = 0;
    json_t *refs = json_array();
    put_comparison(&code, effect->axis, value, effect->best);
    bool ok = spak_str_ok(&code, err) &&
              loop_predicted_ratio(g->run, "measure", code.data, g->run->system_path, &spread, &pairs, refs, err);
    const double ratio = spread.median;
    spak_str_free(&code);
    if (ok && pairs && ratio < 1 - g->noise) {
        effect->losing++;
        ok = add_losing(g, label, effect, value, &spread, pairs, refs, err);
        if (!effect->worst || ratio < effect->worst_ratio) {
            effect->worst = value;
            effect->worst_ratio = ratio;
            json_decref(effect->worst_refs);
            effect->worst_refs = json_incref(refs);
        }
    } else if (ok && pairs) {
        effect->equal++;
    }
    json_decref(refs);
    return ok;
}

static bool add_indifferent(growing *g, const char *label, const axis_effect *effect, const char *best_ref,
                            spak_error *err) {
    spak_str name = {0}, body = {0};
    spak_str_printf(&name, "%s_makes_no_difference", effect->axis);
    put_origin(g, &name, label);
    spak_str_puts(&body,
                  "    negative: true\n    description: \"no value of this axis that was tried differs by more than "
                  "the noise\"\n    noise: ");
    put_rounded(&body, g->noise);
    spak_str_printf(&body, "\n    values_tried: %d\n", effect->equal + 1);
    put_scope(g, &body, true);
    spak_str_printf(&body, "    evidence: [%s]\n    support: 1\n    contradictions: 0\n    status: valid\n", best_ref);
    bool ok = spak_str_ok(&name, err) && add_item(g, "fact", name.data, &body, err);
    spak_str_free(&name);
    spak_str_free(&body);
    return ok;
}

/* `apply: axis == best`, with the effect that was seen, widened by the noise on both sides, as its prediction. */
static bool add_rule(growing *g, const axis_effect *effect, spak_error *err) {
    spak_str name = {0}, body = {0};
    double gain = 1 / effect->worst_ratio;
    spak_str_printf(&name, "prefer_%s_on_", effect->axis);
    put_name(&name, spak_json_str(g->run->hw, "isa", "this_machine"));
    spak_str_printf(&body, "    when: `op == \"%s\"`\n    apply: `%s == ", g->run->op->name, effect->axis);
    put_literal(&body, effect->best);
    spak_str_puts(&body, "`\n    predict: `");
    put_comparison(&body, effect->axis, effect->best, effect->worst);
    spak_str_puts(&body, "`\n    within: [");
    put_rounded(&body, gain * (1 - 2 * g->noise));
    spak_str_puts(&body, ", ");
    put_rounded(&body, gain * (1 + 2 * g->noise));
    spak_str_puts(&body,
                  "]\n    reason: \"the best of the values tried, all else equal; the search gives no cause\"\n");
    put_scope(g, &body, false);
    put_evidence(&body, effect->worst_refs);
    spak_str_puts(&body, "    support: 1\n    contradictions: 0\n    status: proposed\n");
    bool ok = spak_str_ok(&name, err) && add_item(g, "rule", name.data, &body, err);
    spak_str_free(&name);
    spak_str_free(&body);
    return ok;
}

/* A rule speaks for every problem, so all searches must have ended at the same value of the axis. */
static bool searches_agree(const growing *g, const char *axis, const json_t *best) {
    for (size_t i = 0; i < json_array_size(g->run->records); i++) {
        const json_t *record = json_array_get(g->run->records, i);
        if (!strcmp(spak_json_str(record, "kind", ""), "converge") &&
            !json_equal(json_object_get(json_object_get(record, "best"), axis), best))
            return false;
    }
    return true;
}

static bool weigh_axes(growing *g, const json_t *converged, const json_t *space, spak_error *err) {
    const char *axis, *label = spak_json_str(converged, "label", "search");
    json_t *values;
    json_object_foreach((json_t *)space, axis, values) {
        axis_effect effect = {.axis = axis, .best = json_object_get(json_object_get(converged, "best"), axis)};
        bool ok = true;
        for (size_t i = 0; ok && effect.best && i < json_array_size(values); i++)
            if (!json_equal(json_array_get(values, i), effect.best))
                ok = weigh_value(g, label, &effect, json_array_get(values, i), err);
        if (ok && !effect.losing && effect.equal)
            ok = add_indifferent(g, label, &effect, spak_json_str(converged, "best_ref", ""), err);
        if (ok && effect.worst && 1 - effect.worst_ratio >= RULE_EFFECT && searches_agree(g, axis, effect.best))
            ok = add_rule(g, &effect, err);
        json_decref(effect.worst_refs);
        if (!ok) return false;
    }
    return true;
}

/* --- what became of predictions --- */

static bool add_outcome(growing *g, const json_t *insight, spak_error *err) {
    const char *outcome = spak_json_str(insight, "outcome", "");
    const json_t *within = json_object_get(insight, "within");
    spak_str name = {0}, body = {0};
    spak_str_puts(&name, "outcome_of");
    put_origin(g, &name, spak_json_str(insight, "name", ""));
    if (!strcmp(outcome, "contradicted")) spak_str_puts(&body, "    negative: true\n");
    spak_str_printf(&body, "    outcome: %s\n    comparison: `%s`\n    predicted: [", outcome,
                    spak_json_str(insight, "predict", ""));
    put_rounded(&body, json_number_value(json_array_get(within, 0)));
    spak_str_puts(&body, ", ");
    put_rounded(&body, json_number_value(json_array_get(within, 1)));
    spak_str_puts(&body, "]\n    measured: ");
    put_rounded(&body, spak_json_num(insight, "measured", 0));
    spak_str_printf(&body, "\n    pairs: %lld\n", spak_json_int(insight, "pairs", 0));
    put_scope(g, &body, true);
    put_evidence(&body, json_object_get(insight, "refs"));
    spak_str_puts(&body, "    support: 1\n    contradictions: 0\n    status: valid\n");
    bool ok = spak_str_ok(&name, err) && add_item(g, "fact", name.data, &body, err);
    spak_str_free(&name);
    spak_str_free(&body);
    return ok;
}

/* The file's own rule gets one more support or contradiction. An inherited rule is counted where it stands. */
static bool count_outcome(growing *g, const json_t *insight, spak_error *err) {
    const char *name = spak_json_str(insight, "name", "");
    const json_t *rule = dsl_block(dsl_block(g->run->system, "knowledge", NULL, 0), "rule", name, 0);
    if (!rule) return true;
    bool good = !strcmp(spak_json_str(insight, "outcome", ""), "confirmed");
    long long support = (long long)json_number_value(dsl_value(rule, "support")) + good;
    long long against = (long long)json_number_value(dsl_value(rule, "contradictions")) + !good;
    char path[256], number[32];
    snprintf(path, sizeof path, "system/knowledge/rule:%s", name);
    snprintf(number, sizeof number, "%lld", support);
    if (!edited(g, path, "support", number, err)) return false;
    snprintf(number, sizeof number, "%lld", against);
    if (!edited(g, path, "contradictions", number, err)) return false;
    return edited(g, path, "status", against ? "contested" : "valid", err);
}

/* --- the whole --- */

/* The largest gap between two measurements of one configuration on one problem. */
static double noise_of(const loop_run *run) {
    double noise = MIN_NOISE;
    for (size_t i = 0; i < json_array_size(run->records); i++) {
        const json_t *a = json_array_get(run->records, i);
        if (strcmp(spak_json_str(a, "kind", ""), "measure") != 0 || loop_merit(a) <= 0) continue;
        for (size_t k = i + 1; k < json_array_size(run->records); k++) {
            const json_t *b = json_array_get(run->records, k);
            if (strcmp(spak_json_str(b, "kind", ""), "measure") != 0 || loop_merit(b) <= 0) continue;
            if (!json_equal(json_object_get(a, "config"), json_object_get(b, "config")) ||
                !json_equal(json_object_get(a, "problem"), json_object_get(b, "problem")))
                continue;
            noise = fmax(noise, fabs(loop_merit(a) / loop_merit(b) - 1));
        }
    }
    return noise;
}

/* --- what the next version says of itself --- */

/* The line before `line`, or NULL at the text's start. */
static const char *line_before(const char *text, const char *line) {
    if (line == text) return NULL;
    const char *c = line - 1;
    while (c > text && c[-1] != '\n') c--;
    return c;
}

/* Copies text up to `until`, with the front matter's `version: N` counted up and without lines that only mark a region
 * for the book: those stand in the version that was written by hand. */
static void copy_lines(spak_str *out, const char *text, const char *until) {
    bool front = spak_starts_with(text, "---");
    for (const char *line = text; line < until;) {
        const char *end = memchr(line, '\n', (size_t)(until - line));
        end = end ? end + 1 : until;
        const char *word = line + strspn(line, " \t");
        bool marker = spak_starts_with(word, "//> ") || spak_starts_with(word, "//< ");
        if (front && line > text && spak_starts_with(line, "---")) front = false;
        if (front && spak_starts_with(line, "version: "))
            spak_str_printf(out, "version: %ld\n", strtol(line + strlen("version: "), NULL, 10) + 1);
        else if (!marker)
            spak_str_append(out, line, (size_t)(end - line));
        line = end;
    }
}

/* `system Name_v1 {` becomes `system Name_v2 {`; the comment in front of it, which says where the system comes from,
 * gives way to one for the new version. */
static bool next_name(growing *g, spak_error *err) {
    const char *name = spak_json_str(g->run->system, "name", "");
    const char *version = strrchr(name, 'v');
    char *end = NULL;
    long number = version && version > name && version[-1] == '_' ? strtol(version + 1, &end, 10) : 0;
    if (number < 1 || *end)
        return spak_fail(err, "%s: the system's name '%s' does not end in _v and a number, so there is no next version",
                         g->run->system_path, name);
    spak_str next = {0}, header = {0};
    spak_str_printf(&header, "system %s", name);
    const char *text = spak_str_text(&g->text), *at = header.data ? strstr(text, header.data) : NULL;
    if (!at) return spak_fail(err, "%s: cannot find `system %s`", g->run->system_path, name);
    const char *comment = at;
    for (const char *line; (line = line_before(text, comment)) && spak_starts_with(line, "//");) comment = line;
    copy_lines(&next, text, comment);
    spak_str_printf(&next, "// Written by `spak crystallise` from %s and trace:%s/%s; not to be edited.\n", name,
                    g->run->name, spak_json_str(g->run->hw, "id", "unknown"));
    spak_str_printf(&next, "system %.*sv%ld", (int)(version - name), name, number + 1);
    copy_lines(&next, at + header.len, text + g->text.len);
    spak_str_free(&header);
    spak_str_free(&g->text);
    g->text = next;
    return spak_str_ok(&g->text, err);
}

static bool grow(growing *g, spak_error *err) {
    json_t *space = NULL;
    bool ok =
        spak_read_file(g->run->system_path, &g->text, err) && next_name(g, err) && loop_space(g->run, &space, err);
    g->noise = noise_of(g->run);
    for (size_t i = 0; ok && i < json_array_size(g->run->records); i++) {
        const json_t *record = json_array_get(g->run->records, i);
        const char *kind = spak_json_str(record, "kind", ""), *outcome = spak_json_str(record, "outcome", "");
        if (!strcmp(kind, "converge")) ok = add_best(g, record, err) && weigh_axes(g, record, space, err);
        if (!strcmp(kind, "insight") && (!strcmp(outcome, "confirmed") || !strcmp(outcome, "contradicted")))
            ok = add_outcome(g, record, err) && count_outcome(g, record, err);
    }
    json_decref(space);
    return ok;
}

bool loop_crystallise(loop_run *run, const char *path, spak_error *err) {
    growing g = {.run = run, .added = json_object()};
    char hex[SPAK_SHA256_HEX + 1];
    dsl_doc *doc = NULL;
    spak_str pretty = {0};
    bool ok = grow(&g, err);
    if (ok && g.facts + g.rules == 0)
        ok =
            spak_fail(err,
                      "%s: the trace holds nothing that the system does not know yet; measure first: `run:tune()` in a "
                      "recipe, `spak tune %s` by hand",
                      run->name, run->system_path);
    ok = ok && dsl_parse(path, g.text.data, g.text.len, &doc, err) && dsl_format(doc, &pretty, err) &&
         spak_write_if_changed(path, pretty.data, pretty.len, err) && spak_sha256(pretty.data, pretty.len, hex, err);
    if (ok && !run->complete) {
        const char *slash = strrchr(path, '/'),
                   *file = slash ? slash + 1 : path; /* folders are this machine's affair */
        json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:i, s:f}", "item", "system", "name", file, "sha256", hex,
                                 "facts", g.facts, "rules", g.rules, "noise", g.noise);
        if (body && loop_find(run, "insight", body))
            json_decref(body);
        else
            ok = loop_record(run, "insight", body, NULL, err);
    }
    dsl_free(doc);
    spak_str_free(&pretty);
    spak_str_free(&g.text);
    json_decref(g.added);
    return ok;
}
