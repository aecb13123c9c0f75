/* A string builder. Appending cannot fail visibly: when memory runs out the builder remembers it in `oom` and ignores
 * further appends, so that a long chain of appends needs one check at its end (spak_str_ok). */
#ifndef SPAK_BASE_STR_H
#define SPAK_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct spak_str {
    char *data; /* NUL-terminated once something was appended; NULL before */
    size_t len, capacity;
    bool oom;
} spak_str;

void spak_str_append(spak_str *str, const char *text, size_t len);
void spak_str_puts(spak_str *str, const char *text);
void spak_str_putc(spak_str *str, char c);
void spak_str_printf(spak_str *str, const char *fmt, ...) SPAK_PRINTF(2, 3);
void spak_str_clear(spak_str *str); /* keeps the memory */
void spak_str_free(spak_str *str);

/* True when every append had memory; else fills err. */
bool spak_str_ok(const spak_str *str, spak_error *err);

/* The text, never NULL ("" when nothing was appended). Valid until the next append. */
const char *spak_str_text(const spak_str *str);

/* True when text ends with suffix / begins with prefix. */
bool spak_ends_with(const char *text, const char *suffix);
bool spak_starts_with(const char *text, const char *prefix);

/* Where the first byte stands that is no part of valid UTF-8, or len. */
size_t spak_first_bad_utf8(const char *text, size_t len);

#endif
