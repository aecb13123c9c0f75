/* Kernels from source: keys, the cache, both compilers' words. In a folder of the test's own, with kernels of its own;
 * what needs NVRTC is skipped where it is not. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "device/gpu_compile.h"
#include "device/gpu_internal.h"
#include "fixtures/build.h"

static const char toy[] =
    "#include \"toy/half.cuh\"\n"
    "#ifndef __CUDACC__\n"
    "#include \"device/none.h\"\n"
    "#endif\n"
    "extern \"C\" __global__ void toy(float *p) {\n"
    "    __shared__ float s[100];\n"
    "    s[threadIdx.x] = HALF * N;\n"
    "    __syncthreads();\n"
    "    *p = s[threadIdx.x ^ 1];\n"
    "}\n";

static const char heavy[] =
    "extern \"C\" __global__ void __launch_bounds__(1024) heavy(float *p, int n) {\n"
    "    float a[160];\n"
    "#pragma unroll\n"
    "    for (int i = 0; i < 160; i++) a[i] = p[i * n];\n"
    "    for (int j = 0; j < n; j++)\n"
    "#pragma unroll\n"
    "        for (int i = 0; i < 160; i++) a[i] += a[(i + 1) % 160] * a[(i * 7) % 160];\n"
    "#pragma unroll\n"
    "    for (int i = 0; i < 160; i++) p[i] = a[i];\n"
    "}\n";

static const char *const defines[] = {"N=3", "DEEP=1"};
static const dev_variant variant = {"kernels/toy/toy.cu", "toy", defines, 2};

static void put(const char *path, const char *text) {
    spak_error err = {""};
    if (!spak_write_file(path, text, strlen(text), &err)) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
}

static void put_toy(void) {
    put("kernels/toy/toy.cu", toy);
    put("kernels/toy/half.cuh", "#include \"one.cuh\"\n#define HALF (ONE / 2)\n");
    put("kernels/toy/one.cuh", "#define ONE 1.0f\n");
}

static bool key_of(const dev_variant *v, const char *target, char key[65], spak_error *err) {
    spak_str text = {0};
    bool good = dev_variant_key(v, target, key, &text, err);
    spak_str_free(&text);
    return good;
}

static void test_keys(void) {
    char first[65], key[65];
    spak_error err = {""};
    ok(key_of(&variant, "sm_90a", first, &err) && strlen(first) == 64, "a variant has a key (%s)", err.message);
    ok(key_of(&variant, "sm_90a", key, &err) && !strcmp(key, first), "always the same");
    ok(key_of(&variant, "sm_80", key, &err) && strcmp(key, first), "another target, another key");
    const char *const others[] = {"N=4", "DEEP=1"}, *const glued[] = {"N=3DEEP=1"};
    ok(key_of(&(dev_variant){variant.file, "toy", others, 2}, "sm_90a", key, &err) && strcmp(key, first),
       "another macro, another key");
    ok(key_of(&(dev_variant){variant.file, "toy", glued, 1}, "sm_90a", key, &err) && strcmp(key, first),
       "macros do not run into each other");
    put("kernels/toy/one.cuh", "#define ONE 1.5f\n");
    ok(key_of(&variant, "sm_90a", key, &err) && strcmp(key, first), "a change in what an include includes changes it");
    put_toy();
    ok(key_of(&variant, "sm_90a", key, &err) && !strcmp(key, first), "and taking it back brings the key back");
    put("kernels/device/none.h", "\n");
    ok(key_of(&variant, "sm_90a", key, &err) && strcmp(key, first), "an include that comes into being changes it");
    spak_remove_tree("kernels/device");
    put("kernels/toy/a.cu", "#include \"toy/b.cuh\"\n");
    put("kernels/toy/b.cuh", "# include \"../toy/./a.cu\"\n#include \"toy/b.cuh\"");
    ok(key_of(&(dev_variant){.file = "kernels/toy/a.cu", .entry = "a"}, "sm_90a", key, &err), "a circle ends");
    ok(!key_of(&(dev_variant){.file = "kernels/toy/gone.cu", .entry = "a"}, "sm_90a", key, &err) &&
           strstr(err.message, "kernels/toy/gone.cu"),
       "a missing file is named (%s)", err.message);
    is_str(dev_target_of(90), "sm_90a", "a target by compute capability");
    ok(!dev_target_of(75), "and none below 80");
}

static void test_log(void) {
    dev_cubin cubin = {0};
    spak_error err = {""};
    const dev_variant two = {.file = "f.cu", .entry = "two"}, none = {.file = "f.cu", .entry = "tw"};
    const char *log =
        "ptxas info    : Compiling entry function 'one' for 'sm_90a'\n"
        "    64 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n"
        "ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size\n"
        "ptxas info    : Compiling entry function 'two' for 'sm_90a'\n"
        "ptxas info    : Function properties for two\n"
        "    0 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\n"
        "ptxas info    : Function properties for helper\n"
        "    32 bytes stack frame, 40 bytes spill stores, 80 bytes spill loads\n"
        "ptxas info    : Used 32 registers, used 0 barriers, 400 bytes smem, 600 bytes cmem[0]\n";
    ok(dev_log_resources(log, &two, &cubin, &err), "ptxas' words are read (%s)", err.message);
    is_int(cubin.resources.registers, 32, "registers");
    is_int(cubin.resources.spill_store_bytes, 44, "spill stores, those of a called function too");
    is_int(cubin.resources.spill_load_bytes, 88, "spill loads");
    is_int(cubin.resources.stack_bytes, 32, "stack");
    is_int(cubin.resources.smem_bytes, 400, "shared memory");
    ok(!dev_log_resources(log, &none, &cubin, &err) && strstr(err.message, "'tw'"), "a missing kernel is an error");
    double us = 1000 * dev_compile_ms(spak_now_ns() - 123456789);
    ok(us >= 123456 - 1e-3 && fabs(us - round(us)) < 1e-3,
       "times are whole microseconds: long numbers break jansson's scanner");
}

/* An entry that was never compiled, to look for. */
static void test_newest(void) {
    static const char *const releases[] = {"12.9", "13.0", "13.10", "13.2"};
    dev_cubin cubin = {.data = (void *)"binary", .bytes = 6, .compiler = (char *)"nvcc 1", .compile_ms = 2.5};
    dev_cubin found;
    spak_error err = {""};
    const dev_variant v = {.file = "f.cu", .entry = "f"};
    char log[128];
    memset(cubin.key, 'a', 64);
    for (int i = 0; i < 4; i++) {
        snprintf(log, sizeof log, "Compiling entry function 'f' for 'sm_80'\nUsed %d registers\n", 10 + i);
        cubin.log = log;
        ok(dev_cache_put("cache", &v, "sm_80", releases[i], &cubin, &err), "an entry is written (%s)", err.message);
    }
    ok(dev_cache_find("cache", cubin.key, "f", NULL, &found) && found.resources.registers == 12,
       "without a release the newest is found");
    ok(found.bytes == 6 && !memcmp(found.data, "binary", 6) && found.cached && found.compile_ms == 2.5,
       "as it was written");
    dev_cubin_free(&found);
    put("cache/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.13.10.cubin", "binarY");
    ok(dev_cache_find("cache", cubin.key, "f", NULL, &found) && found.resources.registers == 13,
       "a damaged one is passed over");
    dev_cubin_free(&found);
    ok(!dev_cache_find("cache", cubin.key, "f", "13.10", &found) && !found.data && !found.log, "and is not served");
    ok(!dev_cache_find("cache", cubin.key, "f", "12.8", &found), "nor is another release's");
    ok(!dev_cache_find("cache", cubin.key, "g", "13.0", &found), "nor an entry without the kernel that is asked for");
}

