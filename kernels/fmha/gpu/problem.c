/* The problem: how it is read, what no kernel takes, where elements lie. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "device/trial.h"
#include "fmha/gpu/fmha_gpu.h"
#include "fmha/gpu/walk.h"

typedef fmha_gpu_problem problem;

static const char *const dtypes[] = {"bf16", "f16"};
static const char *const passes[] = {"forward", "backward"};
static const char *const layouts[] = {"bhtd", "bthd"};

static const dev_member members[] = {
    {"batch", JSON_INTEGER, 1, 1 << 16, true},
    {"heads", JSON_INTEGER, 1, 1 << 12, true},
    {"kv_heads", JSON_INTEGER, 1, 1 << 12, false},
    {"q_len", JSON_INTEGER, 1, 1 << 20, true},
    {"kv_len", JSON_INTEGER, 1, 1 << 20, false},
    {"head_dim", JSON_INTEGER, 1, 1 << 12, true},
    {"causal", JSON_TRUE, 0, 0, false},
    {"window", JSON_INTEGER, -1, 1 << 20, false},
    {"varlen", JSON_TRUE, 0, 0, false},
    {"scale", JSON_REAL, 0, 1e6, false},
    {"dtype", JSON_STRING, 0, 0, false},
    {"pass", JSON_STRING, 0, 0, false},
    {"deterministic", JSON_TRUE, 0, 0, false},
    {"layout", JSON_STRING, 0, 0, false},
    {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
    {"inputs", JSON_STRING, 0, 0, false}, /* the trial's (trial_data.c) */
    {"peer", JSON_STRING, 0, 0, false},   /* and which peer (trial_peer.c) */
};

/* A word of two. */
static bool read_word(const json_t *json, const char *name,
                      const char *const words[2], int *which, spak_error *err) {
    const char *word = spak_json_str(json, name, words[0]);
    *which = !strcmp(word, words[1]);
    return *which || !strcmp(word, words[0]) ||
           spak_fail(err, "fmha_gpu: problem.%s: '%s' is neither %s nor %s",
                     name, word, words[0], words[1]);
}

static bool total_up(problem *p, uint64_t seed, spak_error *err) {
    size_t count = (size_t)p->batch + 1;
    int *cu = spak_malloc(2 * count * sizeof *cu);
    if (!cu) return spak_fail_oom(err);
    fmha_gpu_draw_lengths(p, seed, cu, cu + count);
    p->total_q = cu[p->batch];
    p->total_k = cu[count + (size_t)p->batch];
    spak_free(cu);
    return true;
}

bool fmha_gpu_problem_read(const json_t *json, problem *p, uint64_t *seed,
                           spak_error *err) {
    enum { MEMBERS = sizeof members / sizeof *members };
    int dtype, pass, layout;
    if (!json) return spak_fail(err, "fmha_gpu: problem must be an object");
    if (!dev_members_check("fmha_gpu", "problem", json, members, MEMBERS,
                           err) ||
        !read_word(json, "dtype", dtypes, &dtype, err) ||
        !read_word(json, "pass", passes, &pass, err) ||
        !read_word(json, "layout", layouts, &layout, err))
        return false;
    *p =
        (problem){.batch = (int)spak_json_int(json, "batch", 0),
                  .heads = (int)spak_json_int(json, "heads", 0),
                  .q_len = (int)spak_json_int(json, "q_len", 0),
                  .head_dim = (int)spak_json_int(json, "head_dim", 0),
                  .causal = spak_json_bool(json, "causal", false),
                  .window = (int)spak_json_int(json, "window", -1),
                  .varlen = spak_json_bool(json, "varlen", false),
                  .scale = (float)spak_json_num(json, "scale", 0),
                  .dtype = dtype ? DEV_F16 : DEV_BF16,
                  .pass = pass ? FMHA_GPU_BACKWARD : FMHA_GPU_FORWARD,
                  .deterministic = spak_json_bool(json, "deterministic", false),
                  .by_tokens = layout == 1};
    p->kv_heads = (int)spak_json_int(json, "kv_heads", p->heads);
    p->kv_len = (int)spak_json_int(json, "kv_len", p->q_len);
    *seed = (uint64_t)spak_json_int(json, "seed", 1);
    fmha_gpu_tight(p);
    if (!fmha_gpu_problem_check(p, err)) return false;
    return !p->varlen || total_up(p, *seed, err);
}

