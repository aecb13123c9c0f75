/* The operator table: models are written once against it, and each device fills it in.
 *
 * A table computes in one type of number: `elem` bytes each. `nn_cpu` holds 32-bit floats, vectors and threads;
 * `nn_oracle` is plain loops in double precision, and gives every model a double-precision twin for nothing. Arrays of
 * numbers are `void *` in the device's memory, dense and row-major unless a stride is named; integers are int32_t of
 * the host. Memory that one context took may be used under another of the same table: a decoder has its own.
 *
 * Contracts that every table keeps:
 *   - an operator writes its output, except where it says `+=`: gradients of parameters always add up, so that tied
 *     weights, loops and micro-batches need nothing of their own;
 *   - no bit of a result depends on the number of threads: what is summed over rows is summed in chunks of fixed size,
 *     in their order;
 *   - operators allocate nothing: all scratch memory is made by open(), for the largest sizes in nn_limits;
 *   - outputs overlap no input, except where `in place` is said.
 * Sizes of zero are fine. Nothing here can fail: shapes are checked when a model is made. */
#ifndef SPAK_NN_OPS_H
#define SPAK_NN_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum nn_norm_kind { NN_LAYERNORM, NN_RMSNORM } nn_norm_kind;
typedef enum nn_act_kind { NN_GELU_ERF, NN_GELU_TANH, NN_RELU, NN_SILU, NN_SWIGLU } nn_act_kind;
typedef enum nn_rope_pairing { NN_ROPE_HALVES, NN_ROPE_NEIGHBOURS } nn_rope_pairing; /* (i, i + d/2), (2i, 2i + 1) */

/* What an attention row sees. Query t and key s of one sequence, s counted from the start of the cache; query t stands
 * at position t + kv_len - q_len. A row that sees nothing gives zeros. Head h reads key head h / (heads / kv_heads). */
typedef struct nn_attention {
    size_t batch, q_len, kv_len, heads, kv_heads, head_dim; /* heads % kv_heads == 0 */
    bool causal;                                            /* key s is seen up to the query's own position */
    /* All NULL and 0: plain attention. Else one number a token, (batch, q_len) and (batch, kv_len): */
    const int32_t *q_index, *kv_index; /* the token's index (of its digit); NULL: neither window nor slope */
    const int32_t *q_segment,
        *kv_segment;       /* a key of another segment, or of a negative one, is not seen; may be NULL */
    int window;            /* >= 0: only keys with |difference of indices| <= window; < 0: all */
    float slope;           /* subtracted from a score for each index apart */
    float dropout;         /* of the probabilities, not of lse; 0 in evaluation */
    uint64_t seed, stream; /* of the dropout mask: element i of the (batch, heads, q_len, kv_len) */
} nn_attention;

/* Rows of Q, K, V, O: element (b, t, h, d) lies at data[(b * len + t) * stride + h * head_dim + d]. So the three parts
 * of a projection's (B, T, 3 C) are read where they are. `len` is q_len, or kv_capacity for a cache: the rows that one
 * sequence has room for. */
typedef struct nn_heads {
    void *data;
    size_t len, stride;
} nn_heads;

typedef struct nn_adamw {
    float rate, beta1, beta2, eps, decay; /* of this step; decay is 0 for vectors */
    uint64_t step;                        /* from 1, for the bias correction */
    float grad_scale;                     /* each gradient is multiplied by it first: clipping */
} nn_adamw;

/* The largest sizes that will be asked for, and what to run on. */
typedef struct nn_limits {
    int threads;
    size_t rows;           /* of a batch: sequences times length */
    size_t width;          /* of any row but the logits' */
    size_t vocab;          /* 0: no logits */
    size_t num_attentions; /* and the shapes of attention, which need buffers of their own */
    const nn_attention *attentions;
} nn_limits;

typedef struct nn_ctx nn_ctx; /* a table's own: threads and scratch memory */

