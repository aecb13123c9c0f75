/* Models as a whole: memory is as planned and taken once, initial values and losses, the head in chunks, what can be
 * looked at after a pass, dropout's streams, errors, memory that runs out. Gradients are in test_gradients.c. */
#include "base/alloc.h"
#include "nn/model.h"
#include "reference.h"

/* --- memory: a table that counts --- */

static size_t taken, arenas;

static void *counting_alloc(nn_ctx *ctx, size_t bytes) {
    taken += bytes;
    arenas++;
    return nn_oracle.alloc(ctx, bytes);
}

static size_t total(nn_memory m) { return m.params + m.grads + m.optimiser + m.activations; }

static void test_plan(const model_case *c, bool training) {
    nn_ops counting = nn_oracle;
    counting.alloc = counting_alloc;
    nn_model *m;
    random_batch r;
    double loss;
    spak_error err = {{0}};
    taken = arenas = 0;
    m = new_model(c, &counting, training);
    is_int(taken, total(nn_model_memory(m)), "%s: the model takes what it says%s, in %zu arenas", c->name,
           training ? " for training" : "", arenas);
    randomise(m);
    make_batch(&r, c, training);
    spak_alloc_fail_after(0);
    bool good = nn_forward(m, &r.batch, &loss, &err);
    if (training) {
        nn_zero_gradients(m);
        good = good && nn_forward_backward(m, &r.batch, 1, &loss, &err);
        nn_update(m, &(nn_optimiser){0.9, 0.95, 1e-8, 0.1, 1}, 1e-3, 0);
    }
    spak_alloc_fail_after(-1);
    ok(good && isfinite(loss), "and nothing afterwards: %s", err.message);
    nn_model_free(m);
}

static void test_out_of_memory(const model_case *c) {
    long n = 0, clean = 0;
    for (bool done = false; !done && n < 100; n++) {
        nn_model *m = NULL;
        spak_error err = {{0}};
        spak_alloc_fail_after(n);
        done = nn_model_new(&c->config, &nn_oracle, 1, 2, 4, 0, true, &m, &err);
        spak_alloc_fail_after(-1);
        if (!done) clean += !m && strstr(err.message, "memory") != NULL;
        nn_model_free(m);
    }
    ok(n > 10 && clean == n - 1, "a model: each of %ld allocations fails cleanly", n - 1);
}

/* --- initial values --- */

static const nn_param *find(const nn_model *m, const char *name) {
    size_t count, numbers;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    for (size_t i = 0; i < count; i++)
        if (strcmp(p[i].name, name) == 0) return &p[i];
    ok(false, "there is a parameter %s", name);
    exit(1);
}

static double rms(const nn_model *m, const char *name, double *mean) {
    const nn_param *p = find(m, name);
    double sum = 0, squares = 0, x;
    for (size_t i = 0; i < p->rows * p->cols; i++) {
        nn_model_get(m, NN_VALUES, p->at + i, 1, &x);
        sum += x;
        squares += x * x;
    }
    *mean = sum / (double)(p->rows * p->cols);
    return sqrt(squares / (double)(p->rows * p->cols));
}

static void test_init(void) {
    model_case c = {.config = small_gpt()};
    c.config.width = c.config.hidden = 64;
    c.config.heads = c.config.kv_heads = 4;
    c.config.loops = 2;
    nn_model *m = new_model(&c, &nn_oracle, true), *again = new_model(&c, &nn_oracle, false);
    random_batch r;
    double mean, loss, x[3], y[3];
    spak_error err = {{0}};
    nn_model_init(m, 5);
    nn_model_init(again, 5);
    /* 4096 draws: the root of the mean square is within 5 / sqrt(2 * 4096) of sigma */
    is_near(rms(m, "transformer.h.1.mlp.c_fc.weight", &mean) / 0.02, 1, 0.056, "matrices have sigma 0.02");
    ok(fabs(mean) < 5 * 0.02 / 64, "and mean 0");
    is_near(rms(m, "transformer.h.1.mlp.c_proj.weight", &mean) / (0.02 / sqrt(2 * 2 * 2)), 1, 0.056,
            "projections into the residual: over the root of twice the passes");
    is_near(rms(m, "transformer.ln_f.weight", &mean), 1, 0, "gains are 1");
    is_near(rms(m, "transformer.h.0.attn.c_attn.bias", &mean), 0, 0, "biases are 0");
    size_t at = find(m, "transformer.wpe.weight")->at;
    nn_model_get(m, NN_VALUES, at + 1, 3, x);
    nn_model_get(again, NN_VALUES, at + 1, 3, y);
    ok(memcmp(x, y, sizeof x) == 0, "the same seed gives the same values");
    is_near(x[2], (double)(0.02f * spak_philox_normal(5, 1, 3)), 0, "number i of the parameter's own stream");
    size_t fc = find(m, "transformer.h.0.mlp.c_fc.weight")->at, number = 0;
    while (nn_model_params(m, NULL, NULL)[number].at != fc) number++;
    nn_model_get(m, NN_VALUES, fc + 3001, 1, x);
    is_near(x[0], (double)(0.02f * spak_philox_normal(5, number, 3001)), 0, "far into it, too");
    nn_model_init(again, 6);
    nn_model_get(again, NN_VALUES, at + 1, 3, y);
    ok(memcmp(x, y, sizeof x) != 0, "another seed gives others");
    make_batch(&r, &c, false);
    ok(nn_forward(m, &r.batch, &loss, &err), "forward %s", err.message);
    is_near(loss, log(TEST_VOCAB), 0.1, "the first loss is that of guessing, ln(vocab)");
    nn_model_free(m);
    nn_model_free(again);
}

