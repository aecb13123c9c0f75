/* The GPU: opening it, memory, launches, graphs, tensor maps and whose fault it was. First with a driver that the test
 * builds (fixtures/cuda), each case in a process of its own because the answer of dev_gpu_get lasts as long as one;
 * then the same cases on the GPU, where there is one. The test stands in for gpu_module.c: its kernels are the fake
 * driver's or, on a GPU, the PTX below. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/process.h"
#include "device/gpu_internal.h"
#include "device/gpu_module.h"
#include "fixtures/build.h"
#include "fixtures/cuda/fake.h"

struct dev_kernel {
    cu_function function;
    const char *name;
};

cu_function dev_kernel_function(const dev_kernel *kernel) { return kernel->function; }
const char *dev_kernel_name(const dev_kernel *kernel) { return kernel->name; }

/* Both take fake_params by value. fault stores where no memory is. */
static const char ptx[] =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry fill(.param .align 8 .b8 p[16]) {\n"
    "  .reg .pred %q; .reg .b32 %r<6>; .reg .b64 %a<3>;\n"
    "  ld.param.u64 %a1, [p]; ld.param.u32 %r1, [p+8]; ld.param.u32 %r2, [p+12];\n"
    "  mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x; mad.lo.u32 %r3, %r3, %r4, %r5;\n"
    "  setp.ge.u32 %q, %r3, %r2; @%q ret;\n"
    "  cvta.to.global.u64 %a1, %a1; mul.wide.u32 %a2, %r3, 4; add.u64 %a1, %a1, %a2; st.global.u32 [%a1], %r1; ret;\n"
    "}\n"
    ".visible .entry fault(.param .align 8 .b8 p[16]) {\n"
    "  .reg .b64 %a<2>; mov.u64 %a1, 64; st.global.u32 [%a1], 1; ret;\n"
    "}\n";

/* --- one case, one process --- */

static fake_state *fake; /* NULL on a real GPU */
static fake_fail_fn *fake_fail;
static dev_kernel fill = {.name = "fill in test"}, fault = {.name = "fault in test"};

static dev_gpu *open_gpu(void) {
    spak_error err = {""};
    dev_gpu *gpu = dev_gpu_get(&err);
    if (!ok(gpu && gpu == dev_gpu_get(NULL), "the GPU opens, once %s", err.message)) return NULL;
    enum { NO_PTX_COMPILER = 221 };
    cu_module module;
    cu_result result = gpu->driver.module_load(&module, ptx);
    if (result == NO_PTX_COMPILER) {
        skip_test("kernels: the driver here comes without its compiler for PTX");
        return NULL;
    }
    bool loaded = !result && gpu->driver.module_function(&fill.function, module, "fill") == 0 &&
                  gpu->driver.module_function(&fault.function, module, "fault") == 0;
    return ok(loaded, "and loads two kernels (%d)", result) ? gpu : NULL;
}

static void find_fake(const char *path) {
    void *library = path ? dev_library_open("SPAK_LIBCUDA", &path, "the test", NULL) : NULL;
    fake_state_fn *get;
    if (!library || !dev_library_symbol(library, "fake_state_get", &get)) return;
    dev_library_symbol(library, "fake_fail", &fake_fail);
    fake = get();
}

static void in_child(const char *driver, void (*body)(void)) {
    int *counts = mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    counts[0] = tap_count;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (driver) setenv("SPAK_LIBCUDA", driver, 1);
        find_fake(driver);
        body();
        counts[0] = tap_count;
        counts[1] = tap_failed;
        exit(0);
    }
    int status = 0;
    bool ended = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    tap_count = counts[0];
    tap_failed += counts[1];
    if (!ended) ok(false, "a case ended early, status 0x%x", (unsigned)status);
    munmap(counts, 2 * sizeof *counts);
}

static bool says(const spak_error *err, const char *part) {
    bool good = strstr(err->message, part) != NULL;
    if (!good) printf("# '%s' does not say '%s'\n", err->message, part);
    return good;
}

/* --- opening --- */

static const char *expected;

static void opens_not(void) {
    spak_error err = {""}, again = {""};
    ok(!dev_gpu_get(&err) && says(&err, expected), "%.150s", err.message);
    ok(!dev_gpu_get(&again) && !strcmp(err.message, again.message), "and the answer stays");
}

