/* The driver: found, opened, asked what the GPU is; and what its errors mean.
 *
 * A machine without a GPU is a normal one. Everything that is missing on the way (the library, a function of it, the
 * GPU, the one that SPAK_GPU asks for) is one clear sentence, kept for every later caller: the answer does not change
 * while the process lives.
 *
 * The process uses the device's primary context, which libraries such as cuBLAS use too, and one stream that does not
 * wait for the legacy stream: what a library does there by itself is not in our timing, and recording a graph is not
 * broken by it. Whatever is synchronous therefore waits for the whole context. */
#include "device/gpu.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/gpu_internal.h"
#include "device/gpu_module.h"

/* --- libraries --- */

enum { FOLDERS = 10, PATH_BYTES = 512 };

static void add_folder(char folder[FOLDERS][PATH_BYTES], int *count, const char *path, const char *inner) {
    snprintf(folder[*count], PATH_BYTES, "%s%s", path, inner);
    for (int i = 0; i < *count; i++)
        if (!strcmp(folder[i], folder[*count])) return;
    ++*count;
}

/* The folders where CUDA's libraries lie when the loader does not know them; how many. */
static int cuda_folders(char folder[FOLDERS][PATH_BYTES]) {
    static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH"};
    static const char *const fixed[] = {"/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu",
                                        "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib"};
    int count = 0;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *home = getenv(variables[i]);
        if (!home || !*home) continue;
        add_folder(folder, &count, home, "/lib64");
        add_folder(folder, &count, home, "/lib");
    }
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) add_folder(folder, &count, fixed[i], "");
    return count;
}

static void *open_one(const char *path, char *why, size_t size) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *text = library ? NULL : dlerror();
    if (text && !*why) snprintf(why, size, "%s", text);
    return library;
}

/* A file that is there and cannot be loaded (another processor's, a broken one) says more than one that is absent. */
static void *open_in_folders(const char *name, char *why, size_t size) {
    char folder[FOLDERS][PATH_BYTES], path[PATH_BYTES + 64];
    int count = cuda_folders(folder);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%.511s/%.60s", folder[i], name);
        void *library = access(path, F_OK) == 0 ? open_one(path, why, size) : NULL;
        if (library) return library;
    }
    return NULL;
}

static bool fail_not_found(const char *variable, const char *const *names, const char *what_for, const char *why,
                           spak_error *err) {
    char tried[512] = "", folder[FOLDERS][PATH_BYTES];
    size_t used = 0;
    for (int i = 0; names[i] && used < sizeof tried; i++)
        used += (size_t)snprintf(tried + used, sizeof tried - used, "%s%s", i ? ", " : "", names[i]);
    int count = cuda_folders(folder);
    for (int i = 0; i < count && used < sizeof tried; i++)
        used +=
            (size_t)snprintf(tried + used, sizeof tried - used, "%s%s", i ? ", " : " by the loader and in ", folder[i]);
    return spak_fail(err, "%s, for %s, cannot be loaded: %s; tried %s; %s=FILE names another", names[0], what_for,
                     *why ? why : "there is no such file", tried, variable);
}

void *dev_library_open(const char *variable, const char *const *names, const char *what_for, spak_error *err) {
    const char *only = getenv(variable);
    char why[256] = "";
    if (only && !strcmp(only, "none")) {
        spak_fail(err, "%s, for %s, is not loaded, because %s=none", names[0], what_for, variable);
        return NULL;
    }
    if (only && *only) {
        void *library = open_one(only, why, sizeof why);
        if (!library) spak_fail(err, "%s=%s, for %s, cannot be loaded: %s", variable, only, what_for, why);
        return library;
    }
    for (int i = 0; names[i]; i++) {
        char absent[256] = "";
        void *library = open_one(names[i], absent, sizeof absent);
        if (!library) library = open_in_folders(names[i], why, sizeof why);
        if (library) return library;
    }
    fail_not_found(variable, names, what_for, why, err);
    return NULL;
}

bool dev_library_symbol(void *library, const char *name, void *function_pointer) {
    void *found = dlsym(library, name);
    memcpy(function_pointer, &found, sizeof found);
    return found != NULL;
}

/* --- errors --- */

/* True for what a kernel did, not the call that reports it. The context is of no use after one of these. */
static bool is_fault(cu_result result) {
    enum { ILLEGAL_ADDRESS = 700, TIMEOUT = 702, ASSERT = 710, FIRST_TRAP = 714, LAST_TRAP = 719, TENSOR_LEAK = 721 };
    return result == ILLEGAL_ADDRESS || result == TIMEOUT || result == ASSERT || result == TENSOR_LEAK ||
           (result >= FIRST_TRAP && result <= LAST_TRAP);
}

