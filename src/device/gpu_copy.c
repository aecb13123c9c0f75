/* How fast the GPU's memory can be read and written at once: what floors are computed from.
 *
 * The driver's own copy, timed by two events around it on the stream. A copy of gigabytes is far larger than any cache
 * and takes a millisecond or more, beside which the time between an event and the copy does not count. */
#include "device/gpu_internal.h"

enum { MIB = 1 << 20, EIGHTH = 8 };
static const size_t most_bytes = (size_t)4 << 30;

typedef struct copy {
    dev_gpu *gpu;
    dev_ptr from, to;
    size_t bytes;
    cu_event before, after;
} copy;

static bool time_copy(const copy *c, double *gb_per_s, spak_error *err) {
    dev_gpu *gpu = c->gpu;
    const dev_driver *driver = &gpu->driver;
    float ms = 0;
    if (!dev_gpu_check(gpu, driver->event_record(c->before, gpu->stream), "recording an event", err) ||
        !dev_gpu_check(gpu, driver->copy_async(c->to, c->from, c->bytes, gpu->stream), "copying on the GPU", err) ||
        !dev_gpu_check(gpu, driver->event_record(c->after, gpu->stream), "recording an event", err) ||
        !dev_gpu_check(gpu, driver->event_sync(c->after), "copying on the GPU", err) ||
        !dev_gpu_check(gpu, driver->event_elapsed(&ms, c->before, c->after), "timing a copy", err))
        return false;
    if (!(ms > 0)) return spak_fail(err, "timing a copy of %zu bytes on the GPU: the clock did not move", c->bytes);
    *gb_per_s = 2 * (double)c->bytes / ((double)ms * 1e6); /* read and written */
    return true;
}

/* The source is written first, so that pages which nothing was ever written to do not flatter the result. */
static bool measure(const copy *c, double *gb_per_s, size_t samples, spak_error *err) {
    double warm;
    if (!dev_gpu_fill32(c->gpu, c->from, 0x3f803f80, c->bytes / 4, err) || !time_copy(c, &warm, err)) return false;
    for (size_t i = 0; i < samples; i++)
        if (!time_copy(c, &gb_per_s[i], err)) return false;
    return true;
}

bool dev_gpu_copy_bandwidth(dev_gpu *gpu, double *gb_per_s, size_t samples, size_t *bytes, spak_error *err) {
    size_t eighth = gpu->info.memory_bytes / EIGHTH;
    copy c = {.gpu = gpu, .bytes = (eighth < most_bytes ? eighth : most_bytes) / MIB * MIB};
    dev_arena *arena;
    *bytes = c.bytes;
    if (!c.bytes) return spak_fail(err, "the GPU says that it has %zu bytes of memory", gpu->info.memory_bytes);
    if (!dev_arena_new(gpu, "the copy whose speed is measured", dev_arena_room(2 * c.bytes, 2), &arena, err))
        return false;
    bool ok = dev_arena_take(arena, "source", c.bytes, &c.from, err) &&
              dev_arena_take(arena, "target", c.bytes, &c.to, err) &&
              dev_gpu_check(gpu, gpu->driver.event_new(&c.before, 0), "making an event", err) &&
              dev_gpu_check(gpu, gpu->driver.event_new(&c.after, 0), "making an event", err) &&
              measure(&c, gb_per_s, samples, err);
    if (c.after) gpu->driver.event_free(c.after);
    if (c.before) gpu->driver.event_free(c.before);
    dev_arena_free(arena);
    return ok;
}
