/* The trial: what is a result, a refusal, an error; and planted kernels that compute less than they should where a
 * trial might not look: each must end as failed. */
#include <stdlib.h>
#include <string.h>

#include "../../tap.h"
#include "fmha/verify.h"

static json_t *parse(const char *text) { return text ? json_loads(text, 0, NULL) : NULL; }

static bool trial(const fmha_planted *ours, const fmha_planted *peer, const char *config, const char *problem,
                  const char *options, json_t **result, spak_error *err) {
    json_t *c = parse(config), *p = parse(problem), *o = parse(options);
    *err = (spak_error){""};
    bool ran = ours || peer ? fmha_trial_with(ours, peer, c, p, o, result, err) : fmha_op.trial(c, p, o, result, err);
    json_decref(c);
    json_decref(p);
    json_decref(o);
    return ran;
}

static const char *const small =
    "{\"batch\": 2, \"heads\": 4, \"kv_heads\": 2, \"q_len\": 65, \"kv_len\": 90, "
    "\"head_dim\": 24, \"causal\": true, \"seed\": 5}";
static const char *const quick = "{\"samples\": 3, \"min_sample_ms\": 0.05, \"flush\": false}";

static void test_ok(const char *config, const char *problem, bool has_peer) {
    json_t *result;
    spak_error err;
    if (!ok(trial(NULL, NULL, config, problem, quick, &result, &err), "trial of %s on %s %s", config, problem,
            err.message))
        return;
    if (!ok(!strcmp(spak_json_str(result, "status", ""), "ok"), "its status"))
        printf("# %s\n", spak_json_str(result, "reason", ""));
    ok(spak_json_bool(result, "correct", false), "correct");
    double error = spak_json_num(result, "error_over_bound", -1);
    ok(error >= 0 && error <= 1, "error over bound %.3g", error);
    is_int(json_array_size(json_object_get(result, "time_ms")), 3, "every sample is there");
    bool peer = json_is_string(json_object_get(result, "peer"));
    ok(peer == has_peer && (spak_json_num(result, "ratio", 0) > 0) == has_peer, "a ratio if there is a peer");
    ok(has_peer || *spak_json_str(result, "peer_reason", ""), "or the reason");
    ok(!peer || spak_json_num(result, "peer_traffic_bytes", 0) > 0, "and its traffic");
    ok(json_object_get(json_object_get(result, "config"), "variant"), "the configuration is filled in");
    json_decref(result);
}

static void test_figures(void) {
    json_t *result;
    spak_error err;
    trial(NULL, NULL, "{\"tile_m\": 32, \"tile_n\": 10, \"isa\": \"portable\"}",
          "{\"batch\": 1, \"heads\": 2, \"q_len\": 64, \"head_dim\": 8, \"causal\": true}", quick, &result, &err);
    is_near(spak_json_num(result, "flop", 0), 4 * 2 * 8 * (64 * 65 / 2), 0,
            "flop counts the pairs that see each other");
    /* Q, O, LSE; K and V packed; keys 0 .. 31 read by the first tile, 0 .. 63 by the second. */
    is_near(spak_json_num(result, "traffic_bytes", 0), 4 * 2 * (2 * 64 * 8 + 64 + 4 * 64 * 8 + 2 * 8 * (32 + 64)), 0,
            "traffic by hand");
    is_near(spak_json_num(result, "peer_traffic_bytes", 0), 4 * 2 * (2 * 64 * 8 + 64 + 4 * 64 * 64 + 2 * 64 * 8), 0,
            "and the peer's");
    json_decref(result);
}

static void is_figure(const char *config, const char *problem, const char *figure, double want, const char *what) {
    json_t *result;
    spak_error err;
    trial(NULL, NULL, config, problem, quick, &result, &err);
    is_near(spak_json_num(result, figure, 0), want, 0, "%s of %s, %s", figure, config, what);
    json_decref(result);
}