/* "; under way: A, B twice, C (and 12 earlier)". */
static void name_under_way(const dev_launches *launches, char *text, size_t size) {
    unsigned long kept = launches->count < DEV_UNDER_WAY ? launches->count : DEV_UNDER_WAY;
    size_t used = (size_t)snprintf(text, size, "%s", kept ? "; under way: " : "; no kernel of ours was under way");
    for (unsigned long i = DEV_UNDER_WAY - kept, same; i < DEV_UNDER_WAY && used < size; i += same) {
        const dev_kernel *kernel = launches->latest[i];
        for (same = 1; i + same < DEV_UNDER_WAY && launches->latest[i + same] == kernel;) same++;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == DEV_UNDER_WAY - kept ? "" : ", ",
                                 dev_kernel_name(kernel));
        if (same > 1 && used < size) used += (size_t)snprintf(text + used, size - used, " (%lu times)", same);
    }
    if (launches->count > kept && used < size)
        snprintf(text + used, size - used, " and %lu earlier launches", launches->count - kept);
}

bool dev_gpu_check(dev_gpu *gpu, cu_result result, const char *what, spak_error *err) {
    if (result == 0) return true;
    const char *name = NULL, *text = NULL;
    char under_way[640] = "";
    if (gpu->driver.error_name) gpu->driver.error_name(result, &name);
    if (gpu->driver.error_string) gpu->driver.error_string(result, &text);
    if (is_fault(result)) name_under_way(&gpu->under_way, under_way, sizeof under_way);
    const char *hint = !is_fault(result) ? ""
                       : gpu->debug      ? ". The GPU is lost to this process"
                                         : ". The GPU is lost to this process; SPAK_GPU_DEBUG=1 finds the launch";
    if (name) return spak_fail(err, "%s: %s (%s)%s%s", what, name, text ? text : "no explanation", under_way, hint);
    return spak_fail(err, "%s: the driver's error %d, which it has no name for%s%s", what, result, under_way, hint);
}

bool dev_gpu_not_recording(const dev_gpu *gpu, const char *what, spak_error *err) {
    if (!gpu->recording) return true;
    return spak_fail(err, "%s while a graph is being recorded: do it before or after", what);
}

/* --- the one GPU --- */

static const char purpose[] = "running GPU kernels (all that runs on the CPU does without it)";

static bool fail_lacks(const char *symbol, spak_error *err) {
    return spak_fail(err,
                     "libcuda.so.1, for %s, has no function %s: the driver is older than CUDA 12.0 (version 525), or "
                     "this is another library; install a newer driver",
                     purpose, symbol);
}

