#include "fmha/gpu/fmha_gpu.h"

static bool here(spak_error *why) { return dev_gpu_get(why) != NULL; }

const dev_op fmha_gpu_op = {
    .name = "fmha_gpu",
    .manifest = "kernels/fmha/gpu/fmha_gpu.dsl",
    .invariants = fmha_gpu_invariants,
    .num_invariants = FMHA_GPU_INVARIANTS,
    .faults = fmha_gpu_faults,
    .num_faults = FMHA_GPU_FAULTS,
    .studies = fmha_gpu_studies,
    .num_studies = FMHA_GPU_STUDIES,
    .trial = fmha_gpu_trial,
    .peer = fmha_gpu_peer,
    .here = here,
    .describe = matmul_gpu_describe,
    .shipped = fmha_gpu_shipped,
};
