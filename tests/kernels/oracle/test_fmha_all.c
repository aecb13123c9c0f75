/* The oracle of all elements, on the emulator: right outputs are within its bound, and what is wrong is not. */
#define SPAK_EMULATE
#ifndef TYPE_F16
#define TYPE_F16 0
#endif
#include "attention.h"
#include "oracle/fmha_all.cu"
#include "oracle/fmha_f64.h"

static void run_sizes(const void *p) { all_sizes(*(const oracle_attention *)p); }
static void run_lse(const void *p) { all_lse(*(const oracle_attention *)p); }
static void run_output(const void *p) { all_output(*(const oracle_attention *)p); }
static void run_dq(const void *p) { all_dq(*(const oracle_attention *)p); }
static void run_dkv(const void *p) { all_dkv(*(const oracle_attention *)p); }

enum { SCRATCH = 7, MOST_BLOCKS = 512 };

typedef struct scene_memory {
    oracle_attention p;
    arrays list;
    float *block[SCRATCH];
} memory;

static unsigned tiles(const attention *a, bool keys, bool columns) {
    return (unsigned)(((keys ? a->kv_len : a->q_len) + TILE - 1) / TILE * (columns ? (a->dim + TILE - 1) / TILE : 1));
}

static bool begin(attention *a, memory *m, bool writes) {
    const size_t queries = (size_t)(a->batch * a->heads * a->q_len),
                 keys = (size_t)(a->batch * a->kv_heads * a->kv_len);
    const size_t floats[SCRATCH] = {2 * queries, 2 * keys, 2 * keys,       2 * queries,
                                    2 * queries, queries,  2 * MOST_BLOCKS};
    oracle_fmha x = {.heads = a->heads,
                     .kv_heads = a->kv_heads,
                     .q_len = a->q_len,
                     .kv_len = a->kv_len,
                     .type = TYPE_F16 ? DEV_F16 : DEV_BF16,
                     .backward = !writes};
    *m = (memory){.p = params_of(a)};
    m->p.bound = oracle_fmha_bound(&x);
    m->p.writes = writes;
    oracle_ptr *const at[SCRATCH] = {&m->p.q_size, &m->p.k_size,  &m->p.v_size, &m->p.do_size,
                                     &m->p.dots,   &m->p.own_lse, &m->p.worst};
    add_arrays(&m->list, a, writes);
    for (int i = 0; i < SCRATCH; i++) {
        m->block[i] = spak_calloc(floats[i], sizeof(float));
        *at[i] = (uintptr_t)m->block[i];
        add_array(&m->list, "scratch", m->block[i], 4 * floats[i], true);
    }
    int longest = a->q_len > a->kv_len ? a->q_len : a->kv_len;
    return emulate_oracle(run_sizes, &m->p, &m->list, (unsigned)(longest + 255) / 256, (unsigned)a->heads,
                          (unsigned)a->batch);
}

static void end(memory *m) {
    for (int i = 0; i < SCRATCH; i++) spak_free(m->block[i]);
}

/* The worst ratio of one kernel's blocks. */
static double worst_of(attention *a, memory *m, void (*kernel)(const void *), bool keys, bool columns, bool backward) {
    oracle_fmha x = {.heads = a->heads,
                     .kv_heads = a->kv_heads,
                     .q_len = a->q_len,
                     .kv_len = a->kv_len,
                     .type = TYPE_F16 ? DEV_F16 : DEV_BF16,
                     .backward = backward};
    m->p.bound = oracle_fmha_bound(&x);
    memset(m->block[SCRATCH - 1], 0, 2 * MOST_BLOCKS * sizeof(float));
    if (!emulate_oracle(kernel, &m->p, &m->list, tiles(a, keys, columns), (unsigned)(keys ? a->kv_heads : a->heads),
                        (unsigned)a->batch))
        return INFINITY;
    double worst = 0;
    for (int i = 0; i < MOST_BLOCKS; i++) worst = fmax(worst, (double)m->block[SCRATCH - 1][2 * i]);
    return worst;
}