static bool open_driver(dev_driver *driver, spak_error *err) {
    static const char *const names[] = {"libcuda.so.1", NULL};
    void *library = dev_library_open("SPAK_LIBCUDA", names, purpose, err);
    if (!library) return false;
#define DEV_DRIVER_LOAD(name, symbol, parameters) \
    if (!dev_library_symbol(library, #symbol, &driver->name)) return fail_lacks(#symbol, err);
    DEV_DRIVER_FUNCTIONS(DEV_DRIVER_LOAD)
#undef DEV_DRIVER_LOAD
    return true;
}

/* SPAK_GPU: which one; false with the reason when none is wanted. */
static bool asked_ordinal(int *ordinal, spak_error *err) {
    const char *text = getenv("SPAK_GPU");
    *ordinal = 0;
    if (!text || !*text) return true;
    if (!strcmp(text, "none")) return spak_fail(err, "no GPU is used, because SPAK_GPU=none");
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || number > 1023)
        return spak_fail(err, "SPAK_GPU: expected the number of a GPU, from 0, or none; found '%s'", text);
    *ordinal = (int)number;
    return true;
}

static bool pick_device(dev_gpu *gpu, int ordinal, spak_error *err) {
    int count = 0;
    cu_result result = gpu->driver.init(0);
    if (result == DEV_CU_NO_DEVICE) return spak_fail(err, "the driver is here, but it sees no GPU");
    if (!dev_gpu_check(gpu, result, "the GPU's driver does not start (cuInit)", err) ||
        !dev_gpu_check(gpu, gpu->driver.device_count(&count), "counting GPUs", err))
        return false;
    if (count < 1) return spak_fail(err, "the driver is here, but it sees no GPU");
    if (ordinal >= count)
        return spak_fail(err, "SPAK_GPU=%d: this machine has %d GPU%s, numbered from 0", ordinal, count,
                         count == 1 ? "" : "s");
    return dev_gpu_check(gpu, gpu->driver.device_get(&gpu->device, ordinal), "opening the GPU", err);
}

/* "NVIDIA GeForce RTX 5070 Ti" -> "rtx5070-ti". */
static void slug_of(const char *name, char *slug, size_t size) {
    static const char *const noise[] = {"NVIDIA ", "GeForce ", "Tesla "};
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        if (!strncmp(name, noise[i], strlen(noise[i]))) name += strlen(noise[i]);
    size_t n = 0;
    for (; *name && n + 2 < size; name++) {
        if (isalnum((unsigned char)*name))
            slug[n++] = (char)tolower((unsigned char)*name);
        else if (n && slug[n - 1] != '-' && !(n == 3 && !strncmp(slug, "rtx", 3)))
            slug[n++] = '-';
    }
    while (n && slug[n - 1] == '-') n--;
    slug[n] = '\0';
    if (!n) snprintf(slug, size, "gpu");
}

/* What cannot be asked of this driver stays 0, but for what every launch is checked with. */
static bool describe(dev_gpu *gpu, spak_error *err) {
    dev_gpu_info *info = &gpu->info;
    int major = 0, minor = 0, l2 = 0, block = 0, sm = 0, core_khz = 0, memory_khz = 0;
    struct {
        int attribute, *value;
        bool needed;
        const char *what;
    } asked[] = {{DEV_CU_CC_MAJOR, &major, true, "asking for the compute capability"},
                 {DEV_CU_CC_MINOR, &minor, true, "asking for the compute capability"},
                 {DEV_CU_SM_COUNT, &info->sms, true, "asking for the number of SMs"},
                 {DEV_CU_SMEM_PER_BLOCK_OPTIN, &block, true, "asking for the shared memory of a block"},
                 {DEV_CU_SMEM_PER_SM, &sm, true, "asking for the shared memory of an SM"},
                 {DEV_CU_REGISTERS_PER_SM, &info->registers_per_sm, true, "asking for the registers of an SM"},
                 {DEV_CU_THREADS_PER_SM, &info->threads_per_sm, true, "asking for the threads of an SM"},
                 {DEV_CU_L2_BYTES, &l2, true, "asking for the size of the L2 cache"},
                 {DEV_CU_CLOCK_RATE, &core_khz, false, ""},
                 {DEV_CU_MEMORY_CLOCK_RATE, &memory_khz, false, ""},
                 {DEV_CU_MEMORY_BUS_WIDTH, &info->memory_bus_bits, false, ""}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        cu_result result = gpu->driver.device_attribute(asked[i].value, asked[i].attribute, gpu->device);
        if (result && !asked[i].needed) *asked[i].value = 0;
        if (asked[i].needed && !dev_gpu_check(gpu, result, asked[i].what, err)) return false;
    }
    info->cc = 10 * major + minor;
    info->l2_bytes = (size_t)l2;
    info->smem_per_block_bytes = (size_t)block;
    info->smem_per_sm_bytes = (size_t)sm;
    info->clock_mhz = core_khz / 1000;
    info->memory_clock_mhz = memory_khz / 1000;
    if (!dev_gpu_check(gpu, gpu->driver.device_name(info->name, sizeof info->name, gpu->device), "asking for the name",
                       err) ||
        !dev_gpu_check(gpu, gpu->driver.device_memory(&info->memory_bytes, gpu->device), "asking for the memory",
                       err) ||
        !dev_gpu_check(gpu, gpu->driver.driver_version(&info->driver_version), "asking for the driver's version", err))
        return false;
    slug_of(info->name, info->id, sizeof info->id);
    return true;
}

static bool open_gpu(dev_gpu *gpu, spak_error *err) {
    const char *debug = getenv("SPAK_GPU_DEBUG");
    int ordinal;
    gpu->debug = debug && *debug && strcmp(debug, "0") != 0;
    return asked_ordinal(&ordinal, err) && open_driver(&gpu->driver, err) && pick_device(gpu, ordinal, err) &&
           describe(gpu, err) &&
           dev_gpu_check(gpu, gpu->driver.context_retain(&gpu->context, gpu->device), "making the GPU's context",
                         err) &&
           dev_gpu_check(gpu, gpu->driver.context_set(gpu->context), "using the GPU's context", err) &&
           dev_gpu_check(gpu, gpu->driver.stream_new(&gpu->stream, DEV_CU_STREAM_NON_BLOCKING), "making a stream", err);
}

dev_gpu *dev_gpu_get(spak_error *err) {
    static dev_gpu gpu;
    static spak_error why;
    static enum { UNKNOWN, HERE, ABSENT } state;
    if (state == UNKNOWN) state = open_gpu(&gpu, &why) ? HERE : ABSENT;
    if (state == HERE) return &gpu;
    if (err) *err = why;
    return NULL;
}

const dev_gpu_info *dev_gpu_about(const dev_gpu *gpu) { return &gpu->info; }
