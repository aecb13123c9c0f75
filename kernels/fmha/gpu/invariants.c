/* The executable invariants of attention on the GPU, run on the CPU before any
 * kernel is.
 *
 * What kernels and host share (walk.h, the plan) is run as it is; what only a
 * GPU can run is modelled: the rings of K and V with their barriers, the online
 * softmax in 32-bit floats. A fault changes the code under the check in one
 * place, where `fault` says. */
#include "fmha/gpu/invariants.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "device/trial.h"

const fmha_gpu_machine fmha_gpu_planned_machine = {
    .cc = 90,
    .sms = 132,
    .smem_per_block_bytes = 232448,
    .l2_bytes = 62914560,
    .matrix_flop_per_s = 1.07e15,
    .datasheet_flop_per_s = 9.89e14,
    .bytes_per_s = 4.8e12};

bool fmha_gpu_counter(fmha_gpu_check *check, const char *fmt, ...) {
    char what[256];
    if (check->counterexample) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    check->counterexample = json_pack("{s:s}", "what", what);
    return false;
}

uint32_t fmha_gpu_draw(fmha_gpu_check *check, uint32_t count) {
    uint32_t word[4];
    spak_philox(check->seed, 79, check->draws++, word);
    return word[0] % count;
}

/* --- random cases --- */

