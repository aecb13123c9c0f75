/* Fused attention: S and P live in a tile of the first-level cache and nowhere
 * else (Dao et al., "FlashAttention", 2022; Milakov and Gimelshein, "Online
 * normalizer calculation for softmax", 2018).
 *
 * A tile of queries meets the keys tile by tile. It keeps, for each query, the
 * maximum m of the scores so far, the sum l of 2^(s - m), and O, the sum of
 * 2^(s - m) v. A new tile may raise m: then l and O are multiplied by
 * 2^(m_old - m_new) first. At the end O / l is the output and m + log l the
 * LSE. Scores are in base 2: scale * log2(e) is folded into Q as it is packed.
 *
 *   memory       K, V of each (batch, kv head), packed once, used by all tiles
 *                of queries of all heads of the group
 *   L2           a tile of keys: tile_n rows of K and V
 *   L1           a panel of queries, its S and its O (micro.h)
 *   registers    a piece of S^T or O^T
 *
 * m starts at a floor and not at minus infinity: a row whose keys are all
 * masked then has 2^(-inf - floor) = 0 for each of them, where minus infinity
 * would give 2^(-inf + inf), a NaN. The floor is the lowest finite number, so
 * that no score that is a number lies below it and reads as masked.
 *
 * A unit of work is a tile of queries of one head. Units are dealt out when the
 * plan is made, the longest first, each to the thread that has least so far;
 * which thread computes a unit changes nothing in it. The switches on
 * plan->fault are what the gate is tried on: mistakes that such kernels are
 * known for, one branch a tile. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "fmha/plan.h"

#define FLOOR (-FLT_MAX)
#define LN2   0.693147180559945309

/* --- packing --- */

size_t fmha_tile_keys(const fmha_plan *plan, size_t tile) {
    size_t begin = tile * plan->config.tile_n;
    if (plan->fault == FAULT_TAIL_KEYS) return plan->config.tile_n;
    return fmha_min(plan->config.tile_n, plan->shape.kv_len - begin);
}

void fmha_pack_keys(const fmha_plan *plan, float *dst, const float *src,
                    size_t ld, size_t keys, size_t valid) {
    size_t depth = plan->shape.head_dim, rows = plan->micro->rows,
           count = fmha_panels_of(keys, rows);
    for (size_t p = 0, r0 = 0; p < count; p++) {
        size_t r1 = fmha_panel_row(keys, p + 1, count),
               there = valid > r0 ? fmha_min(valid, r1) - r0 : 0;
        plan->pack->pack_transpose(dst + r0 * depth, r1 - r0, src + r0 * ld, ld,
                                   depth, there);
        r0 = r1;
    }
}

/* Rows of `width` floats, dense. Eight at a time: what is too much is
 * overwritten by the next row, and the last row stops where it should. */
static void copy_rows(float *dst, size_t width, const float *src, size_t ld,
                      size_t rows, bool may_read_on) {
    enum { WIDE = 8 };
    const size_t wide = (width + WIDE - 1) / WIDE * WIDE;
    size_t j = 0, sure = wide - width; /* rows that the excess may reach into */
    for (; may_read_on && j + sure < rows; j++)
        for (size_t x = 0; x < wide; x += WIDE)
            memcpy(dst + j * width + x, src + j * ld + x, WIDE * sizeof *dst);
    for (; j < rows; j++)
        for (size_t x = 0; x < width; x++) dst[j * width + x] = src[j * ld + x];
}

void fmha_pack_dims(const fmha_plan *plan, float *dst, const float *src,
                    size_t ld, size_t keys, size_t valid) {
    enum { MOST = 16 }; /* rows of a register tile, in whole copies */
    size_t dims = plan->shape.head_dim, rows = plan->micro->rows,
           count = fmha_panels_of(dims, rows);
    for (size_t p = 0, r0 = 0; p < count; p++) {
        size_t r1 = fmha_panel_row(dims, p + 1, count), width = r1 - r0;
        float *panel = dst + r0 * keys;
        copy_rows(panel, width, src + r0, ld, valid, r0 + MOST <= dims);
        memset(panel + valid * width, 0,
               (keys - valid) * width * sizeof *panel);
        r0 = r1;
    }
}

