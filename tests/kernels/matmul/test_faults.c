/* Kernels with one planted fault each: every fault must break an invariant, and the kernel without a fault none. */
#include <string.h>

#include "../../tap.h"
#include "device/threads.h"
#include "matmul/matmul.h"

typedef enum fault {
    SOUND,
    SKIPS_LAST_K,
    WRITES_PAST_THE_EDGE,
    READS_ONE_PAST,
    READS_ONE_BEFORE,
    LEAVES_AN_ELEMENT,
    TAIL_OFF_BY_ONE,
    ROUNDS_TO_BF16,
    ADDS_TO_OLD_C,
    SPLITS_K_BY_THREADS,
    IGNORES_TRANSPOSE,
    FAULTS
} fault;

static const char *const fault_names[FAULTS] = {"sound",
                                                "skips the last k",
                                                "writes past the edge",
                                                "reads one past the end",
                                                "reads one before",
                                                "leaves an element unwritten",
                                                "off by one in the n tail",
                                                "rounds the sum to bf16",
                                                "adds to what C held",
                                                "splits k between threads",
                                                "ignores the transpose"};

static float to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFFu + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float dot(const matmul_args *x, size_t i, size_t j, size_t from, size_t to, fault f) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    if (f == IGNORES_TRANSPOSE && x->trans_b && x->n == x->k) sb = (matmul_strides){x->ldb, 1};
    float sum = 0;
    for (size_t p = from; p < to; p++) {
        sum += x->a[i * sa.row + p * sa.column] * x->b[p * sb.row + j * sb.column];
        if (f == ROUNDS_TO_BF16) sum = to_bf16(sum);
    }
    return sum;
}

static volatile float sink;

static void run_faulty(void *ctx, const matmul_args *x, int threads) {
    fault f = *(const fault *)ctx;
    size_t k = f == SKIPS_LAST_K && x->k ? x->k - 1 : x->k, n = x->n;
    if (f == TAIL_OFF_BY_ONE && n % 8 != 0) n--;
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < n; j++) {
            if (f == LEAVES_AN_ELEMENT && i == x->m - 1 && j == n / 2) continue;
            float *c = &x->c[i * x->ldc + j], old = *c;
            if (f == SPLITS_K_BY_THREADS && threads > 1)
                *c = dot(x, i, j, 0, k / 2, f) + dot(x, i, j, k / 2, k, f);
            else
                *c = dot(x, i, j, 0, k, f);
            if (f == ADDS_TO_OLD_C) *c += old;
        }
    if (x->m && x->n && f == WRITES_PAST_THE_EDGE)
        for (size_t i = 0; i + 1 < x->m && x->ldc > x->n; i++) x->c[i * x->ldc + x->n] = 0;
    size_t columns = x->trans_a ? x->m : x->k, rows = x->trans_a ? x->k : x->m;
    if (rows && columns && f == READS_ONE_PAST) sink = x->a[(rows - 1) * x->lda + columns];
    if (rows && columns && f == READS_ONE_BEFORE) sink = x->a[-1];
}

typedef bool check_fn(const matmul_subject *subject, uint64_t seed, int cases, json_t **counterexample,
                      spak_error *err);

static const struct {
    const char *name;
    check_fn *check;
} checks[] = {
    {"tiled_sum_within_bound", matmul_check_bound},
    {"every_element_written_once", matmul_check_written},
    {"no_read_outside", matmul_check_reads},
    {"threads_do_not_change_bits", matmul_check_threads},
};
enum { CHECKS = sizeof checks / sizeof *checks, CASES = 10 };

/* Bit c: check c must catch the fault. Reading outside is the child's business; in this process it would be a fault of
 * the test itself, so the other checks see those two kernels nowhere. */
static const unsigned must_catch[FAULTS] = {
    [SKIPS_LAST_K] = 1,          [WRITES_PAST_THE_EDGE] = 2, [READS_ONE_PAST] = 4, [READS_ONE_BEFORE] = 4,
    [LEAVES_AN_ELEMENT] = 1 | 2, [TAIL_OFF_BY_ONE] = 1 | 2,  [ROUNDS_TO_BF16] = 1, [ADDS_TO_OLD_C] = 1 | 2,
    [SPLITS_K_BY_THREADS] = 8,   [IGNORES_TRANSPOSE] = 1};

static void try_fault(fault f) {
    matmul_subject subject = {run_faulty, &f, fault_names[f]};
    bool reads_outside = f == READS_ONE_PAST || f == READS_ONE_BEFORE;
    for (int c = 0; c < CHECKS; c++) {
        bool child = checks[c].check == matmul_check_reads;
        if (reads_outside && !child) continue;
        if (f != SOUND && !(must_catch[f] >> c & 1)) continue;
        json_t *counterexample = NULL;
        spak_error err = {""};
        int cases = f == IGNORES_TRANSPOSE ? 80 : CASES;
        bool holds = checks[c].check(&subject, 7, cases, &counterexample, &err);
        if (f == SOUND)
            ok(holds && !counterexample, "%s holds for the sound kernel", checks[c].name);
        else
            ok(!holds && counterexample && *spak_json_str(counterexample, "what", ""),
               "a kernel that %s breaks %s (%s)", fault_names[f], checks[c].name,
               spak_json_str(counterexample, "what", err.message));
        json_decref(counterexample);
    }
}

/* --- faulty partitions --- */

static int planted;

/* 0: none; 1: drops the last row of tiles; 2: repeats a tile; 3: threads overlap; 4: a tile one column too wide */
static void faulty_walk(const matmul_config *g, size_t m, size_t n, size_t k, int thread, int threads,
                        const matmul_hooks *hooks) {
    for (size_t i = 0; i < m; i += g->tile->mr) {
        if (planted == 1 && i + g->tile->mr >= m) continue;
        bool mine = (i / g->tile->mr) % (size_t)threads == (size_t)thread;
        if (!mine && !(planted == 3 && i == 0)) continue;
        for (size_t j = 0; j < n; j += g->tile->nr) {
            matmul_slice s = {.kb = k, .i0 = i, .j0 = j, .first = true, .turns = 1};
            s.rows = m - i < g->tile->mr ? m - i : g->tile->mr;
            s.cols = n - j < g->tile->nr ? n - j : g->tile->nr;
            if (planted == 4 && s.cols < g->tile->nr) s.cols++;
            hooks->tile(hooks->ctx, thread, &s);
            if (planted == 2 && i == 0 && j == 0) hooks->tile(hooks->ctx, thread, &s);
        }
    }
}

static void try_partitions(void) {
    static const char *const names[] = {"is sound", "drops the last row of tiles", "computes a tile twice",
                                        "gives one tile to two threads", "makes the last tile too wide"};
    matmul_config config;
    spak_error err = {""};
    ok(matmul_config_read(NULL, 1, &config, &err), "the default configuration is there%s", err.message);
    for (planted = 0; planted < 5; planted++) {
        json_t *counterexample = NULL;
        bool holds = matmul_check_partition(faulty_walk, &config, 3, 12, &counterexample, &err);
        ok(holds == (planted == 0) && !holds == !!counterexample, "a partition that %s %s (%s)", names[planted],
           planted ? "is caught" : "passes", spak_json_str(counterexample, "what", "no counterexample"));
        json_decref(counterexample);
    }
}

int main(void) {
    spak_json_init();
    for (int f = 0; f < FAULTS; f++) try_fault((fault)f);
    try_partitions();
    return done_testing();
}
