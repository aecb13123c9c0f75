/* A GPU on the CPU, for invariants: runs the very source of a kernel.
 *
 * A kernel file written in the part of CUDA that is also C, and that reaches
 * global memory, shared-memory addresses and the matrix units through ptx/
 * only, compiles for the host with SPAK_EMULATE. Then each CUDA thread is a
 * fiber (ucontext), blocks run one after another, and within a block a warp
 * runs until all of its lanes have come to the same collective instruction, or
 * to the block's barrier. It is exact where the language is: results, bounds,
 * who writes what, who waits for whom. It knows nothing of time.
 *
 * What hardware leaves open is chosen by the schedule, so that a kernel that
 * relies on luck is caught: whether warps run first to last or last to first
 * between two barriers, whether an asynchronous copy lands at once or only when
 * somebody waits for it (until then its place holds NaN), and the order of
 * blocks. Shared memory and registers of the machine begin as NaN.
 *
 * Found, and reported with the thread: an access outside of the arrays that the
 * kernel was given (the gaps between rows are outside) or not aligned to its
 * size; lanes of a warp that meet at different instructions; shared memory
 * beyond what the launch asked for; copies that nobody waited for. Not found:
 * a write of shared memory through a C pointer beyond its array.
 *
 * One launch at a time in a process. */
#ifndef SPAK_EMULATE_EMULATE_H
#define SPAK_EMULATE_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Rows of row_bytes, pitch bytes apart. */
typedef struct emulate_array {
    const char *name;
    void *at;
    size_t rows, row_bytes, pitch;
    bool writable;
    unsigned char *writes; /* (rows, pitch) or NULL: how often each byte was
                              written, up to 255; added to */
} emulate_array;

typedef enum emulate_block_order {
    EMULATE_BLOCKS_FORWARD,
    EMULATE_BLOCKS_BACKWARD,
    EMULATE_BLOCKS_SHUFFLED, /* by the schedule's seed */
} emulate_block_order;

typedef struct emulate_schedule {
    bool warps_backward; /* the last warp runs first */
    bool copies_late;    /* asynchronous copies land when waited for */
    emulate_block_order blocks;
    uint64_t seed;
} emulate_schedule;

typedef struct emulate_launch {
    void (*kernel)(const void *params);
    const void *params;
    unsigned grid[3], block[3];
    size_t smem_bytes; /* dynamic shared memory */
    const emulate_array *arrays;
    size_t num_arrays;
    emulate_schedule schedule;
} emulate_launch;

/* What the launch did, over all blocks. An ldmatrix without bank conflicts
 * takes four cycles of shared memory. */
typedef struct emulate_counts {
    uint64_t mma, ldmatrix, ldmatrix_cycles, async_copies, barriers;
    uint64_t read_bytes, written_bytes; /* global memory */
} emulate_counts;

/* Fails with the first fault, or for lack of memory; what was written until
 * then stays. counts may be NULL. */
bool emulate_run(const emulate_launch *launch, emulate_counts *counts,
                 spak_error *err);

#endif
