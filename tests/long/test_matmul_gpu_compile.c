/* Every step of the GPU's ladder as its plan asks for it, for the problems that training has, compiles without spills.
 */
#include "../tap.h"
#include "device/gpu_datasheet.h"
#include "matmul/gpu/matmul_gpu.h"

static matmul_gpu_machine machine;

static void compiles(matmul_gpu_problem p, const char *variant, const char *what) {
    matmul_gpu_config config;
    matmul_gpu_plan plan;
    dev_cubin cubin = {0};
    spak_error why = {0};
    const char *list[MATMUL_GPU_DEFINES];
    json_t *asked = json_pack("{s:s*}", "variant", variant);
    matmul_gpu_tight(&p);
    bool good = matmul_gpu_config_read(asked, &p, &machine, &config, &why) &&
                matmul_gpu_plan_new(&config, &p, &machine, &plan, &why);
    if (good) {
        dev_variant v = matmul_gpu_plan_variant(&plan, list);
        good = dev_compile(&v, dev_target_of(machine.cc), &cubin, &why);
    }
    int spilled = cubin.resources.spill_store_bytes + cubin.resources.spill_load_bytes;
    ok(good && !spilled, "%s, %s: %d registers, %d bytes spilled, %zu bytes of shared memory%s%s",
       good ? matmul_gpu_variant_name(config.variant) : variant, what, cubin.resources.registers, spilled,
       good ? plan.smem_bytes : 0, good ? "" : ": ", good ? "" : why.message);
    dev_cubin_free(&cubin);
    json_decref(asked);
}

int main(void) {
    spak_error err = {0};
    json_t *hw = NULL;
    if (!dev_nvrtc_version(&err)) {
        skip_test("%s", err.message);
        return done_testing();
    }
    if (!ok(dev_gpu_datasheet("h200", &hw, &err), "the H200's datasheet: %s", err.message)) return done_testing();
    matmul_gpu_machine_of(hw, &machine);
    json_decref(hw);
    const matmul_gpu_problem nt = {.m = 4096, .n = 4096, .k = 4096, .trans_b = true, .alpha = 1};
    for (int v = 0; v < MATMUL_GPU_VARIANTS; v++)
        compiles(nt, matmul_gpu_variant_name((matmul_gpu_variant)v), "4096 cubed, NT");
    matmul_gpu_problem p = nt;
    p.m = p.n = p.k = 512;
    compiles(p, NULL, "512 cubed, NT");
    p.m = 13, p.n = 127, p.k = 257;
    compiles(p, NULL, "13 x 127 x 257");
    p = nt, p.trans_b = false;
    compiles(p, NULL, "NN");
    p.trans_a = true;
    compiles(p, NULL, "TN");
    p = nt, p.m = 8192, p.n = 768, p.k = 3072;
    compiles(p, NULL, "8192 x 768 x 3072, NT");
    p.n = 3072, p.k = 768, p.bias = p.gelu = true;
    compiles(p, NULL, "bias and GELU");
    p.bias = p.gelu = false, p.residual = true, p.out = DEV_F32;
    compiles(p, NULL, "residual, f32 out");
    p = nt, p.beta = 1, p.in = p.out = DEV_F16;
    compiles(p, NULL, "f16, added to C");
    for (int f16 = 0; f16 < 2; f16++)
        for (int entry = 0; entry < 2; entry++) {
            const char *defines[] = {f16 ? "TYPE_F16=1" : "TYPE_F16=0"};
            dev_variant v = {"kernels/matmul/gpu/inputs.cu", entry ? "different" : "fill", defines, 1};
            dev_cubin cubin = {0};
            ok(dev_compile(&v, "sm_90a", &cubin, &err), "%s, %s: %s", v.entry, defines[0], err.message);
            dev_cubin_free(&cubin);
        }
    return done_testing();
}
