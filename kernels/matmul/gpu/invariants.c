/* The executable invariants of MatMul on the GPU, run on the CPU before any
 * kernel is.
 *
 * What kernels and host share (order.h, walk.h, swizzle.h, the plan) is run
 * as it is; what only a GPU can run is modelled: the ring of stages with its
 * barriers, the matrix units' truncating sums. A fault changes the code under
 * the check in one place, where `fault` says. */
#include "matmul/gpu/invariants.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "device/trial.h"

const matmul_gpu_machine matmul_gpu_planned_machine = {
    .cc = 90,
    .sms = 132,
    .smem_per_block_bytes = 232448,
    .l2_bytes = 62914560,
    .matrix_flop_per_s = 1.07e15,
    .datasheet_flop_per_s = 9.89e14,
    .bytes_per_s = 4.8e12};

bool matmul_gpu_counter(matmul_gpu_check *check, const char *fmt, ...) {
    char what[256];
    if (check->counterexample) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    check->counterexample = json_pack("{s:s}", "what", what);
    return false;
}

uint32_t matmul_gpu_draw(matmul_gpu_check *check, uint32_t count) {
    uint32_t word[4];
    spak_philox(check->seed, 77, check->draws++, word);
    return word[0] % count;
}

/* --- random cases --- */

static int draw_length(matmul_gpu_check *check) {
    static const int lengths[] = {1,    13,   127,  257,  1000, 4097, 8,
                                  64,   128,  136,  256,  512,  768,  1024,
                                  2048, 3072, 4096, 8192, 2304, 50304};
    return lengths[matmul_gpu_draw(check, sizeof lengths / sizeof *lengths)];
}

