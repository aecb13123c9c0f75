/* The CPU's linear layers and attention: MatMul's plan for products that are worth packing, kernels/layers for those
 * that are not, FMHA's plans for plain attention over long sequences. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/cpu.h"

enum {
    FEW_ROWS = 8,   /* a linear layer of so few rows is dot products with the rows of w, which are read once */
    LONG_ROWS = 96, /* queries from which FMHA's packing pays; at 64 forward and backward together take the same time */
};

static size_t max(size_t a, size_t b) { return a > b ? a : b; }
static size_t min(size_t a, size_t b) { return a < b ? a : b; }

/* --- plans --- */

/* The blocks of B need not be longer than the widest product. */
bool cpu_plan_blocks(nn_ctx *ctx, const nn_limits *limits, spak_error *err) {
    matmul_config *config = &ctx->blocks;
    if (!matmul_config_read(NULL, ctx->threads, config, err)) return false;
    ctx->micro = matmul_isa(config->isa);
    size_t widest = max(limits->width, limits->vocab), nr = config->tile->nr;
    config->nc = min(config->nc, (widest + nr - 1) / nr * nr);
    /* A line more: two threads' blocks do not fall into the same cache sets. */
    ctx->a_floats = config->mc * config->kc + CPU_LINE;
    ctx->b_floats = config->nc * config->kc;
    return true;
}

static bool is_plain(const nn_attention *a) { return !a->q_index && !a->q_segment && a->dropout == 0; }

static fmha_shape shape_of(const nn_attention *a) {
    return (fmha_shape){a->batch, a->heads, a->kv_heads, a->q_len, a->kv_len, a->head_dim, a->causal, 0};
}

static bool same_shape(const fmha_shape *a, const fmha_shape *b) {
    return a->batch == b->batch && a->heads == b->heads && a->kv_heads == b->kv_heads && a->q_len == b->q_len &&
           a->kv_len == b->kv_len && a->head_dim == b->head_dim && a->causal == b->causal;
}

static fmha_plan *fused_plan(nn_ctx *ctx, const nn_attention *a) {
    if (!is_plain(a)) return NULL;
    const fmha_shape shape = shape_of(a);
    for (size_t i = 0; i < ctx->num_fused; i++)
        if (same_shape(&ctx->fused_shapes[i], &shape)) return ctx->fused[i];
    return NULL;
}

static bool plan_attention(nn_ctx *ctx, const nn_attention *a, spak_error *err) {
    const fmha_shape shape = shape_of(a);
    fmha_config config;
    if (!fmha_config_read(NULL, &shape, ctx->threads, &config, err)) return false;
    if (!fmha_plan_new_on(&config, &shape, ctx->pool, ctx->threads, 0, &ctx->fused[ctx->num_fused], err)) return false;
    ctx->bytes += fmha_plan_allocated(ctx->fused[ctx->num_fused]);
    ctx->fused_shapes[ctx->num_fused++] = shape;
    return true;
}

bool cpu_open_products(nn_ctx *ctx, const nn_limits *limits, spak_error *err) {
    const size_t n = limits->num_attentions;
    ctx->fused = spak_calloc(n + 1, sizeof *ctx->fused);
    ctx->fused_shapes = spak_calloc(n + 1, sizeof *ctx->fused_shapes);
    if (!ctx->fused || !ctx->fused_shapes) return spak_fail_oom(err);
    for (size_t i = 0; i < n; i++) {
        const nn_attention *a = &limits->attentions[i];
        if (is_plain(a) && a->q_len >= LONG_ROWS && a->head_dim <= 256 && !fused_plan(ctx, a) &&
            !plan_attention(ctx, a, err))
            return false;
    }
    return true;
}

void cpu_close_products(nn_ctx *ctx) {
    for (size_t i = 0; i < ctx->num_fused; i++) fmha_plan_free(ctx->fused[i]);
    spak_free(ctx->fused);
    spak_free(ctx->fused_shapes);
}

/* --- linear --- */

typedef struct linear_job {
    float *y;
    const float *x, *w, *bias;
    size_t rows, in, out;
} linear_job;