void fmha_pack_queries(const fmha_plan *plan, float *dst, const float *src,
                       size_t ld, size_t rows, float by) {
    size_t floats = plan->shape.head_dim * plan->lanes;
    plan->pack->pack_transpose(dst, plan->lanes, src, ld, plan->shape.head_dim,
                               rows);
    if (by == 1) return;
    for (size_t i = 0; i < floats; i++) dst[i] *= by;
}

void fmha_store_panel(const fmha_plan *plan, fmha_scratch *w, float *panel,
                      const float *by, float *dst, size_t ld, size_t rows) {
    const size_t lanes = plan->lanes, dim = plan->shape.head_dim;
    for (size_t d = 0; d < dim; d++)
        for (size_t l = 0; l < lanes; l++) panel[d * lanes + l] *= by[l];
    if (plan->config.dtype != FMHA_F32)
        plan->micro->round(panel, dim * lanes, plan->config.dtype);
    plan->pack->pack_transpose(w->rows, dim, panel, lanes, lanes, dim);
    for (size_t l = 0; l < rows; l++)
        memcpy(dst + l * ld, w->rows + l * dim, dim * sizeof *dst);
}

/* This thread's part of the tiles of K and V of all heads. */
static void pack_keys_and_values(const fmha_plan *plan,
                                 const fmha_forward_args *x, int thread,
                                 int threads) {
    const fmha_shape *z = &plan->shape;
    size_t total = z->batch * z->kv_heads * plan->key_tiles;
    size_t end = fmha_part(total, (size_t)thread + 1, (size_t)threads);
    for (size_t i = fmha_part(total, (size_t)thread, (size_t)threads); i < end;
         i++) {
        size_t tile = i % plan->key_tiles, head = i / plan->key_tiles,
               b = head / z->kv_heads, h = head % z->kv_heads,
               j0 = tile * plan->config.tile_n,
               keys = fmha_tile_keys(plan, tile),
               valid = fmha_min(keys, z->kv_len - j0),
               at = i * plan->config.tile_n * z->head_dim;
        fmha_pack_keys(plan, plan->k + at, fmha_row(&x->k, b, h, j0), x->k.row,
                       keys, valid);
        fmha_pack_dims(plan, plan->v + at, fmha_row(&x->v, b, h, j0), x->v.row,
                       keys, valid);
    }
}

/* --- the mask --- */

//> causal_tiles
/* Query i sees keys 0 .. visible - 1, a prefix that grows by one from query to
 * query. So a panel of queries reads no key beyond what its last query sees:
 * what lies above the diagonal is never computed. Keys that only some of its
 * queries see form a triangle of at most lanes x lanes. */
static size_t visible(const fmha_plan *plan, size_t i) {
    const fmha_shape *x = &plan->shape;
    size_t keys = plan->fault == FAULT_TOP_LEFT && x->causal
                      ? fmha_min(i + 1, x->kv_len)
                      : fmha_visible(x, i);
    if (!x->causal) return keys;
    if (plan->fault == FAULT_ONE_KEY_MORE) return fmha_min(keys + 1, x->kv_len);
    return plan->fault == FAULT_ONE_KEY_LESS && keys ? keys - 1 : keys;
}

void fmha_mask(const fmha_plan *plan, const fmha_shape *shape, float *s,
               size_t i0, size_t j0, size_t n) {
    const size_t lanes = plan->lanes;
    if (!shape->causal || visible(plan, i0) >= j0 + n) return;
    for (size_t l = 0; l < lanes; l++) {
        size_t seen = visible(plan, fmha_min(i0 + l, shape->q_len - 1));
        for (size_t j = fmha_max(seen, j0); j < j0 + n; j++)
            s[(j - j0) * lanes + l] = -INFINITY;
    }
}

/* How many of the tile's keys the panel of queries i0 .. i1 - 1 reads. */
static size_t keys_to_read(const fmha_plan *plan, size_t i0, size_t i1,
                           size_t j0, size_t keys) {
    if (!plan->shape.causal) return keys;
    size_t most = visible(plan, i1 - 1);
    if (plan->fault == FAULT_DIAGONAL && visible(plan, i0) < j0 + keys)
        return 0;
    return most > j0 ? fmha_min(most - j0, keys) : 0;
}
//< causal_tiles

