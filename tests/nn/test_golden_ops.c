/* Operators against PyTorch in double precision: tests/nn/golden/ops.json, made by make_golden.py. Every table of
 * operators goes through the same cases, with its own unit roundoff. */
#include "golden.h"

static golden g;
static nn_ctx *ctx;
static const json_t *now; /* the case */

static size_t size_of(const char *member) { return (size_t)spak_json_int(now, member, 0); }
static bool is(const char *member, const char *word) { return strcmp(spak_json_str(now, member, ""), word) == 0; }

/* --- arrays of the device, freed at the end of a case --- */

enum { MOST_ARRAYS = 32 };
static void *arrays[MOST_ARRAYS];
static size_t num_arrays;

static void *zeros(size_t n) { return arrays[num_arrays++] = g.ops->alloc(ctx, n * g.ops->elem); }

static void *drawn(size_t n, double lo, double hi, uint64_t stream) {
    double *host = spak_malloc(n * sizeof *host);
    void *device = zeros(n);
    fill(host, n, lo, hi, stream);
    g.ops->put(ctx, device, host, n);
    spak_free(host);
    return device;
}

static void free_arrays(void) {
    while (num_arrays) g.ops->free(ctx, arrays[--num_arrays]);
}

static void compare_with(const json_t *kept, const char *what, const void *device, size_t n) {
    double *host = spak_malloc(n * sizeof *host);
    g.ops->get(ctx, host, device, n);
    double error = golden_error(&g, host, n, kept);
    if (!ok(error <= 1, "%s: %s", g.ops->name, what)) printf("# %g times the tolerance\n", error);
    spak_free(host);
}

static void compare(const char *member, const void *device, size_t n) {
    char what[160];
    snprintf(what, sizeof what, "%s %s%s, %zu numbers: %s", spak_json_str(now, "op", ""),
             spak_json_str(now, "kind", ""), spak_json_str(now, "pairing", ""), n, member);
    compare_with(json_object_get(now, member), what, device, n);
}

/* --- the cases --- */

/* x rstd, for |x| up to 2: of a row of one number it is large, and nothing of it is left in the gradients. */
static double largest_term(const void *stat, size_t rows) {
    double host[16], largest = 0;
    g.ops->get(ctx, host, stat, 2 * rows);
    for (size_t r = 0; r < rows; r++) largest = fmax(largest, 2 * host[2 * r + 1]);
    return largest;
}

static void run_norm(void) {
    size_t rows = size_of("rows"), width = size_of("width"), n = rows * width;
    bool layer = is("op", "layernorm");
    nn_norm_kind kind = layer ? NN_LAYERNORM : NN_RMSNORM;
    g.roundings = (double)width + 32;
    void *x = drawn(n, -2, 2, STREAM_X), *gamma = drawn(width, 0, 2, STREAM_GAMMA);
    void *beta = layer ? drawn(width, -1, 1, STREAM_BETA) : NULL, *dy = drawn(n, -1, 1, STREAM_DY);
    void *y = zeros(n), *stat = zeros(2 * rows), *dx = zeros(n), *dgamma = zeros(width), *dbeta = zeros(width);
    g.ops->norm(ctx, kind, y, stat, x, gamma, beta, rows, width, 1e-5f);
    g.ops->norm_backward(ctx, kind, dx, dgamma, layer ? dbeta : NULL, dy, x, stat, gamma, rows, width);
    compare("y", y, n);
    g.terms = largest_term(stat, rows);
    compare("dx", dx, n), compare("dgamma", dgamma, width);
    if (layer) compare("dbeta", dbeta, width);
    g.terms = 0;
}

