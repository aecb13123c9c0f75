/* Characters as tokens: the vocabulary is the sorted set of the distinct bytes of a text, as in nanoGPT's
 * shakespeare_char (whose text is ASCII, so that its characters are bytes). */
#ifndef SPAK_NN_TOKENS_H
#define SPAK_NN_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

typedef struct nn_chars {
    size_t count;
    unsigned char bytes[256]; /* of each token, ascending */
    int16_t ids[256];         /* of each byte; -1: not in the vocabulary */
} nn_chars;

/* The vocabulary of a text; fails when it is empty. */
bool nn_chars_learn(const char *text, size_t len, nn_chars *chars, spak_error *err);

/* ids (len). Fails on a byte outside the vocabulary and names it, its line, column and offset. name: of the text, for
 * messages. */
bool nn_chars_encode(const nn_chars *chars, const char *name, const char *text, size_t len, int32_t *ids,
                     spak_error *err);
/* Appends the text of n tokens. Fails on a token outside the vocabulary. */
bool nn_chars_decode(const nn_chars *chars, const int32_t *ids, size_t n, spak_str *text, spak_error *err);

/* {"kind": "characters", "bytes": [10, 32, ...]}: new reference, NULL when out of memory. */
json_t *nn_chars_json(const nn_chars *chars);
bool nn_chars_read(const json_t *json, nn_chars *chars, spak_error *err);

#endif