/* --- one tile of queries --- */

/* A panel of queries on its way through the tiles of keys. */
typedef struct panel {
    const float *q; /* (D, lanes) */
    float *s;       /* (tile_n, lanes) */
    float *o;       /* (D, lanes) */
    float *max, *sum;
    size_t i0, i1;
} panel;

/* A tile of keys as it is packed. */
typedef struct key_tile {
    const float *k, *v;
    size_t j0, keys;
} key_tile;

/* The factor by which the sums so far shrink, and the mistakes in it. */
static void apply_faults(const fmha_plan *plan, const panel *p, size_t n,
                         float *shift, float *for_o, float *for_sum) {
    for (size_t l = 0; l < plan->lanes; l++) {
        if (plan->fault == FAULT_ACCUMULATOR) for_o[l] = 1;
        if (plan->fault == FAULT_SUM) for_sum[l] = 1;
        if (plan->fault == FAULT_MAXIMUM) shift[l] = FLOOR;
    }
    if (plan->fault == FAULT_MAXIMUM) plan->micro->column_max(p->s, n, shift);
}

//> online_softmax
/* One panel of queries meets n keys of one tile. */
static void meet_keys(const fmha_plan *plan, const key_tile *t, const panel *p,
                      size_t n) {
    const fmha_micro *micro = plan->micro;
    const size_t lanes = plan->lanes, dim = plan->shape.head_dim;
    float shift[FMHA_MAX_LANES], for_o[FMHA_MAX_LANES], for_sum[FMHA_MAX_LANES],
        sum[FMHA_MAX_LANES];

    /* S^T = K Q^T, in base 2, with what is masked at minus infinity. */
    micro->product(
        &(fmha_product){t->k, t->keys, dim, p->q, n, dim, NULL, p->s});
    fmha_mask(plan, &plan->shape, p->s, p->i0, t->j0, n);
    if (plan->fault == FAULT_SCORES_ROUNDED)
        micro->round(p->s, n * lanes, plan->config.dtype);

    /* The maximum so far, and what is left of the sums up to here. */
    memcpy(for_o, p->max, lanes * sizeof *for_o);
    micro->column_max(p->s, n, p->max);
    micro->exp2_sum(for_o, 1, p->max, sum);
    memcpy(for_sum, for_o, lanes * sizeof *for_sum);
    memcpy(shift, p->max, lanes * sizeof *shift);
    if (plan->fault) apply_faults(plan, p, n, shift, for_o, for_sum);

    /* P^T takes the place of S^T. */
    micro->exp2_sum(p->s, n, shift, sum);
    for (size_t l = 0; l < lanes; l++)
        p->sum[l] = p->sum[l] * for_sum[l] + sum[l];
    if (plan->config.dtype != FMHA_F32)
        micro->round(p->s, n * lanes, plan->config.dtype);

    /* O^T = O^T diag(for_o) + V^T P^T. */
    micro->product(
        &(fmha_product){t->v, dim, t->keys, p->s, dim, n, for_o, p->o});
}

/* All keys of one tile of queries: each tile of K and V is used by all panels
 * while it lies in the cache. */
static void attend(const fmha_plan *plan, const float *k, const float *v,
                   const panel *panels, size_t count) {
    const size_t tile_n = plan->config.tile_n;
    const size_t last = visible(plan, panels[count - 1].i1 - 1);
    for (size_t tile = 0; tile < plan->key_tiles; tile++) {
        const size_t at = tile * tile_n * plan->shape.head_dim;
        key_tile t = {k + at, v + at, tile * tile_n,
                      fmha_tile_keys(plan, tile)};
        if (t.j0 >= last) break;
        if (plan->fault == FAULT_TAIL_TILE && t.keys < tile_n) break;
        for (size_t p = 0; p < count; p++) {
            size_t n =
                keys_to_read(plan, panels[p].i0, panels[p].i1, t.j0, t.keys);
            if (n > 0) meet_keys(plan, &t, &panels[p], n);
        }
    }
}
//< online_softmax

