/* The plan: every buffer that a run needs, its threads, and who does what.
 *
 * All buffers of a plan are one allocation. lay_out() walks over them twice:
 * first to learn how long they are together, then to place them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "fmha/plan.h"

float fmha_round(float x, fmha_dtype dtype) {
    return dtype == FMHA_F16    ? fmha_round_f16(x)
           : dtype == FMHA_BF16 ? fmha_round_bf16(x)
                                : x;
}

void fmha_round_row(float *row, size_t n, fmha_dtype dtype) {
    if (dtype == FMHA_F32) return;
    for (size_t i = 0; i < n; i++) row[i] = fmha_round(row[i], dtype);
}

/* --- layout --- */

enum { HUGE = 2 << 20, LINE = 64 };

/* Where the next buffer goes; base is NULL while the sizes are added up. */
typedef struct carve {
    char *base;
    size_t used;
    size_t forward; /* of which the forward pass uses so much */
} carve;

static float *take(carve *at, size_t floats) {
    float *p = at->base ? (float *)(at->base + at->used) : NULL;
    /* One line more than needed, so that buffers as long as a power of two do
     * not all begin in the same cache set. */
    at->used += (floats * sizeof(float) + 2 * LINE - 1) / LINE * LINE;
    return p;
}

static void lay_out_scratch(const fmha_plan *plan, fmha_scratch *w, carve *at) {
    const size_t dim = plan->shape.head_dim, lanes = plan->lanes,
                 tile_m = plan->config.tile_m, tile_n = plan->config.tile_n,
                 queries = fmha_panels_of(plan->shape.q_len, lanes) * lanes,
                 dims = fmha_panels_of(dim, lanes) * lanes;
    w->q = take(at, tile_m * dim);
    w->o = take(at, tile_m * dim);
    w->max = take(at, tile_m);
    w->sum = take(at, tile_m);
    w->rows = take(at, lanes * dim);
    w->s = take(at, tile_m * tile_n);
    w->dp = take(at, tile_m * tile_n);
    w->all_q = take(at, queries * dim);
    w->all_do = take(at, queries * dim);
    w->lanes_q = take(at, queries * dims);
    w->lanes_do = take(at, queries * dims);
    w->shift = take(at, queries);
    w->delta = take(at, queries);
    w->undo = take(at, queries);
    w->k_keys = take(at, tile_n * dim);
    w->v_keys = take(at, tile_n * dim);
    w->k_dim = take(at, tile_n * dim);
    w->dk = take(at, tile_n * dims);
    w->dv = take(at, tile_n * dims);
}

static void lay_out(fmha_plan *plan, carve *at) {
    const fmha_shape *x = &plan->shape;
    const size_t pairs = x->q_len * x->kv_len,
                 parts = x->batch * x->heads * x->kv_len * x->head_dim;
    if (plan->config.variant < FMHA_FUSED) {
        size_t matrices =
            plan->config.variant == FMHA_NAIVE ? 1 : x->batch * x->heads;
        plan->s = take(at, matrices * pairs);
        at->forward = at->used;
        plan->dp = take(at, matrices * pairs);
    } else {
        size_t packed = x->batch * x->kv_heads * plan->key_tiles *
                        plan->config.tile_n * x->head_dim;
        plan->k = take(at, packed);
        plan->v = take(at, packed);
        for (int t = 0; t < plan->threads; t++)
            lay_out_scratch(plan, &plan->scratch[t], at);
        at->forward = at->used;
        size_t queries = fmha_panels_of(x->q_len, plan->lanes) * plan->lanes;
        plan->part_dq = take(
            at, x->batch * x->heads * plan->key_parts * queries * x->head_dim);
    }
    plan->part_dk = take(at, parts);
    plan->part_dv = take(at, parts);
}

/* Packed tiles are walked with large strides: pages of 2 MiB, where the system
 * grants them, keep the address translation out of the way. The forward pass's
 * buffers are touched here, so that no run meets a new page; what only the
 * backward pass uses may be large, and its first run touches it. */
