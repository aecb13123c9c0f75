/* From a configuration and a problem to what is launched: the kernel file with
 * its macros, the grid, the block, the cluster, the shared memory, and what the
 * bulk copy engine is told of A, B and C. Needs no GPU.
 *
 * Every kernel takes the macros of define_common; what a family needs beyond
 * them, and how it is started, is in that family's function. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "matmul/gpu/matmul_gpu.h"
#include "matmul/gpu/order.h"

static const char *const files[MATMUL_GPU_VARIANTS] = {
    "kernels/matmul/gpu/naive.cu",
    "kernels/matmul/gpu/coalesced.cu",
    "kernels/matmul/gpu/shared_tile.cu",
    "kernels/matmul/gpu/register_tile.cu",
    "kernels/matmul/gpu/mma_sync.cu",
    "kernels/matmul/gpu/sm90_tma.cu",
    "kernels/matmul/gpu/sm90_specialised.cu",
    "kernels/matmul/gpu/sm90_two_consumers.cu",
    "kernels/matmul/gpu/sm90_persistent.cu",
    "kernels/matmul/gpu/sm90_cluster.cu",
    "kernels/matmul/gpu/sm90_async_store.cu",
    "kernels/matmul/gpu/sm90_best.cu",
};

SPAK_PRINTF(2, 3)
static void define(matmul_gpu_plan *plan, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(plan->define[plan->num_defines++], MATMUL_GPU_DEFINE_BYTES, fmt,
              ap);
    va_end(ap);
}

/* Rows are whole vectors of 8 elements, and begin where one does. */
static bool is_aligned(const matmul_gpu_problem *p) {
    matmul_gpu_problem tight = *p;
    matmul_gpu_tight(&tight);
    return (p->lda | p->ldb | p->ldc | tight.lda | tight.ldb | tight.ldc) % 8 ==
           0;
}

static void define_common(matmul_gpu_plan *plan) {
    const matmul_gpu_problem *p = &plan->problem;
    define(plan, "TRANS_A=%d", p->trans_a);
    define(plan, "TRANS_B=%d", p->trans_b);
    define(plan, "TYPE_F16=%d", p->in == DEV_F16);
    define(plan, "OUT_F32=%d", p->out == DEV_F32);
    define(plan, "EPI_BIAS=%d", p->bias);
    define(plan, "EPI_GELU=%d", p->gelu);
    define(plan, "EPI_RESIDUAL=%d", p->residual);
    define(plan, "EPI_BETA=%d", p->beta != 0);
    define(plan, "ALIGNED=%d", is_aligned(p));
}

static void define_tile(matmul_gpu_plan *plan) {
    define(plan, "TILE_M=%d", plan->config.tile_m);
    define(plan, "TILE_N=%d", plan->config.tile_n);
    define(plan, "TILE_K=%d", plan->config.tile_k);
}

static void set3(unsigned to[3], unsigned x, unsigned y, unsigned z) {
    to[0] = x, to[1] = y, to[2] = z;
}

static int tiles_m(const matmul_gpu_plan *plan) {
    return matmul_tiles(plan->problem.m, plan->config.tile_m);
}
static int tiles_n(const matmul_gpu_plan *plan) {
    return matmul_tiles(plan->problem.n, plan->config.tile_n);
}

/* Slices of k leave partial tiles in the workspace, and the last block of a
 * tile to arrive adds them up in the slices' order. */
static void plan_split(matmul_gpu_plan *plan) {
    const matmul_gpu_config *c = &plan->config;
    if (c->split == 1) return;
    size_t tiles = (size_t)tiles_m(plan) * (size_t)tiles_n(plan);
    plan->workspace_bytes = tiles * (size_t)c->split * (size_t)c->tile_m *
                            (size_t)c->tile_n * sizeof(float);
    plan->counters_bytes = tiles * sizeof(int);
}

/* --- naive, coalesced, shared_tile, register_tile --- */

