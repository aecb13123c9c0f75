/* A problem of attention with inputs of 16 bits, right outputs from the CPU's oracle, and a launch of the GPU's oracle
 * on the emulator. The test that includes it has said TYPE_F16 and includes the kernels' source next. */
#ifndef SPAK_TESTS_ORACLE_ATTENTION_H
#define SPAK_TESTS_ORACLE_ATTENTION_H

#include "../../tap.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "emulate/emulate.h"
#include "fmha/oracle.h"
#include "oracle/fmha.cuh"

enum { Q, K, V, O, DO, DQ, DK, DV, TENSORS };

typedef struct attention {
    const char *name;
    int batch, heads, kv_heads, q_len, kv_len, dim;
    bool causal;
    int window;
    const int *q_lens, *k_lens; /* (batch): varlen; else NULL */
    float spread;               /* of the elements of Q; 0: 1 */
    /* made by attention_new */
    int cu_q[8], cu_k[8];
    element *x[TENSORS]; /* all as (rows, heads, dim) */
    float *f[TENSORS];   /* the same numbers */
    double *want[TENSORS];
    float *lse; /* the kernels' layout */
    double *want_lse;
} attention;

static bool of_keys(int tensor) { return tensor == K || tensor == V || tensor == DK || tensor == DV; }
static int heads_of(const attention *a, int tensor) { return of_keys(tensor) ? a->kv_heads : a->heads; }
static size_t rows_in(const attention *a, int tensor) {
    return (size_t)(of_keys(tensor) ? a->cu_k : a->cu_q)[a->batch];
}
static size_t elements_in(const attention *a, int tensor) {
    return rows_in(a, tensor) * (size_t)heads_of(a, tensor) * (size_t)a->dim;
}
static size_t index_of(const attention *a, int tensor, int b, int h, int t) {
    size_t row = (size_t)(of_keys(tensor) ? a->cu_k : a->cu_q)[b] + (size_t)t;
    return (row * (size_t)heads_of(a, tensor) + (size_t)h) * (size_t)a->dim;
}
static size_t lse_index(const attention *a, int b, int h, int t) {
    return a->q_lens ? (size_t)h * rows_in(a, Q) + (size_t)(a->cu_q[b] + t)
                     : ((size_t)b * (size_t)a->heads + (size_t)h) * (size_t)a->q_len + (size_t)t;
}

static fmha_in input(const attention *a, int tensor, int b, int h, int t) {
    return (fmha_in){a->f[tensor] + index_of(a, tensor, b, h, t), 0, (size_t)a->dim,
                     (size_t)(heads_of(a, tensor) * a->dim)};
}

/* One query and keys from ... to - 1, or one key and such queries, of one head: the whole of a smaller problem. */
static fmha_shape one_line(const attention *a, int q_len, int kv_len) {
    return (fmha_shape){1, 1, 1, (size_t)q_len, (size_t)kv_len, (size_t)a->dim, false, 0};
}

static void keys_seen(const attention *a, int b, int t, int *from, int *to) {
    int keys = a->cu_k[b + 1] - a->cu_k[b], ahead = keys - (a->cu_q[b + 1] - a->cu_q[b]);
    *from = *to = 0;
    for (int j = 0; j < keys; j++)
        if ((!a->causal || j <= t + ahead) && (a->window < 0 || j >= t + ahead - a->window)) {
            if (*to == 0) *from = j;
            *to = j + 1;
        }
}

static bool want_forward(attention *a, int b, int h, int t) {
    int from, to, kv = h / (a->heads / a->kv_heads);
    keys_seen(a, b, t, &from, &to);
    fmha_shape shape = one_line(a, 1, to - from);
    fmha_forward_args x = {.q = input(a, Q, b, h, t)};
    if (to > from) x.k = input(a, K, b, kv, from), x.v = input(a, V, b, kv, from);
    return fmha_oracle(&shape, &x, a->want[O] + index_of(a, O, b, h, t), a->want_lse + lse_index(a, b, h, t), NULL,
                       NULL);
}

