/* A trial's memory and numbers. */
#include <string.h>

#include "base/alloc.h"
#include "matmul/gpu/trial.h"

enum { FILL_THREADS = 256, FILL_BLOCKS = 1024 };

typedef struct fill_params { /* as inputs.cu has them */
    uint64_t to, count, seed, stream, integers;
} fill_params;
typedef struct different_params {
    uint64_t a, b, count, result;
} different_params;

static bool helper(matmul_gpu_trial_state *t, const char *entry,
                   const void *params, spak_error *err) {
    const char *defines[] = {t->problem.in == DEV_F16 ? "TYPE_F16=1"
                                                      : "TYPE_F16=0"};
    dev_variant variant = {"kernels/matmul/gpu/inputs.cu", entry, defines, 1};
    dev_launch launch = {.grid = {FILL_BLOCKS, 1, 1},
                         .block = {FILL_THREADS, 1, 1}};
    return dev_kernel_get(t->gpu, &variant, &launch.kernel, err) &&
           dev_gpu_launch(t->gpu, &launch, params, err);
}

static bool fill(matmul_gpu_trial_state *t, dev_ptr to, size_t elements,
                 uint64_t stream, spak_error *err) {
    fill_params params = {to, elements, t->seed, stream, (uint64_t)t->integers};
    return helper(t, "fill", &params, err);
}

static bool fill_floats(matmul_gpu_trial_state *t, dev_ptr to, size_t floats,
                        uint64_t stream, spak_error *err) {
    fill_params params = {to, floats, t->seed, stream, (uint64_t)t->integers};
    return helper(t, "fill_floats", &params, err);
}

bool matmul_gpu_trial_different(matmul_gpu_trial_state *t, dev_ptr a, dev_ptr b,
                                size_t bytes, uint32_t *count,
                                spak_error *err) {
    different_params params = {a, b, bytes / 2, t->counter};
    return dev_gpu_fill32(t->gpu, t->counter, 0, 1, err) &&
           helper(t, "different", &params, err) && dev_gpu_sync(t->gpu, err) &&
           dev_gpu_download(t->gpu, count, t->counter, sizeof *count, err);
}

/* --- memory --- */

typedef struct sizes {
    size_t a, b, c, pre, residual, bias; /* bytes, in multiples of 1024 */
} sizes;

