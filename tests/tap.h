/* TAP 13 for the C tests: ok(), is_int(), is_str(), is_near(), and done_testing() at the end of main. */
#ifndef SPAK_TESTS_TAP_H
#define SPAK_TESTS_TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool good, const char *file, int line, const char *fmt,
                                                                 ...) {
    if (tap_count == 0) printf("TAP version 13\n");
    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    if (!good) {
        tap_failed++;
        printf("# failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return good;
}

#define ok(good, ...) tap_ok((good), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...)                                                               \
    do {                                                                                     \
        long long got_ = (long long)(got), want_ = (long long)(want);                        \
        if (!ok(got_ == want_, __VA_ARGS__)) printf("# got %lld, want %lld\n", got_, want_); \
    } while (0)

#define is_str(got, want, ...)                                                                      \
    do {                                                                                            \
        const char *got_ = (got), *want_ = (want);                                                  \
        if (!ok(got_ && want_ && strcmp(got_, want_) == 0, __VA_ARGS__))                            \
            printf("# got  '%s'\n# want '%s'\n", got_ ? got_ : "(null)", want_ ? want_ : "(null)"); \
    } while (0)

#define is_near(got, want, tolerance, ...)                                                                         \
    do {                                                                                                           \
        double got_ = (got), want_ = (want);                                                                       \
        if (!ok(fabs(got_ - want_) <= (tolerance), __VA_ARGS__)) printf("# got %.17g, want %.17g\n", got_, want_); \
    } while (0)

#define skip_test(...)                        \
    do {                                      \
        printf("ok %d # SKIP ", ++tap_count); \
        printf(__VA_ARGS__);                  \
        printf("\n");                         \
    } while (0)

__attribute__((unused)) static int done_testing(void) {
    printf("1..%d\n", tap_count);
    return tap_failed ? 1 : 0;
}

#endif