/* dQ of a query, and what it adds to dK and dV. */
static bool want_backward(attention *a, int b, int h, int t) {
    int from, to, kv = h / (a->heads / a->kv_heads);
    keys_seen(a, b, t, &from, &to);
    for (int j = from; j < to; j++) {
        fmha_shape shape = one_line(a, 1, 1);
        double dq[256], dk[256], dv[256];
        fmha_backward_args x = {.q = input(a, Q, b, h, t),
                                .k = input(a, K, b, kv, j),
                                .v = input(a, V, b, kv, j),
                                .o = input(a, O, b, h, t),
                                .d_o = input(a, DO, b, h, t),
                                .lse = a->lse + lse_index(a, b, h, t)};
        if (!fmha_oracle_backward(&shape, &x, dq, dk, dv, NULL, NULL, NULL, NULL)) return false;
        for (int d = 0; d < a->dim; d++) {
            a->want[DQ][index_of(a, DQ, b, h, t) + (size_t)d] += dq[d];
            a->want[DK][index_of(a, DK, b, kv, j) + (size_t)d] += dk[d];
            a->want[DV][index_of(a, DV, b, kv, j) + (size_t)d] += dv[d];
        }
    }
    return true;
}

/* Outputs become what was wanted, rounded. */
static void round_output(attention *a, int tensor) {
    for (size_t i = 0; i < elements_in(a, tensor); i++) {
        a->x[tensor][i] = element_from_float((float)a->want[tensor][i]);
        a->f[tensor][i] = element_to_float(a->x[tensor][i]);
    }
}

static bool each_query(attention *a, bool (*body)(attention *a, int b, int h, int t)) {
    for (int b = 0; b < a->batch; b++)
        for (int h = 0; h < a->heads; h++)
            for (int t = 0; t < a->cu_q[b + 1] - a->cu_q[b]; t++)
                if (!body(a, b, h, t)) return false;
    return true;
}

static bool attention_new(attention *a) {
    for (int b = 0; b < a->batch; b++) {
        a->cu_q[b + 1] = a->cu_q[b] + (a->q_lens ? a->q_lens[b] : a->q_len);
        a->cu_k[b + 1] = a->cu_k[b] + (a->k_lens ? a->k_lens[b] : a->kv_len);
    }
    for (int i = 0; i < TENSORS; i++) {
        size_t n = elements_in(a, i);
        a->x[i] = spak_calloc(n + 1, sizeof(element));
        a->f[i] = spak_calloc(n + 1, sizeof(float));
        a->want[i] = spak_calloc(n + 1, sizeof(double));
        if (!a->x[i] || !a->f[i] || !a->want[i]) return false;
        for (size_t e = 0; e < n && i != O && i < DQ; e++) {
            float u = 2 * spak_philox_uniform(7, (uint64_t)i, e) - 1;
            a->x[i][e] = element_from_float(i == Q && a->spread > 0 ? a->spread * u : u);
            a->f[i][e] = element_to_float(a->x[i][e]);
        }
    }
    size_t lines = rows_in(a, Q) * (size_t)a->heads;
    a->lse = spak_calloc(lines + 1, sizeof(float));
    a->want_lse = spak_calloc(lines + 1, sizeof(double));
    if (!a->lse || !a->want_lse || !each_query(a, want_forward)) return false;
    for (size_t i = 0; i < lines; i++) a->lse[i] = (float)a->want_lse[i];
    round_output(a, O);
    if (!each_query(a, want_backward)) return false;
    for (int i = DQ; i <= DV; i++) round_output(a, i);
    return true;
}

static void attention_free(attention *a) {
    for (int i = 0; i < TENSORS; i++) {
        spak_free(a->x[i]);
        spak_free(a->f[i]);
        spak_free(a->want[i]);
    }
    spak_free(a->lse);
    spak_free(a->want_lse);
}

/* --- the launch --- */

static oracle_layout layout(const attention *a, int tensor) {
    const int row = heads_of(a, tensor) * a->dim;
    return (oracle_layout){(long long)row * (of_keys(tensor) ? a->kv_len : a->q_len), a->dim, row};
}

