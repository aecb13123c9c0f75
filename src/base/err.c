#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void format(spak_error *err, const char *fmt, va_list ap) {
    if (err) vsnprintf(err->message, sizeof err->message, fmt, ap);
}

bool spak_fail(spak_error *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    format(err, fmt, ap);
    va_end(ap);
    return false;
}

bool spak_fail_errno(spak_error *err, const char *fmt, ...) {
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    format(err, fmt, ap);
    va_end(ap);
    if (err) {
        size_t len = strlen(err->message);
        snprintf(err->message + len, sizeof err->message - len, ": %s", strerror(saved));
    }
    return false;
}

bool spak_fail_context(spak_error *err, const char *fmt, ...) {
    if (!err) return false;
    spak_error inner = *err;
    va_list ap;
    va_start(ap, fmt);
    format(err, fmt, ap);
    va_end(ap);
    size_t len = strlen(err->message);
    snprintf(err->message + len, sizeof err->message - len, ": %s", inner.message);
    return false;
}

bool spak_fail_oom(spak_error *err) {
    return spak_fail(err, "out of memory: close other programs or use a smaller input");
}
