/* nn_cpu against the oracle: linear layers and attention. */
#include "cpu_test.h"

/* --- linear --- */

static size_t rows, n_in, n_out;
static bool has_bias, add_dx;

static void linear_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    size_t in = n_in - (fault && ops == &nn_cpu && n_in > 1);
    ops->linear(ctx, a[3], a[0], a[1], has_bias ? a[2] : NULL, rows, in, n_out);
}

static void linear_backward_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    bool wrong = fault && ops == &nn_cpu;
    ops->linear_backward(ctx, a[0], wrong ? !add_dx : add_dx, a[1], has_bias ? a[2] : NULL, a[3], a[4], a[5], rows,
                         n_in, n_out);
}

/* The sums of absolute products, by the oracle itself on absolute values. */
static void absolutes(call *run, int result, double *to, double factor) {
    float *kept[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) {
        kept[i] = malloc((arrays[i].n + 1) * sizeof(float));
        for (size_t j = 0; j < arrays[i].n; j++)
            kept[i][j] = arrays[i].from[j], arrays[i].from[j] = fabsf(arrays[i].from[j]);
    }
    double *oracle = arrays[result].oracle;
    arrays[result].oracle = malloc((arrays[result].n + 1) * sizeof(double));
    double *others[ARRAYS];
    for (int i = 0; i < ARRAYS; i++)
        if (i != result && arrays[i].n) {
            others[i] = malloc(arrays[i].n * sizeof(double));
            memcpy(others[i], arrays[i].oracle, arrays[i].n * sizeof(double));
        }
    run_oracle(run);
    for (size_t j = 0; j < arrays[result].n; j++) to[j] = factor * arrays[result].oracle[j];
    free(arrays[result].oracle);
    arrays[result].oracle = oracle;
    for (int i = 0; i < ARRAYS; i++) {
        if (i != result && arrays[i].n) {
            memcpy(arrays[i].oracle, others[i], arrays[i].n * sizeof(double));
            free(others[i]);
        }
        if (arrays[i].n) memcpy(arrays[i].from, kept[i], arrays[i].n * sizeof(float));
        free(kept[i]);
    }
}

/* A sum of k products is off by k U times the sum of their magnitudes. */
static void test_linear(size_t rows_now, size_t in, size_t out, bool bias) {
    rows = rows_now, n_in = in, n_out = out, has_bias = bias;
    give(0, rows * in, -1, 1), give(1, out * in, -1, 1), give(2, out, -1, 1), want(3, rows * out);
    run_oracle(linear_call);
    absolutes(linear_call, 3, tolerance(3), U * ((double)in + 2));
    agrees(linear_call, "linear %zu x %zu -> %zu%s", rows, in, out, bias ? ", bias" : "");
    forget();
}

static void test_linear_backward(size_t rows_now, size_t in, size_t out, bool add) {
    rows = rows_now, n_in = in, n_out = out, has_bias = add, add_dx = add;
    give(0, rows * in, -1, 1), give(1, out * in, -1, 1), give(2, out, -1, 1);
    if (!add)
        for (size_t j = 0; j < rows * in; j++) arrays[0].from[j] = NAN;
    give(3, rows * out, -1, 1), give(4, rows * in, -1, 1), give(5, out * in, -1, 1);
    run_oracle(linear_backward_call);
    double *t[3] = {tolerance(0), tolerance(1), tolerance(2)};
    absolutes(linear_backward_call, 0, t[0], U * ((double)out + 2));
    absolutes(linear_backward_call, 1, t[1], U * ((double)rows + 2));
    absolutes(linear_backward_call, 2, t[2], U * ((double)rows / 32 + 34));
    agrees(linear_backward_call, "linear backward %zu x %zu -> %zu%s", rows, in, out, add ? ", added, dbias" : "");
    forget();
}

/* --- attention --- */

typedef struct masks {
    const char *name;
    bool index, segments;
    int window;
    float slope, dropout;
} masks;

