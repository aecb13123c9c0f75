/* Models against PyTorch in double precision: one block of each kind with all its gradients, a deep model on a few
 * tokens, and a short training run. Longer sequences and 768 wide: tests/long/test_golden_gpt2.c. */
#include "golden_model.h"

static void test_blocks(const nn_ops *ops) {
    json_t *file = golden_load("tests/nn/golden/blocks.json");
    const json_t *cases = json_object_get(file, "cases");
    ok(json_array_size(cases) >= 7, "there are blocks");
    for (size_t i = 0; i < json_array_size(cases); i++) run_model_case(ops, json_array_get(cases, i));
    json_decref(file);
}

static void test_depth(const nn_ops *ops) {
    json_t *file = golden_load("tests/nn/golden/gpt2.json");
    const json_t *cases = json_object_get(file, "cases");
    for (size_t i = 0; i < 2; i++) run_model_case(ops, json_array_get(cases, i)); /* 384 wide, 1 and 13 tokens */
    json_decref(file);
}

/* --- training --- */

static nn_schedule schedule_of(const json_t *file) {
    const json_t *s = json_object_get(file, "schedule");
    return (nn_schedule){.rate = spak_json_num(s, "rate", 0),
                         .min_rate = spak_json_num(s, "min_rate", 0),
                         .warmup_steps = (uint64_t)spak_json_int(s, "warmup_steps", 0),
                         .decay_steps = (uint64_t)spak_json_int(s, "decay_steps", 0)};
}

static double nth(const json_t *file, const char *member, size_t i) {
    return json_number_value(json_array_get(json_object_get(file, member), i));
}

/* Rates, betas and the clipping factor reach the table as floats: their roundings bound what steps can agree to. */
static void run_training(const nn_ops *ops, nn_model *model, const json_t *file) {
    static int32_t tokens[64], targets[64];
    const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    nn_schedule schedule = schedule_of(file);
    nn_batch batch = {.batch = 2, .len = 13};
    golden g = golden_of(ops);
    spak_error err;
    g.unit = FLT_EPSILON / 2, g.roundings = ops->elem == sizeof(float) ? 4096 : 64;
    draw_parameters(model);
    draw_batch(&batch, tokens, targets, nn_model_config(model)->vocab);
    double worst_rate = 0, worst_loss = 0, worst_norm = 0;
    for (size_t step = 0; step < 8; step++) {
        double rate = nn_schedule_rate(&schedule, step), loss = NAN;
        nn_zero_gradients(model);
        if (!nn_forward_backward(model, &batch, 1, &loss, &err)) printf("# %s\n", err.message);
        double norm = nn_update(model, &adamw, rate, step);
        worst_rate = nn_worst(worst_rate, fabs(rate - nth(file, "rates", step)));
        worst_loss = nn_worst(worst_loss, golden_ratio(&g, loss, nth(file, "losses", step), 1));
        worst_norm = nn_worst(worst_norm, golden_ratio(&g, norm, nth(file, "norms", step), 1));
    }
    ok(worst_rate < 1e-16, "%s: nanoGPT's schedule", ops->name);
    ok(worst_loss <= 1 && worst_norm <= 1, "%s: losses and norms of 8 steps", ops->name);
    ok(parameters_error(&g, model, NN_VALUES, json_object_get(file, "parameters")) <= 1, "parameters after them");
    printf("# the largest error is %.2g of its tolerance, %.2g\n", g.worst, g.roundings * g.unit);
}

static void test_training(const nn_ops *ops) {
    json_t *file = golden_load("tests/nn/golden/training.json");
    nn_config config;
    nn_model *model = NULL;
    spak_error err = {""};
    if (ok(golden_config(file, &config, &err) && nn_model_new(&config, ops, 2, 2, 13, 0, true, &model, &err),
           "a model"))
        run_training(ops, model, file);
    else
        printf("# %s\n", err.message);
    nn_model_free(model);
    json_decref(file);
}

static const nn_ops *const tables[] = {&nn_oracle, &nn_cpu};

int main(void) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        test_blocks(tables[i]);
        test_depth(tables[i]);
        test_training(tables[i]);
    }
    return done_testing();
}
