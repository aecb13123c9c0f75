/* FMHA on a GPU: fused multi-head attention, forward, backward and decoding,
 * 16-bit inputs, sums in 32-bit floats (params.h has the formula).
 *
 * A configuration says how (config.c), a plan turns it, with a problem, into
 * what is launched (plan.c); neither needs a GPU. Binding a plan to buffers and
 * launching it does (launch.c). */
#ifndef SPAK_FMHA_GPU_H
#define SPAK_FMHA_GPU_H

#include "device/gpu_module.h"
#include "device/op.h"
#include "fmha/gpu/params.h"
#include "matmul/gpu/matmul_gpu.h"

/* The ladder of the forward pass: one idea a step. The backward pass has two of
 * them: mma_sync, and persistent on cc 90. */
typedef enum fmha_gpu_variant {
    FMHA_GPU_UNFUSED,     /* S and P through global memory: three kernels */
    FMHA_GPU_MMA_SYNC,    /* fused, mma.sync and cp.async; cc 80 and up */
    FMHA_GPU_TMA,         /* from here on cc 90: TMA and wgmma */
    FMHA_GPU_SPECIALISED, /* one warpgroup fetches */
    FMHA_GPU_PING_PONG,   /* two or three others take turns */
    FMHA_GPU_AHEAD,       /* scores of the next keys under this softmax */
    FMHA_GPU_REGISTERS,   /* P stays in registers */
    FMHA_GPU_PERSISTENT,  /* blocks stay; longest tiles first */
    FMHA_GPU_PACKED,      /* grouped heads share a tile */
    FMHA_GPU_DECODE,      /* few queries, many keys: slices of keys */
    FMHA_GPU_VARIANTS
} fmha_gpu_variant;

const char *fmha_gpu_variant_name(fmha_gpu_variant variant);

/* What a plan must know of a GPU: what MatMul's must. */
typedef matmul_gpu_machine fmha_gpu_machine;

/* The pass that a trial runs. */
typedef enum fmha_gpu_pass {
    FMHA_GPU_FORWARD,
    FMHA_GPU_BACKWARD,
    FMHA_GPU_PASSES
} fmha_gpu_pass;

typedef struct fmha_gpu_problem {
    int batch, heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    int window;        /* keys before the last one that a query sees; -1: all */
    bool varlen;       /* lengths of their own, at most q_len and kv_len */
    float scale;       /* 0: 1 / sqrt(head_dim) */
    dev_element dtype; /* DEV_BF16 or DEV_F16 */
    fmha_gpu_pass pass;
    bool deterministic;   /* backward: bitwise equal from run to run */
    bool by_tokens;       /* (B, T, H, D), as a projection leaves it behind; or
                           * (B, H, T, D). VARLEN is always (T, H, D) */
    int total_q, total_k; /* rows in all; varlen: of all sequences */
    fmha_layout q_at, k_at, v_at, o_at, do_at, dq_at, dk_at, dv_at;
} fmha_gpu_problem;

/* --- the problem (problem.c) --- */

/* {"batch", "heads", "kv_heads" (heads), "q_len", "kv_len" (q_len), "head_dim",
 * "causal", "window" (-1), "varlen", "scale", "dtype" ("bf16"), "pass"
 * ("forward"), "deterministic", "layout" ("bhtd" or "bthd"), "seed"}, and what
 * the trial reads itself: "inputs" (trial_data.c), "peer" (trial_peer.c). With
 * varlen the totals are those of fmha_gpu_draw_lengths. */
bool fmha_gpu_problem_read(const json_t *json, fmha_gpu_problem *problem,
                           uint64_t *seed, spak_error *err);
/* As fmha_gpu_problem_read takes it; a new reference. */
json_t *fmha_gpu_problem_json(const fmha_gpu_problem *problem);
/* Fails for what no kernel takes, and says what is supported. */
bool fmha_gpu_problem_check(const fmha_gpu_problem *problem, spak_error *err);
/* Totals without varlen, and strides without gaps. */
void fmha_gpu_tight(fmha_gpu_problem *problem);
/* Where each of the (batch) sequences begins: cu_q, cu_k (batch + 1). Lengths
 * are drawn from the seed, some of them 0 or 1, one of them the longest.
 * Without varlen all have the longest. Neither pointer may be NULL. */
void fmha_gpu_draw_lengths(const fmha_gpu_problem *problem, uint64_t seed,
                           int *cu_q, int *cu_k);
