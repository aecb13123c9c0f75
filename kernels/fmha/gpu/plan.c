/* From a configuration and a problem to what is launched: the kernels' file
 * with its macros, their grids, blocks and shared memory, what the bulk copy
 * engine is told of the tensors, and how much memory a pass needs beside them.
 * Needs no GPU.
 *
 * Every kernel takes the macros of define_common; what a family needs beyond
 * them, and how it is started, is in that family's function. */
#include <stdarg.h>
#include <stdio.h>

#include "fmha/gpu/fmha_gpu.h"
#include "fmha/gpu/walk_backward.h"

static const char *const files[FMHA_GPU_VARIANTS] = {
    "kernels/fmha/gpu/unfused.cu",
    "kernels/fmha/gpu/mma_sync.cu",
    "kernels/fmha/gpu/sm90_tma.cu",
    "kernels/fmha/gpu/sm90_specialised.cu",
    "kernels/fmha/gpu/sm90_ping_pong.cu",
    "kernels/fmha/gpu/sm90_ahead.cu",
    "kernels/fmha/gpu/sm90_registers.cu",
    "kernels/fmha/gpu/sm90_persistent.cu",
    "kernels/fmha/gpu/sm90_packed.cu",
    "kernels/fmha/gpu/decode.cu",
};
static const char backward_file[] = "kernels/fmha/gpu/mma_backward.cu",
                  sm90_backward_file[] = "kernels/fmha/gpu/sm90_backward.cu";

SPAK_PRINTF(2, 3)
static void define(fmha_gpu_plan *plan, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(plan->define[plan->num_defines++], FMHA_GPU_DEFINE_BYTES, fmt,
              ap);
    va_end(ap);
}

static void define_common(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    define(plan, "HEAD_DIM=%d", p->head_dim);
    define(plan, "TYPE_F16=%d", p->dtype == DEV_F16);
    define(plan, "CAUSAL=%d", p->causal);
    define(plan, "WINDOW=%d", p->window >= 0);
    define(plan, "VARLEN=%d", p->varlen);
    define(plan, "TILE_M=%d", c->tile_m);
    define(plan, "TILE_N=%d", c->tile_n);
}

static void define_stages(fmha_gpu_plan *plan) {
    define(plan, "K_STAGES=%d", plan->config.k_stages);
    define(plan, "V_STAGES=%d", plan->config.v_stages);
}

/* A launch of `work` blocks. */
static fmha_gpu_step *add_step(fmha_gpu_plan *plan, const char *entry, int x,
                               int y, int z, int threads, size_t smem_bytes) {
    fmha_gpu_step *step = &plan->step[plan->steps++];
    *step = (fmha_gpu_step){.entry = entry,
                            .grid = {(unsigned)x, (unsigned)y, (unsigned)z},
                            .block = {(unsigned)threads, 1, 1},
                            .smem_bytes = smem_bytes};
    return step;
}

static size_t rows_of(const fmha_gpu_problem *p) {
    return (size_t)p->total_q * (size_t)p->heads;
}

/* --- maps --- */

/* (d, h, t, b), in boxes of one swizzled row of d. */
static dev_tensor_spec map_of(const fmha_gpu_problem *p, const fmha_layout *at,
                              int heads, int len, int total, int box_heads,
                              int box_rows) {
    const int cols = fmha_gpu_slice(p->head_dim);
    const long long batch = p->varlen ? at->row * total : at->batch;
    return (dev_tensor_spec){
        .element = p->dtype,
        .dims = 4,
        .size = {(uint64_t)p->head_dim, (uint64_t)heads,
                 (uint64_t)(p->varlen ? total : len),
                 (uint64_t)(p->varlen ? 1 : p->batch)},
        .stride = {0, (uint64_t)at->head * 2, (uint64_t)at->row * 2,
                   (uint64_t)batch * 2},
        .box = {(uint32_t)cols, (uint32_t)box_heads, (uint32_t)box_rows, 1},
        .swizzle_bytes = 2 * cols};
}

static dev_tensor_spec map_of_queries(const fmha_gpu_problem *p,
                                      const fmha_layout *at, int box_heads,
                                      int box_rows) {
    return map_of(p, at, p->heads, p->q_len, p->total_q, box_heads, box_rows);
}

static dev_tensor_spec map_of_keys(const fmha_gpu_problem *p,
                                   const fmha_layout *at, int box_rows) {
    return map_of(p, at, p->kv_heads, p->kv_len, p->total_k, 1, box_rows);
}

/* --- forward --- */

