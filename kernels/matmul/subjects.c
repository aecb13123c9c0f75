/* The invariants as the loop calls them: each check over all subjects of this
 * machine. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "matmul/invariants.h"

/* A subject that is one configuration of the real kernel. A plan is made for
 * each call: it is cheap, and a child process needs threads of its own. */
static void run_config(void *ctx, const matmul_args *x, int threads) {
    spak_error err;
    matmul_plan *plan;
    if (!matmul_plan_new(ctx, threads, &plan, &err))
        return; /* C stays poisoned: every check then fails */
    matmul_run(plan, x);
    matmul_plan_free(plan);
}

typedef bool subject_fn(void *state, const matmul_config *config,
                        const matmul_subject *subject);

static bool visit(matmul_config *config, const char *blocks, subject_fn *fn,
                  void *state) {
    char name[96];
    if (config->tile)
        snprintf(name, sizeof name, "%s %s %s, %s",
                 matmul_variant_name(config->variant),
                 dev_isa_name(config->isa), config->tile->name, blocks);
    else
        snprintf(name, sizeof name, "%s, %s",
                 matmul_variant_name(config->variant), blocks);
    matmul_subject subject = {run_config, config, name};
    return fn(state, config, &subject);
}

/* Default blocks, and blocks of two tiles by twelve steps of k. */
static bool visit_both(matmul_config *config, subject_fn *fn, void *state) {
    if (!visit(config, "default blocks", fn, state)) return false;
    if (config->variant < MATMUL_BLOCKED) return true;
    config->kc = 12;
    config->mc = config->tile ? 2 * config->tile->mr : 10;
    config->nc = config->tile ? 2 * config->tile->nr : 14;
    config->prefetch = 0;
    return visit(config, "small blocks", fn, state);
}

/* Calls fn for every variant, instruction set and tile that this machine runs,
 * from `least` on, until one returns false. */
static bool each_subject(matmul_variant least, subject_fn *fn, void *state) {
    spak_error why;
    for (int v = (int)least; v < MATMUL_VARIANTS; v++)
        for (int isa = 0; isa < (v < MATMUL_REGISTER_TILE ? 1 : DEV_ISA_COUNT);
             isa++) {
            const matmul_isa_kernels *kernels = matmul_isa((dev_isa)isa);
            if (v < MATMUL_REGISTER_TILE)
                kernels = NULL;
            else if (!kernels || !dev_cpu_has((dev_isa)isa))
                continue;
            for (size_t t = 0; t < (kernels ? kernels->num_tiles : 1); t++) {
                matmul_config config;
                json_t *axes =
                    kernels ? json_pack("{s:s,s:s,s:s}", "variant",
                                        matmul_variant_name((matmul_variant)v),
                                        "isa", dev_isa_name((dev_isa)isa),
                                        "tile", kernels->tiles[t].name)
                            : json_pack("{s:s}", "variant",
                                        matmul_variant_name((matmul_variant)v));
                bool read = matmul_config_read(axes, 1, &config, &why);
                json_decref(axes);
                if (!read || !visit_both(&config, fn, state)) return false;
            }
        }
    return true;
}

/* --- one check over all subjects --- */

typedef bool check_fn(const matmul_subject *subject, uint64_t seed, int cases,
                      json_t **counterexample, spak_error *err);

typedef struct sweep {
    check_fn *check;
    bool partition; /* count the writes of the tile partition too */
    uint64_t seed;
    int cases, tried;
    json_t *counterexample;
    spak_error *err;
} sweep;

static bool check_subject(void *state, const matmul_config *config,
                          const matmul_subject *subject) {
    sweep *s = state;
    /* Another part of the stream for each subject: the machine's subjects
     * together see many more shapes. */
    uint64_t seed = s->seed + 1000003u * (uint64_t)(s->tried + 1);
    if (!s->check(subject, seed, s->cases, &s->counterexample, s->err))
        return false;
    s->tried += s->cases;
    if (!s->partition || !config->tile) return true;
    if (!matmul_check_partition(matmul_goto_loops, config, seed, s->cases,
                                &s->counterexample, s->err))
        return false;
    s->tried += s->cases;
    return true;
}

static bool run_sweep(check_fn *check, bool partition, matmul_variant least,
                      int default_cases, const json_t *options,
                      json_t **evidence, spak_error *err) {
    spak_error inner = {""};
    long long cases = spak_json_int(options, "cases", default_cases);
    if (cases < 1 || cases > 100000)
        return spak_fail(
            err, "matmul: options.cases: expected 1 to 100000, found %lld",
            cases);
    sweep s = {
        check,      partition, (uint64_t)spak_json_int(options, "seed", 1),
        (int)cases, 0,         NULL,
        &inner};
    bool holds = each_subject(least, check_subject, &s);
    if (!holds && !s.counterexample)
        return spak_fail(
            err, "%s",
            *inner.message ? inner.message : "matmul: out of memory");
    *evidence = json_pack("{s:b,s:i,s:I}", "holds", holds, "cases", s.tried,
                          "seed", (json_int_t)s.seed);
    if (!*evidence) {
        json_decref(s.counterexample);
        return spak_fail_oom(err);
    }
    if (s.counterexample)
        json_object_set_new(*evidence, "counterexample", s.counterexample);
    return true;
}

static bool tiled_sum_within_bound(const json_t *options, json_t **evidence,
                                   spak_error *err) {
    return run_sweep(matmul_check_bound, false, MATMUL_NAIVE, 6, options,
                     evidence, err);
}

static bool every_element_written_once(const json_t *options, json_t **evidence,
                                       spak_error *err) {
    return run_sweep(matmul_check_written, true, MATMUL_NAIVE, 6, options,
                     evidence, err);
}

static bool no_read_outside(const json_t *options, json_t **evidence,
                            spak_error *err) {
    return run_sweep(matmul_check_reads, false, MATMUL_NAIVE, 4, options,
                     evidence, err);
}

static bool threads_do_not_change_bits(const json_t *options, json_t **evidence,
                                       spak_error *err) {
    return run_sweep(matmul_check_threads, false, MATMUL_THREADS, 6, options,
                     evidence, err);
}

const dev_invariant matmul_invariants[MATMUL_NUM_INVARIANTS] = {
    {"tiled_sum_within_bound",
     "every element differs from the double-precision product by at most k u / "
     "(1 - k u) times |A| |B|, u = 2^-24",
     tiled_sum_within_bound},
    {"every_element_written_once",
     "the tiles of all threads cover C once, each with all of k in order; no "
     "byte of the padding changes",
     every_element_written_once},
    {"no_read_outside",
     "no byte before or after the three matrices is read or written",
     no_read_outside},
    {"threads_do_not_change_bits",
     "the result on any number of threads is the one of a single thread, bit "
     "for bit",
     threads_do_not_change_bits},
};
