/* Step: warps that specialise. As sm90_tma.cu, but one warp does nothing but
 * fetch, and one warpgroup nothing but multiply; a ring of stages with two
 * barriers each (ring_sm90.cuh) lies between them. The producer runs ahead as
 * far as there are free stages, and products follow each other without a gap:
 *
 *     producer    | 0 | 1 | 2 | 3 | 4 | ...
 *     consumer        | 0 | 1 | 2 | 3 | ...
 *
 * Block: a producer's warpgroup, of which one thread works, and a consumer's.
 * One tile a block. Floor: 2 m n k operations of the matrix units. */
#define CONSUMERS 1
#include "matmul/gpu/ring_sm90.cuh"

//> specialised
KERNEL void __launch_bounds__(256, 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of(0);
    const tile_walk w = tiles_begin(&p);
    ring r = {0, 0};
    int row, col;
    tile_at(&w, &at, &row, &col);
    if (threadIdx.x == 0) ring_init(base);
    __syncthreads();
    if (threadIdx.x < 128) {
        if (threadIdx.x == 0) produce(&p, &at, base, &r, row, col);
    } else {
        float acc[BLOCKS_M][TILE_N / 2];
        consume(&p, &at, base, &r, 0, acc);
        store_pairs(&p, acc, row, col, 0);
    }
}
//< specialised