typedef struct kind {
    const char *name;
    void (*kernel)(const void *);
    int tensor;
    bool keys, columns;
} kind;
static const kind kinds[] = {{"LSE", run_lse, -1, false, false},
                             {"O", run_output, O, false, true},
                             {"dQ", run_dq, DQ, false, true},
                             {"dK", run_dkv, DK, true, true},
                             {"dV", run_dkv, DV, true, true}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static double worst_kind(attention *a, memory *m, const kind *k) {
    return worst_of(a, m, k->kernel, k->keys, k->columns, k->tensor >= DQ);
}

static void right_outputs(const attention *from) {
    attention a = *from;
    memory m;
    if (!ok(attention_new(&a) && begin(&a, &m, false), "%s: inputs", a.name)) return;
    double worst[KINDS], most = 0;
    for (int i = 0; i < KINDS; i++) {
        worst[i] = worst_kind(&a, &m, &kinds[i]);
        most = fmax(most, worst[i]);
    }
    ok(most <= 1, "%s: %.3f, %.3f, %.3f, %.3f, %.3f of the bounds of LSE, O, dQ, dK, dV", a.name, worst[0], worst[1],
       worst[2], worst[3], worst[4]);
    end(&m);
    attention_free(&a);
}

/* The largest element of a tensor, and one near the end. */
static void spoil(attention *a, memory *m, const kind *k) {
    const size_t n = elements_in(a, k->tensor);
    size_t largest = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(a->f[k->tensor][i]) > fabsf(a->f[k->tensor][largest])) largest = i;
    element *one = &a->x[k->tensor][largest], was = *one;
    *one = 0;
    double left_out = worst_kind(a, m, k);
    *one = was;
    one = &a->x[k->tensor][n - 1];
    was = *one;
    *one = element_from_float(NAN);
    double unwritten = worst_kind(a, m, k);
    *one = was;
    ok(left_out > 1 && unwritten > 1, "%s, %s: an element that is 0 shows (%.3g), and one that nobody wrote", a->name,
       k->name, left_out);
}

static void wrong_outputs(const attention *from) {
    attention a = *from;
    memory m;
    a.spread = 8; /* few keys to a query: the bound is close */
    if (!ok(attention_new(&a) && begin(&a, &m, false), "%s: inputs", a.name)) return;
    worst_kind(&a, &m, &kinds[0]); /* its own LSE, for O */
    for (int i = 1; i < KINDS; i++) spoil(&a, &m, &kinds[i]);
    a.lse[3] += 0.01f;
    ok(worst_kind(&a, &m, &kinds[0]) > 1, "%s: an LSE off by a hundredth shows", a.name);
    end(&m);
    attention_free(&a);
}

/* The O and LSE that it writes are what the CPU's oracle says. */
static void writes(const attention *from) {
    attention a = *from;
    memory m;
    if (!ok(attention_new(&a), "%s: inputs", a.name)) return;
    const size_t n = elements_in(&a, O), lines = rows_in(&a, Q) * (size_t)a.heads;
    memset(a.x[O], 0xff, n * sizeof(element));
    memset(a.lse, 0xff, lines * sizeof(float));
    bool good = begin(&a, &m, true);
    worst_kind(&a, &m, &kinds[0]);
    worst_kind(&a, &m, &kinds[1]);
    double worst = 0, worst_lse = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)element_to_float(a.x[O][i]) - a.want[O][i]) / (0x1p-7 * (fabs(a.want[O][i]) + 1e-2));
        worst = off <= worst ? worst : off;
    }
    for (size_t i = 0; i < lines; i++) {
        double off = (double)a.lse[i] == a.want_lse[i] ? 0 : fabs((double)a.lse[i] - a.want_lse[i]) * 1e5;
        worst_lse = off <= worst_lse ? worst_lse : off;
    }
    ok(good && worst <= 1 && worst_lse <= 1, "%s: O and LSE as the CPU's: %.2g, %.2g of what is allowed", a.name, worst,
       worst_lse);
    end(&m);
    attention_free(&a);
}

static const attention tiled = {.name = "several tiles",
                                .batch = 1,
                                .heads = 2,
                                .kv_heads = 1,
                                .q_len = 70,
                                .kv_len = 133,
                                .dim = 96,
                                .causal = true,
                                .window = -1};
static const attention sliding = {.name = "a window over tiles",
                                  .batch = 1,
                                  .heads = 1,
                                  .kv_heads = 1,
                                  .q_len = 140,
                                  .kv_len = 131,
                                  .dim = 32,
                                  .causal = true,
                                  .window = 20};

int main(void) {
    for (int i = 0; i < CASES; i++) right_outputs(&cases[i]);
    right_outputs(&tiled);
    right_outputs(&sliding);
    wrong_outputs(&cases[0]);
    wrong_outputs(&tiled);
    for (int i = 0; i < CASES; i++)
        if (cases[i].spread == 0) writes(&cases[i]);
    writes(&tiled);
    return done_testing();
}
