/* The fused backward pass. With P = softmax(scale Q K^T + mask) recomputed from
 * the LSE, and delta_i = dO_i . O_i, which is the sum over j of P_ij dP_ij:
 *
 *   dV = P^T dO       dP = dO V^T       dS = P o (dP - delta)
 *   dQ = scale dS K   dK = scale dS^T Q
 *
 * Five products a tile, of which S and P, dP and dS never leave it.
 *
 * A unit of work is one query head: it walks over the tiles of keys, whose dK
 * and dV stay in the second-level cache, and for each of them over the tiles of
 * queries, whose dQ is a sum over the tiles of keys in their order. dK and dV
 * of a group of heads are summed afterwards, in the order of the heads. Nothing
 * depends on which thread did what.
 *
 * Queries lie in the lanes as in fused.c. dQ^T += K^T dS^T is then a product
 * like O^T += V^T P^T. For dV += P dO the sum is over queries: P^T is read
 * along its lanes, and what lies in the lanes is a piece of head_dim
 * (fmha_outer). */
#include <math.h>
#include <string.h>

#include "fmha/plan.h"

static const float ones[FMHA_MAX_LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                           1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                           1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* One head's queries and their dO, packed for all tiles of keys. Lanes beyond
 * the last query hold zeros, and a shift that makes their P zero. */
static void pack_head(const fmha_plan *plan, const fmha_backward_args *x,
                      fmha_scratch *w, size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    const size_t lanes = plan->lanes, dim = z->head_dim,
                 panels = fmha_panels_of(z->q_len, lanes);
    const float *lse = x->lse + (b * z->heads + h) * z->q_len;
    for (size_t p = 0; p < panels; p++) {
        size_t i = p * lanes, rows = fmha_min(lanes, z->q_len - i);
        const float *q = fmha_row(&x->q, b, h, i),
                    *d_o = fmha_row(&x->d_o, b, h, i);
        fmha_pack_queries(plan, w->all_q + i * dim, q, x->q.row, rows,
                          plan->scale2);
        fmha_pack_queries(plan, w->all_do + i * dim, d_o, x->d_o.row, rows, 1);
        for (size_t e = 0; e * lanes < dim; e++) {
            size_t at = (e * panels + p) * lanes * lanes,
                   width = fmha_min(lanes, dim - e * lanes);
            memset(w->lanes_q + at, 0, lanes * lanes * sizeof(float));
            memset(w->lanes_do + at, 0, lanes * lanes * sizeof(float));
            plan->pack->pack_copy(w->lanes_q + at, lanes, q + e * lanes,
                                  x->q.row, rows, width);
            plan->pack->pack_copy(w->lanes_do + at, lanes, d_o + e * lanes,
                                  x->d_o.row, rows, width);
        }
        for (size_t l = 0; l < lanes; l++) {
            bool there = l < rows && (lse[i + l] != -INFINITY ||
                                      plan->fault == FAULT_EMPTY_ROW_BACKWARD);
            w->shift[i + l] =
                there ? (float)((double)lse[i + l] * 1.44269504088896341)
                      : INFINITY;
            w->delta[i + l] = 0;
        }
    }
    if (plan->fault != FAULT_DELTA)
        fmha_delta(x, b, h, 0, z->q_len, dim, w->delta);
    memset(w->dq, 0, panels * lanes * dim * sizeof *w->dq);
}

static void pack_tile(const fmha_plan *plan, const fmha_backward_args *x,
                      fmha_scratch *w, size_t b, size_t h, size_t j0,
                      size_t keys) {
    size_t kv_head = fmha_kv_head(&plan->shape, h),
           dims =
               fmha_panels_of(plan->shape.head_dim, plan->lanes) * plan->lanes;
    const float *k = fmha_row(&x->k, b, kv_head, j0),
                *v = fmha_row(&x->v, b, kv_head, j0);
    fmha_pack_keys(plan, w->k_keys, k, x->k.row, keys, keys);
    fmha_pack_keys(plan, w->v_keys, v, x->v.row, keys, keys);
    fmha_pack_dims(plan, w->k_dim, k, x->k.row, keys, keys);
    memset(w->dk, 0, plan->config.tile_n * dims * sizeof *w->dk);
    memset(w->dv, 0, plan->config.tile_n * dims * sizeof *w->dv);
}

/* A tile of keys meets the panels p0 .. p1 - 1 of one head's queries. */
typedef struct backward_tile {
    size_t j0, keys;
    size_t p0, p1;
} backward_tile;

/* How many of the tile's keys the panel p reads. */
static size_t keys_of_panel(const fmha_plan *plan, const fmha_shape *shape,
                            const backward_tile *t, size_t p) {
    size_t last = fmha_min((p + 1) * plan->lanes, shape->q_len) - 1,
           seen = fmha_visible(shape, last);
    return seen > t->j0 ? fmha_min(seen - t->j0, t->keys) : 0;
}

/* A mistake: dV from P that was never divided by the sum. */
static void undo_normalisation(const fmha_plan *plan, const float *shift,
                               float *p, size_t n) {
    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < plan->lanes; l++)
            p[j * plan->lanes + l] *= isfinite(shift[l]) ? exp2f(shift[l]) : 0;
}

//> backward_tile
/* P^T and dS^T of one panel of queries and n keys, and its part of dQ^T. What
 * lies below them up to row `n_tile` is zeroed, for the products over all
 * panels of the tile. */
