/* Step 3 on the GPU: a block loads each element once for all its threads.
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * The data's way. TILE columns of A's TILE rows and TILE rows of B's TILE
 * columns go to shared memory, each thread bringing one element of each. Then
 * every thread reads TILE of both from there. Global memory is read TILE times
 * less than before.
 *
 *              B  . [k] .        barrier: the tiles are whole
 *      A  . . .     [ ]          TILE multiply-adds a thread
 *        [k ] .     [C]          barrier: nobody reads them any more
 *
 * Who does what. Thread (x, y) computes row y, column x of the block's tile of
 * C. When loading, x runs along the stored rows whichever way an operand is
 * stored, so that all loads are coalesced. In shared memory a tile is always
 * rows by k and k by columns; the one element of padding lets a warp write a
 * column without meeting one bank 32 times.
 *
 * Floor. 2 m n k operations on the vector units; two reads of shared memory for
 * each multiply-add, of which A's is one broadcast a warp.
 *
 * Launch: grid (tiles of C), block (TILE, TILE). */
#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/operand.cuh"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"

#ifndef TILE
#define TILE 32
#endif

//> shared_tile
KERNEL void __launch_bounds__(TILE *TILE)
    matmul(const __grid_constant__ matmul_params p) {
    __shared__ float a_tile[TILE][TILE + 1]; /* (row, k) */
    __shared__ float b_tile[TILE][TILE + 1]; /* (k, col) */
    const matmul_tile tile = matmul_order(
        (int)blockIdx.x, matmul_tiles(p.m, TILE), matmul_tiles(p.n, TILE), 1);
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int m0 = tile.row * TILE, n0 = tile.col * TILE;
    /* Where in the tiles this thread's two elements go. */
    const int a_row = TRANS_A ? x : y, a_k = TRANS_A ? y : x;
    const int b_k = TRANS_B ? x : y, b_col = TRANS_B ? y : x;
    float sum = 0.0f;
    for (int k0 = 0; k0 < p.k; k0 += TILE) {
        a_tile[a_row][a_k] = m0 + a_row < p.m && k0 + a_k < p.k
                                 ? load_a(&p, m0 + a_row, k0 + a_k)
                                 : 0.0f;
        b_tile[b_k][b_col] = k0 + b_k < p.k && n0 + b_col < p.n
                                 ? load_b(&p, k0 + b_k, n0 + b_col)
                                 : 0.0f;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE; k++) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();
    }
    if (m0 + y < p.m && n0 + x < p.n) epilogue(&p, m0 + y, n0 + x, &sum, 1);
}
//< shared_tile