static nn_attention shape;
static bool packed; /* Q, K and V are parts of one (B, T, 3 C) */
static size_t capacity;
static int32_t q_index[8192], kv_index[8192], q_segment[8192], kv_segment[8192];

enum { Q, K, V, O, LSE, DO, DQ, DK, DV };

static size_t bytes_of(const nn_ops *ops, size_t n) { return n * ops->elem; }

static nn_heads heads_of(const nn_ops *ops, void **a, int i) {
    bool of_q = i == Q || i == O || i == DO || i == DQ;
    size_t len = of_q ? shape.q_len : capacity, own = (of_q ? shape.heads : shape.kv_heads) * shape.head_dim;
    if (!packed || i == O || i == DO) return (nn_heads){a[i], len, own + 5};
    size_t stride = (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
           at = of_q ? 0 : (shape.heads + (i == V || i == DV ? shape.kv_heads : 0)) * shape.head_dim;
    return (nn_heads){(char *)a[i >= DQ ? DQ : Q] + bytes_of(ops, at), len, stride};
}

static size_t floats_of(int i) {
    bool of_q = i == Q || i == O || i == DO || i == DQ;
    size_t len = of_q ? shape.q_len : capacity, own = (of_q ? shape.heads : shape.kv_heads) * shape.head_dim;
    if (packed && (i == Q || i == DQ)) return shape.batch * len * (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
    return shape.batch * len * (own + 5);
}

static nn_attention seen_by(const nn_ops *ops) {
    nn_attention a = shape;
    if (!fault || ops != &nn_cpu) return a;
    if (a.q_index)
        a.slope += 0.01f;
    else if (a.dropout > 0)
        a.stream++;
    else
        a.causal = !a.causal;
    return a;
}

static void attention_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    nn_attention s = seen_by(ops);
    ops->attention(ctx, &s, heads_of(ops, a, O), a[LSE], heads_of(ops, a, Q), heads_of(ops, a, K), heads_of(ops, a, V));
}

/* From its own forward pass, as a model has it. */
static void attention_backward_call(const nn_ops *ops, nn_ctx *ctx, void **a) {
    nn_attention s = seen_by(ops);
    attention_call(ops, ctx, a);
    ops->attention_backward(ctx, &s, heads_of(ops, a, DQ), heads_of(ops, a, DK), heads_of(ops, a, DV),
                            heads_of(ops, a, DO), heads_of(ops, a, Q), heads_of(ops, a, K), heads_of(ops, a, V),
                            heads_of(ops, a, O), a[LSE]);
}

static void tokens(int32_t *index, int32_t *segment, size_t len, uint64_t stream) {
    for (size_t i = 0; i < shape.batch * len; i++) {
        index[i] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, stream, i) * 12);
        segment[i] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, stream + 1, i) * 4) - 1;
    }
}

static void set_shape(const nn_attention *s, const masks *m, bool packed_now, size_t capacity_now) {
    shape = *s, packed = packed_now, capacity = capacity_now;
    tokens(q_index, q_segment, shape.q_len, 30), tokens(kv_index, kv_segment, shape.kv_len, 40);
    shape.window = m->window, shape.slope = m->slope, shape.dropout = m->dropout;
    shape.seed = 99, shape.stream = 3;
    if (m->index) shape.q_index = q_index, shape.kv_index = kv_index;
    if (m->segments) shape.q_segment = q_segment, shape.kv_segment = kv_segment;
}

/* Gives each number of the rows that the call writes a tolerance; what lies between them must stay the NaN it was. */
static void set(int i, double each) {
    bool of_q = i == O || i == DQ;
    void *a[ARRAYS] = {NULL};
    for (int k = 0; k < ARRAYS; k++) a[k] = arrays[k].oracle;
    nn_heads h = heads_of(&nn_oracle, a, i);
    int at = packed && i >= DQ ? DQ : i;
    if (!arrays[at].tolerance) {
        double *t = tolerance(at);
        for (size_t j = 0; j < arrays[at].n; j++) t[j] = -1;
    }
    size_t begin = (size_t)((double *)h.data - arrays[at].oracle), len = of_q ? shape.q_len : shape.kv_len,
           own = (of_q ? shape.heads : shape.kv_heads) * shape.head_dim;
    for (size_t b = 0; b < shape.batch; b++)
        for (size_t t = 0; t < len; t++)
            for (size_t d = 0; d < own; d++) arrays[at].tolerance[begin + (b * h.len + t) * h.stride + d] = each;
}