static void is_described(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    const dev_gpu_info *info = dev_gpu_about(gpu);
    is_str(info->id, expected, "%s", info->name);
    ok(info->cc >= 50 && info->sms > 0 && info->memory_bytes > (1 << 20) && info->l2_bytes > 0, "its numbers");
    ok(info->smem_per_block_bytes >= 48 << 10 && info->smem_per_sm_bytes >= info->smem_per_block_bytes, "its memory");
    if (fake) is_int(info->clock_mhz, 1980, "its clock");
}

/* With one variable set for the case. */
static void with(const char *variable, const char *value, const char *driver, const char *message, void (*body)(void)) {
    setenv(variable, value, 1);
    expected = message;
    in_child(driver, body);
    unsetenv(variable);
}

static void opening_survives_any_failure(const char *driver) {
    int named = 0, tried = 0;
    for (int n = 1; n < 100; n++) {
        char what[32];
        snprintf(what, sizeof what, "*:%d", n);
        setenv("SPAK_FAKE_CUDA_FAIL", what, 1);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            spak_error err = {""};
            setenv("SPAK_LIBCUDA", driver, 1);
            dev_gpu *gpu = dev_gpu_get(&err);
            find_fake(driver);
            if (!fake->failed) _exit(2);
            /* The clocks and the bus are left out where they cannot be asked for. */
            const dev_gpu_info *info = gpu ? dev_gpu_about(gpu) : NULL;
            bool may_pass = info && !(info->clock_mhz && info->memory_clock_mhz && info->memory_bus_bits);
            _exit(gpu ? !may_pass : !says(&err, "CUDA_ERROR_UNKNOWN"));
        }
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 2) break;
        tried++;
        named += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    unsetenv("SPAK_FAKE_CUDA_FAIL");
    ok(tried > 15 && named == tried, "each of the %d calls of opening may fail, and the error names it", tried);
}

static void test_opening(const char *driver, const char *old) {
    with("SPAK_GPU", "none", driver, "SPAK_GPU=none", opens_not);
    with("SPAK_GPU", "first", driver, "expected the number of a GPU, from 0, or none; found 'first'", opens_not);
    with("SPAK_GPU", "-1", driver, "found '-1'", opens_not);
    with("SPAK_GPU", "1", driver, "SPAK_GPU=1: this machine has 1 GPU, numbered from 0", opens_not);
    with("SPAK_FAKE_CUDA_GPUS", "0", driver, "it sees no GPU", opens_not);
    with("SPAK_FAKE_CUDA_FAIL", "cuInit:1:100", driver, "it sees no GPU", opens_not);
    with("SPAK_FAKE_CUDA_FAIL", "cuInit:1:34", driver, "cuInit): the driver's error 34, which it has no name for",
         opens_not);
    with("SPAK_LIBCUDA", "none", NULL, "because SPAK_LIBCUDA=none", opens_not);
    with("SPAK_LIBCUDA", "/nowhere/libcuda.so", NULL, "SPAK_LIBCUDA=/nowhere/libcuda.so, for running GPU kernels",
         opens_not);
    with("SPAK_X", "", old, "has no function cuTensorMapEncodeTiled: the driver is older", opens_not);
    with("SPAK_FAKE_CUDA_NAME", "NVIDIA H200", driver, "h200", is_described);
    with("SPAK_FAKE_CUDA_NAME", "NVIDIA GeForce RTX 5070 Ti", driver, "rtx5070-ti", is_described);
    with("SPAK_FAKE_CUDA_NAME", "NVIDIA A100-SXM4-80GB", driver, "a100-sxm4-80gb", is_described);
    with("SPAK_FAKE_CUDA_NAME", "GTX (TM)", driver, "gtx-tm", is_described);
    with("SPAK_FAKE_CUDA_NAME", "", driver, "gpu", is_described);
    with("SPAK_FAKE_CUDA_FAIL", "cuMemAlloc_v2:1", driver, "h200", is_described);
    opening_survives_any_failure(driver);
}

static void test_library(void) {
    static const char *const names[] = {"libspak-absent.so.7", "libspak-absent.so.6", NULL};
    spak_error err = {""};
    setenv("CUDA_HOME", "/nowhere/cuda", 1);
    ok(!dev_library_open("SPAK_ABSENT", names, "testing (nothing is lost)", &err) &&
           says(&err, "libspak-absent.so.7, for testing (nothing is lost), cannot be loaded: there is no such file") &&
           says(&err, "tried libspak-absent.so.7, libspak-absent.so.6 by the loader and in /nowhere/cuda/lib64,") &&
           says(&err, "SPAK_ABSENT=FILE names another"),
       "an absent library: %s", err.message);
    char folder[] = "/tmp/spak-gpu-XXXXXX", path[128];
    if (!mkdtemp(folder)) return;
    snprintf(path, sizeof path, "%s/lib64/libspak-absent.so.6", folder);
    ok(spak_write_file(path, "text", 4, &err), "a file that is no library %s", err.message);
    setenv("CUDA_HOME", folder, 1);
    ok(!dev_library_open("SPAK_ABSENT", names, "testing", &err) && says(&err, "lib64/libspak-absent.so.6: "),
       "is named: %s", err.message);
    unsetenv("CUDA_HOME");
    spak_remove_tree(folder);
}

