/* The host's side of attention's oracles: the bound's constants, which lines
 * are looked at, the launches, the verdict.
 *
 * --- the bound on a GPU ---
 *
 * kernels/fmha/oracle.c derives, for floats in a sensible order, how far each
 * element may lie from the exact one; its steps hold here with other constants.
 * Below, u = 2^-22.
 *
 * 1. Scores. A tensor core cuts where the CPU rounds: k products lose at most
 *    k 2^-22 of their magnitudes (matmul_f64.cu), so a sum of k terms is k
 *    roundings of u, and gamma_{d+5} stands.
 * 2. Exponentials. ex2.approx is off by at most 2^-22 of its result. Kernels
 *    fold the scale and subtract in one instruction, fma(s, c, -(m c)), whose
 *    second operand was rounded: relative to |m|, not to the difference. Within
 *    one tile that is a factor that all keys share; from rescale to rescale it
 *    is not, and two roundings of 2^-24 |m| a rescale are added to E_j
 *    (`shift`). No tile is narrower than 8 keys, and a slice of the keys
 *    (decode) brings one rescale more, as one tile does.
 * 3. The quotient. The weight of key j is p_j e^x_j / sum_i p_i e^x_i, which is
 *    p_j / sum_i p_i e^(x_i - x_j), and its own term has no error. With
 *    1 / sum p e^y <= sum p e^-y on one side and 1 / (1 + a) >= 1 - a on the
 *    other it is off by a factor of at most 1 + g_j either way,
 *
 *      g_j = sum_(i != j) p_i (e^(E_i + E_j) - 1)
 *          = (e^E_j L - 1) - p_j (e^(2 E_j) - 1),
 *
 *    which is the CPU's g_j less the part of i = j. Where one key has all of
 *    the weight, as with logits of 10^4, little is left of it.
 * 4. Sums. P V is n terms of a tensor core, n u; the rescales and the
 *    denominator's sum are rounded floats, u / 4 each: N = 1.25 n + R / 2 + 4.
 * 5. 16 bits. P is rounded once and O once, backward P and dS once and each
 *    output once: (1 + phi) (1 + w)^2 = 1 + rho, w = 2^-8 (bf16) or 2^-11
 * (f16). The CPU's oracle, whose callers multiply afterwards, takes rho / phi
 * times the exponents' part g_j; here it is added once,
 *
 *      |O - o| <= sum_j p_j |v_j| ((1 + g_j) (1 + rho) - 1)
 *
 *    which is much closer where n is small and phi with it. What f16 cannot
 *    hold below 2^-14 is 2^-25 at most; bf16 has the exponents of floats, whose
 *    exponentials below 2^-126 are flushed: `subnormal` times 2 w is that.
 * 6. The hull of V: as there.
 *
 * It holds always, and so it is wide where many keys share a softmax: at n
 * equal weights P's roundings may add up to 2^-8 mean |v|, but O itself is of
 * the size |v| / sqrt(n). Inputs whose scores are spread out (sigma 4 or so)
 * leave a few keys to each query and the bound close to O's own rounding; and
 * equal scores with integers in V are exact but for that rounding (`exact`). A
 * trial begins with both.
 *
 * --- which lines ---
 *
 * All of them up to LINES_MOST, if their work is below a budget; else random
 * ones, and of every four one is the first of a head and one the last: there
 * the ends of the mask and partial tiles are. */
#include "oracle/fmha_f64.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/gpu_module.h"

enum {
    TILE = 64,
    THREADS = 256,
    LINES_MOST = 4096,
    LINES_LEAST = 64,
    NARROWEST_TILE = 8
};
static const double LINES_WORK = 0x1p31; /* products of a pair's elements */
enum { SCRATCH_BYTES = 1 << 28 };

static double gamma_of(double n, double u) { return n * u / (1 - n * u); }