/* Two query heads share one head of K and V; 20 queries of 8, 30 keys. Counted from the loops, element by element. */
static void test_backward_figures(void) {
    static const char *const
        problem = "{\"batch\": 1, \"heads\": 2, \"kv_heads\": 1, \"q_len\": 20, \"kv_len\": 30, \"head_dim\": 8}",
        *const backward =
            "{\"batch\": 1, \"heads\": 2, \"kv_heads\": 1, \"q_len\": 20, \"kv_len\": 30, "
            "\"head_dim\": 8, \"backward\": true}",
        *const causal =
            "{\"batch\": 1, \"heads\": 1, \"q_len\": 20, \"head_dim\": 8, \"causal\": true, "
            "\"backward\": true}";
    const double f = sizeof(float), q = 2 * 20 * 8, k = 30 * 8, lse = 2 * 20, s = 2 * 20 * 30;
    const double products = 2 * 2.0 * 20 * 30 * 8; /* a multiplication and an addition, both heads */
    is_figure("{}", problem, "flop", 2 * products, "two products");
    is_figure("{}", backward, "flop", 5 * products, "five products");
    is_figure("{\"variant\": \"unfused\"}", backward, "flop", 5 * products, "whatever the variant");
    is_figure("{\"variant\": \"unfused\"}", problem, "traffic_bytes",
              f * (q + 2 * 2 * k + lse + q + /* S: written, read, written as P, read */ 4 * s),
              "each head reads K and V once");
    is_figure("{\"variant\": \"naive\"}", problem, "traffic_bytes", f * (2 * q + lse + 4 * s + 20 * 2 * 2 * k),
              "each query reads K and V");
    /* Q, O, dO read, dQ and LSE, dK and dV; dK and dV of each head written and read */
    const double ends = 4 * q + lse + 2 * k, parts = 2 * 2 * 2 * k;
    is_figure("{\"variant\": \"unfused\"}", backward, "traffic_bytes",
              f * (ends + parts + /* S and dP as below, P read once, dS twice */ (2 * 3 + 1 + 2) * s + 3 * 2 * k),
              "S and dP are written, read and written, K is read twice and V once by each head");
    is_figure("{\"variant\": \"naive\"}", backward, "traffic_bytes", f * (ends + parts + 9 * s + 20 * 3 * 2 * k),
              "and by each query");
    is_figure("{\"tile_m\": 32, \"tile_n\": 10, \"isa\": \"portable\"}", backward, "traffic_bytes",
              f * (ends + parts + /* K and V, packed */ 2 * 2 * k + /* Q and dO twice, dQ both ways */ 6 * 3 * q),
              "three tiles of keys meet all queries");
    is_figure("{\"tile_m\": 32, \"tile_n\": 10, \"isa\": \"portable\"}", causal, "traffic_bytes",
              f * (4 * 160 + 20 + 2 * 160 + 4 * 160 + 2 * 160 + 6 * 8 * (20 + 10)),
              "the second tile of keys meets the last ten queries");
}

static void test_refused(const char *config, const char *problem, const char *reason) {
    json_t *result;
    spak_error err;
    if (!ok(trial(NULL, NULL, config, problem, quick, &result, &err), "%s is a result %s", config, err.message)) return;
    is_str(spak_json_str(result, "status", ""), "refused", "refused");
    const char *found = spak_json_str(result, "reason", "");
    ok(strstr(found, reason) && !json_object_get(result, "time_ms"), "because: %s", found);
    json_decref(result);
}

static void test_malformed(const char *problem, const char *options, const char *expected) {
    json_t *result;
    spak_error err;
    ok(!trial(NULL, NULL, "{}", problem, options, &result, &err) && !result && strstr(err.message, expected),
       "error: %s", err.message);
}

/* Products of sizes, each of them allowed, that wrap around: the first's S has 2^88 numbers. */
static const char *const huge[][2] = {
    {"{\"batch\": 1048576, \"heads\": 1048576, \"q_len\": 16777216, \"head_dim\": 256}", "batch = 1048576"},
    {"{\"batch\": 1048576, \"heads\": 1048576, \"q_len\": 0, \"head_dim\": 1}", "fewer heads"},
    {"{\"batch\": 4096, \"heads\": 4096, \"q_len\": 16777216, \"head_dim\": 64}", "q_len = 16777216"},
    {"{\"batch\": 1, \"heads\": 65536, \"q_len\": 16777216, \"kv_len\": 16777216, \"head_dim\": 64}",
     "shorter sequences"}};

/* --- planted kernels --- */

typedef enum cheat {
    HONEST,
    RETURNS_ALWAYS,
    RETURNS_FROM_THE_SECOND_CALL,
    RETURNS_FROM_THE_FIFTH_CALL,
    HALF_THE_ROWS,
    HALF_THE_ROWS_FROM_THE_SECOND_CALL,
    HALF_THE_KEYS,
    HALF_THE_KEYS_FROM_THE_SECOND_CALL,
    ONE_NUMBER_ALWAYS,
    ONE_NUMBER_FROM_THE_SECOND_CALL,
    LAST_OUTPUT_IS_NAN,
    CHEATS
} cheat;

