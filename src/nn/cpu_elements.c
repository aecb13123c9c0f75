/* The CPU's operators on single numbers: a unit is an element, a range begins at a cache line. */
#include <math.h>
#include <string.h>

#include "nn/cpu.h"

typedef struct elements {
    float *out;
    const float *a, *b;
} elements;

static void copy_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const elements *e = job;
    (void)ctx, (void)thread;
    memcpy(e->out + from, e->a + from, (to - from) * sizeof(float));
}

void cpu_copy(nn_ctx *ctx, void *to, const void *from, size_t n) {
    cpu_share(ctx, n, CPU_LINE, n, copy_part, &(elements){to, from, NULL});
}

static void zero_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const elements *e = job;
    (void)ctx, (void)thread;
    memset(e->out + from, 0, (to - from) * sizeof(float));
}

void cpu_zero(nn_ctx *ctx, void *x, size_t n) { cpu_share(ctx, n, CPU_LINE, n, zero_part, &(elements){x, NULL, NULL}); }

static void add_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const elements *e = job;
    (void)thread;
    ctx->kernels->add(e->out + from, e->a + from, e->b + from, to - from);
}

void cpu_add(nn_ctx *ctx, void *out, const void *a, const void *b, size_t n) {
    cpu_share(ctx, n, CPU_LINE, n, add_part, &(elements){out, a, b});
}

/* --- dropout --- */

typedef struct dropout_job {
    float *x, rate;
    uint64_t seed, stream;
} dropout_job;

static void dropout_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const dropout_job *d = job;
    (void)thread;
    ctx->kernels->dropout(d->x + from, to - from, d->rate, d->seed, d->stream, from);
}

void cpu_dropout(nn_ctx *ctx, void *x, size_t n, float rate, uint64_t seed, uint64_t stream) {
    if (rate <= 0) return;
    cpu_share(ctx, n, 2 * CPU_LINE, n, dropout_part, &(dropout_job){x, rate, seed, stream});
}

/* --- sums: part i of CPU_SUM_PARTS, then their sum in order --- */

typedef struct sum_job {
    const float *x;
    size_t n;
    double (*sum)(const float *x, size_t n);
} sum_job;

static void sum_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const sum_job *s = job;
    (void)thread;
    for (size_t p = from; p < to; p++) {
        size_t begin = s->n / CPU_SUM_PARTS * p + s->n % CPU_SUM_PARTS * p / CPU_SUM_PARTS,
               end = s->n / CPU_SUM_PARTS * (p + 1) + s->n % CPU_SUM_PARTS * (p + 1) / CPU_SUM_PARTS;
        ctx->sum_parts[p] = s->sum(s->x + begin, end - begin);
    }
}

static double sum_all(nn_ctx *ctx, const sum_job *job) {
    cpu_share(ctx, CPU_SUM_PARTS, 8, job->n, sum_part, job);
    double sum = 0;
    for (size_t p = 0; p < CPU_SUM_PARTS; p++) sum += ctx->sum_parts[p];
    return sum;
}

double cpu_sum(nn_ctx *ctx, const void *x, size_t n) { return sum_all(ctx, &(sum_job){x, n, ctx->kernels->sum}); }

double cpu_sum_squares(nn_ctx *ctx, const void *x, size_t n) {
    return sum_all(ctx, &(sum_job){x, n, ctx->kernels->sum_squares});
}

/* --- AdamW --- */

typedef struct adamw_job {
    float *param, *m, *v;
    const float *grad;
    layers_adamw step;
} adamw_job;

static void adamw_part(nn_ctx *ctx, const void *job, int thread, size_t from, size_t to) {
    const adamw_job *j = job;
    (void)thread;
    ctx->kernels->adamw(j->param + from, j->m + from, j->v + from, j->grad + from, to - from, &j->step);
}

void cpu_adamw(nn_ctx *ctx, void *param, void *m, void *v, const void *grad, size_t n, const nn_adamw *a) {
    const double beta1 = (double)a->beta1, beta2 = (double)a->beta2, rate = (double)a->rate, step = (double)a->step;
    layers_adamw same = {
        .grad_scale = a->grad_scale,
        .keep_m = a->beta1,
        .take_m = (float)(1 - beta1),
        .keep_v = a->beta2,
        .take_v = (float)(1 - beta2),
        .shrink = (float)(1 - rate * (double)a->decay),
        .stride = (float)(rate / (1 - pow(beta1, step))),
        .unbias = (float)(1 / (1 - pow(beta2, step))),
        .eps = a->eps,
    };
    cpu_share(ctx, n, CPU_LINE, n, adamw_part, &(adamw_job){param, m, v, grad, same});
}