static void panel_gradients(const fmha_plan *plan, fmha_scratch *w,
                            const fmha_shape *shape, const backward_tile *t,
                            size_t p, size_t n, size_t n_tile) {
    const fmha_micro *micro = plan->micro;
    const size_t lanes = plan->lanes, dim = shape->head_dim, i = p * lanes;
    float *s = w->s + (p - t->p0) * plan->config.tile_n * lanes,
          *ds = w->dp + (p - t->p0) * plan->config.tile_n * lanes,
          unused[FMHA_MAX_LANES];
    size_t below = (n_tile - n) * lanes * sizeof *s;

    micro->product(&(fmha_product){w->k_keys, t->keys, dim, w->all_q + i * dim,
                                   n, dim, NULL, s});
    fmha_mask(plan, shape, s, i, t->j0, n);
    micro->exp2_sum(s, n, w->shift + i, unused);
    micro->product(&(fmha_product){w->v_keys, t->keys, dim, w->all_do + i * dim,
                                   n, dim, NULL, ds});
    micro->score_gradient(ds, s, n, w->delta + i);
    if (plan->fault == FAULT_UNNORMALISED)
        undo_normalisation(plan, w->shift + i, s, n);
    if (plan->config.dtype != FMHA_F32) {
        micro->round(s, n * lanes, plan->config.dtype);
        micro->round(ds, n * lanes, plan->config.dtype);
    }
    micro->product(&(fmha_product){w->k_dim, dim, t->keys, ds, dim, n, ones,
                                   w->dq + i * dim});
    memset(s + n * lanes, 0, below);
    memset(ds + n * lanes, 0, below);
}

static void meet_queries(const fmha_plan *plan, fmha_scratch *w,
                         const fmha_shape *shape, const backward_tile *t) {
    const size_t lanes = plan->lanes, tile_n = plan->config.tile_n,
                 panels = fmha_panels_of(shape->q_len, lanes);
    const size_t n_tile = keys_of_panel(plan, shape, t, t->p1 - 1);
    if (n_tile == 0) return;
    for (size_t p = t->p0; p < t->p1; p++)
        panel_gradients(plan, w, shape, t, p, keys_of_panel(plan, shape, t, p),
                        n_tile);
    for (size_t e = 0; e * lanes < shape->head_dim; e++) {
        size_t at = (e * panels + t->p0) * lanes * lanes;
        fmha_outer dv = {
            w->s,          tile_n,           n_tile,
            t->p1 - t->p0, w->lanes_do + at, w->dv + e * tile_n * lanes};
        fmha_outer dk = {w->dp,           tile_n,
                         n_tile,          t->p1 - t->p0,
                         w->lanes_q + at, w->dk + e * tile_n * lanes};
        plan->micro->outer(&dv);
        plan->micro->outer(&dk);
    }
}
//< backward_tile

/* dK and dV of a tile of keys, as far as this query head goes. */
static void store_tile(const fmha_plan *plan, const fmha_scratch *w,
                       const backward_tile *t, size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    const size_t lanes = plan->lanes, dim = z->head_dim;
    size_t at = ((b * z->heads + h) * z->kv_len + t->j0) * dim;
    for (size_t j = 0; j < t->keys; j++)
        for (size_t e = 0; e * lanes < dim; e++) {
            size_t width = fmha_min(lanes, dim - e * lanes) * sizeof(float),
                   from = (e * plan->config.tile_n + j) * lanes,
                   to = at + j * dim + e * lanes;
            memcpy(plan->part_dk + to, w->dk + from, width);
            memcpy(plan->part_dv + to, w->dv + from, width);
        }
}

static void store_dq(const fmha_plan *plan, const fmha_backward_args *x,
                     fmha_scratch *w, size_t b, size_t h) {
    const fmha_shape *z = &plan->shape;
    float by[FMHA_MAX_LANES];
    for (size_t l = 0; l < plan->lanes; l++)
        by[l] = plan->fault == FAULT_DQ_SCALE ? 1 : plan->scale;
    for (size_t i = 0; i < z->q_len; i += plan->lanes)
        fmha_store_panel(plan, w, w->dq + i * z->head_dim, by,
                         fmha_out_row(&x->dq, b, h, i), x->dq.row,
                         fmha_min(plan->lanes, z->q_len - i));
}

static void run_head(const fmha_plan *plan, const fmha_backward_args *x,
                     fmha_scratch *w, size_t b, size_t h) {
    fmha_shape shape = plan->shape;
    if (plan->fault == FAULT_BACKWARD_CAUSAL) shape.causal = false;
    const size_t panels = fmha_panels_of(shape.q_len, plan->lanes),
                 per_tile = plan->config.tile_m / plan->lanes,
                 tile_n = plan->config.tile_n;
    pack_head(plan, x, w, b, h);
    for (size_t j0 = 0; j0 < shape.kv_len; j0 += tile_n) {
        backward_tile t = {j0, fmha_min(tile_n, shape.kv_len - j0), 0, 0};
        pack_tile(plan, x, w, b, h, j0, t.keys);
        for (; t.p0 < panels; t.p0 = t.p1) {
            t.p1 = fmha_min(t.p0 + per_tile, panels);
            meet_queries(plan, w, &shape, &t);
        }
        store_tile(plan, w, &t, b, h);
    }
    store_dq(plan, x, w, b, h);
}

typedef struct job {
    fmha_plan *plan;
    const fmha_backward_args *x;
} job;

static void backward_share(void *arg, int thread, int threads) {
    const job *j = arg;
    const fmha_shape *z = &j->plan->shape;
    const size_t heads = z->batch * z->heads;
    for (size_t u = (size_t)thread; u < heads; u += (size_t)threads)
        run_head(j->plan, j->x, &j->plan->scratch[thread], u / z->heads,
                 u % z->heads);
    dev_pool_barrier(j->plan->pool);
    fmha_sum_groups(j->plan, j->x, thread, threads);
}

void fmha_fused_backward(fmha_plan *plan, const fmha_backward_args *x) {
    dev_pool_run(plan->pool, backward_share, &(job){plan, x});
}
