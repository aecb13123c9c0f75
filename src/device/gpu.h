/* One NVIDIA GPU: the driver, loaded at run time.
 *
 * Nothing here links CUDA or needs its headers: the driver (libcuda), the run-time compiler (NVRTC, gpu_module.h) and
 * the peer (cuBLAS, gpu_blas.h) are opened when first asked for. Where one of them is missing the error names the
 * library, what was tried, and what still works without it; everything on the CPU does.
 *
 * Work is asynchronous. A launch that is wrong in itself fails at once; a fault inside a kernel surfaces at the next
 * call that waits, and the error then names the kernels that were under way. With SPAK_GPU_DEBUG=1 every launch is
 * waited for, so that the fault is that kernel's and no other's, and arenas have guard zones and poison.
 *
 * A wait has an end: a kernel that does not come back within SPAK_GPU_TIMEOUT_S seconds (60) is an error like any
 * other.
 *
 * One process works with one GPU, in one thread. SPAK_GPU=N picks the N-th (from 0); SPAK_GPU=none pretends that there
 * is none. */
#ifndef SPAK_DEVICE_GPU_H
#define SPAK_DEVICE_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

typedef struct dev_gpu dev_gpu;
typedef uint64_t dev_ptr; /* an address in the GPU's memory */

typedef struct dev_gpu_info {
    char name[128]; /* "NVIDIA H200" */
    char id[96];    /* "h200": a slug for file names, without the vendor */
    int cc;         /* compute capability, major times ten plus minor: 90 */
    int sms;        /* streaming multiprocessors */
    size_t memory_bytes, l2_bytes;
    size_t smem_per_block_bytes; /* the most that a block may ask for (opt-in) */
    size_t smem_per_sm_bytes;
    int registers_per_sm, threads_per_sm;
    int clock_mhz, memory_clock_mhz, memory_bus_bits; /* the highest clocks */
    int driver_version;                               /* as the driver counts: 13000 */
} dev_gpu_info;

/* The GPU of this process, opened at the first call; NULL with the reason in err (which may be NULL) when there is
 * none. Later calls give the same answer. */
dev_gpu *dev_gpu_get(spak_error *err);
const dev_gpu_info *dev_gpu_about(const dev_gpu *gpu);

/* The `hw` table of rules and the trace's environment on a GPU: {"kind": "gpu", "id": "h200", "name", "cc": 90, "sms",
 * "memory_bytes", "l2_bytes", "smem_per_block_bytes", "smem_per_sm_bytes", "registers_per_sm", "threads_per_sm",
 * "clock_mhz", "memory_clock_mhz", "memory_bus_bits", "driver" ("CUDA 13.0, 580.95.05"; the second where NVML tells),
 * "nvrtc" (version; left out where it is not), "host": dev_describe's table}. */
bool dev_gpu_describe(json_t **hw, spak_error *err);

/* Clocks, power and temperature at this moment (NVML, loaded at run time): {"sm_mhz", "memory_mhz", "power_w",
 * "temperature_c", "throttle": [names]}; fields that cannot be read are left out. Fails only for lack of memory. */
bool dev_gpu_state(dev_gpu *gpu, json_t **state, spak_error *err);

/* --- memory: one arena a purpose --- */

typedef struct dev_arena dev_arena;

/* `bytes` of device memory for one purpose, whose name errors speak. Blocks are aligned to 1024 bytes. */
bool dev_arena_new(dev_gpu *gpu, const char *purpose, size_t bytes, dev_arena **arena, spak_error *err);
void dev_arena_free(dev_arena *arena); /* NULL is fine */
bool dev_arena_take(dev_arena *arena, const char *what, size_t bytes, dev_ptr *block, spak_error *err);
void dev_arena_reset(dev_arena *arena); /* gives all blocks back */
/* What an arena of `count` blocks of `bytes` in all has to hold, alignment and guard zones included. */
size_t dev_arena_room(size_t bytes, size_t count);
/* Waits, then fails when a guard zone (between blocks; SPAK_GPU_DEBUG=1 only) was written, naming the block before it.
 */
bool dev_arena_check(dev_arena *arena, spak_error *err);

