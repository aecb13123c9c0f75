/* The CPU's operators on rows. A unit is a row; where a result is a sum over rows, a column or a chunk of rows. */
#include <math.h>
#include <string.h>

#include "nn/cpu.h"

_Static_assert((int)LAYERS_GELU_ERF == (int)NN_GELU_ERF && (int)LAYERS_GELU_TANH == (int)NN_GELU_TANH &&
                   (int)LAYERS_RELU == (int)NN_RELU && (int)LAYERS_SILU == (int)NN_SILU &&
                   (int)LAYERS_SWIGLU == (int)NN_SWIGLU,
               "the kernels' activations are the operators'");

/* --- rows by number --- */

typedef struct rows_job {
    float *out;
    const float *x;
    const int32_t *at;
    size_t rows, width;
    bool add;
} rows_job;

static void embed_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const rows_job *j = job;
    (void)thread;
    for (size_t r = from; r < to; r++) {
        float *out = j->out + r * j->width;
        if (j->at[r] < 0) {
            if (!j->add) memset(out, 0, j->width * sizeof *out);
            continue;
        }
        const float *row = j->x + (size_t)j->at[r] * j->width;
        if (j->add)
            ctx->kernels->add(out, out, row, j->width);
        else
            memcpy(out, row, j->width * sizeof *out);
    }
}

void cpu_embed(nn_ctx *ctx, void *out, const int32_t *ids, const void *table, size_t rows, size_t width, bool add) {
    cpu_share(ctx, rows, 1, rows * width, embed_part, &(rows_job){out, table, ids, rows, width, add});
}

/* A thread owns columns and walks over all rows: rows with the same token are added in their order. */
static void embed_backward_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const rows_job *j = job;
    (void)thread;
    for (size_t r = 0; r < j->rows; r++) {
        if (j->at[r] < 0) continue;
        float *to_row = j->out + (size_t)j->at[r] * j->width + from;
        ctx->kernels->add(to_row, to_row, j->x + r * j->width + from, to - from);
    }
}

void cpu_embed_backward(nn_ctx *ctx, void *dtable, const int32_t *ids, const void *dout, size_t rows, size_t width,
                        size_t vocab) {
    (void)vocab;
    cpu_share(ctx, width, CPU_LINE, rows * width, embed_backward_part,
              &(rows_job){dtable, dout, ids, rows, width, true});
}

static void gather_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const rows_job *j = job;
    (void)ctx, (void)thread;
    for (size_t r = from; r < to; r++)
        memcpy(j->out + r * j->width, j->x + (size_t)j->at[r] * j->width, j->width * sizeof(float));
}

void cpu_gather(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    cpu_share(ctx, rows, 1, rows * width, gather_part, &(rows_job){out, x, rows_at, rows, width, false});
}

static void scatter_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const rows_job *j = job;
    (void)ctx, (void)thread;
    for (size_t r = from; r < to; r++)
        memcpy(j->out + (size_t)j->at[r] * j->width, j->x + r * j->width, j->width * sizeof(float));
}

void cpu_scatter(nn_ctx *ctx, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    cpu_share(ctx, rows, 1, rows * width, scatter_part, &(rows_job){out, x, rows_at, rows, width, false});
}

/* --- norms --- */

typedef struct norm_job {
    bool rms;
    float *y, *stat, *dx; /* y: or dgamma of the second step */
    const float *x, *dy, *gamma, *beta;
    float *dgamma, *dbeta;
    size_t rows, width;
    float eps;
} norm_job;

static void norm_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const norm_job *j = job;
    const size_t at = from * j->width;
    (void)thread;
    ctx->kernels->norm(j->rms, j->y + at, j->stat + 2 * from, j->x + at, j->gamma, j->beta, to - from, j->width,
                       j->eps);
}

void cpu_norm(nn_ctx *ctx, nn_norm_kind kind, void *y, void *stat, const void *x, const void *gamma, const void *beta,
              size_t rows, size_t width, float eps) {
    norm_job job = {.rms = kind == NN_RMSNORM,
                    .y = y,
                    .stat = stat,
                    .x = x,
                    .gamma = gamma,
                    .beta = beta,
                    .width = width,
                    .eps = eps};
    cpu_share(ctx, rows, 1, 2 * rows * width, norm_part, &job);
}

/* Chunk c of the rows: their dx, and their part of dgamma and dbeta. */
static void norm_chunks(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const norm_job *j = job;
    (void)thread;
    for (size_t c = from; c < to; c++) {
        size_t r = c * CPU_NORM_ROWS, count = j->rows - r < CPU_NORM_ROWS ? j->rows - r : CPU_NORM_ROWS,
               at = r * j->width;
        float *part = ctx->norm_parts + c * 2 * j->width;
        ctx->kernels->norm_backward(j->rms, j->dx + at, j->dgamma ? part : NULL, j->dbeta ? part + j->width : NULL,
                                    j->dy + at, j->x + at, j->stat + 2 * r, j->gamma, count, j->width);
    }
}

