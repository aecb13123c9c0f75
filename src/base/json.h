/* JSON through jansson, and the one canonical form in which records are hashed and written. */
#ifndef SPAK_BASE_JSON_H
#define SPAK_BASE_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

/* Routes jansson's allocations through base/alloc.h; call once at start. */
void spak_json_init(void);

/* Appends the canonical form: keys sorted by byte, no white space, shortest number that reads back as the same double
 * (a real always holds '.', 'e' or "-0.0"-like marks, so that it stays a real), UTF-8 unescaped except for controls,
 * '"' and '\\'. Fails when value is NULL, nested deeper than 200, or memory runs out. */
bool spak_json_canonical(const json_t *value, spak_str *out, spak_error *err);

/* Shortest decimal text that strtod reads back as exactly value; out needs 32 bytes. value must be finite. */
void spak_number_text(double value, char out[32]);

/* Reads a whole file as JSON / parses text; errors name the file, line and column. */
bool spak_json_load(const char *path, json_t **out, spak_error *err);
bool spak_json_parse(const char *name, const char *text, size_t len, json_t **out, spak_error *err);

/* Typed look-ups with a default; a missing key or another type gives the default. */
const char *spak_json_str(const json_t *object, const char *key, const char *otherwise);
double spak_json_num(const json_t *object, const char *key, double otherwise);
long long spak_json_int(const json_t *object, const char *key, long long otherwise);
bool spak_json_bool(const json_t *object, const char *key, bool otherwise);

/* Sets a member; value is taken over. Fails when memory has run out, also when value is NULL for that reason. */
bool spak_json_set(json_t *object, const char *key, json_t *value, spak_error *err);

#endif
