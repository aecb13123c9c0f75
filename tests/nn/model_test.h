/* For the tests of models: small configurations that between them use every member, and random batches for them. */
#ifndef SPAK_TESTS_MODEL_TEST_H
#define SPAK_TESTS_MODEL_TEST_H

#include <stdlib.h>

#include "nn/nn.h"
#include "nn_test.h"

enum { TEST_BATCH = 2, TEST_LEN = 5, TEST_ROWS = TEST_BATCH * TEST_LEN, TEST_VOCAB = 11 };

typedef struct model_case {
    const char *name;
    nn_config config;
    size_t loops, most_loops; /* of the batch, of the model */
} model_case;

__attribute__((unused)) static nn_config small_gpt(void) {
    nn_config c;
    spak_error err;
    if (!nn_config_preset("gpt2", &c, &err)) printf("# %s\n", err.message);
    c.vocab = TEST_VOCAB;
    c.context = 8;
    c.layers = 2;
    c.heads = c.kv_heads = 2;
    c.width = 8;
    c.hidden = 12;
    return c;
}

enum { NUM_CASES = 9 };
__attribute__((unused)) static void model_cases(model_case cases[NUM_CASES]) {
    for (size_t i = 0; i < NUM_CASES; i++) cases[i] = (model_case){.config = small_gpt()};
    cases[0].name = "GPT-2";
    cases[1].name = "GPT-2 without bias, untied, tanh GELU";
    nn_config *c = &cases[1].config;
    c->bias = c->tied = false;
    c->act = NN_GELU_TANH;
    cases[2].name = "RMSNorm, SwiGLU, RoPE in halves, grouped heads";
    c = &cases[2].config;
    c->norm = NN_RMSNORM, c->act = NN_SWIGLU, c->positions = NN_POS_ROPE;
    c->bias = false, c->heads = 4, c->kv_heads = 2;
    cases[3].name = "LoopLM: 3 loops, injection, normalised state, window, kinds, second half, smoothing, dropout";
    c = &cases[3].config;
    c->layers = 1, c->loops = 3, c->inject = c->normalise_state = true, c->kinds = 3, c->window = 1;
    c->positions = NN_POS_ROPE_INDEX, c->rope_pairing = NN_ROPE_NEIGHBOURS, c->act = NN_SILU;
    c->supervision = NN_LOSS_SECOND_HALF, c->label_smoothing = 0.1f, c->dropout = 0.2f;
    cases[4].name = "LoopLM as published, and more loops than configured";
    c = &cases[4].config;
    c->layers = 1, c->loops = 2, c->bias = false, c->positions = NN_POS_ROPE;
    cases[4].loops = cases[4].most_loops = 4;
    cases[5].name = "two layers in two loops, injection, slope, learned indices, segments, both directions, no gain";
    c = &cases[5].config;
    c->loops = 2, c->inject = true, c->slope = 0.5f, c->segments = true, c->causal = c->norm_gain = false;
    c->positions = NN_POS_LEARNED_INDEX;
    cases[6].name = "one block: ReLU, window, no final norm, no positions, second half of 3 loops";
    c = &cases[6].config;
    c->layers = 1, c->act = NN_RELU, c->window = 1, c->kinds = 2, c->final_norm = false, c->tied = false;
    c->loops = 3, c->supervision = NN_LOSS_SECOND_HALF;
    c->positions = NN_POS_NONE;
    cases[7].name = "state normalised without injection, RMSNorm in the block, second half of 2 layers in 3 loops";
    c = &cases[7].config;
    c->loops = 3, c->normalise_state = true, c->norm = NN_RMSNORM, c->supervision = NN_LOSS_SECOND_HALF;
    cases[8].name = "GPT-2 with dropout and packed segments";
    c = &cases[8].config;
    c->dropout = 0.3f, c->segments = true;
}

/* A batch of random tokens; every third place has no target, and the second sequence begins with another segment. */
typedef struct random_batch {
    int32_t tokens[TEST_ROWS], targets[TEST_ROWS], index[TEST_ROWS], kinds[TEST_ROWS], segments[TEST_ROWS];
    nn_batch batch;
} random_batch;

__attribute__((unused)) static void make_batch(random_batch *r, const model_case *c, bool training) {
    for (size_t i = 0; i < TEST_ROWS; i++) {
        r->tokens[i] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, 1, i) * TEST_VOCAB);
        r->targets[i] = i % 3 == 2 ? -1 : (int32_t)(spak_philox_uniform(NN_TEST_SEED, 2, i) * TEST_VOCAB);
        r->index[i] = (int32_t)(spak_philox_uniform(NN_TEST_SEED, 3, i) * 4) - (i % 4 == 0);
        r->kinds[i] = (int32_t)(i % (c->config.kinds + 1)) - 1;
        r->segments[i] = i == 5 || i == 6 ? 0 : i == 9 ? -1 : 1;
    }
    r->batch = (nn_batch){.batch = TEST_BATCH, .len = TEST_LEN, .tokens = r->tokens, .targets = r->targets};
    r->batch.index = r->index, r->batch.kinds = r->kinds, r->batch.segments = r->segments;
    r->batch.loops = c->loops, r->batch.training = training, r->batch.seed = 7, r->batch.step = 3;
}

/* Every parameter at random, gains and biases too, so that no gradient is zero by symmetry. */
__attribute__((unused)) static void randomise(nn_model *m) {
    size_t count, numbers;
    const nn_param *p = nn_model_params(m, &count, &numbers);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < p[i].rows * p[i].cols; j++) {
            double x = 0.5 * (double)spak_philox_normal(NN_TEST_SEED, 100 + i, j) + !p[i].matrix;
            nn_model_put(m, NN_VALUES, p[i].at + j, 1, &x);
        }
}

__attribute__((unused)) static nn_model *new_model(const model_case *c, const nn_ops *ops, bool training) {
    spak_error err = {{0}};
    nn_model *m;
    if (nn_model_new(&c->config, ops, 1, TEST_BATCH, TEST_LEN, c->most_loops, training, &m, &err)) return m;
    ok(false, "%s: %s", c->name, err.message);
    exit(1);
}

#endif