static void few_rows_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const linear_job *j = job;
    (void)thread;
    ctx->kernels->dots(&(layers_dots){j->rows, to - from, j->in, j->x, j->in, j->w + from * j->in, j->in,
                                      j->bias ? j->bias + from : NULL, j->y + from, j->out});
}

static void bias_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const linear_job *j = job;
    (void)ctx, (void)thread;
    for (size_t r = from; r < to; r++) memcpy(j->y + r * j->out, j->bias, j->out * sizeof(float));
}

/* With a bias, y begins as the bias and the product is added: the micro-kernel's sum ends with it. */
void cpu_linear(nn_ctx *ctx, void *y, const void *x, const void *w, const void *bias, size_t rows, size_t in,
                size_t out) {
    linear_job job = {y, x, w, bias, rows, in, out};
    if (rows <= FEW_ROWS) {
        cpu_share(ctx, out, CPU_LINE, in * out, few_rows_part, &job);
        return;
    }
    if (bias) cpu_share(ctx, rows, 1, rows * out, bias_part, &job);
    cpu_matmul(ctx, &(matmul_args){.m = rows,
                                   .n = out,
                                   .k = in,
                                   .a = x,
                                   .lda = in,
                                   .b = w,
                                   .ldb = in,
                                   .trans_b = true,
                                   .c = y,
                                   .ldc = out,
                                   .accumulate = bias != NULL});
}

/* A thread owns columns of dy. */
static void dbias_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const linear_job *j = job;
    (void)thread;
    ctx->kernels->add_columns(j->y + from, j->x + from, j->rows, to - from, j->out);
}

void cpu_linear_backward(nn_ctx *ctx, void *dx, bool add_dx, void *dw, void *dbias, const void *dy, const void *x,
                         const void *w, size_t rows, size_t in, size_t out) {
    if (dx)
        cpu_matmul(ctx, &(matmul_args){.m = rows,
                                       .n = in,
                                       .k = out,
                                       .a = dy,
                                       .lda = out,
                                       .b = w,
                                       .ldb = in,
                                       .c = dx,
                                       .ldc = in,
                                       .accumulate = add_dx});
    if (dw)
        cpu_matmul(ctx, &(matmul_args){.m = out,
                                       .n = in,
                                       .k = rows,
                                       .a = dy,
                                       .lda = out,
                                       .trans_a = true,
                                       .b = x,
                                       .ldb = in,
                                       .c = dw,
                                       .ldc = in,
                                       .accumulate = true});
    if (dbias)
        cpu_share(ctx, out, CPU_LINE, rows * out, dbias_part,
                  &(linear_job){.y = dbias, .x = dy, .rows = rows, .out = out});
}

/* --- attention --- */

typedef struct attention_job {
    const nn_attention *a;
    nn_heads q, k, v, o, d_o, dq, dk, dv;
    float *lse;
} attention_job;

/* Row 0 of head h of sequence b. */
static float *head_at(const nn_heads *x, size_t b, size_t h, size_t head_dim) {
    return (float *)x->data + b * x->len * x->stride + h * head_dim;
}
static layers_in head_in(const nn_heads *x, size_t b, size_t h, size_t head_dim) {
    return (layers_in){head_at(x, b, h, head_dim), x->stride};
}
static layers_out head_out(const nn_heads *x, size_t b, size_t h, size_t head_dim) {
    return (layers_out){head_at(x, b, h, head_dim), x->stride};
}

static layers_head head_of(const nn_attention *a, size_t b, size_t h) {
    layers_head head = {.q_len = a->q_len,
                        .kv_len = a->kv_len,
                        .head_dim = a->head_dim,
                        .causal = a->causal,
                        .window = a->window,
                        .slope = a->slope,
                        .dropout = a->dropout,
                        .seed = a->seed,
                        .stream = a->stream,
                        .first = (uint64_t)(b * a->heads + h) * a->q_len * a->kv_len};
    if (a->q_index) {
        head.q_index = a->q_index + b * a->q_len;
        head.kv_index = a->kv_index + b * a->kv_len;
    }
    if (a->q_segment) {
        head.q_segment = a->q_segment + b * a->q_len;
        head.kv_segment = a->kv_segment + b * a->kv_len;
    }
    return head;
}

