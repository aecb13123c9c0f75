/* Step: the bulk copy engine and wgmma. C = epilogue(op(A) op(B)), params.h.
 *
 * One thread asks the copy engine (TMA) for whole tiles; they arrive swizzled
 * in shared memory without passing through registers, and a barrier counts
 * their bytes. One warpgroup multiplies them straight from there (wgmma), sums
 * in registers. Fetching runs STAGES - 1 steps ahead, but everybody waits for
 * each step's products before the next is started:
 *
 *     copies      | 0 | 1 | 2 | 3 |   ...
 *     products        | 0 |   | 1 |   | 2 | ...   (gaps: waiting, starting)
 *
 * Block: 128 threads, one tile. Floor: 2 m n k operations of the matrix units.
 */
#define CONSUMERS 1
#include "matmul/gpu/tile_sm90.cuh"

//> tma
KERNEL void __launch_bounds__(128)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of(0);
    const tile_walk w = tiles_begin(&p);
    const int steps = matmul_tiles(p.k, TILE_K);
    float acc[BLOCKS_M][TILE_N / 2];
    int row, col;
    tile_at(&w, &at, &row, &col);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) barrier_init(FULL(base, s), 1);
        barrier_init_visible();
        for (int s = 0; s < STAGES - 1 && s < steps; s++)
            fetch(&p, &at, base, s, row, col, s * TILE_K);
    }
    __syncthreads();
    for (int step = 0; step < steps; step++) {
        const int ahead = step + STAGES - 1;
        if (threadIdx.x == 0 && ahead < steps)
            fetch(&p, &at, base, ahead % STAGES, row, col, ahead * TILE_K);
        barrier_wait(FULL(base, step % STAGES), step / STAGES % 2);
        multiply(acc, base, step % STAGES, 0, step > 0);
        wgmma_wait(0);
        __syncthreads(); /* the stage may be filled again */
    }
    settle(acc);
    store_pairs(&p, acc, row, col, 0);
}
//< tma
