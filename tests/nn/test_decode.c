/* Decoding: the same logits as the forward pass for every kind of causal model, however the tokens are fed; halting
 * against its definition, written out once more without a cache; errors; memory that runs out. */
#include "base/alloc.h"
#include "reference.h"

/* Decoded logits are floats of numbers that were summed in the same order in double precision. */
static const double TOLERANCE = 1e-6;

static double worst_of(const float *got, const double *want, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - want[i]) / (1 + fabs(want[i]));
        worst = nn_worst(worst, off);
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
            worst = nn_worst(worst, worst_of(logits + b * TEST_VOCAB,
                                             want + (b * TEST_LEN + from + len - 1) * TEST_VOCAB, TEST_VOCAB));
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
        worst = nn_worst(worst, worst_decoded(d, &r, prompt, want));
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

/* --- halting, by its definition --- */

static size_t holes; /* tokens that halted before one of their sequence that did not, and after one */

static void count_holes(const int32_t *spent, int32_t loops) {
    for (size_t t = 1; t + 1 < TEST_LEN; t++)
        holes += spent[t] < loops && spent[t - 1] == loops && spent[t + 1] == loops;
}

/* Decodes the batch and compares the logits after each call with want, and with other; the worst of each. */
static bool follow(nn_decoder *d, const random_batch *r, size_t prompt, const double *want, const double *other,
                   const int32_t *want_spent, double *worst, double *planted) {
    int32_t ids[3][TEST_ROWS], got[TEST_ROWS];
    float logits[TEST_BATCH * TEST_VOCAB];
    bool same = true;
    spak_error err;
    for (size_t from = 0, len = prompt; from < TEST_LEN; from += len, len = 1) {
        if (!nn_decode(d, len, columns(r->tokens, TEST_BATCH, TEST_LEN, from, len, ids[0]),
                       columns(r->index, TEST_BATCH, TEST_LEN, from, len, ids[1]),
                       columns(r->kinds, TEST_BATCH, TEST_LEN, from, len, ids[2]), logits, got, &err))
            printf("# %s\n", err.message);
        for (size_t b = 0; b < TEST_BATCH; b++) {
            size_t at = (b * TEST_LEN + from + len - 1) * TEST_VOCAB;
            *worst = nn_worst(*worst, worst_of(logits + b * TEST_VOCAB, want + at, TEST_VOCAB));
            *planted = nn_worst(*planted, worst_of(logits + b * TEST_VOCAB, other + at, TEST_VOCAB));
            for (size_t t = 0; t < len; t++) same = same && got[b * len + t] == want_spent[b * TEST_LEN + from + t];
        }
    }
    return same;
}

static void check_halting(const model_case *c, const char *what, const nn_halting *h) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    double all[MOST_LOOPS][TEST_LEN * TEST_VOCAB], want[TEST_ROWS * TEST_VOCAB], other[TEST_ROWS * TEST_VOCAB];
    double worst = 0, planted = 0;
    int32_t spent[TEST_ROWS], loops = (int32_t)h->most_loops, whole = 0;
    make_batch(&r, c, false);
    randomise(m);
    r.tokens[2] = r.tokens[TEST_LEN + 1] = 4;
    for (size_t b = 0, at = 0; b < TEST_BATCH; b++, at += TEST_LEN) {
        const sequence q = {r.tokens + at, r.index + at, r.kinds + at, NULL};
        for (int pass = 0; pass < 2; pass++) {
            plant = pass == 0;
            reference(m, &q, h->most_loops, h, all, spent + at);
            memcpy((plant ? other : want) + at * TEST_VOCAB, all[loops - 1], sizeof all[0]);
        }
        count_holes(spent + at, loops);
    }
    nn_decoder *d = new_decoder(m, TEST_BATCH, h);
    bool same = true;
    for (size_t prompt = 1; prompt <= TEST_LEN; prompt++, nn_decoder_reset(d))
        same = follow(d, &r, prompt, want, other, spent, &worst, &planted) && same;
    for (size_t i = 0; i < TEST_ROWS; i++) whole += spent[i] == loops;
    ok(worst <= TOLERANCE, "%s, thresholds %g and %g: logits by the definition (off by %.1e)", what,
       (double)h->threshold, (double)h->thinking_threshold, worst);
    ok(same, "and the loops spent");
    ok(whole && whole < TEST_ROWS, "where %d of %d tokens did not halt", whole, TEST_ROWS);
    if (c->config.inject) ok(planted > 1e-3, "planted: keys of frozen tokens without x0 are seen (%.1e)", planted);
    nn_decoder_free(d);
    nn_model_free(m);
}

static void test_halting(model_case *cases) {
    open_reference();
    cases[2].config.inject = true;
    cases[6].config.inject = true;
    static const float thresholds[][2] = {{0.22f, 0.75f}, {0.32f, 0.6f}, {0.3f, 0.4f}};
    for (int i = 0; i < 3; i++) {
        const nn_halting h = {true, thresholds[i][0], thresholds[i][1], 4, 6};
        check_halting(&cases[3], "LoopLM with everything", &h);
        check_halting(&cases[4], "LoopLM as published", &h);
        check_halting(&cases[2], "two layers a loop, SwiGLU, grouped heads", &h);
        check_halting(&cases[7], "two layers a loop, state normalised", &h);
    }
    check_halting(&cases[4], "input tokens halt at once, the rest never", &(nn_halting){true, 0, 2, 4, 5});
    ok(holes > 1, "%zu times a token halted between two that thought on", holes);
    ops->close(ref);
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

/* A token halts that is exactly as sure as it has to be. */
static void test_threshold(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, false);
    random_batch r;
    float sure[TEST_ROWS];
    int32_t best[TEST_ROWS], spent[2];
    spak_error err = {{0}};
    make_batch(&r, c, false);
    randomise(m);
    r.batch.loops = 1;
    ok(nn_forward(m, &r.batch, NULL, &err), "one loop %s", err.message);
    nn_predictions(m, 0, best, sure);
    for (int above = 0; above < 2; above++) {
        const float threshold = above ? nextafterf(sure[0], 2) : sure[0];
        nn_decoder *d = new_decoder(m, 1, &(nn_halting){true, threshold, threshold, -1, 2});
        ok(nn_decode(d, 1, r.tokens, r.index, r.kinds, NULL, &spent[above], &err), "decodes %s", err.message);
        nn_decoder_free(d);
    }
    is_int(spent[0], 1, "a token whose confidence is the threshold halts");
    is_int(spent[1], 2, "and with a threshold just above does not");
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
    test_threshold(&cases[3]);
    test_errors(cases);
    test_memory(&cases[3]);
    test_sample();
    test_halting(cases);
    return done_testing();
}
