/* The executable invariants of attention: what must hold before any
 * configuration is measured. Each is a simulation that looks for a
 * counterexample; invariants_*.c hold them, two or three a file.
 *
 * The cases that are always tried come first, the decisive one before all
 * others: small, but with several tiles, tails, grouped heads and a mask. A
 * fault then costs milliseconds. Random cases follow. */
#include "fmha/invariants.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/trial.h"
#include "fmha/micro.h"

/* --- the operator as a subject --- */

static bool run_plan(void *ctx, const fmha_config *config,
                     const fmha_shape *shape, int threads,
                     const fmha_forward_args *f, const fmha_backward_args *b,
                     spak_error *err) {
    fmha_plan *plan;
    if (!fmha_plan_new(config, shape, threads, *(fmha_fault *)ctx, &plan, err))
        return false;
    if (f) fmha_forward(plan, f);
    if (b) fmha_backward(plan, b);
    fmha_plan_free(plan);
    return true;
}

static bool find_fault(const char *name, fmha_fault *fault, spak_error *err) {
    *fault = 0;
    if (!name) return true;
    for (int i = 0; i < FMHA_NUM_FAULTS && !*fault; i++)
        if (strcmp(fmha_faults[i].name, name) == 0) *fault = i + 1;
    return *fault ||
           spak_fail(err, "fmha: options.fault: unknown fault '%s'", name);
}

/* Configuration number `index`: every variant, the machine's best instruction
 * set and at times the portable one, tiles in turn. */
fmha_config fmha_config_at(const fmha_check *check, int index,
                           fmha_dtype dtype) {
    static const fmha_variant all[] = {FMHA_FUSED, FMHA_THREADS, FMHA_NAIVE,
                                       FMHA_UNFUSED, FMHA_FUSED};
    fmha_tile_size tile = fmha_tile_sizes[index % FMHA_NUM_TILES];
    int v = check->subject->fused_only ? index % 2 : index % 5;
    fmha_config config = {
        .variant = all[v],
        .isa = index % 4 == 3 ? DEV_ISA_PORTABLE : dev_cpu_isa(),
        .tile_n = tile.n,
        .dtype = dtype};
    config.tile_m = fmha_whole_panels(&config, tile.m);
    return config;
}

size_t fmha_whole_panels(const fmha_config *config, size_t tile_m) {
    size_t lanes = fmha_micro_of(config->isa)->lanes;
    return fmha_panels_of(tile_m, lanes) * lanes;
}

/* --- counterexamples --- */

static json_t *shape_json(const fmha_case *c) {
    static const char *const layouts[] = {"dense", "padded", "tokens"};
    const fmha_shape *s = &c->shape;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:f,s:s,s:s}", "batch",
                     (json_int_t)s->batch, "heads", (json_int_t)s->heads,
                     "kv_heads", (json_int_t)s->kv_heads, "q_len",
                     (json_int_t)s->q_len, "kv_len", (json_int_t)s->kv_len,
                     "head_dim", (json_int_t)s->head_dim, "causal", s->causal,
                     "scale", fmha_scale(s), "dtype", fmha_dtype_name(c->dtype),
                     "layout", layouts[c->layout]);
}

bool fmha_found(fmha_check *check, const fmha_case *c,
                const fmha_config *config, int threads, const char *fmt, ...) {
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    json_t *found = json_pack("{s:s}", "what", what);
    if (c) json_object_set_new(found, "shape", shape_json(c));
    if (config)
        json_object_set_new(
            found, "config",
            json_pack("{s:s,s:s,s:I,s:I,s:i}", "variant",
                      fmha_variant_name(config->variant), "isa",
                      dev_isa_name(config->isa), "tile_m",
                      (json_int_t)config->tile_m, "tile_n",
                      (json_int_t)config->tile_n, "threads", threads));
    check->counterexample = found;
    return found ? false : spak_fail_oom(check->err);
}

/* --- one check --- */

enum { DEFAULT_CASES = 6, MOST_CASES = 100000 };