static const char *const cheat_names[CHEATS] = {"honest",
                                                "returns always",
                                                "returns from the second call on",
                                                "returns from the fifth call on",
                                                "half the rows",
                                                "half the rows from the second call on",
                                                "half the keys",
                                                "half the keys from the second call on",
                                                "writes one number everywhere",
                                                "one number a little off from the second call on",
                                                "the last output is NaN"};

typedef struct planted {
    cheat cheat;
    int calls;
} planted;

/* The problem with half the queries or half the keys, written into the same outputs. */
static void run_half(const fmha_shape *shape, const fmha_call *call, bool keys) {
    fmha_shape half = *shape;
    fmha_config config;
    fmha_plan *plan;
    spak_error err;
    json_t *axes = json_pack("{s:s}", "variant", "fused");
    if (keys)
        half.kv_len = half.kv_len / 2;
    else
        half.kv_len -= half.q_len - half.q_len / 2, half.q_len = half.q_len / 2;
    if (fmha_config_read(axes, &half, 1, &config, &err) && fmha_plan_new(&config, &half, 1, 0, &plan, &err)) {
        if (call->backward)
            fmha_backward(plan, &call->gradients);
        else
            fmha_forward(plan, &call->forward);
        fmha_plan_free(plan);
    }
    json_decref(axes);
}

static void run_planted(void *ctx, fmha_plan *plan, const fmha_shape *shape, const fmha_call *call) {
    planted *p = ctx;
    bool again = p->calls++ > 0;
    cheat c = p->cheat;
    if (c == RETURNS_ALWAYS || (c == RETURNS_FROM_THE_SECOND_CALL && again) ||
        (c == RETURNS_FROM_THE_FIFTH_CALL && p->calls >= 5))
        return;
    if (call->backward)
        fmha_backward(plan, &call->gradients);
    else
        fmha_forward(plan, &call->forward);
    if (c == HALF_THE_ROWS || (c == HALF_THE_ROWS_FROM_THE_SECOND_CALL && again)) {
        size_t half = call->out_floats / 2;
        for (size_t i = half; i < call->out_floats; i++) call->out[i] = call->out[i - half];
    }
    if (c == HALF_THE_KEYS || (c == HALF_THE_KEYS_FROM_THE_SECOND_CALL && again)) run_half(shape, call, true);
    if (c == ONE_NUMBER_ALWAYS)
        for (size_t i = 0; i < call->out_floats; i++) call->out[i] = 0.125f;
    if (c == ONE_NUMBER_FROM_THE_SECOND_CALL && again) call->out[call->out_floats / 3] *= 1.000001f;
    if (c == LAST_OUTPUT_IS_NAN) call->out[call->out_floats - 1] = NAN;
}

static json_t *planted_trial(cheat ours, cheat peer, const char *problem) {
    planted a = {.cheat = ours}, b = {.cheat = peer};
    fmha_planted s = {run_planted, &a}, t = {run_planted, &b};
    json_t *result = NULL;
    spak_error err;
    if (!trial(&s, &t, NULL, problem, "{\"samples\": 3, \"min_sample_ms\": 1}", &result, &err))
        printf("# %s\n", err.message);
    return result;
}

static void test_cheats(const char *problem) {
    json_t *result = planted_trial(HONEST, HONEST, problem);
    is_str(spak_json_str(result, "status", ""), "ok", "honest on %s", problem);
    json_decref(result);
    for (cheat c = HONEST + 1; c < CHEATS; c++) {
        result = planted_trial(c, HONEST, problem);
        bool caught = !strcmp(spak_json_str(result, "status", ""), "failed");
        ok(caught && !json_object_get(result, "ratio") && !spak_json_bool(result, "correct", true), "%s: %s",
           cheat_names[c], spak_json_str(result, "reason", "not caught"));
        json_decref(result);
    }
    result = planted_trial(HONEST, RETURNS_ALWAYS, problem);
    ok(result && json_is_null(json_object_get(result, "peer")) && !json_object_get(result, "ratio") &&
           strstr(spak_json_str(result, "peer_reason", ""), "wrong"),
       "a wrong peer is no peer");
    json_decref(result);
}

