/* The fused backward pass. With P = softmax(scale Q K^T + mask) recomputed from
 * the LSE, and delta_i = dO_i . O_i, which is the sum over j of P_ij dP_ij:
 *
 *   dV = P^T dO       dP = dO V^T       dS = P o (dP - delta)
 *   dQ = scale dS K   dK = scale dS^T Q
 *
 * Five products a tile, of which S and P, dP and dS never leave it.
 *
 * A unit of work is one query head, or with few heads a part of its keys: it
 * walks over the tiles of keys, whose dK and dV stay in the second-level cache,
 * and for each of them over the tiles of queries, whose dQ is a sum over the
 * tiles of keys in their order. The parts' dQ, and dK and dV of a group of
 * heads, are summed afterwards, in their order. Nothing depends on which thread
 * did what.
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

/* One head's queries and their dO, packed for all tiles of keys, from panel
 * `first` on: those before it see no key. Lanes beyond the last query hold
 * zeros, and a shift that makes their P zero. */
static void pack_head(const fmha_plan *plan, const fmha_backward_args *x,
                      fmha_scratch *w, size_t b, size_t h, size_t first) {
    const fmha_shape *z = &plan->shape;
    const size_t lanes = plan->lanes, dim = z->head_dim,
                 panels = fmha_panels_of(z->q_len, lanes);
    const float *lse = x->lse + (b * z->heads + h) * z->q_len;
    for (size_t p = first; p < panels; p++) {
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

/* The first panel of queries that sees key j0, or the number of panels. */
static size_t first_panel(const fmha_plan *plan, const fmha_shape *shape,
                          size_t j0) {
    const backward_tile one = {j0, 1, 0, 0};
    size_t p = 0, panels = fmha_panels_of(shape->q_len, plan->lanes);
    while (p < panels && keys_of_panel(plan, shape, &one, p) == 0) p++;
    return p;
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

/* Element 0 of the dQ of part 0 of a head, and the floats of a part. */
static float *dq_of_head(const fmha_plan *plan, size_t head, size_t *floats) {
    *floats = fmha_panels_of(plan->shape.q_len, plan->lanes) * plan->lanes *
              plan->shape.head_dim;
    return plan->part_dq + head * plan->key_parts * *floats;
}

/* A part of a head's keys, and all of its queries that see them. */
static void run_unit(const fmha_plan *plan, const fmha_backward_args *x,
                     fmha_scratch *w, size_t unit) {
    fmha_shape shape = plan->shape;
    const size_t head = unit / plan->key_parts, part = unit % plan->key_parts,
                 b = head / shape.heads, h = head % shape.heads,
                 panels = fmha_panels_of(shape.q_len, plan->lanes),
                 per_tile = plan->config.tile_m / plan->lanes,
                 tile_n = plan->config.tile_n,
                 end = fmha_part_tile(plan, part + 1);
    size_t floats;
    w->dq = dq_of_head(plan, head, &floats) + part * floats;
    memset(w->dq, 0, floats * sizeof *w->dq);
    if (plan->fault == FAULT_BACKWARD_CAUSAL) shape.causal = false;
    pack_head(plan, x, w, b, h,
              first_panel(plan, &shape, fmha_part_tile(plan, part) * tile_n));
    for (size_t tile = fmha_part_tile(plan, part); tile < end; tile++) {
        size_t j0 = tile * tile_n;
        backward_tile t = {j0, fmha_min(tile_n, shape.kv_len - j0),
                           first_panel(plan, &shape, j0), 0};
        pack_tile(plan, x, w, b, h, j0, t.keys);
        for (; t.p0 < panels; t.p0 = t.p1) {
            t.p1 = fmha_min(t.p0 + per_tile, panels);
            meet_queries(plan, w, &shape, &t);
        }
        store_tile(plan, w, &t, b, h);
    }
}

/* dQ from the parts of each head, summed in their order; this thread's share of
 * the panels of queries. */
static void sum_parts(const fmha_plan *plan, const fmha_backward_args *x,
                      fmha_scratch *w, int thread, int threads) {
    const fmha_shape *z = &plan->shape;
    const size_t lanes = plan->lanes, size = z->head_dim * lanes,
                 panels = fmha_panels_of(z->q_len, lanes),
                 all = z->batch * z->heads * panels,
                 end = fmha_part(all, (size_t)thread + 1, (size_t)threads);
    float by[FMHA_MAX_LANES];
    for (size_t l = 0; l < lanes; l++)
        by[l] = plan->fault == FAULT_DQ_SCALE ? 1 : plan->scale;
    for (size_t u = fmha_part(all, (size_t)thread, (size_t)threads); u < end;
         u++) {
        size_t floats, head = u / panels, p = u % panels, i = p * lanes;
        float *dq = dq_of_head(plan, head, &floats) + p * size;
        for (size_t part = 1; part < plan->key_parts; part++)
            for (size_t e = 0; e < size; e++) dq[e] += dq[part * floats + e];
        fmha_store_panel(
            plan, w, dq, by,
            fmha_out_row(&x->dq, head / z->heads, head % z->heads, i),
            x->dq.row, fmha_min(lanes, z->q_len - i));
    }
}

typedef struct job {
    fmha_plan *plan;
    const fmha_backward_args *x;
} job;

static void backward_share(void *arg, int thread, int threads) {
    const job *j = arg;
    const fmha_share *mine = &j->plan->backward_share[thread];
    fmha_scratch *w = &j->plan->scratch[thread];
    for (size_t u = 0; u < mine->count; u++)
        run_unit(j->plan, j->x, w, mine->units[u]);
    dev_pool_barrier(j->plan->pool);
    sum_parts(j->plan, j->x, w, thread, threads);
    fmha_sum_groups(j->plan, j->x, thread, threads);
}

void fmha_fused_backward(fmha_plan *plan, const fmha_backward_args *x) {
    dev_pool_run(plan->pool, backward_share, &(job){plan, x});
}