/* Three passes: S = Q K^T, P = softmax(S), O = P V. */
static void plan_unfused(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const int m = fmha_tiles(p->q_len, c->tile_m),
              n = fmha_tiles(p->kv_len, c->tile_n);
    const size_t smem = fmha_gpu_smem_bytes(c, p), /* what the largest needs */
        pairs = (size_t)p->batch * (size_t)p->heads * (size_t)p->q_len *
                (size_t)fmha_gpu_scores_row(p);
    const int warps =
        fmha_most(1, fmha_least(32, fmha_tiles(p->kv_len, 16 * 32)));
    define(plan, "V_STAGES=%d", FMHA_GPU_VALUE_STAGES);
    add_step(plan, "fmha_scores", m * n, p->heads, p->batch, 128, smem);
    add_step(plan, "fmha_softmax", p->q_len, p->heads, p->batch, 32 * warps, 0);
    add_step(plan, "fmha_values", m, p->heads, p->batch, 128, smem);
    plan->scratch.scores = pairs * 4;
    plan->scratch.weights = pairs * 2;
}

static void define_order(fmha_gpu_plan *plan) {
    define(plan, "LONGEST=%d", plan->config.order == FMHA_GPU_LONGEST);
}

static void plan_mma_sync(fmha_gpu_plan *plan) {
    const fmha_gpu_config *c = &plan->config;
    define_stages(plan);
    define_order(plan);
    define(plan, "GROUP=p.group"); /* of the kernel's parameters */
    add_step(plan, "fmha", fmha_gpu_work(c, &plan->problem), 1, 1,
             fmha_gpu_threads(c), fmha_gpu_smem_bytes(c, &plan->problem));
}

/* A block has a tile of the rows of all heads that share K and V, and a slice
 * of the keys; parts of slices are merged by a block a row, a thread a column.
 */
static void plan_decode(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const size_t parts = rows_of(p) * (size_t)c->slices;
    const int tiles =
        fmha_tiles(p->q_len * (p->heads / p->kv_heads), c->tile_m);
    define_stages(plan);
    add_step(plan, "fmha_decode", tiles * c->slices, p->kv_heads, p->batch,
             fmha_gpu_threads(c), fmha_gpu_smem_bytes(c, p));
    if (c->slices == 1) return;
    add_step(plan, "fmha_combine", (int)rows_of(p), 1, 1, p->head_dim, 0);
    plan->scratch.part_o = parts * (size_t)p->head_dim * 4;
    plan->scratch.part_lse = parts * 4;
}

static void plan_sm90(fmha_gpu_plan *plan, const fmha_gpu_machine *hw) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const bool stays =
        c->variant == FMHA_GPU_PERSISTENT || c->variant == FMHA_GPU_PACKED;
    const int work = fmha_gpu_work(c, p), key_rows = fmha_least(c->tile_n, 256);
    define_stages(plan);
    define(plan, "Q_STAGES=%d", c->q_stages);
    define(plan, "CONSUMERS=%d", c->consumers);
    define(plan, "PACK=%d", c->pack);
    if (stays) define(plan, "KEPT=%d", c->maximum == FMHA_GPU_KEPT);
    define_order(plan);
    plan->maps = true;
    plan->q_map = map_of_queries(p, &p->q_at, c->pack, 64 / c->pack);
    plan->o_map = map_of_queries(p, &p->o_at, c->pack, 64 / c->pack);
    plan->k_map = map_of_keys(p, &p->k_at, key_rows);
    plan->v_map = map_of_keys(p, &p->v_at, key_rows);
    add_step(plan, "fmha", stays ? fmha_least(work, hw->sms) : work, 1, 1,
             fmha_gpu_threads(c), fmha_gpu_smem_bytes(c, p))
        ->overlap = c->start == FMHA_GPU_START_OVERLAPPED;
    plan->scratch.turn = stays ? sizeof(int) : 0; /* the next tile */
}

/* --- backward: delta, the gradients tile of keys by tile of keys, dQ --- */

enum { DELTA_THREADS = 256 };

/* Boxes of one swizzled row of 64 elements, whatever head_dim is. */
static void map_backward(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    plan->maps = true;
    plan->q_map = map_of_queries(p, &p->q_at, 1, c->tile_m);
    plan->do_map = map_of_queries(p, &p->do_at, 1, c->tile_m);
    plan->k_map = map_of_keys(p, &p->k_at, c->tile_n);
    plan->v_map = map_of_keys(p, &p->v_at, c->tile_n);
    dev_tensor_spec *const all[] = {&plan->q_map, &plan->do_map, &plan->k_map,
                                    &plan->v_map};
    for (int i = 0; i < 4; i++) {
        all[i]->box[0] = 64;
        all[i]->swizzle_bytes = 128;
    }
}

