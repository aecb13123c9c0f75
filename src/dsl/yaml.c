/* Front matter: YAML through libyaml's event parser, to JSON.
 *
 * Plain scalars become null, booleans, numbers or strings as in YAML's core schema; everything else is a string, dates
 * too. Anchors are refused (they are how a small file becomes a huge one), and so are keys that repeat and front
 * matter of more than 64 KiB. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "dsl/dsl_internal.h"

enum { MAX_BYTES = 64 * 1024, MAX_DEPTH = 32 };

typedef struct reader {
    yaml_parser_t parser;
    size_t len, line, column;
    char *message; /* 256 bytes */
} reader;

static json_t *fail_at(reader *r, yaml_mark_t mark, const char *message) {
    r->line = mark.line;
    r->column = mark.column;
    snprintf(r->message, 256, "%s", message);
    return NULL;
}

static bool next_event(reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event)) return true;
    /* What is missing at the very end is better shown where it began. */
    bool at_end = r->parser.context && r->parser.problem_mark.index >= r->len;
    yaml_mark_t mark = at_end ? r->parser.context_mark : r->parser.problem_mark;
    r->line = mark.line;
    r->column = mark.column;
    snprintf(r->message, 256, "%s%s%s", r->parser.context ? r->parser.context : "", r->parser.context ? ": " : "",
             r->parser.problem ? r->parser.problem : "not valid YAML");
    return false;
}

static json_t *plain_scalar(const char *text, size_t len) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"}, *const yes[] = {"true", "True", "TRUE"},
                             *const no[] = {"false", "False", "FALSE"};
    for (size_t i = 0; i < 5; i++)
        if (!strcmp(text, nulls[i])) return json_null();
    for (size_t i = 0; i < 3; i++) {
        if (!strcmp(text, yes[i])) return json_true();
        if (!strcmp(text, no[i])) return json_false();
    }
    if (strspn(text, "+-.0123456789eE") == len && strpbrk(text, "0123456789")) {
        char *end;
        long long whole = strtoll(text, &end, 10);
        if (!*end && len < 19) return json_integer(whole);
        double real = strtod(text, &end);
        if (!*end && isfinite(real)) return json_real(real);
    }
    return json_stringn(text, len);
}

static json_t *read_value(reader *r, yaml_event_t *event, int depth);

static json_t *read_sequence(reader *r, int depth) {
    json_t *array = json_array();
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event)) break;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return array;
        }
        json_t *value = read_value(r, &event, depth + 1);
        if (!value || json_array_append_new(array, value)) break;
    }
    json_decref(array);
    return NULL;
}

static json_t *read_mapping(reader *r, int depth) {
    json_t *object = json_object();
    for (;;) {
        yaml_event_t key, event;
        if (!next_event(r, &key)) break;
        if (key.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&key);
            return object;
        }
        const char *name = key.type == YAML_SCALAR_EVENT ? (const char *)key.data.scalar.value : NULL;
        bool good = name && strlen(name) == key.data.scalar.length && !json_object_get(object, name);
        if (!good)
            fail_at(r, key.start_mark, name ? "this key is there twice; remove one" : "a key that is no plain text");
        if (good && next_event(r, &event)) {
            json_t *value = read_value(r, &event, depth + 1);
            good = value && !json_object_set_new(object, name, value);
        } else {
            good = false;
        }
        yaml_event_delete(&key);
        if (!good) break;
    }
    json_decref(object);
    return NULL;
}

/* Takes the event over. */
static json_t *read_value(reader *r, yaml_event_t *event, int depth) {
    json_t *value = NULL;
    yaml_event_type_t type = event->type;
    yaml_mark_t mark = event->start_mark;
    const yaml_char_t *anchor = type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
                                : type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
                                : type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.anchor
                                                                    : NULL;
    if (depth > MAX_DEPTH) {
        fail_at(r, mark, "nested too deep");
    } else if (type == YAML_ALIAS_EVENT || anchor) {
        fail_at(r, mark, "anchors and aliases are not taken; write the value out");
    } else if (type == YAML_SCALAR_EVENT) {
        const char *text = (const char *)event->data.scalar.value;
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        value = plain ? plain_scalar(text, event->data.scalar.length) : json_stringn(text, event->data.scalar.length);
    }
    yaml_event_delete(event);
    if (r->message[0]) return NULL;
    if (type == YAML_SEQUENCE_START_EVENT) return read_sequence(r, depth);
    if (type == YAML_MAPPING_START_EVENT) return read_mapping(r, depth);
    return value;
}

/* The first event that says something; stream and document starts are passed over. */
static json_t *read_document(reader *r) {
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event)) return NULL;
        if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT) {
            yaml_event_delete(&event);
            continue;
        }
        if (event.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return json_object();
        }
        if (event.type != YAML_MAPPING_START_EVENT) {
            fail_at(r, event.start_mark, "expected `key: value` lines");
            yaml_event_delete(&event);
            return NULL;
        }
        return read_value(r, &event, 0);
    }
}

bool dsl_yaml(const char *text, size_t len, json_t **out, size_t *line, size_t *column, char message[256]) {
    reader r = {.message = message, .len = len};
    *out = NULL;
    *line = *column = 0;
    message[0] = 0;
    if (len > MAX_BYTES) {
        snprintf(message, 256, "%zu bytes; at most %d are taken", len, MAX_BYTES);
        return false;
    }
    if (yaml_parser_initialize(&r.parser)) {
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        *out = read_document(&r);
        yaml_event_t event;
        while (*out && next_event(&r, &event)) { /* what follows the mapping must be the end */
            yaml_event_type_t type = event.type;
            if (type == YAML_DOCUMENT_START_EVENT) fail_at(&r, event.start_mark, "a second document");
            yaml_event_delete(&event);
            if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT || message[0]) break;
        }
        yaml_parser_delete(&r.parser);
    }
    if (*out && !message[0]) return true;
    json_decref(*out);
    *out = NULL;
    *line = r.line;
    *column = r.column;
    return false;
}
