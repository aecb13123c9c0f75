/* As if there were a GPU: device/gpu.h's functions once more, over the host's memory, so that the trial and the host's
 * side of the oracles run as they are. The oracles' kernels run on the emulator, from their own source; the kernels
 * under trial are plain loops here, right or wrong as the test asks. A test that includes this takes the place of what
 * the library has under these names. */
#ifndef SPAK_TESTS_FMHA_GPU_PRETEND_H
#define SPAK_TESTS_FMHA_GPU_PRETEND_H

#define SPAK_EMULATE
#define TYPE_F16 0
#include "base/alloc.h"
#include "base/rng.h"
#include "device/gpu_blas.h"
#include "emulate/emulate.h"
#include "fmha/gpu/fmha_gpu.h"
/* Both oracles in one program: what has one name in both gets two. */
#define THREADS f64_threads
#define pair    f64_pair
#define pair_of f64_pair_of
#define column  f64_column
#include "oracle/fmha_f64.cu"
#undef THREADS
#undef pair
#undef pair_of
#undef column
#include "oracle/fmha_all.cu"

typedef enum plant {
    RIGHT,
    DROPS_A_KEY,     /* the last that a query sees */
    FORGETS_MASK,    /* causal or window */
    LEAVES_A_ROW,    /* the last query's is not written */
    WRONG_LSE,       /* by a hundredth */
    OTHER_BITS,      /* each launch other ones, all within the bound */
    WRONG_LATER,     /* from the launch `pretend.later` on an element is 0 */
    DK_WITHOUT_SCALE /* backward */
} plant;

static struct pretend {
    plant plant;
    long launches, later;
    double launch_ms;
    const char *o_file; /* what a right O is copied to, for the peer */
    dev_arena *arenas;
    struct dev_graph *recording;
    size_t bytes; /* of all arenas that stand */
} pretend = {.launch_ms = 1};

struct dev_gpu {
    int unused;
};
struct dev_arena {
    unsigned char *memory, *base;
    size_t bytes, taken;
    dev_arena *next;
};
struct dev_kernel {
    const char *entry;
    void (*emulated)(const void *params);
    void (*plain)(const void *params);
};

/* --- memory --- */

dev_gpu *dev_gpu_get(spak_error *err) {
    static dev_gpu gpu;
    (void)err;
    return &gpu;
}
const dev_gpu_info *dev_gpu_about(const dev_gpu *gpu) {
    static const dev_gpu_info info = {.name = "pretended", .id = "h200", .cc = 90, .sms = 132};
    (void)gpu;
    return &info;
}
bool dev_gpu_describe(json_t **hw, spak_error *err) {
    (void)err;
    *hw = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "kind", "gpu", "id", "h200", "name",
                    "NVIDIA H200", "cc", 90, "sms", 132, "l2_bytes", 2048, "smem_per_block_bytes", 232448,
                    "smem_per_sm_bytes", 233472, "registers_per_sm", 65536, "threads_per_sm", 2048, "clock_mhz", 1980);
    return *hw != NULL;
}
bool dev_gpu_state(dev_gpu *gpu, json_t **state, spak_error *err) {
    (void)gpu, (void)err;
    *state = json_pack("{s:i}", "sm_mhz", 1980);
    return *state != NULL;
}
size_t dev_arena_room(size_t bytes, size_t count) { return bytes + 1024 * count; }
bool dev_arena_new(dev_gpu *gpu, const char *purpose, size_t bytes, dev_arena **arena, spak_error *err) {
    (void)gpu, (void)purpose;
    dev_arena *a = *arena = spak_calloc(1, sizeof *a);
    if (!a || !(a->memory = spak_malloc(bytes + 2048))) return spak_fail_oom(err);
    memset(a->memory, 0xA5, bytes + 2048);
    a->base = a->memory + (1024 - (uintptr_t)a->memory % 1024);
    a->bytes = bytes;
    a->next = pretend.arenas;
    pretend.arenas = a;
    pretend.bytes += bytes;
    return true;
}
void dev_arena_free(dev_arena *arena) {
    if (!arena) return;
    dev_arena **at = &pretend.arenas;
    while (*at != arena) at = &(*at)->next;
    *at = arena->next;
    pretend.bytes -= arena->bytes;
    spak_free(arena->memory);
    spak_free(arena);
}
bool dev_arena_take(dev_arena *a, const char *what, size_t bytes, dev_ptr *block, spak_error *err) {
    const size_t whole = (bytes + 1023) / 1024 * 1024;
    if (a->taken + whole > a->bytes) return spak_fail(err, "no room for %s", what);
    *block = (uintptr_t)(a->base + a->taken);
    a->taken += whole;
    return true;
}
bool dev_arena_check(dev_arena *arena, spak_error *err) { return (void)arena, (void)err, true; }

