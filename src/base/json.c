#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"

enum { MAX_DEPTH = 200 };

void spak_json_init(void) { json_set_alloc_funcs(spak_malloc, spak_free); }

/* The fewest digits that may read back. Most numbers that were measured need 16 or 17, and to try all below costs more
 * than the rest of a trace's check. A normal double keeps any decimal of DBL_DIG digits: so if a text of at most so
 * many reads back, it is the one of DBL_DIG without the zeros at its end. */
static int fewest_digits(double value) {
    char text[32];
    if (!isnormal(value)) return 1;
    snprintf(text, sizeof text, "%.*e", DBL_DIG - 1, fabs(value)); /* d.ddd...e: digit i > 1 is text[i] */
    if (strtod(text, NULL) != fabs(value)) return DBL_DIG + 1;
    int digits = DBL_DIG;
    while (digits > 1 && text[digits] == '0') digits--;
    return digits;
}

void spak_number_text(double value, char out[32]) {
    for (int digits = fewest_digits(value); digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    if (!strpbrk(out, ".e")) strcat(out, ".0");
}

static void put_string(const char *text, size_t len, spak_str *out) {
    spak_str_putc(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            spak_str_putc(out, '\\');
            spak_str_putc(out, (char)c);
        } else if (c < 0x20 || c == 0x7f) {
            spak_str_printf(out, "\\u%04x", c);
        } else {
            spak_str_putc(out, (char)c);
        }
    }
    spak_str_putc(out, '"');
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool put_value(const json_t *value, spak_str *out, int depth, spak_error *err);

static bool put_object(const json_t *object, spak_str *out, int depth, spak_error *err) {
    size_t count = json_object_size(object), i = 0;
    const char **keys = spak_malloc(count * sizeof *keys);
    if (!keys) return spak_fail_oom(err);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) keys[i++] = key;
    qsort(keys, count, sizeof *keys, by_bytes);
    bool ok = true;
    spak_str_putc(out, '{');
    for (i = 0; ok && i < count; i++) {
        if (i) spak_str_putc(out, ',');
        put_string(keys[i], strlen(keys[i]), out);
        spak_str_putc(out, ':');
        ok = put_value(json_object_get(object, keys[i]), out, depth + 1, err);
    }
    spak_str_putc(out, '}');
    spak_free(keys);
    return ok;
}

static bool put_value(const json_t *value, spak_str *out, int depth, spak_error *err) {
    if (depth > MAX_DEPTH) return spak_fail(err, "JSON value nested deeper than %d levels", MAX_DEPTH);
    if (!value) return spak_fail(err, "JSON value missing (out of memory, or a number that is not finite)");
    char number[32];
    switch (json_typeof(value)) {
        case JSON_OBJECT: return put_object(value, out, depth, err);
        case JSON_ARRAY:
            spak_str_putc(out, '[');
            for (size_t i = 0; i < json_array_size(value); i++) {
                if (i) spak_str_putc(out, ',');
                if (!put_value(json_array_get(value, i), out, depth + 1, err)) return false;
            }
            spak_str_putc(out, ']');
            return true;
        case JSON_STRING: put_string(json_string_value(value), json_string_length(value), out); return true;
        case JSON_INTEGER: spak_str_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return true;
        case JSON_REAL:
            spak_number_text(json_real_value(value), number);
            spak_str_puts(out, number);
            return true;
        case JSON_TRUE: spak_str_puts(out, "true"); return true;
        case JSON_FALSE: spak_str_puts(out, "false"); return true;
        case JSON_NULL: spak_str_puts(out, "null"); return true;
    }
    return spak_fail(err, "JSON value of unknown type");
}

bool spak_json_canonical(const json_t *value, spak_str *out, spak_error *err) {
    return put_value(value, out, 0, err) && spak_str_ok(out, err);
}

bool spak_json_parse(const char *name, const char *text, size_t len, json_t **out, spak_error *err) {
    json_error_t where;
    unsigned long failures = spak_alloc_failures();
    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (spak_alloc_failures() != failures) { /* the scanner drops such a failure and may have read half a number */
        json_decref(*out);
        *out = NULL;
        return spak_fail_oom(err);
    }
    if (!*out) return spak_fail(err, "%s:%d:%d: not valid JSON: %s", name, where.line, where.column, where.text);
    return true;
}

bool spak_json_load(const char *path, json_t **out, spak_error *err) {
    spak_str text = {0};
    bool ok = spak_read_file(path, &text, err) && spak_json_parse(path, spak_str_text(&text), text.len, out, err);
    spak_str_free(&text);
    return ok;
}

const char *spak_json_str(const json_t *object, const char *key, const char *otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

double spak_json_num(const json_t *object, const char *key, double otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

long long spak_json_int(const json_t *object, const char *key, long long otherwise) {
    const json_t *value = json_object_get(object, key);
    if (json_is_integer(value)) return json_integer_value(value);
    double real = json_is_real(value) ? json_real_value(value) : NAN;
    return real == floor(real) && fabs(real) < 9e15 ? (long long)real : otherwise;
}

bool spak_json_bool(const json_t *object, const char *key, bool otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

bool spak_json_set(json_t *object, const char *key, json_t *value, spak_error *err) {
    return (value && json_object_set_new(object, key, value) == 0) || spak_fail_oom(err);
}