static oracle_attention params_of(const attention *a) {
    oracle_attention p = {.q = (uintptr_t)a->x[Q],
                          .k = (uintptr_t)a->x[K],
                          .v = (uintptr_t)a->x[V],
                          .o = (uintptr_t)a->x[O],
                          .d_o = (uintptr_t)a->x[DO],
                          .dq = (uintptr_t)a->x[DQ],
                          .dk = (uintptr_t)a->x[DK],
                          .dv = (uintptr_t)a->x[DV],
                          .lse = (uintptr_t)a->lse,
                          .q_at = layout(a, Q),
                          .k_at = layout(a, K),
                          .v_at = layout(a, V),
                          .o_at = layout(a, O),
                          .do_at = layout(a, DO),
                          .dq_at = layout(a, DQ),
                          .dk_at = layout(a, DK),
                          .dv_at = layout(a, DV),
                          .cu_q = a->q_lens ? (uintptr_t)a->cu_q : 0,
                          .cu_k = a->q_lens ? (uintptr_t)a->cu_k : 0,
                          .batch = a->batch,
                          .heads = a->heads,
                          .kv_heads = a->kv_heads,
                          .head_dim = a->dim,
                          .q_len = a->q_len,
                          .kv_len = a->kv_len,
                          .total_q = a->cu_q[a->batch],
                          .causal = a->causal,
                          .window = a->window,
                          .scale = 1 / sqrt((double)a->dim)};
    return p;
}

enum { MOST_ARRAYS = 24 };
typedef struct arrays {
    emulate_array of[MOST_ARRAYS];
    size_t count;
} arrays;

static void add_array(arrays *list, const char *name, void *at, size_t bytes, bool writable) {
    if (bytes == 0) return;
    list->of[list->count++] =
        (emulate_array){.name = name, .at = at, .rows = 1, .row_bytes = bytes, .pitch = bytes, .writable = writable};
}

/* The problem's arrays; writable: O and LSE may be written. */
static void add_arrays(arrays *list, attention *a, bool writable) {
    static const char *const names[] = {"Q", "K", "V", "O", "dO", "dQ", "dK", "dV"};
    for (int i = 0; i < TENSORS; i++) add_array(list, names[i], a->x[i], 2 * elements_in(a, i), writable && i == O);
    add_array(list, "LSE", a->lse, 4 * rows_in(a, Q) * (size_t)a->heads, writable);
    if (a->q_lens) add_array(list, "cu_q", a->cu_q, sizeof a->cu_q, false);
    if (a->q_lens) add_array(list, "cu_k", a->cu_k, sizeof a->cu_k, false);
}

static bool emulate_oracle(void (*kernel)(const void *), const oracle_attention *p, const arrays *list, unsigned x,
                           unsigned y, unsigned z) {
    spak_error err = {0};
    emulate_launch launch = {.kernel = kernel,
                             .params = p,
                             .grid = {x, y, z},
                             .block = {256, 1, 1},
                             .arrays = list->of,
                             .num_arrays = list->count};
    bool good = emulate_run(&launch, NULL, &err);
    if (!good) printf("# %s\n", err.message);
    return good;
}

static const int lens_a[] = {9, 0, 5}, lens_b[] = {14, 6, 3};
static const attention cases[] = {
    {.name = "plain", .batch = 2, .heads = 2, .kv_heads = 2, .q_len = 9, .kv_len = 13, .dim = 64, .window = -1},
    {.name = "causal, grouped",
     .batch = 1,
     .heads = 4,
     .kv_heads = 2,
     .q_len = 11,
     .kv_len = 21,
     .dim = 32,
     .causal = true,
     .window = -1},
    {.name = "more queries than keys, causal",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .q_len = 17,
     .kv_len = 9,
     .dim = 96,
     .causal = true,
     .window = -1},
    {.name = "large logits",
     .batch = 1,
     .heads = 2,
     .kv_heads = 1,
     .q_len = 10,
     .kv_len = 19,
     .dim = 32,
     .window = -1,
     .spread = 2000},
    {.name = "window",
     .batch = 1,
     .heads = 2,
     .kv_heads = 1,
     .q_len = 15,
     .kv_len = 18,
     .dim = 32,
     .causal = true,
     .window = 4},
    {.name = "window, not causal",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .q_len = 7,
     .kv_len = 12,
     .dim = 256,
     .window = 2},
    {.name = "lengths",
     .batch = 3,
     .heads = 2,
     .kv_heads = 1,
     .q_len = 9,
     .kv_len = 14,
     .dim = 32,
     .causal = true,
     .window = -1,
     .q_lens = lens_a,
     .k_lens = lens_b},
};
enum { CASES = sizeof cases / sizeof *cases };

#endif