/* The two files of the one entry of the cache. */
static bool only_entry(const char *end, char path[512]) {
    char **names;
    size_t count, hits = 0;
    if (!spak_list_dir("cache", &names, &count, NULL)) return false;
    for (size_t i = 0; i < count; i++)
        if (spak_ends_with(names[i], end)) {
            snprintf(path, 512, "cache/%s", names[i]);
            hits++;
        }
    spak_names_free(names, count);
    return hits == 1 && count == 2;
}

static void test_compile(void) {
    dev_cubin cubin, again;
    spak_error err = {""};
    char path[512];
    for (int i = 0; i < DEV_TARGETS; i++) {
        spak_remove_tree("cache");
        if (!ok(dev_compile(&variant, dev_targets[i], &cubin, &err), "compiles for %s (%s)", dev_targets[i],
                err.message))
            continue;
        ok(!cubin.cached && cubin.bytes > 100 && !memcmp(cubin.data, "\177ELF", 4) && cubin.compile_ms > 0 &&
               spak_starts_with(cubin.compiler, "NVRTC "),
           "to a cubin");
        ok(cubin.resources.registers > 0 && cubin.resources.smem_bytes == 400 && !cubin.resources.spill_store_bytes &&
               !cubin.resources.spill_load_bytes,
           "with %d registers and its shared memory", cubin.resources.registers);
        dev_cubin_free(&cubin);
    }
    ok(dev_compile(&variant, "sm_120a", &cubin, &err) && cubin.cached, "the second time it is found");
    ok(cubin.resources.smem_bytes == 400 && cubin.compile_ms > 0, "with all that is known of it");
    ok(only_entry(".cubin", path) && spak_write_file(path, "junk", 4, &err), "(its cubin is damaged)");
    ok(dev_compile(&variant, "sm_120a", &again, &err) && !again.cached && again.bytes == cubin.bytes &&
           !memcmp(again.data, cubin.data, cubin.bytes),
       "a damaged cubin is compiled anew, to the same bytes");
    dev_cubin_free(&again);
    ok(dev_compile(&variant, "sm_120a", &again, &err) && again.cached, "and written anew");
    dev_cubin_free(&again);
    ok(only_entry(".json", path) && truncate(path, 40) == 0, "(its description is cut off)");
    ok(dev_compile(&variant, "sm_120a", &again, &err) && !again.cached, "a damaged description is no entry");
    dev_cubin_free(&again);
    dev_cubin_free(&cubin);
}