/* --- the head and what can be looked at --- */

static double row_loss(const double *logits, size_t vocab, int32_t target) {
    double sum = 0, top = logits[0];
    for (size_t i = 0; i < vocab; i++) top = fmax(top, logits[i]);
    for (size_t i = 0; i < vocab; i++) sum += exp(logits[i] - top);
    return log(sum) + top - logits[target];
}

/* Chunks are made small here; in test_gradients.c they are, too. */
static void test_chunks(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    double loss, want = 0, logits[TEST_ROWS * TEST_VOCAB], rows[3 * TEST_VOCAB];
    int32_t best[TEST_ROWS], count = 0;
    float sure[TEST_ROWS];
    spak_error err = {{0}};
    is_int(nn_chunk_rows(&(nn_config){.vocab = 1 << 20}, &nn_oracle, 10), 8,
           "2^20 logits of 8 bytes: 8 rows at a time");
    is_int(nn_chunk_rows(&(nn_config){.vocab = 1 << 30}, &nn_oracle, 10), 1, "at least one");
    is_int(m->chunk, TEST_ROWS, "few: all at once");
    m->chunk = 4;
    randomise(m);
    make_batch(&r, c, false);
    ok(nn_forward(m, &r.batch, &loss, &err), "a head in chunks of 4, 4 and 2 rows %s", err.message);
    nn_predictions(m, 0, best, sure);
    nn_logits(m, 0, TEST_ROWS, logits);
    nn_logits(m, 3, 3, rows);
    bool right = true;
    for (size_t row = 0; row < TEST_ROWS; row++) {
        const double *l = logits + row * TEST_VOCAB;
        if (r.targets[row] >= 0) want += row_loss(l, TEST_VOCAB, r.targets[row]), count++;
        right = right && fabs(exp(-row_loss(l, TEST_VOCAB, best[row])) / (double)sure[row] - 1) < 1e-6;
    }
    is_near(loss, want / count, 1e-12, "has the loss of its logits, row by row");
    ok(right, "and their best tokens, with their probabilities");
    ok(memcmp(rows, logits + 3 * TEST_VOCAB, sizeof rows) == 0, "rows 3 to 5 are those of all");
    nn_model_free(m);
}

static void test_looking(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    spak_error err = {{0}};
    int32_t after2[TEST_ROWS], best[TEST_ROWS];
    float sure2[TEST_ROWS], sure[TEST_ROWS];
    double early[TEST_ROWS * 8], late[TEST_ROWS * 8], x0[TEST_ROWS * 8];
    make_batch(&r, c, false);
    randomise(m);
    nn_forward(m, &r.batch, NULL, &err);
    nn_predictions(m, 2, after2, sure2);
    nn_hidden(m, 2, early);
    nn_hidden(m, 0, x0);
    r.batch.loops = 2;
    nn_forward(m, &r.batch, NULL, &err);
    nn_predictions(m, 0, best, sure);
    nn_hidden(m, 2, late);
    ok(memcmp(after2, best, sizeof best) == 0 && memcmp(sure2, sure, sizeof sure) == 0,
       "predictions after loop 2 of more are those of 2 loops");
    ok(memcmp(early, late, sizeof early) == 0, "and so is the state");
    double kind[8], token[8];
    nn_model_get(m, NN_VALUES, find(m, "transformer.wte.weight")->at + (size_t)r.tokens[1] * 8, 8, token);
    nn_model_get(m, NN_VALUES, find(m, "transformer.wke.weight")->at, 8, kind);
    for (size_t i = 0; i < 8; i++) token[i] += kind[i];
    ok(memcmp(token, x0 + 8, sizeof token) == 0, "state 0 is the embedding of token and kind");
    nn_model_free(m);
}

