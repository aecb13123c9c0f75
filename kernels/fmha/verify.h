/* How a trial checks outputs, and the door through which a test hands it a
 * planted kernel. Private to the trial and its tests. */
#ifndef SPAK_FMHA_VERIFY_H
#define SPAK_FMHA_VERIFY_H

#include "fmha/fmha.h"

/* What one side of a trial computes: outputs in one dense block, O and then LSE
 * of the forward pass or dQ, dK and dV of the backward pass. */
typedef struct fmha_call {
    bool backward;
    fmha_forward_args forward;
    fmha_backward_args gradients;
    float *out;
    size_t out_floats;
} fmha_call;

typedef struct fmha_verifier fmha_verifier;

/* For outputs of these inputs, which must stay as they are. */
bool fmha_verifier_new(const fmha_shape *shape, fmha_dtype dtype,
                       const fmha_call *call, uint64_t seed, fmha_verifier **v,
                       spak_error *err);
void fmha_verifier_free(fmha_verifier *v); /* NULL is fine */

/* The thorough check, done once: *worst is the largest |error| / bound over the
 * lines that it looks at, all of them where the problem is small; infinite when
 * any element is NaN. It also keeps the outputs, for fmha_verify_again. */
bool fmha_verify(fmha_verifier *v, const fmha_call *call, double *worst,
                 spak_error *err);

/* A few lines of check number `draw`, each of which draws others. */
bool fmha_verify_quickly(fmha_verifier *v, const fmha_call *call, uint64_t draw,
                         double *worst, spak_error *err);

/* Are the outputs those of fmha_verify to the bit? Every variant repeats
 * itself, so this looks at everything for the price of reading it. */
bool fmha_verify_same(const fmha_verifier *v, const fmha_call *call);

/* A kernel in place of the plan's; it may use the plan. */
typedef struct fmha_planted {
    void (*run)(void *ctx, fmha_plan *plan, const fmha_shape *shape,
                const fmha_call *call);
    void *ctx;
} fmha_planted;

/* fmha_trial with `ours` in place of the configuration's kernel, and `peer` in
 * place of the unfused one; NULL leaves either as it is. */
bool fmha_trial_with(const fmha_planted *ours, const fmha_planted *peer,
                     const json_t *config, const json_t *problem,
                     const json_t *options, json_t **result, spak_error *err);

#endif
