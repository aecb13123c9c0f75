/* Bytes that a run moves between its loops and the tensors in memory, counted
 * as the loops run and not as caches serve them: a tile that is read again
 * counts again. The packed copies of K and V count as the tensors that they
 * are copies of: once read and once written to pack them, then once read by
 * each tile of queries for the keys that it sees. */
#include "fmha/plan.h"

/* Elements of Q, of K, and pairs of a query and a key: those seen, in panels of
 * `lanes` queries, or all. */
typedef struct counts {
    double q, k, lse, pairs;
} counts;

static counts count(const fmha_shape *x) {
    double heads = (double)(x->batch * x->heads),
           rows = heads * (double)x->q_len;
    return (counts){
        rows * (double)x->head_dim,
        (double)(x->batch * x->kv_heads) * (double)(x->kv_len * x->head_dim),
        rows, rows * (double)x->kv_len};
}

/* Rows of K that tiles of tile_m queries read, all heads together. */
static double rows_of_k(const fmha_config *config, const fmha_shape *x) {
    double rows = 0;
    for (size_t i = 0; i < x->q_len; i += config->tile_m)
        rows +=
            (double)fmha_visible(x, fmha_min(i + config->tile_m, x->q_len) - 1);
    return rows * (double)(x->batch * x->heads);
}

double fmha_traffic_bytes(const fmha_config *config, const fmha_shape *x) {
    counts n = count(x);
    const double dim = (double)x->head_dim, f = sizeof(float),
                 group = (double)(x->heads / x->kv_heads);
    if (config->variant >= FMHA_FUSED)
        return f * (2 * n.q + n.lse + 4 * n.k + 2 * dim * rows_of_k(config, x));
    /* Rows of Q meet all keys: a key is read for each query (naive), or for
     * each block of them. S is written, read and written as P, read. */
    double times = config->variant == FMHA_NAIVE
                       ? (double)x->q_len
                       : (double)fmha_panels_of(x->q_len, FMHA_UNFUSED_ROWS);
    return f * (2 * n.q + n.lse + 4 * n.pairs + 2 * n.k * group * times);
}

double fmha_backward_traffic_bytes(const fmha_config *config,
                                   const fmha_shape *x) {
    counts n = count(x);
    const double dim = (double)x->head_dim, f = sizeof(float),
                 group = (double)(x->heads / x->kv_heads),
                 parts =
                     4 * n.k * group, /* dK, dV of each head and their sum */
        ends = 4 * n.q + n.lse + 2 * n.k; /* Q, O, dO; dQ; LSE */
    if (config->variant >= FMHA_FUSED) {
        /* Each tile of keys is packed once a head; the queries that see it read
         * their Q and dO twice, and dQ, read and written. */
        double rows = 0;
        for (size_t j = 0; j < x->kv_len; j += config->tile_n) {
            size_t i = 0;
            while (i < x->q_len && fmha_visible(x, i) <= j) i++;
            rows += (double)(x->q_len - i);
        }
        rows *= (double)(x->batch * x->heads);
        return f * (ends + parts + 2 * n.k * group + 6 * dim * rows);
    }
    double times = config->variant == FMHA_NAIVE
                       ? (double)x->q_len
                       : (double)fmha_panels_of(x->q_len, FMHA_UNFUSED_ROWS);
    /* S and dP written, read and written as P and dS, and P once, dS twice
     * read by the products. */
    return f * (ends + parts + 9 * n.pairs + 3 * n.k * group * times);
}
