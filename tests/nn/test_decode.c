/* Decoding: the same logits as the forward pass for every kind of causal model, however the tokens are fed; halting
 * against its definition, written out once more without a cache; errors; memory that runs out. */
#include "base/alloc.h"
#include "model_test.h"

/* Decoded logits are floats of numbers that were summed in the same order in double precision. */
static const double TOLERANCE = 1e-6;

static double worst_of(const float *got, const double *want, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - want[i]) / (1 + fabs(want[i]));
        if (!(off <= worst)) worst = off;
    }
    return worst;
}

/* Columns from..from + len of (batch, width) ids. */
static const int32_t *columns(const int32_t *ids, size_t batch, size_t width, size_t from, size_t len, int32_t *out) {
    for (size_t b = 0; b < batch; b++) memcpy(out + b * len, ids + b * width + from, len * sizeof *out);
    return out;
}

static nn_decoder *new_decoder(nn_model *m, size_t batch, const nn_halting *halting) {
    spak_error err = {{0}};
    nn_decoder *d;
    if (nn_decoder_new(m, batch, halting, &d, &err)) return d;
    ok(false, "decoder: %s", err.message);
    exit(1);
}

/* Feeds `prompt` tokens, then one a call; the worst difference of each call's logits from those of the forward pass. */
static double worst_decoded(nn_decoder *d, const random_batch *r, size_t prompt, const double *want) {
    double worst = 0;
    int32_t tokens[TEST_ROWS], index[TEST_ROWS], kinds[TEST_ROWS];
    float logits[TEST_BATCH * TEST_VOCAB];
    spak_error err;
    for (size_t from = 0, len = prompt; from < TEST_LEN; from += len, len = 1) {
        bool good = nn_decode(d, len, columns(r->tokens, TEST_BATCH, TEST_LEN, from, len, tokens),
                              columns(r->index, TEST_BATCH, TEST_LEN, from, len, index),
                              columns(r->kinds, TEST_BATCH, TEST_LEN, from, len, kinds), logits, NULL, &err);
        if (!good) printf("# %s\n", err.message);
        for (size_t b = 0; good && b < TEST_BATCH; b++)
            worst = fmax(worst, worst_of(logits + b * TEST_VOCAB, want + (b * TEST_LEN + from + len - 1) * TEST_VOCAB,
                                         TEST_VOCAB));
        if (!good) return INFINITY;
    }
    return worst;
}

static void test_equals_forward(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    double want[TEST_ROWS * TEST_VOCAB];
    spak_error err = {{0}};
    make_batch(&r, c, false);
    for (size_t i = 0; i < TEST_ROWS; i++) r.segments[i] = 1;
    randomise(m);
    ok(nn_forward(m, &r.batch, NULL, &err), "%s: forward %s", c->name, err.message);
    nn_logits(m, 0, TEST_ROWS, want);
    const nn_halting off = {.most_loops = c->loops};
    nn_halting never = {.on = true, .threshold = 1.5f, .thinking_threshold = 1.5f, .most_loops = c->loops};
    nn_decoder *d = new_decoder(m, TEST_BATCH, &off), *patient = new_decoder(m, TEST_BATCH, &never);
    double worst = 0;
    for (size_t prompt = 1; prompt <= TEST_LEN; prompt++, nn_decoder_reset(d))
        worst = fmax(worst, worst_decoded(d, &r, prompt, want));
    ok(worst <= TOLERANCE, "%s: decoded as in the forward pass, whatever the prompt's length (off by %.1e)", c->name,
       worst);
    ok(worst_decoded(patient, &r, 3, want) <= TOLERANCE, "and where no confidence is enough");
    nn_decoder_free(d);
    nn_decoder_free(patient);
    nn_model_free(m);
}

