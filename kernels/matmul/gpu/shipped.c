/* What is compiled ahead: the kernels that a plan asks for when nobody says
 * more than the problem, for the problems of training, of the claim and of the
 * edges, on each GPU that has a datasheet. They are asked of the plan itself,
 * so that the list cannot go out of step with what a launch looks for. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "device/gpu_datasheet.h"
#include "matmul/gpu/matmul_gpu.h"

/* Two of a target differ in how many tiles run at once, and so in the order. */
static const char *const gpus[] = {"a100", "rtx4090", "h200", "h100",
                                   "rtx5070"};

#define NN      .trans_b = false
#define NT      .trans_b = true
#define TN      .trans_a = true
#define F16     .in = DEV_F16, .out = DEV_F16
#define F32_OUT .out = DEV_F32

/* DEV_BF16 is 0. The names are those of matmul_gpu_system_v1.dsl. */
static const struct {
    const char *name;
    matmul_gpu_problem problem;
} problems[] = {
    {"square_512", {512, 512, 512, NT}},
    {"square_1024", {1024, 1024, 1024, NT}},
    {"square_2048", {2048, 2048, 2048, NT}},
    {"square_4096", {4096, 4096, 4096, NT}},
    {"square_8192", {8192, 8192, 8192, NT}},
    {"square_16384", {16384, 16384, 16384, NT}},
    {"gpt2_up", {8192, 3072, 768, NT}},
    {"gpt2_down", {8192, 768, 3072, NT}},
    {"gpt2_vocabulary", {8192, 50304, 768, NT}},
    {"llama_up", {4096, 14336, 4096, NT}},
    {"looplm_qkv", {8192, 6144, 2048, NT}},
    {"looplm_mlp", {8192, 5632, 2048, NT}},
    {"square_4096_nn", {4096, 4096, 4096, NN}},
    /* backward: the gradient of the inputs, and that of the weights */
    {"gpt2_up_dx", {8192, 768, 3072, NN}},
    {"gpt2_up_dw", {3072, 768, 8192, TN}},
    {"gpt2_vocabulary_dx", {8192, 768, 50304, NN}},
    {"gpt2_vocabulary_dw", {50304, 768, 8192, TN}},
    {"gpt2_up_dw_added", {3072, 768, 8192, TN, F32_OUT, .beta = 1}},
    /* epilogues */
    {"gpt2_up_bias", {8192, 3072, 768, NT, .bias = true}},
    {"gpt2_up_bias_gelu", {8192, 3072, 768, NT, .bias = true, .gelu = true}},
    {"gpt2_up_residual", {8192, 3072, 768, NT, .residual = true}},
    {"gpt2_down_bias_residual",
     {8192, 768, 3072, NT, .bias = true, .residual = true}},
    {"gpt2_up_beta", {8192, 3072, 768, NT, .beta = 1}},
    {"gpt2_up_f32", {8192, 3072, 768, NT, F32_OUT}},
    {"gpt2_up_f16", {8192, 3072, 768, NT, F16}},
    {"gpt2_up_f16_bias_gelu",
     {8192, 3072, 768, NT, F16, .bias = true, .gelu = true}},
    /* edges: rows that are no whole vectors */
    {"edge_nt", {257, 127, 1000, NT}},
    {"edge_nn", {257, 127, 1000, NN}},
    {"edge_tn", {257, 127, 1000, TN}},
    {"edge_nt_f16", {257, 127, 1000, NT, F16}},
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static bool one(const char *gpu, const matmul_gpu_machine *hw, int i,
                const char *variant, dev_take_kernel *take, void *context,
                spak_error *err) {
    matmul_gpu_problem p = problems[i].problem;
    matmul_gpu_config config;
    matmul_gpu_plan plan;
    const char *list[MATMUL_GPU_DEFINES];
    char name[96];
    json_t *asked = json_pack("{s:s*}", "variant", variant);
    p.alpha = 1;
    matmul_gpu_tight(&p);
    bool good = asked && matmul_gpu_config_read(asked, &p, hw, &config, err) &&
                matmul_gpu_plan_new(&config, &p, hw, &plan, err);
    json_decref(asked);
    if (!good)
        return spak_fail_context(err, "matmul_gpu: %s on %s", problems[i].name,
                                 gpu);
    snprintf(name, sizeof name, "%s_%s_%s", gpu, problems[i].name,
             matmul_gpu_variant_name(config.variant));
    dev_variant kernel = matmul_gpu_plan_variant(&plan, list);
    return take(context, name, &kernel, err);
}

/* The steps of the ladder; their tiles are the same at every size but for
 * mma_sync, which picks, and is the default where there is no better. */
static bool ladder(const char *gpu, const matmul_gpu_machine *hw, int i,
                   dev_take_kernel *take, void *context, spak_error *err) {
    const char *name = problems[i].name;
    bool all = !strcmp(name, "square_4096"), sm90 = hw->cc == 90;
    bool by_k = !strcmp(name, "square_4096_nn"); /* what coalescing is for */
    for (int v = 0; v < MATMUL_GPU_BEST; v++) {
        matmul_gpu_variant variant = (matmul_gpu_variant)v;
        bool wanted = v == MATMUL_GPU_MMA_SYNC
                          ? sm90
                          : all || (by_k && v < MATMUL_GPU_SHARED_TILE);
        if (wanted && (sm90 || !matmul_gpu_has_tma(variant)) &&
            !one(gpu, hw, i, matmul_gpu_variant_name(variant), take, context,
                 err))
            return false;
    }
    return true;
}

static bool on_gpu(const char *gpu, const matmul_gpu_machine *hw,
                   dev_take_kernel *take, void *context, spak_error *err) {
    for (int i = 0; i < PROBLEMS; i++)
        if (!one(gpu, hw, i, NULL, take, context, err) ||
            (spak_starts_with(problems[i].name, "square") &&
             !ladder(gpu, hw, i, take, context, err)))
            return false;
    return true;
}

bool matmul_gpu_shipped(const char *target, dev_take_kernel *take,
                        void *context, spak_error *err) {
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        json_t *hw = NULL;
        matmul_gpu_machine machine;
        if (!dev_gpu_datasheet(gpus[i], &hw, err)) return false;
        matmul_gpu_machine_of(hw, &machine);
        json_decref(hw);
        const char *its = dev_target_of(machine.cc);
        if (its && !strcmp(its, target) &&
            !on_gpu(gpus[i], &machine, take, context, err))
            return false;
    }
    return true;
}
