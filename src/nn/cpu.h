/* What the files of the CPU's operator table share. Private to cpu*.c.
 *
 * An operator is a part function, which does a range of units (rows, elements, columns, heads) with the kernels of
 * kernels/layers, and a call of cpu_share, which cuts all units into one range a thread. A unit's result depends on
 * nothing but the unit: that is all there is to "no bit depends on the number of threads". Where a result is a sum over
 * rows, either a thread owns columns and walks over all rows, or rows are summed in chunks of fixed size whose sums are
 * added in their order afterwards. */
#ifndef SPAK_NN_CPU_H
#define SPAK_NN_CPU_H

#include "device/threads.h"
#include "fmha/fmha.h"
#include "layers/layers.h"
#include "matmul/matmul.h"
#include "nn/ops.h"

enum {
    CPU_NORM_ROWS = 32,  /* a chunk of the sums for dgamma and dbeta */
    CPU_SUM_PARTS = 256, /* as many chunks are summed in double, whatever the length */
    CPU_LINE = 16,       /* floats in a cache line: threads do not share one */
};

struct nn_ctx {
    int threads;
    dev_pool *pool; /* NULL with one thread */
    const layers_kernels *kernels;
    matmul_config blocks; /* of the products, and the kernels of its tile */
    const matmul_isa_kernels *micro;
    size_t num_fused; /* plans of plain attention, by shape */
    fmha_plan **fused;
    fmha_shape *fused_shapes;

    void *raw;         /* one allocation: */
    float *norm_parts; /* (chunks of rows, 2, width) */
    double *sum_parts; /* (CPU_SUM_PARTS) */
    double *turns;     /* (width / 2): rope's, for the head_dim and base below */
    float *own;        /* (threads, own_floats): each thread's */
    size_t own_floats;
    float *pack_a, *pack_b; /* (threads, a_floats); (1 or 2, b_floats) */
    size_t a_floats, b_floats;
    size_t turns_dim;
    float turns_base;
    size_t bytes;
};

/* Units from .. to - 1, by `thread`. */
typedef void cpu_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to);

/* Cuts `units` into one range a thread, at multiples of `grain`, and runs them. `numbers`: how many are read or written
 * in all; what is over in less than a wake-up stays in the calling thread. */
void cpu_share(nn_ctx *ctx, size_t units, size_t grain, size_t numbers, cpu_part *part, const void *job);

static inline float *cpu_own(nn_ctx *ctx, int thread) { return ctx->own + (size_t)thread * ctx->own_floats; }

/* cpu_elements.c */
void cpu_copy(nn_ctx *ctx, void *to, const void *from, size_t n);
void cpu_zero(nn_ctx *ctx, void *x, size_t n);
void cpu_add(nn_ctx *ctx, void *out, const void *a, const void *b, size_t n);
void cpu_dropout(nn_ctx *ctx, void *x, size_t n, float rate, uint64_t seed, uint64_t stream);
double cpu_sum(nn_ctx *ctx, const void *x, size_t n);
double cpu_sum_squares(nn_ctx *ctx, const void *x, size_t n);
void cpu_adamw(nn_ctx *ctx, void *param, void *m, void *v, const void *grad, size_t n, const nn_adamw *a);

/* cpu_rows.c */
void cpu_embed(nn_ctx *ctx, void *out, const int32_t *ids, const void *table, size_t rows, size_t width, bool add);
void cpu_embed_backward(nn_ctx *ctx, void *dtable, const int32_t *ids, const void *dout, size_t rows, size_t width,
                        size_t vocab);
void cpu_gather(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width);
void cpu_scatter(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width);
void cpu_norm(nn_ctx *ctx, nn_norm_kind kind, void *y, void *stat, const void *x, const void *gamma, const void *beta,
              size_t rows, size_t width, float eps);
void cpu_norm_backward(nn_ctx *ctx, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                       const void *x, const void *stat, const void *gamma, size_t rows, size_t width);
void cpu_act(nn_ctx *ctx, nn_act_kind kind, void *y, const void *x, size_t rows, size_t width);
void cpu_act_backward(nn_ctx *ctx, nn_act_kind kind, void *dx, const void *dy, const void *x, size_t rows,
                      size_t width);
void cpu_rope(nn_ctx *ctx, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
              size_t head_dim, size_t stride, float base, bool inverse);
void cpu_cross_entropy(nn_ctx *ctx, void *losses, void *dlogits, const void *logits, const int32_t *targets,
                       size_t rows, size_t vocab, float smoothing, float weight);
void cpu_argmax(nn_ctx *ctx, int32_t *best, void *confidence, const void *logits, size_t rows, size_t vocab);

/* cpu_matmul.c */
void cpu_matmul(nn_ctx *ctx, const matmul_args *x); /* as matmul_run */

/* cpu_products.c */
bool cpu_plan_blocks(nn_ctx *ctx, const nn_limits *limits, spak_error *err); /* before memory is laid out */
bool cpu_open_products(nn_ctx *ctx, const nn_limits *limits, spak_error *err);
void cpu_close_products(nn_ctx *ctx);
void cpu_linear(nn_ctx *ctx, void *y, const void *x, const void *w, const void *bias, size_t rows, size_t in,
                size_t out);
void cpu_linear_backward(nn_ctx *ctx, void *dx, bool add_dx, void *dw, void *dbias, const void *dy, const void *x,
                         const void *w, size_t rows, size_t in, size_t out);
void cpu_attention(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k, nn_heads v);
void cpu_attention_backward(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                            nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse);

#endif
