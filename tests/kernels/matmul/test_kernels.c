/* Every variant, instruction set and tile of this machine on random shapes: the invariants hold. Then the corners. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../tap.h"
#include "matmul/matmul.h"

static void test_invariants(void) {
    for (size_t i = 0; i < matmul_op.num_invariants; i++) {
        const dev_invariant *invariant = &matmul_op.invariants[i];
        json_t *evidence = NULL, *options = json_pack("{s:i,s:i}", "seed", 11, "cases", 4);
        spak_error err = {""};
        bool ran = invariant->check(options, &evidence, &err);
        ok(ran && spak_json_bool(evidence, "holds", false) && spak_json_int(evidence, "cases", 0) > 20, "%s holds %s",
           invariant->name, err.message);
        json_t *counterexample = json_object_get(evidence, "counterexample");
        if (counterexample) printf("# %s\n", json_dumps(counterexample, 0));
        json_decref(evidence);
        json_decref(options);
    }
    json_t *evidence = NULL, *bad = json_pack("{s:i}", "cases", 0);
    spak_error err = {""};
    ok(!matmul_op.invariants[0].check(bad, &evidence, &err) && strstr(err.message, "cases"), "no cases is an error: %s",
       err.message);
    json_decref(bad);
}

static bool plan_for(const char *axes, int threads, matmul_plan **plan) {
    spak_error err = {""};
    json_error_t where;
    json_t *json = json_loads(axes, 0, &where);
    matmul_config config;
    bool made = matmul_config_read(json, threads, &config, &err) && matmul_plan_new(&config, threads, plan, &err);
    json_decref(json);
    if (!made) printf("# %s\n", err.message);
    return made;
}

static void test_corners(void) {
    static const char *const all[] = {"{\"variant\": \"naive\"}",         "{\"variant\": \"loop_order\"}",
                                      "{\"variant\": \"blocked\"}",       "{\"variant\": \"packed\"}",
                                      "{\"variant\": \"register_tile\"}", "{\"variant\": \"threads\"}"};
    for (size_t v = 0; v < sizeof all / sizeof *all; v++) {
        matmul_plan *plan = NULL;
        if (!ok(plan_for(all[v], 1, &plan), "a plan for %s", all[v])) continue;
        float c[6] = {9, 9, 9, 9, 9, 9}, a[4] = {1, 2, 3, 4}, b[4] = {5, 6, 7, 8};
        matmul_run(plan, &(matmul_args){.m = 2, .n = 2, .k = 0, .a = a, .lda = 1, .b = b, .ldb = 2, .c = c, .ldc = 3});
        ok(c[0] == 0 && c[1] == 0 && c[3] == 0 && c[4] == 0 && c[2] == 9 && c[5] == 9, "k = 0 gives zeros");
        matmul_run(plan, &(matmul_args){.m = 0, .n = 2, .k = 2, .a = a, .lda = 2, .b = b, .ldb = 2, .c = c, .ldc = 2});
        matmul_run(plan, &(matmul_args){.m = 2, .n = 0, .k = 2, .a = a, .lda = 2, .b = b, .ldb = 1, .c = c, .ldc = 1});
        ok(c[0] == 0 && c[2] == 9, "m = 0 and n = 0 write nothing");
        matmul_args two = {.m = 2, .n = 2, .k = 2, .a = a, .lda = 2, .b = b, .ldb = 2, .c = c, .ldc = 3};
        matmul_run(plan, &two);
        ok(c[0] == 19 && c[1] == 22 && c[3] == 43 && c[4] == 50, "2 x 2 by hand");
        two.trans_a = two.trans_b = true;
        matmul_run(plan, &two);
        ok(c[0] == 23 && c[1] == 31 && c[3] == 34 && c[4] == 46, "both transposed");
        two.accumulate = true;
        matmul_run(plan, &two);
        ok(c[0] == 46 && c[1] == 62 && c[3] == 68 && c[4] == 92 && c[2] == 9 && c[5] == 9, "added to what is there");
        two.k = 0;
        matmul_run(plan, &two);
        ok(c[0] == 46 && c[4] == 92, "k = 0 adds nothing");
        matmul_plan_free(plan);
    }
}

/* The default blocks must be crossed too: more rows than mc, more of k than kc, more columns than a small nc. */
static void test_large(int threads, bool twice) {
    enum { M = 530, N = 333, K = 1100 };
    matmul_plan *plan = NULL;
    float *memory = calloc(M * K + K * N + M * N, sizeof *memory);
    double *want = malloc(2 * M * N * sizeof *want);
    spak_error err = {""};
    if (!ok(memory && want && plan_for("{\"variant\": \"threads\", \"nc\": 96, \"mc\": 100}", threads, &plan), "plan"))
        return;
    for (size_t i = 0; i < M * K + K * N; i++) memory[i] = (float)((i * 2654435761u >> 7) % 2001) / 1000 - 1;
    matmul_args x = {.m = M,
                     .n = N,
                     .k = K,
                     .a = memory,
                     .lda = K,
                     .b = memory + M * K,
                     .ldb = N,
                     .c = memory + M * K + K * N,
                     .ldc = N};
    matmul_run(plan, &x);
    matmul_oracle(&x, want, want + M * N, &err);
    x.accumulate = twice;
    if (twice) matmul_run(plan, &x);
    double worst = 0;
    for (size_t i = 0; i < M * N; i++) {
        size_t times = twice ? 2 : 1;
        double factor = matmul_error_factor(times * K) * (double)times;
        double ratio = fabs((double)x.c[i] - (double)times * want[i]) / (factor * want[M * N + i]);
        if (!(ratio <= worst)) worst = ratio;
    }
    ok(worst > 0 && worst <= 1, "%d x %d x %d on %d threads%s: largest error over bound %.3g", M, N, K, threads,
       twice ? ", twice" : "", worst);
    matmul_plan_free(plan);
    free(memory);
    free(want);
}

static void test_bound(void) {
    ok(matmul_error_factor(0) == 0, "no products, no error");
    is_near(matmul_error_factor(1) / 0x1p-24, 1, 1e-6, "one product: one rounding");
    ok(matmul_error_factor(1000) > 1000 * 0x1p-24 && matmul_error_factor(1000) < 1001 * 0x1p-24, "gamma_1000");
}

int main(void) {
    spak_json_init();
    test_bound();
    test_corners();
    test_large(1, false);
    test_large(3, false);
    test_large(3, true);
    test_invariants();
    return done_testing();
}
