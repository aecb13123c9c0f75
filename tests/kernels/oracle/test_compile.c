/* The oracles' kernels, and those that make a trial's data, as NVRTC takes them; a file's kernels are compiled
 * together.
 */
#include "../../tap.h"
#include "device/gpu_module.h"

static void compiles(const char *file, const char *entry, const char *define) {
    dev_variant variant = {file, entry, &define, 1};
    dev_cubin cubin = {0};
    spak_error err = {0};
    ok(dev_compile(&variant, "sm_90a", &cubin, &err) && cubin.bytes > 0, "%s, %s%s", file, define, err.message);
    dev_cubin_free(&cubin);
}

int main(void) {
    spak_error err = {0};
    if (!dev_nvrtc_version(&err)) {
        skip_test("%s", err.message);
        return done_testing();
    }
    compiles("kernels/oracle/fmha_f64.cu", "oracle_output", "TYPE_F16=0");
    compiles("kernels/oracle/fmha_f64.cu", "oracle_output", "TYPE_F16=1");
    compiles("kernels/oracle/fmha_all.cu", "all_output", "TYPE_F16=0");
    compiles("kernels/oracle/fmha_all.cu", "all_output", "TYPE_F16=1");
    compiles("kernels/fmha/gpu/inputs.cu", "fill", "TYPE_F16=0");
    compiles("kernels/fmha/gpu/inputs.cu", "fill", "TYPE_F16=1");
    return done_testing();
}
