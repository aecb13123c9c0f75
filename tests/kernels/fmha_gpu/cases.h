/* What an emulated variant of the GPU's attention has to pass; for the tests of them. */
#ifndef SPAK_TESTS_FMHA_GPU_CASES_H
#define SPAK_TESTS_FMHA_GPU_CASES_H

#include <math.h>

#include "../../tap.h"
#include "emulate/fmha.h"

static const emulate_schedule schedules[] = {
    {0},
    {.warps_backward = true, .copies_late = true, .blocks = EMULATE_BLOCKS_BACKWARD},
    {.copies_late = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 5},
    {.warps_backward = true, .blocks = EMULATE_BLOCKS_SHUFFLED, .seed = 3},
};

/* What is wrong with a result, or NULL. */
static const char *judge(const emulate_fmha_result *r) {
    if (!(r->worst <= 1)) return "O beyond its bound";
    if (!(r->worst_lse <= 1)) return "LSE beyond its bound";
    if (r->fewest_writes != 1 || r->most_writes != 1) return "an element is not written once";
    return r->counts.ldmatrix_cycles == 4 * r->counts.ldmatrix ? NULL : "bank conflicts";
}

static inline int says(bool good, const emulate_fmha_case *x, const emulate_fmha_result *r, const char *what) {
    return ok(good, "%s: %d x %d and %d heads, %d x %d, %s: O %.2f, LSE %.2f of the bound", x->variant->name, x->batch,
              x->heads, x->kv_heads, x->q_len, x->kv_len, what, r->worst, r->worst_lse);
}

/* A case under the first so many schedules: O and LSE as the oracle has them, each written once, no bank conflicts, the
 * same bits each time. */
static inline bool passes(emulate_fmha_case x, size_t num_schedules, const char *what) {
    emulate_fmha_result r = {0};
    uint64_t hash = 0;
    for (size_t i = 0; i < num_schedules; i++) {
        spak_error err = {0};
        x.schedule = schedules[i];
        const char *wrong = emulate_fmha_run(&x, &r, &err) ? judge(&r) : err.message;
        if (!wrong && i > 0 && hash != r.hash) wrong = "other bits than under schedule 0";
        hash = r.hash;
        if (!wrong) continue;
        printf("# schedule %zu, query %d, column %d, %d to %d writes: %s\n", i, r.worst_row, r.worst_column,
               r.fewest_writes, r.most_writes, wrong);
        return says(false, &x, &r, what);
    }
    return says(true, &x, &r, what);
}

/* One head; lengths of the sequences from the seed with varlen. */
static emulate_fmha_case shaped(const emulate_fmha *v, int batch, int q_len, int kv_len) {
    emulate_fmha_case x = {
        .variant = v,
        .batch = batch,
        .heads = 1,
        .kv_heads = 1,
        .q_len = q_len,
        .kv_len = kv_len,
        .window = kv_len / 3,
        .slices = 1,
        .seed = 1,
    };
    for (int b = 0; b < batch; b++) {
        x.queries[b] = b == 0 ? q_len : q_len * (b * 5 % 7) / 7;
        x.keys[b] = b == 0 ? kv_len : kv_len * (b * 3 % 4) / 4;
    }
    return x;
}

#endif
