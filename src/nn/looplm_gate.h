/* What LoopLM's invariants share. Private to them. */
#ifndef SPAK_NN_LOOPLM_GATE_H
#define SPAK_NN_LOOPLM_GATE_H

#include "nn/looplm.h"

/* One check: what it was asked for, and what it found. */
typedef struct looplm_check {
    uint64_t seed;
    size_t cases; /* as asked for, or the check's own default */
    nn_fault fault;
    size_t tried;
    json_t *counterexample; /* {"subject", "what"}; NULL as long as it holds */
    spak_error *err;        /* filled when the check could not run */
} looplm_check;

/* Small models that between them use all that the experiments use. */
typedef struct looplm_subject {
    const char *name, *axes;
} looplm_subject;
enum { LOOPLM_PUBLISHED, LOOPLM_INDEXED, LOOPLM_ONE_PASS, LOOPLM_STATIC, LOOPLM_LEARNED, LOOPLM_NUM_SUBJECTS };
extern const looplm_subject looplm_subjects[LOOPLM_NUM_SUBJECTS];

/* Sets the counterexample, unless there is one; returns false. */
bool looplm_refute(looplm_check *check, const char *subject, const char *fmt, ...) SPAK_PRINTF(3, 4);

/* The subject's configuration; more: JSON over its axes, or NULL. */
bool looplm_subject_read(looplm_check *check, const looplm_subject *subject, const char *more, nn_train_config *config);

/* A trainer of it with the fault planted. wild: every parameter at random and large, so that no gradient is zero by
 * symmetry and attention is not flat. */
bool looplm_subject_new(looplm_check *check, const nn_train_config *config, bool wild, nn_trainer **trainer);

/* The rows of the training batch of a step, with the fault; the caller frees them. */
bool looplm_rows_new(looplm_check *check, const nn_train_config *config, uint64_t step, nn_add_rows **rows);

/* The checks: of data and training (looplm_gate.c), of the model and its decoder (looplm_gate_model.c). A body returns
 * false when it found something or could not run. */
bool looplm_masks(looplm_check *check);
bool looplm_disjoint(looplm_check *check);
bool looplm_one_format(looplm_check *check);
bool looplm_by_heart(looplm_check *check);
bool looplm_all_train(looplm_check *check);
bool looplm_differences(looplm_check *check);
bool looplm_against_oracle(looplm_check *check);
bool looplm_threads(looplm_check *check);
bool looplm_sees(looplm_check *check);
bool looplm_cache(looplm_check *check);
bool looplm_halting(looplm_check *check);

#endif
