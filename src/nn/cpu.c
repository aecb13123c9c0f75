/* The operator table of the CPU: 32-bit floats, vectors, one team of threads. Life and memory; what the operators do is
 * in cpu_elements.c, cpu_rows.c, cpu_matmul.c and cpu_products.c, over the kernels of kernels/layers, matmul and fmha.
 *
 * One team serves all: two would spin against each other. With one thread there is no team. All scratch memory is one
 * allocation beside the plans of FMHA, which bring their own. */
#include "nn/cpu.h"

#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"

enum { HUGE = 2 << 20, LINE = 64 };

static size_t max(size_t a, size_t b) { return a > b ? a : b; }
static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* --- sharing --- */

typedef struct shared {
    nn_ctx *ctx;
    cpu_part *part;
    const void *job;
    size_t units, grain;
} shared;

static void run_share(void *arg, int thread, int threads) {
    const shared *s = arg;
    size_t blocks = ceil_div(s->units, s->grain);
    size_t from = blocks * (size_t)thread / (size_t)threads * s->grain,
           to = blocks * ((size_t)thread + 1) / (size_t)threads * s->grain;
    if (to > s->units) to = s->units;
    if (from < to) s->part(s->ctx, s->job, thread, from, to);
}

void cpu_share(nn_ctx *ctx, size_t units, size_t grain, size_t numbers, cpu_part *part, const void *job) {
    enum { WORTH_SHARING = 8192 }; /* numbers: about as long as a wake-up of a spinning thread, 1 us */
    shared s = {ctx, part, job, units, grain};
    if (ctx->pool && numbers >= WORTH_SHARING)
        dev_pool_run(ctx->pool, run_share, &s);
    else
        run_share(&s, 0, 1);
}

/* --- memory --- */

/* The block's start lies in front of what is handed out, which is aligned to a cache line, or to a huge page where the
 * block is one: rows are then walked with few misses of the address translation. */
static size_t padding(size_t bytes) { return (bytes >= HUGE ? HUGE : LINE) + sizeof(void *); }

static void *take_aligned(size_t bytes) {
    size_t align = bytes >= HUGE ? HUGE : LINE;
    char *raw = spak_malloc(bytes + padding(bytes));
    if (!raw) return NULL;
    char *start = (char *)(((uintptr_t)raw + sizeof(void *) + align - 1) & ~(uintptr_t)(align - 1));
#ifdef MADV_HUGEPAGE
    if (align == HUGE) madvise(start, bytes / HUGE * HUGE, MADV_HUGEPAGE);
#endif
    memset(start, 0, bytes);
    ((void **)(void *)start)[-1] = raw;
    return start;
}

static void *cpu_alloc(nn_ctx *ctx, size_t bytes) {
    (void)ctx;
    return take_aligned(bytes);
}

static void cpu_free(nn_ctx *ctx, void *memory) {
    (void)ctx;
    if (memory) spak_free(((void **)memory)[-1]);
}

static void cpu_put(nn_ctx *ctx, void *to, const double *from, size_t n) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) ((float *)to)[i] = (float)from[i];
}

static void cpu_get(nn_ctx *ctx, double *to, const void *from, size_t n) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) to[i] = (double)((const float *)from)[i];
}

static void cpu_put_f32(nn_ctx *ctx, void *to, const float *from, size_t n) { cpu_copy(ctx, to, from, n); }
static void cpu_get_f32(nn_ctx *ctx, float *to, const void *from, size_t n) { cpu_copy(ctx, to, from, n); }

/* --- life --- */

/* Where the next buffer goes; base is NULL while the sizes are added up. */
static void *carve(char *base, size_t *used, size_t bytes) {
    void *p = base ? base + *used : NULL;
    *used += ceil_div(bytes, LINE) * LINE + LINE; /* a line more: not all begin in the same cache set */
    return p;
}