oracle_bound oracle_fmha_bound(const oracle_fmha *x) {
    const double w = x->type == DEV_F16 ? 0x1p-11 : 0x1p-8, u = 0x1p-22,
                 rescales = x->kv_len / NARROWEST_TILE + 1,
                 queries = (double)x->q_len * (x->heads / x->kv_heads),
                 n = x->backward ? fmax(x->kv_len, queries) + 8
                                 : 1.25 * x->kv_len + rescales / 2 + 4;
    oracle_bound b = {.unit = u,
                      .exp_error = 0x1p-22,
                      .rescales = x->backward ? 0 : rescales,
                      .shift = x->backward ? 0 : 0x1p-23 * (rescales + 1),
                      .phi = gamma_of(n, u),
                      .subnormal = x->type == DEV_F16 ? 0x1p-15 : 0x1p-119,
                      .out_unit = w,
                      .exact = x->exact,
                      .own_cancels = 1};
    b.factor = b.rho = b.phi + (2 * w + w * w) * (1 + b.phi);
    return b;
}

/* --- one check --- */

typedef struct check {
    dev_gpu *gpu;
    const oracle_fmha *x;
    oracle_fmha_verdict *v;
    oracle_attention p;
    int *cu_q, *cu_k; /* (batch + 1), also where all lengths are equal */
    dev_arena *arena;
} check;

static bool launch(check *c, const char *file, const char *entry, long x,
                   long y, long z, spak_error *err) {
    const char *defines[] = {c->x->type == DEV_F16 ? "TYPE_F16=1"
                                                   : "TYPE_F16=0"};
    dev_variant variant = {file, entry, defines, 1};
    dev_launch l = {.grid = {(unsigned)x, (unsigned)y, (unsigned)z},
                    .block = {THREADS, 1, 1}};
    return x <= 0 || y <= 0 || z <= 0 ||
           (dev_kernel_get(c->gpu, &variant, &l.kernel, err) &&
            dev_gpu_launch(c->gpu, &l, &c->p, err));
}

static bool sane(const oracle_fmha *x, spak_error *err) {
    if (x->batch < 1 || x->heads < 1 || x->kv_heads < 1 ||
        x->heads % x->kv_heads || x->q_len < 0 || x->kv_len < 0 ||
        x->head_dim < 1 || x->head_dim % 32 || x->head_dim > 256)
        return spak_fail(
            err,
            "attention's oracle: batch %d, heads %d / %d, lengths "
            "%d, %d, head_dim %d: expected positive numbers, heads "
            "a multiple of kv_heads, head_dim one of 32, up to "
            "256",
            x->batch, x->heads, x->kv_heads, x->q_len, x->kv_len, x->head_dim);
    if (x->type == DEV_F32)
        return spak_fail(err,
                         "attention's oracle: the inputs have to be of 16 "
                         "bits");
    return !x->cu_q == !x->cu_k ||
           spak_fail(err, "attention's oracle: cu_q without cu_k");
}

static int *lengths(check *c, dev_ptr cu, int length, spak_error *err) {
    const size_t n = (size_t)c->x->batch + 1;
    int *list = spak_calloc(n, sizeof *list);
    if (!list) {
        spak_fail_oom(err);
        return NULL;
    }
    for (size_t i = 0; i < n && !cu; i++) list[i] = (int)i * length;
    if (!cu || dev_gpu_download(c->gpu, list, cu, n * sizeof *list, err))
        return list;
    spak_free(list);
    return NULL;
}

static bool begin(check *c, spak_error *err) {
    const oracle_fmha *x = c->x;
    if (!sane(x, err)) return false;
    c->cu_q = lengths(c, x->cu_q, x->q_len, err);
    if (c->cu_q) c->cu_k = lengths(c, x->cu_k, x->kv_len, err);
    if (!c->cu_k) return false;
    c->p = (oracle_attention){.q = x->q.at,
                              .k = x->k.at,
                              .v = x->v.at,
                              .o = x->o.at,
                              .lse = x->lse,
                              .q_at = x->q.by,
                              .k_at = x->k.by,
                              .v_at = x->v.by,
                              .o_at = x->o.by,
                              .cu_q = x->cu_q,
                              .cu_k = x->cu_k,
                              .batch = x->batch,
                              .heads = x->heads,
                              .kv_heads = x->kv_heads,
                              .head_dim = x->head_dim,
                              .q_len = x->q_len,
                              .kv_len = x->kv_len,
                              .total_q = c->cu_q[x->batch],
                              .causal = x->causal,
                              .window = x->window,
                              .scale = x->scale != 0
                                           ? (double)x->scale
                                           : 1 / sqrt((double)x->head_dim),
                              .bound = oracle_fmha_bound(x)};
    if (!x->backward) return true;
    c->p.d_o = x->d_o.at;
    c->p.dq = x->dq.at;
    c->p.dk = x->dk.at;
    c->p.dv = x->dv.at;
    c->p.do_at = x->d_o.by;
    c->p.dq_at = x->dq.by;
    c->p.dk_at = x->dk.by;
    c->p.dv_at = x->dv.by;
    return true;
}