static bool allocate(fmha_plan *plan) {
    carve size = {NULL, 0, 0};
    lay_out(plan, &size);
    size_t align = size.used >= HUGE ? HUGE : LINE;
    plan->bytes = size.used + align;
    plan->raw = spak_malloc(plan->bytes);
    if (!plan->raw) return false;
    carve at = {
        (char *)(((uintptr_t)plan->raw + align - 1) & ~(uintptr_t)(align - 1)),
        0, 0};
#ifdef MADV_HUGEPAGE
    if (align == HUGE) madvise(at.base, size.used / HUGE * HUGE, MADV_HUGEPAGE);
#endif
    memset(at.base, 0, size.forward);
    lay_out(plan, &at);
    return true;
}

/* --- who does what --- */

/* Multiply-adds of a tile of queries: the keys that they see, and a little for
 * what a tile costs without any. */
static double forward_cost(const fmha_plan *plan, size_t unit) {
    const fmha_shape *x = &plan->shape;
    size_t tiles = fmha_panels_of(x->q_len, plan->config.tile_m),
           i0 = unit % tiles * plan->config.tile_m,
           i1 = fmha_min(i0 + plan->config.tile_m, x->q_len);
    double cost = 0;
    for (size_t i = i0; i < i1; i += plan->lanes)
        cost += 16 + (double)fmha_visible(x, fmha_min(i + plan->lanes, i1) - 1);
    return cost;
}

/* The same of a part of a head's keys: the queries that see them. */
static double backward_cost(const fmha_plan *plan, size_t unit) {
    const fmha_shape *x = &plan->shape;
    size_t part = unit % plan->key_parts,
           j0 = fmha_part_tile(plan, part) * plan->config.tile_n,
           j1 = fmha_part_tile(plan, part + 1) * plan->config.tile_n;
    double cost = 16;
    for (size_t i = 0; i < x->q_len; i += plan->lanes) {
        size_t seen = fmha_visible(x, fmha_min(i + plan->lanes, x->q_len) - 1);
        cost += seen > j0 ? (double)(fmha_min(seen, j1) - j0) : 0;
    }
    return cost;
}

typedef struct unit {
    double cost;
    uint32_t number, owner;
} unit;

