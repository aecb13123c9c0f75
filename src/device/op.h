/* What an operator, in kernels/ or of the models in src/nn, offers to the loop: its invariants, and a trial of one
 * configuration on one problem. The loop drives every operator through this table and knows none of them by name. */
#ifndef SPAK_DEVICE_OP_H
#define SPAK_DEVICE_OP_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

/* An executable invariant. check() runs a simulation on the CPU and sets *evidence to
 *   { "holds": bool, "cases": number of cases tried, "counterexample": {...} (only when it does not hold), ... }
 * options: { "seed": int, "cases": int, "fault": one of the operator's faults } (all optional). With a fault the
 * subjects of the check are the operator's own code with that fault switched on, so that the gate itself can be tried.
 * It returns false only when it could not run at all. */
typedef struct dev_invariant {
    const char *name;      /* as the DSL names it: "tiled_sum_within_bound" */
    const char *statement; /* one sentence */
    bool (*check)(const json_t *options, json_t **evidence, spak_error *err);
} dev_invariant;

/* A mistake that the operator's code makes on request: what the gate is for. */
typedef struct dev_fault {
    const char *name; /* "accumulator_not_rescaled" */
    const char *what; /* one sentence */
} dev_fault;

/* A simulation that shows something and decides nothing: run() sets *result to an object of numbers and texts for the
 * report. options: what the recipe gives, or NULL. A member that it does not know is an error. */
typedef struct dev_study {
    const char *name;      /* "floor_in_16_bits" */
    const char *statement; /* one sentence */
    bool (*run)(const json_t *options, json_t **result, spak_error *err);
} dev_study;

struct dev_variant; /* gpu_module.h */

/* Takes one kernel to compile ahead; the name says what it is for. False ends the list. */
typedef bool dev_take_kernel(void *context, const char *name, const struct dev_variant *kernel, spak_error *err);

typedef struct dev_op {
    const char *name;     /* "matmul" */
    const char *manifest; /* "kernels/matmul/matmul.dsl" */
    const dev_invariant *invariants;
    size_t num_invariants;
    const dev_fault *faults; /* may be NULL */
    size_t num_faults;
    const dev_study *studies; /* may be NULL */
    size_t num_studies;

    /* Runs one configuration on one problem, checks the output against the oracle, and times it against the peer with
     * the samples interleaved (ours, peer, ours, peer, ...).
     *   config   the tuning space's axes, e.g. {"variant": "packed", "isa": "avx2", "tile": "6x16", "kc": 256, ...};
     *            axes left out take defaults for the machine
     *   problem  e.g. {"m": 512, "n": 512, "k": 512, "threads": 1, "trans_a": false, "seed": 1}
     *   options  {"samples": 15, "min_sample_ms": 2, "peer": true, "check": true}
     *   *result  {"status": "ok" | "refused" | "failed", "reason": "..." (not ok), "config": {...with defaults filled},
     *             "time_ms": [every sample], "peer": "OpenBLAS 0.3.21 ...", "peer_time_ms": [every sample],
     *             "gflops": from the median, "peer_gflops", "ratio": median of the pairwise peer time over our time,
     *             "correct": bool, "error_over_bound": max over elements of |error| / bound,
     *             "peer_reason": why "peer" is null (unless it was not asked for)}
     * A configuration the machine or the constraints refuse has status "refused", a wrong result "failed": both are
     * results, and the function returns true. It returns false only for a malformed call or lack of memory. */
    bool (*trial)(const json_t *config, const json_t *problem, const json_t *options, json_t **result, spak_error *err);

    /* The peer that trials are timed beside, with its version and kernels; NULL when there is none. May be NULL. */
    const char *(*peer)(void);

    /* Whether this machine can run trials at all; if not, why says what is missing. NULL: every machine can. The
     * invariants run everywhere. */
    bool (*here)(spak_error *why);

    /* The `hw` table of rules and traces; NULL: dev_describe. Where trials cannot run, the machine that they are
     * planned for. */
    bool (*describe)(json_t **hw, spak_error *err);

    /* Hands over the CUDA kernels that `spak kernels` compiles ahead for a target ("sm_90a"), just as trials will ask
     * for them; one that several names stand for comes several times. NULL: none. */
    bool (*shipped)(const char *target, dev_take_kernel *take, void *context, spak_error *err);
} dev_op;

/* All operators, NULL-terminated; defined in src/cli/registry.c: an operator may stand on any floor below it. */
extern const dev_op *const dev_ops[];

const dev_op *dev_op_find(const char *name);
const dev_invariant *dev_op_invariant(const dev_op *op, const char *name);
const dev_study *dev_op_study(const dev_op *op, const char *name);

#endif
