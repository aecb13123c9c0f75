/* The CPU's matrix products: MatMul's loops and micro-kernels around packing of our own.
 *
 * A weight's gradient is dy^T x: both factors are packed by copying pieces of rows, and A's are as wide as a tile has
 * rows, 6 or 14 floats. MatMul copies those number by number, since in its own problems little is packed that way; in
 * training it took as long as a third of the product. Here a row of a panel is a few moves of known length. Everything
 * else is what matmul_run does: one grid of threads, two buffers of packed B that take turns. */
#include "nn/cpu.h"

typedef struct product_job {
    nn_ctx *ctx;
    const matmul_args *x;
} product_job;

/* `rows`: the panel's rows lie in rows of the matrix, one piece in each; else they are columns of it. */
static void pack(const nn_ctx *ctx, bool rows, float *to, size_t width, const float *from, size_t ld,
                 const matmul_slice *s, size_t valid) {
    if (valid == width)
        (rows ? ctx->kernels->pack_rows : ctx->kernels->pack_columns)(to, width, from, ld, s->kb);
    else
        (rows ? ctx->micro->pack_copy : ctx->micro->pack_transpose)(to, width, from, ld, s->kb, valid);
}

static float *packed_a(const nn_ctx *ctx, int thread, const matmul_slice *s) {
    return ctx->pack_a + (size_t)thread * ctx->a_floats + s->a_at;
}

static float *packed_b(const nn_ctx *ctx, const matmul_slice *s) {
    return ctx->pack_b + (size_t)s->buffer * ctx->b_floats;
}

static void pack_a(void *arg, int thread, const matmul_slice *s) {
    const product_job *j = arg;
    const matmul_strides at = matmul_strides_a(j->x);
    pack(j->ctx, j->x->trans_a, packed_a(j->ctx, thread, s), j->ctx->blocks.tile->mr,
         j->x->a + s->i0 * at.row + s->p0 * at.column, j->x->lda, s, s->rows);
}

static void pack_b(void *arg, int thread, const matmul_slice *s) {
    const product_job *j = arg;
    const matmul_strides at = matmul_strides_b(j->x);
    (void)thread;
    pack(j->ctx, !j->x->trans_b, packed_b(j->ctx, s) + s->b_at, j->ctx->blocks.tile->nr,
         j->x->b + s->p0 * at.row + s->j0 * at.column, j->x->ldb, s, s->cols);
}

/* Each tile that uses a panel of B prefetches its share of the next one. */
static void tile(void *arg, int thread, const matmul_slice *s) {
    const product_job *j = arg;
    const matmul_config *config = &j->ctx->blocks;
    const float *block = packed_b(j->ctx, s);
    const size_t share = s->kb * config->tile->nr * sizeof(float) / s->turns;
    const matmul_panels panels = {
        .kb = s->kb,
        .a = packed_a(j->ctx, thread, s),
        .b = block + s->b_at,
        .accumulate = !s->first || j->x->accumulate,
        .ahead = config->prefetch,
        .next = (const char *)(block + s->b_next) + s->turn * share,
        .next_stride = share / (s->kb / 4 + 1) + 1,
    };
    config->tile->micro(&panels, j->x->c + s->i0 * j->x->ldc + s->j0, j->x->ldc, s->rows, s->cols);
}

static void barrier(void *arg) {
    dev_pool *pool = ((product_job *)arg)->ctx->pool;
    if (pool) dev_pool_barrier(pool);
}

static void walk(void *arg, int thread, int threads) {
    const product_job *j = arg;
    const matmul_hooks hooks = {pack_a, pack_b, tile, barrier, arg};
    matmul_goto_loops(&j->ctx->blocks, j->x->m, j->x->n, j->x->k, thread, threads, &hooks);
}

void cpu_matmul(nn_ctx *ctx, const matmul_args *x) {
    product_job job = {ctx, x};
    if (x->m == 0 || x->n == 0) return;
    if (ctx->pool)
        dev_pool_run(ctx->pool, walk, &job);
    else
        walk(&job, 0, 1);
}