int main(void) {
    spak_json_init();
    test_ok(NULL, small, true);
    test_ok("{\"variant\": \"naive\"}", small, true);
    test_ok("{\"variant\": \"unfused\"}", small, true);
    test_ok("{\"tile_m\": 32, \"tile_n\": 24}", small, true);
    test_ok("{}", "{\"batch\": 1, \"heads\": 4, \"q_len\": 70, \"head_dim\": 32, \"threads\": 2, \"backward\": true}",
            true);
    test_ok("{\"variant\": \"unfused\"}",
            "{\"batch\": 1, \"heads\": 4, \"kv_heads\": 1, \"q_len\": 70, \"head_dim\": 32, \"threads\": 2, "
            "\"backward\": true, \"causal\": true, \"dtype\": \"bf16\"}",
            true);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 33, \"head_dim\": 16, \"dtype\": \"f16\"}", true);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 0, \"kv_len\": 3, \"head_dim\": 16}", false);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 3, \"kv_len\": 0, \"head_dim\": 16}", false);
    /* dK and dV without queries are 0 and are checked, each sample, as drawn keys; dQ without keys likewise */
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 0, \"kv_len\": 5, \"head_dim\": 16, \"backward\": true}",
            false);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 5, \"kv_len\": 0, \"head_dim\": 16, \"backward\": true}",
            false);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 0, \"kv_len\": 0, \"head_dim\": 16, \"backward\": true}",
            false);
    test_ok("{}", "{\"batch\": 1, \"heads\": 2, \"q_len\": 700, \"head_dim\": 64, \"causal\": true}",
            true); /* beyond the size where every row is checked */
    test_figures();
    test_backward_figures();

    test_refused("{\"isa\": \"mmx\"}", small, "axis isa");
    test_refused("{\"variant\": \"magic\"}", small, "axis variant");
    test_refused("{\"tile_m\": 7, \"isa\": \"portable\"}", small, "whole_panels");
    test_refused("{\"tile_m\": 1000}", small, "axis tile_m");
    test_refused("{\"tile_n\": 0.5}", small, "axis tile_n");
    test_refused("{\"varient\": \"naive\"}", small, "no axis 'varient'");
    test_refused("{\"dtype\": \"bf16\"}", small, "axis dtype");
    test_refused("{\"variant\": \"fused\"}",
                 "{\"batch\": 1, \"heads\": 1, \"q_len\": 4, \"head_dim\": 8, \"threads\": 2}", "threads_use_them");
    test_refused("{}", "{\"batch\": 1, \"heads\": 1, \"q_len\": 4, \"head_dim\": 8, \"threads\": 0}",
                 "problem.threads");
    test_refused("{\"variant\": \"unfused\"}", "{\"batch\": 64, \"heads\": 64, \"q_len\": 1000000, \"head_dim\": 8}",
                 "half of the machine");
    test_refused("{}", "{\"batch\": 1, \"heads\": 64, \"q_len\": 4194304, \"kv_len\": 5, \"head_dim\": 256}",
                 "shorter sequence");
    if (!dev_cpu_has(DEV_ISA_AVX512)) test_refused("{\"isa\": \"avx512\"}", small, "axis isa");

    test_malformed("{\"batch\": 1, \"heads\": 1, \"q_len\": 4}", quick, "problem.head_dim");
    test_malformed("{\"batch\": 1, \"heads\": 1, \"q_len\": -4, \"head_dim\": 8}", quick, "problem.q_len");
    test_malformed("{\"batch\": 1, \"heads\": 1, \"q_len\": 4, \"head_dim\": 257}", quick, "problem.head_dim");
    test_malformed("{\"batch\": 1, \"heads\": 3, \"kv_heads\": 2, \"q_len\": 4, \"head_dim\": 8}", quick, "kv_heads");
    test_malformed("{\"batch\": 1, \"heads\": 1, \"q_len\": 4, \"head_dim\": 8, \"dtype\": \"f8\"}", quick, "dtype");
    test_malformed("[]", quick, "problem");
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) test_malformed(huge[i][0], quick, huge[i][1]);
    test_malformed(small, "{\"sampels\": 3}", "no such member");

    test_cheats(small);
    test_cheats("{\"batch\": 1, \"heads\": 4, \"kv_heads\": 2, \"q_len\": 600, \"head_dim\": 64, \"causal\": true}");
    test_cheats("{\"batch\": 1, \"heads\": 4, \"kv_heads\": 2, \"q_len\": 300, \"head_dim\": 64, \"backward\": true}");
    return done_testing();
}
