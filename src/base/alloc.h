/* Heap memory with a seam for fault injection: every allocation of the host goes through here (jansson's too, see
 * base/json.h), so that a test can make the n-th one fail and see that nothing leaks, crashes or is half written. */
#ifndef SPAK_BASE_ALLOC_H
#define SPAK_BASE_ALLOC_H

#include <stddef.h>

void *spak_malloc(size_t size); /* NULL when out of memory */
void *spak_calloc(size_t count, size_t size);
void *spak_realloc(void *ptr, size_t size); /* on NULL the old block is still there */
void spak_free(void *ptr);
char *spak_strdup(const char *text);
char *spak_strndup(const char *text, size_t len);

/* Test seam: let `count` more allocations succeed, then fail every one until reset with -1 (the default: never). */
void spak_alloc_fail_after(long count);

/* How many allocations have failed so far. Libraries that drop an allocation failure silently (jansson's scanner goes
 * on with a shortened text) are caught by comparing this before and after. */
unsigned long spak_alloc_failures(void);

#endif
