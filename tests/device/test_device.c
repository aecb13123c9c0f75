/* The machine's description, statistics, the team of threads, the table of operators, the peer. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "device/blas.h"
#include "device/device.h"
#include "device/op.h"
#include "device/threads.h"

static void test_isa(void) {
    dev_isa isa;
    for (int i = 0; i < DEV_ISA_COUNT; i++)
        ok(dev_isa_parse(dev_isa_name((dev_isa)i), &isa) && (int)isa == i, "%s", dev_isa_name((dev_isa)i));
    ok(!dev_isa_parse("sse9", &isa), "an unknown name is none");
    dev_isa best = dev_cpu_isa();
    ok(dev_cpu_has(DEV_ISA_PORTABLE) && dev_cpu_has(best), "portable runs everywhere, the best one here");
    setenv("SPAK_ISA", "portable", 1);
    is_int(dev_cpu_isa(), DEV_ISA_PORTABLE, "SPAK_ISA lowers");
    ok(best == DEV_ISA_PORTABLE || !dev_cpu_has(DEV_ISA_AVX2), "and what is above it is gone");
    setenv("SPAK_ISA", "avx512", 1);
    is_int(dev_cpu_isa(), best, "SPAK_ISA never raises");
    setenv("SPAK_ISA", "nonsense", 1);
    is_int(dev_cpu_isa(), best, "an unknown one changes nothing");
    unsetenv("SPAK_ISA");
}

static void test_describe(void) {
    json_t *hw = NULL;
    spak_error err = {""};
    if (!ok(dev_describe(&hw, &err), "the machine describes itself %s", err.message)) return;
    is_str(spak_json_str(hw, "kind", ""), "cpu", "kind");
    is_str(spak_json_str(hw, "isa", ""), dev_isa_name(dev_cpu_isa()), "isa");
    is_int(spak_json_int(hw, "cores", 0), dev_cpu_count(), "cores");
    const char *id = spak_json_str(hw, "id", "");
    ok(*id && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(id), "'%s' is fit for a file name", id);
    ok(!strstr(id, "--"), "without doubled dashes");
    const char *key;
    json_t *value;
    json_object_foreach(hw, key, value) ok(
        json_is_string(value) ? *json_string_value(value) != '\0' : json_number_value(value) > 0, "%s is known", key);
    const dev_caches *caches = dev_cpu_caches();
    ok(!caches->l2_bytes || caches->l2_bytes >= caches->l1d_bytes, "L2 is no smaller than L1");
    json_decref(hw);
}

static void test_spread(void) {
    double one[] = {3}, five[] = {5, 1, 4, 2, 3}, four[] = {4, 1, 3, 2};
    dev_spread s = dev_spread_of(one, 1);
    ok(s.median == 3 && s.q1 == 3 && s.q3 == 3 && s.min == 3 && s.max == 3, "one sample is its own spread");
    s = dev_spread_of(five, 5);
    ok(s.median == 3 && s.q1 == 2 && s.q3 == 4 && s.min == 1 && s.max == 5, "five");
    s = dev_spread_of(four, 4);
    ok(s.median == 2.5 && s.q1 == 1.75 && s.q3 == 3.25, "four: between the samples");
}

typedef struct tally {
    dev_pool *pool;
    atomic_int visits[8], arrived;
    int seen[8];
} tally;

static void count(void *arg, int thread, int threads) {
    tally *t = arg;
    atomic_fetch_add(&t->visits[thread], 1);
    atomic_fetch_add(&t->arrived, 1);
    dev_pool_barrier(t->pool);
    t->seen[thread] = atomic_load(&t->arrived);
    dev_pool_barrier(t->pool);
    if (thread == threads - 1) atomic_store(&t->arrived, 0);
    dev_pool_barrier(t->pool);
}

static void test_pool(int threads) {
    spak_error err = {""};
    tally t = {0};
    if (!ok(dev_pool_new(threads, &t.pool, &err), "a pool of %d %s", threads, err.message)) return;
    bool all_there = true;
    enum { RUNS = 300 };
    for (int run = 0; run < RUNS; run++) {
        dev_pool_run(t.pool, count, &t);
        for (int i = 0; i < threads; i++) all_there = all_there && t.seen[i] == threads;
    }
    ok(all_there, "nobody passes the barrier before all have come");
    bool each = true;
    for (int i = 0; i < 8; i++) each = each && atomic_load(&t.visits[i]) == (i < threads ? RUNS : 0);
    ok(each, "each thread runs each job once");
    dev_pool_free(t.pool);
}

static void test_ops(void) {
    const dev_op *op = dev_op_find("matmul");
    ok(op && op->trial && op->num_invariants >= 4, "matmul is there");
    ok(!dev_op_find("nothing"), "another is not");
    ok(dev_op_invariant(op, "no_read_outside") && !dev_op_invariant(op, "nothing"), "its invariants by name");
}

static void test_peer(void) {
    const dev_blas *peer = dev_blas_peer();
    if (!peer) {
        skip_test("no OpenBLAS on this machine");
        return;
    }
    ok(strstr(peer->description, peer->core), "%s says which kernels it runs", peer->description);
    float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 2, 1, 0, 3}, c[4];
    dev_blas_sgemm(2, 2, 3, a, 3, false, b, 2, false, c, 2, 1);
    ok(c[0] == 5 && c[1] == 11 && c[2] == 14 && c[3] == 23, "2 x 3 by 3 x 2, row-major");
    dev_blas_sgemm(2, 2, 3, a, 2, true, b, 2, false, c, 2, 1);
    ok(c[0] == 7 && c[1] == 18, "with A transposed");
}

int main(void) {
    spak_json_init();
    test_isa();
    test_describe();
    test_spread();
    for (int threads = 1; threads <= 5; threads += 2) test_pool(threads);
    spak_error err;
    dev_pool *none;
    ok(!dev_pool_new(0, &none, &err) && strstr(err.message, "0"), "a pool of none is an error: %s", err.message);
    test_ops();
    test_peer();
    dev_flush_caches();
    ok(true, "the caches were flushed");
    return done_testing();
}
