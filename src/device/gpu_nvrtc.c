/* NVRTC, the compiler that is a library: opened when a kernel first has to be compiled.
 *
 * Kernels are handed over under their own path with -Ikernels, so that the compiler finds includes as nvcc does and its
 * messages name the file to edit. ptxas' verbose output says what the kernel needs. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "device/gpu_compile.h"
#include "device/gpu_internal.h"

typedef int nvrtc_result; /* nvrtcResult; 0 is success */
enum { NVRTC_ERROR_COMPILATION = 6 };
typedef struct nvrtc_program_st *nvrtc_program;

static struct {
    bool tried;
    char version[32];
    spak_error why;
    nvrtc_result (*version_of)(int *major, int *minor);
    nvrtc_result (*create)(nvrtc_program *program, const char *text, const char *name, int headers,
                           const char *const *header_texts, const char *const *header_names);
    nvrtc_result (*destroy)(nvrtc_program *program);
    nvrtc_result (*compile)(nvrtc_program program, int options, const char *const *option);
    nvrtc_result (*log_size)(nvrtc_program program, size_t *bytes);
    nvrtc_result (*log)(nvrtc_program program, char *text);
    nvrtc_result (*cubin_size)(nvrtc_program program, size_t *bytes);
    nvrtc_result (*cubin)(nvrtc_program program, char *data);
    nvrtc_result (*num_archs)(int *count);
    nvrtc_result (*archs)(int *list);
    const char *(*error_text)(nvrtc_result result);
} nvrtc;

static bool bind(void *library, spak_error *err) {
    const struct {
        const char *name;
        void *slot; /* of a function pointer */
    } symbols[] = {
        {"nvrtcVersion", &nvrtc.version_of},
        {"nvrtcCreateProgram", &nvrtc.create},
        {"nvrtcDestroyProgram", &nvrtc.destroy},
        {"nvrtcCompileProgram", &nvrtc.compile},
        {"nvrtcGetProgramLogSize", &nvrtc.log_size},
        {"nvrtcGetProgramLog", &nvrtc.log},
        {"nvrtcGetCUBINSize", &nvrtc.cubin_size},
        {"nvrtcGetCUBIN", &nvrtc.cubin},
        {"nvrtcGetNumSupportedArchs", &nvrtc.num_archs},
        {"nvrtcGetSupportedArchs", &nvrtc.archs},
        {"nvrtcGetErrorString", &nvrtc.error_text},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) return spak_fail(err, "NVRTC has no %s: a release from 11.2 on is needed", symbols[i].name);
        memcpy(symbols[i].slot, &symbol, sizeof symbol);
    }
    return true;
}

const char *dev_nvrtc_version(spak_error *err) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", NULL};
    if (!nvrtc.tried) {
        int major, minor;
        nvrtc.tried = true;
        void *library =
            dev_library_open("SPAK_NVRTC", names, "compiling kernels (those compiled before still run)", &nvrtc.why);
        if (library && bind(library, &nvrtc.why)) {
            if (nvrtc.version_of(&major, &minor) == 0)
                snprintf(nvrtc.version, sizeof nvrtc.version, "%d.%d", major, minor);
            else
                spak_fail(&nvrtc.why, "NVRTC does not tell its version");
        }
    }
    if (*nvrtc.version) return nvrtc.version;
    if (err) *err = nvrtc.why;
    return NULL;
}

bool dev_nvrtc_knows(const char *target) {
    int list[64], count = 0;
    if (!dev_nvrtc_version(NULL) || nvrtc.num_archs(&count) != 0 || count > 64 || nvrtc.archs(list) != 0) return false;
    for (int i = 0; i < count; i++)
        if (list[i] == atoi(target + strcspn(target, "0123456789"))) return true;
    return false;
}

static bool check(nvrtc_result result, const dev_variant *variant, spak_error *err) {
    return result == 0 || spak_fail(err, "%s: NVRTC: %s", variant->file, nvrtc.error_text(result));
}

