/* What a plan holds, and what its variants share. Private to kernels/fmha. */
#ifndef SPAK_FMHA_PLAN_H
#define SPAK_FMHA_PLAN_H

#include "device/threads.h"
#include "fmha/fmha.h"
#include "fmha/micro.h"
#include "matmul/matmul.h"

/* Numbers of fmha_faults, plus one. */
enum {
    FAULT_NONE,
    FAULT_ACCUMULATOR,
    FAULT_SUM,
    FAULT_MAXIMUM,
    FAULT_ONE_KEY_MORE,
    FAULT_ONE_KEY_LESS,
    FAULT_DIAGONAL,
    FAULT_TOP_LEFT,
    FAULT_TAIL_KEYS,
    FAULT_TAIL_TILE,
    FAULT_SCALE,
    FAULT_KV_HEAD,
    FAULT_FLOOR,
    FAULT_LSE_MAXIMUM,
    FAULT_LSE_BASE,
    FAULT_EMPTY_ROW,
    FAULT_NEIGHBOUR,
    FAULT_SCORES_ROUNDED,
    FAULT_DELTA,
    FAULT_GROUP,
    FAULT_DQ_SCALE,
    FAULT_BACKWARD_CAUSAL,
    FAULT_UNNORMALISED,
    FAULT_EMPTY_ROW_BACKWARD,
    FAULT_PARTS_BY_THREADS,
    FAULTS_END
};
_Static_assert(FAULTS_END == FMHA_NUM_FAULTS + 1, "each fault has a name");

/* One thread's share: numbers of units in the order in which it does them. */
typedef struct fmha_share {
    uint32_t *units;
    size_t count;
} fmha_share;

/* What one thread of the fused kernels writes to. L lanes, P panels. */
typedef struct fmha_scratch {
    float *q;      /* (tile_m / L, D, L), scaled */
    float *o;      /* (tile_m / L, D, L) */
    float *max;    /* (tile_m): the running maximum, in base 2 */
    float *sum;    /* (tile_m) */
    float *s, *dp; /* (tile_m / L, tile_n, L); forward: one panel of s */
    float *rows;   /* (L, D): a panel on its way to memory */
    /* The rest is the backward pass's. P = panels of all queries, E of D. */
    float *all_q, *all_do;          /* (P, D, L) */
    float *dq;                      /* (P, D, L): this unit's, in part_dq */
    float *lanes_q, *lanes_do;      /* (E, P, L, L) */
    float *shift, *delta, *undo;    /* (P L) */
    float *k_keys, *v_keys, *k_dim; /* a key tile, packed three ways */
    float *dk, *dv;                 /* (E, tile_n, L) */
} fmha_scratch;

struct fmha_plan {
    fmha_config config;
    fmha_shape shape;
    int threads;
    fmha_fault fault;
    float scale, scale2;       /* scale2 in base 2 */
    dev_pool *pool, *own_pool; /* own_pool: NULL when others use it too */
    void *raw;
    size_t bytes; /* of raw */

    /* fused */
    const fmha_micro *micro;
    const matmul_isa_kernels *pack;
    size_t lanes, key_tiles;
    float *k, *v;          /* packed, (B Hkv, key_tiles, tile_n D) */
    fmha_scratch *scratch; /* (threads) */
    size_t key_parts;      /* units of a head in the backward pass */
    fmha_share *share, *backward_share; /* (threads) */
    float *part_dq;                     /* (B, H, key_parts, P, D, L) */
    float *part_dk, *part_dv; /* (B, H, Tk, D): each query head's own */

    /* naive and unfused */
    float *s, *dp;          /* (B, H, Tq, Tk), naive: (Tq, Tk) */
    matmul_plan **products; /* (threads), one thread each */
};

static inline size_t fmha_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t fmha_max(size_t a, size_t b) { return a > b ? a : b; }

/* Part `index` of `parts` of 0..count. */
static inline size_t fmha_part(size_t count, size_t index, size_t parts) {
    return count * index / parts;
}

static inline const float *fmha_row(const fmha_in *x, size_t b, size_t h,
                                    size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}
static inline float *fmha_out_row(const fmha_out *x, size_t b, size_t h,
                                  size_t t) {
    return x->data + b * x->batch + h * x->head + t * x->row;
}

/* How many keys query i sees: they are the first ones. */
static inline size_t fmha_visible(const fmha_shape *x, size_t i) {
    if (!x->causal) return x->kv_len;
    return i + 1 + x->kv_len > x->q_len ? i + 1 + x->kv_len - x->q_len : 0;
}

static inline size_t fmha_kv_head(const fmha_shape *x, size_t h) {
    return h / (x->heads / x->kv_heads);
}

/* --- the variants --- */

enum { FMHA_UNFUSED_ROWS = 512 }; /* rows of S in a unit of work */

void fmha_naive_forward(fmha_plan *plan, const fmha_forward_args *x);
void fmha_naive_backward(fmha_plan *plan, const fmha_backward_args *x);
void fmha_unfused_forward(fmha_plan *plan, const fmha_forward_args *x);
void fmha_unfused_backward(fmha_plan *plan, const fmha_backward_args *x);
void fmha_fused_forward(fmha_plan *plan, const fmha_forward_args *x);
void fmha_fused_backward(fmha_plan *plan, const fmha_backward_args *x);

/* --- what they share --- */

/* out[i] = dO_i . O_i, i0 <= i < i0 + rows, of query head h. */
void fmha_delta(const fmha_backward_args *x, size_t b, size_t h, size_t i0,
                size_t rows, size_t head_dim, float *out);

/* dK and dV from the parts of each group's query heads, summed in the order of
 * the heads, dK scaled; this thread's share of the keys. */
void fmha_sum_groups(const fmha_plan *plan, const fmha_backward_args *x,
                     int thread, int threads);

/* The first key tile of part `part` of a head's tiles. */
static inline size_t fmha_part_tile(const fmha_plan *plan, size_t part) {
    return fmha_part(plan->key_tiles, part, plan->key_parts);
}

/* Rounds one row of an output. */
void fmha_round_row(float *row, size_t n, fmha_dtype dtype);

/* The keys of tile t and how they are packed (fused.c). */
size_t fmha_tile_keys(const fmha_plan *plan, size_t tile);

/* dst: rows j0.. of a head of K or V in panels whose rows are keys (depth D),
 * or elements of head_dim (depth: keys). `keys` rows, those beyond kv_len are
 * zeros. */
void fmha_pack_keys(const fmha_plan *plan, float *dst, const float *src,
                    size_t ld, size_t keys, size_t valid);
void fmha_pack_dims(const fmha_plan *plan, float *dst, const float *src,
                    size_t ld, size_t keys, size_t valid);

/* A panel (D, lanes) of `rows` queries, times `by`. */
void fmha_pack_queries(const fmha_plan *plan, float *dst, const float *src,
                       size_t ld, size_t rows, float by);
/* And back: rows of `dst` = panel^T diag(by), rounded. */
void fmha_store_panel(const fmha_plan *plan, fmha_scratch *w, float *panel,
                      const float *by, float *dst, size_t ld, size_t rows);

/* Sets the scores of keys that a query may not see to minus infinity, where
 * panel s (n, lanes) holds the keys from j0 and the queries from i0. */
void fmha_mask(const fmha_plan *plan, const fmha_shape *shape, float *s,
               size_t i0, size_t j0, size_t n);

#endif
