/* The GPU's peer: which matrix goes where. First with a cuBLAS and a driver that the test builds (fixtures), in the
 * host's memory; then on the GPU, where there is one, against the oracle in double precision, which has to see a fault.
 * Each in a process of its own, because a process opens a library once. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<cublas_v2.h>) && __has_include(<cublasLt.h>)
#define HEADERS 1
#include <cublasLt.h>
#include <cublas_v2.h>
#define DEV_BLAS_TYPES 1
typedef cublasStatus_t blas_status;
typedef cublasOperation_t blas_op;
typedef cudaDataType blas_type;
typedef cublasComputeType_t blas_compute;
typedef cublasGemmAlgo_t blas_algo;
typedef cublasLtMatmulDescAttributes_t blas_desc_attribute;
typedef cublasLtMatmulPreferenceAttributes_t blas_pref_attribute;
typedef cublasHandle_t blas_handle;
typedef cublasLtHandle_t blas_lt;
typedef cublasLtMatmulDesc_t blas_desc;
typedef cublasLtMatrixLayout_t blas_layout;
typedef cublasLtMatmulPreference_t blas_pref;
typedef cudaStream_t blas_stream;
typedef cublasLtMatmulAlgo_t blas_lt_algo;
typedef cublasLtMatmulHeuristicResult_t blas_lt_choice;
#endif
#include "device/gpu_blas_api.h"

#ifdef HEADERS
#define SAME(name, symbol, result, parameters)                                              \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), result(*) parameters), \
                   #symbol " is declared as in NVIDIA's header");
DEV_BLAS_FUNCTIONS(SAME)
_Static_assert((int)BLAS_OP_N == (int)CUBLAS_OP_N && (int)BLAS_OP_T == (int)CUBLAS_OP_T, "operations");
_Static_assert((int)BLAS_R_32F == (int)CUDA_R_32F && (int)BLAS_R_16F == (int)CUDA_R_16F &&
                   (int)BLAS_R_16BF == (int)CUDA_R_16BF,
               "types");
_Static_assert((int)BLAS_COMPUTE_32F == (int)CUBLAS_COMPUTE_32F &&
                   (int)BLAS_GEMM_DEFAULT_TENSOR_OP == (int)CUBLAS_GEMM_DEFAULT_TENSOR_OP,
               "computing");
_Static_assert((int)BLAS_DESC_TRANS_A == (int)CUBLASLT_MATMUL_DESC_TRANSA &&
                   (int)BLAS_DESC_TRANS_B == (int)CUBLASLT_MATMUL_DESC_TRANSB,
               "attributes of a product");
_Static_assert((int)BLAS_PREF_WORKSPACE == (int)CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES &&
                   (int)BLAS_PREF_ALIGN_A == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
                   (int)BLAS_PREF_ALIGN_A + 1 == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES &&
                   (int)BLAS_PREF_ALIGN_A + 2 == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES &&
                   (int)BLAS_PREF_ALIGN_A + 3 == (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
               "preferences");
/* As gpu_blas.c has it without the headers. */
typedef struct own_choice {
    struct {
        uint64_t data[8];
    } algo;
    size_t workspace_bytes;
    unsigned state;
    float waves;
    int reserved[4];
} own_choice;
_Static_assert(sizeof(own_choice) == sizeof(cublasLtMatmulHeuristicResult_t) &&
                   offsetof(own_choice, state) == offsetof(cublasLtMatmulHeuristicResult_t, state) &&
                   offsetof(own_choice, workspace_bytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize),
               "a choice");
#endif

#include "../tap.h"
#include "base/fs.h"
#include "base/json.h"
#include "device/gpu_blas.h"
#include "device/gpu_internal.h"
#include "fixtures/build.h"
#include "oracle/matmul_f64.h"

/* --- one case, in a process of its own: what fails is printed, and its number is the exit status --- */

static int faults;