/* So many sequences that prompts are taken in pieces. */
static void test_pieces(const model_case *c) {
    enum { MANY = 400 };
    nn_model *m;
    spak_error err = {{0}};
    int32_t *ids = spak_calloc(4 * MANY * TEST_LEN, sizeof *ids), *spent = ids + 3 * MANY * TEST_LEN;
    double *want = spak_calloc(MANY * TEST_LEN * TEST_VOCAB, sizeof *want);
    float *logits = spak_calloc(MANY * TEST_VOCAB, sizeof *logits);
    for (size_t i = 0; i < MANY * TEST_LEN; i++) {
        ids[i] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, 9, i) * TEST_VOCAB);
        ids[MANY * TEST_LEN + i] = (int32_t)(i % 4);
        ids[2 * MANY * TEST_LEN + i] = (int32_t)(i % 3) - 1;
    }
    const nn_batch b = {MANY, TEST_LEN, .tokens = ids, .index = ids + MANY * TEST_LEN,
                        .kinds = ids + 2 * MANY * TEST_LEN};
    if (!nn_model_new(&c->config, &nn_oracle, 1, MANY, TEST_LEN, 0, false, &m, &err)) printf("# %s\n", err.message);
    randomise(m);
    ok(nn_forward(m, &b, NULL, &err), "400 sequences");
    nn_logits(m, 0, MANY * TEST_LEN, want);
    nn_decoder *d = new_decoder(m, MANY, NULL);
    ok(nn_decode(d, TEST_LEN, b.tokens, b.index, b.kinds, logits, spent, &err), "decoded in pieces");
    double worst = 0;
    bool all = true;
    for (size_t i = 0; i < MANY * TEST_LEN; i++) all = all && spent[i] == (int32_t)c->config.loops;
    for (size_t i = 0; i < MANY; i++)
        worst = fmax(worst,
                     worst_of(logits + i * TEST_VOCAB, want + (i * TEST_LEN + TEST_LEN - 1) * TEST_VOCAB, TEST_VOCAB));
    ok(worst <= TOLERANCE, "%s: a prompt in pieces gives the same logits (off by %.1e)", c->name, worst);
    ok(all, "and each token spends all loops");
    nn_decoder_free(d);
    nn_model_free(m);
    spak_free(ids);
    spak_free(want);
    spak_free(logits);
}

/* --- halting, by its definition: the whole sequence anew in each loop, frozen rows held --- */

enum { MOST_WIDTH = 24, SLOTS = 8 };
static const nn_ops *const ops = &nn_oracle;
static nn_ctx *ctx;
static double room[SLOTS][TEST_LEN * 2 * MOST_WIDTH];
static bool plant; /* frozen rows' keys without x0 */

static void *param(const nn_model *m, size_t layer, const char *part) {
    static double value[16][TEST_VOCAB * MOST_WIDTH * 2];
    static size_t next;
    char name[64];
    size_t count, numbers;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    if (layer != SIZE_MAX) snprintf(name, sizeof name, "transformer.h.%zu.%s", layer, part);
    double *to = value[next++ % 16];
    for (size_t i = 0; i < count; i++) {
        if (strcmp(p[i].name, layer == SIZE_MAX ? part : name) != 0) continue;
        nn_model_get(m, NN_VALUES, p[i].at, p[i].rows * p[i].cols, to);
        return to;
    }
    return NULL;
}

/* s (T, width) -> s after one layer, for the rows that think; LayerNorm or RMSNorm, no positions by table. */
static void reference_layer(const nn_model *m, size_t layer, double *s, size_t len, const bool *frozen,
                            const int32_t *index) {
    const nn_config *c = nn_model_config(m);
    size_t w = c->width, kv = w / c->heads * c->kv_heads, qkv = w + 2 * kv;
    double *n = room[0], *p = room[1], *o = room[2], *y = room[3], *u = room[4], *a = room[5];
    double stat[2 * TEST_LEN], lse[TEST_LEN * 4];
    int32_t places[TEST_LEN] = {0, 1, 2, 3, 4};
    const int32_t *turns = c->positions == NN_POS_ROPE_INDEX ? index : places;
    ops->norm(ctx, c->norm, n, stat, s, param(m, layer, "ln_1.weight"), param(m, layer, "ln_1.bias"), len, w,
              c->norm_eps);
    ops->linear(ctx, p, n, param(m, layer, "attn.c_attn.weight"), param(m, layer, "attn.c_attn.bias"), len, w, qkv);
    ops->rope(ctx, c->rope_pairing, p, turns, len, c->heads + c->kv_heads, w / c->heads, qkv, c->rope_base, false);
    const nn_attention at = {1, len, len, c->heads, c->kv_heads, w / c->heads, true, index, index, .window = c->window};
    ops->attention(ctx, &at, (nn_heads){o, len, w}, lse, (nn_heads){p, len, qkv}, (nn_heads){p + w, len, qkv},
                   (nn_heads){p + w + kv, len, qkv});
    ops->linear(ctx, y, o, param(m, layer, "attn.c_proj.weight"), param(m, layer, "attn.c_proj.bias"), len, w, w);
    ops->add(ctx, y, y, s, len * w);
    ops->norm(ctx, c->norm, n, stat, y, param(m, layer, "ln_2.weight"), param(m, layer, "ln_2.bias"), len, w,
              c->norm_eps);
    size_t up = c->act == NN_SWIGLU ? 2 * c->hidden : c->hidden;
    ops->linear(ctx, u, n, param(m, layer, "mlp.c_fc.weight"), param(m, layer, "mlp.c_fc.bias"), len, w, up);
    ops->act(ctx, c->act, a, u, len, c->hidden);
    ops->linear(ctx, n, a, param(m, layer, "mlp.c_proj.weight"), param(m, layer, "mlp.c_proj.bias"), len, c->hidden, w);
    for (size_t i = 0; i < len * w; i++)
        if (!frozen[i / w]) s[i] = y[i] + n[i];
}

