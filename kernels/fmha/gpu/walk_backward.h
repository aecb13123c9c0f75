/* The walk of the backward pass: which tiles of queries a tile of keys visits,
 * where those keep their sums, and in what order their dQ is added up; the same
 * text for C and CUDA. The mask is the band of walk.h, looked at from the keys.
 *
 * A tile of keys visits the tiles of queries first ... end - 1, once for each
 * query head of its group. So a tile of queries gets its dQ from consecutive
 * tiles of keys. Where the order of these sums must not depend on the run, they
 * are added from the last tile of keys to the first (fmha_turn): under a causal
 * mask the last one begins with these very queries, while earlier ones come to
 * them later, so that blocks that start together need not wait for each other.
 * Blocks take the tiles of keys in the same order (fmha_order with `longest`):
 * a block waits only for tiles that were taken before its own, hence never in a
 * circle. Elsewhere the first tiles of keys, which causal queries visit most,
 * are taken first. */
#ifndef SPAK_FMHA_GPU_WALK_BACKWARD_H
#define SPAK_FMHA_GPU_WALK_BACKWARD_H

#include "fmha/gpu/walk.h"

/* The tiles of queries that a tile of keys visits: first ... end - 1, of which
 * whole ... whole_end - 1 need no mask for the queries that exist. */
typedef struct fmha_visits {
    int first, whole, whole_end, end;
} fmha_visits;

/* Of keys first_k ... first_k + tile_n - 1; first = end when no query sees any
 * of them. A tile that ends beyond the last key always needs the mask.
 * window < 0: none. */
FMHA_BOTH fmha_visits fmha_queries_of(int first_k, int tile_m, int tile_n,
                                      int queries, int keys, int causal,
                                      int window) {
    const int shift = keys - queries;
    const int last_k = fmha_least(first_k + tile_n, keys) - 1;
    int begin = 0, end = queries, whole = 0, whole_end = queries;
    if (causal) {
        begin = fmha_most(0, first_k - shift);
        whole = fmha_most(0, last_k - shift);
    }
    if (window >= 0) {
        end = fmha_least(end, last_k - shift + window + 1);
        whole_end = fmha_least(whole_end, first_k - shift + window + 1);
    }
    if (first_k + tile_n > keys) whole_end = 0;
    fmha_visits v = {begin / tile_m, fmha_tiles(whole, tile_m),
                     fmha_most(whole_end, 0) / tile_m,
                     fmha_tiles(fmha_most(end, 0), tile_m)};
    if (whole_end == queries) v.whole_end = v.end;
    if (last_k < first_k || begin >= end) v.end = v.first;
    return v;
}

/* How many tiles of keys add to tile m of queries before tile n does. */
FMHA_BOTH int fmha_turn(int m, int n, int tile_m, int tile_n, int queries,
                        int keys, int causal) {
    const int shift = keys - queries;
    int last = fmha_tiles(keys, tile_n) - 1;
    if (causal)
        last = fmha_least(last, ((m + 1) * tile_m - 1 + shift) / tile_n);
    return last - n;
}

/* --- where a tile of queries keeps dQ, logarithms and deltas ---
 *
 * In whole tiles, also at the end of a sequence. With sequences of their own
 * lengths (cu_q not 0) one begins at tile cu_q[b] / tile_m + b of its head,
 * which leaves room for all tiles of those before it. */
FMHA_BOTH long long fmha_row_tiles(int batch, int q_len, int total_q,
                                   int tile_m, int varlen) {
    return varlen ? total_q / tile_m + batch
                  : (long long)batch * fmha_tiles(q_len, tile_m);
}
FMHA_BOTH long long fmha_row_tile(int b, int h, int m, int batch, int heads,
                                  int q_len, int total_q, int tile_m,
                                  const int *cu_q) {
    if (cu_q)
        return h * fmha_row_tiles(batch, q_len, total_q, tile_m, 1) +
               cu_q[b] / tile_m + b + m;
    return ((long long)b * heads + h) * fmha_tiles(q_len, tile_m) + m;
}

/* Floats of `delta`: for each such tile tile_m logarithms and tile_m deltas,
 * then the number of the next tile of keys (4 bytes). */
FMHA_BOTH long long fmha_delta_floats(int batch, int heads, int q_len,
                                      int total_q, int tile_m, int varlen) {
    return fmha_row_tiles(batch, q_len, total_q, tile_m, varlen) * heads * 2 *
               tile_m +
           1;
}

/* --- which tile of keys is a block's next, when dQ is added in turn ---
 *
 * (Otherwise whoever is free takes the next.) Block i takes places i, i +
 * blocks, ... of the order. Under a causal mask lengths rise along it, so every
 * other round goes backwards, which evens out the sums of lengths, and the
 * incomplete round comes first. -1: there is none in this round, -2: nor in
 * those after it. */
FMHA_BOTH int fmha_place(int round, int block, int blocks, int tiles,
                         int causal) {
    const int skip = causal ? (blocks - tiles % blocks) % blocks : 0;
    const int back = causal && round % 2;
    const int at = round * blocks + (back ? blocks - 1 - block : block) - skip;
    if (round * blocks >= tiles + skip) return -2;
    return at < 0 || at >= tiles ? -1 : at;
}

/* --- what sm90_backward.cu needs --- */

/* Columns of dQ in f32: a tile of queries keeps tile_m rows of them. */
FMHA_BOTH int fmha_dq_columns(int head_dim, int tile_m) {
    return tile_m == 128 ? head_dim : fmha_tiles(head_dim, 64) * 64;
}

/* Shared memory: tiles K, V | stages of Q, of dO | two of dS | dQ | stages of
 * logarithms and deltas | two pieces of work | barriers. */
FMHA_BOTH int fmha_backward_smem(int head_dim, int tile_m, int tile_n,
                                 int stages) {
    const int row = fmha_tiles(head_dim, 64) * 128;
    return 2 * tile_n * row + 2 * stages * tile_m * row +
           2 * tile_m * tile_n * 2 +
           tile_m * fmha_dq_columns(head_dim, tile_m) * 4 +
           stages * tile_m * 8 + 2 * 64 + (13 + 3 * stages) * 8;
}

#endif
