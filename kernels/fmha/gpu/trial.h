/* What the files of the trial share. Private to them. */
#ifndef SPAK_FMHA_GPU_TRIAL_H
#define SPAK_FMHA_GPU_TRIAL_H

#include "device/trial.h"
#include "fmha/gpu/fmha_gpu.h"
#include "oracle/fmha_f64.h"

enum { FMHA_GPU_SETS = 128, FMHA_GPU_TENSORS = 8 };

/* What the inputs are. */
typedef enum fmha_gpu_inputs {
    FMHA_GPU_NORMAL, /* all normal: scores of sigma 1 */
    FMHA_GPU_SPREAD, /* scores of sigma 4: few keys to a query */
    FMHA_GPU_EQUAL,  /* Q is 0, V has small integers: forward is exact */
    FMHA_GPU_LARGE,  /* scores of sigma 10^4 */
    FMHA_GPU_TINY,   /* scores of sigma 10^-4 */
    FMHA_GPU_INPUTS
} fmha_gpu_inputs;

/* One set of inputs and outputs. */
typedef struct fmha_gpu_set {
    fmha_gpu_buffers x;
    fmha_gpu_bound bound;
} fmha_gpu_set;

typedef struct fmha_gpu_trial_state {
    dev_gpu *gpu;
    fmha_gpu_machine machine;
    dev_trial_options options;
    fmha_gpu_problem problem;
    uint64_t seed;
    fmha_gpu_inputs inputs; /* as asked for */
    fmha_gpu_config config;
    fmha_gpu_plan plan;
    int *cu_q, *cu_k; /* (batch + 1) each, one block */
    double flop;
    dev_arena *arena;
    fmha_gpu_set *set; /* (sets) */
    int sets;
    dev_ptr outputs, others; /* all sets' outputs; one set more */
    size_t set_bytes;        /* of one set's outputs */
    dev_ptr counter;
    const char *backend; /* the peer's, as asked for: "default" */
    json_t *peer;        /* what it says of itself; NULL: not compared */
    spak_error peer_reason;
} fmha_gpu_trial_state;

static inline bool fmha_gpu_is_backward(const fmha_gpu_trial_state *t) {
    return t->problem.pass == FMHA_GPU_BACKWARD;
}

/* --- trial_data.c --- */

/* "normal" and so on; false for a name that is none. */
bool fmha_gpu_inputs_parse(const char *name, fmha_gpu_inputs *inputs);

/* Takes memory for as many sets as push each other out of the second-level
 * cache, and binds the plan to them. */
bool fmha_gpu_trial_prepare(fmha_gpu_trial_state *t, spak_error *err);
void fmha_gpu_trial_release(fmha_gpu_trial_state *t);

/* Fills the inputs of all sets; a backward pass's O and LSE are computed. */
bool fmha_gpu_trial_fill(fmha_gpu_trial_state *t, fmha_gpu_inputs inputs,
                         spak_error *err);
/* All outputs become NaN; theirs: the one set more. */
bool fmha_gpu_trial_reset(fmha_gpu_trial_state *t, spak_error *err);
bool fmha_gpu_trial_reset_others(fmha_gpu_trial_state *t, spak_error *err);
/* The set with its outputs in the one set more; not bound. */
fmha_gpu_buffers fmha_gpu_trial_others(const fmha_gpu_trial_state *t, int set);

/* Units of 16 bits in which a set's outputs differ from the one set more. */
bool fmha_gpu_trial_different(fmha_gpu_trial_state *t, int set, uint32_t *count,
                              spak_error *err);

/* The tensors of the pass, inputs first: Q, K, V (and dO), then O, or dQ, dK,
 * dV. */
typedef struct fmha_gpu_tensor {
    const char *name; /* "q" */
    dev_ptr at;
    size_t bytes;
    bool output;
} fmha_gpu_tensor;
int fmha_gpu_trial_tensors(const fmha_gpu_trial_state *t,
                           const fmha_gpu_buffers *x,
                           fmha_gpu_tensor tensor[FMHA_GPU_TENSORS]);

/* --- trial_check.c --- */

/* Outputs against the oracles. exact: the inputs are FMHA_GPU_EQUAL. why says
 * what is wrong when the verdict is not good. */
bool fmha_gpu_trial_check(fmha_gpu_trial_state *t, const fmha_gpu_buffers *x,
                          bool exact, int lines, oracle_fmha_verdict *verdict,
                          spak_error *err);
/* {"o"} or {"dq", "dk", "dv"}: norm of the error over norm of the output. */
void fmha_gpu_put_errors(const fmha_gpu_trial_state *t,
                         const oracle_fmha_verdict *verdict, const char *key,
                         json_t *result);
/* Fills O and LSE of a set by the oracle's plain kernel. */
bool fmha_gpu_trial_forward(fmha_gpu_trial_state *t, const fmha_gpu_buffers *x,
                            spak_error *err);

/* --- trial_peer.c --- */

/* Starts the peer, once a process, hands it the problem and set 0's inputs, and
 * has its outputs checked. Without a peer t->peer is NULL and t->peer_reason
 * says why; that is no failure. */
bool fmha_gpu_trial_meet_peer(fmha_gpu_trial_state *t, json_t *result,
                              spak_error *err);
/* count samples of it, in milliseconds a launch. A peer that fails is left:
 * t->peer is NULL then. */
bool fmha_gpu_trial_peer_samples(fmha_gpu_trial_state *t, int count, double *ms,
                                 spak_error *err);
/* "peer" and what ran, or null and "peer_reason". */
bool fmha_gpu_trial_put_peer(const fmha_gpu_trial_state *t, json_t *result,
                             spak_error *err);
void fmha_gpu_trial_leave_peer(fmha_gpu_trial_state *t);

/* --- trial_time.c --- */

/* Times ours beside the peer and puts the figures into result; *launched is
 * how many sets our timed launches reached. */
bool fmha_gpu_trial_time(fmha_gpu_trial_state *t, json_t *result, int *launched,
                         spak_error *err);

#endif
