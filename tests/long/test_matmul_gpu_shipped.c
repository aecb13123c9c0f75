/* What `spak kernels` compiles ahead is what a trial looks for: with build/kernels alone, no NVRTC and no cache, every
 * plan of the operator's list finds its kernel, and none spills. */
#include <stdlib.h>

#include "../tap.h"
#include "base/json.h"
#include "base/process.h"
#include "device/gpu_compile.h"
#include "matmul/gpu/matmul_gpu.h"

static int kernels, found;

static bool look(void *context, const char *name, const dev_variant *kernel, spak_error *err) {
    dev_cubin cubin;
    spak_error why = {""};
    (void)err;
    kernels++;
    bool good = dev_compile(kernel, context, &cubin, &why) && cubin.cached;
    int spilled = cubin.resources.spill_store_bytes + cubin.resources.spill_load_bytes;
    if (good && !spilled) found++;
    if (!good || spilled) printf("# %s for %s: %d bytes spilled %s\n", name, (char *)context, spilled, why.message);
    dev_cubin_free(&cubin);
    return true;
}

int main(void) {
    const char *spak = getenv("SPAK") ? getenv("SPAK") : "build/spak";
    char *argv[] = {(char *)spak, "kernels", NULL};
    bool there = false;
    int status = 1;
    spak_str out = {0}, errors = {0};
    spak_error err = {""};
    spak_json_init();
    bool ran = spak_spawn(argv, 590, &there, &status, &out, &errors, &err) && there;
    if (strstr(spak_str_text(&out), "neither nvcc nor NVRTC")) {
        skip_test("%s", spak_str_text(&out));
        return done_testing();
    }
    ok(ran && status == 0, "spak kernels compiles what is shipped: %s%s%s", spak_str_text(&out), spak_str_text(&errors),
       err.message);
    spak_str_free(&out);
    spak_str_free(&errors);
    setenv("SPAK_NVRTC", "none", 1);
    setenv("SPAK_KERNEL_CACHE", "/dev/null/none", 1);
    for (int i = 0; i < DEV_TARGETS; i++) {
        kernels = found = 0;
        bool good = matmul_gpu_shipped(dev_targets[i], look, (void *)dev_targets[i], &err);
        ok(good && kernels > 20 && found == kernels, "%s: without NVRTC %d of %d are found, and none spills%s",
           dev_targets[i], found, kernels, good ? "" : err.message);
    }
    const char *const defines[] = {"TYPE_F16=2"};
    dev_cubin cubin;
    ok(!dev_compile(&(dev_variant){"kernels/matmul/gpu/inputs.cu", "fill", defines, 1}, "sm_90a", &cubin, &err),
       "what is not shipped is not: %s", err.message);
    dev_cubin_free(&cubin);
    return done_testing();
}
