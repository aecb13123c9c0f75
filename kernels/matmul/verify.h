/* How a trial checks products, and the door through which a test hands it a
 * planted kernel. Private to the trial and its tests. */
#ifndef SPAK_MATMUL_VERIFY_H
#define SPAK_MATMUL_VERIFY_H

#include "matmul/matmul.h"

/* Checks of many products of the same inputs. */
typedef struct matmul_verifier matmul_verifier;

/* For products with x's shape, A and B, all of which must stay as they are. */
bool matmul_verifier_new(const matmul_args *x, uint64_t seed,
                         matmul_verifier **v, spak_error *err);
void matmul_verifier_free(matmul_verifier *v);

/* The thorough check, done once: the largest |error| / bound over the elements
 * of c (m, n) that it looks at; infinite for a NaN. */
double matmul_verify(matmul_verifier *v, const float *c, size_t ldc);

/* The cheap check, O(mk + kn + mn), done after each sample: the largest
 * |error| / bound of check number `draw`, each of which draws other numbers. */
double matmul_verify_quickly(matmul_verifier *v, const float *c, size_t ldc,
                             uint64_t draw);

/* matmul_trial with `ours` in place of the plan that the configuration asks for
 * and `peer` in place of OpenBLAS; NULL leaves either as it is. */
bool matmul_trial_with(const matmul_subject *ours, const matmul_subject *peer,
                       const json_t *config, const json_t *problem,
                       const json_t *options, json_t **result, spak_error *err);

#endif