static void plan_simple(matmul_gpu_plan *plan) {
    const matmul_gpu_config *c = &plan->config;
    const unsigned m = (unsigned)c->tile_m, n = (unsigned)c->tile_n;
    set3(plan->grid, (unsigned)(tiles_m(plan) * tiles_n(plan)), 1, 1);
    if (c->variant == MATMUL_GPU_REGISTER_TILE) {
        define_tile(plan);
        set3(plan->block, (unsigned)matmul_gpu_threads(c), 1, 1);
    } else if (c->variant == MATMUL_GPU_SHARED_TILE) {
        define(plan, "TILE=%u", m);
        set3(plan->block, n, m, 1);
    } else {
        bool down = c->variant == MATMUL_GPU_NAIVE; /* a warp, a column */
        define(plan, "BLOCK_M=%u", m);
        define(plan, "BLOCK_N=%u", n);
        set3(plan->block, down ? m : n, down ? n : m, 1);
    }
}

/* --- mma_sync: cp.async, ldmatrix, mma.sync --- */

static void plan_mma_sync(matmul_gpu_plan *plan) {
    const matmul_gpu_config *c = &plan->config;
    define_tile(plan);
    if (c->swizzle_bytes == 16) define(plan, "MATMUL_PLAIN_ROWS=1");
    define(plan, "WARPS_M=%d", c->tile_m / 64);
    define(plan, "WARPS_N=%d", c->tile_n / 64);
    define(plan, "STAGES=%d", c->stages);
    define(plan, "GROUP=%d", c->group);
    define(plan, "SPLIT=%d", c->split);
    plan_split(plan);
    set3(plan->grid, (unsigned)(tiles_m(plan) * tiles_n(plan)), 1,
         (unsigned)c->split);
    set3(plan->block, (unsigned)matmul_gpu_threads(c), 1, 1);
}

/* --- sm_90a: bulk copies and wgmma --- */

/* A matrix of `rows` x `cols`, stored by rows `stride` elements apart, fetched
 * in boxes of box_rows x box_cols. */
static dev_tensor_spec map_of(dev_element element, int rows, int cols,
                              int stride, int box_rows, int box_cols,
                              int swizzle_bytes) {
    return (dev_tensor_spec){
        .element = element,
        .dims = 2,
        .size = {(uint64_t)cols, (uint64_t)rows},
        .stride = {0, (uint64_t)stride * dev_element_bytes(element)},
        .box = {(uint32_t)box_cols, (uint32_t)box_rows},
        .swizzle_bytes = swizzle_bytes};
}

/* One swizzled row is 128 bytes: 64 elements along whichever index is
 * contiguous. Along k that is the whole step; along m or n the tile takes
 * several boxes side by side. A cluster's blocks fetch a share each of the
 * tile that they share, and send it to all. */
static void map_inputs(matmul_gpu_plan *plan) {
    const matmul_gpu_problem *p = &plan->problem;
    const matmul_gpu_config *c = &plan->config;
    const int share_a = c->tile_m / c->cluster_n,
              share_b = c->tile_n / c->cluster_m;
    plan->maps = true;
    plan->a_map = p->trans_a
                      ? map_of(p->in, p->k, p->m, p->lda, c->tile_k, 64, 128)
                      : map_of(p->in, p->m, p->k, p->lda, share_a, 64, 128);
    plan->b_map = p->trans_b
                      ? map_of(p->in, p->n, p->k, p->ldb, share_b, 64, 128)
                      : map_of(p->in, p->k, p->n, p->ldb, c->tile_k, 64, 128);
}

/* C leaves in pieces of 64 rows. */
static void map_output(matmul_gpu_plan *plan) {
    const matmul_gpu_problem *p = &plan->problem;
    const int out_bytes = (int)dev_element_bytes(p->out),
              row = matmul_gpu_piece_row(&plan->config, out_bytes);
    if (!row) return;
    plan->store_map = true;
    plan->c_map = map_of(p->out, p->m, p->n, p->ldc, 64, row / out_bytes, row);
    plan->pre_map = map_of(p->in, p->m, p->n, p->ldc, 64,
                           row / (int)dev_element_bytes(p->in), row);
    define(plan, "STORE_BUFFERS=%d", MATMUL_GPU_STORE_BUFFERS);
}