static bool in_memory(dev_ptr at, size_t bytes) {
    for (const dev_arena *a = pretend.arenas; a; a = a->next)
        if (at >= (uintptr_t)a->base && at + bytes <= (uintptr_t)a->base + a->taken) return true;
    return false;
}
bool dev_gpu_upload(dev_gpu *gpu, dev_ptr to, const void *from, size_t bytes, spak_error *err) {
    (void)gpu;
    if (!in_memory(to, bytes)) return spak_fail(err, "an upload outside of memory");
    memcpy((void *)(uintptr_t)to, from, bytes);
    return true;
}
bool dev_gpu_download(dev_gpu *gpu, void *to, dev_ptr from, size_t bytes, spak_error *err) {
    (void)gpu;
    if (!in_memory(from, bytes)) return spak_fail(err, "a download outside of memory");
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return true;
}

/* --- launches, recorded or run --- */

enum { OPS = 4096 };
typedef struct op {
    const dev_kernel *kernel; /* NULL: a fill */
    dev_launch launch;
    unsigned char params[2560];
    dev_ptr to;
    size_t bytes;
    uint8_t value;
} op;
struct dev_graph {
    op *ops;
    int count, turns;
};

static bool run_op(const op *o, spak_error *err) {
    if (!o->kernel) return memset((void *)(uintptr_t)o->to, o->value, o->bytes), true;
    _Alignas(128) unsigned char given[sizeof o->params]; /* as tensor maps want it */
    memcpy(given, o->params, sizeof given);
    if (o->kernel->plain) return o->kernel->plain(given), true;
    emulate_array list[16];
    size_t count = 0;
    for (const dev_arena *a = pretend.arenas; a && count < 16; a = a->next)
        list[count++] = (emulate_array){
            .name = "memory", .at = a->base, .rows = 1, .row_bytes = a->taken, .pitch = a->taken, .writable = true};
    emulate_launch launch = {.kernel = o->kernel->emulated,
                             .params = given,
                             .grid = {o->launch.grid[0], o->launch.grid[1], o->launch.grid[2]},
                             .block = {o->launch.block[0], 1, 1},
                             .arrays = list,
                             .num_arrays = count};
    return emulate_run(&launch, NULL, err);
}
static bool enqueue(const op *o, spak_error *err) {
    if (!pretend.recording) return run_op(o, err);
    if (pretend.recording->count == OPS) return spak_fail(err, "too much to record");
    pretend.recording->ops[pretend.recording->count++] = *o;
    return true;
}
bool dev_gpu_fill8(dev_gpu *gpu, dev_ptr to, uint8_t value, size_t bytes, spak_error *err) {
    (void)gpu;
    if (!in_memory(to, bytes)) return spak_fail(err, "a fill outside of memory");
    op o = {.to = to, .value = value, .bytes = bytes};
    return enqueue(&o, err);
}
bool dev_gpu_fill32(dev_gpu *gpu, dev_ptr to, uint32_t value, size_t count, spak_error *err) {
    if (value) return spak_fail(err, "only zeros are pretended");
    return dev_gpu_fill8(gpu, to, 0, 4 * count, err);
}
bool dev_gpu_sync(dev_gpu *gpu, spak_error *err) { return (void)gpu, (void)err, true; }
bool dev_gpu_copy_bandwidth(dev_gpu *gpu, double *gb_per_s, size_t samples, size_t *bytes, spak_error *err) {
    return (void)gpu, (void)gb_per_s, (void)samples, (void)bytes, spak_fail(err, "a pretended GPU copies nothing");
}
bool dev_gpu_flush(dev_gpu *gpu, spak_error *err) { return (void)gpu, (void)err, true; }
bool dev_tensor_encode(dev_gpu *gpu, dev_ptr base, const dev_tensor_spec *spec, dev_tensor_map *map, spak_error *err) {
    return (void)gpu, (void)base, (void)spec, (void)map, (void)err, true;
}
size_t dev_element_bytes(dev_element e) { return e == DEV_F32 ? 4 : 2; }
bool dev_graph_record(dev_gpu *gpu, bool (*body)(void *ctx, int turn, spak_error *err), void *ctx, int turns,
                      dev_graph **graph, spak_error *err) {
    (void)gpu;
    dev_graph *g = *graph = spak_calloc(1, sizeof *g);
    if (!g || !(g->ops = spak_malloc(OPS * sizeof *g->ops))) return spak_fail_oom(err);
    g->turns = turns;
    pretend.recording = g;
    bool good = true;
    for (int i = 0; good && i < turns; i++) good = body(ctx, i, err);
    pretend.recording = NULL;
    return good;
}
void dev_graph_free(dev_graph *g) {
    if (g) spak_free(g->ops);
    spak_free(g);
}
bool dev_graph_replay(dev_graph *g, spak_error *err) {
    for (int i = 0; i < g->count; i++)
        if (!run_op(&g->ops[i], err)) return false;
    return true;
}
bool dev_graph_time(dev_graph *g, double *ms, spak_error *err) {
    *ms = pretend.launch_ms * g->turns;
    return dev_graph_replay(g, err);
}

