#include <string.h>

#include "device/gpu_blas.h"
#include "device/gpu_datasheet.h"
#include "matmul/gpu/matmul_gpu.h"

bool matmul_gpu_describe(json_t **hw, spak_error *err) {
    return dev_gpu_get(NULL)
               ? dev_gpu_describe(hw, err) && dev_gpu_add_datasheet(*hw, err)
               : dev_gpu_datasheet("h200", hw, err);
}

/* What the matrix units of one multiprocessor do in a cycle with 16-bit inputs
 * and 32-bit sums, by compute capability: the datasheets' rates over their
 * clocks. A clock may rise above the datasheet's, and the rate with it. */
static double flop_per_cycle(int cc) {
    return cc == 90 ? 4096 : cc == 80 ? 2048 : cc == 89 || cc == 120 ? 512 : 0;
}

void matmul_gpu_machine_of(const json_t *hw, matmul_gpu_machine *machine) {
    const int cc = (int)spak_json_int(hw, "cc", 0);
    *machine = (matmul_gpu_machine){
        .cc = cc,
        .sms = (int)spak_json_int(hw, "sms", 0),
        .smem_per_block_bytes =
            (size_t)spak_json_int(hw, "smem_per_block_bytes", 0),
        .l2_bytes = (size_t)spak_json_int(hw, "l2_bytes", 0),
        .matrix_flop_per_s = flop_per_cycle(cc) * spak_json_num(hw, "sms", 0) *
                             spak_json_num(hw, "clock_mhz", 0) * 1e6,
        .datasheet_flop_per_s =
            spak_json_num(hw, "datasheet_bf16_tflops", 0) * 1e12,
        .bytes_per_s = spak_json_num(hw, "datasheet_bandwidth_gb_s", 0) * 1e9};
}

static const char *peer(void) {
    dev_gpu *gpu = dev_gpu_get(NULL);
    return gpu ? dev_gpu_blas_peer(gpu, NULL) : NULL;
}

static bool here(spak_error *why) { return dev_gpu_get(why) != NULL; }

const dev_op matmul_gpu_op = {
    .name = "matmul_gpu",
    .manifest = "kernels/matmul/gpu/matmul_gpu.dsl",
    .invariants = matmul_gpu_invariants,
    .num_invariants = MATMUL_GPU_INVARIANTS,
    .faults = matmul_gpu_faults,
    .num_faults = MATMUL_GPU_FAULTS,
    .trial = matmul_gpu_trial,
    .peer = peer,
    .here = here,
    .describe = matmul_gpu_describe,
    .shipped = matmul_gpu_shipped,
};
