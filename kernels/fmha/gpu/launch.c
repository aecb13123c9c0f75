/* A plan on the GPU. */
#include <math.h>
#include <string.h>

#include "fmha/gpu/fmha_gpu.h"

static bool encode_maps(dev_gpu *gpu, const fmha_gpu_plan *plan,
                        fmha_gpu_params *x, spak_error *err) {
    const struct {
        const dev_tensor_spec *spec;
        dev_ptr at;
        fmha_map *map;
    } maps[] = {{&plan->q_map, x->q, &x->q_map},
                {&plan->k_map, x->k, &x->k_map},
                {&plan->v_map, x->v, &x->v_map},
                {&plan->o_map, x->o, &x->o_map},
                {&plan->do_map, x->d_o, &x->do_map}};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (maps[i].spec->dims &&
            !dev_tensor_encode(gpu, maps[i].at, maps[i].spec, maps[i].map, err))
            return false;
    return true;
}

/* What a pass reads and writes is there, and begins at whole vectors. */
static bool buffers_are_sound(const fmha_gpu_plan *plan,
                              const fmha_gpu_buffers *x, spak_error *err) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_scratch *s = &plan->scratch;
    const bool back = p->pass == FMHA_GPU_BACKWARD;
    const struct {
        const char *name;
        dev_ptr at;
        bool needed;
    } all[] = {{"Q", x->q, true},
               {"K", x->k, true},
               {"V", x->v, true},
               {"O", x->o, true},
               {"LSE", x->lse, back},
               {"dO", x->d_o, back},
               {"dQ", x->dq, back},
               {"dK", x->dk, back},
               {"dV", x->dv, back},
               {"delta", x->delta, s->delta > 0},
               {"dq_sum", x->dq_sum, s->dq_sum > 0},
               {"turn", x->turn, s->turn > 0},
               {"cu_q", x->cu_q, p->varlen},
               {"cu_k", x->cu_k, p->varlen},
               {"part_o", x->part_o, s->part_o > 0},
               {"part_lse", x->part_lse, s->part_lse > 0},
               {"S", x->scores, s->scores > 0},
               {"P", x->weights, s->weights > 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].needed && !all[i].at)
            return spak_fail(err, "fmha_gpu: %s is missing", all[i].name);
        if (all[i].at % 16)
            return spak_fail(err,
                             "fmha_gpu: %s is at 0x%llx: supported are "
                             "multiples of 16 bytes",
                             all[i].name, (unsigned long long)all[i].at);
    }
    return true;
}

static fmha_gpu_params params_of(const fmha_gpu_plan *plan,
                                 const fmha_gpu_buffers *x) {
    const fmha_gpu_problem *p = &plan->problem;
    const float scale = fmha_gpu_scale(p);
    return (fmha_gpu_params){.q = x->q,
                             .k = x->k,
                             .v = x->v,
                             .o = x->o,
                             .lse = x->lse,
                             .d_o = x->d_o,
                             .delta = x->delta,
                             .dq = x->dq,
                             .dk = x->dk,
                             .dv = x->dv,
                             .dq_sum = x->dq_sum,
                             .turn = x->turn,
                             .cu_q = x->cu_q,
                             .cu_k = x->cu_k,
                             .part_o = x->part_o,
                             .part_lse = x->part_lse,
                             .scores = x->scores,
                             .weights = x->weights,
                             .scores_row = fmha_gpu_scores_row(p),
                             .q_at = p->q_at,
                             .k_at = p->k_at,
                             .v_at = p->v_at,
                             .o_at = p->o_at,
                             .do_at = p->do_at,
                             .dq_at = p->dq_at,
                             .dk_at = p->dk_at,
                             .dv_at = p->dv_at,
                             .batch = p->batch,
                             .heads = p->heads,
                             .kv_heads = p->kv_heads,
                             .q_len = p->q_len,
                             .kv_len = p->kv_len,
                             .total_q = p->total_q,
                             .total_k = p->total_k,
                             .window = p->window,
                             .slices = plan->config.slices,
                             .group = plan->config.group,
                             .scale = scale,
                             .scale_log2 = (float)(scale * M_LOG2E)};
}

bool fmha_gpu_bind(dev_gpu *gpu, const fmha_gpu_plan *plan,
                   const fmha_gpu_buffers *x, fmha_gpu_bound *bound,
                   spak_error *err) {
    if (!buffers_are_sound(plan, x, err)) return false;
    *bound =
        (fmha_gpu_bound){.steps = plan->steps, .params = params_of(plan, x)};
    for (int i = 0; i < plan->steps; i++) {
        const char *list[FMHA_GPU_DEFINES];
        const fmha_gpu_step *step = &plan->step[i];
        dev_launch *launch = &bound->launch[i];
        dev_variant variant = fmha_gpu_plan_variant(plan, i, list);
        launch->smem_bytes = step->smem_bytes;
        launch->overlap = step->overlap;
        memcpy(launch->grid, step->grid, sizeof step->grid);
        memcpy(launch->block, step->block, sizeof step->block);
        if (!dev_kernel_get(gpu, &variant, &launch->kernel, err)) return false;
    }
    return (!plan->scratch.turn ||
            dev_gpu_fill8(gpu, x->turn, 0, plan->scratch.turn, err)) &&
           encode_maps(gpu, plan, &bound->params, err);
}

bool fmha_gpu_launch(dev_gpu *gpu, const fmha_gpu_bound *bound,
                     spak_error *err) {
    for (int i = 0; i < bound->steps; i++)
        if (!dev_gpu_launch(gpu, &bound->launch[i], &bound->params, err))
            return false;
    return true;
}
