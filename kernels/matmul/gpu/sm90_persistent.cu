/* Step: blocks that stay. As sm90_two_consumers.cu, but there are only as many
 * blocks as run at once, and each takes tile after tile: while its consumers
 * store one, the producer fetches the next. The tiles come in an order that
 * keeps what neighbours share in the second-level cache (order.h).
 *
 *     producer    | tile 0       | tile 1       | tile 2 ...
 *     consumers       | tile 0       |store| tile 1      |store| ...
 *
 * Floor: 2 m n k operations of the matrix units. */
#define CONSUMERS 2
#include "matmul/gpu/ring_sm90.cuh"

//> persistent
KERNEL void __launch_bounds__(384, 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of(0);
    ring r = {0, 0};
    int row, col;
    if (threadIdx.x == 0) ring_init(base);
    __syncthreads();
    if (threadIdx.x < 128) {
        registers_give(40);
        if (threadIdx.x > 0) return;
        for (tile_walk w = tiles_begin(&p); tiles_more(&w); tiles_next(&w)) {
            tile_at(&w, &at, &row, &col);
            produce(&p, &at, base, &r, row, col);
        }
    } else {
        registers_take(232);
        const int consumer = threadIdx.x / 128 - 1;
        for (tile_walk w = tiles_begin(&p); tiles_more(&w); tiles_next(&w)) {
            float acc[BLOCKS_M][TILE_N / 2];
            tile_at(&w, &at, &row, &col);
            consume(&p, &at, base, &r, consumer, acc);
            store_pairs(&p, acc, row, col, consumer);
        }
    }
}
//< persistent