/* --- the forward pass, by its definition --- */

static double smoothed_loss(const double *logits, int32_t target, double smoothing) {
    double sum = 0;
    for (int32_t i = 0; i < TEST_VOCAB; i++) sum += row_loss(logits, TEST_VOCAB, i) / TEST_VOCAB;
    return (1 - smoothing) * row_loss(logits, TEST_VOCAB, target) + smoothing * sum;
}

static void test_definition(const model_case *c, bool training) {
    model_case calm = *c;
    calm.config.dropout = 0;
    nn_model *m = new_model(&calm, &nn_oracle, false);
    random_batch r;
    size_t loops = c->loops ? c->loops : c->config.loops, count = 0;
    size_t first = c->config.supervision == NN_LOSS_SECOND_HALF ? loops / 2 : loops - 1;
    double all[MOST_LOOPS][TEST_LEN * TEST_VOCAB], got[TEST_ROWS * TEST_VOCAB], worst = 0, want = 0, loss = 0;
    int32_t spent[TEST_LEN];
    spak_error err = {{0}};
    make_batch(&r, c, training);
    randomise(m);
    ok(nn_forward(m, &r.batch, &loss, &err), "forward %s", err.message);
    nn_logits(m, 0, TEST_ROWS, got);
    for (size_t b = 0, at = 0; b < TEST_BATCH; b++, at += TEST_LEN) {
        const sequence q = {r.tokens + at, r.index + at, r.kinds + at, r.segments + at};
        reference(m, &q, loops, NULL, all, spent);
        for (size_t i = 0; i < TEST_LEN * TEST_VOCAB; i++)
            worst = nn_worst(worst, fabs(got[at * TEST_VOCAB + i] - all[loops - 1][i]));
        for (size_t loop = first; loop < loops; loop++)
            for (size_t t = 0; t < TEST_LEN; t++) {
                if (r.targets[at + t] < 0) continue;
                want += smoothed_loss(all[loop] + t * TEST_VOCAB, r.targets[at + t],
                                      training ? (double)c->config.label_smoothing : 0);
                count++;
            }
    }
    ok(worst < 1e-12, "%s: logits by the definition (off by %.1e)", c->name, worst);
    is_near(loss, want / (double)count, 1e-12, "and the loss, of the supervised loops%s",
            training && c->config.label_smoothing > 0 ? ", smoothed" : "");
    nn_model_free(m);
}

/* --- no array of the arena reaches into another --- */

typedef struct extent {
    const char *from;
    size_t bytes;
} extent;

static size_t add_extent(extent *list, size_t n, const void *from, size_t rows, size_t width) {
    if (from) list[n++] = (extent){from, rows * width * sizeof(double)};
    return n;
}

static void test_layout(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, true);
    const nn_config *f = &c->config;
    extent list[256];
    size_t n = 0, w = f->width, qkv = w + 2 * (w / f->heads * f->kv_heads), overlaps = 0;
    size_t up = (f->act == NN_SWIGLU ? 2 : 1) * f->hidden, rows = TEST_ROWS;
    const void *wide[] = {m->x0, m->final, m->dx, m->dx0, m->dwidth, m->dheads};
    for (size_t i = 0; i < 6; i++) n = add_extent(list, n, wide[i], rows, w);
    n = add_extent(list, n, m->final_stat, rows, 2);
    n = add_extent(list, n, m->logits, m->chunk, f->vocab);
    n = add_extent(list, n, m->row_numbers, rows, 1);
    n = add_extent(list, n, m->dqkv, rows, qkv);
    n = add_extent(list, n, m->dup, rows, up);
    n = add_extent(list, n, m->dact, rows, f->hidden);
    for (size_t i = 0; i < m->most_loops * f->layers; i++) {
        const nn_pass *p = &m->passes[i];
        const void *state = i ? m->passes[i - 1].out : m->x0;
        n = add_extent(list, n, p->base != state ? p->base : NULL, rows, w);
        n = add_extent(list, n, p->in != p->base ? p->in : NULL, rows, w);
        const void *stats[] = {p->base_stat, p->stat1, p->stat2}, *widths[] = {p->n1, p->heads, p->mid, p->n2, p->out};
        for (size_t j = 0; j < 3; j++) n = add_extent(list, n, stats[j], rows, 2);
        for (size_t j = 0; j < 5; j++) n = add_extent(list, n, widths[j], rows, w);
        n = add_extent(list, n, p->qkv, rows, qkv);
        n = add_extent(list, n, p->lse, rows, f->heads);
        n = add_extent(list, n, p->up, rows, up);
        n = add_extent(list, n, p->act, rows, f->hidden);
    }
    for (size_t i = 0; i < n; i++) {
        overlaps += list[i].from + list[i].bytes > (const char *)m->arena + m->memory.activations;
        for (size_t j = 0; j < i; j++)
            overlaps += list[i].from < list[j].from + list[j].bytes && list[j].from < list[i].from + list[i].bytes;
    }
    is_int(overlaps, 0, "%s: %zu arrays, none in another or outside", c->name, n);
    nn_model_free(m);
}

