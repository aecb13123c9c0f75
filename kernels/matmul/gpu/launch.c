/* A plan on the GPU. */
#include <string.h>

#include "matmul/gpu/matmul_gpu.h"

static bool encode_maps(dev_gpu *gpu, const matmul_gpu_plan *plan,
                        matmul_params *x, spak_error *err) {
    bool ok = true;
    if (plan->maps)
        ok = dev_tensor_encode(gpu, x->a, &plan->a_map, &x->a_map, err) &&
             dev_tensor_encode(gpu, x->b, &plan->b_map, &x->b_map, err);
    if (ok && plan->store_map)
        ok = dev_tensor_encode(gpu, x->c, &plan->c_map, &x->c_map, err);
    if (ok && plan->store_map && x->pre && plan->problem.out != DEV_F32)
        ok = dev_tensor_encode(gpu, x->pre, &plan->pre_map, &x->pre_map, err);
    return ok;
}

bool matmul_gpu_bind(dev_gpu *gpu, const matmul_gpu_plan *plan,
                     const matmul_gpu_buffers *x, matmul_gpu_bound *bound,
                     spak_error *err) {
    const matmul_gpu_problem *p = &plan->problem;
    const char *list[MATMUL_GPU_DEFINES];
    dev_variant variant = matmul_gpu_plan_variant(plan, list);
    *bound = (matmul_gpu_bound){.launch.smem_bytes = plan->smem_bytes};
    memcpy(bound->launch.grid, plan->grid, sizeof plan->grid);
    memcpy(bound->launch.block, plan->block, sizeof plan->block);
    memcpy(bound->launch.cluster, plan->cluster, sizeof plan->cluster);
    bound->launch.overlap = plan->overlap;
    bound->params = (matmul_params){.a = x->a,
                                    .b = x->b,
                                    .c = x->c,
                                    .bias = x->bias,
                                    .pre = x->pre,
                                    .residual = x->residual,
                                    .m = p->m,
                                    .n = p->n,
                                    .k = p->k,
                                    .lda = p->lda,
                                    .ldb = p->ldb,
                                    .ldc = p->ldc,
                                    .alpha = p->alpha,
                                    .beta = p->beta,
                                    .workspace = x->workspace,
                                    .counters = x->counters};
    return dev_kernel_get(gpu, &variant, &bound->launch.kernel, err) &&
           encode_maps(gpu, plan, &bound->params, err);
}

bool matmul_gpu_launch(dev_gpu *gpu, const matmul_gpu_bound *bound,
                       spak_error *err) {
    return dev_gpu_launch(gpu, &bound->launch, &bound->params, err);
}