typedef struct nn_ops {
    const char *name; /* "cpu", "oracle" */
    size_t elem;      /* bytes of a number: 4 or 8 */

    bool (*open)(const nn_limits *limits, nn_ctx **ctx, spak_error *err);
    void (*close)(nn_ctx *ctx);                 /* NULL is fine */
    size_t (*scratch_bytes)(const nn_ctx *ctx); /* what open() took */

    /* Memory of the device, zeroed; and the way there and back, converted from and to double or float. */
    void *(*alloc)(nn_ctx *ctx, size_t bytes);
    void (*free)(nn_ctx *ctx, void *memory);
    void (*put)(nn_ctx *ctx, void *to, const double *from, size_t n);
    void (*get)(nn_ctx *ctx, double *to, const void *from, size_t n);
    void (*put_f32)(nn_ctx *ctx, void *to, const float *from, size_t n);
    void (*get_f32)(nn_ctx *ctx, float *to, const void *from, size_t n);
    void (*copy)(nn_ctx *ctx, void *to, const void *from, size_t n); /* n numbers */
    void (*zero)(nn_ctx *ctx, void *x, size_t n);

    /* out (rows, width) = table[ids[row]], or += when add. A negative id contributes nothing (zeros). */
    void (*embed)(nn_ctx *ctx, void *out, const int32_t *ids, const void *table, size_t rows, size_t width, bool add);
    /* dtable (vocab, width)[ids[row]] += dout (rows, width), rows in their order. */
    void (*embed_backward)(nn_ctx *ctx, void *dtable, const int32_t *ids, const void *dout, size_t rows, size_t width,
                           size_t vocab);

    /* y = (x - mean) rstd gamma + beta; RMSNorm: mean is 0 and beta absent. rstd = 1 / sqrt(var + eps), var the mean
     * square (about the mean). gamma, beta (width): may be NULL, for ones and zeros. stat (rows, 2): mean and rstd. */
    void (*norm)(nn_ctx *ctx, nn_norm_kind kind, void *y, void *stat, const void *x, const void *gamma,
                 const void *beta, size_t rows, size_t width, float eps);
    /* dx += (the residual's gradient is there already); dgamma, dbeta += (NULL where absent). */
    void (*norm_backward)(nn_ctx *ctx, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                          const void *x, const void *stat, const void *gamma, size_t rows, size_t width);

    /* y (rows, out) = x (rows, in) w^T + bias; w (out, in), bias (out) or NULL. */
    void (*linear)(nn_ctx *ctx, void *y, const void *x, const void *w, const void *bias, size_t rows, size_t in,
                   size_t out);
    /* dx (rows, in) = dy w, or += when add_dx, left out when NULL; dw (out, in) += dy^T x; dbias += sums of dy. */
    void (*linear_backward)(nn_ctx *ctx, void *dx, bool add_dx, void *dw, void *dbias, const void *dy, const void *x,
                            const void *w, size_t rows, size_t in, size_t out);

    /* y (rows, width) = act(x (rows, width)); SwiGLU: x (rows, 2 width) holds gate, then up: y = silu(gate) up. */
    void (*act)(nn_ctx *ctx, nn_act_kind kind, void *y, const void *x, size_t rows, size_t width);
    void (*act_backward)(nn_ctx *ctx, nn_act_kind kind, void *dx, const void *dy, const void *x, size_t rows,
                         size_t width);

    /* In place: turns each pair of a head by position * base^(-2 i / head_dim); `inverse` turns back, which is the
     * backward pass. x: rows of `stride` numbers whose first heads * head_dim are turned; positions (rows). */
    void (*rope)(nn_ctx *ctx, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
                 size_t head_dim, size_t stride, float base, bool inverse);

    /* O = softmax(Q K^T / sqrt(head_dim) - slope |index apart|) V over the keys that are seen; lse (batch, heads,
     * q_len) is the log of the sum, -inf for a row that sees nothing. */
    void (*attention)(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k, nn_heads v);
    /* dq, dk, dv are written. */
    void (*attention_backward)(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                               nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse);

    void (*add)(nn_ctx *ctx, void *out, const void *a, const void *b, size_t n); /* out = a + b; out may be a or b */
    /* In place: element i is kept when Philox's uniform number i of (seed, stream) is >= rate, and divided by 1 - rate;
     * else 0. The backward pass is the same call on the gradient. */
    void (*dropout)(nn_ctx *ctx, void *x, size_t n, float rate, uint64_t seed, uint64_t stream);

    /* losses (rows) = the cross-entropy of logits (rows, vocab) against targets (rows), with label smoothing s: the
     * target has 1 - s + s / vocab, every other token s / vocab. A negative target costs 0 and has no gradient. With
     * dlogits (which may be logits): the gradient of sum over rows of losses[row] * weight. */
    void (*cross_entropy)(nn_ctx *ctx, void *losses, void *dlogits, const void *logits, const int32_t *targets,
                          size_t rows, size_t vocab, float smoothing, float weight);
    /* best (rows): the token with the largest logit (the lowest of equal ones); confidence (rows) or NULL: its
     * probability. */
    void (*argmax)(nn_ctx *ctx, int32_t *best, void *confidence, const void *logits, size_t rows, size_t vocab);

    double (*sum)(nn_ctx *ctx, const void *x, size_t n);         /* in double, chunks in order */
    double (*sum_squares)(nn_ctx *ctx, const void *x, size_t n); /* in double, chunks in order */
    void (*adamw)(nn_ctx *ctx, void *param, void *m, void *v, const void *grad, size_t n, const nn_adamw *a);

    /* out[row] = x[rows_at[row]] and back: rows that still think, gathered. */
    void (*gather)(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width);
    void (*scatter)(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width);
} nn_ops;

extern const nn_ops nn_cpu, nn_oracle;

#endif
