/* cuBLAS and cuBLASLt through dlopen.
 *
 * Their matrices are stored by columns. A row-major matrix read by columns is its transpose, and the transpose of the
 * product is the product of the transposes in the other order:
 *
 *   C^T (n, m) = op(B)^T op(A)^T
 *
 * So B comes first, n and m change places, and nothing else does: B stored (k, n) is, by columns, the (n, k) matrix
 * that is wanted (N), and stored (n, k) it has to be transposed (T); the same for A.
 *
 * cublasGemmEx is called as torch.mm calls it: 32-bit sums, the default algorithm, a workspace of 32 MiB. The workspace
 * is ours, since a graph must not record an allocation, and set after the stream, since that takes it back. */
#include "device/gpu_blas.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/gpu_blas_api.h"
#include "device/gpu_internal.h"

enum { WORKSPACE_BYTES = 32 << 20, MOST_CHOICES = 64, TIMED_RUNS = 5 };

static struct {
    bool tried, good;
    char name[64];
    spak_error why;
    dev_arena *arena;
    dev_ptr workspace;
    blas_handle handle;
    blas_lt lt;
#define DEV_BLAS_MEMBER(name, symbol, result, parameters) result(*name) parameters;
    DEV_BLAS_FUNCTIONS(DEV_BLAS_MEMBER)
#undef DEV_BLAS_MEMBER
} blas;

static bool check(blas_status status, const char *what, spak_error *err) {
    return status == 0 || spak_fail(err, "%s: %s", what, blas.text(status));
}

static void *pointer(dev_ptr at) { return (void *)(uintptr_t)at; }

