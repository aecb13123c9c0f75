/* What an emulated variant of the GPU's matrix products has to pass; for the tests of them. */
#ifndef SPAK_TESTS_MATMUL_GPU_CASES_H
#define SPAK_TESTS_MATMUL_GPU_CASES_H

#include "../../tap.h"
#include "emulate/matmul.h"

static const emulate_schedule schedules[] = {
    {0},
    {.warps_backward = true, .copies_late = true, .blocks = EMULATE_BLOCKS_BACKWARD},
    {.copies_late = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 5},
    {.warps_backward = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 3},
};

/* A case under the first so many schedules: right sums, every element written once, no bank conflicts, the same bits
 * each time. */
static bool passes(emulate_matmul_case *x, size_t num_schedules, const char *what) {
    emulate_matmul_result r = {0};
    uint64_t hash = 0;
    for (size_t i = 0; i < num_schedules; i++) {
        spak_error err = {0};
        x->schedule = schedules[i];
        bool good = emulate_matmul_run(x, &r, &err);
        if (!good) printf("# %s\n", err.message);
        bool once = x->m == 0 || x->n == 0 || (r.fewest_writes == 1 && r.most_writes == 1);
        bool smooth = r.counts.ldmatrix_cycles == 4 * r.counts.ldmatrix;
        bool same = i == 0 || hash == r.c_hash;
        hash = r.c_hash;
        if (!good || !once || !smooth || !same || !r.counters_clear || !(r.worst <= 1)) {
            printf("# schedule %zu: error %g of its bound at (%d, %d), %d to %d writes, %s, counters %s, %s bits\n", i,
                   r.worst, r.worst_row, r.worst_col, r.fewest_writes, r.most_writes,
                   smooth ? "no bank conflicts" : "bank conflicts", r.counters_clear ? "clear" : "left",
                   same ? "the same" : "other");
            return ok(false, "%s: %d x %d x %d, %s", x->variant->name, x->m, x->n, x->k, what);
        }
    }
    return ok(true, "%s: %d x %d x %d, %s: error %.2f of its bound", x->variant->name, x->m, x->n, x->k, what, r.worst);
}

/* What ALIGNED asks of an extent that lies along a stored row. */
static int extent(const emulate_matmul *v, int x, bool along) { return v->aligned && along ? (x + 7) / 8 * 8 : x; }

static emulate_matmul_case shaped(const emulate_matmul *v, int m, int n, int k) {
    return (emulate_matmul_case){
        .variant = v,
        .m = extent(v, m, v->trans_a),
        .n = extent(v, n, true),
        .k = extent(v, k, !v->trans_a || v->trans_b),
        .alpha = 1,
        .seed = 1,
    };
}

#endif