/* q, k in [-size, size], v, dO in [-1, 1].
 *
 * A score has d + 5 roundings of at most A = scale d size^2 and its bias; shifted by the maximum or the lse, which is
 * rounded too, at most 2 more of A + log n: so e^score is off by E relatively, p by 2 E, and a sum of n products of p
 * and v by n U. dP is at most d / (1 - rate), delta too. A column of P sums to at most the queries that see the key,
 * and no score is worth more than 1. */
static void attention_tolerances(double size, bool back) {
    const double d = (double)shape.head_dim, n = (double)shape.kv_len, scale = 1 / sqrt(d),
                 keep = 1 / (1 - (double)shape.dropout);
    const double A = scale * d * size * size + (double)shape.slope * 12,
                 E = U * ((d + 7) * A + 4 * A + 4 * log(n + 1) + 8);
    const double weight = 2 * E + (n + d + 16) * U, P = fmin(1, weight);
    set(O, 2 * keep * P);
    double *t = tolerance(LSE);
    for (size_t i = 0; i < arrays[LSE].n; i++) t[i] = E * 1.5 + U * (n + fabs(arrays[LSE].oracle[i]));
    if (!back) return;
    const double dp = 2 * d * keep, queries = (double)shape.q_len * (double)(shape.heads / shape.kv_heads);
    set(DQ, 2 * scale * size * dp * P);
    set(DK, 2 * scale * size * dp * P * sqrt(queries));
    set(DV, 2 * keep * P * sqrt(queries));
}

static void test_attention(const nn_attention *s, const masks *m, double size, bool packed_now, size_t capacity_now) {
    bool back = capacity_now == s->kv_len;
    set_shape(s, m, packed_now, capacity_now);
    give(Q, floats_of(Q), -size, size);
    if (!packed) give(K, floats_of(K), -size, size), give(V, floats_of(V), -1, 1);
    want(O, floats_of(O)), want(LSE, shape.batch * shape.heads * shape.q_len), give(DO, floats_of(DO), -1, 1);
    want(DQ, floats_of(DQ));
    if (!packed) want(DK, floats_of(DK)), want(DV, floats_of(DV));
    call *run = back ? attention_backward_call : attention_call;
    run_oracle(run);
    attention_tolerances(size, back);
    agrees(run, "attention%s %zu x (%zu, %zu) x %zu/%zu x %zu, %s%s%s, up to %g", back ? " and back" : "", shape.batch,
           shape.q_len, shape.kv_len, shape.heads, shape.kv_heads, shape.head_dim, m->name,
           shape.causal ? ", causal" : "", packed ? ", one projection" : "", size);
    forget();
}

