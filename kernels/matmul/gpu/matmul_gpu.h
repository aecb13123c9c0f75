/* MatMul on a GPU: C (m, n) = epilogue(op(A) op(B)), 16-bit inputs, sums in
 * 32-bit floats (params.h has the formula).
 *
 * A configuration says how (config.c), a plan turns it, with a problem, into
 * what is launched (plan.c); neither needs a GPU. Binding a plan to buffers
 * and launching it does (launch.c). */
#ifndef SPAK_MATMUL_GPU_H
#define SPAK_MATMUL_GPU_H

#include "device/gpu_module.h"
#include "device/op.h"
#include "matmul/gpu/params.h"

/* The ladder: one idea a step. */
typedef enum matmul_gpu_variant {
    MATMUL_GPU_NAIVE,
    MATMUL_GPU_COALESCED,
    MATMUL_GPU_SHARED_TILE,
    MATMUL_GPU_REGISTER_TILE,
    MATMUL_GPU_MMA_SYNC, /* the portable path, cc 80 and up */
    MATMUL_GPU_TMA,      /* from here on cc 90 only */
    MATMUL_GPU_SPECIALISED,
    MATMUL_GPU_TWO_CONSUMERS,
    MATMUL_GPU_PERSISTENT,
    MATMUL_GPU_CLUSTER,
    MATMUL_GPU_ASYNC_STORE,
    MATMUL_GPU_BEST,
    MATMUL_GPU_VARIANTS
} matmul_gpu_variant;

const char *matmul_gpu_variant_name(matmul_gpu_variant variant);

/* What a plan must know of a GPU. */
typedef struct matmul_gpu_machine {
    int cc, sms;
    size_t smem_per_block_bytes, l2_bytes;
    double matrix_flop_per_s; /* dense 16-bit products, at the highest clock */
    double datasheet_flop_per_s, bytes_per_s; /* 0: not known */
} matmul_gpu_machine;

/* From a description (dev_op.describe). */
void matmul_gpu_machine_of(const json_t *hw, matmul_gpu_machine *machine);

/* This machine's GPU with what its datasheet adds, or, where there is none, the
 * H200's datasheet; a new reference. */
bool matmul_gpu_describe(json_t **hw, spak_error *err);

typedef struct matmul_gpu_problem {
    int m, n, k;
    bool trans_a, trans_b; /* A is stored (k, m); B is stored (n, k) */
    dev_element in, out;   /* DEV_BF16 or DEV_F16; the same or DEV_F32 */
    bool bias, gelu, residual;
    float alpha, beta;
    int lda, ldb, ldc; /* elements from a stored row to the next */
} matmul_gpu_problem;

/* Row lengths of matrices without padding between rows. */
void matmul_gpu_tight(matmul_gpu_problem *problem);

/* Where the tiles do not fill the last round: its tiles are done whole, or
 * shared out by steps of k (walk.h). */
typedef enum matmul_gpu_last_round {
    MATMUL_GPU_LAST_ROUND_UNSET,
    MATMUL_GPU_WHOLE,
    MATMUL_GPU_SHARED
} matmul_gpu_last_round;

/* How a launch follows the kernel before it in the stream. */
typedef enum matmul_gpu_start {
    MATMUL_GPU_START_UNSET,
    MATMUL_GPU_PLAIN,
    MATMUL_GPU_OVERLAPPED
} matmul_gpu_start;

typedef struct matmul_gpu_config {
    matmul_gpu_variant variant;
    int tile_m, tile_n, tile_k; /* of C, and the step along k */
    int stages;                 /* tiles of A and B in flight */
    int cluster_m, cluster_n;   /* blocks that share what they load */
    int group;      /* rows of tiles that the order of tiles keeps together */
    int split;      /* mma_sync: parts of k that are summed apart */
    int last_round; /* best: matmul_gpu_last_round */
    int start;      /* best: matmul_gpu_start */
    int swizzle_bytes; /* mma_sync: 128, or 16 for plain rows (an ablation) */
} matmul_gpu_config;

/* Reads the axes; those left out take what suits problem and machine (cost.c).
 * False, with the axis or constraint in why, for what is refused. json may be
 * NULL. */
bool matmul_gpu_config_read(const json_t *json,
                            const matmul_gpu_problem *problem,
                            const matmul_gpu_machine *machine,
                            matmul_gpu_config *config, spak_error *why);
/* The axes that the variant has; a new reference. */
json_t *matmul_gpu_config_json(const matmul_gpu_config *config);
/* The constraints of matmul_gpu.dsl, by the same names. */
bool matmul_gpu_config_allowed(const matmul_gpu_config *config,
                               const matmul_gpu_problem *problem,
                               const matmul_gpu_machine *machine,
                               spak_error *why);