json_t *fmha_gpu_problem_json(const problem *p) {
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:i, s:b, s:f, s:s, s:s, s:b, "
        "s:s}",
        "batch", p->batch, "heads", p->heads, "kv_heads", p->kv_heads, "q_len",
        p->q_len, "kv_len", p->kv_len, "head_dim", p->head_dim, "causal",
        p->causal, "window", p->window, "varlen", p->varlen, "scale",
        (double)p->scale, "dtype", dtypes[p->dtype == DEV_F16], "pass",
        passes[p->pass == FMHA_GPU_BACKWARD], "deterministic", p->deterministic,
        "layout", layouts[p->by_tokens]);
}

/* --- where elements lie --- */

static fmha_layout layout_of(const problem *p, int heads, int len) {
    const long long d = p->head_dim, h = heads, t = len;
    if (p->varlen) return (fmha_layout){0, d, h * d};
    return p->by_tokens ? (fmha_layout){t * h * d, d, h * d}
                        : (fmha_layout){h * t * d, t * d, d};
}

void fmha_gpu_tight(problem *p) {
    const fmha_layout of_q = layout_of(p, p->heads, p->q_len),
                      of_k = layout_of(p, p->kv_heads, p->kv_len);
    if (!p->varlen) {
        p->total_q = p->batch * p->q_len;
        p->total_k = p->batch * p->kv_len;
    }
    p->q_at = p->o_at = p->do_at = p->dq_at = of_q;
    p->k_at = p->v_at = p->dk_at = p->dv_at = of_k;
}

static int draw_length(uint64_t seed, uint64_t index, int longest) {
    uint32_t word[4];
    spak_philox(seed, 310, index, word);
    if (word[0] % 8 < 2) return (int)(word[0] % 8);
    return 1 + (int)(word[1] % (uint32_t)longest);
}

void fmha_gpu_draw_lengths(const problem *p, uint64_t seed, int *cu_q,
                           int *cu_k) {
    uint32_t word[4];
    spak_philox(seed, 311, 0, word);
    const int whole = (int)(word[0] % (uint32_t)p->batch);
    cu_q[0] = cu_k[0] = 0;
    for (int b = 0; b < p->batch; b++) {
        const uint64_t at = 2 * (uint64_t)b;
        const bool all = !p->varlen || b == whole;
        const int q = all ? p->q_len : draw_length(seed, at, p->q_len);
        /* Of equal lengths one is the other: attention to itself. */
        const int k = all ? p->kv_len
                      : p->q_len == p->kv_len
                          ? q
                          : draw_length(seed, at + 1, p->kv_len);
        cu_q[b + 1] = cu_q[b] + q;
        cu_k[b + 1] = cu_k[b] + k;
    }
}

/* --- what is supported --- */

static bool layout_is_aligned(const fmha_layout *at, const char *what,
                              int head_dim, spak_error *err) {
    if (at->row < head_dim)
        return spak_fail(err,
                         "fmha_gpu: rows of %s are %lld elements apart "
                         "and have %d",
                         what, at->row, head_dim);
    return (at->batch | at->head | at->row) % 8 == 0 ||
           spak_fail(err,
                     "fmha_gpu: strides of %s are %lld, %lld and %lld "
                     "elements: supported are multiples of 8 (16 bytes)",
                     what, at->batch, at->head, at->row);
}