static void test_errors(void) {
    dev_cubin cubin;
    spak_error err = {""};
    put("kernels/toy/bad.cu",
        "#include \"toy/half.cuh\"\n\nextern \"C\" __global__ void bad(int *p) { *p = nowhere; }\n");
    const dev_variant bad = {.file = "kernels/toy/bad.cu", .entry = "bad"};
    ok(!dev_compile(&bad, "sm_90a", &cubin, &err) && strstr(err.message, "kernels/toy/bad.cu(3): error"),
       "an error names file and line");
    put("kernels/toy/half.cuh", "#define HALF nothing\n__device__ int f() { return HALF; }\n");
    ok(!dev_compile(&bad, "sm_90a", &cubin, &err) && strstr(err.message, "kernels/toy/half.cuh(2): error"),
       "those of an include too");
    put_toy();
    ok(!dev_compile(&(dev_variant){variant.file, "tay", defines, 2}, "sm_90a", &cubin, &err) &&
           strstr(err.message, "no kernel 'tay'"),
       "a kernel that is not there is named");
    ok(!dev_compile(&variant, "sm_10", &cubin, &err) && strstr(err.message, "does not know"),
       "so is a strange target (%s)", err.message);
}

static void test_spills(void) {
    dev_cubin cubin;
    spak_error err = {""};
    put("kernels/toy/heavy.cu", heavy);
    ok(dev_compile(&(dev_variant){.file = "kernels/toy/heavy.cu", .entry = "heavy"}, "sm_90a", &cubin, &err),
       "a kernel too large (%s)", err.message);
    const dev_resources *r = &cubin.resources;
    ok(r->spill_store_bytes > 100 && r->spill_load_bytes > 100 && r->stack_bytes > 100 && r->registers <= 64,
       "160 values in %d registers spill: %d bytes stored, %d loaded", r->registers, r->spill_store_bytes,
       r->spill_load_bytes);
    dev_cubin_free(&cubin);
}

static void test_nowhere_to_write(void) {
    dev_cubin cubin;
    spak_error err = {""};
    put("file", "no folder");
    setenv("SPAK_KERNEL_CACHE", "file/cache", 1);
    ok(dev_compile(&variant, "sm_90a", &cubin, &err) && !cubin.cached && cubin.bytes > 0,
       "without a cache to write it compiles all the same (%s)", err.message);
    dev_cubin_free(&cubin);
    setenv("SPAK_KERNEL_CACHE", "cache", 1);
}

