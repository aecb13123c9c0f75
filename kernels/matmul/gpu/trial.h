/* What the files of the trial share. Private to them. */
#ifndef SPAK_MATMUL_GPU_TRIAL_H
#define SPAK_MATMUL_GPU_TRIAL_H

#include "device/gpu_blas.h"
#include "device/trial.h"
#include "matmul/gpu/matmul_gpu.h"

enum { MATMUL_GPU_SETS = 128 };

/* One set of inputs and outputs. */
typedef struct matmul_gpu_set {
    matmul_gpu_buffers x; /* ours */
    dev_ptr peer_c;
    matmul_gpu_bound bound;
} matmul_gpu_set;

typedef struct matmul_gpu_trial_state {
    dev_gpu *gpu;
    matmul_gpu_machine machine;
    dev_trial_options options;
    matmul_gpu_problem problem;
    uint64_t seed;
    matmul_gpu_config config;
    matmul_gpu_plan plan;
    dev_arena *arena;
    matmul_gpu_set *set; /* (sets) */
    int sets;
    dev_ptr outputs;        /* every set's C, and pre, in one block ... */
    size_t outputs_bytes;   /* ... of this size */
    dev_ptr counter, c_old; /* c_old: beta only */
    int integers;     /* inputs are integers of at most this; 0: any numbers */
    int rows_checked; /* at each check; 0: the oracle's own choice */
    const char *peer; /* NULL: not compared */
    spak_error peer_reason;
} matmul_gpu_trial_state;

/* --- trial_data.c --- */

/* Takes memory for as many sets as push each other out of the second-level
 * cache, and fills the inputs. */
bool matmul_gpu_trial_prepare(matmul_gpu_trial_state *t, spak_error *err);
void matmul_gpu_trial_release(matmul_gpu_trial_state *t);

/* What the outputs hold before products: NaN, or where beta reads them numbers
 * that depend on the seed and the set alone. */
bool matmul_gpu_trial_reset(matmul_gpu_trial_state *t, spak_error *err);
bool matmul_gpu_trial_reset_peers(matmul_gpu_trial_state *t, spak_error *err);
/* Fills the inputs of all sets anew: integers of at most that magnitude, or,
 * for 0, uniform in [-1, 1). */
bool matmul_gpu_trial_fill(matmul_gpu_trial_state *t, int integers,
                           spak_error *err);

/* What the set's C holds before a product with beta, at c. */
bool matmul_gpu_trial_draw_c(matmul_gpu_trial_state *t, dev_ptr c, int set,
                             spak_error *err);

/* Elements of 16 bits that differ between a and b. */
bool matmul_gpu_trial_different(matmul_gpu_trial_state *t, dev_ptr a, dev_ptr b,
                                size_t bytes, uint32_t *count, spak_error *err);

/* --- trial_check.c --- */

/* One set's output, ours or the peer's, against the oracle: some rows of it
 * element by element, all of it by Freivalds' check and for what is no number.
 * *worst is the largest |error| / bound, why says what is wrong. */
bool matmul_gpu_trial_check(matmul_gpu_trial_state *t, int set, bool peers,
                            bool *good, double *worst, spak_error *why,
                            spak_error *err);

/* --- trial_time.c --- */

bool matmul_gpu_trial_run_peer(matmul_gpu_trial_state *t, int set,
                               spak_error *err);
/* Times ours beside the peer and puts the figures into result; *launched is
 * how many sets our timed launches reached. */
bool matmul_gpu_trial_time(matmul_gpu_trial_state *t, json_t *result,
                           int *launched, spak_error *err);

#endif