/* --- kernels under trial: plain loops over doubles --- */

typedef const fmha_gpu_params params;

static const element *rows_at(dev_ptr base, fmha_layout by, dev_ptr cu, int b, int h) {
    const int *begin = (const int *)(uintptr_t)cu;
    return (const element *)(uintptr_t)base + (cu ? begin[b] * by.row : b * by.batch) + h * by.head;
}
static int len_of(dev_ptr cu, int b, int all) {
    const int *begin = (const int *)(uintptr_t)cu;
    return cu ? begin[b + 1] - begin[b] : all;
}
static double product(const element *a, const element *b, int dim) {
    double sum = 0;
    for (int d = 0; d < dim; d++) sum += (double)element_to_float(a[d]) * (double)element_to_float(b[d]);
    return sum;
}

/* The plan's macros, which a real kernel is compiled with. */
static struct { int dim, causal, window, varlen; } compiled;

static float *lse_place(params *p, int b, int h, int t) {
    const int *cu = (const int *)(uintptr_t)p->cu_q;
    return (float *)(uintptr_t)p->lse +
           (compiled.varlen ? h * p->total_q + cu[b] + t : (b * p->heads + h) * p->q_len + t);
}

static bool seen(params *p, int ahead, int t, int j) {
    if (pretend.plant == FORGETS_MASK) return true;
    return (!compiled.causal || j <= t + ahead) && (!compiled.window || j >= t + ahead - p->window);
}

static void forward_row(params *p, int b, int h, int t, int queries, int keys) {
    const int kv = h / (p->heads / p->kv_heads), ahead = keys - queries, dim = compiled.dim;
    const element *q = rows_at(p->q, p->q_at, p->cu_q, b, h) + t * p->q_at.row,
                  *k = rows_at(p->k, p->k_at, p->cu_k, b, kv), *v = rows_at(p->v, p->v_at, p->cu_k, b, kv);
    element *o = (element *)rows_at(p->o, p->o_at, p->cu_q, b, h) + t * p->o_at.row;
    double *s = spak_malloc((size_t)(keys + 1) * sizeof *s), most = -INFINITY, sum = 0, out[256] = {0};
    int last = -1;
    for (int j = 0; j < keys; j++)
        if (seen(p, ahead, t, j)) last = j;
    for (int j = 0; j < keys; j++) {
        const bool drops = pretend.plant == DROPS_A_KEY && j == last && t > 0;
        s[j] = seen(p, ahead, t, j) && !drops ? (double)p->scale * product(q, k + j * p->k_at.row, dim) : -INFINITY;
        most = fmax(most, s[j]);
    }
    for (int j = 0; j < keys; j++) {
        const double w = most == -INFINITY ? 0 : exp(s[j] - most);
        sum += w;
        for (int d = 0; d < dim; d++) out[d] += w * (double)element_to_float(v[j * p->v_at.row + d]);
    }
    spak_free(s);
    *lse_place(p, b, h, t) =
        sum > 0 ? (float)(most + log(sum) + (pretend.plant == WRONG_LSE && t == 3 ? 0.01 : 0)) : -INFINITY;
    for (int d = 0; d < dim; d++) o[d] = element_from_float(sum > 0 ? (float)(out[d] / sum) : 0);
    if (pretend.plant == OTHER_BITS && t == 1) o[0] = (element)(o[0] ^ (pretend.launches & 1));
    if (pretend.plant == WRONG_LATER && pretend.launches >= pretend.later && t == 2) o[5] = 0;
}