/* Six processes compile two variants at once; none may fail, and the cache is whole in the end. */
static void test_at_once(void) {
    enum { PROCESSES = 6 };
    pid_t child[PROCESSES];
    int failed = 0;
    fflush(stdout);
    spak_remove_tree("cache");
    for (int i = 0; i < PROCESSES; i++)
        if ((child[i] = fork()) == 0) {
            dev_cubin cubin;
            bool good = dev_compile(&variant, i % 2 ? "sm_80" : "sm_90a", &cubin, NULL) && cubin.bytes > 0;
            dev_cubin_free(&cubin);
            _exit(!good);
        }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        if (waitpid(child[i], &status, 0) != child[i] || status != 0) failed++;
    }
    is_int(failed, 0, "%d processes at once", PROCESSES);
    for (int i = 0; i < 2; i++) {
        dev_cubin cubin;
        ok(dev_compile(&variant, i % 2 ? "sm_80" : "sm_90a", &cubin, NULL) && cubin.cached, "leave a whole entry");
        dev_cubin_free(&cubin);
    }
    char **names;
    size_t count = 0;
    if (spak_list_dir("cache", &names, &count, NULL)) spak_names_free(names, count);
    is_int(count, 4, "and nothing beside the two");
}

/* Each allocation in turn fails: an error, no crash, nothing kept (under the sanitizers: nothing leaked). */
static void test_out_of_memory(void) {
    int refused = 0, good = 0;
    for (long n = 0; n < 400 && !good; n++) {
        dev_cubin cubin;
        spak_error err = {""};
        spak_alloc_fail_after(n);
        good = dev_compile(&variant, "sm_90a", &cubin, &err);
        spak_alloc_fail_after(-1);
        if (good)
            dev_cubin_free(&cubin);
        else if (*err.message && !cubin.data && !cubin.log)
            refused++;
        else
            ok(false, "the %ld-th allocation fails without an error", n);
        if (!good && n > 60) break;
    }
    ok(refused > 10, "out of memory is an error (%d times)", refused);
}

/* Without NVRTC: in a process of its own, since a process asks for it once. */
static int without_nvrtc(void) {
    dev_cubin cubin;
    spak_error err = {""};
    setenv("SPAK_NVRTC", "none", 1);
    bool good = dev_compile(&variant, "sm_90a", &cubin, &err) && cubin.cached;
    dev_cubin_free(&cubin);
    good = good && !dev_compile(&variant, "sm_89", &cubin, &err) && strstr(err.message, "make kernels") &&
           strstr(err.message, "kernels/toy/toy.cu") && !dev_nvrtc_version(&err);
    if (!good) printf("# %s\n", err.message);
    return good ? 0 : 1;
}

static void test_nvcc(void) {
    dev_cubin cubin = {0}, found;
    spak_error err = {""};
    char key[65];
    const char *release = dev_nvcc_release(&err);
    if (!release) {
        skip_test("nvcc: %s", err.message);
        return;
    }
    ok(key_of(&variant, "sm_80", cubin.key, &err) && dev_nvcc_compile(&variant, "sm_80", &cubin, &err),
       "nvcc compiles (%s)", err.message);
    ok(cubin.resources.registers > 0 && cubin.resources.smem_bytes == 400 && spak_starts_with(cubin.compiler, "nvcc "),
       "and says what it takes");
    memcpy(key, cubin.key, sizeof key);
    ok(dev_cache_put(DEV_KERNELS_FOLDER, &variant, "sm_80", release, &cubin, &err) &&
           dev_cache_find(DEV_KERNELS_FOLDER, key, "toy", NULL, &found) && found.bytes == cubin.bytes,
       "what it made is found without its release (%s)", err.message);
    dev_cubin_free(&cubin);
    dev_cubin_free(&found);
    spak_remove_tree("cache");
    const char *nvrtc = dev_nvrtc_version(NULL);
    if (nvrtc && !strcmp(nvrtc, release)) {
        ok(dev_compile(&variant, "sm_80", &found, &err) && found.cached && spak_starts_with(found.compiler, "nvcc "),
           "and by NVRTC of the same release");
        dev_cubin_free(&found);
    }
    memcpy(cubin.key, key, sizeof key);
    const dev_variant bad = {.file = "kernels/toy/bad.cu", .entry = "bad"};
    ok(!dev_nvcc_compile(&bad, "sm_80", &cubin, &err) && strstr(err.message, "kernels/toy/bad.cu(3): error"),
       "its errors name file and line");
    dev_cubin_free(&cubin);
}