static void end(check *c) {
    dev_arena_free(c->arena);
    spak_free(c->cu_q);
    spak_free(c->cu_k);
}

/* --- lines --- */

static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A kind of lines: the queries, or the keys, of all heads. */
typedef struct kind {
    const char *entry;
    const int *cu;
    int heads, width; /* width: numbers of a line */
    long long partners;
} kind;

static oracle_line line_of(const check *c, const kind *k, long long number) {
    const long long rows = k->cu[c->x->batch];
    int row = (int)(number % rows), b = 0;
    while (k->cu[b + 1] <= row) b++;
    return (oracle_line){b, (int)(number / rows), row - k->cu[b]};
}

static void pick_lines(const check *c, const kind *k, oracle_line *line,
                       long long count) {
    const long long all = k->heads * (long long)k->cu[c->x->batch];
    for (long long i = 0; i < count; i++) {
        const uint64_t random = mix(mix(c->x->seed) + (uint64_t)i);
        line[i] = line_of(
            c, k, count == all ? i : (long long)(random % (uint64_t)all));
        if (count == all) continue;
        if (i % 4 == 1) line[i].at = 0;
        if (i % 4 == 3)
            line[i].at = k->cu[line[i].batch + 1] - k->cu[line[i].batch] - 1;
    }
}

static long long how_many_lines(const check *c, const kind *k) {
    const long long all = k->heads * (long long)k->cu[c->x->batch];
    double work = (double)k->partners * c->x->head_dim + 1;
    double count = fmin(LINES_WORK / work, LINES_MOST);
    if (count < LINES_LEAST) count = LINES_LEAST;
    if (c->x->lines > 0) count = c->x->lines;
    return (double)all < count ? all : (long long)count;
}

/* O, LSE, dQ, dK, dV. */
enum { OUTPUT, LSE, DQ, DK, DV, OUTPUTS };
static const char *const names[OUTPUTS] = {"O", "LSE", "dQ", "dK", "dV"};

static int output_of(const check *c, const kind *k, int column) {
    if (!c->x->backward) return column == c->x->head_dim ? LSE : OUTPUT;
    if (k->width == c->x->head_dim) return DQ;
    return column < c->x->head_dim ? DK : DV;
}

static double relative(const double squares[2]) {
    return squares[1] > 0 ? sqrt(squares[0] / squares[1]) : 0;
}

/* What lines of a kind say; a NaN counts as infinitely wrong. */
static void judge_lines(check *c, const kind *k, const oracle_line *line,
                        const double *found, long long count) {
    double squares[OUTPUTS][2] = {{0}}; /* of the errors, of the outputs */
    for (long long i = 0; i < count; i++) {
        const double *want = found + 3 * i * k->width, *bound = want + k->width,
                     *got = bound + k->width;
        for (int d = 0; d < k->width; d++) {
            double error = got[d] == want[d] ? 0 : fabs(got[d] - want[d]);
            double ratio = error == 0 ? 0 : error / bound[d];
            const int output = output_of(c, k, d);
            squares[output][0] += error * error;
            squares[output][1] += want[d] * want[d];
            if (!isfinite(ratio)) ratio = INFINITY;
            if (!(ratio > c->v->worst)) continue;
            c->v->worst = ratio;
            if (ratio <= 1) continue;
            snprintf(c->v->text, sizeof c->v->text,
                     "%s(batch %d, head %d, row %d, %d) is %.9g; it should be "
                     "%.9g within %.3g",
                     names[output], line[i].batch, line[i].head, line[i].at, d,
                     got[d], want[d], bound[d]);
        }
    }
    c->v->lines += (int)count;
    const int first = c->x->backward ? DQ : OUTPUT;
    for (int i = first; i < (c->x->backward ? OUTPUTS : LSE); i++)
        if (squares[i][1] > 0) c->v->error[i - first] = relative(squares[i]);
}