/* The numbers that each row needs, by tiles of tile_m queries. */
static void plan_delta(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const int m = plan->config.tile_m;
    define(plan, "DETERMINISTIC=%d", p->deterministic);
    add_step(plan, "fmha_delta", fmha_tiles(p->q_len, m), p->heads, p->batch,
             DELTA_THREADS, 0);
    plan->scratch.delta =
        (size_t)fmha_delta_floats(p->batch, p->heads, p->q_len, p->total_q, m,
                                  p->varlen) *
        sizeof(float);
}

/* dQ is added up tile of keys by tile of keys, in 32 bits. */
static void plan_sm90_backward(fmha_gpu_plan *plan,
                               const fmha_gpu_machine *hw) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const int rows = fmha_tiles(p->q_len, c->tile_m),
              work = fmha_tiles(p->kv_len, c->tile_n) * p->kv_heads * p->batch;
    const size_t tiles = (size_t)p->heads *
                         (size_t)fmha_row_tiles(p->batch, p->q_len, p->total_q,
                                                c->tile_m, p->varlen),
                 columns = (size_t)fmha_dq_columns(p->head_dim, c->tile_m);
    define(plan, "STAGES=%d", c->k_stages);
    map_backward(plan);
    plan_delta(plan);
    add_step(plan, "fmha_backward", fmha_least(work, hw->sms), 1, 1,
             fmha_gpu_threads(c), fmha_gpu_smem_bytes(c, p));
    add_step(plan, "fmha_dq", rows, p->heads, p->batch, DELTA_THREADS, 0);
    for (int i = 0; i < plan->steps; i++)
        plan->step[i].overlap = c->start == FMHA_GPU_START_OVERLAPPED;
    plan->scratch.dq_sum = tiles * (size_t)c->tile_m * columns * sizeof(float);
    plan->scratch.turn = p->deterministic ? tiles * sizeof(int) : 0;
}

/* Keys first (dK, dV), then queries (dQ): nothing is added in memory, and all
 * is the same from run to run. */
static void plan_mma_backward(fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const int parts = p->head_dim > 128 ? 2 : 1; /* of the columns */
    const size_t smem = fmha_gpu_smem_bytes(c, p);
    plan_delta(plan);
    add_step(plan, "fmha_backward", fmha_tiles(p->kv_len, c->tile_n),
             p->kv_heads * parts, p->batch, fmha_gpu_threads(c), smem);
    add_step(plan, "fmha_dq", fmha_tiles(p->q_len, c->tile_n), p->heads,
             p->batch, fmha_gpu_threads(c), smem);
}

static void plan_backward(fmha_gpu_plan *plan, const fmha_gpu_machine *hw) {
    if (fmha_gpu_has_tma(plan->config.variant))
        plan_sm90_backward(plan, hw);
    else
        plan_mma_backward(plan);
}

/* --- all --- */

bool fmha_gpu_plan_new(const fmha_gpu_config *config,
                       const fmha_gpu_problem *problem,
                       const fmha_gpu_machine *machine, fmha_gpu_plan *plan,
                       spak_error *err) {
    const bool back = problem->pass == FMHA_GPU_BACKWARD;
    *plan = (fmha_gpu_plan){.problem = *problem, .config = *config};
    if (!fmha_gpu_problem_check(problem, err)) return false;
    plan->file = !back                               ? files[config->variant]
                 : fmha_gpu_has_tma(config->variant) ? sm90_backward_file
                                                     : backward_file;
    plan->scratch.lse = rows_of(problem) * 4;
    define_common(plan);
    if (back)
        plan_backward(plan, machine);
    else if (config->variant == FMHA_GPU_UNFUSED)
        plan_unfused(plan);
    else if (config->variant == FMHA_GPU_MMA_SYNC)
        plan_mma_sync(plan);
    else if (config->variant == FMHA_GPU_DECODE)
        plan_decode(plan);
    else
        plan_sm90(plan, machine);
    return true;
}

dev_variant fmha_gpu_plan_variant(const fmha_gpu_plan *plan, int step,
                                  const char *list[FMHA_GPU_DEFINES]) {
    for (int i = 0; i < plan->num_defines; i++) list[i] = plan->define[i];
    return (dev_variant){plan->file, plan->step[step].entry, list,
                         (size_t)plan->num_defines};
}