static const masks kinds[] = {
    {"plain", false, false, -1, 0, 0},   {"dropout", false, false, -1, 0, 0.2f},
    {"window", true, false, 1, 0, 0},    {"slope", true, false, -1, 0.5f, 0},
    {"segments", false, true, -1, 0, 0}, {"window, slope, segments, dropout", true, true, 4, 0.25f, 0.1f}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const nn_attention shapes[] = {
    {.batch = 2, .q_len = 1, .kv_len = 1, .heads = 1, .kv_heads = 1, .head_dim = 1},
    {.batch = 3, .q_len = 13, .kv_len = 13, .heads = 2, .kv_heads = 1, .head_dim = 13, .causal = true},
    {.batch = 5, .q_len = 14, .kv_len = 14, .heads = 4, .kv_heads = 4, .head_dim = 16, .causal = true},
    {.batch = 2, .q_len = 64, .kv_len = 64, .heads = 4, .kv_heads = 2, .head_dim = 32, .causal = true},
    {.batch = 1, .q_len = 127, .kv_len = 127, .heads = 2, .kv_heads = 2, .head_dim = 64, .causal = false},
    {.batch = 1, .q_len = 257, .kv_len = 257, .heads = 2, .kv_heads = 1, .head_dim = 32, .causal = true},
    {.batch = 1, .q_len = 5, .kv_len = 60, .heads = 2, .kv_heads = 1, .head_dim = 32, .causal = true},
    {.batch = 1, .q_len = 40, .kv_len = 25, .heads = 1, .kv_heads = 1, .head_dim = 24, .causal = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* One query or three against a cache that is not full. */
static void test_decode(void) {
    for (size_t kv = 1; kv < 250; kv = kv * 3 + 4)
        for (size_t q = 1; q <= 5; q += 2)
            for (int k = 0; k < KINDS; k += 5) {
                nn_attention a = {.batch = 2, .q_len = q, .kv_len = kv, .heads = 4, .kv_heads = 2, .head_dim = 32};
                a.causal = true;
                test_attention(&a, &kinds[k], 1, false, 257);
            }
}

/* Each allocation of open() fails in turn: an error, and nothing is left behind (the sanitizers see to that). */
static void test_memory(void) {
    nn_limits limits = {.rows = 64, .width = 64, .vocab = 65, .threads = 2};
    limits.num_attentions = SHAPES, limits.attentions = shapes;
    spak_error err;
    nn_ctx *ctx = NULL;
    long failures = 0;
    for (bool opened = false; !opened; failures++) {
        spak_alloc_fail_after(failures);
        opened = nn_cpu.open(&limits, &ctx, &err);
        spak_alloc_fail_after(-1);
        if (!opened && (ctx || !err.message[0])) ok(false, "a failed open leaves NULL and says why");
    }
    ok(failures > 10, "%s: open survives %ld failed allocations", isa_name, failures - 1);
    ok(nn_cpu.scratch_bytes(ctx) > 64 * 64 * sizeof(float), "%s: scratch is counted", isa_name);
    nn_cpu.close(ctx);
    limits.threads = 0;
    ok(!nn_cpu.open(&limits, &ctx, &err) && !ctx && strstr(err.message, "threads"), "no threads: %s", err.message);
}

static void test_all(void) {
    nn_limits limits = {.rows = 2048, .width = 3200, .vocab = 50257, .threads = 1};
    limits.num_attentions = SHAPES, limits.attentions = shapes;
    if (!open_all(&limits)) return;
    test_linear(1, 1, 1, true), test_linear(13, 13, 1000, true), test_linear(1, 768, 2304, true),
        test_linear(8, 384, 65, false), test_linear(9, 384, 1000, true), test_linear(127, 768, 257, true),
        test_linear(1013, 64, 256, true), test_linear(1, 100, 50257, false), test_linear(3, 1600, 13, true);
    test_linear_backward(1, 1, 1, true), test_linear_backward(13, 13, 1000, false),
        test_linear_backward(127, 384, 257, true), test_linear_backward(1013, 64, 256, true),
        test_linear_backward(2, 768, 127, false);
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < KINDS; k++) test_attention(&shapes[s], &kinds[k], 1, s % 2, shapes[s].kv_len);
    test_attention(&shapes[3], &kinds[0], 40, false, 64), test_attention(&shapes[3], &kinds[5], 40, false, 64);
    test_attention(&shapes[5], &kinds[0], 40, false, 257);
    test_decode();
    test_memory();
    fault = true;
    test_linear(127, 384, 257, true), test_linear(3, 1600, 13, true), test_linear_backward(127, 384, 257, true);
    for (int k = 0; k < KINDS; k++) test_attention(&shapes[3], &kinds[k], 1, false, 64);
    test_attention(&shapes[5], &kinds[0], 1, false, 257);
    fault = false;
    close_all();
}

int main(void) {
    each_isa(test_all);
    return done_testing();
}
