/* In which order the tiles of C are computed, the same text for C and CUDA.
 *
 * Blocks that run at the same time share what they read through the second-
 * level cache, so tiles with neighbouring numbers should lie in a compact part
 * of C. They go down `group` rows of tiles, then one column to the right:
 *
 *   group = 2, 3 x 4 tiles      0  2  4  6
 *                               1  3  5  7
 *                               8  9 10 11     (the last group has 1 row)
 *
 * A wave of w blocks then reads group rows of A's tiles and w / group columns
 * of B's; with square tiles the sum is least at group = sqrt(w). group = 1 is
 * the plain order by rows. */
#ifndef SPAK_MATMUL_GPU_ORDER_H
#define SPAK_MATMUL_GPU_ORDER_H

#ifdef __CUDACC__
#define MATMUL_BOTH static __host__ __device__ __forceinline__
#else
#define MATMUL_BOTH static inline
#endif

typedef struct matmul_tile {
    int row, col; /* counted in tiles */
} matmul_tile;

/* How many tiles of `tile` elements cover `extent`, whose sum is below 2^31. */
MATMUL_BOTH int matmul_tiles(int extent, int tile) {
    return extent / tile + (extent % tile != 0);
}

/* The tile with number 0 <= linear < tiles_m tiles_n; group >= 1. */
MATMUL_BOTH matmul_tile matmul_order(int linear, int tiles_m, int tiles_n,
                                     int group) {
    int above = linear / (group * tiles_n) * group;
    int inside = linear - above * tiles_n;
    int rows = tiles_m - above < group ? tiles_m - above : group;
    matmul_tile tile = {above + inside % rows, inside / rows};
    return tile;
}

#endif
