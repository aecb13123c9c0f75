/* Attention's oracle on the GPU against the one on the CPU: the very source of its kernels, on the emulator. */
#define SPAK_EMULATE
#ifndef TYPE_F16
#define TYPE_F16 0
#endif
#include "attention.h"
#include "oracle/fmha_f64.cu"
#include "oracle/fmha_f64.h"

static void run_output(const void *p) { oracle_output(*(const oracle_attention *)p); }
static void run_dq(const void *p) { oracle_dq(*(const oracle_attention *)p); }
static void run_dkv(const void *p) { oracle_dkv(*(const oracle_attention *)p); }

/* The CPU oracle's constants. */
static oracle_bound cpu_bound(const attention *a, bool backward) {
    fmha_shape shape = {(size_t)a->batch,  (size_t)a->heads, (size_t)a->kv_heads, (size_t)a->q_len,
                        (size_t)a->kv_len, (size_t)a->dim,   a->causal,           0};
    fmha_dtype type = TYPE_F16 ? FMHA_F16 : FMHA_BF16;
    double rescales = a->kv_len / 8 + 1, queries = a->q_len * (a->heads / a->kv_heads);
    double n = backward ? fmax(a->kv_len, queries) + 8 : 2 * (a->kv_len + rescales) + 4;
    return (oracle_bound){
        .unit = 0x1p-24,
        .exp_error = 4 * 0x1p-24,
        .rescales = backward ? 0 : rescales,
        .phi = n * 0x1p-24 / (1 - n * 0x1p-24),
        .rho = n * 0x1p-24 / (1 - n * 0x1p-24), /* the CPU multiplies by the factor as a whole */
        .factor = backward ? fmha_backward_error_factor(&shape, type) : fmha_error_factor(&shape, type),
        .subnormal = 0x1p-15};
}

/* The bounds of the CPU's oracle for all lines at once, in the layout of the tensors: (B, T, H, D). */
static bool cpu_bounds(const attention *a, bool backward, double *const bound[TENSORS], double *lse_bound) {
    fmha_shape shape = {(size_t)a->batch,  (size_t)a->heads, (size_t)a->kv_heads, (size_t)a->q_len,
                        (size_t)a->kv_len, (size_t)a->dim,   a->causal,           0};
    fmha_in in[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        oracle_layout at = layout(a, i);
        in[i] = (fmha_in){a->f[i], (size_t)at.batch, (size_t)at.head, (size_t)at.row};
    }
    fmha_forward_args x = {.q = in[Q], .k = in[K], .v = in[V]};
    fmha_backward_args y = {.q = in[Q], .k = in[K], .v = in[V], .o = in[O], .d_o = in[DO], .lse = a->lse};
    if (backward) return fmha_oracle_backward(&shape, &y, NULL, NULL, NULL, bound[DQ], bound[DK], bound[DV], NULL);
    return fmha_oracle(&shape, &x, NULL, NULL, bound[O], NULL) && fmha_oracle_lse_bound(&shape, &x, lse_bound, NULL);
}

static bool same(double got, double want) { return got == want || fabs(got - want) <= 1e-9 * fabs(want) + 1e-13; }

typedef struct kind {
    const char *name;
    void (*kernel)(const void *);
    int tensor, second; /* second: of the columns behind head_dim; -1: LSE or none */
    bool backward;
} kind;
static const kind kinds[] = {
    {"O, LSE", run_output, O, -1, false}, {"dQ", run_dq, DQ, -1, true}, {"dK, dV", run_dkv, DK, DV, true}};

typedef struct tally {
    int lines, wrong, wrong_bounds, far;
} tally;

static int lines_of(const attention *a, const kind *k, oracle_line *line) {
    const int *cu = of_keys(k->tensor) ? a->cu_k : a->cu_q;
    int n = 0;
    for (int b = 0; b < a->batch; b++)
        for (int h = 0; h < heads_of(a, k->tensor); h++)
            for (int t = 0; t < cu[b + 1] - cu[b]; t++) line[n++] = (oracle_line){b, h, t};
    return n;
}