float fmha_gpu_scale(const fmha_gpu_problem *problem);
/* 4 D for each pair of a query and a key that a head has, by the usual count: a
 * causal mask halves them, a window's are counted; backward 2.5 times that.
 * cu_q, cu_k (batch + 1) are read with varlen only. */
double fmha_gpu_flop(const fmha_gpu_problem *problem, const int *cu_q,
                     const int *cu_k);
/* Bytes of Q, K, V, O once each (backward: and their gradients). */
double fmha_gpu_bytes(const fmha_gpu_problem *problem);

/* --- the configuration (config.c) --- */

/* In which order the tiles of queries are taken (walk.h). */
typedef enum fmha_gpu_order {
    FMHA_GPU_ORDER_UNSET,
    FMHA_GPU_PLAIN,
    FMHA_GPU_LONGEST /* first */
} fmha_gpu_order;

/* How a launch follows the kernel before it in the stream. */
typedef enum fmha_gpu_start {
    FMHA_GPU_START_UNSET,
    FMHA_GPU_START_PLAIN,
    FMHA_GPU_START_OVERLAPPED
} fmha_gpu_start;

/* What a row's weights are relative to: its largest score so far, or that of
 * the first tiles as long as no weight grows too large (sm90_packed.cu). */
typedef enum fmha_gpu_maximum {
    FMHA_GPU_MAXIMUM_UNSET,
    FMHA_GPU_FOLLOWED,
    FMHA_GPU_KEPT
} fmha_gpu_maximum;

typedef struct fmha_gpu_config {
    fmha_gpu_variant variant;
    int tile_m, tile_n;     /* queries and keys of a tile */
    int q_stages;           /* tiles of Q in flight */
    int k_stages, v_stages; /* tiles of K and of V in flight; backward: both of
                             * Q with dO */
    int consumers;          /* warpgroups of 64 queries each; TMA variants */
    int pack;               /* grouped heads in a tile; 1: not packed */
    int order;              /* fmha_gpu_order */
    int group;              /* heads that the order keeps together */
    int slices;             /* decode: parts of the keys */
    int start;              /* fmha_gpu_start */
    int maximum;            /* fmha_gpu_maximum */
} fmha_gpu_config;

/* Reads the axes; those left out take what suits problem and machine (cost.c).
 * False, with the axis or constraint in why, for what is refused. json may be
 * NULL. */
bool fmha_gpu_config_read(const json_t *json, const fmha_gpu_problem *problem,
                          const fmha_gpu_machine *machine,
                          fmha_gpu_config *config, spak_error *why);
/* The axes that the variant has; a new reference. */
json_t *fmha_gpu_config_json(const fmha_gpu_config *config);
/* The constraints of fmha_gpu.dsl, by the same names. */
bool fmha_gpu_config_allowed(const fmha_gpu_config *config,
                             const fmha_gpu_problem *problem,
                             const fmha_gpu_machine *machine, spak_error *why);

/* --- what follows from a configuration; fmha_gpu.dsl derives the same --- */

bool fmha_gpu_has_tma(fmha_gpu_variant variant); /* cc 90 only */
int fmha_gpu_threads(const fmha_gpu_config *config);
/* Columns of a slice in shared memory: 64, whose rows have 128 bytes, or 32. */
int fmha_gpu_slice(int head_dim);
enum {
    FMHA_GPU_BARRIERS = 1024, /* bytes that a block keeps for them */
    FMHA_GPU_VALUE_STAGES = 3 /* unfused: tiles of P and V in flight */
};
/* Dynamic shared memory of a block. */
size_t fmha_gpu_smem_bytes(const fmha_gpu_config *config,
                           const fmha_gpu_problem *problem);
/* Registers that the sums of a thread take with what it needs beside them, and
 * those that it may have. */
int fmha_gpu_registers(const fmha_gpu_config *config,
                       const fmha_gpu_problem *problem);
int fmha_gpu_registers_there(const fmha_gpu_config *config);
/* How many elements a row of S is from the next. */
long long fmha_gpu_scores_row(const fmha_gpu_problem *problem);
/* Tiles of queries of one head (pack of them), for the longest sequence, and in
 * all. */
int fmha_gpu_rows(const fmha_gpu_config *config,
                  const fmha_gpu_problem *problem);
int fmha_gpu_work(const fmha_gpu_config *config,
                  const fmha_gpu_problem *problem);