bool fmha_check_run(fmha_check_fn *fn, const fmha_subject *subject,
                    const json_t *options, json_t **evidence, spak_error *err) {
    static const dev_member members[] = {
        {"seed", JSON_INTEGER, 0, 0x1p53, false},
        {"cases", JSON_INTEGER, 0, MOST_CASES, false},
        {"fault", JSON_STRING, 0, 0, false}};
    spak_error inner = {""};
    *evidence = NULL;
    if (!dev_members_check("fmha", "options", options, members,
                           sizeof members / sizeof *members, err))
        return false;
    fmha_check check = {
        .subject = subject,
        .seed = (uint64_t)spak_json_int(options, "seed", 1),
        .cases = (int)spak_json_int(options, "cases", DEFAULT_CASES),
        .err = &inner};
    bool holds = fn(&check);
    if (!holds && !check.counterexample)
        return spak_fail(err, "%s",
                         *inner.message ? inner.message : "fmha: no memory");
    *evidence = json_pack("{s:b,s:I,s:I,s:f,s:o*}", "holds", holds, "cases",
                          (json_int_t)check.tried, "seed",
                          (json_int_t)check.seed, "error_over_bound",
                          check.worst, "counterexample", check.counterexample);
    return *evidence || spak_fail_oom(err);
}

static bool check_plan(fmha_check_fn *fn, const json_t *options,
                       json_t **evidence, spak_error *err) {
    fmha_fault fault;
    if (!find_fault(spak_json_str(options, "fault", NULL), &fault, err))
        return false;
    fmha_subject subject = {
        .run = run_plan, .ctx = &fault, .fused_only = fault != 0};
    return fmha_check_run(fn, &subject, options, evidence, err);
}

#define INVARIANT(name, fn)                                    \
    static bool name(const json_t *options, json_t **evidence, \
                     spak_error *err) {                        \
        return check_plan(fn, options, evidence, err);         \
    }
INVARIANT(online_merge_is_associative, fmha_check_merge)
INVARIANT(rescaled_equals_two_pass, fmha_check_two_pass)
INVARIANT(causal_skip_contributes_nothing, fmha_check_causal)
INVARIANT(masked_row_is_zero, fmha_check_masked)
INVARIANT(grouped_heads_map, fmha_check_groups)
INVARIANT(tiled_sum_within_bound, fmha_check_bounds)
INVARIANT(threads_do_not_change_bits, fmha_check_threads)
INVARIANT(backward_matches_differences, fmha_check_gradients)
INVARIANT(every_element_written_once, fmha_check_written)
INVARIANT(no_read_outside, fmha_check_reads)

const dev_invariant fmha_invariants[FMHA_NUM_INVARIANTS] = {
    {"online_merge_is_associative",
     "partial softmax states merge in any order and from tiles of any size to "
     "the same result, within the derived bound",
     online_merge_is_associative},
    {"rescaled_equals_two_pass",
     "the accumulator that is rescaled whenever the maximum grows ends where "
     "two passes end, for logits up to 10^4 in any order",
     rescaled_equals_two_pass},
    {"causal_skip_contributes_nothing",
     "skipping the tiles above the diagonal changes no bit, and no key or "
     "value beyond what a query may see reaches its row",
     causal_skip_contributes_nothing},
    {"masked_row_is_zero",
     "a row that sees no key gives O = 0, LSE = -inf and gradients 0, and no "
     "NaN anywhere",
     masked_row_is_zero},
    {"grouped_heads_map",
     "query head h reads key and value head h / group, and the gradients of a "
     "group add up in it",
     grouped_heads_map},
    {"tiled_sum_within_bound",
     "O and LSE are within the oracle's bound for awkward lengths, head "
     "dimensions, strides and types, and nothing else is written",
     tiled_sum_within_bound},
    {"threads_do_not_change_bits",
     "outputs and gradients on any number of threads are those of one, bit "
     "for bit",
     threads_do_not_change_bits},
    {"backward_matches_differences",
     "the oracle's gradients are the differences of its loss, and the "
     "kernels' gradients are the oracle's within the bound",
     backward_matches_differences},
    {"every_element_written_once",
     "every element of O, LSE, dQ, dK and dV is written and none is added to, "
     "nothing beside them is, and each unit of work has one thread",
     every_element_written_once},
    {"no_read_outside",
     "no kernel reads or writes past the ends of its inputs and outputs, "
     "forward or backward",
     no_read_outside},
};
