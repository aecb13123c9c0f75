/* Where things lie: the swizzle, a block's shared memory, what copies reach. */
#include <string.h>

#include "matmul/gpu/invariants.h"
#include "matmul/gpu/order.h"
#include "matmul/gpu/swizzle.h"

/* --- swizzle_is_a_bijection_without_conflicts --- */

static int place(const matmul_gpu_check *check, int row, int chunk,
                 int chunks) {
    if (check->fault == MATMUL_GPU_PLAIN_ROWS) return row * chunks + chunk;
    if (check->fault == MATMUL_GPU_CHUNKS_MASKED)
        return row * chunks + (chunk & ~(row & 7));
    return matmul_swizzle(row, chunk, chunks);
}

static void check_tile(matmul_gpu_check *check, int rows, int chunks) {
    unsigned char taken[256 * 32];
    memset(taken, 0, sizeof taken);
    for (int row = 0; row < rows; row++)
        for (int chunk = 0; chunk < chunks; chunk++) {
            int at = place(check, row, chunk, chunks);
            if (at < 0 || at >= rows * chunks || taken[at]++) {
                matmul_gpu_counter(check,
                                   "rows of %d chunks: row %d, chunk %d lies "
                                   "at %d, outside or where another does",
                                   chunks, row, chunk, at);
                return;
            }
        }
    /* ldmatrix reads one chunk column of eight rows at a time. */
    for (int row = 0; row < rows; row += 8)
        for (int chunk = 0; chunk < chunks; chunk++) {
            unsigned banks = 0;
            for (int r = 0; r < 8; r++)
                banks |= 1u << place(check, row + r, chunk, chunks) % 8;
            if (banks != 0xFF) {
                matmul_gpu_counter(check,
                                   "rows of %d chunks: rows %d to %d of chunk "
                                   "%d share banks (mask %02x)",
                                   chunks, row, row + 7, chunk, banks);
                return;
            }
        }
}

bool matmul_gpu_check_swizzle(matmul_gpu_check *check, spak_error *err) {
    static const int chunks[] = {2, 4, 8, 16, 24, 32};
    (void)err;
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int rows = 16; rows <= 256 && !check->counterexample; rows *= 2) {
            check_tile(check, rows, chunks[i]);
            check->cases++;
        }
    return true;
}

/* --- resources_fit --- */

enum { CASES = 500 };

/* The end of a block's shared memory, laid out piece by piece. */
static size_t end_of_layout(const matmul_gpu_case *c) {
    const matmul_gpu_config *g = &c->config;
    size_t end = 0, a = (size_t)g->tile_m * (size_t)g->tile_k * 2,
           b = (size_t)g->tile_n * (size_t)g->tile_k * 2;
    if (g->variant < MATMUL_GPU_MMA_SYNC) return 0;
    for (int s = 0; s < g->stages; s++) end += a + b;
    int row = matmul_gpu_piece_row(g, (int)dev_element_bytes(c->problem.out));
    for (int i = 0; i < matmul_gpu_consumers(g) * MATMUL_GPU_STORE_BUFFERS; i++)
        end += 64 * (size_t)row;
    if (matmul_gpu_has_tma(g->variant)) end += 2 * 8 * (size_t)g->stages;
    return end;
}

static void check_maps(matmul_gpu_check *check, const matmul_gpu_plan *plan) {
    const dev_tensor_spec *maps[] = {&plan->a_map, &plan->b_map, &plan->c_map};
    for (int i = 0; i < (plan->maps ? plan->store_map ? 3 : 2 : 0); i++) {
        const dev_tensor_spec *map = maps[i];
        size_t inner = map->box[0] * dev_element_bytes(map->element);
        if (map->box[0] > 256 || map->box[1] > 256 || map->box[1] < 1 ||
            inner > (size_t)map->swizzle_bytes || inner % 16 ||
            map->stride[1] % 16)
            matmul_gpu_counter(check,
                               "map %d: a box of %u x %u, rows %llu bytes "
                               "apart",
                               i, map->box[0], map->box[1],
                               (unsigned long long)map->stride[1]);
    }
}