static void attend_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const attention_job *j = job;
    const nn_attention *a = j->a;
    const size_t dim = a->head_dim, group = a->heads / a->kv_heads;
    for (size_t u = from; u < to; u++) {
        size_t b = u / a->heads, h = u % a->heads;
        layers_head head = head_of(a, b, h);
        ctx->kernels->attend(&head, head_out(&j->o, b, h, dim), j->lse + u * a->q_len, head_in(&j->q, b, h, dim),
                             head_in(&j->k, b, h / group, dim), head_in(&j->v, b, h / group, dim),
                             cpu_own(ctx, thread));
    }
}

static size_t attention_numbers(const nn_attention *a) {
    return a->batch * a->heads * a->kv_len * a->head_dim * (1 + a->q_len / 4);
}

static fmha_in fmha_in_of(const nn_heads *x, size_t head_dim) {
    return (fmha_in){x->data, x->len * x->stride, head_dim, x->stride};
}
static fmha_out fmha_out_of(const nn_heads *x, size_t head_dim) {
    return (fmha_out){x->data, x->len * x->stride, head_dim, x->stride};
}

void cpu_attention(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k, nn_heads v) {
    const size_t dim = a->head_dim;
    fmha_plan *plan = fused_plan(ctx, a);
    if (plan) {
        fmha_forward(plan, &(fmha_forward_args){fmha_in_of(&q, dim), fmha_in_of(&k, dim), fmha_in_of(&v, dim),
                                                fmha_out_of(&o, dim), lse});
        return;
    }
    attention_job job = {.a = a, .q = q, .k = k, .v = v, .o = o, .lse = lse};
    cpu_share(ctx, a->batch * a->heads, 1, attention_numbers(a), attend_part, &job);
}

static void zero_head(layers_out x, size_t rows, size_t head_dim) {
    for (size_t t = 0; t < rows; t++) memset(x.data + t * x.stride, 0, head_dim * sizeof(float));
}

/* A unit is a head of K and V with all the query heads that read it, in their order. */
static void attend_backward_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const attention_job *j = job;
    const nn_attention *a = j->a;
    const size_t dim = a->head_dim, group = a->heads / a->kv_heads;
    for (size_t u = from; u < to; u++) {
        size_t b = u / a->kv_heads, kv = u % a->kv_heads;
        layers_out dk = head_out(&j->dk, b, kv, dim), dv = head_out(&j->dv, b, kv, dim);
        zero_head(dk, a->kv_len, dim);
        zero_head(dv, a->kv_len, dim);
        for (size_t h = kv * group; h < (kv + 1) * group; h++) {
            layers_head head = head_of(a, b, h);
            ctx->kernels->attend_backward(&head, head_out(&j->dq, b, h, dim), dk, dv, head_in(&j->d_o, b, h, dim),
                                          head_in(&j->q, b, h, dim), head_in(&j->k, b, kv, dim),
                                          head_in(&j->v, b, kv, dim), head_in(&j->o, b, h, dim),
                                          j->lse + (b * a->heads + h) * a->q_len, cpu_own(ctx, thread));
        }
    }
}

void cpu_attention_backward(nn_ctx *ctx, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv, nn_heads d_o,
                            nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse) {
    const size_t dim = a->head_dim;
    fmha_plan *plan = fused_plan(ctx, a);
    if (plan) {
        fmha_backward(plan, &(fmha_backward_args){fmha_in_of(&q, dim), fmha_in_of(&k, dim), fmha_in_of(&v, dim),
                                                  fmha_in_of(&o, dim), fmha_in_of(&d_o, dim), lse,
                                                  fmha_out_of(&dq, dim), fmha_out_of(&dk, dim), fmha_out_of(&dv, dim)});
        return;
    }
    attention_job job = {.a = a,
                         .q = q,
                         .k = k,
                         .v = v,
                         .o = o,
                         .d_o = d_o,
                         .dq = dq,
                         .dk = dk,
                         .dv = dv,
                         .lse = (float *)(uintptr_t)lse};
    cpu_share(ctx, a->batch * a->kv_heads, 1, 2 * attention_numbers(a), attend_backward_part, &job);
}
