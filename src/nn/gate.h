/* What the invariants of every model's operator share: reading a call, and saying what was found. */
#ifndef SPAK_NN_GATE_H
#define SPAK_NN_GATE_H

#include <stdint.h>

#include "device/op.h"

/* One check: what it was asked for, and what it found. */
typedef struct nn_check {
    uint64_t seed;
    size_t cases; /* as asked for, or the check's own default */
    int fault;    /* op->faults[fault - 1] is planted; 0: none */
    size_t tried;
    json_t *counterexample; /* {"subject", "what"}; NULL as long as it holds */
    spak_error *err;        /* filled when the check could not run */
} nn_check;

/* Reads options, runs body and makes the evidence, as dev_invariant says. body returns false when it could not run,
 * with err filled, or found something, with its counterexample set. */
bool nn_check_run(const dev_op *op, const json_t *options, size_t default_cases, bool (*body)(nn_check *check),
                  json_t **evidence, spak_error *err);

/* Defines a dev_invariant's check from a body. */
#define NN_INVARIANT(op, name, body, cases)                                       \
    static bool name(const json_t *options, json_t **evidence, spak_error *err) { \
        return nn_check_run(&(op), options, cases, body, evidence, err);          \
    }

/* Sets the counterexample, unless there is one; returns false. */
bool nn_refute(nn_check *check, const char *subject, const char *fmt, ...) SPAK_PRINTF(3, 4);

#endif