/* --- batches --- */

static uint64_t streams[64];
static size_t num_streams;

static void noting_dropout(nn_ctx *ctx, void *x, size_t n, float rate, uint64_t seed, uint64_t stream) {
    if (num_streams < 64) streams[num_streams++] = stream;
    nn_oracle.dropout(ctx, x, n, rate, seed, stream);
}
static void noting_attention(nn_ctx *ctx, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k,
                             nn_heads v) {
    if (num_streams < 64) streams[num_streams++] = a->stream;
    nn_oracle.attention(ctx, a, o, lse, q, k, v);
}

/* A run that goes on from a checkpoint relies on these numbers. */
static void test_streams(const model_case *c) {
    nn_ops noting = nn_oracle;
    noting.dropout = noting_dropout, noting.attention = noting_attention;
    nn_model *m = new_model(c, &noting, true);
    random_batch r;
    spak_error err;
    size_t same = 0;
    make_batch(&r, c, true);
    randomise(m);
    num_streams = 0;
    nn_forward(m, &r.batch, NULL, &err);
    is_int(num_streams, 1 + 3 * 3, "dropout: the embedding, and three sites of three passes");
    for (size_t i = 0; i < num_streams; i++)
        for (size_t j = 0; j < i; j++) same += streams[i] == streams[j];
    is_int(same, 0, "no two draw from one stream");
    const uint64_t step3 = UINT64_C(1) << 63 | 3 << 20;
    ok(streams[0] == (step3 | 3) && streams[1] == step3 && streams[2] == (step3 | 1) && streams[3] == (step3 | 2) &&
           streams[4] == (step3 | 4),
       "step 3: the embedding, then attention, projection and MLP of pass 0, and pass 1");
    nn_model_free(m);
}

static double step_of(nn_model *m, const nn_batch *b, double scale) {
    double loss = NAN;
    spak_error err;
    if (!nn_forward_backward(m, b, scale, &loss, &err)) printf("# %s\n", err.message);
    return loss;
}

static void test_batches(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, true);
    random_batch r;
    size_t count, numbers;
    make_batch(&r, c, true);
    randomise(m);
    nn_model_params(m, &count, &numbers);
    double *once = spak_calloc(numbers, sizeof *once), *twice = spak_calloc(numbers, sizeof *once), worst = 0;
    nn_zero_gradients(m);
    double first = step_of(m, &r.batch, 1);
    nn_model_get(m, NN_GRADIENTS, 0, numbers, once);
    nn_zero_gradients(m);
    is_near(step_of(m, &r.batch, 0.5), first, 0, "the same step draws the same masks");
    step_of(m, &r.batch, 0.5);
    nn_model_get(m, NN_GRADIENTS, 0, numbers, twice);
    for (size_t i = 0; i < numbers; i++) worst = nn_worst(worst, fabs(once[i] - twice[i]));
    ok(worst < 1e-12, "gradients of micro-batches add up, each scaled (off by %.1e)", worst);
    r.batch.step++;
    ok(fabs(step_of(m, &r.batch, 1) - first) > 1e-6, "another step draws others");
    r.batch.step--, r.batch.seed++;
    ok(fabs(step_of(m, &r.batch, 1) - first) > 1e-6, "and another seed");
    r.batch.training = false;
    double calm = step_of(m, &r.batch, 1);
    r.batch.seed++;
    is_near(step_of(m, &r.batch, 1), calm, 0, "evaluation draws none");
    spak_free(once);
    spak_free(twice);
    nn_model_free(m);
}