static bool want(bool good, const char *what, const char *detail) {
    if (good) return true;
    printf("# %s: %s\n", what, detail);
    faults++;
    return false;
}

/* Small integers, so that every sum is exact. */
static void fill(uint16_t *to, size_t count, unsigned *random) {
    for (size_t i = 0; i < count; i++) {
        *random = *random * 1664525u + 1013904223u;
        float value = (float)(int)(*random >> 24 & 7) - 3;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        to[i] = (uint16_t)(bits >> 16);
    }
}

static float value_of(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* C as the header of gpu_blas.h has it, on the host; the leading dimension's rest is left alone. */
static bool as_defined(const dev_gpu_gemm *x, const uint16_t *a, const uint16_t *b, const float *old, const float *c) {
    for (int i = 0; i < x->m; i++)
        for (int j = 0; j < x->ldc; j++) {
            float sum = 0, was = old[i * x->ldc + j];
            for (int l = 0; l < x->k && j < x->n; l++)
                sum += value_of(a[x->trans_a ? l * x->lda + i : i * x->lda + l]) *
                       value_of(b[x->trans_b ? j * x->ldb + l : l * x->ldb + j]);
            if (c[i * x->ldc + j] != (j < x->n ? x->alpha * sum + x->beta * was : was)) return false;
        }
    return true;
}

enum { M = 5, N = 7, K = 11, ROOM = 512 };

static cu_event event_of[2];
static float event_at[2], *fake_clock;
static cu_result (*driver_record)(cu_event event, cu_stream stream);

static cu_result fake_record(cu_event event, cu_stream stream) {
    int i = event != event_of[0] && event_of[0];
    event_of[i] = event;
    event_at[i] = *fake_clock;
    return driver_record(event, stream);
}

static cu_result fake_elapsed(float *ms, cu_event from, cu_event to) {
    *ms = event_at[to == event_of[1]] - event_at[from == event_of[1]];
    return 0;
}

static void one_product(dev_gpu *gpu, int which) {
    static uint16_t a[ROOM] __attribute__((aligned(256))), b[ROOM] __attribute__((aligned(256)));
    static float c[ROOM] __attribute__((aligned(256))), old[ROOM];
    bool ta = which & 1, tb = which & 2, planned = which & 4, sums = which & 8;
    unsigned random = 7u + (unsigned)which;
    spak_error err = {""};
    char name[64];
    dev_gpu_gemm_plan *plan = NULL;
    dev_gpu_gemm x = {M,
                      N,
                      K,
                      ta,
                      tb,
                      DEV_BF16,
                      DEV_F32,
                      (dev_ptr)(uintptr_t)a,
                      (dev_ptr)(uintptr_t)(b + 8),
                      (dev_ptr)(uintptr_t)c,
                      (ta ? M : K) + 3,
                      (tb ? K : N) + 1,
                      N + 2,
                      sums ? 2 : 1,
                      sums ? -1 : 0};
    snprintf(name, sizeof name, "trans_a %d, trans_b %d, %s, beta %g", ta, tb, planned ? "Lt" : "Ex", (double)x.beta);
    fill(a, ROOM, &random);
    fill(b, ROOM, &random);
    event_of[0] = event_of[1] = NULL;
    if (planned && !want(dev_gpu_blas_plan(gpu, &x, 8, &plan, &err), name, err.message)) return;
    for (int i = 0; i < ROOM; i++) c[i] = old[i] = (float)(i % 5);
    float before = *fake_clock;
    bool ran = planned ? dev_gpu_blas_run(plan, x.a, x.b, x.c, &err) : dev_gpu_blas_gemm(gpu, &x, &err);
    if (want(ran, name, err.message)) want(as_defined(&x, a, b + 8, old, c), name, "C is not what it should be");
    if (planned) {
        want(*fake_clock == before + 1, name, "the fastest algorithm was not picked");
        want(!dev_gpu_blas_run(plan, x.a + 2, x.b, x.c, &err), name, "an address of less alignment is taken");
    }
    dev_gpu_blas_plan_free(plan);
}

static void with_fakes(const char *cublas) {
    spak_error err = {""};
    void *library = dev_library_open("SPAK_CUBLAS", &cublas, "the test", &err);
    dev_gpu *gpu = dev_gpu_get(&err);
    if (!want(gpu && library, "the fakes open", err.message)) return;
    fake_clock = NULL;
    dev_library_symbol(library, "fake_cublas_clock", &fake_clock);
    driver_record = gpu->driver.event_record;
    gpu->driver.event_record = fake_record;
    gpu->driver.event_elapsed = fake_elapsed;
    const char *peer = dev_gpu_blas_peer(gpu, &err);
    want(peer && !strcmp(peer, "cuBLAS 13.1.2"), "the peer's name", peer ? peer : err.message);
    for (int which = 0; which < 16; which++) one_product(gpu, which);
    dev_gpu_gemm x = {1, 1, 1, false, false, DEV_F16, DEV_F16, 256, 256, 256, 1, 1, 1, 1, 0};
    want(!dev_gpu_blas_gemm(gpu, &x, &err) && strstr(err.message, "cublasGemmEx: not supported"),
         "an error of the library's is told (it knows no f16)", err.message);
    x.ldc = 0;
    x.in = x.out = DEV_F32;
    want(!dev_gpu_blas_gemm(gpu, &x, &err) && strstr(err.message, "an invalid value"), "and another", err.message);
}

static void without_peer(const char *unused) {
    spak_error err = {""};
    (void)unused;
    setenv("SPAK_CUBLAS", "none", 1);
    dev_gpu *gpu = dev_gpu_get(&err);
    if (!want(gpu != NULL, "the fake driver opens", err.message)) return;
    want(!dev_gpu_blas_peer(gpu, &err) && strstr(err.message, "SPAK_CUBLAS"), "no peer, and why", err.message);
    want(!dev_gpu_blas_peer(gpu, &err) && *err.message, "the same the second time", err.message);
}

/* --- on the GPU: cuBLAS against the oracle, and the oracle against a fault --- */

enum { GM = 300, GN = 264, GK = 520, GBYTES = 1 << 20 };

static void one_on_the_gpu(dev_gpu *gpu, dev_arena *arena, uint16_t *host, int which) {
    bool ta = which & 1, tb = which & 2, planned = which & 4;
    unsigned random = 99u + (unsigned)which;
    spak_error err = {""};
    char name[64];
    dev_gpu_gemm_plan *plan = NULL;
    dev_gpu_gemm x = {.m = GM,
                      .n = GN,
                      .k = GK,
                      .trans_a = ta,
                      .trans_b = tb,
                      .in = DEV_BF16,
                      .out = DEV_BF16,
                      .lda = ta ? GM : GK,
                      .ldb = tb ? GK : GN,
                      .ldc = GN,
                      .alpha = 1};
    snprintf(name, sizeof name, "trans_a %d, trans_b %d, %s", ta, tb, planned ? "Lt" : "Ex");
    dev_arena_reset(arena);
    bool good = dev_arena_take(arena, "A", GBYTES, &x.a, &err) && dev_arena_take(arena, "B", GBYTES, &x.b, &err) &&
                dev_arena_take(arena, "C", GBYTES, &x.c, &err);
    fill(host, GBYTES / 2, &random);
    good = good && dev_gpu_upload(gpu, x.a, host, GBYTES, &err);
    fill(host, GBYTES / 2, &random);
    good = good && dev_gpu_upload(gpu, x.b, host, GBYTES, &err);
    if (good && planned) good = dev_gpu_blas_plan(gpu, &x, 8, &plan, &err);
    good = good && dev_gpu_fill8(gpu, x.c, 0xff, GBYTES, &err);
    good = good && (planned ? dev_gpu_blas_run(plan, x.a, x.b, x.c, &err) : dev_gpu_blas_gemm(gpu, &x, &err));
    oracle_product p = {.m = GM,
                        .n = GN,
                        .k = GK,
                        .trans_a = ta,
                        .trans_b = tb,
                        .in = x.in,
                        .out = x.out,
                        .a = x.a,
                        .b = x.b,
                        .c = x.c,
                        .lda = x.lda,
                        .ldb = x.ldb,
                        .ldc = x.ldc,
                        .alpha = 1,
                        .integers = 4,
                        .seed = random};
    oracle_verdict v;
    if (want(good && oracle_check(gpu, &p, &v, &err), name, err.message)) want(v.good, name, v.text);
    /* one element of a row in the middle, and a number that is none */
    uint16_t wrong = 0x4700, none = 0x7fc0;
    p.num_rows = 1;
    good = good && dev_gpu_upload(gpu, x.c + 2 * (150 * GN + 77), &wrong, 2, &err) && oracle_check(gpu, &p, &v, &err);
    want(good && v.freivalds > 1, "a wrong element is seen in a row that is not recomputed", err.message);
    p.num_rows = GM;
    good = good && oracle_check(gpu, &p, &v, &err);
    want(good && v.worst > 1 && v.row == 150 && v.col == 77, "and found where all are", v.text);
    good = good && dev_gpu_upload(gpu, x.c, &none, 2, &err) && oracle_check(gpu, &p, &v, &err);
    want(good && v.not_finite == 1 && !v.good, "a NaN is counted", v.text);
    dev_gpu_blas_plan_free(plan);
}

static void on_the_gpu(const char *unused) {
    spak_error err = {""};
    dev_arena *arena = NULL;
    dev_gpu *gpu = dev_gpu_get(&err);
    uint16_t *host = malloc(GBYTES);
    (void)unused;
    if (want(gpu && host && dev_arena_new(gpu, "test", dev_arena_room(3 * GBYTES, 3), &arena, &err), "a GPU",
             err.message))
        for (int which = 0; which < 8; which++) one_on_the_gpu(gpu, arena, host, which);
    dev_arena_free(arena);
    free(host);
}

/* --- together --- */

static int in_child(void (*run)(const char *), const char *argument) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run(argument);
        fflush(stdout);
        _exit(faults < 100 ? faults : 100);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void has_gpu(const char *unused) {
    (void)unused;
    spak_error err = {""};
    dev_gpu *gpu = dev_gpu_get(&err);
    faults = gpu && dev_gpu_blas_peer(gpu, &err) ? 0 : 1;
    if (faults) printf("# %s\n", err.message);
}

int main(void) {
    char folder[] = "/tmp/spak-blas-XXXXXX", driver[64], cublas[64];
    spak_json_init();
    if (!mkdtemp(folder)) return 1;
    snprintf(driver, sizeof driver, "%s/libcuda.so.1", folder);
    snprintf(cublas, sizeof cublas, "%s/libcublas.so.13", folder);
#ifdef HEADERS
    ok(true, "declarations are those of NVIDIA's headers (the compiler has compared them)");
#else
    skip_test("comparing declarations: NVIDIA's headers are not here");
#endif
    if (in_child(has_gpu, NULL) == 0)
        is_int(in_child(on_the_gpu, NULL), 0, "cuBLAS on the GPU, against the oracle");
    else
        skip_test("cuBLAS and the oracle on a GPU: there is no GPU, or no cuBLAS");
    if (build_library("tests/device/fixtures/cuda/driver.c", "-DFAKE_DRIVER", driver) &&
        build_library("tests/device/fixtures/cublas/cublas.c", "-DFAKE_DRIVER", cublas)) {
        setenv("SPAK_LIBCUDA", driver, 1);
        is_int(in_child(without_peer, NULL), 0, "without cuBLAS the reason is told");
        setenv("SPAK_CUBLAS", cublas, 1);
        is_int(in_child(with_fakes, cublas), 0, "all four transpositions, both ways, with and without beta");
    }
    spak_remove_tree(folder);
    return done_testing();
}
