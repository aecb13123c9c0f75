/* Launches, waiting, and graphs.
 *
 * A launch that the hardware cannot take is refused here, with the kernel's name and what the limit is; the driver
 * would say "invalid argument". What a kernel does wrong while it runs shows at a later call. The launches since the
 * last wait are kept for that, the latest eight by name (dev_gpu_check).
 *
 * A graph is recorded by capturing the stream: body enqueues as ever, the driver writes down instead of running, and
 * one call replays all of it without the host in between. While recording, whatever waits, allocates or copies with the
 * host is refused by us, by name: those of the driver's functions that cannot be recorded would spoil the recording,
 * and the error would come at its end, far from the cause. The capture's mode is the relaxed one, because libraries
 * (cuBLAS) load their kernels at the first use, which the stricter modes forbid; nothing of theirs is recorded by that.
 * A wait has an end (SPAK_GPU_TIMEOUT_S).
 * The kernels of a graph count as under way from its replay on, not from its recording. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "device/gpu_internal.h"
#include "device/gpu_module.h"

static void note_launch(dev_launches *launches, const dev_kernel *kernel) {
    memmove(launches->latest, launches->latest + 1, (DEV_UNDER_WAY - 1) * sizeof *launches->latest);
    launches->latest[DEV_UNDER_WAY - 1] = kernel;
    launches->count++;
}

/* As if more's launches had followed. */
static void note_all(dev_launches *launches, const dev_launches *more) {
    unsigned long kept = more->count < DEV_UNDER_WAY ? more->count : DEV_UNDER_WAY;
    for (unsigned long i = DEV_UNDER_WAY - kept; i < DEV_UNDER_WAY; i++) note_launch(launches, more->latest[i]);
    launches->count += more->count - kept;
}

static double longest_wait_s(void) {
    const char *text = getenv("SPAK_GPU_TIMEOUT_S");
    const double s = text ? strtod(text, NULL) : 0;
    return s > 0 ? s : 60;
}

/* Until the stream is empty or has failed, but not for ever: a kernel that waits for what never comes is an error with
 * the kernel's name, too. */
static bool wait_a_while(dev_gpu *gpu, spak_error *err) {
    const uint64_t begun = spak_now_ns();
    const double longest = longest_wait_s();
    cu_result result;
    while ((result = gpu->driver.stream_query(gpu->stream)) == DEV_CU_NOT_READY) {
        const double waited = (double)(spak_now_ns() - begun) * 1e-9;
        if (waited > longest) {
            gpu->hung = true;
            return dev_gpu_check(gpu, DEV_CU_LAUNCH_TIMEOUT, "waiting for the GPU", err) ||
                   spak_fail_context(err, "no answer for %g s (SPAK_GPU_TIMEOUT_S=N waits N)", longest);
        }
        if (waited > 1e-3) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return dev_gpu_check(gpu, result, "waiting for the GPU", err);
}

bool dev_gpu_sync(dev_gpu *gpu, spak_error *err) {
    if (!dev_gpu_not_recording(gpu, "waiting for the GPU", err) || !wait_a_while(gpu, err) ||
        !dev_gpu_check(gpu, gpu->driver.context_sync(), "waiting for the GPU", err))
        return false;
    gpu->under_way.count = 0;
    return true;
}

void *dev_gpu_stream(dev_gpu *gpu) { return gpu->stream; }

/* --- one launch --- */

/* "matmul in kernels/matmul/gpu/naive.cu (grid 1 x 2 x 3, ...)". */
static void name_launch(const dev_launch *l, char *text, size_t size) {
    snprintf(text, size,
             "%.200s (grid %u x %u x %u, block %u x %u x %u, cluster %u x %u x %u, %zu bytes of dynamic shared memory)",
             dev_kernel_name(l->kernel), l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2],
             l->cluster[0], l->cluster[1], l->cluster[2], l->smem_bytes);
}

static bool has_cluster(const dev_launch *l) { return l->cluster[0] > 1 || l->cluster[1] > 1 || l->cluster[2] > 1; }

