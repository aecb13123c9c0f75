/* The schedule at its corners, clipping as torch has it, AdamW over a model against its formula, and a model that
 * learns one batch by heart. */
#include "model_test.h"

static void test_schedule(void) {
    const nn_schedule s = {6e-4, 6e-5, 100, 1000};
    is_near(nn_schedule_rate(&s, 0), 6e-4 * 1 / 101, 1e-18, "the first step: rate / (warm-up + 1)");
    is_near(nn_schedule_rate(&s, 99), 6e-4 * 100 / 101, 1e-18, "the last of the warm-up");
    is_near(nn_schedule_rate(&s, 100), 6e-4, 1e-18, "then the rate");
    is_near(nn_schedule_rate(&s, 550), 3.3e-4, 1e-18, "half-way: half between");
    is_near(nn_schedule_rate(&s, 325), 6e-5 + (6e-4 - 6e-5) * 0.5 * (1 + sqrt(0.5)), 1e-18, "a quarter: cosine");
    is_near(nn_schedule_rate(&s, 1000), 6e-5, 0, "the end: the least");
    is_near(nn_schedule_rate(&s, 5000), 6e-5, 0, "and afterwards");
    const nn_schedule same = {1, 0.1, 10, 10};
    is_near(nn_schedule_rate(&same, 10), 0.1, 0, "warm-up up to the end leaves no cosine");
    const nn_schedule constant = {1e-3, 1e-3, 0, 0};
    is_near(nn_schedule_rate(&constant, 7), 1e-3, 0, "a constant rate");
}

static const nn_optimiser OPTIMISER = {0.9, 0.95, 1e-8, 0.1, 0};

/* One update of a model whose gradients are set to g: parameter i, number 0, against AdamW's formula. */
static void check_update(nn_optimiser o, double clip, double factor) {
    model_case c = {.config = small_gpt()};
    nn_model *m = new_model(&c, &nn_oracle, true);
    size_t count, numbers;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    double squares = 0, worst = 0, rate = 1e-2, g, before, after;
    o.clip = clip;
    randomise(m);
    for (size_t i = 0; i < numbers; i++) {
        g = factor * (double)spak_philox_normal(NN_TEST_SEED, 50, i);
        squares += g * g;
        nn_model_put(m, NN_GRADIENTS, i, 1, &g);
    }
    double norm = sqrt(squares), scale = clip > 0 && clip / (norm + 1e-6) < 1 ? clip / (norm + 1e-6) : 1;
    double *start = calloc(numbers, sizeof *start), mean = 0, square = 0;
    nn_model_get(m, NN_VALUES, 0, numbers, start);
    is_near(nn_update(m, &o, rate, 0), norm, 1e-12 * norm, "the norm before clipping");
    nn_update(m, &o, rate, 1);
    for (size_t i = 0; i < count; i++) {
        nn_model_get(m, NN_GRADIENTS, p[i].at, 1, &g);
        before = start[p[i].at], mean = square = 0;
        for (int step = 1; step <= 2; step++) { /* the numbers of nn_adamw are floats */
            double b1 = (double)(float)o.beta1, b2 = (double)(float)o.beta2, s = (double)(float)scale * g;
            mean = b1 * mean + (1 - b1) * s;
            square = b2 * square + (1 - b2) * s * s;
            if (p[i].matrix) before *= 1 - (double)(float)rate * (double)(float)o.weight_decay;
            before -= (double)(float)rate * (mean / (1 - pow(b1, step))) /
                      (sqrt(square / (1 - pow(b2, step))) + (double)(float)o.eps);
        }
        nn_model_get(m, NN_VALUES, p[i].at, 1, &after);
        worst = nn_worst(worst, fabs(after - before));
    }
    ok(worst < 1e-12, "clip %g, norm %.3g: two steps by the formula for matrices and vectors (off by %.1e)", clip, norm,
       worst);
    double kept_mean, kept_square;
    nn_model_get(m, NN_MEAN, p[count - 1].at, 1, &kept_mean);
    nn_model_get(m, NN_SQUARE, p[count - 1].at, 1, &kept_square);
    ok(fabs(kept_mean - mean) < 1e-12 && fabs(kept_square - square) < 1e-12, "and both moments are kept");
    free(start);
    nn_model_free(m);
}

static void test_not_finite(void) {
    model_case c = {.config = small_gpt()};
    nn_model *m = new_model(&c, &nn_oracle, true);
    double before, after, bad = INFINITY;
    nn_model_init(m, 1);
    nn_model_get(m, NN_VALUES, 0, 1, &before);
    nn_model_put(m, NN_GRADIENTS, 9, 1, &bad);
    ok(!isfinite(nn_update(m, &OPTIMISER, 1e-2, 0)), "gradients that are not finite are told");
    nn_model_get(m, NN_VALUES, 0, 1, &after);
    is_near(after, before, 0, "and change nothing");
    nn_model_free(m);
}

static void test_learns(const model_case *c) {
    nn_model *m = new_model(c, &nn_oracle, true);
    random_batch r;
    double loss = 0, first = 0;
    spak_error err = {{0}};
    nn_optimiser o = OPTIMISER;
    o.clip = 1;
    make_batch(&r, c, false);
    for (size_t i = 0; i < TEST_ROWS; i++) r.tokens[i] = (int32_t)i, r.kinds[i] = 0, r.segments[i] = 0;
    nn_model_init(m, 3);
    for (uint64_t step = 0; step < 150; step++) {
        nn_zero_gradients(m);
        if (!nn_forward_backward(m, &r.batch, 1, &loss, &err)) printf("# %s\n", err.message);
        if (step == 0) first = loss;
        nn_update(m, &o, 1e-2, step);
    }
    ok(first > 2 && loss < 0.1, "%s: one batch by heart in 150 steps, %.2f to %.3f", c->name, first, loss);
    nn_model_free(m);
}

int main(void) {
    model_case cases[NUM_CASES];
    model_cases(cases);
    test_schedule();
    check_update(OPTIMISER, 0, 1);
    check_update(OPTIMISER, 1, 1);
    check_update(OPTIMISER, 1, 1e-4);
    test_not_finite();
    for (size_t i = 0; i < NUM_CASES; i++) test_learns(&cases[i]);
    return done_testing();
}
