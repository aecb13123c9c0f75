/* What the invariants share. Private to them and their tests. */
#ifndef SPAK_MATMUL_GPU_INVARIANTS_H
#define SPAK_MATMUL_GPU_INVARIANTS_H

#include "base/rng.h"
#include "matmul/gpu/matmul_gpu.h"

/* In the order of matmul_gpu_faults. */
typedef enum matmul_gpu_fault {
    MATMUL_GPU_NO_FAULT = -1,
    MATMUL_GPU_LAST_GROUP_FULL,
    MATMUL_GPU_STRIDE_TOO_LONG,
    MATMUL_GPU_SLICES_OVERLAP,
    MATMUL_GPU_SUM_AS_THEY_COME,
    MATMUL_GPU_PLAIN_ROWS,
    MATMUL_GPU_CHUNKS_MASKED,
    MATMUL_GPU_RELEASE_BEFORE_READ,
    MATMUL_GPU_PARITY_NOT_FLIPPED,
    MATMUL_GPU_RELEASE_OWN_BLOCK,
    MATMUL_GPU_ONE_STAGE,
    MATMUL_GPU_SUMS_IN_16_BITS,
    MATMUL_GPU_LAST_STEP_LEFT_OUT,
    MATMUL_GPU_OUTPUT_TILE_FORGOTTEN,
    MATMUL_GPU_EDGE_NOT_PREDICATED,
    MATMUL_GPU_NUM_FAULTS
} matmul_gpu_fault;

/* One run of a check. */
typedef struct matmul_gpu_check {
    matmul_gpu_fault fault;
    uint64_t seed, draws;
    long long cases;
    json_t *counterexample; /* NULL: none found */
} matmul_gpu_check;

/* Notes the first counterexample; returns false. */
bool matmul_gpu_counter(matmul_gpu_check *check, const char *fmt, ...)
    SPAK_PRINTF(2, 3);

/* A number in [0, count). */
uint32_t matmul_gpu_draw(matmul_gpu_check *check, uint32_t count);

/* A problem with lengths that make trouble (1, 13, 127, 257, 1000, 4097 among
 * them) and a configuration that config.c allows for it on an H200. */
typedef struct matmul_gpu_case {
    matmul_gpu_problem problem;
    matmul_gpu_config config;
} matmul_gpu_case;
void matmul_gpu_draw_case(matmul_gpu_check *check, matmul_gpu_case *c);
extern const matmul_gpu_machine matmul_gpu_planned_machine;
json_t *matmul_gpu_case_json(const matmul_gpu_case *c);

/* Runs the kernels' source on the emulator and looks for a counterexample to
 * one aspect; reads outside of the arrays are one to any of them. */
typedef enum matmul_gpu_aspect {
    MATMUL_GPU_BOUND,
    MATMUL_GPU_WRITTEN,
    MATMUL_GPU_BITS,
    MATMUL_GPU_READS
} matmul_gpu_aspect;
bool matmul_gpu_emulate(matmul_gpu_check *check, matmul_gpu_aspect aspect,
                        spak_error *err);

/* Each returns false only when memory runs out. */
typedef bool (*matmul_gpu_checker)(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_written(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_split(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_order(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_swizzle(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_pipeline(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_bound(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_resources(matmul_gpu_check *check, spak_error *err);
bool matmul_gpu_check_reads(matmul_gpu_check *check, spak_error *err);

#endif