/* Kernels on a GPU, or with the fake driver, which runs none: loaded once, described, told how many blocks fit. */
static int with_gpu(bool fake) {
    dev_gpu *gpu = dev_gpu_get(NULL);
    const dev_kernel *kernel = NULL, *again = NULL, *other = NULL;
    const char *const others[] = {"N=4", "DEEP=1"};
    spak_error err = {""};
    int blocks = 0;
    bool good = gpu && dev_kernel_get(gpu, &variant, &kernel, &err) && dev_kernel_get(gpu, &variant, &again, &err) &&
                dev_kernel_get(gpu, &(dev_variant){variant.file, "toy", others, 2}, &other, &err) && kernel == again &&
                kernel != other && dev_kernel_function(kernel) &&
                !strcmp(dev_kernel_name(kernel), "toy in kernels/toy/toy.cu") &&
                dev_kernel_occupancy(kernel, 64, 60000, &blocks, &err) && blocks > 0;
    json_t *about = good ? dev_kernel_json(kernel) : NULL;
    good = good && spak_json_int(about, "smem_bytes", 0) == 400 && spak_json_int(about, "registers", 0) > 0 &&
           strlen(spak_json_str(about, "key", "")) == 64;
    json_decref(about);
    dev_arena *arena = NULL;
    dev_ptr out = 0;
    float value = 0;
    dev_launch launch = {.kernel = kernel, .grid = {1, 1, 1}, .block = {64, 1, 1}};
    good = good && dev_arena_new(gpu, "test", dev_arena_room(4, 1), &arena, &err) &&
           dev_arena_take(arena, "out", 4, &out, &err) && dev_gpu_launch(gpu, &launch, &out, &err) &&
           dev_gpu_sync(gpu, &err) && dev_gpu_download(gpu, &value, out, 4, &err) && (fake || value == 1.5f);
    dev_arena_free(arena);
    if (!good) printf("# %s, %d blocks, %g\n", err.message, blocks, (double)value);
    return good ? 0 : 1;
}

static int has_gpu(bool unused) {
    (void)unused;
    return dev_gpu_get(NULL) ? 0 : 1;
}

static int in_child(int (*run)(bool), bool argument) {
    int status = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int result = run(argument);
        fflush(stdout);
        _exit(result);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : 1;
}

static void test_kernels(const char *driver, bool built) {
    if (in_child(has_gpu, false) == 0)
        is_int(in_child(with_gpu, false), 0, "a kernel is loaded and runs on the GPU");
    else
        skip_test("running a kernel: there is no GPU");
    setenv("SPAK_LIBCUDA", driver, 1);
    if (built)
        is_int(in_child(with_gpu, true), 0, "with the fake driver kernels are loaded, once each");
    else
        skip_test("loading kernels: the fake driver is not built");
}

int main(int argc, char **argv) {
    if (argc == 3) return chdir(argv[2]) == 0 ? without_nvrtc() : 1;
    char folder[] = "/tmp/spak-module-XXXXXX";
    spak_error err = {""};
    char *self = realpath(argv[0], NULL);
    spak_json_init();
    char driver[64];
    if (!self || !mkdtemp(folder)) return 1;
    snprintf(driver, sizeof driver, "%s/libcuda.so.1", folder);
    bool built = build_library("tests/device/fixtures/cuda/driver.c", "-DFAKE_DRIVER", driver);
    if (chdir(folder) != 0) return 1;
    setenv("SPAK_KERNEL_CACHE", "cache", 1);
    put_toy();
    test_keys();
    test_log();
    test_newest();
    spak_remove_tree("cache");
    if (dev_nvrtc_version(&err)) {
        test_compile();
        test_errors();
        test_spills();
        test_nowhere_to_write();
        test_at_once();
        test_out_of_memory();
        test_kernels(driver, built);
        fflush(stdout);
        pid_t child = fork();
        int status = 1;
        if (child == 0) {
            execl(self, self, "without", folder, (char *)NULL);
            _exit(127);
        }
        ok(waitpid(child, &status, 0) == child && status == 0, "without NVRTC what was compiled is found, no more");
    } else {
        skip_test("compiling: %s", err.message);
    }
    test_nvcc();
    free(self);
    if (chdir("/") == 0) spak_remove_tree(folder);
    return done_testing();
}
