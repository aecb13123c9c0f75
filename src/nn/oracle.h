/* What the files of the oracle share: numbers are doubles, and the context holds one row's worth of scratch. */
#ifndef SPAK_NN_ORACLE_H
#define SPAK_NN_ORACLE_H

#include "nn/ops.h"

struct nn_ctx {
    size_t keys;     /* the longest kv_len */
    double *weights; /* (keys): the probabilities of one row of attention, as they weigh V: after dropout */
    double *dscores; /* (keys): the gradient of its scores */
};

#define CTX nn_ctx *ctx __attribute__((unused))

static inline const double *in(const void *x, size_t i) { return (const double *)x + i; }
static inline double *out(void *x, size_t i) { return (double *)x + i; }

/* sum of a[i] b[i]: eight sums side by side, which a compiler may put into vectors without changing a bit. */
double oracle_dot(const double *a, const double *b, size_t n);

void oracle_rope(nn_ctx *ctx, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
                 size_t head_dim, size_t stride, float base, bool inverse);
void oracle_attention(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k, nn_heads v);
void oracle_attention_backward(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                               nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse);

#endif
