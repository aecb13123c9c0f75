/* Step 4 on the GPU: a thread computes a tile of its own in registers.
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * The data's way. From shared memory a thread takes TM elements of A and TN of
 * B for one k, and makes TM x TN multiply-adds of them: with 8 x 8, 16 loads
 * for 64 instead of 128. They come as vectors of 16 bytes, and so do the
 * operands from global memory (eight elements, widened to f32 on the way to
 * shared memory, where both tiles lie by k).
 *
 * Who does what. Threads form a grid of TILE_M / TM rows and TILE_N / TN
 * columns. A thread's tile is made of pieces of 4 x 4, spread over the block's
 * tile: in each piece, neighbouring threads read neighbouring vectors, and no
 * two of them meet in a bank.
 *
 *        b0 . b1 .        a thread's four pieces of 4 x 4 (8 x 8 in all)
 *     a0 ## . ## .
 *      . .  . .  .
 *     a1 ## . ## .
 *
 * Floor. 2 m n k operations on the vector units, which from here on are the
 * bound: only the matrix units are faster.
 *
 * Launch: grid (tiles of C), block THREADS = TILE_M TILE_N / (TM TN).
 * ALIGNED as in mma_sync.cu. */
#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"

#ifndef TILE_M
#define TILE_M 128
#define TILE_N 128
#define TILE_K 16
#endif
#ifndef TM
#define TM 8
#define TN 8
#endif
#ifndef TRANS_A
#define TRANS_A 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif

enum {
    THREADS_N = TILE_N / TN,
    THREADS = TILE_M / TM * THREADS_N,
    STEP_M = TILE_M / (TM / 4), /* rows from a thread's piece to its next */
    STEP_N = TILE_N / (TN / 4)
};

static_assert(TM % 4 == 0 && TN % 4 == 0, "pieces of 4 x 4");
static_assert(TILE_M % TM == 0 && TILE_N % TN == 0, "whole threads");
static_assert(TILE_K % 8 == 0 && TILE_M % 8 == 0 && TILE_N % 8 == 0, "vectors");

/* Brings TILE_K x width elements to shared memory as f32, (k, width), from k0
 * and x0 on; zeros where there are none. `along_k`: k runs along the stored
 * rows, and a vector becomes a column; then neighbouring threads take
 * neighbouring rows, which keeps their columns in different banks. */
DEVICE void load_tile(float *to, const element *from, int ld, int k_extent,
                      int x_extent, int k0, int x0, int width, int along_k) {
    const int vectors = TILE_K * width / 8;
    for (int at = (int)threadIdx.x; at < vectors; at += THREADS) {
        const int k = along_k ? at / width * 8 : at / (width / 8);
        const int x = along_k ? at % width : at % (width / 8) * 8;
        const int row = along_k ? x0 + x : k0 + k;
        const int col = along_k ? k0 + k : x0 + x;
        const int there = row < (along_k ? x_extent : k_extent)
                              ? (along_k ? k_extent : x_extent) - col
                              : 0;
        const element *source = from + (long long)row * ld + col;
        vec16 v = {{0, 0, 0, 0}};
#if ALIGNED
        if (there > 0) v = load_vec16(source);
#else
        v = load_some(source, there);
#endif
#pragma unroll
        for (int i = 0; i < 8; i++)
            to[along_k ? (k + i) * width + x : k * width + x + i] =
                i % 2 ? second_element(v.x[i / 2]) : first_element(v.x[i / 2]);
    }
}

//> register_tile
/* The products of one k with a thread's tile. */
DEVICE void multiply(float sum[TM][TN], const float *a, const float *b) {
    float a_piece[TM], b_piece[TN];
#pragma unroll
    for (int i = 0; i < TM; i++) a_piece[i] = a[i / 4 * STEP_M + i % 4];
#pragma unroll
    for (int j = 0; j < TN; j++) b_piece[j] = b[j / 4 * STEP_N + j % 4];
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) sum[i][j] += a_piece[i] * b_piece[j];
    }
}
//< register_tile

KERNEL void __launch_bounds__(THREADS)
    matmul(const __grid_constant__ matmul_params p) {
    __shared__ __align__(16) float a_tile[TILE_K * TILE_M]; /* (k, row) */
    __shared__ __align__(16) float b_tile[TILE_K * TILE_N]; /* (k, col) */
    const matmul_tile tile =
        matmul_order((int)blockIdx.x, matmul_tiles(p.m, TILE_M),
                     matmul_tiles(p.n, TILE_N), 1);
    const int m0 = tile.row * TILE_M, n0 = tile.col * TILE_N;
    const int row = (int)threadIdx.x / THREADS_N * 4; /* in the first piece */
    const int col = (int)threadIdx.x % THREADS_N * 4;
    float sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM * TN; i++) sum[i / TN][i % TN] = 0.0f;

    for (int k0 = 0; k0 < p.k; k0 += TILE_K) {
        load_tile(a_tile, (const element *)p.a, p.lda, p.k, p.m, k0, m0, TILE_M,
                  !TRANS_A);
        load_tile(b_tile, (const element *)p.b, p.ldb, p.k, p.n, k0, n0, TILE_N,
                  TRANS_B);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE_K; k++)
            multiply(sum, a_tile + k * TILE_M + row, b_tile + k * TILE_N + col);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j += 2)
            epilogue_pair(&p, m0 + row + i / 4 * STEP_M + i % 4,
                          n0 + col + j / 4 * STEP_N + j % 4, sum[i][j],
                          sum[i][j + 1]);
    }
}
