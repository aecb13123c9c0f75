#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static long allocations_left = -1;
static atomic_ulong failures;

static bool must_fail(void) {
    if (allocations_left < 0) return false;
    if (allocations_left == 0) return true;
    allocations_left--;
    return false;
}

void spak_alloc_fail_after(long count) { allocations_left = count; }

static void *counted(void *ptr) {
    if (!ptr) atomic_fetch_add(&failures, 1);
    return ptr;
}

unsigned long spak_alloc_failures(void) { return atomic_load(&failures); }

void *spak_malloc(size_t size) { return counted(must_fail() ? NULL : malloc(size ? size : 1)); }

void *spak_calloc(size_t count, size_t size) {
    return counted(must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1));
}

void *spak_realloc(void *ptr, size_t size) { return counted(must_fail() ? NULL : realloc(ptr, size ? size : 1)); }

void spak_free(void *ptr) { free(ptr); }

char *spak_strndup(const char *text, size_t len) {
    char *copy = spak_malloc(len + 1);
    if (!copy) return NULL;
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

char *spak_strdup(const char *text) { return spak_strndup(text, strlen(text)); }
