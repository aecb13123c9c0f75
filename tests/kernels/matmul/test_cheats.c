/* Trials of planted kernels that compute less than they should where a trial might not look: each must end as failed,
 * and soon. */
#include <stdlib.h>

#include "../../tap.h"
#include "base/clock.h"
#include "matmul/verify.h"

typedef enum cheat {
    HONEST,
    HALF_THE_ROWS_FROM_THE_SECOND_CALL,
    RETURNS_FROM_THE_SECOND_CALL,
    RETURNS_FROM_THE_FIFTH_CALL,
    RETURNS_ALWAYS,
    HALF_THE_ROWS_IF_LARGE_AND_CALLED_BEFORE,
    HALF_THE_ROWS_IF_LARGE_AND_C_HOLDS_A_PRODUCT,
    HALF_OF_K_FROM_THE_SECOND_CALL,
    CHEATS
} cheat;

static const char *const cheat_names[CHEATS] = {"honest",
                                                "half the rows from the second call on",
                                                "returns from the second call on",
                                                "returns from the fifth call on",
                                                "returns always",
                                                "half the rows if m >= 512 and it was called before",
                                                "half the rows if m >= 512 and C holds a product",
                                                "half of k from the second call on"};

typedef struct planted {
    cheat cheat;
    int calls;
} planted;

static void run_planted(void *ctx, const matmul_args *x, int threads) {
    (void)threads;
    planted *p = ctx;
    matmul_args less = *x;
    bool again = p->calls++ > 0, large = x->m >= 512;
    if (p->cheat == RETURNS_ALWAYS || (p->cheat == RETURNS_FROM_THE_SECOND_CALL && again) ||
        (p->cheat == RETURNS_FROM_THE_FIFTH_CALL && p->calls >= 5))
        return;
    if ((p->cheat == HALF_THE_ROWS_FROM_THE_SECOND_CALL && again) ||
        (p->cheat == HALF_THE_ROWS_IF_LARGE_AND_CALLED_BEFORE && again && large) ||
        (p->cheat == HALF_THE_ROWS_IF_LARGE_AND_C_HOLDS_A_PRODUCT && large && isfinite(x->c[0])))
        less.m /= 2;
    if (p->cheat == HALF_OF_K_FROM_THE_SECOND_CALL && again) less.k /= 2;
    matmul_blocked(&less, 64, 64, 256);
}

static json_t *trial(cheat ours, cheat peer, const char *problem, const char *options) {
    planted a = {.cheat = ours}, b = {.cheat = peer};
    matmul_subject s = {run_planted, &a, cheat_names[ours]}, t = {run_planted, &b, cheat_names[peer]};
    json_t *p = json_loads(problem, 0, NULL), *o = json_loads(options, 0, NULL), *result = NULL;
    spak_error err = {""};
    if (!matmul_trial_with(&s, &t, NULL, p, o, &result, &err)) printf("# %s\n", err.message);
    json_decref(p);
    json_decref(o);
    return result;
}

static void test_cheat(cheat c, const char *problem, const char *options) {
    uint64_t begin = spak_now_ns();
    json_t *result = trial(c, HONEST, problem, options);
    double seconds = (double)(spak_now_ns() - begin) * 1e-9;
    is_str(spak_json_str(result, "status", ""), "failed", "%s on %s", cheat_names[c], problem);
    printf("# %s\n", spak_json_str(result, "reason", "no reason"));
    ok(seconds < 2, "in %.3f s", seconds);
    ok(result && !json_object_get(result, "ratio") && !spak_json_bool(result, "correct", true), "with no ratio");
    json_decref(result);
}

static void test_honest(const char *problem, const char *options) {
    json_t *result = trial(HONEST, HONEST, problem, options);
    is_str(spak_json_str(result, "status", ""), "ok", "honest on %s", problem);
    ok(spak_json_num(result, "ratio", 0) > 0, "has a ratio");
    json_decref(result);
}

