/* What is compiled ahead: the kernels that a plan asks for when nobody says
 * more than the problem, for the points of the claim, the shapes of training
 * and the edges, on each GPU that has a datasheet. They are asked of the plan
 * itself, so that the list cannot go out of step with what a launch looks for.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "device/gpu_datasheet.h"
#include "fmha/gpu/fmha_gpu.h"

static const char *const gpus[] = {"a100", "rtx4090", "h200", "h100",
                                   "rtx5070"};

typedef struct shipped {
    const char *name;
    fmha_gpu_problem problem; /* kv_heads, kv_len: 0: as the queries' */
} shipped;

#define FULL    .window = -1
#define CAUSAL  .window = -1, .causal = true
#define BACK    .pass = FMHA_GPU_BACKWARD
#define F16     .dtype = DEV_F16
#define GPT2    .batch = 16, .heads = 12, .q_len = 1024, .head_dim = 64
#define BIG     .batch = 4, .heads = 16, .q_len = 4096, .head_dim = 128
#define EDGE(d) .batch = 2, .heads = 6, .q_len = 257, .head_dim = (d)

/* DEV_BF16 is 0. The claim's own points are in sweep(). */
static const shipped problems[] = {
    {"gpt2", {GPT2, CAUSAL}},
    {"gpt2_back", {GPT2, CAUSAL, BACK}},
    {"gpt2_f16", {GPT2, CAUSAL, F16}},
    {"gpt2_f16_back", {GPT2, CAUSAL, F16, BACK}},
    {"big_f16", {BIG, CAUSAL, F16}},
    {"grouped", {BIG, CAUSAL, .kv_heads = 4}},
    {"grouped_back", {BIG, CAUSAL, .kv_heads = 4, BACK}},
    {"window", {BIG, .causal = true, .window = 1024}},
    {"window_back", {BIG, .causal = true, .window = 1024, BACK}},
    {"varlen", {BIG, CAUSAL, .varlen = true}},
    {"varlen_back", {BIG, CAUSAL, .varlen = true, BACK}},
    {"deterministic", {BIG, CAUSAL, BACK, .deterministic = true}},
    {"deterministic_64", {GPT2, CAUSAL, BACK, .deterministic = true}},
    {"edge_32", {EDGE(32), CAUSAL}},
    {"edge_96", {EDGE(96), CAUSAL}},
    {"edge_192", {EDGE(192), CAUSAL}},
    {"edge_256", {EDGE(256), CAUSAL}},
    {"edge_32_full", {EDGE(32), FULL}},
    {"edge_96_full", {EDGE(96), FULL}},
    {"edge_192_full", {EDGE(192), FULL}},
    {"edge_256_full", {EDGE(256), FULL}},
    {"edge_32_back", {EDGE(32), CAUSAL, BACK}},
    {"edge_96_back", {EDGE(96), CAUSAL, BACK}},
    {"edge_192_back", {EDGE(192), CAUSAL, BACK}},
    {"edge_256_back", {EDGE(256), CAUSAL, BACK}},
    {"decode",
     {.batch = 64,
      .heads = 32,
      .q_len = 1,
      .kv_len = 8192,
      .head_dim = 128,
      CAUSAL}},
    {"decode_grouped",
     {.batch = 64,
      .heads = 32,
      .kv_heads = 8,
      .q_len = 1,
      .kv_len = 8192,
      .head_dim = 128,
      CAUSAL}},
    {"decode_64",
     {.batch = 1,
      .heads = 12,
      .q_len = 1,
      .kv_len = 1024,
      .head_dim = 64,
      CAUSAL}},
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

typedef struct shipping {
    const char *gpu;
    const fmha_gpu_machine *machine;
    dev_take_kernel *take;
    void *context;
} shipping;

static void complete(fmha_gpu_problem *p) {
    if (!p->kv_heads) p->kv_heads = p->heads;
    if (!p->kv_len) p->kv_len = p->q_len;
    fmha_gpu_tight(p);
}

/* All kernels of a problem's plan. A step of the ladder whose kernel is not in
 * the tree has nothing to compile. */
static bool one(const shipping *s, const char *problem_name,
                const fmha_gpu_problem *problem, const char *variant, int pack,
                spak_error *err) {
    fmha_gpu_problem p = *problem;
    fmha_gpu_config config;
    fmha_gpu_plan plan;
    const char *list[FMHA_GPU_DEFINES];
    char name[96];
    json_t *asked = json_pack("{s:s*, s:o*}", "variant", variant, "pack",
                              pack ? json_integer(pack) : NULL);
    complete(&p);
    bool good = asked &&
                fmha_gpu_config_read(asked, &p, s->machine, &config, err) &&
                fmha_gpu_plan_new(&config, &p, s->machine, &plan, err);
    json_decref(asked);
    if (!good)
        return spak_fail_context(err, "fmha_gpu: %s on %s", problem_name,
                                 s->gpu);
    for (int i = 0; good && i < plan.steps && spak_exists(plan.file); i++) {
        dev_variant kernel = fmha_gpu_plan_variant(&plan, i, list);
        snprintf(name, sizeof name, "%s_%s_%s_%s", s->gpu, problem_name,
                 fmha_gpu_variant_name(config.variant), plan.step[i].entry);
        good = s->take(s->context, name, &kernel, err);
    }
    return good;
}

/* The steps of the ladder, at one size; what comes after mma_sync on cc 90. */
static bool ladder(const shipping *s, const char *name,
                   const fmha_gpu_problem *p, spak_error *err) {
    const bool sm90 = s->machine->cc == 90;
    for (int v = 0; v <= FMHA_GPU_PERSISTENT; v++) {
        const fmha_gpu_variant variant = (fmha_gpu_variant)v;
        const bool its = v == FMHA_GPU_MMA_SYNC ? sm90 : true;
        if (its && (sm90 || !fmha_gpu_has_tma(variant)) &&
            !one(s, name, p, fmha_gpu_variant_name(variant), 0, err))
            return false;
    }
    return true;
}

/* The claim: 16,384 tokens, 2,048 wide, in heads of 64 and of 128. */
static bool sweep(const shipping *s, spak_error *err) {
    for (int i = 0; i < 48; i++) {
        const int dim = i % 2 ? 128 : 64, len = 512 << i / 8;
        const bool causal = i / 2 % 2, back = i / 4 % 2;
        const fmha_gpu_problem p = {
            .batch = 16384 / len,
            .heads = 2048 / dim,
            .q_len = len,
            .head_dim = dim,
            .causal = causal,
            .window = -1,
            .pass = back ? FMHA_GPU_BACKWARD : FMHA_GPU_FORWARD};
        char name[48];
        snprintf(name, sizeof name, "%s%s_%d_%d", back ? "back_" : "",
                 causal ? "causal" : "full", dim, len);
        if (!one(s, name, &p, NULL, 0, err)) return false;
        if (!back && len == 4096 && !ladder(s, name, &p, err)) return false;
    }
    return true;
}

static bool on_gpu(const shipping *s, spak_error *err) {
    for (int i = 0; i < PROBLEMS; i++)
        if (!one(s, problems[i].name, &problems[i].problem, NULL, 0, err))
            return false;
    const fmha_gpu_problem grouped = {BIG, CAUSAL, .kv_heads = 4};
    return (s->machine->cc != 90 ||
            one(s, "grouped_packed", &grouped,
                fmha_gpu_variant_name(FMHA_GPU_PACKED), 4, err)) &&
           sweep(s, err);
}

bool fmha_gpu_shipped(const char *target, dev_take_kernel *take, void *context,
                      spak_error *err) {
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        json_t *hw = NULL;
        fmha_gpu_machine machine;
        if (!dev_gpu_datasheet(gpus[i], &hw, err)) return false;
        matmul_gpu_machine_of(hw, &machine);
        json_decref(hw);
        const char *its = dev_target_of(machine.cc);
        const shipping s = {gpus[i], &machine, take, context};
        if (its && !strcmp(its, target) && !on_gpu(&s, err)) return false;
    }
    return true;
}
