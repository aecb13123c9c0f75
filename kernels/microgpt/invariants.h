/* What the invariants share. Private to them. */
#ifndef SPAK_MICROGPT_INVARIANTS_H
#define SPAK_MICROGPT_INVARIANTS_H

#include "device/trial.h"
#include "microgpt/microgpt.h"

/* One check: what it was asked for, and what it found. */
typedef struct microgpt_check {
    uint64_t seed;
    int cases; /* as asked for, or the check's own default */
    microgpt_fault fault;
    int tried;
    json_t *counterexample; /* {"subject", "what"}; NULL as long as it holds */
    spak_error *err;        /* filled when the check could not run */
} microgpt_check;

/* Reads options, runs body and makes the evidence. body returns false when it
 * could not run, with err filled; a check that found something has set its
 * counterexample. */
bool microgpt_run_check(const json_t *options, int default_cases,
                        bool (*body)(microgpt_check *check), json_t **evidence,
                        spak_error *err);

/* Sets the counterexample, unless there is one; returns false. */
bool microgpt_refute(microgpt_check *check, const microgpt_config *config,
                     const char *fmt, ...) SPAK_PRINTF(3, 4);

/* Calls fn with a model of each instruction set of this machine, in the
 * precisions from first to last, until one returns false; a function that
 * cannot run or finds something returns false. */
bool microgpt_each_model(microgpt_check *check, microgpt_variant first,
                         microgpt_variant last,
                         bool (*fn)(microgpt_check *check,
                                    const microgpt_config *config,
                                    microgpt_model *model, void *ctx),
                         void *ctx);

/* Documents of all lengths: together they hold every letter, twice in a row and
 * apart, and fill every position. */
enum { MICROGPT_DOCS = 8 };
void microgpt_check_doc(int index, microgpt_doc *doc);

/* Weights like the first ones (scale 1) or larger ones, as floats hold them, so
 * that both precisions start from the same. Number `draw` of the stream. */
void microgpt_check_weights(uint64_t seed, int draw, double scale,
                            double *params);

/* Which matrix of the reference parameter i belongs to. */
const char *microgpt_matrix_of(int i);

/* The checks (invariants.c, behaviour.c). */
bool microgpt_gradients(microgpt_check *check);
bool microgpt_all_train(microgpt_check *check);
bool microgpt_loss(microgpt_check *check);
bool microgpt_adam_steps(microgpt_check *check);
bool microgpt_precisions(microgpt_check *check);
bool microgpt_rng(microgpt_check *check);
bool microgpt_cache(microgpt_check *check);
bool microgpt_entropy(microgpt_check *check);

/* Marks in trained[i] each parameter that some document gives a gradient;
 * returns how many there are. */
int microgpt_coverage(microgpt_model *model, int docs, bool *trained);

#endif