static int pick(matmul_gpu_check *check, const int *values, uint32_t count) {
    return values[matmul_gpu_draw(check, count)];
}
#define PICK(check, ...)                    \
    pick(check, (const int[]){__VA_ARGS__}, \
         sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void draw_config(matmul_gpu_check *check, matmul_gpu_config *c) {
    c->tile_m = PICK(check, 64, 128, 256);
    c->tile_n = PICK(check, 32, 64, 96, 128, 160, 192, 224, 256);
    c->tile_k = PICK(check, 16, 32, 64, 64, 128);
    c->stages = (int)matmul_gpu_draw(check, 8) + 1;
    c->cluster_m = PICK(check, 1, 2);
    c->cluster_n = PICK(check, 1, 2);
    c->group = PICK(check, 1, 4, 6, 8, 11, 16, 32);
    c->last_round = PICK(check, MATMUL_GPU_WHOLE, MATMUL_GPU_SHARED);
    c->start = PICK(check, MATMUL_GPU_PLAIN, MATMUL_GPU_OVERLAPPED);
    c->split = PICK(check, 1, 1, 2, 3, 4, 6, 8);
    if (c->variant <= MATMUL_GPU_SHARED_TILE)
        c->tile_m = c->tile_n = c->tile_k = 0;
    if (c->variant != MATMUL_GPU_MMA_SYNC) c->split = 1;
    if (c->variant != MATMUL_GPU_BEST) {
        c->last_round = MATMUL_GPU_WHOLE;
        c->start = MATMUL_GPU_PLAIN;
    }
    if (c->variant < MATMUL_GPU_PERSISTENT && c->variant != MATMUL_GPU_MMA_SYNC)
        c->group = 1;
    if (c->variant < MATMUL_GPU_CLUSTER) c->cluster_m = c->cluster_n = 1;
    if (c->variant <= MATMUL_GPU_SHARED_TILE) c->stages = c->group = 1;
}

void matmul_gpu_draw_case(matmul_gpu_check *check, matmul_gpu_case *c) {
    do {
        matmul_gpu_problem *p = &c->problem;
        *c = (matmul_gpu_case){
            .problem = {.m = draw_length(check),
                        .n = draw_length(check),
                        .k = draw_length(check),
                        .trans_a = matmul_gpu_draw(check, 4) == 0,
                        .trans_b = matmul_gpu_draw(check, 2) == 0,
                        .alpha = 1}};
        p->in = matmul_gpu_draw(check, 2) ? DEV_BF16 : DEV_F16;
        p->out = matmul_gpu_draw(check, 4) ? p->in : DEV_F32;
        matmul_gpu_tight(p);
        c->config.variant =
            (matmul_gpu_variant)matmul_gpu_draw(check, MATMUL_GPU_VARIANTS);
        draw_config(check, &c->config);
    } while (
        !matmul_gpu_pick(&c->problem, &matmul_gpu_planned_machine, &c->config));
}

json_t *matmul_gpu_case_json(const matmul_gpu_case *c) {
    return json_pack("{s:i,s:i,s:i,s:b,s:b,s:o}", "m", c->problem.m, "n",
                     c->problem.n, "k", c->problem.k, "trans_a",
                     c->problem.trans_a, "trans_b", c->problem.trans_b,
                     "config", matmul_gpu_config_json(&c->config));
}

/* --- the table --- */

const dev_fault matmul_gpu_faults[MATMUL_GPU_FAULTS] = {
    {"last_group_full",
     "the order of tiles takes the last group to have as many rows as others"},
    {"stride_too_long", "a persistent block steps over one piece of work"},
    {"slices_overlap", "each slice of k but the first begins a step early"},
    {"sum_as_they_come", "partial sums are added in the order of arrival"},
    {"plain_rows", "rows of a tile are stored without the swizzle"},
    {"chunks_masked", "the swizzle masks where it should exclude"},
    {"release_before_read",
     "a consumer gives a stage back before it has read it"},
    {"parity_not_flipped", "the producer first waits for the wrong parity"},
    {"release_own_block",
     "in a cluster a consumer gives a stage back to its own block only"},
    {"one_stage",
     "the ring has one stage, which is held while the next is "
     "waited for"},
    {"sums_in_16_bits", "sums are kept in the inputs' type between steps"},
    {"last_step_left_out", "a last step along k that is not whole is dropped"},
    {"output_piece_forgotten",
     "a piece of C on its way out has no shared memory of its own"},
    {"edge_not_predicated", "rows past the last one are loaded"},
};

static bool read_options(const json_t *options, matmul_gpu_check *check,
                         spak_error *err) {
    const char *fault = spak_json_str(options, "fault", NULL);
    check->fault = MATMUL_GPU_NO_FAULT;
    check->seed = (uint64_t)spak_json_int(options, "seed", 1);
    for (int i = 0; fault && i < MATMUL_GPU_FAULTS; i++)
        if (!strcmp(fault, matmul_gpu_faults[i].name))
            check->fault = (matmul_gpu_fault)i;
    return !fault || check->fault != MATMUL_GPU_NO_FAULT ||
           spak_fail(err, "matmul_gpu: there is no fault '%s'", fault);
}

static bool run(matmul_gpu_checker checker, const json_t *options,
                json_t **evidence, spak_error *err) {
    matmul_gpu_check check = {0};
    *evidence = NULL;
    if (!read_options(options, &check, err)) return false;
    if (!checker(&check, err)) {
        json_decref(check.counterexample);
        return false;
    }
    *evidence = json_pack(
        "{s:b, s:I, s:o*}", "holds", check.counterexample == NULL, "cases",
        (json_int_t)check.cases, "counterexample", check.counterexample);
    return *evidence || spak_fail_oom(err);
}

#define RUN(name)                                                    \
    static bool run_##name(const json_t *options, json_t **evidence, \
                           spak_error *err) {                        \
        return run(matmul_gpu_check_##name, options, evidence, err); \
    }
RUN(written)
RUN(bound)
RUN(reads)
RUN(order)
RUN(pipeline)
RUN(swizzle)
RUN(split)
RUN(resources)

const dev_invariant matmul_gpu_invariants[MATMUL_GPU_INVARIANTS] = {
    {"every_element_written_once",
     "the blocks' tiles, in any order, cluster and grid, cover C once",
     run_written},
    {"tiled_sum_within_bound",
     "sums that the matrix units truncate stay within k 2^-22 |A| |B|",
     run_bound},
    {"no_read_outside", "no copy reaches past the arrays", run_reads},
    {"threads_do_not_change_bits",
     "the sum of slices has the same bits in whatever order they arrive",
     run_order},
    {"pipeline_never_overwrites",
     "no stage is read before it is full or filled before it is free, and no "
     "wait is for ever",
     run_pipeline},
    {"swizzle_is_a_bijection_without_conflicts",
     "chunks of a tile have a place each, and eight rows' chunks all banks",
     run_swizzle},
    {"split_covers_k_once", "the slices of k have every step once", run_split},
    {"resources_fit",
     "what the constraints allow fits a block's memory, threads and registers",
     run_resources},
};