/* Columns of dgamma and dbeta: the chunks' sums, in their order. */
static void norm_columns(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const norm_job *j = job;
    const size_t chunks = (j->rows + CPU_NORM_ROWS - 1) / CPU_NORM_ROWS, ld = 2 * j->width;
    const float *part = ctx->norm_parts + from;
    (void)thread;
    if (j->dgamma) ctx->kernels->add_columns(j->dgamma + from, part, chunks, to - from, ld);
    if (j->dbeta) ctx->kernels->add_columns(j->dbeta + from, part + j->width, chunks, to - from, ld);
}

void cpu_norm_backward(nn_ctx *ctx, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                       const void *x, const void *stat, const void *gamma, size_t rows, size_t width) {
    norm_job job = {.rms = kind == NN_RMSNORM,
                    .dx = dx,
                    .dgamma = dgamma,
                    .dbeta = dbeta,
                    .dy = dy,
                    .x = x,
                    .stat = (float *)(uintptr_t)stat,
                    .gamma = gamma,
                    .rows = rows,
                    .width = width};
    const size_t chunks = (rows + CPU_NORM_ROWS - 1) / CPU_NORM_ROWS;
    cpu_share(ctx, chunks, 1, 3 * rows * width, norm_chunks, &job);
    if (dgamma || dbeta) cpu_share(ctx, width, CPU_LINE, 2 * chunks * width, norm_columns, &job);
}

/* --- activations --- */

typedef struct act_job {
    nn_act_kind kind;
    float *out;
    const float *x, *dy;
    size_t width;
} act_job;

static void act_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const act_job *j = job;
    const size_t y = from * j->width, x = j->kind == NN_SWIGLU ? 2 * y : y;
    (void)thread;
    if (j->dy)
        ctx->kernels->act_backward[j->kind](j->out + x, j->dy + y, j->x + x, to - from, j->width);
    else
        ctx->kernels->act[j->kind](j->out + y, j->x + x, to - from, j->width);
}

void cpu_act(nn_ctx *ctx, nn_act_kind kind, void *y, const void *x, size_t rows, size_t width) {
    cpu_share(ctx, rows, 1, 2 * rows * width, act_part, &(act_job){kind, y, x, NULL, width});
}

void cpu_act_backward(nn_ctx *ctx, nn_act_kind kind, void *dx, const void *dy, const void *x, size_t rows,
                      size_t width) {
    cpu_share(ctx, rows, 1, 3 * rows * width, act_part, &(act_job){kind, dx, x, dy, width});
}

/* --- rotary positions --- */

typedef struct rope_job {
    nn_rope_pairing pairing;
    float *x;
    const int32_t *positions;
    size_t heads, head_dim, stride;
    bool inverse;
} rope_job;

static void rope_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const rope_job *j = job;
    ctx->kernels->rope(j->pairing == NN_ROPE_NEIGHBOURS, j->x + from * j->stride, j->positions + from, to - from,
                       j->heads, j->head_dim, j->stride, ctx->turns, j->inverse, cpu_own(ctx, thread));
}

void cpu_rope(nn_ctx *ctx, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
              size_t head_dim, size_t stride, float base, bool inverse) {
    if (ctx->turns_dim != head_dim || ctx->turns_base != base) {
        for (size_t i = 0; i < head_dim / 2; i++)
            ctx->turns[i] = pow((double)base, -2 * (double)i / (double)head_dim) / 6.283185307179586476925286766559;
        ctx->turns_dim = head_dim;
        ctx->turns_base = base;
    }
    cpu_share(ctx, rows, 1, rows * head_dim * (heads + 4), rope_part,
              &(rope_job){pairing, x, positions, heads, head_dim, stride, inverse});
}

/* --- the loss and the best token --- */

typedef struct loss_job {
    float *losses, *dlogits;
    const float *logits;
    const int32_t *targets;
    int32_t *best;
    layers_loss loss;
} loss_job;

static void loss_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const loss_job *j = job;
    const size_t at = from * j->loss.vocab;
    (void)thread;
    ctx->kernels->cross_entropy(j->losses + from, j->dlogits ? j->dlogits + at : NULL, j->logits + at,
                                j->targets + from, to - from, &j->loss);
}

void cpu_cross_entropy(nn_ctx *ctx, void *losses, void *dlogits, const void *logits, const int32_t *targets,
                       size_t rows, size_t vocab, float smoothing, float weight) {
    loss_job job = {
        .losses = losses, .dlogits = dlogits, .logits = logits, .targets = targets, .loss = {vocab, smoothing, weight}};
    cpu_share(ctx, rows, 1, 3 * rows * vocab, loss_part, &job);
}

static void argmax_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const loss_job *j = job;
    (void)thread;
    ctx->kernels->argmax(j->best + from, j->losses ? j->losses + from : NULL, j->logits + from * j->loss.vocab,
                         to - from, j->loss.vocab);
}

void cpu_argmax(nn_ctx *ctx, int32_t *best, void *confidence, const void *logits, size_t rows, size_t vocab) {
    loss_job job = {.best = best, .losses = confidence, .logits = logits, .loss = {.vocab = vocab}};
    cpu_share(ctx, rows, 1, 2 * rows * vocab, argmax_part, &job);
}