static void reference_logits(const nn_model *m, const double *x, size_t len, double *logits) {
    const nn_config *c = nn_model_config(m);
    double stat[2 * TEST_LEN];
    ops->norm(ctx, c->norm, room[0], stat, x, param(m, SIZE_MAX, "transformer.ln_f.weight"),
              param(m, SIZE_MAX, "transformer.ln_f.bias"), len, c->width, c->norm_eps);
    ops->linear(ctx, logits, room[0], param(m, SIZE_MAX, "transformer.wte.weight"), NULL, len, c->width, c->vocab);
}

static void reference(const nn_model *m, const nn_halting *h, const int32_t *tokens, const int32_t *index,
                      const int32_t *kinds, double *logits, int32_t *spent) {
    const nn_config *c = nn_model_config(m);
    size_t w = c->width, len = TEST_LEN;
    double x[TEST_LEN * MOST_WIDTH], x0[TEST_LEN * MOST_WIDTH], s[TEST_LEN * MOST_WIDTH], stat[2 * TEST_LEN];
    bool frozen[TEST_LEN] = {0};
    ops->embed(ctx, x, tokens, param(m, SIZE_MAX, "transformer.wte.weight"), len, w, false);
    if (c->kinds) ops->embed(ctx, x, kinds, param(m, SIZE_MAX, "transformer.wke.weight"), len, w, true);
    memcpy(x0, x, sizeof x);
    for (size_t t = 0; t < len; t++) spent[t] = (int32_t)h->most_loops;
    for (size_t loop = 0; loop < h->most_loops; loop++) {
        for (size_t i = 0; i < len * w; i++) s[i] = x[i] + (c->inject && loop && !(plant && frozen[i / w]) ? x0[i] : 0);
        if (c->normalise_state) ops->norm(ctx, NN_RMSNORM, s, stat, s, NULL, NULL, len, w, c->norm_eps);
        for (size_t layer = 0; layer < c->layers; layer++) reference_layer(m, layer, s, len, frozen, index);
        for (size_t i = 0; i < len * w; i++)
            if (!frozen[i / w]) x[i] = s[i];
        reference_logits(m, x, len, logits);
        bool thinks = false;
        for (size_t t = 0; t < len; t++) {
            float sure;
            int32_t best;
            double top;
            thinks = thinks || tokens[t] == h->thinking_from;
            ops->argmax(ctx, &best, &top, logits + t * c->vocab, 1, c->vocab);
            sure = (float)top;
            if (frozen[t] || sure < (thinks ? h->thinking_threshold : h->threshold)) continue;
            frozen[t] = true;
            spent[t] = (int32_t)loop + 1;
        }
    }
}