/* --- what follows from a configuration; matmul_gpu.dsl derives the same --- */

bool matmul_gpu_has_tma(matmul_gpu_variant variant);       /* cc 90 only */
int matmul_gpu_consumers(const matmul_gpu_config *config); /* warpgroups */
int matmul_gpu_threads(const matmul_gpu_config *config);   /* a block's */
/* Dynamic shared memory of a block. out_bytes: of an element of C. */
size_t matmul_gpu_smem_bytes(const matmul_gpu_config *config, int out_bytes);
/* Bytes in a row of the pieces in which C leaves through shared memory; 0 where
 * it does not. */
int matmul_gpu_piece_row(const matmul_gpu_config *config, int out_bytes);
enum { MATMUL_GPU_STORE_BUFFERS = 2 }; /* pieces of a consumer */
/* 32-bit sums that a thread holds. */
int matmul_gpu_sums(const matmul_gpu_config *config);

/* The time that the model of cost.c expects, in seconds. */
double matmul_gpu_expect(const matmul_gpu_config *config,
                         const matmul_gpu_problem *problem,
                         const matmul_gpu_machine *machine);
/* Fills the tile, cluster, stages, group and split that the model likes best
 * among those allowed for config->variant; members that are not 0 stay. False
 * when nothing is allowed. */
bool matmul_gpu_pick(const matmul_gpu_problem *problem,
                     const matmul_gpu_machine *machine,
                     matmul_gpu_config *config);

/* --- the plan --- */

enum { MATMUL_GPU_DEFINES = 24, MATMUL_GPU_DEFINE_BYTES = 32 };

typedef struct matmul_gpu_plan {
    matmul_gpu_problem problem;
    matmul_gpu_config config;
    const char *file; /* the kernel's, with these macros: */
    char define[MATMUL_GPU_DEFINES][MATMUL_GPU_DEFINE_BYTES];
    int num_defines;
    unsigned grid[3], block[3], cluster[3];
    bool overlap;         /* dev_launch's */
    size_t smem_bytes;    /* dynamic */
    bool maps, store_map; /* a_map and b_map; c_map */
    dev_tensor_spec a_map, b_map, c_map, pre_map;
    size_t workspace_bytes,
        counters_bytes; /* for sums that several blocks have */
} matmul_gpu_plan;

/* Fails for a problem that no kernel takes (a length below 1, rows shorter than
 * the matrix). */
bool matmul_gpu_plan_new(const matmul_gpu_config *config,
                         const matmul_gpu_problem *problem,
                         const matmul_gpu_machine *machine,
                         matmul_gpu_plan *plan, spak_error *err);

/* The kernel as the compiler takes it; list is filled with pointers into the
 * plan. */
dev_variant matmul_gpu_plan_variant(const matmul_gpu_plan *plan,
                                    const char *list[MATMUL_GPU_DEFINES]);

/* --- on the GPU (launch.c) --- */

typedef struct matmul_gpu_buffers {
    dev_ptr a, b, c, bias, pre, residual; /* as in params.h; 0: not used */
    dev_ptr workspace, counters; /* of the plan's sizes; counters all zero */
} matmul_gpu_buffers;

typedef struct matmul_gpu_bound {
    dev_launch launch;
    matmul_params params;
} matmul_gpu_bound;

/* Compiles and loads the plan's kernel (once a process for equal ones) and
 * encodes the tensor maps of these buffers. */
bool matmul_gpu_bind(dev_gpu *gpu, const matmul_gpu_plan *plan,
                     const matmul_gpu_buffers *buffers, matmul_gpu_bound *bound,
                     spak_error *err);
/* Enqueues it. */
bool matmul_gpu_launch(dev_gpu *gpu, const matmul_gpu_bound *bound,
                       spak_error *err);

/* --- the operator --- */

bool matmul_gpu_trial(const json_t *config, const json_t *problem,
                      const json_t *options, json_t **result, spak_error *err);
/* dev_op's (shipped.c). */
bool matmul_gpu_shipped(const char *target, dev_take_kernel *take,
                        void *context, spak_error *err);
bool matmul_gpu_problem_read(const json_t *json, matmul_gpu_problem *problem,
                             uint64_t *seed, spak_error *err);

enum { MATMUL_GPU_INVARIANTS = 8, MATMUL_GPU_FAULTS = 14 };
extern const dev_invariant matmul_gpu_invariants[MATMUL_GPU_INVARIANTS];
extern const dev_fault matmul_gpu_faults[MATMUL_GPU_FAULTS];
extern const dev_op matmul_gpu_op;

#endif
