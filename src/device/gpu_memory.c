/* Memory on the GPU: one arena a purpose, so that "out of memory" says for what, and freeing is one call.
 *
 * With SPAK_GPU_DEBUG=1 every block lies between zones of GUARD bytes or more, and holds 0xFF when it is taken, which
 * reads as not-a-number in every floating-point type that is used:
 *
 *   | zone | block 0        zone | block 1    zone | ...        each block starts at a multiple of 1024
 *
 * The first zone catches what is written before block 0. From a block's last byte to the next block's first everything
 * belongs to the zone, so that one byte too many is seen also where the size is no multiple of 1024. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/gpu_internal.h"

enum { ALIGN = 1024, GUARD = 1024, POISON = 0xFF, GUARD_BYTE = 0xA5 };

typedef struct block {
    char *what;
    size_t offset, bytes;
} block;

struct dev_arena {
    dev_gpu *gpu;
    char *purpose;
    dev_ptr allocated, base; /* what the driver gave, and its first multiple of ALIGN */
    size_t bytes, used;      /* used: where the next block starts, a multiple of ALIGN */
    block *blocks;
    size_t count, capacity;
};

static size_t add(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

static size_t round_up(size_t bytes) {
    return add(bytes, ALIGN - 1) == SIZE_MAX ? SIZE_MAX : (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

size_t dev_arena_room(size_t bytes, size_t count) {
    enum { EACH = ALIGN + GUARD };
    size_t extra = count > (SIZE_MAX - GUARD) / EACH ? SIZE_MAX : count * EACH + GUARD;
    return round_up(add(bytes, extra));
}

static void forget_blocks(dev_arena *arena) {
    for (size_t i = 0; i < arena->count; i++) spak_free(arena->blocks[i].what);
    arena->count = 0;
}

/* Where the first block starts, with the zone before it written. */
static bool start(dev_arena *arena, spak_error *err) {
    arena->used = arena->gpu->debug ? GUARD : 0;
    return !arena->gpu->debug || dev_gpu_fill8(arena->gpu, arena->base, GUARD_BYTE, GUARD, err);
}

static bool reserve(dev_arena *arena, spak_error *err) {
    dev_gpu *gpu = arena->gpu;
    cu_result result = gpu->driver.memory_alloc(&arena->allocated, add(arena->bytes, ALIGN));
    if (!result) {
        arena->base = (arena->allocated + ALIGN - 1) / ALIGN * ALIGN;
        return true;
    }
    arena->allocated = 0;
    char what[256];
    size_t free_bytes = 0, total = 0;
    if (result == DEV_CU_OUT_OF_MEMORY && gpu->driver.memory_info(&free_bytes, &total) == 0)
        snprintf(what, sizeof what, "%zu bytes of GPU memory for %.100s (%zu of %zu are free)", arena->bytes,
                 arena->purpose, free_bytes, total);
    else
        snprintf(what, sizeof what, "%zu bytes of GPU memory for %.100s", arena->bytes, arena->purpose);
    return dev_gpu_check(gpu, result, what, err);
}

bool dev_arena_new(dev_gpu *gpu, const char *purpose, size_t bytes, dev_arena **out, spak_error *err) {
    *out = NULL;
    if (!dev_gpu_not_recording(gpu, "allocating GPU memory", err)) return false;
    if (!bytes) return spak_fail(err, "GPU memory for %s: an arena of no bytes", purpose);
    dev_arena *arena = spak_calloc(1, sizeof *arena);
    if (!arena) return spak_fail_oom(err);
    arena->gpu = gpu;
    arena->purpose = spak_strdup(purpose);
    /* With zones, one block of just this size fits as it does without. */
    arena->bytes = gpu->debug ? add(round_up(bytes), 2 * GUARD) : bytes;
    bool ok = arena->purpose ? reserve(arena, err) && start(arena, err) : spak_fail_oom(err);
    if (ok)
        *out = arena;
    else
        dev_arena_free(arena);
    return ok;
}

void dev_arena_free(dev_arena *arena) {
    if (!arena) return;
    if (arena->allocated && !arena->gpu->hung)
        arena->gpu->driver.memory_free(arena->allocated); /* waits for kernels that may still use it */
    forget_blocks(arena);
    spak_free(arena->blocks);
    spak_free(arena->purpose);
    spak_free(arena);
}

static bool remember(dev_arena *arena, const char *what, size_t bytes, spak_error *err) {
    if (arena->count == arena->capacity) {
        size_t capacity = arena->capacity ? 2 * arena->capacity : 8;
        block *blocks = spak_realloc(arena->blocks, capacity * sizeof *blocks);
        if (!blocks) return spak_fail_oom(err);
        arena->blocks = blocks;
        arena->capacity = capacity;
    }
    char *copy = spak_strdup(what);
    if (!copy) return spak_fail_oom(err);
    arena->blocks[arena->count++] = (block){copy, arena->used, bytes};
    return true;
}

/* From the end of block i to the start of the next one, or to where that would be. */
static size_t zone_end(const dev_arena *arena, size_t i) {
    return i + 1 < arena->count ? arena->blocks[i + 1].offset : arena->used;
}

static bool poison(dev_arena *arena, const block *b, spak_error *err) {
    size_t end = b->offset + b->bytes;
    return dev_gpu_fill8(arena->gpu, arena->base + b->offset, POISON, b->bytes, err) &&
           dev_gpu_fill8(arena->gpu, arena->base + end, GUARD_BYTE, arena->used - end, err);
}

bool dev_arena_take(dev_arena *arena, const char *what, size_t bytes, dev_ptr *at, spak_error *err) {
    *at = 0;
    size_t room = arena->bytes - arena->used, needed = round_up(bytes ? bytes : 1);
    if (arena->gpu->debug && !dev_gpu_not_recording(arena->gpu, "taking a block of GPU memory", err)) return false;
    if (arena->gpu->debug) needed = add(needed, GUARD);
    /* The last block needs no room up to the next multiple of ALIGN, only for itself. */
    if (needed > room && (arena->gpu->debug || bytes > room || !room))
        return spak_fail(err, "GPU memory for %s: '%s' takes %zu bytes, and %zu of %zu are left", arena->purpose, what,
                         needed, room, arena->bytes);
    if (!remember(arena, what, bytes, err)) return false;
    const block *b = &arena->blocks[arena->count - 1];
    arena->used += needed < room ? needed : room;
    *at = arena->base + b->offset;
    return !arena->gpu->debug || poison(arena, b, err);
}

void dev_arena_reset(dev_arena *arena) {
    forget_blocks(arena);
    arena->used = arena->gpu->debug ? GUARD : 0;
}

/* Compares [from, to) with what a zone holds; *at is the first byte that differs, or `to`. A zone has at most
 * ALIGN + GUARD bytes. */
static bool first_written(dev_arena *arena, size_t from, size_t to, size_t *at, spak_error *err) {
    unsigned char zone[ALIGN + GUARD];
    if (!dev_gpu_download(arena->gpu, zone, arena->base + from, to - from, err)) return false;
    for (*at = from; *at < to && zone[*at - from] == GUARD_BYTE;) ++*at;
    return true;
}

bool dev_arena_check(dev_arena *arena, spak_error *err) {
    size_t at;
    if (!dev_gpu_sync(arena->gpu, err)) return false;
    if (!arena->gpu->debug) return true;
    if (!first_written(arena, 0, GUARD, &at, err)) return false;
    if (at < GUARD)
        return spak_fail(err, "GPU memory for %s: written before its first block ('%s'), from %zu bytes ahead of it",
                         arena->purpose, arena->count ? arena->blocks[0].what : "none yet", GUARD - at);
    for (size_t i = 0; i < arena->count; i++) {
        const block *b = &arena->blocks[i];
        size_t end = b->offset + b->bytes;
        if (!first_written(arena, end, zone_end(arena, i), &at, err)) return false;
        if (at < zone_end(arena, i))
            return spak_fail(err,
                             "GPU memory for %s: written outside of '%s' (%zu bytes), first %zu bytes after its end",
                             arena->purpose, b->what, b->bytes, at - end);
    }
    return true;
}

/* --- copies and fills --- */

bool dev_gpu_upload(dev_gpu *gpu, dev_ptr to, const void *from, size_t bytes, spak_error *err) {
    if (!bytes) return true;
    /* A copy from ordinary memory may still be on its way when the driver returns, and our stream would not wait. */
    return dev_gpu_not_recording(gpu, "copying to the GPU", err) && dev_gpu_sync(gpu, err) &&
           dev_gpu_check(gpu, gpu->driver.copy_to(to, from, bytes), "copying to the GPU", err) &&
           dev_gpu_sync(gpu, err);
}

bool dev_gpu_download(dev_gpu *gpu, void *to, dev_ptr from, size_t bytes, spak_error *err) {
    if (!bytes) return true;
    return dev_gpu_not_recording(gpu, "copying from the GPU", err) && dev_gpu_sync(gpu, err) &&
           dev_gpu_check(gpu, gpu->driver.copy_from(to, from, bytes), "copying from the GPU", err);
}

bool dev_gpu_fill8(dev_gpu *gpu, dev_ptr to, uint8_t value, size_t bytes, spak_error *err) {
    if (!bytes) return true;
    return dev_gpu_check(gpu, gpu->driver.set8_async(to, value, bytes, gpu->stream), "filling GPU memory", err) &&
           (gpu->recording || dev_gpu_sync(gpu, err));
}

bool dev_gpu_fill32(dev_gpu *gpu, dev_ptr to, uint32_t value, size_t count, spak_error *err) {
    if (!count) return true;
    if (to % sizeof value)
        return spak_fail(err, "filling GPU memory: 0x%llx is no multiple of 4", (unsigned long long)to);
    return dev_gpu_check(gpu, gpu->driver.set32_async(to, value, count, gpu->stream), "filling GPU memory", err) &&
           (gpu->recording || dev_gpu_sync(gpu, err));
}
