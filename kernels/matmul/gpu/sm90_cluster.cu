/* Step: clusters. As sm90_persistent.cu, but CLUSTER_M x CLUSTER_N blocks work
 * on neighbouring tiles side by side. Blocks of a row of the cluster need the
 * same tile of A, those of a column the same tile of B: each fetches its share
 * of it and sends that to all of them, so that it leaves the second-level cache
 * once. A stage is then free when all blocks that it is sent to have released
 * it, across the cluster; the producer stays until all have.
 *
 * Floor: 2 m n k operations of the matrix units. */
#define CONSUMERS 2
#include "matmul/gpu/ring_sm90.cuh"

//> cluster
KERNEL void __launch_bounds__(384, 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of((int)cluster_rank());
    ring r = {0, 0};
    matmul_walk w = walk_begin(&p);
    matmul_work work;
    int row, col;
    if (threadIdx.x == 0) ring_init(base);
    cluster_meet();
    if (threadIdx.x < 128) {
        registers_give(40);
        if (threadIdx.x > 0) return;
        while (matmul_walk_next(&w, &work)) {
            tile_at(&p, &at, work.tile, &row, &col);
            produce(&p, &at, base, &r, &work, row, col);
        }
        wait_for_releases(base, &r);
    } else {
        registers_take(232);
        const int consumer = threadIdx.x / 128 - 1;
        while (matmul_walk_next(&w, &work)) {
            float acc[BLOCKS_M][TILE_N / 2];
            tile_at(&p, &at, work.tile, &row, &col);
            consume(&at, base, &r, &work, consumer, false, acc);
            store_pairs(&p, acc, row, col, consumer);
        }
    }
}
//< cluster