static void judge_line(const attention *a, const kind *k, const oracle_line *l, const double *found, int width,
                       double *const bound[TENSORS], const double *lse_bound, double factor, tally *sum) {
    for (int c = 0; c < width; c++) {
        const double want = found[c], limit = found[width + c], got = found[2 * width + c];
        const bool is_lse = !k->backward && c == a->dim;
        const int tensor = c >= a->dim ? k->second : k->tensor;
        size_t at = is_lse ? lse_index(a, l->batch, l->head, l->at)
                           : index_of(a, tensor, l->batch, l->head, l->at) + (size_t)(c % a->dim);
        double right = is_lse ? a->want_lse[at] : a->want[tensor][at];
        double held = is_lse ? (double)a->lse[at] : (double)a->f[tensor][at];
        if (!same(want, right) || got != held) sum->wrong++;
        if (want != got && !(fabs(want - got) <= limit)) sum->far++;
        if (!bound[O]) continue;
        /* dense (b, h, t, d) */
        const int len = of_keys(k->tensor) ? a->kv_len : a->q_len;
        size_t row =
            ((size_t)l->batch * (size_t)heads_of(a, k->tensor) + (size_t)l->head) * (size_t)len + (size_t)l->at;
        double cpu = is_lse ? lse_bound[row] : factor * bound[tensor][row * (size_t)a->dim + (size_t)(c % a->dim)];
        if (!(fabs(limit - cpu) <= 1e-7 * cpu)) sum->wrong_bounds++;
    }
}

/* All lines of a kind. plain: the bounds are the CPU's, too. */
static bool run_kind(attention *a, const kind *k, oracle_bound b, bool plain, tally *sum) {
    enum { MOST = 4096 };
    oracle_line *line = spak_calloc(MOST, sizeof *line);
    int count = lines_of(a, k, line), width = k->second >= 0 ? 2 * a->dim : k->backward ? a->dim : a->dim + 1;
    oracle_attention p = params_of(a);
    p.bound = b;
    p.most_partners = a->kv_len + a->q_len * a->heads;
    double *partners = spak_calloc((size_t)count * (size_t)p.most_partners, 4 * sizeof *partners);
    double *found = spak_calloc((size_t)count * 3 * (size_t)width, sizeof *found);
    double *bound[TENSORS] = {0}, *lse_bound = spak_calloc(MOST, sizeof *lse_bound);
    p.lines = (uintptr_t)line, p.partners = (uintptr_t)partners, p.found = (uintptr_t)found;
    for (int i = O; plain && i < TENSORS; i++) bound[i] = spak_calloc(elements_in(a, i) + 1, sizeof(double));
    arrays list = {.count = 0};
    add_arrays(&list, a, false);
    bool good = (!plain || cpu_bounds(a, k->backward, bound, lse_bound)) &&
                emulate_oracle(k->kernel, &p, &list, (unsigned)count, 1, 1);
    *sum = (tally){.lines = count};
    for (int i = 0; good && i < count; i++)
        judge_line(a, k, &line[i], found + (size_t)i * 3 * (size_t)width, width, bound, lse_bound, b.factor, sum);
    for (int i = 0; i < TENSORS; i++) spak_free(bound[i]);
    spak_free(lse_bound), spak_free(line), spak_free(partners), spak_free(found);
    return good;
}

static void compare_with_cpu(const attention *from) {
    attention a = *from;
    const bool plain = a.window < 0 && !a.q_lens;
    if (!ok(attention_new(&a), "%s: inputs and what the CPU's oracle says", a.name)) return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tally sum;
        bool good = run_kind(&a, &kinds[i], cpu_bound(&a, kinds[i].backward), plain, &sum);
        ok(good && sum.wrong == 0 && sum.wrong_bounds == 0 && sum.far == 0, "%s: %s of %d lines%s as the CPU's", a.name,
           kinds[i].name, sum.lines, plain ? " and their bounds" : "");
        if (sum.wrong || sum.wrong_bounds || sum.far)
            printf("# %d numbers differ, %d bounds, %d beyond theirs\n", sum.wrong, sum.wrong_bounds, sum.far);
    }
    attention_free(&a);
}