static void run_linear(void) {
    size_t rows = size_of("rows"), in = size_of("in"), out = size_of("out");
    g.roundings = (double)(in > out ? in : out) + 32;
    void *x = drawn(rows * in, -1, 1, STREAM_X), *w = drawn(out * in, -1, 1, STREAM_W);
    void *bias = drawn(out, -1, 1, STREAM_BETA), *dy = drawn(rows * out, -1, 1, STREAM_DY);
    void *y = zeros(rows * out), *dx = zeros(rows * in), *dw = zeros(out * in), *dbias = zeros(out);
    g.ops->linear(ctx, y, x, w, bias, rows, in, out);
    g.ops->linear_backward(ctx, dx, false, dw, dbias, dy, x, w, rows, in, out);
    compare("y", y, rows * out), compare("dx", dx, rows * in);
    compare("dw", dw, out * in), compare("dbias", dbias, out);
}

static void run_act(void) {
    static const char *const kinds[] = {"gelu_erf", "gelu_tanh", "relu", "silu", "swiglu"};
    size_t rows = size_of("rows"), width = size_of("width"), kind = 0;
    while (kind < NN_SWIGLU && !is("kind", kinds[kind])) kind++;
    size_t n = rows * width * (kind == NN_SWIGLU ? 2 : 1);
    g.roundings = 64;
    void *x = drawn(n, -8, 8, STREAM_X), *dy = drawn(rows * width, -1, 1, STREAM_DY);
    void *y = zeros(rows * width), *dx = zeros(n);
    g.ops->act(ctx, (nn_act_kind)kind, y, x, rows, width);
    g.ops->act_backward(ctx, (nn_act_kind)kind, dx, dy, x, rows, width);
    compare("y", y, rows * width), compare("dx", dx, n);
}

static void run_rope(void) {
    const json_t *list = json_object_get(now, "positions");
    size_t rows = json_array_size(list), heads = size_of("heads"), head_dim = size_of("head_dim");
    size_t width = heads * head_dim;
    int32_t positions[16] = {0}, largest = 0;
    for (size_t i = 0; i < rows && i < 16; i++) {
        positions[i] = (int32_t)json_integer_value(json_array_get(list, i));
        if (positions[i] > largest) largest = positions[i];
    }
    nn_rope_pairing pairing = is("pairing", "halves") ? NN_ROPE_HALVES : NN_ROPE_NEIGHBOURS;
    g.roundings = 4.0 * largest + 16; /* an angle of n radians errs by n u and the roundings of its frequency */
    void *y = drawn(rows * width, -1, 1, STREAM_X), *dx = drawn(rows * width, -1, 1, STREAM_DY);
    g.ops->rope(ctx, pairing, y, positions, rows, heads, head_dim, width, 10000, false);
    g.ops->rope(ctx, pairing, dx, positions, rows, heads, head_dim, width, 10000, true);
    compare("y", y, rows * width), compare("dx", dx, rows * width);
}

/* Queries stand at the end of the keys: their index and segment are the last ones of each sequence. */
static void draw_tokens(int32_t *keys, int32_t *queries, const nn_attention *a, int32_t below, int32_t less,
                        uint64_t stream) {
    fill_whole(keys, a->batch * a->kv_len, below, less, stream);
    for (size_t b = 0; b < a->batch; b++)
        for (size_t t = 0; t < a->q_len; t++)
            queries[b * a->q_len + t] = keys[b * a->kv_len + a->kv_len - a->q_len + t];
}

/* lse, with zeros where no key is seen, as it was kept. */
static void compare_lse(void *lse, size_t n) {
    double *host = spak_malloc(n * sizeof *host);
    size_t blind = 0;
    g.ops->get(ctx, host, lse, n);
    for (size_t i = 0; i < n; i++) {
        if (host[i] != -INFINITY) continue;
        host[i] = 0;
        blind++;
    }
    g.ops->put(ctx, lse, host, n);
    is_int(blind, size_of("rows_that_see_nothing"), "%s: attention: rows that see nothing", g.ops->name);
    compare("lse", lse, n);
    spak_free(host);
}

