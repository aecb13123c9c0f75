/* The GPU's matrix products on the emulator: variants of the kernels in
 * matmul/gpu, small enough to run on a CPU, and one check of them all. */
#ifndef SPAK_EMULATE_MATMUL_H
#define SPAK_EMULATE_MATMUL_H

#include "emulate/emulate.h"

/* One kernel with its macros, compiled by one emulate/matmul_*.c. */
typedef struct emulate_matmul {
    const char *name; /* "mma_sync_nt" */
    void (*kernel)(const void *params);
    int tile_m, tile_n; /* of C, a block */
    unsigned block[3];
    size_t smem_bytes;
    int split;
    bool aligned, trans_a, trans_b, f16, out_f32;
    bool bias, gelu, residual, beta;
} emulate_matmul;

extern const emulate_matmul *const emulate_matmuls[];
extern const size_t emulate_num_matmuls;

typedef struct emulate_matmul_case {
    const emulate_matmul *variant;
    int m, n, k; /* aligned variants: stored rows hold multiples of 8 */
    int gap;     /* elements between stored rows; aligned: a multiple of 8 */
    float alpha, beta;
    uint64_t seed;
    emulate_schedule schedule;
} emulate_matmul_case;

typedef struct emulate_matmul_result {
    double worst; /* largest |error| over its bound: at most 1 is right */
    int worst_row, worst_col;
    int fewest_writes, most_writes; /* of an element of C (and pre) */
    bool counters_clear;            /* split: ready for another launch */
    uint64_t c_hash;                /* of C's bits, for runs to be equal */
    emulate_counts counts;
} emulate_matmul_result;

/* Runs a case on random inputs and compares it with sums in double precision.
 * The bound is the arithmetic's: k + 16 roundings of the 24-bit sum, one of
 * the result. Fails when the emulator finds a fault (emulate.h), among them
 * every access outside of the operands, and for lack of memory. */
bool emulate_matmul_run(const emulate_matmul_case *x,
                        emulate_matmul_result *result, spak_error *err);

#endif