/* Some lines at a time, for their partners need room. */
static bool run_lines(check *c, const kind *k, const oracle_line *line,
                      long long count, double *found, spak_error *err) {
    const size_t line_bytes = 32 * (size_t)k->partners + 32;
    long long chunk = (long long)(SCRATCH_BYTES / line_bytes);
    if (chunk < 1) chunk = 1;
    if (chunk > count) chunk = count;
    const size_t n = (size_t)chunk, numbers = 3 * (size_t)k->width;
    const size_t bytes =
        n * (sizeof *line + line_bytes + numbers * sizeof(double));
    oracle_attention *p = &c->p;
    p->most_partners = k->partners;
    if (!dev_arena_new(c->gpu, "the oracle's lines", dev_arena_room(bytes, 3),
                       &c->arena, err) ||
        !dev_arena_take(c->arena, "lines", n * sizeof *line, &p->lines, err) ||
        !dev_arena_take(c->arena, "partners", n * line_bytes, &p->partners,
                        err) ||
        !dev_arena_take(c->arena, "found", n * numbers * sizeof(double),
                        &p->found, err))
        return false;
    for (long long from = 0; from < count; from += chunk) {
        long long now = count - from < chunk ? count - from : chunk;
        if (!dev_gpu_upload(c->gpu, p->lines, line + from,
                            (size_t)now * sizeof *line, err) ||
            !launch(c, "kernels/oracle/fmha_f64.cu", k->entry, (long)now, 1, 1,
                    err) ||
            !dev_gpu_sync(c->gpu, err) ||
            !dev_gpu_download(c->gpu, found + (size_t)from * numbers, p->found,
                              (size_t)now * numbers * sizeof *found, err))
            return false;
    }
    bool whole = dev_arena_check(c->arena, err);
    dev_arena_free(c->arena);
    c->arena = NULL;
    return whole;
}

static bool check_kind(check *c, const kind *k, spak_error *err) {
    const long long count = how_many_lines(c, k);
    if (count == 0) return true;
    oracle_line *line = spak_calloc((size_t)count, sizeof *line);
    double *found =
        spak_calloc((size_t)count * (size_t)k->width, 3 * sizeof *found);
    bool ok = (line && found) || spak_fail_oom(err);
    if (ok) pick_lines(c, k, line, count);
    ok = ok && run_lines(c, k, line, count, found, err);
    if (ok) judge_lines(c, k, line, found, count);
    spak_free(line);
    spak_free(found);
    return ok;
}

static bool check_lines(check *c, spak_error *err) {
    const oracle_fmha *x = c->x;
    const int dim = x->head_dim;
    const kind output = {"oracle_output", c->cu_q, x->heads, dim + 1,
                         x->kv_len},
               dq = {"oracle_dq", c->cu_q, x->heads, dim, x->kv_len},
               dkv = {"oracle_dkv", c->cu_k, x->kv_heads, 2 * dim,
                      (long long)x->q_len * (x->heads / x->kv_heads)};
    return x->backward ? check_kind(c, &dq, err) && check_kind(c, &dkv, err)
                       : check_kind(c, &output, err);
}

/* --- all elements --- */

static long tiles_of(long length, long tile) {
    return (length + tile - 1) / tile;
}

/* Scratch of fmha_all.cu; the largest grid has most_blocks. */
static bool take_scratch(check *c, long most_blocks, spak_error *err) {
    const oracle_fmha *x = c->x;
    const size_t b = (size_t)x->batch,
                 queries = b * (size_t)x->heads * (size_t)x->q_len,
                 keys = b * (size_t)x->kv_heads * (size_t)x->kv_len;
    const struct {
        dev_ptr *at;
        size_t bytes;
    } parts[] = {{&c->p.q_size, 8 * queries},
                 {&c->p.k_size, 8 * keys},
                 {&c->p.v_size, 8 * keys},
                 {&c->p.do_size, 8 * queries},
                 {&c->p.dots, 8 * queries},
                 {&c->p.own_lse, 4 * queries},
                 {&c->p.worst, 8 * (size_t)most_blocks}};
    enum { COUNT = sizeof parts / sizeof *parts };
    size_t bytes = COUNT;
    for (int i = 0; i < COUNT; i++) bytes += parts[i].bytes;
    if (!dev_arena_new(c->gpu, "the oracle of all elements",
                       dev_arena_room(bytes, COUNT), &c->arena, err))
        return false;
    for (int i = 0; i < COUNT; i++)
        if (!dev_arena_take(c->arena, "sizes", parts[i].bytes + 1, parts[i].at,
                            err))
            return false;
    return true;
}

