/* The gradient of every parameter of every kind of model against central differences of its loss, in double precision;
 * and operators that drop or double a part of it, each of which must be seen. */
#include "model_test.h"
#include "nn/model.h"

static double loss_of(nn_model *m, const nn_batch *b) {
    double loss = NAN;
    spak_error err;
    if (!nn_forward(m, b, &loss, &err)) printf("# %s\n", err.message);
    return loss;
}

static double difference(nn_model *m, const nn_batch *b, size_t at) {
    double kept, up, down, above, below;
    nn_model_get(m, NN_VALUES, at, 1, &kept);
    up = kept + 1e-6, down = kept - 1e-6;
    nn_model_put(m, NN_VALUES, at, 1, &up);
    above = loss_of(m, b);
    nn_model_put(m, NN_VALUES, at, 1, &down);
    below = loss_of(m, b);
    nn_model_put(m, NN_VALUES, at, 1, &kept);
    return (above - below) / (up - down);
}

/* The difference's roundoff is eps |loss| / h, about 1e-9 with h = 1e-6; the weight of a row's loss is a float, which
 * shifts the gradient by 2^-24 of itself. */
static const double TOLERANCE = 1e-7;

/* Parameters whose gradient is wrong or all zero; prints the first few when it should be none. */
static size_t wrong_params(const model_case *c, const nn_ops *ops, bool shown) {
    nn_model *m = new_model(c, ops, true);
    random_batch r;
    size_t count, numbers, wrong = 0;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    make_batch(&r, c, true);
    m->chunk = 4; /* the head works in chunks of 4, 4 and 2 rows */
    randomise(m);
    double loss, got;
    spak_error err;
    nn_zero_gradients(m);
    if (!nn_forward_backward(m, &r.batch, 1, &loss, &err)) printf("# %s\n", err.message);
    for (size_t i = 0; i < count; i++) {
        double worst = 0, largest = 0;
        for (size_t j = 0; j < p[i].rows * p[i].cols; j++) {
            nn_model_get(m, NN_GRADIENTS, p[i].at + j, 1, &got);
            double off = fabs(got - difference(m, &r.batch, p[i].at + j));
            worst = nn_worst(worst, off);
            largest = fmax(largest, fabs(got));
        }
        if (worst / (1 + largest) <= TOLERANCE && largest > 1e-5) continue;
        if (wrong++ < 4 && shown) printf("# %s: off by %g, largest %g\n", p[i].name, worst, largest);
    }
    nn_model_free(m);
    return wrong;
}

/* --- planted faults: the oracle's table with one operator that is wrong --- */

static int calls; /* of the operator at hand, since the model was made */

static void norm_without_gain(nn_ctx *ctx, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                              const void *x, const void *stat, const void *gamma, size_t rows, size_t width) {
    nn_oracle.norm_backward(ctx, kind, dx, calls++ ? dgamma : NULL, dbeta, dy, x, stat, gamma, rows, width);
}
static void norm_cut_off(nn_ctx *ctx, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                         const void *x, const void *stat, const void *gamma, size_t rows, size_t width) {
    if (calls++) nn_oracle.norm_backward(ctx, kind, dx, dgamma, dbeta, dy, x, stat, gamma, rows, width);
}
static void linear_overwrites(nn_ctx *ctx, void *dx, bool add_dx, void *dw, void *dbias, const void *dy, const void *x,
                              const void *w, size_t rows, size_t n_in, size_t n_out) {
    nn_oracle.zero(ctx, dw, n_in * n_out);
    nn_oracle.linear_backward(ctx, dx, add_dx, dw, dbias, dy, x, w, rows, n_in, n_out);
}
static void rope_not_back(nn_ctx *ctx, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows,
                          size_t heads, size_t head_dim, size_t stride, float base, bool inverse) {
    if (!inverse) nn_oracle.rope(ctx, pairing, x, positions, rows, heads, head_dim, stride, base, inverse);
}
static void other_mask(nn_ctx *ctx, void *x, size_t n, float rate, uint64_t seed, uint64_t stream) {
    nn_oracle.dropout(ctx, x, n, rate, seed, stream + (uint64_t)(calls++ == 7)); /* the first of the backward pass */
}
static void no_embedding(nn_ctx *ctx, void *dtable, const int32_t *ids, const void *dout, size_t rows, size_t width,
                         size_t vocab) {
    if (calls++) nn_oracle.embed_backward(ctx, dtable, ids, dout, rows, width, vocab);
}

static void test_faults(const model_case *cases) {
    nn_ops faulty = nn_oracle;
    const model_case *looped = &cases[3];
    faulty.norm_backward = norm_without_gain, calls = 0;
    is_int(wrong_params(looped, &faulty, false), 1, "planted: the final norm's gain is left out at one loop");
    faulty.norm_backward = norm_cut_off, calls = 0;
    ok(wrong_params(&cases[0], &faulty, false) > 10, "planted: ln_f cut off from the loss");
    faulty = nn_oracle, faulty.linear_backward = linear_overwrites;
    ok(wrong_params(looped, &faulty, false) >= 4, "planted: a loop's gradient takes the place of the last one's");
    faulty = nn_oracle, faulty.rope = rope_not_back;
    ok(wrong_params(looped, &faulty, false) >= 1, "planted: gradients are not turned back");
    faulty = nn_oracle, faulty.dropout = other_mask, calls = 0;
    ok(wrong_params(looped, &faulty, false) >= 1, "planted: the backward pass draws another mask");
    faulty = nn_oracle, faulty.embed_backward = no_embedding, calls = 0;
    is_int(wrong_params(&cases[1], &faulty, false), 1, "planted: the embedding learns nothing");
}

int main(void) {
    model_case cases[NUM_CASES];
    model_cases(cases);
    for (size_t i = 0; i < NUM_CASES; i++)
        is_int(wrong_params(&cases[i], &nn_oracle, true), 0, "%s: every gradient is the difference's, and none is zero",
               cases[i].name);
    test_faults(cases);
    return done_testing();
}
