/* Step 2 on the GPU: neighbouring threads, neighbouring addresses.
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * The data's way. As in naive.cu, but a warp now lies along a row of C. Its 32
 * elements of B and of C are neighbours, 64 bytes in two sectors; the element
 * of A is the same for all, one sector.
 *
 *   C   0 1 2 . .    a warp goes along a row
 *       . . . . .
 *
 * Who does what. threadIdx.x counts columns, threadIdx.y rows: that is the only
 * change. It suits B as (k, n); with TRANS_B the warp's elements of B lie ldb
 * apart again.
 *
 * Floor. 2 m n k operations on the vector units, still with two loads for each
 * multiply-add.
 *
 * Launch: grid (tiles of BLOCK_M x BLOCK_N of C), block (BLOCK_N, BLOCK_M). */
#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/operand.cuh"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"

#ifndef BLOCK_M
#define BLOCK_M 8
#endif
#ifndef BLOCK_N
#define BLOCK_N 32
#endif

//> coalesced
KERNEL void __launch_bounds__(BLOCK_M *BLOCK_N)
    matmul(const __grid_constant__ matmul_params p) {
    const matmul_tile tile =
        matmul_order((int)blockIdx.x, matmul_tiles(p.m, BLOCK_M),
                     matmul_tiles(p.n, BLOCK_N), 1);
    const int row = tile.row * BLOCK_M + (int)threadIdx.y;
    const int col = tile.col * BLOCK_N + (int)threadIdx.x;
    if (row >= p.m || col >= p.n) return;
    float sum = 0.0f;
    for (int k = 0; k < p.k; k++)
        sum += load_a(&p, row, k) * load_b(&p, k, col);
    epilogue(&p, row, col, &sum, 1);
}
//< coalesced