static void attend(const nn_attention *a, double scale) {
    size_t width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
    size_t n = a->batch * a->q_len * width, kv_n = a->batch * a->kv_len * kv_width;
    size_t rows = a->batch * a->heads * a->q_len;
    void *q = drawn(n, -scale, scale, STREAM_Q), *k = drawn(kv_n, -scale, scale, STREAM_K);
    void *v = drawn(kv_n, -1, 1, STREAM_V), *d_o = drawn(n, -1, 1, STREAM_DY);
    void *o = zeros(n), *lse = zeros(rows), *dq = zeros(n), *dk = zeros(kv_n), *dv = zeros(kv_n);
#define HEADS_Q(x)  ((nn_heads){x, a->q_len, width})
#define HEADS_KV(x) ((nn_heads){x, a->kv_len, kv_width})
    g.ops->attention(ctx, a, HEADS_Q(o), lse, HEADS_Q(q), HEADS_KV(k), HEADS_KV(v));
    g.ops->attention_backward(ctx, a, HEADS_Q(dq), HEADS_KV(dk), HEADS_KV(dv), HEADS_Q(d_o), HEADS_Q(q), HEADS_KV(k),
                              HEADS_KV(v), HEADS_Q(o), lse);
    compare("o", o, n), compare("dv", dv, kv_n), compare_lse(lse, rows);
    bool one_key = a->kv_len == 1 || spak_json_num(now, "largest_score", 0) > 100;
    g.terms = one_key ? scale : 0; /* a key with all the weight: of do . v less its mean nothing is left */
    compare("dq", dq, n), compare("dk", dk, kv_n);
    g.terms = 0;
}

static void run_attention(void) {
    static int32_t index[256], q_index[256], segment[256], q_segment[256];
    nn_attention a = {.batch = size_of("batch"),
                      .q_len = size_of("q_len"),
                      .kv_len = size_of("kv_len"),
                      .heads = size_of("heads"),
                      .kv_heads = size_of("kv_heads"),
                      .head_dim = size_of("head_dim"),
                      .causal = spak_json_bool(now, "causal", false),
                      .window = (int)spak_json_int(now, "window", -1),
                      .slope = (float)spak_json_num(now, "slope", 0),
                      .dropout = (float)spak_json_num(now, "dropout", 0),
                      .seed = NN_TEST_SEED,
                      .stream = size_of("dropout_stream")};
    if (spak_json_bool(now, "indexed", false)) {
        draw_tokens(index, q_index, &a, 32, 0, STREAM_INDEX);
        a.q_index = q_index, a.kv_index = index;
    }
    if (spak_json_bool(now, "segmented", false)) {
        draw_tokens(segment, q_segment, &a, 3, 1, STREAM_SEGMENT);
        a.q_segment = q_segment, a.kv_segment = segment;
    }
    /* an error of the score is a relative one of its exponential */
    g.roundings = (double)a.kv_len + (double)(a.head_dim + 8) * (1 + spak_json_num(now, "largest_score", 0));
    attend(&a, spak_json_num(now, "scale", 1));
}

static void run_cross_entropy(void) {
    size_t rows = size_of("rows"), vocab = size_of("vocab"), n = rows * vocab;
    double scale = spak_json_num(now, "scale", 1);
    int32_t targets[16];
    fill_whole(targets, rows, (int32_t)vocab, 0, STREAM_TARGETS);
    json_t *ignored = json_object_get(now, "ignored");
    for (size_t i = 0; i < json_array_size(ignored); i++) targets[json_integer_value(json_array_get(ignored, i))] = -1;
    g.roundings = (double)vocab + 4 * scale;
    void *logits = drawn(n, -scale, scale, STREAM_X), *losses = zeros(rows);
    g.ops->cross_entropy(ctx, losses, logits, logits, targets, rows, vocab, (float)spak_json_num(now, "smoothing", 0),
                         0.125f);
    compare("losses", losses, rows), compare("dlogits", logits, n);
}

