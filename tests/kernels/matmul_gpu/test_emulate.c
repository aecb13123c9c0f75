/* The GPU's kernels, their very source, on the emulator: right sums, nothing read outside, every element written once,
 * whatever the schedule; the same bits each time. */
#include <stdlib.h>

#include "emulate/matmul.h"
#include "../../tap.h"

static const emulate_schedule schedules[] = {
    {0},
    {.warps_backward = true, .copies_late = true, .blocks = EMULATE_BLOCKS_BACKWARD},
    {.copies_late = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 5},
    {.warps_backward = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 3},
};

/* A case that every variant has to pass; the result of the last schedule. */
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

static void test_variant(const emulate_matmul *v) {
    static const int shapes[][3] = {{1, 1, 1},    {1, 13, 127}, {13, 127, 1}, {127, 13, 13},
                                    {64, 64, 64}, {65, 72, 96}, {13, 1, 257}, {127, 130, 33}};
    const bool small = v->tile_m * v->tile_n <= 64 * 64;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        emulate_matmul_case x = shaped(v, shapes[i][0], shapes[i][1], shapes[i][2]);
        passes(&x, small ? 4 : 2, "plain");
    }
    emulate_matmul_case x = shaped(v, 70, 45, 51);
    x.gap = v->aligned ? 16 : 3;
    x.alpha = 0.75f;
    x.beta = -1.5f;
    passes(&x, 4, "gaps between rows, alpha and beta");
    x = shaped(v, 9, 17, 0);
    x.beta = 2;
    passes(&x, 1, "an empty sum");
    x = shaped(v, 0, 5, 7);
    passes(&x, 1, "no rows");
}

/* 257 at least once for each kernel, without gaps; one schedule, for it takes a while. */
static void test_longer(void) {
    for (size_t i = 0; i < emulate_num_matmuls; i++) {
        const emulate_matmul *v = emulate_matmuls[i];
        if (!strstr(v->name, "_nn") && !strstr(v->name, "edge_nt")) continue;
        emulate_matmul_case x = shaped(v, 257, 127, 257);
        passes(&x, 1, "several tiles each way");
    }
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < emulate_num_matmuls; i++)
        if (argc < 2 || strstr(emulate_matmuls[i]->name, argv[1])) test_variant(emulate_matmuls[i]);
    if (argc < 2) test_longer();
    return done_testing();
}