static bool layouts_are_aligned(const problem *p, spak_error *err) {
    const struct {
        const char *name;
        const fmha_layout *at;
    } tensors[] = {{"Q", &p->q_at},   {"K", &p->k_at},   {"V", &p->v_at},
                   {"O", &p->o_at},   {"dO", &p->do_at}, {"dQ", &p->dq_at},
                   {"dK", &p->dk_at}, {"dV", &p->dv_at}};
    const int count = p->pass == FMHA_GPU_BACKWARD ? 8 : 4;
    for (int i = 0; i < count; i++)
        if (!layout_is_aligned(tensors[i].at, tensors[i].name, p->head_dim,
                               err))
            return false;
    return true;
}

bool fmha_gpu_problem_check(const problem *p, spak_error *err) {
    static const int dims[] = {32, 64, 96, 128, 192, 256};
    bool known = false;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        known = known || p->head_dim == dims[i];
    if (!known)
        return spak_fail(err,
                         "fmha_gpu: head_dim = %d: supported are 32, 64, 96, "
                         "128, 192, 256",
                         p->head_dim);
    if (p->dtype != DEV_BF16 && p->dtype != DEV_F16)
        return spak_fail(err, "fmha_gpu: supported are bf16 and f16");
    if (p->batch < 1 || p->heads < 1 || p->kv_heads < 1 || p->q_len < 1 ||
        p->kv_len < 1)
        return spak_fail(err,
                         "fmha_gpu: batch, heads, kv_heads, q_len, kv_len = "
                         "%d, %d, %d, %d, %d: supported are 1 and more (with "
                         "varlen the longest; others may be empty)",
                         p->batch, p->heads, p->kv_heads, p->q_len, p->kv_len);
    if (p->heads % p->kv_heads)
        return spak_fail(err,
                         "fmha_gpu: %d heads for %d of K and V: supported are "
                         "whole groups",
                         p->heads, p->kv_heads);
    if ((long long)p->batch * p->heads * p->q_len > INT_MAX ||
        (long long)p->batch * p->heads * p->kv_len > INT_MAX)
        return spak_fail(err,
                         "fmha_gpu: batch * heads * length of %d * %d * %d: "
                         "supported are up to 2^31 - 1 rows",
                         p->batch, p->heads,
                         p->q_len > p->kv_len ? p->q_len : p->kv_len);
    if (p->window < -1 || !(p->scale >= 0) || !isfinite(p->scale))
        return spak_fail(err,
                         "fmha_gpu: window = %d, scale = %g: supported are -1 "
                         "(no window) and more, 0 (the usual) and more",
                         p->window, (double)p->scale);
    return layouts_are_aligned(p, err);
}

/* --- what it takes --- */

float fmha_gpu_scale(const problem *p) {
    return p->scale > 0 ? p->scale : (float)(1 / sqrt(p->head_dim));
}

static double pairs_in_window(const problem *p, int queries, int keys) {
    double pairs = 0;
    for (int t = 0; t < queries; t++) {
        const int last = t + keys - queries,
                  end = p->causal ? fmha_least(keys, last + 1) : keys,
                  begin = fmha_most(0, last - p->window);
        if (end > begin) pairs += end - begin;
    }
    return pairs;
}

static double pairs_of(const problem *p, int queries, int keys) {
    if (p->window >= 0) return pairs_in_window(p, queries, keys);
    return (double)queries * keys / (p->causal ? 2 : 1);
}

double fmha_gpu_flop(const problem *p, const int *cu_q, const int *cu_k) {
    double pairs = 0;
    for (int b = 0; p->varlen && b < p->batch; b++)
        pairs += pairs_of(p, cu_q[b + 1] - cu_q[b], cu_k[b + 1] - cu_k[b]);
    if (!p->varlen) pairs = p->batch * pairs_of(p, p->q_len, p->kv_len);
    return pairs * p->heads * 4 * p->head_dim *
           (p->pass == FMHA_GPU_BACKWARD ? 2.5 : 1);
}

double fmha_gpu_bytes(const problem *p) {
    const double q = (double)p->total_q * p->heads * p->head_dim * 2,
                 k = (double)p->total_k * p->kv_heads * p->head_dim * 2;
    const double forward = 2 * q + 2 * k;
    return p->pass == FMHA_GPU_BACKWARD ? 2 * forward : forward;
}