/* --- units of work --- */

/* O / l and the LSE of one panel. A query that sees no key has l = 0. */
static void finish(const fmha_plan *plan, fmha_scratch *w, const panel *p,
                   const fmha_forward_args *x, size_t b, size_t h) {
    float by[FMHA_MAX_LANES];
    for (size_t l = 0; l < plan->lanes; l++)
        by[l] = p->sum[l] == 0 && plan->fault != FAULT_EMPTY_ROW
                    ? 0
                    : 1 / p->sum[l];
    fmha_store_panel(plan, w, p->o, by, fmha_out_row(&x->o, b, h, p->i0),
                     x->o.row, p->i1 - p->i0);
    if (!x->lse) return;
    float *lse = x->lse + (b * plan->shape.heads + h) * plan->shape.q_len;
    for (size_t i = p->i0; i < p->i1; i++) {
        double sum = p->sum[i - p->i0], max = p->max[i - p->i0];
        if (plan->fault == FAULT_LSE_MAXIMUM) max = 0;
        lse[i] = sum == 0 ? -INFINITY
                          : (float)((max + log2(sum)) *
                                    (plan->fault == FAULT_LSE_BASE ? 1 : LN2));
    }
}

/* Q of one panel, and the state before the first key. */
static void begin(const fmha_plan *plan, const panel *p, const float *q,
                  size_t ld) {
    fmha_pack_queries(plan, (float *)(uintptr_t)p->q, q, ld, p->i1 - p->i0,
                      plan->scale2);
    memset(p->o, 0, plan->shape.head_dim * plan->lanes * sizeof *p->o);
    for (size_t l = 0; l < plan->lanes; l++) {
        p->max[l] = plan->fault == FAULT_FLOOR ? -INFINITY : FLOOR;
        p->sum[l] = 0;
    }
}

static void run_unit(const fmha_plan *plan, const fmha_forward_args *x,
                     fmha_scratch *w, size_t unit) {
    enum { MAX_PANELS = 64 };
    const fmha_shape *z = &plan->shape;
    const size_t tile_m = plan->config.tile_m, lanes = plan->lanes,
                 tiles = fmha_panels_of(z->q_len, tile_m),
                 b = unit / tiles / z->heads, h = unit / tiles % z->heads,
                 begin_i = unit % tiles * tile_m,
                 end_i = fmha_min(begin_i + tile_m, z->q_len);
    const size_t kv_head =
        plan->fault == FAULT_KV_HEAD ? h % z->kv_heads : fmha_kv_head(z, h);
    panel panels[MAX_PANELS];
    size_t count = 0, back = 0;
    if (plan->fault == FAULT_NEIGHBOUR && end_i - begin_i < tile_m)
        back = fmha_min(begin_i, tile_m);
    for (size_t i = begin_i; i < end_i; i += lanes, count++) {
        size_t at = count * z->head_dim * lanes;
        panels[count] = (panel){w->q + at,
                                w->s,
                                w->o + at,
                                w->max + count * lanes,
                                w->sum + count * lanes,
                                i,
                                fmha_min(i + lanes, end_i)};
        begin(plan, &panels[count], fmha_row(&x->q, b, h, i - back), x->q.row);
    }
    size_t head = (b * z->kv_heads + kv_head) * plan->key_tiles *
                  plan->config.tile_n * z->head_dim;
    attend(plan, plan->k + head, plan->v + head, panels, count);
    for (size_t p = 0; p < count; p++) finish(plan, w, &panels[p], x, b, h);
}

typedef struct job {
    fmha_plan *plan;
    const fmha_forward_args *x;
} job;

static void forward_share(void *arg, int thread, int threads) {
    const job *j = arg;
    const fmha_share *mine = &j->plan->share[thread];
    pack_keys_and_values(j->plan, j->x, thread, threads);
    dev_pool_barrier(j->plan->pool);
    for (size_t i = 0; i < mine->count; i++)
        run_unit(j->plan, j->x, &j->plan->scratch[thread], mine->units[i]);
}

void fmha_fused_forward(fmha_plan *plan, const fmha_forward_args *x) {
    dev_pool_run(plan->pool, forward_share, &(job){plan, x});
}