static size_t lay_out(nn_ctx *ctx, const nn_limits *limits, char *base) {
    size_t used = 0, chunks = ceil_div(limits->rows, CPU_NORM_ROWS), own = limits->width;
    for (size_t i = 0; i < limits->num_attentions; i++)
        own = max(own, layers_attention_floats(limits->attentions[i].kv_len, limits->attentions[i].head_dim));
    ctx->own_floats = ceil_div(own, CPU_LINE) * CPU_LINE + CPU_LINE;
    ctx->norm_parts = carve(base, &used, chunks * 2 * limits->width * sizeof(float));
    ctx->sum_parts = carve(base, &used, CPU_SUM_PARTS * sizeof(double));
    ctx->turns = carve(base, &used, (limits->width / 2 + 1) * sizeof(double));
    ctx->pack_b = carve(base, &used, (ctx->threads > 1 ? 2 : 1) * ctx->b_floats * sizeof(float));
    ctx->pack_a = carve(base, &used, (size_t)ctx->threads * ctx->a_floats * sizeof(float));
    ctx->own = carve(base, &used, (size_t)ctx->threads * ctx->own_floats * sizeof(float));
    return used;
}

static void cpu_close(nn_ctx *ctx) {
    if (!ctx) return;
    cpu_close_products(ctx);
    cpu_free(ctx, ctx->raw);
    dev_pool_free(ctx->pool);
    spak_free(ctx);
}

static bool fill(nn_ctx *ctx, const nn_limits *limits, spak_error *err) {
    if (limits->threads < 1 || limits->threads > MATMUL_MAX_THREADS)
        return spak_fail(err, "nn: threads: expected 1 to %d, found %d", MATMUL_MAX_THREADS, limits->threads);
    if (!dev_isa_check(err)) return false;
    ctx->threads = limits->threads;
    ctx->kernels = layers_isa(dev_cpu_isa());
    if (!ctx->kernels) return spak_fail(err, "nn: this program was built without %s", dev_isa_name(dev_cpu_isa()));
    if (!cpu_plan_blocks(ctx, limits, err)) return false;
    size_t bytes = lay_out(ctx, limits, NULL);
    ctx->raw = take_aligned(bytes);
    if (!ctx->raw) return spak_fail_oom(err);
    lay_out(ctx, limits, ctx->raw);
    ctx->bytes = sizeof *ctx + bytes + padding(bytes);
    ctx->turns_dim = SIZE_MAX;
    if (limits->threads > 1 && !dev_pool_new(limits->threads, &ctx->pool, err)) return false;
    return cpu_open_products(ctx, limits, err);
}

static bool cpu_open(const nn_limits *limits, nn_ctx **out, spak_error *err) {
    *out = NULL;
    nn_ctx *ctx = spak_calloc(1, sizeof *ctx);
    if (!ctx) return spak_fail_oom(err);
    if (!fill(ctx, limits, err)) {
        cpu_close(ctx);
        return false;
    }
    *out = ctx;
    return true;
}

static size_t cpu_scratch_bytes(const nn_ctx *ctx) { return ctx->bytes; }

const nn_ops nn_cpu = {
    .name = "cpu",
    .elem = sizeof(float),
    .open = cpu_open,
    .close = cpu_close,
    .scratch_bytes = cpu_scratch_bytes,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .put = cpu_put,
    .get = cpu_get,
    .put_f32 = cpu_put_f32,
    .get_f32 = cpu_get_f32,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .embed = cpu_embed,
    .embed_backward = cpu_embed_backward,
    .norm = cpu_norm,
    .norm_backward = cpu_norm_backward,
    .linear = cpu_linear,
    .linear_backward = cpu_linear_backward,
    .act = cpu_act,
    .act_backward = cpu_act_backward,
    .rope = cpu_rope,
    .attention = cpu_attention,
    .attention_backward = cpu_attention_backward,
    .add = cpu_add,
    .dropout = cpu_dropout,
    .cross_entropy = cpu_cross_entropy,
    .argmax = cpu_argmax,
    .sum = cpu_sum,
    .sum_squares = cpu_sum_squares,
    .adamw = cpu_adamw,
    .gather = cpu_gather,
    .scatter = cpu_scatter,
};
