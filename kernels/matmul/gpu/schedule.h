/* Which block computes what, as the host sees it: the walk of tile_sm90.cuh in
 * C, for the invariants.
 *
 * Work is a cluster's tiles, one a block of it, or one tile that the blocks of
 * a cluster share, a part of k each. Cluster c takes number c, then that plus
 * the number of clusters, and so on until it runs out: all blocks stay, none is
 * started twice. The clusters' places follow order.h. */
#ifndef SPAK_MATMUL_GPU_SCHEDULE_H
#define SPAK_MATMUL_GPU_SCHEDULE_H

#include "matmul/gpu/order.h"

typedef struct matmul_work {
    int row, col, part; /* of this block; row or col may lie past the last
                           tile, when the tiles are not whole clusters */
} matmul_work;

static inline int matmul_works(int tiles_m, int tiles_n, int cluster_m,
                               int cluster_n) {
    return matmul_tiles(tiles_m, cluster_m) * matmul_tiles(tiles_n, cluster_n);
}

/* rank: of the block in its cluster; blocks lie below each other first, and
 * parts of k last. */
static inline matmul_work matmul_work_at(int number, int rank, int tiles_m,
                                         int tiles_n, int cluster_m,
                                         int cluster_n, int group) {
    matmul_tile place = matmul_order(number, matmul_tiles(tiles_m, cluster_m),
                                     matmul_tiles(tiles_n, cluster_n), group);
    matmul_work work = {place.row * cluster_m + rank % cluster_m,
                        place.col * cluster_n + rank / cluster_m % cluster_n,
                        rank / (cluster_m * cluster_n)};
    return work;
}

/* The first step along k of a slice; the one of slice `split` is the end. All
 * slices have tiles_k / split steps, the first ones one more. */
static inline int matmul_slice_begin(int slice, int tiles_k, int split) {
    int rest = tiles_k % split;
    return tiles_k / split * slice + (slice < rest ? slice : rest);
}

#endif
