#include "nn/tokens.h"

#include <stdio.h>
#include <string.h>

static void number_ids(nn_chars *chars) {
    for (int byte = 0; byte < 256; byte++) chars->ids[byte] = -1;
    for (size_t id = 0; id < chars->count; id++) chars->ids[chars->bytes[id]] = (int16_t)id;
}

bool nn_chars_learn(const char *text, size_t len, nn_chars *chars, spak_error *err) {
    bool seen[256] = {false};
    *chars = (nn_chars){0};
    if (len == 0) return spak_fail(err, "a vocabulary cannot be made from an empty text");
    for (size_t i = 0; i < len; i++) seen[(unsigned char)text[i]] = true;
    for (int byte = 0; byte < 256; byte++)
        if (seen[byte]) chars->bytes[chars->count++] = (unsigned char)byte;
    number_ids(chars);
    return true;
}

static const char *shown(unsigned char byte, char text[8]) {
    snprintf(text, 8, byte > ' ' && byte < 0x7f ? "'%c'" : "0x%02x", byte);
    return text;
}

static bool unknown_byte(const char *name, const char *text, size_t at, spak_error *err) {
    size_t line = 1, column = 1;
    char byte[8];
    for (size_t i = 0; i < at; i++, column++)
        if (text[i] == '\n') line++, column = 0;
    return spak_fail(err,
                     "%s:%zu:%zu: the byte %s (at offset %zu) is not in the vocabulary; use the tokenizer of this "
                     "text, or leave the character out",
                     name, line, column, shown((unsigned char)text[at], byte), at);
}

bool nn_chars_encode(const nn_chars *chars, const char *name, const char *text, size_t len, int32_t *ids,
                     spak_error *err) {
    for (size_t i = 0; i < len; i++)
        if ((ids[i] = chars->ids[(unsigned char)text[i]]) < 0) return unknown_byte(name, text, i, err);
    return true;
}

bool nn_chars_decode(const nn_chars *chars, const int32_t *ids, size_t n, spak_str *text, spak_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= chars->count)
            return spak_fail(err, "token number %zu is %d, outside the vocabulary of %zu characters", i, ids[i],
                             chars->count);
        spak_str_putc(text, (char)chars->bytes[ids[i]]);
    }
    return spak_str_ok(text, err);
}

json_t *nn_chars_json(const nn_chars *chars) {
    json_t *json = json_object(), *bytes = json_array();
    bool ok = json && bytes;
    for (size_t i = 0; ok && i < chars->count; i++)
        ok = json_array_append_new(bytes, json_integer(chars->bytes[i])) == 0;
    ok = ok && spak_json_set(json, "kind", json_string("characters"), NULL) &&
         json_object_set(json, "bytes", bytes) == 0;
    json_decref(bytes);
    if (ok) return json;
    json_decref(json);
    return NULL;
}

bool nn_chars_read(const json_t *json, nn_chars *chars, spak_error *err) {
    const json_t *bytes = json_object_get(json, "bytes");
    const char *kind = spak_json_str(json, "kind", "none");
    size_t count = json_array_size(bytes);
    *chars = (nn_chars){0};
    if (strcmp(kind, "characters") != 0)
        return spak_fail(err, "a tokenizer: expected the kind \"characters\", found \"%s\"", kind);
    if (count < 1 || count > 256) return spak_fail(err, "a tokenizer: `bytes` must list 1 to 256 bytes");
    for (size_t i = 0; i < count; i++) {
        const json_t *byte = json_array_get(bytes, i);
        json_int_t value = json_is_integer(byte) ? json_integer_value(byte) : -1;
        if (value < 0 || value > 255 || (i && value <= chars->bytes[i - 1]))
            return spak_fail(err, "a tokenizer: `bytes` number %zu must be 0 to 255 and larger than the one before", i);
        chars->bytes[chars->count++] = (unsigned char)value;
    }
    number_ids(chars);
    return true;
}
