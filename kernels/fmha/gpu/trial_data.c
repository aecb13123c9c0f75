/* A trial's memory and numbers. */
#include <string.h>

#include "base/alloc.h"
#include "fmha/gpu/trial.h"

typedef fmha_gpu_trial_state state;

enum { FILL_THREADS = 256, FILL_BLOCKS = 1024 };

typedef struct fill_params { /* as inputs.cu has them */
    uint64_t to, count, seed, stream, integers;
    float scale;
} fill_params;
typedef struct different_params {
    uint64_t a, b, count, result;
} different_params;

static bool helper(state *t, const char *entry, const void *params,
                   spak_error *err) {
    const char *defines[] = {t->problem.dtype == DEV_F16 ? "TYPE_F16=1"
                                                         : "TYPE_F16=0"};
    dev_variant variant = {"kernels/fmha/gpu/inputs.cu", entry, defines, 1};
    dev_launch launch = {.grid = {FILL_BLOCKS, 1, 1},
                         .block = {FILL_THREADS, 1, 1}};
    return dev_kernel_get(t->gpu, &variant, &launch.kernel, err) &&
           dev_gpu_launch(t->gpu, &launch, params, err);
}

/* --- sizes --- */

static size_t whole(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

typedef struct sizes {
    size_t q, k, lse; /* bytes of one Q, O, ..., of one K, V, ..., of LSE */
} sizes;

static sizes sizes_of(const state *t) {
    const fmha_gpu_problem *p = &t->problem;
    const size_t dim = (size_t)p->head_dim, heads = (size_t)p->heads,
                 lines = p->varlen
                             ? heads * (size_t)p->total_q
                             : (size_t)p->batch * heads * (size_t)p->q_len;
    return (sizes){whole((size_t)p->total_q * heads * dim * 2),
                   whole((size_t)p->total_k * (size_t)p->kv_heads * dim * 2),
                   whole(lines * 4)};
}

static size_t inputs_bytes(const state *t, const sizes *s) {
    return fmha_gpu_is_backward(t) ? 3 * s->q + 2 * s->k + s->lse
                                   : s->q + 2 * s->k;
}
static size_t outputs_bytes(const state *t, const sizes *s) {
    return fmha_gpu_is_backward(t) ? s->q + 2 * s->k : s->q + s->lse;
}

int fmha_gpu_trial_tensors(const state *t, const fmha_gpu_buffers *x,
                           fmha_gpu_tensor tensor[FMHA_GPU_TENSORS]) {
    const fmha_gpu_problem *p = &t->problem;
    const bool back = fmha_gpu_is_backward(t);
    const size_t dim = (size_t)p->head_dim,
                 q = (size_t)p->total_q * (size_t)p->heads * dim * 2,
                 k = (size_t)p->total_k * (size_t)p->kv_heads * dim * 2;
    const fmha_gpu_tensor forward[] = {{"q", x->q, q, false},
                                       {"k", x->k, k, false},
                                       {"v", x->v, k, false},
                                       {"o", x->o, q, true}},
                          backward[] = {
                              {"q", x->q, q, false},  {"k", x->k, k, false},
                              {"v", x->v, k, false},  {"do", x->d_o, q, false},
                              {"dq", x->dq, q, true}, {"dk", x->dk, k, true},
                              {"dv", x->dv, k, true}};
    memcpy(tensor, back ? backward : forward,
           back ? sizeof backward : sizeof forward);
    return back ? 7 : 4;
}

/* --- memory --- */

/* Three times the cache, so that a set has gone when its turn comes again. */
static int how_many_sets(const state *t, const sizes *s) {
    if (!t->options.flush) return 1; /* warm is what was asked for */
    size_t want = 3 * t->machine.l2_bytes /
                      (inputs_bytes(t, s) + outputs_bytes(t, s) + 1) +
                  1;
    return want > FMHA_GPU_SETS ? FMHA_GPU_SETS : (int)want;
}

static bool take(state *t, const char *what, size_t bytes, dev_ptr *block,
                 spak_error *err) {
    *block = 0;
    return bytes == 0 || dev_arena_take(t->arena, what, bytes, block, err);
}

/* The next piece of a block; 0 of none. */
static dev_ptr next(dev_ptr *at, size_t bytes) {
    dev_ptr here = *at;
    *at += bytes;
    return bytes ? here : 0;
}

static void place_outputs(const state *t, const sizes *s, dev_ptr at,
                          fmha_gpu_buffers *x) {
    if (fmha_gpu_is_backward(t)) {
        x->dq = next(&at, s->q);
        x->dk = next(&at, s->k);
        x->dv = next(&at, s->k);
    } else {
        x->o = next(&at, s->q);
        x->lse = next(&at, s->lse);
    }
}

/* Q, K, V, and backward dO, O, LSE; scratch has its place already. */
static void place_inputs(const state *t, const sizes *s, dev_ptr at,
                         fmha_gpu_buffers *x) {
    x->q = next(&at, s->q);
    x->k = next(&at, s->k);
    x->v = next(&at, s->k);
    if (!fmha_gpu_is_backward(t)) return;
    x->d_o = next(&at, s->q);
    x->o = next(&at, s->q);
    x->lse = next(&at, s->lse);
}

/* Inputs of all sets lie in one block, outputs too. */
static bool take_all(state *t, const sizes *s, spak_error *err) {
    const fmha_gpu_scratch *need = &t->plan.scratch;
    const size_t n = (size_t)t->sets, in = inputs_bytes(t, s),
                 cu = ((size_t)t->problem.batch + 1) * sizeof(int);
    fmha_gpu_buffers x = {0};
    dev_ptr inputs;
    t->set_bytes = outputs_bytes(t, s);
    if (!take(t, "inputs", n * in, &inputs, err) ||
        !take(t, "outputs", n * t->set_bytes, &t->outputs, err) ||
        !take(t, "other outputs", t->set_bytes, &t->others, err) ||
        !take(t, "delta", need->delta, &x.delta, err) ||
        !take(t, "sums of dQ", need->dq_sum, &x.dq_sum, err) ||
        !take(t, "turns", need->turn, &x.turn, err) ||
        !take(t, "partial O", need->part_o, &x.part_o, err) ||
        !take(t, "partial LSE", need->part_lse, &x.part_lse, err) ||
        !take(t, "S", need->scores, &x.scores, err) ||
        !take(t, "P", need->weights, &x.weights, err) ||
        !take(t, "cu_q", t->problem.varlen ? cu : 0, &x.cu_q, err) ||
        !take(t, "cu_k", t->problem.varlen ? cu : 0, &x.cu_k, err) ||
        !take(t, "counter", 1024, &t->counter, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        t->set[i].x = x;
        place_inputs(t, s, inputs + i * in, &t->set[i].x);
        place_outputs(t, s, t->outputs + i * t->set_bytes, &t->set[i].x);
    }
    return (!x.turn || dev_gpu_fill8(t->gpu, x.turn, 0, need->turn, err)) &&
           (!x.cu_q || (dev_gpu_upload(t->gpu, x.cu_q, t->cu_q, cu, err) &&
                        dev_gpu_upload(t->gpu, x.cu_k, t->cu_k, cu, err)));
}

static bool draw_lengths(state *t, spak_error *err) {
    const size_t n = (size_t)t->problem.batch + 1;
    t->cu_q = spak_calloc(2 * n, sizeof *t->cu_q);
    if (!t->cu_q) return spak_fail_oom(err);
    t->cu_k = t->cu_q + n;
    fmha_gpu_draw_lengths(&t->problem, t->seed, t->cu_q, t->cu_k);
    t->flop = fmha_gpu_flop(&t->problem, t->cu_q, t->cu_k);
    return true;
}

bool fmha_gpu_trial_prepare(state *t, spak_error *err) {
    const sizes s = sizes_of(t);
    const fmha_gpu_scratch *need = &t->plan.scratch;
    t->sets = how_many_sets(t, &s);
    t->set = spak_calloc((size_t)t->sets, sizeof *t->set);
    if (!t->set) return spak_fail_oom(err);
    if (!draw_lengths(t, err)) return false;
    const size_t out = outputs_bytes(t, &s);
    const size_t bytes = (size_t)t->sets * (inputs_bytes(t, &s) + out) + out +
                         need->delta + need->dq_sum + need->turn +
                         need->part_o + need->part_lse + need->scores +
                         need->weights + 8 * (size_t)t->problem.batch + 2048;
    if (!dev_arena_new(t->gpu, "a trial's tensors", dev_arena_room(bytes, 14),
                       &t->arena, err) ||
        !take_all(t, &s, err))
        return false;
    for (int i = 0; i < t->sets; i++)
        if (!fmha_gpu_bind(t->gpu, &t->plan, &t->set[i].x, &t->set[i].bound,
                           err))
            return false;
    return true;
}

void fmha_gpu_trial_release(state *t) {
    dev_arena_free(t->arena);
    spak_free(t->set);
    spak_free(t->cu_q);
}

/* --- inputs --- */

static const struct {
    const char *name;
    float q, k; /* what normal numbers are multiplied with */
    int integers;
} kinds[FMHA_GPU_INPUTS] = {[FMHA_GPU_NORMAL] = {"normal", 1, 1, 0},
                            [FMHA_GPU_SPREAD] = {"spread", 4, 1, 0},
                            [FMHA_GPU_EQUAL] = {"equal", 0, 1, 4},
                            [FMHA_GPU_LARGE] = {"large", 2500, 4, 0},
                            [FMHA_GPU_TINY] = {"tiny", 1e-2f, 1e-2f, 0}};

bool fmha_gpu_inputs_parse(const char *name, fmha_gpu_inputs *inputs) {
    for (int i = 0; i < FMHA_GPU_INPUTS; i++)
        if (!strcmp(name, kinds[i].name)) {
            *inputs = (fmha_gpu_inputs)i;
            return true;
        }
    return false;
}

bool fmha_gpu_trial_fill(state *t, fmha_gpu_inputs inputs, spak_error *err) {
    for (int i = 0; i < t->sets; i++) {
        fmha_gpu_tensor tensor[FMHA_GPU_TENSORS];
        const int count = fmha_gpu_trial_tensors(t, &t->set[i].x, tensor);
        for (int k = 0; k < count && !tensor[k].output; k++) {
            fill_params p = {.to = tensor[k].at,
                             .count = tensor[k].bytes / 2,
                             .seed = t->seed,
                             .stream = (uint64_t)(16 * i + k),
                             .scale = k == 0   ? kinds[inputs].q
                                      : k == 1 ? kinds[inputs].k
                                               : 1};
            if (k == 2) p.integers = (uint64_t)kinds[inputs].integers;
            if (!helper(t, "fill", &p, err)) return false;
        }
        if (fmha_gpu_is_backward(t) &&
            !fmha_gpu_trial_forward(t, &t->set[i].x, err))
            return false;
    }
    return dev_gpu_sync(t->gpu, err);
}

/* --- outputs --- */

bool fmha_gpu_trial_reset(state *t, spak_error *err) {
    return dev_gpu_fill8(t->gpu, t->outputs, 0xFF,
                         (size_t)t->sets * t->set_bytes, err);
}

bool fmha_gpu_trial_reset_others(state *t, spak_error *err) {
    return dev_gpu_fill8(t->gpu, t->others, 0xFF, t->set_bytes, err);
}

fmha_gpu_buffers fmha_gpu_trial_others(const state *t, int set) {
    const sizes s = sizes_of(t);
    fmha_gpu_buffers x = t->set[set].x;
    place_outputs(t, &s, t->others, &x);
    return x;
}

bool fmha_gpu_trial_different(state *t, int set, uint32_t *count,
                              spak_error *err) {
    different_params p = {t->outputs + (size_t)set * t->set_bytes, t->others,
                          t->set_bytes / 2, t->counter};
    return dev_gpu_fill32(t->gpu, t->counter, 0, 1, err) &&
           helper(t, "different", &p, err) && dev_gpu_sync(t->gpu, err) &&
           dev_gpu_download(t->gpu, count, t->counter, sizeof *count, err);
}
