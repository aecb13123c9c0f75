/* Which tiles of queries there are and in which order they are taken, and which
 * tiles of keys a tile of queries visits: the same text for C and CUDA.
 *
 * The mask is a band. Query t sees keys first(t) ... end(t) - 1, with
 *
 *   shift = keys - queries           the last query sees the last key
 *   end   = CAUSAL ? t + shift + 1 : keys
 *   first = WINDOW ? t + shift - window : 0        (both within 0 ... keys)
 *
 * Over the queries of a tile both only grow, so that the tiles of keys which
 * hold a visible pair are consecutive, and those all of whose pairs are visible
 * lie within them:
 *
 *   keys ->   . . | m m | w w w w | m m | . .      m: pairs are masked one by
 *                 first  whole     whole_end  end     one, w: none is hidden
 *
 * The order of the tiles of queries. Blocks that run at the same time share K
 * and V through the second-level cache, so tiles of a few heads go together:
 * `group` heads, and among them, under a causal mask, the longest tiles first
 * (those of the last queries), so that short ones fill up the end:
 *
 *   group = 2, 3 heads, 3 tiles each, longest first
 *   head 0    4 2 0
 *   head 1    5 3 1        (tiles of the first queries to the left)
 *   head 2    8 7 6
 *
 * group = 1 without `longest` is the plain order. */
#ifndef SPAK_FMHA_GPU_WALK_H
#define SPAK_FMHA_GPU_WALK_H

#ifdef __CUDACC__
#define FMHA_BOTH static __host__ __device__ __forceinline__
#else
#define FMHA_BOTH static inline
#endif

/* The tiles of keys that a tile of queries visits: first ... end - 1, of which
 * whole ... whole_end - 1 need no mask. All empty ranges are first = end. */
typedef struct fmha_range {
    int first, whole, whole_end, end;
} fmha_range;

FMHA_BOTH int fmha_least(int a, int b) { return a < b ? a : b; }
FMHA_BOTH int fmha_most(int a, int b) { return a > b ? a : b; }

/* How many tiles of `tile` cover `extent` >= 0. */
FMHA_BOTH int fmha_tiles(int extent, int tile) {
    return extent / tile + (extent % tile != 0);
}

//> range
/* For queries first_q ... first_q + tile_m - 1, those past the last one left
 * out; window < 0: none. */
FMHA_BOTH fmha_range fmha_keys_of(int first_q, int tile_m, int tile_n,
                                  int queries, int keys, int causal,
                                  int window) {
    const int shift = keys - queries;
    const int last_q = fmha_least(first_q + tile_m, queries) - 1;
    int begin = 0, end = keys, whole = 0, whole_end = keys;
    if (causal) {
        end = fmha_most(0, fmha_least(keys, last_q + shift + 1));
        whole_end = fmha_most(0, fmha_least(keys, first_q + shift + 1));
    }
    if (window >= 0) {
        begin = fmha_most(0, fmha_least(keys, first_q + shift - window));
        whole = fmha_most(0, fmha_least(keys, last_q + shift - window));
    }
    fmha_range r = {begin / tile_n, fmha_tiles(whole, tile_n),
                    whole_end / tile_n, fmha_tiles(end, tile_n)};
    if (last_q < first_q || begin >= end) r.end = r.first;
    r.whole_end = fmha_least(r.whole_end, r.end);
    r.whole = fmha_least(fmha_most(r.whole, r.first), r.end);
    if (r.whole_end < r.whole) r.whole_end = r.whole;
    return r;
}
//< range

/* A tile of queries: number `row` of head `head`, counted over batches. With
 * `pack` heads in a tile a head stands for `pack` of them. */
typedef struct fmha_tile {
    int row, head;
} fmha_tile;

//> order
/* The tile with number 0 <= linear < rows heads; group >= 1. */
FMHA_BOTH fmha_tile fmha_order(int linear, int rows, int heads, int group,
                               int longest) {
    const int before = linear / (group * rows) * group;
    const int inside = linear - before * rows;
    const int width = fmha_least(group, heads - before);
    const int row = inside / width;
    fmha_tile tile = {longest ? rows - 1 - row : row, before + inside % width};
    return tile;
}
//< order

/* Row `row` of a tile with `pack` heads: which of its queries and heads. Rows
 * go by heads first, as the copy engine lays a box (d, heads, queries) down. */
typedef struct fmha_row {
    int query, head;
} fmha_row;

FMHA_BOTH fmha_row fmha_row_of(int row, int pack) {
    fmha_row r = {row / pack, row % pack};
    return r;
}

/* Decode: the first tile of a slice; slices have whole tiles of keys, as many
 * as each other or one more. The one of slice `slices` is the end. */
FMHA_BOTH int fmha_slice_begin(int slice, int tiles, int slices) {
    const int rest = tiles % slices;
    return tiles / slices * slice + fmha_least(slice, rest);
}

#endif