/* --- memory --- */

static void uses_memory(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    dev_arena *arena = NULL;
    dev_ptr a, b, c;
    unsigned char bytes[1000], back[1000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7);
    ok(dev_arena_new(gpu, "the test", dev_arena_room(5000, 3), &arena, &err), "an arena %s", err.message);
    ok(dev_arena_take(arena, "a", 1000, &a, &err) && dev_arena_take(arena, "b", 3000, &b, &err) &&
           dev_arena_take(arena, "c", 1000, &c, &err),
       "three blocks %s", err.message);
    ok(a % 1024 == 0 && b % 1024 == 0 && c % 1024 == 0 && b >= a + 1000 && c >= b + 3000, "aligned and apart");
    ok(dev_gpu_upload(gpu, a, bytes, 1000, &err) && dev_gpu_download(gpu, back, a, 1000, &err) &&
           !memcmp(bytes, back, 1000),
       "bytes go there and come back %s", err.message);
    ok(dev_gpu_fill8(gpu, a, 0x5c, 1000, &err) && dev_gpu_download(gpu, back, a, 1000, &err) && back[0] == 0x5c &&
           back[999] == 0x5c,
       "bytes are filled %s", err.message);
    uint32_t words[4];
    ok(dev_gpu_fill32(gpu, a, 0x01020304, 250, &err) && dev_gpu_download(gpu, words, a + 984, 16, &err) &&
           words[0] == 0x01020304 && words[3] == 0x01020304,
       "and words %s", err.message);
    ok(!dev_gpu_fill32(gpu, a + 2, 1, 1, &err) && says(&err, "no multiple of 4"), "words at odd places are refused");
    ok(dev_arena_check(arena, &err), "nothing was written outside %s", err.message);
    ok(!dev_arena_take(arena, "d", 1 << 20, &a, &err) && says(&err, "GPU memory for the test: 'd' takes") && !a,
       "too much: %s", err.message);
    dev_arena_reset(arena);
    ok(dev_arena_take(arena, "all", 5000, &a, &err), "after a reset there is room again %s", err.message);
    dev_arena_free(arena);
    dev_arena_free(NULL);
    ok(dev_arena_new(gpu, "the brim", 1000, &arena, &err) && dev_arena_take(arena, "all", 1000, &a, &err),
       "an arena of just one block holds it %s", err.message);
    dev_arena_free(arena);
    ok(!dev_arena_new(gpu, "the world", (size_t)1 << 45, &arena, &err) && !arena && says(&err, "for the world") &&
           says(&err, "CUDA_ERROR_OUT_OF_MEMORY"),
       "%s", err.message);
    ok(!dev_arena_new(gpu, "nothing", 0, &arena, &err), "no bytes: %s", err.message);
    ok(dev_arena_room(SIZE_MAX, 2) == SIZE_MAX && dev_arena_room(1, SIZE_MAX) == SIZE_MAX, "room does not wrap around");
    if (fake) is_int(fake->live_blocks, 0, "all memory is given back");
}

/* Writes `bytes` of nothing in particular at `at`, and says what the check makes of it. */
static bool check_sees(dev_gpu *gpu, dev_ptr at, size_t bytes, const char *message) {
    spak_error err = {""};
    dev_arena *arena;
    dev_ptr a, b, c;
    bool good = dev_arena_new(gpu, "the test", dev_arena_room(3 * 1500, 3), &arena, &err) &&
                dev_arena_take(arena, "first", 1500, &a, &err) && dev_arena_take(arena, "second", 0, &b, &err) &&
                dev_arena_take(arena, "third", 1500, &c, &err) && dev_arena_check(arena, &err);
    ok(good, "an arena with zones that nobody wrote %s", err.message);
    unsigned char poison[2] = {0};
    ok(dev_gpu_download(gpu, poison, c + 1498, 2, &err) && poison[0] == 0xff && poison[1] == 0xff,
       "blocks are poisoned");
    dev_gpu_fill8(gpu, a + at, 0, bytes, &err);
    bool seen = !dev_arena_check(arena, &err) && says(&err, message);
    dev_arena_free(arena);
    return seen;
}

