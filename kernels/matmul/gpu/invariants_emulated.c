/* The kernels' own source, run on the CPU by kernels/emulate: what the models
 * of the other files cannot be wrong about. */
#include "emulate/matmul.h"
#include "matmul/gpu/invariants.h"

static const emulate_schedule schedules[] = {
    {false, false, EMULATE_BLOCKS_FORWARD, 1},
    {true, true, EMULATE_BLOCKS_BACKWARD, 2},
    {false, true, EMULATE_BLOCKS_SHUFFLED, 3}};
enum { SCHEDULES = sizeof schedules / sizeof *schedules };

static const int shapes[][3] = {
    {1, 1, 1}, {13, 127, 33}, {65, 40, 97}, {33, 129, 64}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void counter(matmul_gpu_check *check, const emulate_matmul_case *x,
                    int schedule, const char *what) {
    matmul_gpu_counter(check, "%s on %d x %d x %d, schedule %d: %s",
                       x->variant->name, x->m, x->n, x->k, schedule, what);
}

/* What a result says against the aspect. */
static const char *judge(matmul_gpu_aspect aspect,
                         const emulate_matmul_result *r, uint64_t first) {
    switch (aspect) {
        case MATMUL_GPU_BOUND: return r->worst <= 1 ? NULL : "beyond the bound";
        case MATMUL_GPU_WRITTEN:
            if (r->fewest_writes == 1 && r->most_writes == 1) return NULL;
            return "an element is not written once";
        case MATMUL_GPU_BITS:
            if (r->c_hash != first) return "other bits than in schedule 0";
            return r->counters_clear ? NULL : "counters are left for the next";
        default: return NULL;
    }
}

static int whole(int length) { return (length + 7) / 8 * 8; }

bool matmul_gpu_emulate(matmul_gpu_check *check, matmul_gpu_aspect aspect,
                        spak_error *err) {
    (void)err;
    if (check->fault != MATMUL_GPU_NO_FAULT) return true; /* as ever */
    for (size_t v = 0; v < emulate_num_matmuls; v++)
        for (int s = 0; s < SHAPES && !check->counterexample; s++) {
            emulate_matmul_case x = {.variant = emulate_matmuls[v],
                                     .m = shapes[s][0],
                                     .n = shapes[s][1],
                                     .k = shapes[s][2],
                                     .gap = 8,
                                     .alpha = 1,
                                     .seed = check->seed + (uint64_t)s};
            uint64_t first = 0;
            if (x.variant->aligned)
                x.m = whole(x.m), x.n = whole(x.n), x.k = whole(x.k);
            x.beta = x.variant->beta ? 0.5f : 0;
            for (int i = 0; i < SCHEDULES && !check->counterexample; i++) {
                emulate_matmul_result result;
                spak_error why = {0};
                x.schedule = schedules[i];
                check->cases++;
                if (!emulate_matmul_run(&x, &result, &why)) {
                    counter(check, &x, i, why.message);
                    break;
                }
                if (i == 0) first = result.c_hash;
                const char *what = judge(aspect, &result, first);
                if (what) counter(check, &x, i, what);
                if (aspect != MATMUL_GPU_BITS) break; /* one schedule does */
            }
        }
    return true;
}