static void check_halting(const model_case *c, const char *what, nn_halting h, size_t prompt) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    make_batch(&r, c, false);
    randomise(m);
    nn_decoder *d = new_decoder(m, TEST_BATCH, &h);
    double want[TEST_ROWS * TEST_VOCAB], other[TEST_ROWS * TEST_VOCAB];
    int32_t want_spent[TEST_ROWS], spent[TEST_BATCH], ids[3][TEST_ROWS], got[TEST_ROWS], sums[2] = {0};
    h.most_loops = h.most_loops ? h.most_loops : c->config.loops;
    r.tokens[2] = r.tokens[TEST_LEN + 1] = h.thinking_from;
    for (size_t b = 0; b < TEST_BATCH; b++) {
        size_t at = b * TEST_LEN;
        plant = true;
        reference(m, &h, r.tokens + at, r.index + at, r.kinds + at, other + at * TEST_VOCAB, want_spent + at);
        plant = false;
        reference(m, &h, r.tokens + at, r.index + at, r.kinds + at, want + at * TEST_VOCAB, want_spent + at);
    }
    double worst = 0, planted = 0;
    bool same = true;
    float logits[TEST_BATCH * TEST_VOCAB];
    spak_error err = {{0}};
    for (size_t from = 0, len = prompt; from < TEST_LEN; from += len, len = 1) {
        if (!nn_decode(d, len, columns(r.tokens, TEST_BATCH, TEST_LEN, from, len, ids[0]),
                       columns(r.index, TEST_BATCH, TEST_LEN, from, len, ids[1]),
                       columns(r.kinds, TEST_BATCH, TEST_LEN, from, len, ids[2]), logits, got, &err))
            printf("# %s\n", err.message);
        for (size_t b = 0; b < TEST_BATCH; b++) {
            size_t row = b * TEST_LEN + from + len - 1;
            worst = fmax(worst, worst_of(logits + b * TEST_VOCAB, want + row * TEST_VOCAB, TEST_VOCAB));
            planted = fmax(planted, worst_of(logits + b * TEST_VOCAB, other + row * TEST_VOCAB, TEST_VOCAB));
            for (size_t t = 0; t < len; t++) same = same && got[b * len + t] == want_spent[b * TEST_LEN + from + t];
            spent[b] = got[b * len];
        }
    }
    for (size_t i = 0; i < TEST_ROWS; i++) sums[want_spent[i] == (int32_t)h.most_loops]++;
    ok(worst <= TOLERANCE, "%s, prompt of %zu: logits by the definition (off by %.1e)", what, prompt, worst);
    ok(same, "and the loops spent (the last: %d, %d)", spent[0], spent[1]);
    ok(sums[0] && sums[1], "where %d tokens halted and %d did not", sums[0], sums[1]);
    if (c->config.inject) ok(planted > 1e-3, "planted: keys of frozen tokens without x0 are seen (%.1e)", planted);
    nn_decoder_free(d);
    nn_model_free(m);
}

static void test_halting(model_case *cases) {
    const nn_limits limits = {.threads = 1, .num_attentions = 1, .attentions = &(nn_attention){.kv_len = TEST_LEN}};
    spak_error err;
    if (!ops->open(&limits, &ctx, &err)) exit(1);
    const nn_halting h = {true, 0.25f, 0.7f, 4, 6};
    for (size_t prompt = 1; prompt <= TEST_LEN; prompt += 2) {
        check_halting(&cases[3], "LoopLM with everything", h, prompt);
        check_halting(&cases[4], "LoopLM as published", h, prompt);
    }
    cases[2].config.loops = 4, cases[2].config.inject = true;
    check_halting(&cases[2], "two layers a loop, SwiGLU, grouped heads", h, 4);
    check_halting(&cases[4], "input tokens halt at once, the rest never", (nn_halting){true, 0, 2, 4, 5}, 5);
    ops->close(ctx);
}

static void test_all_halt(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    double want[TEST_ROWS * TEST_VOCAB];
    spak_error err = {{0}};
    make_batch(&r, c, false);
    randomise(m);
    r.batch.loops = 1;
    ok(nn_forward(m, &r.batch, NULL, &err), "one loop %s", err.message);
    nn_logits(m, 0, TEST_ROWS, want);
    nn_decoder *d = new_decoder(m, TEST_BATCH, &(nn_halting){.on = true, .thinking_from = -1});
    ok(worst_decoded(d, &r, 3, want) <= TOLERANCE,
       "threshold 0: every token halts after one loop, as if there were one");
    nn_decoder_free(d);
    nn_model_free(m);
}

/* --- errors --- */

