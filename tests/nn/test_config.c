/* Configurations: presets and their parameters, reading and writing, everything that cannot be. */
#include "base/alloc.h"
#include "base/json.h"
#include "model_test.h"

static size_t num_parameters(const char *preset) {
    nn_config c;
    nn_param *list;
    size_t count, numbers, sum = 0;
    spak_error err;
    if (!nn_config_preset(preset, &c, &err) || !nn_params_list(&c, &list, &count, &numbers, &err)) {
        printf("# %s\n", err.message);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].at != sum) printf("# %s is not where the last one ends\n", list[i].name);
        sum += list[i].rows * list[i].cols;
    }
    spak_free(list);
    return sum == numbers ? sum : 0;
}

static void test_presets(void) {
    nn_config c;
    spak_error err = {{0}};
    /* nanoGPT prints 124.44M and so on for the sum over its parameters, the head counted once */
    is_int(num_parameters("gpt2"), 124439808, "GPT-2's parameters");
    is_int(num_parameters("gpt2-medium"), 354823168, "GPT-2 medium's");
    is_int(num_parameters("gpt2-large"), 774030080, "GPT-2 large's");
    is_int(num_parameters("gpt2-xl"), 1557611200, "GPT-2 XL's");
    /* 65 and 256 positions of 384, 6 blocks of 12 384^2 + 2 384, one norm: nanoGPT prints 10.65M, without positions */
    is_int(num_parameters("shakespeare-char"), (65 + 256) * 384 + 6 * (12 * 384 * 384 + 2 * 384) + 384,
           "the character model's");
    is_int(num_parameters("nanogpt-cpu"), (65 + 64) * 128 + 4 * (12 * 128 * 128 + 2 * 128) + 128, "the small one's");
    is_int(num_parameters("looplm-12"), 14 * 256 + 12 * 256 * 256 + 3 * 256, "LoopLM's: one block");
    ok(!nn_config_preset("gpt3", &c, &err) && strstr(err.message, "\"gpt3\"") && strstr(err.message, "gpt2-xl"), "%s",
       err.message);
    ok(nn_config_preset("looplm-12", &c, &err) && c.loops == 12 && c.positions == NN_POS_ROPE && !c.inject,
       "LoopLM: 12 loops, RoPE, no injection");
}

static void test_names(void) {
    static const char *const want[] = {"transformer.wte.weight",
                                       "transformer.wpe.weight",
                                       "transformer.wke.weight",
                                       "transformer.h.0.ln_1.weight",
                                       "transformer.h.0.ln_1.bias",
                                       "transformer.h.0.attn.c_attn.weight",
                                       "transformer.h.0.attn.c_attn.bias",
                                       "transformer.h.0.attn.c_proj.weight",
                                       "transformer.h.0.attn.c_proj.bias",
                                       "transformer.h.0.ln_2.weight",
                                       "transformer.h.0.ln_2.bias",
                                       "transformer.h.0.mlp.c_fc.weight",
                                       "transformer.h.0.mlp.c_fc.bias",
                                       "transformer.h.0.mlp.c_proj.weight",
                                       "transformer.h.0.mlp.c_proj.bias",
                                       "transformer.ln_f.weight",
                                       "transformer.ln_f.bias",
                                       "lm_head.weight"};
    nn_config c = small_gpt();
    nn_param *list;
    size_t count, numbers, same = 0;
    spak_error err;
    c.layers = 1, c.kinds = 2, c.tied = false;
    if (!nn_params_list(&c, &list, &count, &numbers, &err)) return;
    for (size_t i = 0; i < count && i < sizeof want / sizeof *want; i++) same += strcmp(list[i].name, want[i]) == 0;
    is_int(same, sizeof want / sizeof *want, "nanoGPT's names, in their order");
    is_int(count, same, "and no others");
    ok(list[5].rows == 24 && list[5].cols == 8 && list[5].matrix, "c_attn is (3 C, C), a matrix");
    ok(list[4].rows == 1 && list[4].cols == 8 && !list[4].matrix, "a bias is a vector");
    spak_free(list);
    c.norm = NN_RMSNORM;
    if (!nn_params_list(&c, &list, &count, &numbers, &err)) return;
    is_int(count, 15, "RMSNorm has no bias");
    spak_free(list);
}

/* --- JSON --- */

static bool reads(const char *text, nn_config *c, spak_error *err) {
    json_t *json = NULL;
    bool good = spak_json_parse("config", text, strlen(text), &json, err) && nn_config_read(json, c, err);
    json_decref(json);
    return good;
}

static void test_json(const model_case *cases) {
    spak_str text = {0}, again = {0};
    spak_error err = {{0}};
    for (size_t i = 0; i < NUM_CASES; i++) {
        nn_config c = small_gpt();
        json_t *json = nn_config_json(&cases[i].config);
        spak_str_clear(&text);
        spak_str_clear(&again);
        ok(spak_json_canonical(json, &text, &err) && nn_config_read(json, &c, &err), "%s: written and read %s",
           cases[i].name, err.message);
        json_decref(json);
        json = nn_config_json(&c);
        ok(spak_json_canonical(json, &again, &err) && strcmp(text.data, again.data) == 0, "comes back the same");
        json_decref(json);
        if (i == 3)
            ok(strstr(text.data, "\"dropout\":0.2,") && strstr(text.data, "\"norm_eps\":1e-05"), "%s", text.data);
        if (i == 3)
            ok(strstr(text.data, "\"positions\":\"rope_index\"") && strstr(text.data, "\"second_half\""), "words");
    }
    nn_config c = small_gpt();
    ok(reads("{\"width\": 64.0, \"heads\": 4, \"act\": \"relu\", \"window\": 1, \"positions\": \"rope_index\"}", &c,
             &err) &&
           c.width == 64 && c.hidden == 256 && c.kv_heads == 4 && c.act == NN_RELU && c.window == 1,
       "members over what is there; hidden follows the width, kv_heads the heads %s", err.message);
    ok(reads("{\"width\": 32, \"hidden\": 5, \"heads\": 4, \"kv_heads\": 2}", &c, &err) && c.hidden == 5 &&
           c.kv_heads == 2,
       "unless they are given");
    spak_str_free(&text);
    spak_str_free(&again);
}