/* The options, each of them text of its own, NULL where memory has run out; how many. From 12.9 on NVRTC keeps what it
 * made in the driver's cache, where there is a driver, and says nothing of what it finds there: no registers, no entry.
 * The cache here serves, and that one is not asked. */
static size_t options_of(const dev_variant *variant, const char *target, char **option) {
    size_t count = 0;
    char arch[64];
    int major = 0, minor = 0;
    sscanf(nvrtc.version, "%d.%d", &major, &minor);
    if (major > 12 || (major == 12 && minor >= 9)) option[count++] = spak_strdup("--no-cache");
    snprintf(arch, sizeof arch, "--gpu-architecture=%s", target);
    const char *const fixed[] = {arch, "-std=c++17", "-lineinfo", "-Ikernels", "--ptxas-options=-v"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) option[count++] = spak_strdup(fixed[i]);
    for (size_t i = 0; i < variant->num_defines; i++) {
        size_t room = strlen(variant->defines[i]) + 3;
        option[count] = spak_malloc(room);
        if (option[count]) snprintf(option[count], room, "-D%s", variant->defines[i]);
        count++;
    }
    return count;
}

static bool take_log(nvrtc_program program, const dev_variant *variant, dev_cubin *cubin, spak_error *err) {
    size_t bytes = 0;
    if (!check(nvrtc.log_size(program, &bytes), variant, err)) return false;
    cubin->log = spak_calloc(bytes + 1, 1);
    if (!cubin->log) return spak_fail_oom(err);
    return check(nvrtc.log(program, cubin->log), variant, err);
}

static bool take_cubin(nvrtc_program program, const dev_variant *variant, dev_cubin *cubin, spak_error *err) {
    if (!check(nvrtc.cubin_size(program, &cubin->bytes), variant, err)) return false;
    cubin->data = spak_malloc(cubin->bytes);
    if (!cubin->data) return spak_fail_oom(err);
    return check(nvrtc.cubin(program, cubin->data), variant, err);
}

static bool compile(nvrtc_program program, const dev_variant *variant, const char *target, char **option, size_t count,
                    dev_cubin *cubin, spak_error *err) {
    for (size_t i = 0; i < count; i++)
        if (!option[i]) return spak_fail_oom(err);
    nvrtc_result result = nvrtc.compile(program, (int)count, (const char *const *)option);
    if (!take_log(program, variant, cubin, err)) return false;
    if (result == NVRTC_ERROR_COMPILATION) return dev_compile_failed(variant, target, cubin->log, err);
    if (result != 0 && *cubin->log)
        return spak_fail(err, "%s: NVRTC: %s: %s", variant->file, nvrtc.error_text(result), cubin->log);
    return check(result, variant, err) && take_cubin(program, variant, cubin, err) &&
           dev_log_resources(cubin->log, variant, cubin, err);
}

bool dev_nvrtc_compile(const dev_variant *variant, const char *target, const char *text, dev_cubin *cubin,
                       spak_error *err) {
    nvrtc_program program;
    if (!dev_nvrtc_version(err)) return false;
    char compiler[64], **option = spak_calloc(variant->num_defines + 8, sizeof *option);
    if (!option) return spak_fail_oom(err);
    uint64_t start = spak_now_ns();
    bool good = check(nvrtc.create(&program, text, variant->file, 0, NULL, NULL), variant, err);
    if (good) {
        size_t count = options_of(variant, target, option);
        good = compile(program, variant, target, option, count, cubin, err);
        for (size_t i = 0; i < count; i++) spak_free(option[i]);
        nvrtc.destroy(&program);
    }
    spak_free(option);
    cubin->compile_ms = dev_compile_ms(start);
    snprintf(compiler, sizeof compiler, "NVRTC %s", nvrtc.version);
    if (good && !(cubin->compiler = spak_strdup(compiler))) good = spak_fail_oom(err);
    return good;
}
