/* For the tests of nn_cpu: one operator call is written once, runs on the oracle's doubles and on the CPU's floats with
 * 1, 2 and 3 threads, and what comes out is held against the oracle and bit for bit against the other threads.
 *
 * Every number that goes in is a float, so both sides begin with the same. What an operator only writes begins as NaN:
 * a number that is not written stays one and fails. Tolerances are per element, from the unit roundoff U, the number of
 * roundings in a chain, and magnitudes. Each operator is also called slightly wrong on purpose (`fault`): the check
 * must then fail, or its tolerance is worth nothing. */
#ifndef SPAK_TESTS_CPU_TEST_H
#define SPAK_TESTS_CPU_TEST_H

#include <stdlib.h>

#include "base/alloc.h"
#include "device/device.h"
#include "nn_test.h"

#define U 0x1p-24
enum { ARRAYS = 16, THREADS = 3 };

typedef struct array {
    size_t n;
    bool written; /* begins as NaN */
    float *from;  /* what it begins with */
    double *oracle;
    float *cpu;
    double *tolerance; /* NULL: not looked at; < 0: must still be the NaN that it was */
} array;

static array arrays[ARRAYS];
static nn_ctx *oracle_ctx, *cpu_ctx[THREADS];
static const char *isa_name;
static bool fault;

typedef void call(const nn_ops *ops, nn_ctx *ctx, void **a);

__attribute__((unused)) static void forget(void) {
    for (int i = 0; i < ARRAYS; i++) {
        free(arrays[i].from), free(arrays[i].oracle), free(arrays[i].cpu), free(arrays[i].tolerance);
        arrays[i] = (array){0};
    }
}

static array *make_array(int i, size_t n, bool written) {
    arrays[i] = (array){.n = n,
                        .written = written,
                        .from = malloc((n + 1) * sizeof(float)),
                        .oracle = malloc((n + 1) * sizeof(double)),
                        .cpu = malloc((n + 1) * sizeof(float))};
    for (size_t j = 0; j < n; j++) arrays[i].from[j] = NAN;
    return &arrays[i];
}

/* Array i of the call: n numbers in [lo, hi), to be read or added to. */
__attribute__((unused)) static float *give(int i, size_t n, double lo, double hi) {
    make_array(i, n, false);
    for (size_t j = 0; j < n; j++)
        arrays[i].from[j] =
            (float)(lo + (hi - lo) * (double)spak_philox_uniform(NN_TEST_SEED, 100 + (uint64_t)i, j + n));
    return arrays[i].from;
}
/* n numbers, to be written. */
__attribute__((unused)) static void want(int i, size_t n) { make_array(i, n, true); }

/* The tolerance of element j of array i, to be set after the oracle has run. */
__attribute__((unused)) static double *tolerance(int i) {
    arrays[i].tolerance = malloc((arrays[i].n + 1) * sizeof(double));
    return arrays[i].tolerance;
}

__attribute__((unused)) static void run_oracle(call *run) {
    void *a[ARRAYS] = {NULL};
    for (int i = 0; i < ARRAYS; i++) {
        for (size_t j = 0; j < arrays[i].n; j++) arrays[i].oracle[j] = (double)arrays[i].from[j];
        a[i] = arrays[i].from ? arrays[i].oracle : NULL;
    }
    run(&nn_oracle, oracle_ctx, a);
}

static bool bits_differ(int thread, int i, const float *first) {
    if (!arrays[i].n || memcmp(first, arrays[i].cpu, arrays[i].n * sizeof(float)) == 0) return false;
    printf("# array %d has other bits with %d threads\n", i, thread + 1);
    return true;
}

static bool far_off(const array *x, int i) {
    double worst = 0, used = 0;
    for (size_t j = 0; j < x->n && x->tolerance; j++) {
        double off = fabs((double)x->cpu[j] - x->oracle[j]);
        bool same = (double)x->cpu[j] == x->oracle[j] || (x->tolerance[j] < 0 && isnan(x->cpu[j])); /* infinities */
        if (!same && !(off <= x->tolerance[j])) {
            if (!fault)
                printf("# array %d, element %zu of %zu: %.9g, not %.9g; %.3g off, %.3g allowed\n", i, j, x->n,
                       (double)x->cpu[j], x->oracle[j], off, x->tolerance[j]);
            return true;
        }
        if (!same && off / x->tolerance[j] > used) used = off / x->tolerance[j], worst = off;
    }
    if (getenv("SHOW") && x->tolerance) printf("# array %d: worst %.3g, %.2f of the tolerance\n", i, worst, used);
    return false;
}

/* Runs the call on the CPU with each number of threads. */
__attribute__((unused)) static bool cpu_agrees(call *run) {
    float *first[ARRAYS] = {NULL};
    bool good = true;
    for (int t = 0; t < THREADS; t++) {
        void *a[ARRAYS] = {NULL};
        for (int i = 0; i < ARRAYS; i++) {
            if (arrays[i].n) memcpy(arrays[i].cpu, arrays[i].from, arrays[i].n * sizeof(float));
            a[i] = arrays[i].cpu;
        }
        run(&nn_cpu, cpu_ctx[t], a);
        for (int i = 0; i < ARRAYS; i++) {
            if (t == 0 && far_off(&arrays[i], i)) good = false;
            if (t == 0 && arrays[i].n) {
                first[i] = malloc(arrays[i].n * sizeof(float));
                memcpy(first[i], arrays[i].cpu, arrays[i].n * sizeof(float));
            }
            if (t > 0 && bits_differ(t, i, first[i])) good = false;
        }
    }
    for (int i = 0; i < ARRAYS; i++) free(first[i]);
    return good;
}

/* Sound: it agrees. With the fault: it does not. */
#define agrees(run, ...)                                            \
    do {                                                            \
        bool good_ = cpu_agrees(run);                               \
        char what_[160];                                            \
        snprintf(what_, sizeof what_, __VA_ARGS__);                 \
        if (!fault)                                                 \
            ok(good_, "%s: %s", isa_name, what_);                   \
        else                                                        \
            ok(!good_, "%s: %s: a fault is seen", isa_name, what_); \
    } while (0)

__attribute__((unused)) static bool open_all(const nn_limits *limits) {
    spak_error err = {""};
    nn_limits one = *limits;
    bool good = nn_oracle.open(limits, &oracle_ctx, &err);
    for (int t = 0; good && t < THREADS; t++) {
        one.threads = t + 1;
        good = nn_cpu.open(&one, &cpu_ctx[t], &err);
    }
    return ok(good, "%s: contexts %s", isa_name, err.message);
}

__attribute__((unused)) static void close_all(void) {
    nn_oracle.close(oracle_ctx);
    oracle_ctx = NULL;
    for (int t = 0; t < THREADS; t++) nn_cpu.close(cpu_ctx[t]), cpu_ctx[t] = NULL;
}

/* Runs `test` with each instruction set that this machine has. */
__attribute__((unused)) static void each_isa(void (*test)(void)) {
    unsetenv("SPAK_ISA");
    dev_isa best = dev_cpu_isa();
    for (int isa = 0; isa <= (int)best; isa++) {
        isa_name = dev_isa_name((dev_isa)isa);
        setenv("SPAK_ISA", isa_name, 1);
        test();
    }
}

#endif