static void test_wrong_peer(const char *problem, const char *options) {
    json_t *result = trial(HONEST, RETURNS_ALWAYS, problem, options);
    is_str(spak_json_str(result, "status", ""), "ok", "beside a wrong peer");
    ok(json_is_null(json_object_get(result, "peer")) && !json_object_get(result, "ratio"), "no peer, no ratio");
    ok(strstr(spak_json_str(result, "peer_reason", ""), "wrong"), "and the reason");
    json_decref(result);
}

/* A slow side bounds the repeats: no sample of it outlasts 20 times min_sample_ms by more than noise. */
static void test_returning_peer_is_bounded(const char *problem) {
    uint64_t begin = spak_now_ns();
    json_t *result = trial(HONEST, RETURNS_FROM_THE_SECOND_CALL, problem, "{\"samples\": 3, \"min_sample_ms\": 1}");
    double seconds = (double)(spak_now_ns() - begin) * 1e-9;
    ok(seconds < 2, "beside a peer that returns at once: %.3f s, %d repeats", seconds,
       (int)spak_json_int(result, "repeats", 0));
    json_decref(result);
}

/* Every sign, transpose and leading dimension: one wrong element is found by each draw, a right product by none. */
static void test_verifier(bool trans_a, bool trans_b) {
    enum { M = 37, N = 150, K = 29, LD = 160 };
    static float a[LD * LD], b[LD * LD], c[LD * LD];
    for (int i = 0; i < LD * LD; i++) a[i] = (float)(i * 7 % 31) - 15, b[i] = (float)(i * 11 % 29) - 14;
    matmul_args x = {M, N, K, trans_a, trans_b, a, LD, b, LD - 3, c, LD - 5, false};
    matmul_verifier *v;
    spak_error err;
    if (!ok(matmul_verifier_new(&x, 3, &v, &err), "verifier, transposes %d %d", trans_a, trans_b)) return;
    matmul_naive(&x);
    double worst = matmul_verify(v, c, x.ldc);
    for (uint64_t draw = 0; draw < 50; draw++) worst = fmax(worst, matmul_verify_quickly(v, c, x.ldc, draw));
    ok(worst <= 1, "a right product: error over bound %.3g", worst);
    int missed = 0;
    for (uint64_t draw = 0; draw < 50; draw++) {
        float *at = &c[draw * 17 % M * x.ldc + draw * 31 % N], was = *at;
        *at = draw % 2 ? NAN : was + 50;
        missed += matmul_verify_quickly(v, c, x.ldc, draw) <= 1;
        *at = was;
    }
    is_int(missed, 0, "one wrong element is always found");
    matmul_verifier_free(v);
}

int main(void) {
    spak_json_init();
    static const char *const options = "{\"samples\": 3, \"min_sample_ms\": 2}";
    static const char *const small = "{\"m\": 64, \"n\": 70, \"k\": 66}",
                             *const large = "{\"m\": 512, \"n\": 96, \"k\": 64}",
                             *const huge = "{\"m\": 600, \"n\": 600, \"k\": 100, \"trans_a\": true, \"trans_b\": true}";
    for (int i = 0; i < 4; i++) test_verifier(i & 1, i & 2);
    test_honest(small, options);
    test_honest(huge, options); /* beyond the size where every element is checked */
    for (cheat c = HONEST + 1; c < CHEATS; c++) {
        bool by_size = c == HALF_THE_ROWS_IF_LARGE_AND_CALLED_BEFORE;
        if (c == HALF_THE_ROWS_IF_LARGE_AND_C_HOLDS_A_PRODUCT) continue;
        if (!by_size) test_cheat(c, small, options);
        test_cheat(c, large, options);
        test_cheat(c, huge, options);
        test_cheat(c, large, "{\"samples\": 3, \"min_sample_ms\": 2, \"peer\": false}");
    }
    /* This one never meets the C it waits for: it computes all, and is honest. */
    json_t *result = trial(HALF_THE_ROWS_IF_LARGE_AND_C_HOLDS_A_PRODUCT, HONEST, large, options);
    is_str(spak_json_str(result, "status", ""), "ok", "no product meets a C that holds one");
    json_decref(result);
    test_wrong_peer(small, options);
    test_returning_peer_is_bounded(small);
    return done_testing();
}