static bool refuses(nn_model *m, const nn_batch *b, const char *word) {
    double loss;
    spak_error err = {{0}};
    bool refused = !nn_forward(m, b, &loss, &err) && strstr(err.message, word);
    return ok(refused, "refused: %s", err.message);
}

static void test_errors(const model_case *cases) {
    const model_case *c = &cases[5];
    nn_model *m = new_model(c, &nn_oracle, false), *kinds = new_model(&cases[3], &nn_oracle, false), *none = NULL;
    random_batch r;
    spak_error err = {{0}};
    double loss;
    make_batch(&r, c, false);
    const nn_batch good = r.batch;
    nn_batch b = good;
    r.tokens[7] = TEST_VOCAB, refuses(m, &good, "token 11 at sequence 1, place 2"), r.tokens[7] = 1;
    r.tokens[7] = -1, refuses(m, &good, "token -1 at sequence 1, place 2"), r.tokens[7] = 1;
    r.targets[1] = TEST_VOCAB, refuses(m, &good, "target 11 at sequence 0, place 1"), r.targets[1] = 1;
    r.index[9] = 8, refuses(m, &good, "index 8 at sequence 1, place 4"), r.index[9] = 1;
    b.index = NULL, refuses(m, &b, "index"), b = good;
    b.segments = NULL, refuses(m, &b, "segments"), b = good;
    b.tokens = NULL, refuses(m, &b, "no tokens"), b = good;
    b.len = 6, refuses(m, &b, "of 6 tokens"), b = good;
    b.batch = 0, refuses(m, &b, "0 sequences"), b = good;
    b.loops = 3, refuses(m, &b, "3 loops"), b = good;
    refuses(kinds, &(nn_batch){1, 5, .tokens = r.tokens, .index = r.index}, "kind");
    const int32_t wrong[5] = {0, 1, 2, 3, 0}, far[5] = {0, 1, 2, 3, 8}, unasked[5] = {-1, -1, -1, -1, -1};
    refuses(kinds, &(nn_batch){1, 5, .tokens = r.tokens, .index = r.index, .kinds = wrong},
            "kind 3 at sequence 0, place 3");
    nn_model *gpt = new_model(&cases[0], &nn_oracle, false);
    refuses(gpt, &(nn_batch){1, 5, .tokens = r.tokens, .positions = far}, "position 8 at sequence 0, place 4");
    refuses(gpt, &(nn_batch){1, 5, .tokens = r.tokens, .targets = unasked}, "no place");
    ok(nn_forward(gpt, &(nn_batch){1, 5, .tokens = r.tokens}, &loss, &err) && loss == 0, "no targets: no loss");
    ok(!nn_forward_backward(gpt, &good, 1, &loss, &err), "%s", err.message);
    ok(!nn_model_new(&c->config, &nn_oracle, 1, 2, 9, 0, false, &none, &err) && !none, "%s", err.message);
    ok(!nn_model_new(&c->config, &nn_oracle, 1, 2, 4, 40000, false, &none, &err) && !none, "%s", err.message);
    ok(!nn_model_new(&c->config, &nn_oracle, 1, (size_t)1 << 40, 4, 0, false, &none, &err) && !none, "%s", err.message);
    nn_config huge = c->config;
    huge.width = huge.hidden = (size_t)1 << 30, huge.loops = 1 << 15;
    ok(!nn_model_new(&huge, &nn_oracle, 1, (size_t)1 << 28, 4, 0, true, &none, &err) && !none &&
           strstr(err.message, "addresses"),
       "%s", err.message);
    nn_model_free(m);
    nn_model_free(kinds);
    nn_model_free(gpt);
}

int main(void) {
    model_case cases[NUM_CASES];
    model_cases(cases);
    for (size_t i = 0; i < NUM_CASES; i++) test_plan(&cases[i], i % 2 == 0);
    test_plan(&cases[3], true);
    open_reference();
    for (size_t i = 0; i < NUM_CASES; i++) test_definition(&cases[i], i % 2);
    test_definition(&cases[3], false);
    ops->close(ref);
    for (size_t i = 0; i < NUM_CASES; i++) test_layout(&cases[i]);
    test_out_of_memory(&cases[3]);
    test_init();
    test_looking(&cases[3]);
    test_streams(&cases[3]);
    test_batches(&cases[3]);
    test_batches(&cases[8]);
    test_errors(cases);
    test_chunks(&cases[1]);
    return done_testing();
}