/* The time that the model of cost.c expects, in seconds. */
double fmha_gpu_expect(const fmha_gpu_config *config,
                       const fmha_gpu_problem *problem,
                       const fmha_gpu_machine *machine);
/* Fills what the model likes best among what is allowed for config->variant;
 * members that are not 0 stay. False when nothing is allowed. */
bool fmha_gpu_pick(const fmha_gpu_problem *problem,
                   const fmha_gpu_machine *machine, fmha_gpu_config *config);

/* --- the plan --- */

enum { FMHA_GPU_STEPS = 3, FMHA_GPU_DEFINES = 24, FMHA_GPU_DEFINE_BYTES = 32 };

/* One launch. */
typedef struct fmha_gpu_step {
    const char *entry; /* "fmha" */
    unsigned grid[3], block[3];
    size_t smem_bytes; /* dynamic */
    bool overlap;      /* dev_launch's */
} fmha_gpu_step;

/* Bytes of what a pass needs beside inputs and outputs; 0: not needed. */
typedef struct fmha_gpu_scratch {
    size_t lse, delta, dq_sum, turn, part_o, part_lse, scores, weights;
} fmha_gpu_scratch;

typedef struct fmha_gpu_plan {
    fmha_gpu_problem problem;
    fmha_gpu_config config;
    const char *file; /* of all its kernels, with these macros: */
    char define[FMHA_GPU_DEFINES][FMHA_GPU_DEFINE_BYTES];
    int num_defines;
    fmha_gpu_step step[FMHA_GPU_STEPS];
    int steps;
    fmha_gpu_scratch scratch;
    bool maps; /* those of the pass: q_map, k_map, v_map; forward: o_map,
                * backward: do_map */
    dev_tensor_spec q_map, k_map, v_map, o_map, do_map;
} fmha_gpu_plan;

/* Fails for a problem that no kernel takes (fmha_gpu_problem_check). */
bool fmha_gpu_plan_new(const fmha_gpu_config *config,
                       const fmha_gpu_problem *problem,
                       const fmha_gpu_machine *machine, fmha_gpu_plan *plan,
                       spak_error *err);

/* A step's kernel as the compiler takes it; list is filled with pointers into
 * the plan. */
dev_variant fmha_gpu_plan_variant(const fmha_gpu_plan *plan, int step,
                                  const char *list[FMHA_GPU_DEFINES]);

/* --- on the GPU (launch.c) --- */

/* As in params.h; 0: not used. Scratch has the plan's sizes, whatever it holds.
 * Aligned to 16 bytes. */
typedef struct fmha_gpu_buffers {
    dev_ptr q, k, v, o, lse;
    dev_ptr d_o, delta, dq, dk, dv, dq_sum, turn;
    dev_ptr cu_q, cu_k;
    dev_ptr part_o, part_lse, scores, weights;
} fmha_gpu_buffers;

typedef struct fmha_gpu_bound {
    dev_launch launch[FMHA_GPU_STEPS];
    int steps;
    fmha_gpu_params params;
} fmha_gpu_bound;

/* Compiles and loads the plan's kernels (once a process for equal ones),
 * encodes the tensor maps of these buffers and clears `turn`, which launches
 * leave as they find it. Fails for pointers that are missing
 * or not aligned. */
bool fmha_gpu_bind(dev_gpu *gpu, const fmha_gpu_plan *plan,
                   const fmha_gpu_buffers *buffers, fmha_gpu_bound *bound,
                   spak_error *err);
/* Enqueues it: all launches of the pass. */
bool fmha_gpu_launch(dev_gpu *gpu, const fmha_gpu_bound *bound,
                     spak_error *err);

/* --- the operator --- */

bool fmha_gpu_trial(const json_t *config, const json_t *problem,
                    const json_t *options, json_t **result, spak_error *err);
/* The peer's name for dev_op; NULL where there is none (trial.c). */
const char *fmha_gpu_peer(void);
/* dev_op's (shipped.c). */
bool fmha_gpu_shipped(const char *target, dev_take_kernel *take, void *context,
                      spak_error *err);

enum { FMHA_GPU_INVARIANTS = 9, FMHA_GPU_FAULTS = 29, FMHA_GPU_STUDIES = 1 };
extern const dev_invariant fmha_gpu_invariants[FMHA_GPU_INVARIANTS];
extern const dev_fault fmha_gpu_faults[FMHA_GPU_FAULTS];
extern const dev_study fmha_gpu_studies[FMHA_GPU_STUDIES];
extern const dev_op fmha_gpu_op;

#endif
