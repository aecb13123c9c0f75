/* Step: asynchronous stores. As sm90_cluster.cu, but C goes back the way that A
 * and B came: stmatrix lays a piece of it into shared memory, swizzled, and the
 * copy engine writes whole rows of 128 bytes while the consumer goes on. Each
 * consumer has its own buffers and its own barrier: while one stores, the other
 * has the matrix units to itself.
 *
 * Floor: 2 m n k operations of the matrix units. */
#define CONSUMERS 2
#include "matmul/gpu/ring_sm90.cuh"

//> async_store
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
        unsigned stored = 0;
        while (matmul_walk_next(&w, &work)) {
            float acc[BLOCKS_M][TILE_N / 2];
            tile_at(&p, &at, work.tile, &row, &col);
            ahead next;
            ask_ahead(&p, &next, 0, row, col, consumer);
            consume(&at, base, &r, &work, consumer, false, acc);
            store_pieces(&p, acc, &next, base, row, col, consumer, &stored);
        }
        tma_store_wait();
    }
}
//< async_store