static void refuses(const char *text, const char *member) {
    nn_config c = small_gpt(), before = c;
    spak_error err = {{0}};
    bool refused = !reads(text, &c, &err) && strstr(err.message, member);
    ok(refused && memcmp(&c, &before, sizeof c) == 0, "refused, nothing changed: %s", err.message);
}

static void test_refused(void) {
    refuses("[]", "object");
    refuses("{\"widht\": 3}", "\"widht\"");
    refuses("{\"width\": \"64\"}", "\"width\"");
    refuses("{\"width\": 64.5}", "\"width\"");
    refuses("{\"width\": -64}", "\"width\"");
    refuses("{\"layers\": 4294967296}", "\"layers\"");
    refuses("{\"bias\": 1}", "\"bias\"");
    refuses("{\"act\": \"gelu\"}", "\"gelu_erf\"");
    refuses("{\"act\": 1}", "\"act\"");
    refuses("{\"window\": 0.5}", "\"window\"");
    refuses("{\"dropout\": true}", "\"dropout\"");
    refuses("{\"dropout\": 1}", "\"dropout\"");
    refuses("{\"dropout\": -0.1}", "\"dropout\"");
    refuses("{\"norm_eps\": 0}", "\"norm_eps\"");
    refuses("{\"norm_eps\": 1e300}", "\"norm_eps\"");
    refuses("{\"label_smoothing\": 1}", "\"label_smoothing\"");
    refuses("{\"slope\": -1}", "\"slope\"");
    refuses("{\"rope_base\": 0}", "\"rope_base\"");
    refuses("{\"init_sigma\": -0.02}", "\"init_sigma\"");
    refuses("{\"heads\": 3}", "\"heads\"");
    refuses("{\"heads\": 4, \"kv_heads\": 3}", "\"kv_heads\"");
    refuses("{\"heads\": 8, \"positions\": \"rope\"}", "\"positions\"");
    refuses("{\"loops\": 65536}", "\"loops\"");
    refuses("{\"width\": 2147483646, \"hidden\": 2147483647, \"layers\": 9}", "parameters");
    static const char *const counts[] = {"vocab", "context", "layers", "loops", "heads", "kv_heads", "width", "hidden"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char text[64], member[32];
        snprintf(text, sizeof text, "{\"%s\": 0}", counts[i]);
        snprintf(member, sizeof member, "\"%s\"", counts[i]);
        refuses(text, member);
    }
    nn_config c = small_gpt();
    spak_error err;
    c.slope = NAN;
    ok(!nn_config_check(&c, &err) && strstr(err.message, "\"slope\""), "%s", err.message);
    c = small_gpt(), c.act = (nn_act_kind)17;
    ok(!nn_config_check(&c, &err) && strstr(err.message, "\"act\""), "%s", err.message);
    c = small_gpt(), c.vocab = SIZE_MAX / 2;
    ok(!nn_config_check(&c, &err) && strstr(err.message, "\"vocab\""), "%s", err.message);
}

static void test_memory(void) {
    long n = 0, clean = 0;
    for (bool done = false; !done && n < 1000; n++) {
        nn_config c = small_gpt();
        nn_param *list = NULL;
        size_t count, numbers;
        spak_error err = {{0}};
        spak_alloc_fail_after(n);
        json_t *json = nn_config_json(&c);
        done = json && nn_params_list(&c, &list, &count, &numbers, &err);
        spak_alloc_fail_after(-1);
        clean += !done && (!json || strstr(err.message, "memory"));
        json_decref(json);
        spak_free(list);
    }
    ok(n > 30 && clean == n - 1, "each of %ld allocations fails cleanly", n - 1);
}

static void test_flops(void) {
    nn_config c = small_gpt(); /* 2 layers, width 8, hidden 12, vocab 11 */
    double pass = 8 * 24 + 8 * 8 + 2 * 8 * 12 + 2 * 8 * 5;
    is_near(nn_forward_flops(&c, 10, 5, 0), 2 * 10 * (2 * pass + 8 * 11), 0, "operations of a forward pass");
    is_near(nn_forward_flops(&c, 10, 5, 3), 2 * 10 * (3 * 2 * pass + 8 * 11), 0, "over three loops");
    c.act = NN_SWIGLU, c.kv_heads = 1;
    pass = 8 * 16 + 8 * 8 + 3 * 8 * 12 + 2 * 8 * 5;
    is_near(nn_forward_flops(&c, 10, 5, 0), 2 * 10 * (2 * pass + 8 * 11), 0, "with SwiGLU and grouped heads");
}

int main(void) {
    spak_json_init();
    model_case cases[NUM_CASES];
    model_cases(cases);
    test_presets();
    test_names();
    test_json(cases);
    test_refused();
    test_memory();
    test_flops();
    return done_testing();
}