enum { PORTABLE_CLUSTER = 8, LARGEST_CLUSTER = 16 };

static bool refuse(const dev_launch *l, const char *why, spak_error *err) {
    char what[512];
    name_launch(l, what, sizeof what);
    return spak_fail(err, "%s: %s", what, why);
}

static bool check_cluster(const dev_gpu *gpu, const dev_launch *l, spak_error *err) {
    if (!has_cluster(l)) return true;
    unsigned long blocks = 1;
    if (gpu->info.cc < 90) return refuse(l, "clusters need compute capability 9.0", err);
    for (int i = 0; i < 3; i++) {
        if (!l->cluster[i] || l->cluster[i] > LARGEST_CLUSTER || l->grid[i] % l->cluster[i])
            return refuse(l, "a cluster's dimension is from 1 to 16 and divides the grid's", err);
        blocks *= l->cluster[i];
    }
    return blocks <= LARGEST_CLUSTER || refuse(l, "a cluster has at most 16 blocks", err);
}

static bool check_launch(const dev_gpu *gpu, const dev_launch *l, spak_error *err) {
    enum { GRID_YZ = 65535, BLOCK_THREADS = 1024, BLOCK_Z = 64, GRID_X = 2147483647 };
    for (int i = 0; i < 3; i++)
        if (!l->grid[i] || !l->block[i]) return refuse(l, "a dimension of grid and block is 1 or more", err);
    if (l->grid[0] > GRID_X || l->grid[1] > GRID_YZ || l->grid[2] > GRID_YZ)
        return refuse(l, "a grid has at most 2147483647 x 65535 x 65535 blocks", err);
    if (l->block[0] > BLOCK_THREADS || l->block[1] > BLOCK_THREADS || l->block[2] > BLOCK_Z ||
        l->block[0] * l->block[1] * l->block[2] > BLOCK_THREADS)
        return refuse(l, "a block has at most 1024 threads, and 64 in its third dimension", err);
    if (l->overlap && gpu->info.cc < 90) return refuse(l, "launches overlap from compute capability 9.0 on", err);
    return check_cluster(gpu, l, err);
}

/* A kernel may use 48 KiB of shared memory, static and dynamic together, unless it is told that it may use more; that
 * is asked and told once a kernel. The table forgets what falls on the same slot, which costs a call and no more. */
bool dev_gpu_allow_smem(dev_gpu *gpu, cu_function function, size_t bytes, spak_error *err) {
    size_t slot = ((uintptr_t)function >> 4) % DEV_SMEM_SLOTS;
    if (gpu->smem[slot].function != function) {
        int allowed = 0;
        if (!dev_gpu_check(gpu, gpu->driver.function_attribute(&allowed, DEV_CU_FUNCTION_MAX_DYNAMIC_SMEM, function),
                           "asking how much shared memory a kernel may use", err))
            return false;
        gpu->smem[slot].function = function;
        gpu->smem[slot].bytes = allowed;
    }
    if (bytes <= (size_t)(gpu->smem[slot].bytes < 0 ? 0 : gpu->smem[slot].bytes)) return true;
    if (bytes > gpu->info.smem_per_block_bytes)
        return spak_fail(err, "a block of this GPU may use %zu bytes of shared memory, not %zu",
                         gpu->info.smem_per_block_bytes, bytes);
    if (!dev_gpu_check(gpu, gpu->driver.function_set(function, DEV_CU_FUNCTION_MAX_DYNAMIC_SMEM, (int)bytes),
                       "allowing a kernel more shared memory (its static part counts too)", err))
        return false;
    gpu->smem[slot].bytes = (int)bytes;
    return true;
}

/* More than eight blocks a cluster run on some GPUs only, and the kernel has to say that it means it. */
static bool allow_cluster(dev_gpu *gpu, const dev_launch *l, cu_function function, spak_error *err) {
    if (!has_cluster(l) || l->cluster[0] * l->cluster[1] * l->cluster[2] <= PORTABLE_CLUSTER) return true;
    return dev_gpu_check(gpu, gpu->driver.function_set(function, DEV_CU_FUNCTION_NON_PORTABLE_CLUSTER, 1),
                         "allowing a kernel a cluster of more than 8 blocks", err);
}