static void test_errors(const model_case *cases) {
    nn_model *m = new_model(&cases[0], &nn_oracle, false), *both = new_model(&cases[5], &nn_oracle, false);
    nn_decoder *d = new_decoder(m, 1, NULL), *none = NULL;
    spak_error err = {{0}};
    float first[TEST_VOCAB], again[TEST_VOCAB];
    const int32_t tokens[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, wrong[3] = {1, 2, TEST_VOCAB};
    ok(!nn_decoder_new(both, 1, NULL, &none, &err) && !none && strstr(err.message, "both directions"), "%s",
       err.message);
    ok(!nn_decoder_new(m, 0, NULL, &none, &err) && !none, "%s", err.message);
    randomise(m);
    ok(nn_decode(d, 3, tokens, NULL, NULL, first, NULL, &err), "decodes");
    nn_decoder_reset(d);
    ok(!nn_decode(d, 3, wrong, NULL, NULL, again, NULL, &err) && strstr(err.message, "token 11 at sequence 0, place 2"),
       "%s", err.message);
    ok(!nn_decode(d, 9, tokens, NULL, NULL, again, NULL, &err) && strstr(err.message, "context 8"), "%s", err.message);
    ok(!nn_decode(d, 0, tokens, NULL, NULL, again, NULL, &err), "%s", err.message);
    ok(nn_decode(d, 3, tokens, NULL, NULL, again, NULL, &err) && memcmp(first, again, sizeof first) == 0,
       "a call that fails leaves no trace");
    nn_decoder_free(d);
    nn_model_free(m);
    nn_model_free(both);
}

static void test_memory(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    long n = 0, clean = 0;
    for (bool done = false; !done && n < 100; n++) {
        nn_decoder *d = NULL;
        spak_error err = {{0}};
        spak_alloc_fail_after(n);
        done = nn_decoder_new(m, 2, NULL, &d, &err);
        if (!done) clean += !d && strstr(err.message, "memory") != NULL;
        const int32_t tokens[2] = {1, 2}, zeros[2] = {0, 0};
        float logits[2 * TEST_VOCAB];
        spak_alloc_fail_after(0);
        if (done) ok(nn_decode(d, 1, tokens, zeros, zeros, logits, NULL, &err), "decoding allocates nothing");
        spak_alloc_fail_after(-1);
        nn_decoder_free(d);
    }
    ok(n > 3 && clean == n - 1, "a decoder: each of %ld allocations fails cleanly", n - 1);
    nn_model_free(m);
}

static void test_sample(void) {
    const float logits[5] = {1, 3, 2, 3, -INFINITY};
    is_int(nn_sample(logits, 5, 0, 0, 0.99), 1, "temperature 0: the best, the lowest of equal ones");
    is_int(nn_sample(logits, 5, 1, 1, 0.99), 3, "the best one, and what equals it");
    is_int(nn_sample(logits, 5, 1, 3, 0), 1, "of the three best, the first");
    is_int(nn_sample(logits, 5, 1, 0, 0), 0, "of all, the first");
    is_int(nn_sample(logits, 5, 1, 0, 0.9999999), 3, "the last that has a probability");
    double sum = exp(-2) + 1 + exp(-1) + 1, edge = (exp(-2) + 1) / sum;
    is_int(nn_sample(logits, 5, 1, 0, edge - 1e-9), 1, "below the edge of a token");
    is_int(nn_sample(logits, 5, 1, 0, edge + 1e-9), 2, "and above");
    edge = exp(-4) / (exp(-4) + 2 + exp(-2));
    is_int(nn_sample(logits, 5, 0.5f, 0, edge + 1e-9), 1, "temperature divides");
    is_int(nn_sample(logits, 5, 0.5f, 0, edge - 1e-9), 0, "the logits");
    const float signs[4] = {-1, -0.5f, 0.25f, -3};
    is_int(nn_sample(signs, 4, 1, 2, 0), 1, "the two best across the sign");
}

int main(void) {
    model_case cases[NUM_CASES];
    model_cases(cases);
    for (size_t i = 0; i < NUM_CASES; i++)
        if (cases[i].config.causal) test_equals_forward(&cases[i]);
    test_pieces(&cases[2]);
    test_pieces(&cases[3]);
    test_all_halt(&cases[3]);
    test_errors(cases);
    test_memory(&cases[3]);
    test_sample();
    test_halting(cases);
    return done_testing();
}
