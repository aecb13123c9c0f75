/* Which block computes what, the same text for C and CUDA.
 *
 * Work is a pair of a cluster's tiles (one tile a block of it) and a slice of
 * k. It is numbered; block clusters take number `cluster`, then that plus the
 * number of clusters, and so on until it runs out: all blocks stay, none is
 * started twice. Slices of one tile have neighbouring numbers, so that they run
 * at the same time; the clusters' places follow order.h. */
#ifndef SPAK_MATMUL_GPU_SCHEDULE_H
#define SPAK_MATMUL_GPU_SCHEDULE_H

#include "matmul/gpu/order.h"

typedef struct matmul_work {
    int row, col, slice; /* of this block; row or col may lie past the last
                            tile, when the tiles are not whole clusters */
} matmul_work;

MATMUL_BOTH int matmul_works(int tiles_m, int tiles_n, int cluster_m,
                             int cluster_n, int split) {
    return matmul_tiles(tiles_m, cluster_m) * matmul_tiles(tiles_n, cluster_n) *
           split;
}

/* rank: of the block in its cluster, 0 <= rank < cluster_m cluster_n; blocks of
 * a cluster lie below each other first. */
MATMUL_BOTH matmul_work matmul_work_at(int number, int rank, int tiles_m,
                                       int tiles_n, int cluster_m,
                                       int cluster_n, int group, int split) {
    matmul_tile place = matmul_order(
        number / split, matmul_tiles(tiles_m, cluster_m),
        matmul_tiles(tiles_n, cluster_n), (group + cluster_m - 1) / cluster_m);
    matmul_work work = {place.row * cluster_m + rank % cluster_m,
                        place.col * cluster_n + rank / cluster_m,
                        number % split};
    return work;
}

/* The first step along k of a slice; the one of slice `split` is the end. All
 * slices have tiles_k / split steps, the first ones one more. */
MATMUL_BOTH int matmul_slice_begin(int slice, int tiles_k, int split) {
    int rest = tiles_k % split;
    return tiles_k / split * slice + (slice < rest ? slice : rest);
}

#endif