static void plain_forward(const void *x) {
    params *p = x;
    pretend.launches++;
    for (int b = 0; b < p->batch; b++) {
        const int queries = len_of(p->cu_q, b, p->q_len), keys = len_of(p->cu_k, b, p->kv_len);
        for (int h = 0; h < p->heads; h++)
            for (int t = 0; t < queries - (pretend.plant == LEAVES_A_ROW); t++) forward_row(p, b, h, t, queries, keys);
    }
    if (pretend.o_file && !compiled.varlen) {
        FILE *file = fopen(pretend.o_file, "wb");
        fwrite((const void *)(uintptr_t)p->o, 2, (size_t)(p->batch * p->heads * p->q_len * compiled.dim), file);
        fclose(file);
    }
}

/* dK and dV of all the group's heads, dQ of one: doubles, rounded at the end. */
static void backward_head(params *p, int b, int h, int queries, int keys, double *dk, double *dv) {
    const int kv = h / (p->heads / p->kv_heads), dim = compiled.dim;
    const element *q = rows_at(p->q, p->q_at, p->cu_q, b, h), *k = rows_at(p->k, p->k_at, p->cu_k, b, kv),
                  *v = rows_at(p->v, p->v_at, p->cu_k, b, kv), *o = rows_at(p->o, p->o_at, p->cu_q, b, h),
                  *d_o = rows_at(p->d_o, p->do_at, p->cu_q, b, h);
    element *dq = (element *)rows_at(p->dq, p->dq_at, p->cu_q, b, h);
    for (int t = 0; t < queries; t++) {
        double sum[256] = {0}, dot = product(d_o + t * p->do_at.row, o + t * p->o_at.row, dim);
        for (int j = 0; j < keys; j++) {
            if (!seen(p, keys - queries, t, j)) continue;
            double s = (double)p->scale * product(q + t * p->q_at.row, k + j * p->k_at.row, dim),
                   w = exp(s - (double)*lse_place(p, b, h, t)),
                   ds = w * (product(d_o + t * p->do_at.row, v + j * p->v_at.row, dim) - dot);
            for (int d = 0; d < dim; d++) {
                sum[d] += (double)p->scale * ds * (double)element_to_float(k[j * p->k_at.row + d]);
                dk[j * dim + d] += (pretend.plant == DK_WITHOUT_SCALE ? 1 : (double)p->scale) * ds *
                                   (double)element_to_float(q[t * p->q_at.row + d]);
                dv[j * dim + d] += w * (double)element_to_float(d_o[t * p->do_at.row + d]);
            }
        }
        for (int d = 0; d < dim && !(pretend.plant == LEAVES_A_ROW && t == queries - 1); d++)
            dq[t * p->dq_at.row + d] = element_from_float((float)sum[d]);
    }
}

static void plain_backward(const void *x) {
    params *p = x;
    const int group = p->heads / p->kv_heads, dim = compiled.dim;
    pretend.launches++;
    for (int b = 0; b < p->batch; b++)
        for (int kv = 0; kv < p->kv_heads; kv++) {
            const int queries = len_of(p->cu_q, b, p->q_len), keys = len_of(p->cu_k, b, p->kv_len);
            double *dk = spak_calloc((size_t)(2 * keys * dim + 1), sizeof *dk), *dv = dk + keys * dim;
            for (int h = kv * group; h < (kv + 1) * group; h++) backward_head(p, b, h, queries, keys, dk, dv);
            element *dk_at = (element *)rows_at(p->dk, p->dk_at, p->cu_k, b, kv),
                    *dv_at = (element *)rows_at(p->dv, p->dv_at, p->cu_k, b, kv);
            for (int j = 0; j < keys; j++)
                for (int d = 0; d < dim; d++) {
                    dk_at[j * p->dk_at.row + d] = element_from_float((float)dk[j * dim + d]);
                    dv_at[j * p->dv_at.row + d] = element_from_float((float)dv[j * dim + d]);
                }
            if (pretend.plant == OTHER_BITS) dv_at[0] = (element)(dv_at[0] ^ (pretend.launches & 1));
            spak_free(dk);
        }
}

static void nothing(const void *x) { (void)x; }

/* fmha/gpu/inputs.cu's, as the trial calls them. */
typedef struct fill_params {
    uint64_t to, count, seed, stream, integers;
    float scale;
} fill_params;
typedef struct different_params {
    uint64_t a, b, count, result;
} different_params;