static size_t whole(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

static sizes sizes_of(const matmul_gpu_problem *p) {
    size_t in = dev_element_bytes(p->in),
           rows_c = (size_t)p->m * (size_t)p->ldc;
    sizes s = {
        .a = whole((size_t)(p->trans_a ? p->k : p->m) * (size_t)p->lda * in),
        .b = whole((size_t)(p->trans_b ? p->n : p->k) * (size_t)p->ldb * in),
        .c = whole(rows_c * dev_element_bytes(p->out)),
        .pre = p->gelu ? whole(rows_c * in) : 0,
        .residual = p->residual ? whole(rows_c * in) : 0,
        .bias = p->bias ? whole((size_t)p->n * in) : 0};
    return s;
}

static size_t sum(const sizes *s) {
    return s->a + s->b + s->c + s->pre + s->residual + s->bias;
}

/* Three times the cache, so that a set has gone when its turn comes again. */
static int how_many_sets(const matmul_gpu_trial_state *t, const sizes *s) {
    if (!t->options.flush) return 1; /* warm is what was asked for */
    size_t want = 3 * t->machine.l2_bytes / sum(s) + 1;
    return want > MATMUL_GPU_SETS ? MATMUL_GPU_SETS : (int)want;
}

static bool take(matmul_gpu_trial_state *t, const char *what, size_t bytes,
                 dev_ptr *block, spak_error *err) {
    *block = 0;
    return bytes == 0 || dev_arena_take(t->arena, what, bytes, block, err);
}

/* Inputs of all sets lie in one block each, outputs too: 10 blocks in all. */
static bool take_all(matmul_gpu_trial_state *t, const sizes *s,
                     spak_error *err) {
    const size_t n = (size_t)t->sets;
    dev_ptr a, b, bias, residual, peer_c = 0, workspace, counters;
    t->outputs_bytes = n * (s->c + s->pre);
    if (!take(t, "A", n * s->a, &a, err) || !take(t, "B", n * s->b, &b, err) ||
        !take(t, "bias", n * s->bias, &bias, err) ||
        !take(t, "residual", n * s->residual, &residual, err) ||
        !take(t, "C", t->outputs_bytes, &t->outputs, err) ||
        !take(t, "the peer's C", n * s->c, &peer_c, err) ||
        !take(t, "partial tiles", t->plan.workspace_bytes, &workspace, err) ||
        !take(t, "tile counters", t->plan.counters_bytes, &counters, err) ||
        !take(t, "C before", t->problem.beta != 0 ? s->c : 0, &t->c_old, err) ||
        !take(t, "counter", 1024, &t->counter, err))
        return false;
    for (size_t i = 0; i < n; i++)
        t->set[i] = (matmul_gpu_set){
            .x = {.a = a + i * s->a,
                  .b = b + i * s->b,
                  .c = t->outputs + i * s->c,
                  .bias = s->bias ? bias + i * s->bias : 0,
                  .pre = s->pre ? t->outputs + n * s->c + i * s->pre : 0,
                  .residual = s->residual ? residual + i * s->residual : 0,
                  .workspace = workspace,
                  .counters = counters},
            .peer_c = peer_c + i * s->c};
    return t->plan.counters_bytes == 0 ||
           dev_gpu_fill32(t->gpu, counters, 0, t->plan.counters_bytes / 4, err);
}

bool matmul_gpu_trial_fill(matmul_gpu_trial_state *t, int integers,
                           spak_error *err) {
    const sizes all = sizes_of(&t->problem), *s = &all;
    t->integers = integers;
    const uint64_t n = (uint64_t)t->sets;
    const matmul_gpu_buffers *first = &t->set[0].x;
    return fill(t, first->a, n * s->a / 2, 0, err) &&
           fill(t, first->b, n * s->b / 2, 1, err) &&
           (!s->bias || fill(t, first->bias, n * s->bias / 2, 2, err)) &&
           (!s->residual ||
            fill(t, first->residual, n * s->residual / 2, 3, err)) &&
           dev_gpu_sync(t->gpu, err);
}

bool matmul_gpu_trial_prepare(matmul_gpu_trial_state *t, spak_error *err) {
    sizes s = sizes_of(&t->problem);
    t->sets = how_many_sets(t, &s);
    t->set = spak_calloc((size_t)t->sets, sizeof *t->set);
    if (!t->set) return spak_fail_oom(err);
    size_t bytes = (size_t)t->sets * (sum(&s) + s.c) + s.c +
                   whole(t->plan.workspace_bytes) +
                   whole(t->plan.counters_bytes) + 1024;
    if (!dev_arena_new(t->gpu, "a trial's matrices", dev_arena_room(bytes, 10),
                       &t->arena, err) ||
        !take_all(t, &s, err) || !matmul_gpu_trial_fill(t, t->integers, err))
        return false;
    for (int i = 0; i < t->sets; i++)
        if (!matmul_gpu_bind(t->gpu, &t->plan, &t->set[i].x, &t->set[i].bound,
                             err))
            return false;
    return true;
}

void matmul_gpu_trial_release(matmul_gpu_trial_state *t) {
    dev_arena_free(t->arena);
    spak_free(t->set);
}

/* --- what the outputs hold before --- */

enum { STREAM_C = 16 };

static size_t c_bytes(const matmul_gpu_trial_state *t) {
    return (size_t)t->problem.m * (size_t)t->problem.ldc *
           dev_element_bytes(t->problem.out);
}

bool matmul_gpu_trial_draw_c(matmul_gpu_trial_state *t, dev_ptr c, int set,
                             spak_error *err) {
    const uint64_t stream = STREAM_C + (uint64_t)set;
    return t->problem.out == DEV_F32
               ? fill_floats(t, c, c_bytes(t) / 4, stream, err)
               : fill(t, c, c_bytes(t) / 2, stream, err);
}

/* NaN everywhere; where C is added to, numbers again. */
static bool reset(matmul_gpu_trial_state *t, bool peers, dev_ptr from,
                  size_t bytes, spak_error *err) {
    if (!dev_gpu_fill8(t->gpu, from, 0xFF, bytes, err)) return false;
    for (int i = 0; i < t->sets && t->problem.beta != 0; i++)
        if (!matmul_gpu_trial_draw_c(
                t, peers ? t->set[i].peer_c : t->set[i].x.c, i, err))
            return false;
    return true;
}

bool matmul_gpu_trial_reset(matmul_gpu_trial_state *t, spak_error *err) {
    return reset(t, false, t->outputs, t->outputs_bytes, err);
}

bool matmul_gpu_trial_reset_peers(matmul_gpu_trial_state *t, spak_error *err) {
    return reset(t, true, t->set[0].peer_c, (size_t)t->sets * whole(c_bytes(t)),
                 err);
}