/* The GPU's own constants hold for these outputs, and see what is wrong in them. */
static void sees_faults(const attention *from, float spread, size_t num_kinds) {
    attention a = *from;
    a.spread = spread;
    tally sum;
    oracle_fmha x = {.heads = a.heads,
                     .kv_heads = a.kv_heads,
                     .q_len = a.q_len,
                     .kv_len = a.kv_len,
                     .type = TYPE_F16 ? DEV_F16 : DEV_BF16};
    attention_new(&a);
    for (size_t i = 0; i < num_kinds; i++) {
        x.backward = kinds[i].backward;
        oracle_bound b = oracle_fmha_bound(&x), cpu = cpu_bound(&a, x.backward);
        ok(b.phi > cpu.phi && b.factor > cpu.factor, "%s, %s: the constants of the GPU are the wider ones", a.name,
           kinds[i].name);
        run_kind(&a, &kinds[i], b, false, &sum);
        is_int(sum.far, 0, "%s, %s: right outputs are within it", a.name, kinds[i].name);
        element *one = &a.x[kinds[i].tensor][elements_in(&a, kinds[i].tensor) / 2 + 3];
        const element was = *one;
        *one = element_from_float(element_to_float(was) + 0.25f);
        a.f[kinds[i].tensor][elements_in(&a, kinds[i].tensor) / 2 + 3] = element_to_float(*one);
        run_kind(&a, &kinds[i], b, false, &sum);
        is_int(sum.far, 1, "%s, %s: one wrong element is not", a.name, kinds[i].name);
        *one = element_from_float(NAN);
        run_kind(&a, &kinds[i], b, false, &sum);
        ok(sum.far == 1, "%s, %s: nor is one that nobody wrote", a.name, kinds[i].name);
        *one = was;
        a.f[kinds[i].tensor][elements_in(&a, kinds[i].tensor) / 2 + 3] = element_to_float(was);
    }
    attention_free(&a);
}

/* With equal scores and integers in V only O's rounding is allowed: a key left out shows. */
static void exact_sums(void) {
    attention a = {
        .name = "equal", .batch = 1, .heads = 1, .kv_heads = 1, .q_len = 3, .kv_len = 40, .dim = 32, .window = -1};
    a.spread = 1e-30f; /* Q is 0, or as good as that */
    tally sum;
    attention_new(&a);
    for (size_t i = 0; i < elements_in(&a, V); i++) {
        a.f[V][i] = (float)((int)(i * 7 % 9) - 4);
        a.x[V][i] = element_from_float(a.f[V][i]);
    }
    each_query(&a, want_forward);
    round_output(&a, O);
    oracle_fmha x = {
        .heads = 1, .kv_heads = 1, .q_len = 3, .kv_len = 40, .exact = true, .type = TYPE_F16 ? DEV_F16 : DEV_BF16};
    oracle_bound b = oracle_fmha_bound(&x);
    run_kind(&a, &kinds[0], b, false, &sum);
    is_int(sum.far, 0, "equal scores: right outputs are within their rounding");
    for (size_t d = 0; d < 32; d++) { /* without the last key */
        float mean = (float)((a.want[O][d] * 40 - (double)a.f[V][39 * 32 + d]) / 39);
        a.x[O][d] = element_from_float(mean);
    }
    run_kind(&a, &kinds[0], b, false, &sum);
    ok(sum.far > 20, "equal scores: a key that is left out shows in %d of 32 columns", sum.far);
    attention_free(&a);
}

int main(void) {
    for (int i = 0; i < CASES; i++) compare_with_cpu(&cases[i]);
    sees_faults(&cases[1], 1, 3);
    sees_faults(&cases[3], 40000, 1); /* one key has all of the weight */
    exact_sums();
    return done_testing();
}
