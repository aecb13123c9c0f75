/* Variants to kernels: found or compiled, loaded, kept for the life of the process. */
#include "device/gpu_module.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/gpu_compile.h"
#include "device/gpu_internal.h"

struct dev_kernel {
    dev_kernel *next;
    dev_gpu *gpu;
    cu_module module;
    cu_function function;
    const char *target;
    char *entry, *name;
    dev_cubin cubin; /* without its data, which the driver has copied */
};

static dev_kernel *kernels;

const char *dev_target_of(int cc) {
    /* An 'a' target runs on just its own compute capability; code for sm_80 and sm_89 runs within their generation. */
    switch (cc) {
        case 80:
        case 86:
        case 87: return "sm_80";
        case 89: return "sm_89";
        case 90: return "sm_90a";
        case 100: return "sm_100a";
        case 103: return "sm_103a";
        case 120: return "sm_120a";
        case 121: return "sm_121a";
        default: return NULL;
    }
}

void dev_cubin_free(dev_cubin *cubin) {
    spak_free(cubin->data);
    spak_free(cubin->compiler);
    spak_free(cubin->log);
    *cubin = (dev_cubin){0};
}

/* Compiles the text that the key is of. A file that was edited meanwhile has another key, and is compiled as it is now:
 * the compiler has read the includes by itself. */
static bool compile(const dev_variant *variant, const char *target, spak_str *text, dev_cubin *cubin, spak_error *err) {
    enum { TURNS = 5 };
    for (int turn = 0; turn < TURNS; turn++) {
        char key[65];
        memcpy(key, cubin->key, sizeof key);
        bool good = dev_nvrtc_compile(variant, target, spak_str_text(text), cubin, err) &&
                    dev_variant_key(variant, target, key, text, err);
        if (good && !strcmp(key, cubin->key)) return true;
        dev_cubin_free(cubin);
        if (!good) return false;
        memcpy(cubin->key, key, sizeof key);
    }
    return spak_fail(err, "%s or what it includes changes while it is compiled", variant->file);
}

static bool find(const char *key, const char *entry, const char *release, dev_cubin *cubin) {
    char folder[4096];
    dev_cache_folder(folder, sizeof folder);
    return dev_cache_find(DEV_KERNELS_FOLDER, key, entry, release, cubin) ||
           dev_cache_find(folder, key, entry, release, cubin);
}

static bool cannot_compile(const dev_variant *variant, const char *target, const char *why, spak_error *err) {
    return spak_fail(
        err,
        "%s has to be compiled for %s, and %s. `make kernels` on a machine with nvcc or NVRTC compiles what "
        "is shipped into " DEV_KERNELS_FOLDER ", which may be copied here",
        variant->file, target, why);
}

bool dev_compile(const dev_variant *variant, const char *target, dev_cubin *cubin, spak_error *err) {
    spak_str text = {0};
    spak_error why = {""};
    char key[65], folder[4096];
    *cubin = (dev_cubin){0};
    if (!dev_variant_key(variant, target, key, &text, err)) {
        spak_str_free(&text);
        return false;
    }
    const char *release = dev_nvrtc_version(&why);
    if (release && !dev_nvrtc_knows(target)) {
        spak_fail(&why, "NVRTC %s does not know that target", release);
        release = NULL;
    }
    bool good = find(key, variant->entry, release, cubin);
    if (!good && !release) {
        cannot_compile(variant, target, why.message, err);
    } else if (!good) {
        memcpy(cubin->key, key, sizeof key);
        good = compile(variant, target, &text, cubin, err);
        dev_cache_folder(folder, sizeof folder);
        if (good) dev_cache_put(folder, variant, target, release, cubin, NULL); /* where it can be written */
    }
    spak_str_free(&text);
    return good;
}

/* --- kernels --- */

static void kernel_free(dev_kernel *kernel) {
    if (kernel->module) kernel->gpu->driver.module_unload(kernel->module);
    dev_cubin_free(&kernel->cubin);
    spak_free(kernel->entry);
    spak_free(kernel->name);
    spak_free(kernel);
}

static bool load(dev_kernel *kernel, const dev_variant *variant, spak_error *err) {
    dev_gpu *gpu = kernel->gpu;
    spak_str name = {0};
    spak_str_printf(&name, "%s in %s", variant->entry, variant->file);
    kernel->name = name.data;
    kernel->entry = spak_strdup(variant->entry);
    if (!spak_str_ok(&name, err) || !kernel->entry) return spak_fail_oom(err);
    if (!dev_gpu_check(gpu, gpu->driver.module_load(&kernel->module, kernel->cubin.data), kernel->name, err) ||
        !dev_gpu_check(gpu, gpu->driver.module_function(&kernel->function, kernel->module, variant->entry),
                       kernel->name, err))
        return false;
    spak_free(kernel->cubin.data);
    kernel->cubin.data = NULL;
    return true;
}

static const dev_kernel *loaded(dev_gpu *gpu, const char *key, const char *entry) {
    for (const dev_kernel *kernel = kernels; kernel; kernel = kernel->next)
        if (kernel->gpu == gpu && !strcmp(kernel->cubin.key, key) && !strcmp(kernel->entry, entry)) return kernel;
    return NULL;
}

bool dev_kernel_get(dev_gpu *gpu, const dev_variant *variant, const dev_kernel **kernel, spak_error *err) {
    const char *target = dev_target_of(gpu->info.cc);
    spak_str text = {0};
    char key[65];
    if (!target)
        return spak_fail(err, "%s: kernels are compiled for compute capability 8.0 to 12.1, not for %d.%d",
                         gpu->info.name, gpu->info.cc / 10, gpu->info.cc % 10);
    bool good = dev_variant_key(variant, target, key, &text, err);
    spak_str_free(&text);
    if (!good) return false;
    if ((*kernel = loaded(gpu, key, variant->entry))) return true;
    dev_kernel *made = spak_calloc(1, sizeof *made);
    if (!made) return spak_fail_oom(err);
    made->gpu = gpu;
    made->target = target;
    if (!dev_compile(variant, target, &made->cubin, err) || !load(made, variant, err)) {
        kernel_free(made);
        return false;
    }
    made->next = kernels;
    *kernel = kernels = made;
    return true;
}

cu_function dev_kernel_function(const dev_kernel *kernel) { return kernel->function; }
const char *dev_kernel_name(const dev_kernel *kernel) { return kernel->name; }

json_t *dev_kernel_json(const dev_kernel *kernel) {
    const dev_resources *r = &kernel->cubin.resources;
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:s}", "key", kernel->cubin.key, "target",
                     kernel->target, "registers", r->registers, "spill_store_bytes", r->spill_store_bytes,
                     "spill_load_bytes", r->spill_load_bytes, "stack_bytes", r->stack_bytes, "smem_bytes",
                     r->smem_bytes, "cached", kernel->cubin.cached, "compile_ms", kernel->cubin.compile_ms, "compiler",
                     kernel->cubin.compiler);
}

bool dev_kernel_occupancy(const dev_kernel *kernel, int threads, size_t smem_bytes, int *blocks, spak_error *err) {
    return dev_gpu_allow_smem(kernel->gpu, kernel->function, smem_bytes, err) &&
           dev_gpu_check(kernel->gpu, kernel->gpu->driver.occupancy(blocks, kernel->function, threads, smem_bytes),
                         kernel->name, err);
}