static bool enqueue(dev_gpu *gpu, const dev_launch *l, const void *params, spak_error *err) {
    cu_function function = dev_kernel_function(l->kernel);
    cu_launch_attribute attributes[2];
    unsigned count = 0;
    if (has_cluster(l))
        attributes[count++] = (cu_launch_attribute){.id = DEV_CU_LAUNCH_CLUSTER,
                                                    .value.cluster = {l->cluster[0], l->cluster[1], l->cluster[2]}};
    if (l->overlap) attributes[count++] = (cu_launch_attribute){.id = DEV_CU_LAUNCH_OVERLAP, .value.overlap = 1};
    cu_launch_config config = {.grid = {l->grid[0], l->grid[1], l->grid[2]},
                               .block = {l->block[0], l->block[1], l->block[2]},
                               .smem_bytes = (unsigned)l->smem_bytes,
                               .stream = gpu->stream,
                               .attributes = count ? attributes : NULL,
                               .num_attributes = count};
    void *arguments[] = {(void *)(uintptr_t)params}; /* the driver copies what it points to, and writes nothing */
    char what[512];
    if (!dev_gpu_allow_smem(gpu, function, l->smem_bytes, err) || !allow_cluster(gpu, l, function, err)) {
        name_launch(l, what, sizeof what);
        return spak_fail_context(err, "%s", what);
    }
    cu_result result = gpu->driver.launch(&config, function, params ? arguments : NULL, NULL);
    if (!result) return true;
    name_launch(l, what, sizeof what);
    return dev_gpu_check(gpu, result, what, err);
}

bool dev_gpu_launch(dev_gpu *gpu, const dev_launch *launch, const void *params, spak_error *err) {
    if (!check_launch(gpu, launch, err) || !enqueue(gpu, launch, params, err)) return false;
    note_launch(&gpu->under_way, launch->kernel);
    return !gpu->debug || gpu->recording || dev_gpu_sync(gpu, err);
}

/* --- graphs --- */

struct dev_graph {
    dev_gpu *gpu;
    cu_graph_exec exec;
    cu_event before, after;
    dev_launches launches;
};

/* Captures what body enqueues. The capture is ended whatever happens: a stream that is left capturing is of no use. */
static bool capture(dev_gpu *gpu, bool (*body)(void *ctx, int turn, spak_error *err), void *ctx, int turns,
                    cu_graph *graph, spak_error *err) {
    *graph = NULL;
    if (!dev_gpu_check(gpu, gpu->driver.capture_begin(gpu->stream, DEV_CU_CAPTURE_RELAXED), "recording a graph", err))
        return false;
    bool ok = true;
    gpu->recording = true;
    for (int turn = 0; ok && turn < turns; turn++) ok = body(ctx, turn, err);
    gpu->recording = false;
    cu_result ended = gpu->driver.capture_end(gpu->stream, graph);
    if (ended) *graph = NULL;
    return ok && dev_gpu_check(gpu, ended, "recording a graph (something enqueued in it cannot be recorded)", err);
}

static bool make_exec(dev_graph *graph, cu_graph recorded, spak_error *err) {
    dev_gpu *gpu = graph->gpu;
    const dev_driver *driver = &gpu->driver;
    return dev_gpu_check(gpu, driver->graph_instantiate(&graph->exec, recorded, 0), "making a graph fit to run", err) &&
           dev_gpu_check(gpu, driver->event_new(&graph->before, 0), "making an event", err) &&
           dev_gpu_check(gpu, driver->event_new(&graph->after, 0), "making an event", err) &&
           dev_gpu_check(gpu, driver->graph_upload(graph->exec, gpu->stream), "bringing a graph to the GPU", err) &&
           dev_gpu_sync(gpu, err);
}

