/* MatMul on Hopper, the top of the ladder: C = residual + act(alpha op(A) op(B)
 * + beta C + bias), params.h. As sm90_async_store.cu, and what is left:
 *
 *   overlap   its launch overlaps the end of the kernel before it in the
 *             stream: barriers are set up and maps fetched meanwhile
 *   stagger   the second consumer starts a step late, so that the two do not
 *             store at the same time and leave the matrix units without work
 *   stream    the last round of tiles is shared out by steps of k (walk.h), so
 *             that all blocks end together; few tiles with a long k are shared
 *             by several blocks each
 *   small     one or two consumers, so that small products have enough tiles
 *
 * The data's way: global memory -> TMA -> STAGES tiles of A and B in shared
 * memory -> wgmma -> sums in registers -> epilogue -> pieces of C in shared
 * memory -> TMA -> global memory.
 *
 * Who does what: one thread of the first warpgroup produces, the other one or
 * two warpgroups consume; barriers as in ring_sm90.cuh.
 *
 * Floor: 2 m n k operations of the matrix units; each of A, B, C moved once. */
#define STAGGER (CONSUMERS == 2)
#include "matmul/gpu/ring_sm90.cuh"

DEVICE void meet(void) {
    if (CLUSTER_M * CLUSTER_N > 1)
        cluster_meet();
    else
        __syncthreads();
}

/* The sums of the tile's beginning, which are in the slots of the blocks at
 * this one's place in the clusters before. */
DEVICE void gather(const matmul_params *p, const matmul_walk *w,
                   const matmul_work *work, int consumer,
                   float acc[BLOCKS_M][TILE_N / 2]) {
    const int blocks = CLUSTER_M * CLUSTER_N;
    const int before = matmul_runs_before(w, (int)blockIdx.x / blocks, work);
    for (int i = 1; i <= before; i++)
        take_sums(p, acc, (int)blockIdx.x - i * blocks, consumer);
}

//> best
KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    matmul(const __grid_constant__ matmul_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const place at =
        place_of(CLUSTER_M * CLUSTER_N > 1 ? (int)cluster_rank() : 0);
    ring r = {0, 0};
    matmul_walk w = walk_begin(&p);
    matmul_work work;
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
        if (threadIdx.x > 0) return;
        while (matmul_walk_next(&w, &work)) {
            tile_at(&p, &at, work.tile, &row, &col);
            produce(&p, &at, base, &r, &work, row, col);
        }
        wait_for_releases(base, &r);
    } else {
        if (CONSUMERS == 2) registers_take(232);
        const int consumer = threadIdx.x / 128 - 1;
        unsigned stored = 0;
        bool first_work = true;
        while (matmul_walk_next(&w, &work)) {
            float acc[BLOCKS_M][TILE_N / 2];
            tile_at(&p, &at, work.tile, &row, &col);
            ahead next;
            if (!STREAM) ask_ahead(&p, &next, 0, row, col, consumer);
            consume(&at, base, &r, &work, consumer, first_work, acc);
            first_work = false;
            if (STREAM && work.end < w.steps) {
                leave_sums(&p, acc, consumer);
                continue;
            }
            if (STREAM && work.first > 0) gather(&p, &w, &work, consumer, acc);
            if (STREAM) ask_ahead(&p, &next, 0, row, col, consumer);
            store_pieces(&p, acc, &next, base, row, col, consumer, &stored);
        }
        tma_store_wait();
    }
}
//< best