/* Launches one kernel over all tiles and reads what its blocks found worst. */
static bool run_all(check *c, const char *entry, const char *name, int length,
                    int heads, int slabs, spak_error *err) {
    const long tiles = tiles_of(length, TILE) * slabs;
    const size_t blocks = (size_t)(tiles * heads * c->x->batch);
    if (blocks == 0) return true;
    float *worst = spak_calloc(blocks, 2 * sizeof *worst);
    bool ok = worst || spak_fail_oom(err);
    ok = ok && dev_gpu_fill8(c->gpu, c->p.worst, 0, 8 * blocks, err) &&
         launch(c, "kernels/oracle/fmha_all.cu", entry, tiles, heads,
                c->x->batch, err) &&
         dev_gpu_sync(c->gpu, err) &&
         dev_gpu_download(c->gpu, worst, c->p.worst, 8 * blocks, err);
    for (size_t i = 0; ok && i < blocks; i++) {
        const double ratio = (double)worst[2 * i];
        if (!(ratio > c->v->worst_all)) continue;
        c->v->worst_all = ratio;
        if (ratio <= 1 || *c->v->text) continue;
        const long tile = (long)(i % (size_t)tiles) / slabs,
                   head = (long)(i / (size_t)tiles) % heads;
        snprintf(c->v->text, sizeof c->v->text,
                 "%s(batch %zu, head %ld, row %ld) is off by %.3g times the "
                 "bound from the plain kernel's",
                 name, i / (size_t)tiles / (size_t)heads, head,
                 tile * TILE + (long)worst[2 * i + 1], ratio);
    }
    spak_free(worst);
    return ok;
}

static bool all_elements(check *c, spak_error *err) {
    const oracle_fmha *x = c->x;
    const int slabs = (x->head_dim + TILE - 1) / TILE,
              longest = x->q_len > x->kv_len ? x->q_len : x->kv_len;
    const long blocks =
        tiles_of(longest, TILE) * slabs * x->heads * x->batch + 1;
    if (!take_scratch(c, blocks, err) ||
        !launch(c, "kernels/oracle/fmha_all.cu", "all_sizes",
                tiles_of(longest, THREADS), x->heads, x->batch, err))
        return false;
    bool ok =
        x->backward
            ? run_all(c, "all_dq", "dQ", x->q_len, x->heads, slabs, err) &&
                  run_all(c, "all_dkv", "dK or dV", x->kv_len, x->kv_heads,
                          slabs, err)
            : run_all(c, "all_lse", "LSE", x->q_len, x->heads, 1, err) &&
                  run_all(c, "all_output", "O", x->q_len, x->heads, slabs, err);
    ok = ok && dev_arena_check(c->arena, err);
    dev_arena_free(c->arena);
    c->arena = NULL;
    return ok;
}

/* --- together --- */

bool oracle_fmha_check(dev_gpu *gpu, const oracle_fmha *x,
                       oracle_fmha_verdict *verdict, spak_error *err) {
    check c = {.gpu = gpu, .x = x, .v = verdict};
    *verdict = (oracle_fmha_verdict){0};
    bool ok = begin(&c, err) && check_lines(&c, err) &&
              (x->lines_only || all_elements(&c, err));
    end(&c);
    verdict->good = verdict->worst <= 1 && verdict->worst_all <= 1;
    return ok;
}

bool oracle_fmha_forward(dev_gpu *gpu, const oracle_fmha *x, spak_error *err) {
    oracle_fmha_verdict none = {0};
    oracle_fmha forward = *x;
    forward.backward = false;
    check c = {.gpu = gpu, .x = &forward, .v = &none};
    bool ok = begin(&c, err);
    c.p.writes = 1;
    ok = ok && all_elements(&c, err);
    end(&c);
    return ok;
}
