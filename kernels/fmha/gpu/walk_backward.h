/* The walk of the backward pass: which tiles of queries a tile of keys visits,
 * where those keep their sums, and in what order their dQ is added up; the same
 * text for C and CUDA. The mask is the band of walk.h, looked at from the keys.
 *
 * A tile of keys visits the tiles of queries first ... end - 1, once for each
 * query head of its group. So a tile of queries gets its dQ from consecutive
 * tiles of keys. Where the order of these sums must not depend on the run, each
 * waits for its turn, and from one to the next it takes about as long as a step
 * of the arithmetic. So they had better not come all at once. Blocks go in
 * rounds of whole heads, a tile of keys each, and take up the queries such that
 * whoever is first in turn is there first (4 tiles of keys, their steps from
 * left to right, the tile of queries visited in each):
 *
 *   every pair           causal, even round    causal, odd round (on the right
 *                                              where the even one ended)
 *   n = 3   3 0 1 2      n = 3   3             n = 0   3 2 1 0
 *   n = 2   2 3 0 1      n = 2   2 3           n = 1     3 2 1
 *   n = 1   1 2 3 0      n = 1   1 2 3         n = 2       3 2
 *   n = 0   0 1 2 3      n = 0   0 1 2 3       n = 3         3
 *
 *   each from its own    keys in falling       keys in rising
 *   diagonal, round      order                 order
 *   the end
 *
 * A block that was short in an even round is long in the odd one, and in each
 * pair of rounds all have the same work.
 *
 * Nobody waits in a circle. A tile of keys waits only for visits to the same
 * queries in the same round, and those are at an earlier step (every pair: of
 * the tile's own steps; causal: of the way through all queries of a head, 0 ...
 * M - 1 or back) or at the same step by a tile that is before it in the round's
 * order of keys. A block's own steps follow each other. So of all visits that
 * are left, the first by round, query head, step and that order can go ahead.
 *
 * With a window, with sequences of their own lengths, where a head has more
 * tiles of keys than there are blocks, or where whole heads would leave many
 * blocks without work, dQ is added from the last tile of keys to the first, and
 * blocks take the tiles of keys in the same order (fmha_order with `longest`):
 * a block waits only for tiles that were taken before its own. Under a causal
 * mask the last one begins with these very queries, while earlier ones come to
 * them later. When dQ need not be the same from run to run, the first tiles of
 * keys, which causal queries visit most, are taken first. */
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

/* How the tiles of queries are visited, and so in which order dQ is added. */
enum {
    FMHA_LAST_FIRST,  /* queries upwards, keys from the last to the first */
    FMHA_FIRST_FIRST, /* queries downwards, keys from the first to the last */
    FMHA_ROUND        /* queries upwards from one's own on, and round the end */
};

/* The tile of queries, of first ... end - 1, that tile n of `rows` tiles of
 * keys visits first. With FMHA_ROUND all of these visit them all. */
FMHA_BOTH int fmha_first_visit(int n, int rows, int way, int first, int end) {
    if (way == FMHA_FIRST_FIRST) return end - 1;
    return way == FMHA_ROUND ? n * end / rows : first;
}

/* The tile of queries after m, of first ... end - 1; after a head's last the
 * one that the next head begins with. */
FMHA_BOTH int fmha_next_visit(int m, int way, int first, int end) {
    if (way == FMHA_FIRST_FIRST) return m == first ? end - 1 : m - 1;
    return m + 1 == end ? first : m + 1;
}

/* How many tiles of keys add to tile m of queries before tile n does. */
FMHA_BOTH int fmha_turn(int m, int n, int way, int tile_m, int tile_n,
                        int queries, int keys, int causal) {
    const int rows = fmha_tiles(keys, tile_n), shift = keys - queries;
    int last = rows - 1;
    if (way == FMHA_FIRST_FIRST) return n;
    if (way == FMHA_ROUND) { /* the last that starts at m or before */
        last = ((m + 1) * rows - 1) / fmha_tiles(queries, tile_m);
        return last - n + (n > last ? rows : 0);
    }
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
 * (Otherwise whoever is free takes the next.) */

/* Whole heads in a round of `blocks`, of `heads` (over batches) of `rows` tiles
 * of keys. 0: rounds do not go by heads, for that would take more than 5/4 of
 * the time that the work itself needs. (Causal rounds even out in pairs.) */
FMHA_BOTH int fmha_round_heads(int rows, int heads, int blocks, int causal) {
    const int width = rows > 0 ? blocks / rows : 0;
    if (width == 0) return 0;
    const int rounds = fmha_tiles(heads, width),
              time = causal && rounds > 1 ? rounds + rounds % 2 : rounds;
    return 4 * time <= 5 * fmha_tiles(heads * rows, blocks) ? width : 0;
}

/* Rounds of `width` heads: a block's tile of keys, as number n + rows times its
 * head (the plain fmha_order); -2: none in this round, nor in those after it.
 */
FMHA_BOTH int fmha_round_place(int round, int block, int rows, int heads,
                               int width, int causal) {
    const int n = block % rows, head = round * width + block / rows;
    if (block >= width * rows || head >= heads) return -2;
    return head * rows + (causal && round % 2 ? rows - 1 - n : n);
}
FMHA_BOTH int fmha_round_way(int head, int width, int causal) {
    if (!causal) return FMHA_ROUND;
    return head / width % 2 ? FMHA_FIRST_FIRST : FMHA_LAST_FIRST;
}

/* Otherwise block i takes places i, i + blocks, ... of the order. Under a
 * causal mask lengths rise along it, so every other round goes backwards, which
 * evens out the sums of lengths, and the incomplete round comes first. -1:
 * there is none in this round, -2: nor in those after it. */
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

/* Places for dQ on its way to global memory. Whoever waits for its turn to add
 * one need not keep the other waiting. */
FMHA_BOTH int fmha_dq_stages(int deterministic) {
    return deterministic ? 2 : 1;
}

/* Shared memory: tiles K, V | stages of Q, of dO | two of dS | stages of dQ |
 * stages of logarithms and deltas | two pieces of work | barriers. */
FMHA_BOTH int fmha_backward_smem(int head_dim, int tile_m, int tile_n,
                                 int stages, int deterministic) {
    const int row = fmha_tiles(head_dim, 64) * 128,
              dq = fmha_dq_stages(deterministic);
    return 2 * tile_n * row + 2 * stages * tile_m * row +
           2 * tile_m * tile_n * 2 +
           dq * tile_m * fmha_dq_columns(head_dim, tile_m) * 4 +
           stages * tile_m * 8 + 2 * 64 + (9 + 4 * dq + 3 * stages) * 8;
}

#endif
