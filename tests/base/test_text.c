/* Errors, strings, arenas and the allocation seam. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

static void test_errors(void) {
    spak_error err = {0};
    ok(!spak_fail(&err, "%s:%d: no", "f", 3), "spak_fail returns false");
    is_str(err.message, "f:3: no", "its message");
    errno = ENOENT;
    ok(!spak_fail_errno(&err, "open %s", "x"), "with errno");
    is_str(err.message, "open x: No such file or directory", "its text");
    spak_fail(&err, "inner");
    ok(!spak_fail_context(&err, "outer %d", 7), "context");
    is_str(err.message, "outer 7: inner", "in front");
    errno = 0;
    ok(!spak_fail(NULL, "x") && !spak_fail_errno(NULL, "x") && !spak_fail_context(NULL, "x") && !spak_fail_oom(NULL),
       "no one has to listen");
    char long_text[3000];
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    spak_fail(&err, "%s", long_text);
    is_int(strlen(err.message), sizeof err.message - 1, "a long message is cut");
    errno = ENOENT;
    spak_fail_errno(&err, "%s", long_text);
    is_int(strlen(err.message), sizeof err.message - 1, "with errno too");
    spak_fail_context(&err, "%s", long_text);
    is_int(strlen(err.message), sizeof err.message - 1, "and with context");
}

static void test_strings(void) {
    spak_str str = {0};
    spak_error err = {0};
    is_str(spak_str_text(&str), "", "an empty builder has a text");
    ok(spak_str_ok(&str, &err), "and is in order");
    for (int i = 0; i < 1000; i++) spak_str_printf(&str, "%d,", i);
    spak_str_putc(&str, 'x');
    spak_str_puts(&str, "yz");
    spak_str_append(&str, "\0w", 2);
    is_int(str.len, 3890 + 3 + 2, "appends add up");
    ok(memcmp(str.data + str.len - 5, "xyz\0w", 6) == 0, "to the right bytes, with a NUL behind");
    spak_str_append(&str, "", 0);
    spak_str_clear(&str);
    is_str(spak_str_text(&str), "", "cleared");
    ok(str.capacity > 3890, "with its memory kept");
    spak_str_free(&str);
    ok(str.data == NULL && str.len == 0, "freed");
    ok(spak_ends_with("a.jsonl.gz", ".gz") && !spak_ends_with("gz", ".gz") && spak_ends_with("x", ""), "ends with");
    ok(spak_starts_with("abc", "ab") && !spak_starts_with("a", "ab") && spak_starts_with("a", ""), "starts with");
}

static void test_string_memory(void) {
    spak_str str = {0};
    spak_error err = {0};
    spak_str_puts(&str, "kept");
    spak_alloc_fail_after(0);
    for (int i = 0; i < 100; i++) spak_str_printf(&str, "%d longer", i);
    spak_alloc_fail_after(-1);
    ok(str.oom && !spak_str_ok(&str, &err) && strstr(err.message, "memory"), "out of memory is remembered: %s",
       err.message);
    size_t len = str.len;
    spak_str_puts(&str, "more");
    is_int(str.len, len, "and later appends are ignored, with memory or without");
    ok(strncmp(str.data, "kept", 4) == 0 && strlen(str.data) == len, "what was there is there");
    spak_str_clear(&str);
    spak_str_puts(&str, "again");
    ok(spak_str_ok(&str, &err) && strcmp(str.data, "again") == 0, "until cleared");
    spak_str_append(&str, "x", SIZE_MAX / 2);
    ok(str.oom && str.len == 5, "a length that no memory holds");
    spak_str_free(&str);
}

/* Tiny blocks: nearly every allocation needs a new one. Each object is filled and looked at again at the end. */
static void test_arena(size_t block_size) {
    enum { OBJECTS = 400 };
    spak_arena arena = {0};
    if (block_size) spak_arena_init(&arena, block_size);
    unsigned char *object[OBJECTS];
    int crooked = 0, spoiled = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        object[i] = spak_arena_alloc(&arena, i);
        crooked += !object[i] || (uintptr_t)object[i] % 16 != 0;
        memset(object[i], (int)(i & 255), i);
    }
    for (size_t i = 0; i < OBJECTS; i++)
        for (size_t k = 0; k < i; k++) spoiled += object[i][k] != (i & 255);
    is_int(crooked, 0, "blocks of %zu: aligned to 16", block_size);
    is_int(spoiled, 0, "no object overlaps another, and none moves");
    is_str(spak_arena_strndup(&arena, "abcdef", 3), "abc", "a copied text");
    ok(arena.total > OBJECTS * (OBJECTS - 1) / 2, "the total counts what was taken");
    spak_arena_free(&arena);
    ok(arena.total == 0 && arena.head == NULL, "freed");
    ok(spak_arena_alloc(&arena, 10) != NULL, "and usable again");
    spak_arena_free(&arena);
}

static void test_arena_memory(void) {
    spak_arena arena;
    spak_arena_init(&arena, 64);
    char *first = spak_arena_strndup(&arena, "first", 5);
    spak_alloc_fail_after(0);
    ok(!spak_arena_alloc(&arena, 1000) && !spak_arena_strndup(&arena, first, 5000), "out of memory: NULL");
    ok(spak_arena_alloc(&arena, 8) != NULL, "what fits into the block still does");
    spak_alloc_fail_after(-1);
    ok(!spak_arena_alloc(&arena, SIZE_MAX - 4) && !spak_arena_alloc(&arena, SIZE_MAX / 2 + 1), "sizes that overflow");
    is_str(first, "first", "older objects stay");
    spak_arena_free(&arena);
}

static void test_allocations(void) {
    unsigned long before = spak_alloc_failures();
    spak_alloc_fail_after(2);
    void *a = spak_malloc(1), *b = spak_calloc(1, 1), *c = spak_malloc(1), *d = spak_realloc(NULL, 1);
    spak_alloc_fail_after(-1);
    ok(a && b && !c && !d, "two allocations succeed, then none");
    is_int(spak_alloc_failures() - before, 2, "the failures are counted");
    spak_free(a);
    spak_free(b);
    void *nothing = spak_malloc(0);
    ok(nothing != NULL, "nothing is something");
    spak_free(nothing);
    char *copy = spak_strdup("text"), *part = spak_strndup("text", 2);
    is_str(copy, "text", "strdup");
    is_str(part, "te", "strndup");
    spak_free(copy);
    spak_free(part);
}

static void test_clock(void) {
    uint64_t one = spak_now_ns(), two = spak_now_ns();
    ok(two >= one && one > 0, "the monotonic clock does not go back");
    char text[32];
    int year, month, day, hour, minute, second, used = 0;
    spak_utc_now(text);
    ok(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour, &minute, &second, &used) == 6 &&
           used == 20 && year >= 2024 && month <= 12 && day <= 31 && hour < 24,
       "the calendar: %s", text);
}

int main(void) {
    test_errors();
    test_strings();
    test_string_memory();
    test_arena(0);
    test_arena(16);
    test_arena(100);
    test_arena_memory();
    test_allocations();
    test_clock();
    return done_testing();
}