static void guards_memory(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    ok(gpu->debug, "SPAK_GPU_DEBUG=1 is seen");
    ok(check_sees(gpu, 1500, 1, "outside of 'first' (1500 bytes), first 0 bytes after its end"), "one byte too many");
    ok(check_sees(gpu, 2048 + 1023, 1, "outside of 'first' (1500 bytes), first 1571 bytes after"),
       "one byte too early");
    ok(check_sees(gpu, 3072, 4, "outside of 'second' (0 bytes), first 0"), "a block of nothing");
    ok(check_sees(gpu, (dev_ptr)0 - 8, 8, "before its first block ('first'), from 8 bytes ahead"), "before the first");
    dev_arena *arena;
    dev_ptr last;
    ok(dev_arena_new(gpu, "the test", dev_arena_room(1024, 1), &arena, &err) &&
           dev_arena_take(arena, "last", 1024, &last, &err) && dev_gpu_fill8(gpu, last + 1024 + 1023, 0, 1, &err) &&
           !dev_arena_check(arena, &err),
       "at the end of the last zone: %s", err.message);
    dev_arena_free(arena);
}

/* --- launches --- */

static void launches(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    dev_arena *arena;
    fake_params params = {.value = 77, .count = 300};
    uint32_t words[301] = {0};
    dev_launch l = {.kernel = &fill, .grid = {3, 1, 1}, .block = {128, 1, 1}};
    if (!ok(dev_arena_new(gpu, "the test", dev_arena_room(4096, 1), &arena, &err) &&
                dev_arena_take(arena, "words", 4096, &params.at, &err) && dev_gpu_fill8(gpu, params.at, 0, 4096, &err),
            "memory %s", err.message))
        return;
    ok(dev_gpu_launch(gpu, &l, &params, &err) && dev_gpu_sync(gpu, &err) &&
           dev_gpu_download(gpu, words, params.at, sizeof words, &err) && words[0] == 77 && words[299] == 77 &&
           !words[300],
       "a kernel runs with its parameters %s", err.message);
    if (fake) ok(fake->num_attributes == 0 && fake->smem_set == 0, "without a cluster, and nothing to allow");
    l.smem_bytes = 60000;
    ok(dev_gpu_launch(gpu, &l, &params, &err) && dev_gpu_launch(gpu, &l, &params, &err),
       "60000 bytes of shared memory %s", err.message);
    if (fake)
        ok(fake->smem_set == 1 && fake->smem_asked == 1 && fake->smem_bytes == 60000, "are allowed once a kernel");
    l.smem_bytes = 50000;
    ok(dev_gpu_launch(gpu, &l, &params, &err), "fewer are fine %s", err.message);
    if (fake) is_int(fake->smem_set, 1, "and need no more allowance");
    l.smem_bytes = 300000;
    ok(!dev_gpu_launch(gpu, &l, &params, &err) && says(&err, "fill in test (grid 3 x 1 x 1") && says(&err, "300000"),
       "too much: %s", err.message);
    l.smem_bytes = 0;
    l.cluster[0] = 2, l.cluster[1] = l.cluster[2] = 1;
    ok(!dev_gpu_launch(gpu, &l, &params, &err) && says(&err, gpu->info.cc < 90 ? "9.0" : "divides the grid's"),
       "a cluster that does not fit: %s", err.message);
    l.grid[0] = 4;
    if (gpu->info.cc >= 90) ok(dev_gpu_launch(gpu, &l, &params, &err), "one that does %s", err.message);
    if (fake)
        ok(fake->num_attributes == 1 && !fake->overlap && fake->cluster[0] == 2 && fake->cluster[2] == 1,
           "is told to the driver");
    l.overlap = true;
    if (gpu->info.cc >= 90) ok(dev_gpu_launch(gpu, &l, &params, &err), "one that overlaps %s", err.message);
    if (fake)
        ok(fake->num_attributes == 2 && fake->cluster[0] == 2 && fake->overlap == 1, "is told beside the cluster");
    l.overlap = false;
    l.grid[0] = l.cluster[0] = 16;
    if (fake)
        ok(dev_gpu_launch(gpu, &l, &params, &err) && fake->cluster_set == 1, "sixteen need leave %s", err.message);
    l.cluster[0] = 0;
    l.block[0] = 1025;
    ok(!dev_gpu_launch(gpu, &l, &params, &err) && says(&err, "at most 1024 threads"), "too many threads");
    l.block[0] = 0;
    ok(!dev_gpu_launch(gpu, &l, &params, &err) && says(&err, "1 or more"), "no threads");
    l.block[0] = 32, l.grid[1] = 65536;
    ok(!dev_gpu_launch(gpu, &l, &params, &err) && says(&err, "65535"), "too many blocks");
    ok(dev_gpu_sync(gpu, &err), "nothing went wrong on the GPU %s", err.message);
    dev_arena_free(arena);
}

