/* What LoopLM's invariants share. Private to them. */
#ifndef SPAK_NN_LOOPLM_GATE_H
#define SPAK_NN_LOOPLM_GATE_H

#include "nn/gate.h"
#include "nn/looplm.h"

/* Small models that between them use all that the experiments use. */
typedef struct looplm_subject {
    const char *name, *axes;
} looplm_subject;
enum { LOOPLM_PUBLISHED, LOOPLM_INDEXED, LOOPLM_ONE_PASS, LOOPLM_STATIC, LOOPLM_LEARNED, LOOPLM_NUM_SUBJECTS };
extern const looplm_subject looplm_subjects[LOOPLM_NUM_SUBJECTS];

/* The subject's configuration; more: JSON over its axes, or NULL. */
bool looplm_subject_read(nn_check *check, const looplm_subject *subject, const char *more, nn_train_config *config);

/* A trainer of it with the fault planted. wild: every parameter at random and large, so that no gradient is zero by
 * symmetry and attention is not flat. */
bool looplm_subject_new(nn_check *check, const nn_train_config *config, bool wild, nn_trainer **trainer);

/* The rows of the training batch of a step, with the fault; the caller frees them. */
bool looplm_rows_new(nn_check *check, const nn_train_config *config, uint64_t step, nn_add_rows **rows);

/* The checks: of data and training (looplm_gate.c), of the model and its decoder (looplm_gate_model.c). A body returns
 * false when it found something or could not run. */
bool looplm_masks(nn_check *check);
bool looplm_disjoint(nn_check *check);
bool looplm_one_format(nn_check *check);
bool looplm_by_heart(nn_check *check);
bool looplm_all_train(nn_check *check);
bool looplm_differences(nn_check *check);
bool looplm_against_oracle(nn_check *check);
bool looplm_threads(nn_check *check);
bool looplm_sees(nn_check *check);
bool looplm_cache(nn_check *check);
bool looplm_halting(nn_check *check);

#endif