static void plain_fill(const void *x) {
    const fill_params *p = x;
    element *to = (element *)(uintptr_t)p->to;
    for (uint64_t i = 0; i < p->count; i++) {
        uint32_t word[4];
        spak_philox(p->seed, p->stream, i, word);
        double u = ((double)word[0] + 0.5) * 0x1p-32, v = (double)word[1] * 0x1p-32;
        double number = p->integers ? (double)(word[0] % (2 * p->integers + 1)) - (double)p->integers
                                    : sqrt(-2 * log(u)) * cos(2 * M_PI * v);
        to[i] = element_from_float(p->scale * (float)number);
    }
}
static void plain_different(const void *x) {
    const different_params *p = x;
    const element *a = (const element *)(uintptr_t)p->a, *b = (const element *)(uintptr_t)p->b;
    for (uint64_t i = 0; i < p->count; i++) *(uint32_t *)(uintptr_t)p->result += a[i] != b[i];
}

#define EMULATED(name) \
    static void run_##name(const void *p) { name(*(const oracle_attention *)p); }
EMULATED(oracle_output)
EMULATED(oracle_dq)
EMULATED(oracle_dkv)
EMULATED(all_sizes)
EMULATED(all_lse)
EMULATED(all_output)
EMULATED(all_dq)
EMULATED(all_dkv)

static const dev_kernel kernels[] = {
    {"oracle_output", run_oracle_output, NULL},
    {"oracle_dq", run_oracle_dq, NULL},
    {"oracle_dkv", run_oracle_dkv, NULL},
    {"all_sizes", run_all_sizes, NULL},
    {"all_lse", run_all_lse, NULL},
    {"all_output", run_all_output, NULL},
    {"all_dq", run_all_dq, NULL},
    {"all_dkv", run_all_dkv, NULL},
    {"fill", NULL, plain_fill},
    {"different", NULL, plain_different},
    {"fmha", NULL, plain_forward},
    {"fmha_delta", NULL, nothing},
    {"fmha_backward", NULL, plain_backward},
    {"fmha_dq", NULL, nothing},
};

static int macro(const dev_variant *v, const char *name) {
    for (size_t i = 0; i < v->num_defines; i++)
        if (!strncmp(v->defines[i], name, strlen(name)) && v->defines[i][strlen(name)] == '=')
            return atoi(v->defines[i] + strlen(name) + 1);
    return 0;
}

bool dev_kernel_get(dev_gpu *gpu, const dev_variant *variant, const dev_kernel **kernel, spak_error *err) {
    (void)gpu;
    if (!strncmp(variant->entry, "fmha", 4)) {
        compiled.dim = macro(variant, "HEAD_DIM");
        compiled.causal = macro(variant, "CAUSAL");
        compiled.window = macro(variant, "WINDOW");
        compiled.varlen = macro(variant, "VARLEN");
    }
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].entry, variant->entry)) return *kernel = &kernels[i], true;
    return spak_fail(err, "no kernel %s is pretended", variant->entry);
}
json_t *dev_kernel_json(const dev_kernel *kernel) { return json_pack("{s:s}", "key", kernel->entry); }
const char *dev_kernel_name(const dev_kernel *kernel) { return kernel->entry; }
bool dev_kernel_occupancy(const dev_kernel *kernel, int threads, size_t smem_bytes, int *blocks, spak_error *err) {
    (void)kernel, (void)threads, (void)smem_bytes, (void)err;
    *blocks = 1;
    return true;
}
bool dev_gpu_launch(dev_gpu *gpu, const dev_launch *launch, const void *given, spak_error *err) {
    (void)gpu;
    const char *entry = launch->kernel->entry;
    const size_t bytes = !strncmp(entry, "fmha", 4)    ? sizeof(fmha_gpu_params)
                         : !strcmp(entry, "fill")      ? sizeof(fill_params)
                         : !strcmp(entry, "different") ? sizeof(different_params)
                                                       : sizeof(oracle_attention);
    op o = {.kernel = launch->kernel, .launch = *launch};
    if (bytes > sizeof o.params) return spak_fail(err, "too many parameters");
    memcpy(o.params, given, bytes);
    return enqueue(&o, err);
}

/* --- what MatMul's operator asks for besides --- */

const char *dev_target_of(int cc) { return cc == 90 ? "sm_90a" : NULL; }
const char *dev_gpu_blas_peer(dev_gpu *gpu, spak_error *err) { return (void)gpu, (void)err, NULL; }
bool dev_gpu_blas_gemm(dev_gpu *gpu, const dev_gpu_gemm *x, spak_error *err) {
    return (void)gpu, (void)x, spak_fail(err, "no cuBLAS is pretended");
}

#endif