static void refuses_clusters(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    dev_launch l = {.kernel = &fill, .grid = {2, 1, 1}, .block = {32, 1, 1}, .cluster = {2, 1, 1}};
    ok(!dev_gpu_launch(gpu, &l, &(fake_params){0}, &err) && says(&err, "clusters need compute capability 9.0"),
       "no clusters before: %s", err.message);
    l.cluster[0] = 1, l.overlap = true;
    ok(!dev_gpu_launch(gpu, &l, &(fake_params){0}, &err) && says(&err, "overlap from compute capability 9.0 on"),
       "nor overlap: %s", err.message);
}

static void attributes_faults(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    fake_params params = {0};
    dev_launch good = {.kernel = &fill, .grid = {1, 1, 1}, .block = {32, 1, 1}}, bad = good;
    bad.kernel = &fault;
    for (int i = 0; i < 20; i++) dev_gpu_launch(gpu, &good, &params, &err);
    ok(dev_gpu_sync(gpu, &err), "twenty launches, waited for %s", err.message);
    for (int i = 0; i < 12; i++) dev_gpu_launch(gpu, &good, &params, &err);
    bool here = !dev_gpu_launch(gpu, &bad, &params, &err);
    if (gpu->debug) {
        ok(here && says(&err, "CUDA_ERROR_ILLEGAL_ADDRESS") && says(&err, "under way: fault in test. The GPU is lost"),
           "it is that launch and no other: %s", err.message);
        return;
    }
    ok(!here, "the launch itself goes through");
    ok(!dev_gpu_sync(gpu, &err) && says(&err, "waiting for the GPU: CUDA_ERROR_ILLEGAL_ADDRESS (") &&
           says(&err, "under way: fill in test (7 times), fault in test and 5 earlier launches") &&
           says(&err, "SPAK_GPU_DEBUG=1 finds the launch"),
       "the fault shows when waiting: %s", err.message);
    ok(!dev_gpu_sync(gpu, &err) && says(&err, "fault in test"), "and again later");
}

/* The fake driver's GPU never comes back. What is freed afterwards must not wait either. */
static void gives_up_waiting(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    dev_arena *arena = NULL;
    dev_launch launch = {.kernel = &fill, .grid = {1, 1, 1}, .block = {32, 1, 1}};
    ok(dev_arena_new(gpu, "test", 4096, &arena, &err), "an arena %s", err.message);
    setenv("SPAK_FAKE_CUDA_HANG", "1", 1);
    setenv("SPAK_GPU_TIMEOUT_S", "0.2", 1);
    bool through = dev_gpu_launch(gpu, &launch, &(fake_params){0}, &err) && dev_gpu_sync(gpu, &err);
    ok(!through && says(&err, "no answer for 0.2 s (SPAK_GPU_TIMEOUT_S=N waits N)") && says(&err, "fill in test"),
       "a kernel that hangs is named: %s", err.message);
    dev_arena_free(arena);
}

/* --- graphs --- */

typedef struct turns {
    dev_gpu *gpu;
    fake_params params;
    int fail_at, refused;
    dev_arena *arena;
} turns;

static bool one_turn(void *ctx, int turn, spak_error *err) {
    turns *t = ctx;
    dev_launch l = {.kernel = &fill, .grid = {1, 1, 1}, .block = {32, 1, 1}};
    fake_params params = t->params;
    params.at += 128 * (uint64_t)turn;
    params.value = (uint32_t)turn + 1;
    params.count = 32;
    if (turn == t->fail_at) return spak_fail(err, "turn %d does not want to", turn);
    return dev_gpu_launch(t->gpu, &l, &params, err);
}

/* Whatever cannot be recorded is refused by name, and the recording goes on. */
static bool all_refused(void *ctx, int turn, spak_error *err) {
    turns *t = ctx;
    char byte;
    dev_arena *arena;
    dev_graph *graph;
    t->refused = !dev_gpu_sync(t->gpu, err) + !dev_gpu_upload(t->gpu, t->params.at, &turn, 1, err) +
                 !dev_gpu_download(t->gpu, &byte, t->params.at, 1, err) + !dev_gpu_flush(t->gpu, err) +
                 !dev_arena_new(t->gpu, "x", 8, &arena, err) + !dev_graph_record(t->gpu, one_turn, t, 1, &graph, err) +
                 !dev_arena_check(t->arena, err);
    return dev_gpu_fill8(t->gpu, t->params.at, 9, 4, err) && one_turn(ctx, 1, err);
}