/* cublasLt's functions are found through cublas, which is linked with it. */
static bool bind(void *library, spak_error *err) {
#define DEV_BLAS_LOAD(name, symbol, result, parameters)    \
    if (!dev_library_symbol(library, #symbol, &blas.name)) \
        return spak_fail(err, "cuBLAS has no %s: release 12 or later is needed", #symbol);
    DEV_BLAS_FUNCTIONS(DEV_BLAS_LOAD)
#undef DEV_BLAS_LOAD
    return true;
}

static bool start(dev_gpu *gpu, spak_error *err) {
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL};
    int version = 0;
    void *library =
        dev_library_open("SPAK_CUBLAS", names, "the peer of matrix products (our own kernels run without it)", err);
    if (!library || !bind(library, err)) return false;
    if (!dev_arena_new(gpu, "cuBLAS", dev_arena_room(WORKSPACE_BYTES, 1), &blas.arena, err) ||
        !dev_arena_take(blas.arena, "workspace", WORKSPACE_BYTES, &blas.workspace, err) ||
        !check(blas.create(&blas.handle), "cublasCreate", err) ||
        !check(blas.version(blas.handle, &version), "cublasGetVersion", err) ||
        !check(blas.set_stream(blas.handle, dev_gpu_stream(gpu)), "cublasSetStream", err) ||
        !check(blas.set_workspace(blas.handle, pointer(blas.workspace), WORKSPACE_BYTES), "cublasSetWorkspace", err) ||
        !check(blas.lt_create(&blas.lt), "cublasLtCreate", err))
        return false;
    snprintf(blas.name, sizeof blas.name, "cuBLAS %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    return true;
}

const char *dev_gpu_blas_peer(dev_gpu *gpu, spak_error *err) {
    if (!blas.tried) blas.good = start(gpu, &blas.why);
    blas.tried = true;
    if (blas.good) return blas.name;
    if (err) *err = blas.why;
    return NULL;
}

static blas_type type_of(dev_element element) {
    return element == DEV_BF16 ? BLAS_R_16BF : element == DEV_F16 ? BLAS_R_16F : BLAS_R_32F;
}

static blas_op op_of(bool transposed) { return transposed ? BLAS_OP_T : BLAS_OP_N; }

bool dev_gpu_blas_gemm(dev_gpu *gpu, const dev_gpu_gemm *x, spak_error *err) {
    if (!dev_gpu_blas_peer(gpu, err)) return false;
    blas_type in = type_of(x->in);
    return check(blas.gemm(blas.handle, op_of(x->trans_b), op_of(x->trans_a), x->n, x->m, x->k, &x->alpha,
                           pointer(x->b), in, x->ldb, pointer(x->a), in, x->lda, &x->beta, pointer(x->c),
                           type_of(x->out), x->ldc, BLAS_COMPUTE_32F, BLAS_GEMM_DEFAULT_TENSOR_OP),
                 "cublasGemmEx", err);
}

/* --- cuBLASLt, the fastest of what it offers --- */

struct dev_gpu_gemm_plan {
    dev_gpu *gpu;
    dev_gpu_gemm x;
    blas_desc desc;
    blas_layout a, b, c; /* as stored, by columns */
    blas_lt_choice choice;
};

/* The largest power of two up to 256 that divides the address. */
static uint32_t alignment(dev_ptr at) {
    uint32_t power = 256;
    while (at % power) power /= 2;
    return power;
}

/* A row-major matrix (rows, cols) is by columns a (cols, rows) one. */
static bool layout(blas_layout *to, dev_element type, int rows, int cols, int ld, spak_error *err) {
    return check(blas.layout_create(to, type_of(type), (uint64_t)cols, (uint64_t)rows, ld),
                 "cublasLtMatrixLayoutCreate", err);
}

static bool describe(dev_gpu_gemm_plan *p, spak_error *err) {
    const dev_gpu_gemm *x = &p->x;
    int32_t first = (int32_t)op_of(x->trans_b), second = (int32_t)op_of(x->trans_a);
    return check(blas.desc_create(&p->desc, BLAS_COMPUTE_32F, BLAS_R_32F), "cublasLtMatmulDescCreate", err) &&
           check(blas.desc_set(p->desc, BLAS_DESC_TRANS_A, &first, sizeof first), "cublasLt: transposing", err) &&
           check(blas.desc_set(p->desc, BLAS_DESC_TRANS_B, &second, sizeof second), "cublasLt: transposing", err) &&
           layout(&p->a, x->in, x->trans_a ? x->k : x->m, x->trans_a ? x->m : x->k, x->lda, err) &&
           layout(&p->b, x->in, x->trans_b ? x->n : x->k, x->trans_b ? x->k : x->n, x->ldb, err) &&
           layout(&p->c, x->out, x->m, x->n, x->ldc, err);
}

static bool offers(const dev_gpu_gemm_plan *p, int most, blas_lt_choice *choices, int *count, spak_error *err) {
    const dev_ptr order[] = {p->x.b, p->x.a, p->x.c, p->x.c};
    blas_pref pref = NULL;
    uint64_t bytes = WORKSPACE_BYTES;
    if (!check(blas.pref_create(&pref), "cublasLtMatmulPreferenceCreate", err)) return false;
    bool good = check(blas.pref_set(pref, BLAS_PREF_WORKSPACE, &bytes, sizeof bytes), "cublasLt: workspace", err);
    for (unsigned i = 0; i < 4 && good; i++) {
        uint32_t align = alignment(order[i]);
        good = check(blas.pref_set(pref, BLAS_PREF_ALIGN_A + i, &align, sizeof align), "cublasLt: alignment", err);
    }
    good = good && check(blas.heuristic(blas.lt, p->desc, p->b, p->a, p->c, p->c, pref, most, choices, count),
                         "cublasLtMatmulAlgoGetHeuristic", err);
    blas.pref_destroy(pref);
    return good && (*count > 0 || spak_fail(err, "cublasLt offers no algorithm for this product"));
}

static blas_status enqueue(const dev_gpu_gemm_plan *p, const blas_lt_choice *choice, dev_ptr a, dev_ptr b, dev_ptr c) {
    return blas.matmul(blas.lt, p->desc, &p->x.alpha, pointer(b), p->b, pointer(a), p->a, &p->x.beta, pointer(c), p->c,
                       pointer(c), p->c, &choice->algo, pointer(blas.workspace), WORKSPACE_BYTES,
                       dev_gpu_stream(p->gpu));
}

/* The time of some runs after a first one; *ms is negative when the algorithm cannot do it after all. */
static bool time_choice(const dev_gpu_gemm_plan *p, const blas_lt_choice *choice, const cu_event event[2], float *ms,
                        spak_error *err) {
    const dev_driver *driver = &p->gpu->driver;
    const dev_gpu_gemm *x = &p->x;
    const char *what = "timing cublasLt";
    *ms = -1;
    if (choice->state != 0 || enqueue(p, choice, x->a, x->b, x->c) != 0) return true;
    if (!dev_gpu_check(p->gpu, driver->event_record(event[0], p->gpu->stream), what, err)) return false;
    for (int i = 0; i < TIMED_RUNS; i++)
        if (!check(enqueue(p, choice, x->a, x->b, x->c), "cublasLtMatmul", err)) return false;
    return dev_gpu_check(p->gpu, driver->event_record(event[1], p->gpu->stream), what, err) &&
           dev_gpu_check(p->gpu, driver->event_sync(event[1]), what, err) &&
           dev_gpu_check(p->gpu, driver->event_elapsed(ms, event[0], event[1]), what, err);
}

static bool pick(dev_gpu_gemm_plan *p, const blas_lt_choice *choices, int count, spak_error *err) {
    const dev_driver *driver = &p->gpu->driver;
    cu_event event[2] = {NULL, NULL};
    float least = -1, ms;
    bool good = dev_gpu_check(p->gpu, driver->event_new(&event[0], 0), "making an event", err) &&
                dev_gpu_check(p->gpu, driver->event_new(&event[1], 0), "making an event", err);
    for (int i = 0; i < count && good; i++) {
        good = time_choice(p, &choices[i], event, &ms, err);
        if (!good || ms < 0 || (least >= 0 && ms >= least)) continue;
        least = ms;
        p->choice = choices[i];
    }
    for (int i = 0; i < 2; i++)
        if (event[i]) driver->event_free(event[i]);
    return good && (least >= 0 || spak_fail(err, "none of the %d algorithms that cublasLt offers runs", count));
}

bool dev_gpu_blas_plan(dev_gpu *gpu, const dev_gpu_gemm *x, int most, dev_gpu_gemm_plan **plan, spak_error *err) {
    blas_lt_choice choices[MOST_CHOICES] = {0};
    int count = 0;
    *plan = NULL;
    if (!dev_gpu_blas_peer(gpu, err) || !dev_gpu_not_recording(gpu, "timing cublasLt", err)) return false;
    dev_gpu_gemm_plan *p = spak_calloc(1, sizeof *p);
    if (!p) return spak_fail_oom(err);
    p->gpu = gpu;
    p->x = *x;
    most = most < 1 ? 1 : most > MOST_CHOICES ? MOST_CHOICES : most;
    if (!describe(p, err) || !offers(p, most, choices, &count, err) || !pick(p, choices, count, err)) {
        dev_gpu_blas_plan_free(p);
        return false;
    }
    *plan = p;
    return true;
}

bool dev_gpu_blas_run(dev_gpu_gemm_plan *plan, dev_ptr a, dev_ptr b, dev_ptr c, spak_error *err) {
    const dev_gpu_gemm *x = &plan->x;
    if (alignment(a) < alignment(x->a) || alignment(b) < alignment(x->b) || alignment(c) < alignment(x->c))
        return spak_fail(err, "cublasLt: an address is less aligned than the one that the plan was made with");
    return check(enqueue(plan, &plan->choice, a, b, c), "cublasLtMatmul", err);
}

void dev_gpu_blas_plan_free(dev_gpu_gemm_plan *plan) {
    if (!plan) return;
    if (plan->desc) blas.desc_destroy(plan->desc);
    if (plan->a) blas.layout_destroy(plan->a);
    if (plan->b) blas.layout_destroy(plan->b);
    if (plan->c) blas.layout_destroy(plan->c);
    spak_free(plan);
}