static int pick(fmha_gpu_check *check, const int *values, uint32_t count) {
    return values[fmha_gpu_draw(check, count)];
}
#define PICK(check, ...)                    \
    pick(check, (const int[]){__VA_ARGS__}, \
         sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static int draw_length(fmha_gpu_check *check) {
    return PICK(check, 1, 2, 13, 63, 64, 65, 127, 128, 129, 200, 257, 384, 511,
                640, 1023);
}

static void draw_problem(fmha_gpu_check *check, fmha_gpu_problem *p) {
    const int groups = PICK(check, 1, 2, 3);
    *p = (fmha_gpu_problem){
        .batch = 1 + (int)fmha_gpu_draw(check, 4),
        .kv_heads = groups,
        .heads = groups * PICK(check, 1, 1, 2, 3, 4, 8),
        .q_len = draw_length(check),
        .kv_len = draw_length(check),
        .head_dim = PICK(check, 32, 64, 64, 96, 128, 128, 192, 256),
        .causal = fmha_gpu_draw(check, 2) == 0,
        .window = PICK(check, -1, -1, -1, 0, 1, 37, 64, 300),
        .varlen = fmha_gpu_draw(check, 3) == 0,
        .dtype = fmha_gpu_draw(check, 2) ? DEV_BF16 : DEV_F16,
        .pass = fmha_gpu_draw(check, 5) ? FMHA_GPU_FORWARD : FMHA_GPU_BACKWARD,
        .deterministic = fmha_gpu_draw(check, 2) == 0,
        .by_tokens = fmha_gpu_draw(check, 2) == 0};
    if (fmha_gpu_draw(check, 3) == 0) p->kv_len = p->q_len;
    fmha_gpu_tight(p);
    if (p->varlen) {
        int cu_q[8], cu_k[8];
        fmha_gpu_draw_lengths(p, check->seed, cu_q, cu_k);
        p->total_q = cu_q[p->batch];
        p->total_k = cu_k[p->batch];
    }
}

static void draw_config(fmha_gpu_check *check, fmha_gpu_config *c,
                        const fmha_gpu_problem *p) {
    static const fmha_gpu_variant back[] = {FMHA_GPU_MMA_SYNC,
                                            FMHA_GPU_PERSISTENT};
    *c = (fmha_gpu_config){0};
    c->variant = p->pass == FMHA_GPU_BACKWARD ? back[fmha_gpu_draw(check, 2)]
                                              : (fmha_gpu_variant)fmha_gpu_draw(
                                                    check, FMHA_GPU_VARIANTS);
    /* What is left at 0 the model of cost.c fills in. */
    const uint32_t given = fmha_gpu_draw(check, 64);
    const bool tma = fmha_gpu_has_tma(c->variant);
    if (given & 1) c->tile_n = PICK(check, 16, 32, 48, 64, 96, 128, 176);
    if (given & 2) c->k_stages = 1 + (int)fmha_gpu_draw(check, 4);
    if (given & 4) c->v_stages = 1 + (int)fmha_gpu_draw(check, 4);
    if (given & 4 && c->variant >= FMHA_GPU_PERSISTENT && tma)
        c->q_stages = 1 + (int)fmha_gpu_draw(check, 2);
    if (given & 8 && tma) c->consumers = PICK(check, 1, 2, 3);
    if (given & 16 && (c->variant >= FMHA_GPU_PERSISTENT || !tma)) {
        c->order = PICK(check, FMHA_GPU_PLAIN, FMHA_GPU_LONGEST);
        c->group = PICK(check, 1, 2, 3, 5, 8);
    }
    if (given & 32 && c->variant == FMHA_GPU_PACKED)
        c->pack = PICK(check, 1, 2, 4, 8);
    if (given & 32 && c->variant == FMHA_GPU_DECODE)
        c->slices = PICK(check, 1, 2, 3, 5, 8);
}

void fmha_gpu_draw_case(fmha_gpu_check *check, fmha_gpu_case *c) {
    do {
        draw_problem(check, &c->problem);
        draw_config(check, &c->config, &c->problem);
    } while (
        !fmha_gpu_pick(&c->problem, &fmha_gpu_planned_machine, &c->config));
}

void fmha_gpu_note_case(fmha_gpu_check *check, const fmha_gpu_case *c) {
    if (!check->counterexample) return;
    json_object_set_new(check->counterexample, "problem",
                        fmha_gpu_problem_json(&c->problem));
    json_object_set_new(check->counterexample, "config",
                        fmha_gpu_config_json(&c->config));
}

/* --- the table --- */

const dev_fault fmha_gpu_faults[FMHA_GPU_FAULTS] = {
    {"diagonal_tile_skipped",
     "a tile of keys that the diagonal crosses is skipped with those above it"},
    {"aligned_top_left",
     "the diagonal begins at the first key instead of ending at the last"},
    {"tail_keys_not_masked",
     "keys between the last one and the end of its tile count"},
    {"whole_tile_too_many",
     "a tile of keys that the diagonal crosses is not masked"},
    {"window_of_last_query",
     "a tile of queries begins where the window of its last one does"},
    {"last_group_full",
     "the order of tiles takes the last group to have as many heads as others"},
    {"counter_left",
     "the counter of tiles is not set back for the next launch"},
    {"shortest_first", "the order takes the first queries' tiles first"},
    {"wrong_kv_head", "query head h reads K and V of head h mod kv_heads"},
    {"rows_by_head", "rows of a packed tile are taken to go by queries first"},
    {"slices_overlap", "each slice of keys but the first begins a tile early"},
    {"release_before_read",
     "a consumer gives a stage back before it has read it"},
    {"parity_not_flipped", "the producer first waits for the wrong parity"},
    {"one_counter_for_both",
     "the stage of V is counted in the ring of K, whose depth differs"},
    {"one_arrival_frees", "the first consumer's release frees a stage for all"},
    {"next_queries_first",
     "the next tile's Q is waited for before this tile's last V is asked for"},
    {"turn_not_passed",
     "the last consumer does not hand the turn back to the first"},
    {"accumulator_not_rescaled",
     "O keeps its weight when a later tile raises the maximum"},
    {"factor_before_rounding",
     "the factor between two maxima is taken from one that was not rounded "
     "as the exponents were: every tile fades what came before it"},
    {"guess_not_checked",
     "weights relative to a maximum that was kept count however large they "
     "are"},
    {"slices_weighed_equally",
     "decode adds up its slices without the weights of their sums"},
    {"floor_of_minus_infinity",
     "the maximum begins at minus infinity: a row without keys is NaN"},
    {"empty_row_divided_by_zero",
     "a row that sees no key is divided by its sum, zero"},
    {"sum_as_they_come", "partial sums are added in the order of arrival"},
    {"later_turn_first",
     "tiles of keys wait for turns that belong to blocks which start later"},
    {"visits_against_turns",
     "queries are visited in the other direction than turns are given out"},
    {"stages_of_v_as_of_k",
     "shared memory is asked for as if V had as many stages as K"},
    {"weights_forgotten",
     "P on its way to the matrix units has no shared memory of its own"},
    {"edge_not_clipped", "the copy engine is told of whole tiles of rows"},
};

static bool read_options(const json_t *options, fmha_gpu_check *check,
                         spak_error *err) {
    const char *fault = spak_json_str(options, "fault", NULL);
    check->fault = FMHA_GPU_NO_FAULT;
    check->seed = (uint64_t)spak_json_int(options, "seed", 1);
    for (int i = 0; fault && i < FMHA_GPU_FAULTS; i++)
        if (!strcmp(fault, fmha_gpu_faults[i].name))
            check->fault = (fmha_gpu_fault)i;
    return !fault || check->fault != FMHA_GPU_NO_FAULT ||
           spak_fail(err, "fmha_gpu: there is no fault '%s'", fault);
}

static bool run(fmha_gpu_checker checker, const json_t *options,
                json_t **evidence, spak_error *err) {
    fmha_gpu_check check = {0};
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
        return run(fmha_gpu_check_##name, options, evidence, err);   \
    }
RUN(written)
RUN(pairs)
RUN(groups)
RUN(pipeline)
RUN(merge)
RUN(masked)
RUN(bits)
RUN(resources)
RUN(reads)

const dev_invariant fmha_gpu_invariants[FMHA_GPU_INVARIANTS] = {
    {"every_element_written_once",
     "the blocks' tiles, in any order and grid, have each row of O once, the "
     "longest first where that is asked for",
     run_written},
    {"every_pair_visited_once",
     "a tile of queries visits each tile of keys that holds a visible pair "
     "once and no other, and masks wherever a pair is hidden",
     run_pairs},
    {"grouped_heads_map",
     "a row of a tile is one query of one head, and all its heads read the "
     "same K and V",
     run_groups},
    {"pipeline_never_overwrites",
     "no stage is read before it is full or filled before it is free, and no "
     "wait is for ever, however deep the rings of K and V are",
     run_pipeline},
    {"online_merge_is_associative",
     "tiles and slices of keys, of any size, in any order, merge to the "
     "softmax of all keys within the bound",
     run_merge},
    {"masked_row_is_zero",
     "a row that sees no key gives zero, a logarithm of minus infinity, and no "
     "NaN",
     run_masked},
    {"threads_do_not_change_bits",
     "slices and, where determinism is asked for, tiles of keys are added up "
     "in one order whatever order they end in, and no turn is waited for for "
     "ever",
     run_bits},
    {"resources_fit",
     "what the constraints allow fits a block's memory, threads and registers, "
     "and no two pieces of it overlap",
     run_resources},
    {"no_read_outside", "no copy reaches past the tensors", run_reads},
};