static void records_graphs(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    turns t = {.gpu = gpu, .fail_at = -1};
    dev_graph *graph = NULL;
    uint32_t words[128] = {0};
    double ms = -1;
    if (!ok(dev_arena_new(gpu, "the test", dev_arena_room(512, 1), &t.arena, &err) &&
                dev_arena_take(t.arena, "words", 512, &t.params.at, &err) &&
                dev_gpu_fill8(gpu, t.params.at, 0, 512, &err),
            "memory %s", err.message))
        return;
    ok(dev_graph_record(gpu, one_turn, &t, 4, &graph, &err), "four turns are recorded %s", err.message);
    ok(dev_gpu_download(gpu, words, t.params.at, 512, &err) && !words[0] && !words[127], "and have not run");
    if (fake) ok(fake->launches == 0 && fake->capture_mode == 2 && !fake->forbidden, "the driver agrees");
    ok(dev_graph_replay(graph, &err) && dev_gpu_download(gpu, words, t.params.at, 512, &err) && words[0] == 1 &&
           words[127] == 4,
       "replayed, they have %s", err.message);
    ok(dev_graph_time(graph, &ms, &err) && ms > 0 && ms < 1e4, "timed: %g ms %s", ms, err.message);
    if (fake) ok(fake->launches == 8 && fake->graph_launches == 2, "twice four launches");
    dev_graph_free(graph);
    dev_graph_free(NULL);
    ok(dev_graph_record(gpu, all_refused, &t, 1, &graph, &err), "a recording in which much is refused %s", err.message);
    is_int(t.refused, 7, "seven calls were");
    ok(dev_graph_replay(graph, &err) && dev_gpu_download(gpu, words, t.params.at, 512, &err) && words[0] == 0x09090909,
       "a fill is recorded %s", err.message);
    dev_graph_free(graph);
    if (fake) is_int(fake->forbidden, 0, "none of them reached the driver");
    t.fail_at = 2;
    ok(!dev_graph_record(gpu, one_turn, &t, 4, &graph, &err) && !graph && says(&err, "turn 2 does not want to") &&
           !gpu->under_way.count,
       "a turn that fails: %s", err.message);
    t.fail_at = -1;
    ok(dev_graph_record(gpu, one_turn, &t, 1, &graph, &err), "and the stream is whole again %s", err.message);
    dev_graph_free(graph);
    ok(!dev_graph_record(gpu, one_turn, &t, 0, &graph, &err), "no turns: %s", err.message);
    ok(dev_gpu_flush(gpu, &err) && dev_gpu_flush(gpu, &err) && dev_gpu_sync(gpu, &err), "the L2 cache is flushed %s",
       err.message);
    if (fake) ok(fake->resets == 2 && fake->set_bytes >= 4 * gpu->info.l2_bytes, "with twice its size, each time");
    if (fake) {
        fake_fail("cuCtxResetPersistingL2Cache:1:801");
        ok(dev_gpu_flush(gpu, &err), "where there are no persisting lines there are none to take back %s", err.message);
        fake_fail("");
    }
    dev_arena_free(t.arena);
    if (fake) ok(fake->live_graphs == 0 && fake->live_events == 0 && fake->live_blocks == 1, "only the flush stays");
}

static bool faulty_turn(void *ctx, int turn, spak_error *err) {
    turns *t = ctx;
    dev_launch l = {.kernel = turn ? &fault : &fill, .grid = {1, 1, 1}, .block = {32, 1, 1}};
    return dev_gpu_launch(t->gpu, &l, &t->params, err);
}

static void attributes_faults_of_graphs(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    turns t = {.gpu = gpu};
    dev_graph *graph = NULL;
    double ms;
    ok(dev_graph_record(gpu, faulty_turn, &t, 2, &graph, &err), "a recording with a faulty kernel %s", err.message);
    is_int(gpu->under_way.count, 0, "what is recorded is not under way");
    if (gpu->debug) ok(!dev_graph_replay(graph, &err) && says(&err, "fault in test"), "waited for: %s", err.message);
    ok(!dev_graph_time(graph, &ms, &err) && says(&err, "under way: fill in test, fault in test"), "replayed: %s",
       err.message);
    dev_graph_free(graph);
}

