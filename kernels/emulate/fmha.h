/* The GPU's portable attention kernels on the emulator: variants of those in
 * fmha/gpu, small enough to run on a CPU, and one check of them all. */
#ifndef SPAK_EMULATE_FMHA_H
#define SPAK_EMULATE_FMHA_H

#include "emulate/emulate.h"

typedef enum emulate_fmha_family {
    EMULATE_FMHA_UNFUSED,
    EMULATE_FMHA_FUSED,
    EMULATE_FMHA_DECODE
} emulate_fmha_family;

/* One kernel file with its macros, compiled by one emulate/fmha_*.c. */
typedef struct emulate_fmha {
    const char *name; /* "fused_64_causal" */
    emulate_fmha_family family;
    void (*kernel[3])(const void *params); /* in the order of their launches */
    size_t smem_bytes[3];
    int threads, head_dim, tile_m, tile_n;
    bool f16, causal, window, varlen;
} emulate_fmha;

extern const emulate_fmha *const emulate_fmhas[];
extern const size_t emulate_num_fmhas;

/* The same with a fault planted into each: what no test may let through. */
extern const emulate_fmha *const emulate_fmha_faults[];
extern const size_t emulate_num_fmha_faults;

enum { EMULATE_FMHA_SEQUENCES = 8 };

typedef struct emulate_fmha_case {
    const emulate_fmha *variant;
    int batch, heads, kv_heads, q_len, kv_len; /* batch at most 8 */
    /* of the sequences, with varlen; at most q_len and kv_len */
    int queries[EMULATE_FMHA_SEQUENCES], keys[EMULATE_FMHA_SEQUENCES];
    int window, slices;
    bool by_tokens; /* (B, T, H, D) instead of (B, H, T, D) */
    int gap;        /* elements between rows: a multiple of 8 */
    double logits;  /* roughly the largest score; 0: inputs from -1 to 1 */
    uint64_t seed;
    emulate_schedule schedule;
} emulate_fmha_case;

typedef struct emulate_fmha_result {
    double worst, worst_lse; /* largest |error| over its bound; 1 is right */
    int worst_row, worst_column;
    int fewest_writes, most_writes; /* of an element of O and of LSE */
    uint64_t hash;                  /* of O's and LSE's bits */
    emulate_counts counts;          /* of all launches */
} emulate_fmha_result;

/* Runs a case on random inputs and compares each row with fmha_oracle's, in
 * double precision, and its bound. A row that sees no key has to be 0, its LSE
 * -infinity. Fails when the emulator finds a fault (emulate.h), among them
 * every access outside of the operands, and for lack of memory. */
bool emulate_fmha_run(const emulate_fmha_case *x, emulate_fmha_result *result,
                      spak_error *err);

#endif