static int longest_first(const void *a, const void *b) {
    const unit *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static int by_number(const void *a, const void *b) {
    const unit *x = a, *y = b;
    return x->number < y->number ? -1 : 1;
}

/* The longest first, each to the thread that has least so far: with a causal
 * mask the last tile of queries costs many times the first. A thread then does
 * its own in the order of the heads, so that their keys stay in its cache. */
static void deal(const fmha_plan *plan, unit *units, size_t n, double *load,
                 fmha_share *share, uint32_t *numbers) {
    const size_t team = (size_t)plan->threads;
    qsort(units, n, sizeof *units, longest_first);
    for (size_t u = 0; u < n; u++) {
        size_t least = 0;
        for (size_t t = 1; t < team; t++)
            if (load[t] < load[least]) least = t;
        load[least] += units[u].cost;
        units[u].owner = (uint32_t)least;
    }
    qsort(units, n, sizeof *units, by_number);
    for (size_t t = 0; t < team; t++) {
        share[t].units = numbers;
        for (size_t u = 0; u < n; u++)
            if (units[u].owner == t) *numbers++ = units[u].number;
        share[t].count = (size_t)(numbers - share[t].units);
    }
}

static bool deal_units(const fmha_plan *plan, size_t n,
                       double (*cost)(const fmha_plan *, size_t),
                       fmha_share **share, spak_error *err) {
    if (n >= UINT32_MAX)
        return spak_fail(err, "fmha: %zu units of work are too many", n);
    const size_t team = (size_t)plan->threads;
    unit *units = spak_calloc(n + 1, sizeof *units);
    double *load = spak_calloc(team, sizeof *load);
    uint32_t *numbers = spak_calloc(n + 1, sizeof *numbers);
    *share = spak_calloc(team, sizeof **share);
    bool ok = units && load && numbers && *share;
    for (size_t u = 0; ok && u < n; u++)
        units[u] = (unit){cost(plan, u), (uint32_t)u, 0};
    if (ok)
        deal(plan, units, n, load, *share, numbers);
    else
        spak_free(numbers);
    spak_free(units);
    spak_free(load);
    return ok || spak_fail_oom(err);
}

static void free_share(fmha_share *share) {
    if (share) spak_free(share[0].units);
    spak_free(share);
}

/* Units of a head in the backward pass: with few heads each is cut, so that
 * there are UNITS at least. The shape alone decides, or the order of the sums
 * in dQ would depend on the machine. */
static size_t parts_of_keys(const fmha_plan *plan) {
    enum { UNITS = 16 };
    size_t heads = plan->shape.batch * plan->shape.heads,
           parts = plan->fault == FAULT_PARTS_BY_THREADS
                       ? (size_t)plan->threads
                       : fmha_panels_of(UNITS, heads);
    return fmha_max(1, fmha_min(parts, plan->key_tiles));
}

/* --- life --- */

double fmha_plan_bytes(const fmha_config *config, const fmha_shape *shape) {
    fmha_scratch scratch;
    fmha_plan plan = {
        .config = *config, .shape = *shape, .threads = 1, .scratch = &scratch};
    carve at = {NULL, 0, 0};
    if (config->variant >= FMHA_FUSED) {
        plan.lanes = fmha_micro_of(config->isa)->lanes;
        plan.key_tiles = fmha_panels_of(shape->kv_len, config->tile_n);
        plan.key_parts = parts_of_keys(&plan);
    }
    lay_out(&plan, &at);
    return (double)at.used;
}

/* One plan of matmul for each thread: their products are apart. */
static bool plan_products(fmha_plan *plan, spak_error *err) {
    matmul_config config;
    json_t *axes = json_pack("{s:s,s:s}", "variant", "register_tile", "isa",
                             dev_isa_name(plan->config.isa));
    if (!axes) return spak_fail_oom(err);
    bool ok = matmul_config_read(axes, 1, &config, err);
    json_decref(axes);
    if (!ok) return false;
    plan->products = spak_calloc((size_t)plan->threads, sizeof(matmul_plan *));
    if (!plan->products) return spak_fail_oom(err);
    for (int t = 0; ok && t < plan->threads; t++)
        ok = matmul_plan_new(&config, 1, &plan->products[t], err);
    return ok;
}

static bool prepare_variant(fmha_plan *plan, spak_error *err) {
    const fmha_variant variant = plan->config.variant;
    if (variant != FMHA_NAIVE) {
        plan->micro = fmha_micro_of(plan->config.isa);
        plan->pack = matmul_isa(plan->config.isa);
        if (!plan->micro || !plan->pack)
            return spak_fail(err, "fmha: %s was not compiled in",
                             dev_isa_name(plan->config.isa));
        plan->lanes = plan->micro->lanes;
    }
    if (variant == FMHA_UNFUSED) return plan_products(plan, err);
    if (variant == FMHA_NAIVE) return true;
    plan->key_tiles = fmha_panels_of(plan->shape.kv_len, plan->config.tile_n);
    plan->key_parts = parts_of_keys(plan);
    plan->scratch = spak_calloc((size_t)plan->threads, sizeof *plan->scratch);
    if (!plan->scratch) return spak_fail_oom(err);
    const size_t heads = plan->shape.batch * plan->shape.heads;
    return deal_units(
               plan,
               heads * fmha_panels_of(plan->shape.q_len, plan->config.tile_m),
               forward_cost, &plan->share, err) &&
           deal_units(plan, heads * plan->key_parts, backward_cost,
                      &plan->backward_share, err);
}

bool fmha_plan_new_on(const fmha_config *config, const fmha_shape *shape,
                      dev_pool *pool, int threads, fmha_fault fault,
                      fmha_plan **out, spak_error *err) {
    *out = NULL;
    if (!fmha_shape_check(shape, err)) return false;
    fmha_plan *plan = spak_calloc(1, sizeof *plan);
    if (!plan) return spak_fail_oom(err);
    bool one = config->variant == FMHA_NAIVE || config->variant == FMHA_FUSED;
    plan->config = *config;
    plan->shape = *shape;
    plan->threads = one ? 1 : threads;
    const bool shared = pool && !one;
    plan->fault = config->variant >= FMHA_FUSED ? fault : FAULT_NONE;
    plan->scale = shape->scale != 0
                      ? shape->scale
                      : (float)(1 / sqrt((double)shape->head_dim));
    if (plan->fault == FAULT_SCALE) plan->scale = 1;
    plan->scale2 = (float)((double)plan->scale * 1.44269504088896341);
    if (!prepare_variant(plan, err) ||
        !(allocate(plan) || spak_fail_oom(err)) ||
        !(shared || dev_pool_new(plan->threads, &plan->own_pool, err))) {
        fmha_plan_free(plan);
        return false;
    }
    plan->pool = shared ? pool : plan->own_pool;
    *out = plan;
    return true;
}

bool fmha_plan_new(const fmha_config *config, const fmha_shape *shape,
                   int threads, fmha_fault fault, fmha_plan **plan,
                   spak_error *err) {
    return fmha_plan_new_on(config, shape, NULL, threads, fault, plan, err);
}

size_t fmha_plan_allocated(const fmha_plan *plan) { return plan->bytes; }

void fmha_plan_free(fmha_plan *plan) {
    if (!plan) return;
    dev_pool_free(plan->own_pool);
    for (int t = 0; plan->products && t < plan->threads; t++)
        matmul_plan_free(plan->products[t]);
    spak_free(plan->products);
    spak_free(plan->scratch);
    free_share(plan->share);
    free_share(plan->backward_share);
    spak_free(plan->raw);
    spak_free(plan);
}

void fmha_forward(fmha_plan *plan, const fmha_forward_args *x) {
    switch (plan->config.variant) {
        case FMHA_NAIVE: fmha_naive_forward(plan, x); break;
        case FMHA_UNFUSED: fmha_unfused_forward(plan, x); break;
        default: fmha_fused_forward(plan, x);
    }
}

void fmha_backward(fmha_plan *plan, const fmha_backward_args *x) {
    switch (plan->config.variant) {
        case FMHA_NAIVE: fmha_naive_backward(plan, x); break;
        case FMHA_UNFUSED: fmha_unfused_backward(plan, x); break;
        default: fmha_fused_backward(plan, x);
    }
}

/* --- what the backward passes share --- */

void fmha_delta(const fmha_backward_args *x, size_t b, size_t h, size_t i0,
                size_t rows, size_t head_dim, float *out) {
    enum { PARTS = 16 };
    for (size_t i = 0; i < rows; i++) {
        const float *o = fmha_row(&x->o, b, h, i0 + i),
                    *d_o = fmha_row(&x->d_o, b, h, i0 + i);
        float part[PARTS] = {0}, sum = 0;
        size_t d = 0;
        for (; d + PARTS <= head_dim; d += PARTS)
            for (size_t q = 0; q < PARTS; q++) part[q] += o[d + q] * d_o[d + q];
        for (; d < head_dim; d++) sum += o[d] * d_o[d];
        for (size_t q = 0; q < PARTS; q++) sum += part[q];
        out[i] = sum;
    }
}

void fmha_sum_groups(const fmha_plan *plan, const fmha_backward_args *x,
                     int thread, int threads) {
    const fmha_shape *z = &plan->shape;
    const size_t group = z->heads / z->kv_heads, dim = z->head_dim,
                 rows = z->batch * z->kv_heads * z->kv_len,
                 stride = z->kv_len * dim;
    const size_t end = fmha_part(rows, (size_t)thread + 1, (size_t)threads);
    for (size_t r = fmha_part(rows, (size_t)thread, (size_t)threads); r < end;
         r++) {
        size_t j = r % z->kv_len, head = r / z->kv_len, b = head / z->kv_heads,
               h = head % z->kv_heads;
        size_t at = (b * z->heads + h * group) * stride + j * dim;
        size_t first = plan->fault == FAULT_GROUP ? group - 1 : 0;
        float *dk = fmha_out_row(&x->dk, b, h, j),
              *dv = fmha_out_row(&x->dv, b, h, j);
        memset(dk, 0, dim * sizeof *dk);
        memset(dv, 0, dim * sizeof *dv);
        for (size_t g = first; g < group; g++)
            for (size_t d = 0; d < dim; d++) {
                dk[d] += plan->part_dk[at + g * stride + d];
                dv[d] += plan->part_dv[at + g * stride + d];
            }
        for (size_t d = 0; d < dim; d++) dk[d] *= plan->scale;
        fmha_round_row(dk, dim, plan->config.dtype);
        fmha_round_row(dv, dim, plan->config.dtype);
    }
}
