/* What the invariants share. Private to them and their tests. */
#ifndef SPAK_FMHA_GPU_INVARIANTS_H
#define SPAK_FMHA_GPU_INVARIANTS_H

#include "base/rng.h"
#include "fmha/gpu/fmha_gpu.h"
#include "fmha/gpu/walk.h"

/* In the order of fmha_gpu_faults. */
typedef enum fmha_gpu_fault {
    FMHA_GPU_NO_FAULT = -1,
    FMHA_GPU_DIAGONAL_TILE_SKIPPED,
    FMHA_GPU_ALIGNED_TOP_LEFT,
    FMHA_GPU_TAIL_NOT_MASKED,
    FMHA_GPU_WHOLE_TILE_TOO_MANY,
    FMHA_GPU_WINDOW_OF_LAST_QUERY,
    FMHA_GPU_LAST_GROUP_FULL,
    FMHA_GPU_COUNTER_LEFT,
    FMHA_GPU_SHORTEST_FIRST,
    FMHA_GPU_WRONG_KV_HEAD,
    FMHA_GPU_ROWS_BY_HEAD,
    FMHA_GPU_SLICES_OVERLAP,
    FMHA_GPU_RELEASE_BEFORE_READ,
    FMHA_GPU_PARITY_NOT_FLIPPED,
    FMHA_GPU_ONE_COUNTER_FOR_BOTH,
    FMHA_GPU_ONE_ARRIVAL_FREES,
    FMHA_GPU_NEXT_QUERIES_FIRST,
    FMHA_GPU_TURN_NOT_PASSED,
    FMHA_GPU_NOT_RESCALED,
    FMHA_GPU_FACTOR_BEFORE_ROUNDING,
    FMHA_GPU_GUESS_NOT_CHECKED,
    FMHA_GPU_SLICES_WEIGHED_EQUALLY,
    FMHA_GPU_FLOOR_OF_MINUS_INFINITY,
    FMHA_GPU_EMPTY_ROW_DIVIDED,
    FMHA_GPU_SUM_AS_THEY_COME,
    FMHA_GPU_LATER_TURN_FIRST,
    FMHA_GPU_VISITS_AGAINST_TURNS,
    FMHA_GPU_STAGES_OF_V_AS_OF_K,
    FMHA_GPU_WEIGHTS_FORGOTTEN,
    FMHA_GPU_EDGE_NOT_CLIPPED,
    FMHA_GPU_NUM_FAULTS
} fmha_gpu_fault;

/* One run of a check. */
typedef struct fmha_gpu_check {
    fmha_gpu_fault fault;
    uint64_t seed, draws;
    long long cases;
    json_t *counterexample; /* NULL: none found */
} fmha_gpu_check;

/* Notes the first counterexample; returns false. */
bool fmha_gpu_counter(fmha_gpu_check *check, const char *fmt, ...)
    SPAK_PRINTF(2, 3);

/* A number in [0, count). */
uint32_t fmha_gpu_draw(fmha_gpu_check *check, uint32_t count);

/* A problem with lengths that make trouble (1, 13, 64, 127, 257, 1023 among
 * them), of which each visible pair can be looked at, and a configuration that
 * config.c allows for it on an H200. */
typedef struct fmha_gpu_case {
    fmha_gpu_problem problem;
    fmha_gpu_config config;
} fmha_gpu_case;
void fmha_gpu_draw_case(fmha_gpu_check *check, fmha_gpu_case *c);
extern const fmha_gpu_machine fmha_gpu_planned_machine;
/* Puts the case beside the counterexample that was just found, if one was. */
void fmha_gpu_note_case(fmha_gpu_check *check, const fmha_gpu_case *c);

/* Each returns false only when memory runs out. */
typedef bool (*fmha_gpu_checker)(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_written(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_pairs(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_groups(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_pipeline(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_merge(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_masked(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_bits(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_resources(fmha_gpu_check *check, spak_error *err);
bool fmha_gpu_check_reads(fmha_gpu_check *check, spak_error *err);

#endif