/* --- tensor maps --- */

static void encodes_tensors(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    dev_tensor_map map;
    dev_arena *arena;
    dev_ptr base;
    const dev_tensor_spec good = {DEV_BF16, 2, {100, 50}, {0, 256}, {64, 32}, 128};
    dev_tensor_spec bad;
    if (!ok(dev_arena_new(gpu, "the test", 1 << 20, &arena, &err) &&
                dev_arena_take(arena, "array", 50 * 256, &base, &err),
            "memory %s", err.message))
        return;
    if (gpu->info.cc < 90) {
        ok(!dev_tensor_encode(gpu, base, &good, &map, &err) && says(&err, "from compute capability 9.0 on"), "%s",
           err.message);
        dev_arena_free(arena);
        return;
    }
    ok((uintptr_t)&map % 128 == 0 && dev_tensor_encode(gpu, base, &good, &map, &err) && map.opaque[0] | map.opaque[1],
       "a map %s", err.message);
    if (fake)
        ok(fake->tensor_type == 9 && fake->tensor_rank == 2 && fake->tensor_swizzle == 3 && fake->tensor_stride0 == 256,
           "as asked for");
#define REFUSED(at, change, part) \
    bad = good;                   \
    change;                       \
    ok(!dev_tensor_encode(gpu, at, &bad, &map, &err) && says(&err, part), "%s", err.message)
    REFUSED(base + 8, , "multiples of 16 bytes");
    REFUSED(0, , "starts at 0x0");
    REFUSED(base, bad.dims = 0, "0 dimensions");
    REFUSED(base, bad.dims = 6, "6 dimensions; supported are 1 to 5");
    REFUSED(base, bad.element = DEV_ELEMENTS, "supported are bf16, f16 and f32");
    REFUSED(base, bad.size[1] = 0, "dimension 1 has 0 elements");
    REFUSED(base, bad.size[0] = ((uint64_t)1 << 32) + 1, "1 to 2^32");
    REFUSED(base, bad.stride[1] = 200, "the stride of dimension 1 is 200 bytes");
    REFUSED(base, bad.stride[1] = (uint64_t)1 << 40, "below 2^40");
    REFUSED(base, bad.box[1] = 257, "257 elements in dimension 1");
    REFUSED(base, bad.box[1] = 0, "0 elements in dimension 1");
    REFUSED(base, bad.box[0] = 60, "120 bytes (60 of bf16); supported are multiples of 16");
    REFUSED(base, bad.box[0] = 72, "with a swizzle of 128 bytes it has at most as many");
    REFUSED(base, bad.swizzle_bytes = 48, "a swizzle of 48 bytes");
    REFUSED(base, (bad.swizzle_bytes = 0, bad.box[0] = bad.box[1] = 256, bad.element = DEV_F32),
            "a box of 262144 bytes");
#undef REFUSED
    dev_arena_free(arena);
}

/* --- bandwidth --- */

static void measures_copies(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    double rate[5] = {0};
    size_t bytes = 0;
    ok(dev_gpu_copy_bandwidth(gpu, rate, 5, &bytes, &err), "copies are timed %s", err.message);
    for (int i = 0; i < 5; i++) ok(rate[i] > 0, "%g GB/s", rate[i]);
    if (fake) {
        is_int(bytes, 8 << 20, "an eighth of the memory");
        is_near(rate[0], 2 * (8 << 20) / 1e6, 1e-9, "one tick of the fake's clock, read and written");
        ok(!fake->live_blocks && !fake->live_events, "all is given back");
    }
}

/* --- failures, each in turn --- */

static bool everything(dev_gpu *gpu, spak_error *err) {
    turns t = {.gpu = gpu, .fail_at = -1};
    dev_graph *graph = NULL;
    double ms, rate[2];
    size_t bytes;
    uint32_t word = 0;
    char what[32];
    dev_launch l = {
        .kernel = &fill, .grid = {2, 1, 1}, .block = {1, 1, 1}, .cluster = {2, 1, 1}, .smem_bytes = 64 << 10};
    memset(gpu->smem, 0, sizeof gpu->smem);
    bool good = dev_arena_new(gpu, "the test", dev_arena_room(20 * 512, 20), &t.arena, err);
    for (int i = 0; good && i < 20; i++) {
        snprintf(what, sizeof what, "block %d", i);
        good = dev_arena_take(t.arena, what, 512, &t.params.at, err);
    }
    good = good && dev_gpu_upload(gpu, t.params.at, &word, 4, err) && dev_gpu_fill32(gpu, t.params.at, 1, 4, err) &&
           dev_gpu_launch(gpu, &l, &t.params, err) && dev_graph_record(gpu, one_turn, &t, 2, &graph, err) &&
           dev_graph_replay(graph, err) && dev_graph_time(graph, &ms, err) && dev_gpu_flush(gpu, err) &&
           dev_gpu_copy_bandwidth(gpu, rate, 2, &bytes, err) && dev_arena_check(t.arena, err);
    dev_graph_free(graph);
    dev_arena_free(t.arena);
    return good;
}

