/* What the oracle offers beyond fmha.h. Private to kernels/fmha and its
 * tests. */
#ifndef SPAK_FMHA_ORACLE_H
#define SPAK_FMHA_ORACLE_H

#include "fmha/fmha.h"

/* How many keys query i sees: keys 0 .. n - 1, since the mask is a prefix. */
static inline size_t fmha_keys_seen(const fmha_shape *shape, size_t i) {
    if (!shape->causal) return shape->kv_len;
    size_t end = i + 1 + shape->kv_len; /* at most kv_len + q_len */
    return end > shape->q_len ? end - shape->q_len : 0;
}

/* scale as the oracle takes it: in double, 1 / sqrt(head_dim) for 0. */
double fmha_scale(const fmha_shape *shape);

/* lse_bound (B, H, Tq), absolute: a float LSE lies within it of the oracle's
 * in every dtype, for P is rounded only after it was summed. A row without keys
 * has bound 0. */
bool fmha_oracle_lse_bound(const fmha_shape *shape, const fmha_forward_args *x,
                           double *lse_bound, spak_error *err);

#endif
