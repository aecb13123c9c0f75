/* Step: a larger tile, two consumers. As sm90_specialised.cu, with a tile of
 * 128 x 256 whose upper and lower half belong to a warpgroup each: a byte that
 * is fetched serves more products. Each thread then holds 128 sums and needs
 * more registers than an even share among three warpgroups; the producer, who
 * needs few, hands its own back.
 *
 * Block: a producer's warpgroup and two consumers'. One tile a block. Floor:
 * 2 m n k operations of the matrix units. */
#define CONSUMERS 2
#include "matmul/gpu/ring_sm90.cuh"

//> two_consumers
KERNEL void __launch_bounds__(384, 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of(0);
    const matmul_work work = {(int)blockIdx.x, 0, matmul_tiles(p.k, TILE_K)};
    ring r = {0, 0};
    int row, col;
    tile_at(&p, &at, work.tile, &row, &col);
    if (threadIdx.x == 0) ring_init(base);
    __syncthreads();
    if (threadIdx.x < 128) {
        registers_give(40);
        if (threadIdx.x == 0) produce(&p, &at, base, &r, &work, row, col);
    } else {
        registers_take(232);
        const int consumer = threadIdx.x / 128 - 1;
        float acc[BLOCKS_M][TILE_N / 2];
        consume(&at, base, &r, &work, consumer, false, acc);
        store_pairs(&p, acc, row, col, consumer);
    }
}
//< two_consumers