static void check_launch(matmul_gpu_check *check, const matmul_gpu_case *c,
                         const matmul_gpu_plan *plan) {
    const matmul_gpu_machine *hw = &matmul_gpu_planned_machine;
    unsigned threads = plan->block[0] * plan->block[1] * plan->block[2];
    size_t smem = plan->smem_bytes, need = end_of_layout(c);
    if (check->fault == MATMUL_GPU_OUTPUT_TILE_FORGOTTEN &&
        c->config.variant >= MATMUL_GPU_ASYNC_STORE)
        smem -= 64 * 128;
    if (smem < need || smem > hw->smem_per_block_bytes)
        matmul_gpu_counter(check,
                           "%zu bytes of shared memory asked for, %zu needed, "
                           "%zu there",
                           smem, need, hw->smem_per_block_bytes);
    if (threads < 32 || threads > 1024 || threads % 32 || !plan->grid[0] ||
        plan->grid[1] > 65535 || plan->grid[2] > 65535)
        matmul_gpu_counter(check, "a grid of %u x %u x %u blocks of %u threads",
                           plan->grid[0], plan->grid[1], plan->grid[2],
                           threads);
    if (plan->cluster[0] > 1 && plan->grid[0] % plan->cluster[0])
        matmul_gpu_counter(check, "%u blocks in clusters of %u", plan->grid[0],
                           plan->cluster[0]);
    if (matmul_gpu_sums(&c->config) > 192)
        matmul_gpu_counter(check, "%d sums a thread",
                           matmul_gpu_sums(&c->config));
    if (plan->num_defines > MATMUL_GPU_DEFINES)
        matmul_gpu_counter(check, "%d macros", plan->num_defines);
    check_maps(check, plan);
}

static bool each_case(matmul_gpu_check *check,
                      void (*look)(matmul_gpu_check *, const matmul_gpu_case *,
                                   const matmul_gpu_plan *),
                      spak_error *err) {
    for (int i = 0; i < CASES && !check->counterexample; i++, check->cases++) {
        matmul_gpu_case c;
        matmul_gpu_plan plan;
        matmul_gpu_draw_case(check, &c);
        if (!matmul_gpu_plan_new(&c.config, &c.problem,
                                 &matmul_gpu_planned_machine, &plan, err))
            return false;
        look(check, &c, &plan);
        if (check->counterexample)
            json_object_set_new(check->counterexample, "case",
                                matmul_gpu_case_json(&c));
    }
    return true;
}

bool matmul_gpu_check_resources(matmul_gpu_check *check, spak_error *err) {
    return each_case(check, check_launch, err);
}

/* --- no_read_outside --- */

/* The last byte that a map lets the copy engine touch, plus one: elements
 * outside of `size` are never read or written. */
static size_t reach(const dev_tensor_spec *map) {
    return (size_t)(map->size[1] - 1) * map->stride[1] +
           map->size[0] * dev_element_bytes(map->element);
}

/* Vectors of eight elements, or single ones at the edge, as copy_tile in
 * mma_sync.cu and load_tile in register_tile.cu take them from a stored matrix
 * of rows x cols: the end of the last one, in bytes. */
static size_t vector_reach(const matmul_gpu_check *check, int rows, int cols,
                           int ld, int tile_rows, bool aligned) {
    int last_row = matmul_tiles(rows, tile_rows) * tile_rows - 1;
    bool predicated = check->fault != MATMUL_GPU_EDGE_NOT_PREDICATED;
    if (predicated && last_row >= rows) last_row = rows - 1;
    int last_col = aligned ? (cols - 1) / 8 * 8 + 8 : cols;
    return ((size_t)last_row * (size_t)ld + (size_t)last_col) * 2;
}

static void check_reach(matmul_gpu_check *check, const matmul_gpu_case *c,
                        const matmul_gpu_plan *plan) {
    const matmul_gpu_problem *p = &c->problem;
    const int rows_a = p->trans_a ? p->k : p->m,
              rows_b = p->trans_b ? p->n : p->k;
    const int cols_a = p->trans_a ? p->m : p->k,
              cols_b = p->trans_b ? p->k : p->n;
    size_t a = (size_t)rows_a * (size_t)p->lda * 2,
           b = (size_t)rows_b * (size_t)p->ldb * 2,
           out = (size_t)p->m * (size_t)p->ldc * dev_element_bytes(p->out);
    bool aligned = (p->lda | p->ldb | p->ldc) % 8 == 0;
    const matmul_gpu_config *g = &c->config;
    size_t end_a =
        plan->maps ? reach(&plan->a_map)
                   : vector_reach(check, rows_a, cols_a, p->lda,
                                  p->trans_a ? g->tile_k : g->tile_m, aligned);
    size_t end_b =
        plan->maps ? reach(&plan->b_map)
                   : vector_reach(check, rows_b, cols_b, p->ldb,
                                  p->trans_b ? g->tile_n : g->tile_k, aligned);
    size_t end_c = plan->store_map ? reach(&plan->c_map) : out;
    if (end_a > a || end_b > b || end_c > out)
        matmul_gpu_counter(check,
                           "reads A up to byte %zu of %zu, B %zu of %zu, "
                           "writes C %zu of %zu",
                           end_a, a, end_b, b, end_c, out);
}

bool matmul_gpu_check_reads(matmul_gpu_check *check, spak_error *err) {
    return each_case(check, check_reach, err) &&
           (check->counterexample ||
            matmul_gpu_emulate(check, MATMUL_GPU_READS, err));
}
