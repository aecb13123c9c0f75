/* Errors as values.
 *
 * A function that can fail returns bool and takes a `spak_error *err` as its last argument. On failure it fills err
 * with one message that names the file, the line and column where there is one, what was expected, what was found and
 * what to do about it, and returns false. Nothing below src/cli prints an error or ends the process. */
#ifndef SPAK_BASE_ERR_H
#define SPAK_BASE_ERR_H

#include <stdbool.h>

typedef struct spak_error {
    char message[1024]; /* no trailing newline; empty when there is no error */
} spak_error;

#if defined(__GNUC__)
#define SPAK_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#else
#define SPAK_PRINTF(fmt_index, first_arg)
#endif

/* Fills err (which may be NULL) and returns false, so that a caller can write `return spak_fail(err, ...)`. */
bool spak_fail(spak_error *err, const char *fmt, ...) SPAK_PRINTF(2, 3);

/* Like spak_fail, and appends ": " and the text of errno as it stood on entry. */
bool spak_fail_errno(spak_error *err, const char *fmt, ...) SPAK_PRINTF(2, 3);

/* Puts context in front of the message that is already in err; returns false. */
bool spak_fail_context(spak_error *err, const char *fmt, ...) SPAK_PRINTF(2, 3);

/* The one message for an allocation that failed. */
bool spak_fail_oom(spak_error *err);

#endif
