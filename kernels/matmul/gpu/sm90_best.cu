/* MatMul on Hopper, the top of the ladder: C = residual + act(alpha op(A) op(B)
 * + beta C + bias), params.h. As sm90_async_store.cu, and what is left:
 *
 *   overlap   its launch overlaps the end of the kernel before it in the
 *             stream: barriers are set up and maps fetched meanwhile
 *   small     one or two consumers, so that small products have enough tiles
 *   split     where even so tiles are few, SPLIT blocks form a cluster, share
 *             one tile, each with its part of k, and add their sums through
 * each other's shared memory, always in the same order
 *
 * The data's way: global memory -> TMA -> STAGES tiles of A and B in shared
 * memory -> wgmma -> sums in registers -> epilogue -> pieces of C in shared
 * memory -> TMA -> global memory.
 *
 * Who does what: one thread of the first warpgroup produces, the other one or
 * two warpgroups consume; barriers as in ring_sm90.cuh.
 *
 * Floor: 2 m n k operations of the matrix units; each of A, B, C moved once. */
#include "matmul/gpu/ring_sm90.cuh"

#define CLUSTER (CLUSTER_M * CLUSTER_N * SPLIT)

DEVICE void meet(void) {
    if (CLUSTER > 1)
        cluster_meet();
    else
        __syncthreads();
}

//> best
KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at = place_of(CLUSTER > 1 ? (int)cluster_rank() : 0);
    ring r = {0, 0};
    int row, col;
    let_next_start();
    if (threadIdx.x == 0) {
        tma_prefetch_map(&p.a_map);
        tma_prefetch_map(&p.b_map);
        ring_init(base);
    }
    meet();
    wait_for_previous();
    if (threadIdx.x < 128) {
        if (CONSUMERS == 2) registers_give(40);
        if (threadIdx.x == 0)
            for (tile_walk w = tiles_begin(&p); tiles_more(&w);
                 tiles_next(&w)) {
                tile_at(&w, &at, &row, &col);
                produce(&p, &at, base, &r, row, col);
            }
        __syncwarp();
        if (SPLIT > 1) cluster_sync(); /* the one in add_up */
    } else {
        if (CONSUMERS == 2) registers_take(232);
        const int consumer = threadIdx.x / 128 - 1;
        unsigned stored = 0;
        for (tile_walk w = tiles_begin(&p); tiles_more(&w); tiles_next(&w)) {
            float acc[BLOCKS_M][TILE_N / 2];
            tile_at(&w, &at, &row, &col);
            consume(&p, &at, base, &r, consumer, acc);
#if SPLIT > 1
            add_up(acc, base, at.part);
#endif
            store_pieces(&p, acc, base, row, col, consumer, at.part, &stored);
        }
        tma_store_wait();
    }
    if (CLUSTER > 1) cluster_meet();
}
//< best
