/* Step 1 on the GPU: one thread an element of C.
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * The data's way. Each thread walks a row of A and a column of B in global
 * memory; what neighbours share, the caches may or may not keep.
 *
 * Who does what. Neighbouring threads of a warp compute neighbouring rows of C,
 * one column. Stored by rows, their elements of A lie lda apart and those of C
 * ldc apart: each access of a warp touches 32 sectors of 32 bytes, of which it
 * uses 2 bytes each.
 *
 *   C   0 . . .      a warp (threads 0, 1, 2, ...) goes down a column
 *       1 . . .
 *       2 . . .
 *
 * Floor. 2 m n k operations on the vector units. Each thread loads 2 k elements
 * for its k multiply-adds, and a load is served far more slowly.
 *
 * Launch: grid (tiles of BLOCK_M x BLOCK_N of C), block (BLOCK_M, BLOCK_N). */
#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/operand.cuh"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"

#ifndef BLOCK_M
#define BLOCK_M 32
#endif
#ifndef BLOCK_N
#define BLOCK_N 8
#endif

//> naive
KERNEL void __launch_bounds__(BLOCK_M *BLOCK_N)
    matmul(const __grid_constant__ matmul_params p) {
    const matmul_tile tile =
        matmul_order((int)blockIdx.x, matmul_tiles(p.m, BLOCK_M),
                     matmul_tiles(p.n, BLOCK_N), 1);
    const int row = tile.row * BLOCK_M + (int)threadIdx.x;
    const int col = tile.col * BLOCK_N + (int)threadIdx.y;
    if (row >= p.m || col >= p.n) return;
    float sum = 0.0f;
    for (int k = 0; k < p.k; k++)
        sum += load_a(&p, row, k) * load_b(&p, k, col);
    epilogue(&p, row, col, &sum, 1);
}
//< naive