/* Synchronous copies and fills; sizes in bytes. Inside dev_graph_record a fill is recorded, a copy is an error. */
bool dev_gpu_upload(dev_gpu *gpu, dev_ptr to, const void *from, size_t bytes, spak_error *err);
bool dev_gpu_download(dev_gpu *gpu, void *to, dev_ptr from, size_t bytes, spak_error *err);
bool dev_gpu_fill8(dev_gpu *gpu, dev_ptr to, uint8_t value, size_t bytes, spak_error *err);
bool dev_gpu_fill32(dev_gpu *gpu, dev_ptr to, uint32_t value, size_t count, spak_error *err);

/* --- tensor maps: what the bulk copy engine (TMA, cc 90 and up) is told of an array --- */

/* Opaque, handed to a kernel inside its parameters; the same bytes as the driver's CUtensorMap. The engine wants
 * multiples of 64 bytes, CUDA 13 declares 128. */
typedef struct dev_tensor_map {
    _Alignas(128) uint64_t opaque[16];
} dev_tensor_map;

typedef enum dev_element { DEV_BF16, DEV_F16, DEV_F32, DEV_ELEMENTS } dev_element;
size_t dev_element_bytes(dev_element element);

enum { DEV_TENSOR_DIMS = 5 };
typedef struct dev_tensor_spec {
    dev_element element;
    int dims;                         /* 1 .. 5 */
    uint64_t size[DEV_TENSOR_DIMS];   /* elements, innermost first */
    uint64_t stride[DEV_TENSOR_DIMS]; /* bytes from one index of dimension i to the next; [0] is not read */
    uint32_t box[DEV_TENSOR_DIMS];    /* elements that one copy brings, at most 256 a dimension */
    int swizzle_bytes;                /* 0, 32, 64 or 128; box[0] holds at most this much */
} dev_tensor_spec;

/* Elements outside of `size` are read as zero and not written. Fails with what is not as the engine needs it: base and
 * strides are multiples of 16 bytes, a box's inner row too. */
bool dev_tensor_encode(dev_gpu *gpu, dev_ptr base, const dev_tensor_spec *spec, dev_tensor_map *map, spak_error *err);

/* --- launches --- */

typedef struct dev_kernel dev_kernel; /* gpu_module.h */

typedef struct dev_launch {
    const dev_kernel *kernel;
    unsigned grid[3], block[3];
    unsigned cluster[3]; /* {0} or {1, 1, 1}: no cluster */
    size_t smem_bytes;   /* dynamic shared memory */
    bool overlap; /* may start before the kernel ahead of it ends; it then waits itself (griddepcontrol.wait). cc 90 */
} dev_launch;

/* Enqueues the kernel on the process's stream. params: the one struct that the kernel takes by value. */
bool dev_gpu_launch(dev_gpu *gpu, const dev_launch *launch, const void *params, spak_error *err);
/* Waits for all that was enqueued. */
bool dev_gpu_sync(dev_gpu *gpu, spak_error *err);
/* The stream, for libraries that enqueue themselves (a CUstream). */
void *dev_gpu_stream(dev_gpu *gpu);

/* --- graphs: launches recorded once and replayed as one --- */

typedef struct dev_graph dev_graph;

/* Records what body enqueues when it is called with turn 0, 1, ... turns - 1. Nothing runs meanwhile. */
bool dev_graph_record(dev_gpu *gpu, bool (*body)(void *ctx, int turn, spak_error *err), void *ctx, int turns,
                      dev_graph **graph, spak_error *err);
void dev_graph_free(dev_graph *graph);
bool dev_graph_replay(dev_graph *graph, spak_error *err); /* enqueues */
/* Replays it and waits; *ms is the time on the GPU's clock between an event before and one after it. While the GPU is
 * still busy with what was enqueued before (dev_gpu_flush) the host gets ahead; on an idle GPU the time that the host
 * takes to start the graph is in *ms. */
bool dev_graph_time(dev_graph *graph, double *ms, spak_error *err);

/* Enqueues what pushes everything out of the second-level cache: persisting lines are taken back, and twice its size is
 * written. */
bool dev_gpu_flush(dev_gpu *gpu, spak_error *err);

/* Copies *bytes (4 GiB, or an eighth of the memory where that is less) from one place in the GPU's memory to another,
 * `samples` times after one to warm up. gb_per_s[i] is what the i-th copy read and wrote, over the time on the GPU's
 * clock, in 10^9 bytes a second. */
bool dev_gpu_copy_bandwidth(dev_gpu *gpu, double *gb_per_s, size_t samples, size_t *bytes, spak_error *err);

#endif