static void survives_failures(void) {
    dev_gpu *gpu = open_gpu();
    if (!gpu) return;
    spak_error err = {""};
    ok(everything(gpu, &err), "everything works %s", err.message);
    long n = 1, wrong = 0;
    for (;; n++) {
        char what[32];
        snprintf(what, sizeof what, "*:%ld", n);
        fake_fail(what);
        bool good = everything(gpu, &err);
        bool is_free = strstr(fake->failed_name, "Destroy") || strstr(fake->failed_name, "Free");
        if (!fake->failed) break;
        if (good != is_free || (!good && !says(&err, "CUDA_ERROR_UNKNOWN")) || fake->live_events || fake->live_graphs ||
            fake->live_blocks > 1 || gpu->recording) {
            printf("# call %ld, %s: %s\n", n, fake->failed_name, good ? "unnoticed" : err.message);
            wrong++;
        }
    }
    ok(n > 40 && !wrong, "each of %ld calls of the driver may fail: an error, nothing left behind", n - 1);
    fake_fail("");
    bool good = false;
    for (n = 0; !good && n < 200; n++) {
        spak_error none = {""};
        spak_alloc_fail_after(n);
        good = everything(gpu, &none);
        spak_alloc_fail_after(-1);
        if (!good && (!says(&none, "out of memory") || fake->live_blocks > 1 || fake->live_graphs || gpu->recording))
            wrong++;
    }
    ok(good && n > 20 && !wrong, "each of %ld allocations may fail", n - 1);
}

/* --- all of it --- */

static void cases(const char *driver) {
    setenv("SPAK_GPU_DEBUG", "0", 1);
    expected = "h200";
    if (driver) in_child(driver, is_described);
    in_child(driver, uses_memory);
    in_child(driver, launches);
    in_child(driver, attributes_faults);
    if (driver) in_child(driver, gives_up_waiting);
    in_child(driver, records_graphs);
    in_child(driver, attributes_faults_of_graphs);
    in_child(driver, encodes_tensors);
    in_child(driver, measures_copies);
    if (driver) {
        in_child(driver, survives_failures);
        with("SPAK_FAKE_CUDA_CC", "80", driver, "", encodes_tensors);
        with("SPAK_FAKE_CUDA_CC", "80", driver, "", refuses_clusters);
    }
    setenv("SPAK_GPU_DEBUG", "1", 1);
    in_child(driver, uses_memory);
    in_child(driver, guards_memory);
    in_child(driver, launches);
    in_child(driver, attributes_faults);
    if (driver) in_child(driver, gives_up_waiting);
    in_child(driver, records_graphs);
    in_child(driver, attributes_faults_of_graphs);
    if (driver) in_child(driver, survives_failures);
    unsetenv("SPAK_GPU_DEBUG");
}

static void on_the_gpu(void) {
    spak_error err = {""};
    int status = 0;
    fflush(stdout);
    pid_t pid = fork(); /* the driver is not to be started in the process that forks the cases */
    if (pid == 0) _exit(dev_gpu_get(NULL) ? 0 : 1);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        dev_gpu_get(&err);
        skip_test("on a GPU: %s", err.message);
        return;
    }
    cases(NULL);
}

int main(void) {
    spak_json_init();
    char folder[] = "/tmp/spak-gpu-XXXXXX", driver[64], old[64];
    if (!mkdtemp(folder)) return 1;
    snprintf(driver, sizeof driver, "%s/libcuda.so.1", folder);
    snprintf(old, sizeof old, "%s/libcuda-old.so.1", folder);
    test_library();
    unsetenv("SPAK_GPU_DEBUG");
    if (build_library("tests/device/fixtures/cuda/driver.c", "-DFAKE_DRIVER", driver) &&
        build_library("tests/device/fixtures/cuda/driver.c", "-DFAKE_OLD_DRIVER", old)) {
        test_opening(driver, old);
        cases(driver);
    }
    on_the_gpu();
    spak_remove_tree(folder);
    return done_testing();
}
