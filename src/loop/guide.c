/* The guide's checker: intent yes, parameters no.
 *
 * Refused, wherever they stand (values, prose, backticks): numbers; values of the tuning space that hold a digit
 * (`6x16`); names of hardware, as dsl/hardware/ lists them. Refused too: an entry that gives an axis a value. Allowed:
 * names of the system's own knowledge, which may carry digits, and fields that end in `sha256`. A word is a run of
 * letters, digits, '_' and '.'; digits inside a word that begins with a letter (`f32`) are part of its name. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"

typedef struct guide_check {
    json_t *forbidden; /* lower-case word -> what it is */
    json_t *known;     /* names of knowledge items */
    json_t *axes;      /* names of the tuning space's axes */
    spak_str *problems;
} guide_check;

static void lower(const char *text, size_t len, char *out, size_t size) {
    size_t i = 0;
    for (; i < len && i + 1 < size; i++) out[i] = (char)tolower((unsigned char)text[i]);
    out[i] = 0;
}

static void forbid(guide_check *check, const char *word, const char *what) {
    char small[128];
    lower(word, strlen(word), small, sizeof small);
    json_object_set_new(check->forbidden, small, json_string(what));
}

static void forbid_axis_values(guide_check *check, const json_t *space) {
    const json_t *body = json_object_get(space, "body");
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i), *values = json_object_get(entry, "value");
        if (!json_is_array(values)) continue;
        json_object_set_new(check->axes, spak_json_str(entry, "key", ""), json_true());
        for (size_t k = 0; k < json_array_size(values); k++) {
            const char *text = dsl_text(json_array_get(values, k), "");
            if (strpbrk(text, "0123456789")) forbid(check, text, "a value of the tuning space");
        }
    }
}

static void forbid_hardware_block(guide_check *check, const json_t *block) {
    const json_t *names = dsl_value(block, "names");
    forbid(check, spak_json_str(block, "name", ""), "a name of hardware");
    for (size_t i = 0; i < json_array_size(names); i++)
        forbid(check, dsl_text(json_array_get(names, i), ""), "a name of hardware");
}

/* Every `hardware` block in dsl/hardware/: its name and its `names`. */
static bool forbid_hardware(guide_check *check, spak_error *err) {
    static const char folder[] = "dsl/hardware";
    char **files = NULL, path[512];
    size_t count = 0;
    bool ok = spak_list_dir(folder, &files, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        dsl_doc *doc = NULL;
        json_t *meaning = NULL;
        if (!spak_ends_with(files[i], ".dsl")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        ok = dsl_parse_file(path, &doc, err) && dsl_meaning(doc, &meaning, err);
        const json_t *block;
        for (size_t k = 0; ok && (block = dsl_block(meaning, "hardware", NULL, k)); k++)
            forbid_hardware_block(check, block);
        json_decref(meaning);
        dsl_free(doc);
    }
    spak_names_free(files, count);
    return ok;
}

static void check_word(guide_check *check, const char *word, size_t len, const json_t *item) {
    char small[128];
    while (len && word[len - 1] == '.') len--;
    while (len && *word == '.') word++, len--;
    if (!len) return;
    lower(word, len, small, sizeof small);
    const char *what = spak_json_str(check->forbidden, small, NULL);
    bool digit_first = isdigit((unsigned char)small[0]);
    if (!what && digit_first) what = "a number";
    if (!what || json_object_get(check->known, small)) return;
    spak_str_printf(check->problems, "line %lld: '%.*s' is %s; a guide states intent, the trials find values\n",
                    spak_json_int(item, "line", 0), (int)len, word, what);
}

static void check_text(guide_check *check, const char *text, const json_t *item) {
    const char *word = NULL;
    for (const char *c = text;; c++) {
        bool in_word = isalnum((unsigned char)*c) || *c == '_' || (*c == '.' && word);
        if (in_word && !word) word = c;
        if (!in_word && word) {
            check_word(check, word, (size_t)(c - word), item);
            word = NULL;
        }
        if (!*c) return;
    }
}

static void check_value(guide_check *check, const json_t *value, const json_t *item) {
    char number[32];
    const char *key;
    json_t *member;
    size_t i;
    if (json_is_string(value)) check_text(check, json_string_value(value), item);
    if (json_is_number(value)) {
        spak_number_text(json_number_value(value), number);
        check_text(check, *number == '-' ? number + 1 : number, item);
    }
    if (json_is_array(value)) json_array_foreach((json_t *)value, i, member) check_value(check, member, item);
    if (json_is_object(value))
        json_object_foreach((json_t *)value, key, member) if (strcmp(key, "line") && strcmp(key, "column"))
            check_value(check, member, item);
}

static void check_items(guide_check *check, const json_t *block) {
    const json_t *body = json_object_get(block, "body");
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *item = json_array_get(body, i);
        const char *key = spak_json_str(item, "key", "");
        if (spak_ends_with(key, "sha256")) continue;
        if (json_object_get(check->axes, key))
            spak_str_printf(check->problems, "line %lld: '%s' is an axis; a guide names axes and gives them no value\n",
                            spak_json_int(item, "line", 0), key);
        check_text(check, key, item);
        check_text(check, spak_json_str(item, "name", ""), item);
        check_text(check, spak_json_str(item, "text", ""), item);
        check_value(check, json_object_get(item, "value"), item);
        check_items(check, item);
    }
}

static void know(guide_check *check, const json_t *items) {
    for (size_t i = 0; i < json_array_size(items); i++) {
        char small[128];
        const char *name = spak_json_str(json_array_get(items, i), "name", "");
        lower(name, strlen(name), small, sizeof small);
        json_object_set_new(check->known, small, json_true());
    }
}

bool loop_guide_problems(const json_t *guide, const json_t *system, const json_t *manifest, spak_str *problems,
                         spak_error *err) {
    guide_check check = {
        .forbidden = json_object(), .known = json_object(), .axes = json_object(), .problems = problems};
    bool ok = forbid_hardware(&check, err);
    forbid_axis_values(&check, dsl_block(manifest, "tuning_space", NULL, 0));
    forbid_axis_values(&check, dsl_block(system, "tuning_space", NULL, 0));
    know(&check, json_object_get(system, "knowledge"));
    know(&check, json_object_get(system, "body"));
    if (ok) check_items(&check, guide);
    json_decref(check.forbidden);
    json_decref(check.known);
    json_decref(check.axes);
    return ok && spak_str_ok(problems, err);
}