static void run_adamw(void) {
    size_t n = size_of("n");
    const json_t *steps = json_object_get(now, "p");
    void *p = drawn(n, -1, 1, STREAM_X), *m = zeros(n), *v = zeros(n);
    for (uint64_t t = 1; t <= json_array_size(steps); t++) {
        nn_adamw a = {.rate = ldexpf(1, -(int)t),
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .decay = (float)spak_json_num(now, "decay", 0),
                      .step = t,
                      .grad_scale = 0.5f};
        g.roundings = 64.0 * (double)t;
        g.ops->adamw(ctx, p, m, v, drawn(n, -4, 4, STREAM_DY + t), n, &a);
        compare_with(json_array_get(steps, t - 1), "AdamW: parameters after a step", p, n);
    }
    compare("m", m, n), compare("v", v, n);
}

/* The norm of a list of gradients; what clipping makes of them is nn_update's. */
static void run_clip(void) {
    void *a = drawn(67, -4, 4, STREAM_DY), *b = drawn(13, -4, 4, STREAM_DY + 1);
    double norm = sqrt(g.ops->sum_squares(ctx, a, 67) + g.ops->sum_squares(ctx, b, 13));
    double want = spak_json_num(now, "norm", NAN);
    is_near(norm, want, 128 * g.unit * want, "%s: the norm that is clipped", g.ops->name);
}

/* --- */

static bool open_for_cases(const json_t *cases) {
    nn_attention shapes[64];
    nn_limits limits = {.threads = 2, .rows = 2048, .width = 3072, .vocab = 1000, .attentions = shapes};
    for (size_t i = 0; i < json_array_size(cases) && limits.num_attentions < 64; i++) {
        now = json_array_get(cases, i);
        if (is("op", "attention"))
            shapes[limits.num_attentions++] = (nn_attention){.batch = size_of("batch"),
                                                             .q_len = size_of("q_len"),
                                                             .kv_len = size_of("kv_len"),
                                                             .heads = size_of("heads"),
                                                             .kv_heads = size_of("kv_heads"),
                                                             .head_dim = size_of("head_dim"),
                                                             .causal = spak_json_bool(now, "causal", false),
                                                             .window = -1};
    }
    spak_error err;
    return ok(g.ops->open(&limits, &ctx, &err), "%s: open", g.ops->name);
}

static void run_case(void) {
    static const struct {
        const char *op;
        void (*run)(void);
    } runs[] = {{"layernorm", run_norm}, {"rmsnorm", run_norm}, {"linear", run_linear},
                {"act", run_act},        {"rope", run_rope},    {"attention", run_attention},
                {"adamw", run_adamw},    {"clip", run_clip},    {"cross_entropy", run_cross_entropy}};
    size_t known = 0;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (is("op", runs[i].op)) runs[i].run(), known++;
    if (known != 1) ok(false, "%s: a case of an operator that this test does not know", spak_json_str(now, "op", ""));
    free_arrays();
}

static void run_table(const nn_ops *ops, const json_t *cases) {
    g = golden_of(ops);
    if (!open_for_cases(cases)) return;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        now = json_array_get(cases, i);
        run_case();
    }
    ops->close(ctx);
    printf("# %s: the largest error is %.2g of its tolerance\n", ops->name, g.worst);
}

static const nn_ops *const tables[] = {&nn_oracle, &nn_cpu};

int main(void) {
    json_t *file = golden_load("tests/nn/golden/ops.json");
    const json_t *cases = json_object_get(file, "cases"), *uniform = json_object_get(file, "uniform");
    size_t wrong = json_array_size(uniform) != 5;
    for (size_t i = 0; i < 5; i++)
        wrong +=
            json_number_value(json_array_get(uniform, i)) != (double)spak_philox_uniform(NN_TEST_SEED, STREAM_X, i);
    is_int(wrong, 0, "and the same uniform numbers");
    ok(json_array_size(cases) > 50, "there are cases");
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) run_table(tables[i], cases);
    json_decref(file);
    return done_testing();
}