bool dev_graph_record(dev_gpu *gpu, bool (*body)(void *ctx, int turn, spak_error *err), void *ctx, int turns,
                      dev_graph **out, spak_error *err) {
    *out = NULL;
    if (turns < 1) return spak_fail(err, "recording a graph of %d turns: 1 or more are needed", turns);
    if (!dev_gpu_not_recording(gpu, "recording a graph", err) || !dev_gpu_sync(gpu, err)) return false;
    dev_graph *graph = spak_calloc(1, sizeof *graph);
    if (!graph) return spak_fail_oom(err);
    graph->gpu = gpu;
    cu_graph recorded;
    bool ok = capture(gpu, body, ctx, turns, &recorded, err);
    graph->launches = gpu->under_way;
    gpu->under_way.count = 0;
    ok = ok && make_exec(graph, recorded, err);
    if (recorded) gpu->driver.graph_free(recorded);
    if (ok)
        *out = graph;
    else
        dev_graph_free(graph);
    return ok;
}

void dev_graph_free(dev_graph *graph) {
    if (!graph) return;
    if (graph->gpu->hung) return; /* freeing would wait */
    const dev_driver *driver = &graph->gpu->driver;
    if (graph->after) driver->event_free(graph->after);
    if (graph->before) driver->event_free(graph->before);
    if (graph->exec) driver->graph_exec_free(graph->exec);
    spak_free(graph);
}

bool dev_graph_replay(dev_graph *graph, spak_error *err) {
    dev_gpu *gpu = graph->gpu;
    if (!dev_gpu_not_recording(gpu, "replaying a graph", err) ||
        !dev_gpu_check(gpu, gpu->driver.graph_launch(graph->exec, gpu->stream), "replaying a graph", err))
        return false;
    note_all(&gpu->under_way, &graph->launches);
    return !gpu->debug || dev_gpu_sync(gpu, err);
}

bool dev_graph_time(dev_graph *graph, double *ms, spak_error *err) {
    dev_gpu *gpu = graph->gpu;
    float elapsed = 0;
    *ms = 0;
    if (!dev_gpu_not_recording(gpu, "timing a graph", err) ||
        !dev_gpu_check(gpu, gpu->driver.event_record(graph->before, gpu->stream), "recording an event", err) ||
        !dev_graph_replay(graph, err) ||
        !dev_gpu_check(gpu, gpu->driver.event_record(graph->after, gpu->stream), "recording an event", err) ||
        !wait_a_while(gpu, err) ||
        !dev_gpu_check(gpu, gpu->driver.event_sync(graph->after), "waiting for a graph", err))
        return false;
    gpu->under_way.count = 0;
    if (!dev_gpu_check(gpu, gpu->driver.event_elapsed(&elapsed, graph->before, graph->after), "timing a graph", err))
        return false;
    *ms = (double)elapsed;
    return true;
}

/* --- the second-level cache --- */

bool dev_gpu_flush(dev_gpu *gpu, spak_error *err) {
    if (!dev_gpu_not_recording(gpu, "flushing the L2 cache", err)) return false;
    if (!gpu->flush) {
        size_t bytes = 2 * gpu->info.l2_bytes;
        if (!bytes) return spak_fail(err, "flushing the L2 cache: the driver says that it has none");
        if (!dev_gpu_check(gpu, gpu->driver.memory_alloc(&gpu->flush, bytes), "memory to flush the L2 cache with",
                           err)) {
            gpu->flush = 0;
            return false;
        }
        gpu->flush_bytes = bytes;
    }
    /* A GPU, or a part of one, that has no persisting lines says that it does not support this. */
    cu_result reset = gpu->driver.persisting_reset();
    return dev_gpu_check(gpu, reset == DEV_CU_NOT_SUPPORTED ? 0 : reset, "taking persisting lines back", err) &&
           dev_gpu_check(gpu, gpu->driver.set8_async(gpu->flush, 0, gpu->flush_bytes, gpu->stream),
                         "flushing the L2 cache", err);
}