static void plan_sm90(matmul_gpu_plan *plan, const matmul_gpu_machine *hw) {
    const matmul_gpu_config *c = &plan->config;
    const bool best = c->variant == MATMUL_GPU_BEST;
    define_tile(plan);
    define(plan, "STAGES=%d", c->stages);
    define(plan, "GROUP=%d", c->group);
    define(plan, "CLUSTER_M=%d", c->cluster_m);
    define(plan, "CLUSTER_N=%d", c->cluster_n);
    if (best) define(plan, "CONSUMERS=%d", matmul_gpu_consumers(c));
    if (best) define(plan, "STREAM=%d", c->last_round == MATMUL_GPU_SHARED);
    plan->overlap = best && c->start == MATMUL_GPU_OVERLAPPED;
    map_inputs(plan);
    map_output(plan);
    /* A cluster takes the tiles of its blocks. Persistent: as many clusters as
     * run at once, but no more than there is work for. */
    int blocks = c->cluster_m * c->cluster_n;
    int works = matmul_tiles(tiles_m(plan), c->cluster_m) *
                matmul_tiles(tiles_n(plan), c->cluster_n);
    int at_once = hw->sms / blocks;
    bool stay = c->variant >= MATMUL_GPU_PERSISTENT;
    bool all = best && c->last_round == MATMUL_GPU_SHARED;
    int clusters = all || (stay && works > at_once) ? at_once : works;
    set3(plan->grid, (unsigned)(clusters * blocks), 1, 1);
    set3(plan->block, (unsigned)matmul_gpu_threads(c), 1, 1);
    if (c->variant >= MATMUL_GPU_CLUSTER)
        set3(plan->cluster, (unsigned)blocks, 1, 1);
    if (all) {
        size_t count = (size_t)clusters * (size_t)blocks;
        plan->workspace_bytes =
            count * (size_t)c->tile_m * (size_t)c->tile_n * sizeof(float);
        plan->counters_bytes =
            count * (size_t)matmul_gpu_consumers(c) * sizeof(int);
    }
}

/* --- all --- */

void matmul_gpu_tight(matmul_gpu_problem *p) {
    p->lda = p->trans_a ? p->m : p->k;
    p->ldb = p->trans_b ? p->k : p->n;
    p->ldc = p->n;
}

static bool problem_is_sound(const matmul_gpu_problem *p, spak_error *err) {
    matmul_gpu_problem tight = *p;
    matmul_gpu_tight(&tight);
    if (p->m < 1 || p->n < 1 || p->k < 1)
        return spak_fail(err, "matmul_gpu: m, n, k = %d, %d, %d: no product",
                         p->m, p->n, p->k);
    if (p->lda < tight.lda || p->ldb < tight.ldb || p->ldc < tight.ldc)
        return spak_fail(err, "matmul_gpu: rows are shorter than the matrix");
    if (p->out != DEV_F32 && p->out != p->in)
        return spak_fail(err,
                         "matmul_gpu: the output has the inputs' type or "
                         "f32");
    return true;
}

bool matmul_gpu_plan_new(const matmul_gpu_config *config,
                         const matmul_gpu_problem *problem,
                         const matmul_gpu_machine *machine,
                         matmul_gpu_plan *plan, spak_error *err) {
    *plan = (matmul_gpu_plan){.problem = *problem, .config = *config};
    if (!problem_is_sound(problem, err)) return false;
    plan->file = files[config->variant];
    plan->smem_bytes =
        matmul_gpu_smem_bytes(config, (int)dev_element_bytes(problem->out));
    define_common(plan);
    if (config->variant < MATMUL_GPU_MMA_SYNC)
        plan_simple(plan);
    else if (config->variant == MATMUL_GPU_MMA_SYNC)
        plan_mma_sync(plan);
    else
        plan_sm90(plan, machine);
    return true;
}

dev_variant matmul_gpu_plan_variant(const matmul_gpu_plan *plan,
                                    const char *list[MATMUL_GPU_DEFINES]) {
    for (int i = 0; i < plan->num_defines; i++) list[i] = plan->define[i];
    return (dev_variant){plan->file, "matmul", list, (size_t)plan->num_defines};
}
