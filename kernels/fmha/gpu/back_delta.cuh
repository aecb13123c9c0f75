/* What the backward pass of attention needs of each query before it starts:
 *
 *   delta = sum over d of O dO        dS = P (dP - delta)
 *   log2  = LSE log2(e)               P = 2^(scale log2(e) Q K^T - log2)
 *
 * and, with ADD_DQ, scratch cleared where dQ will be added up. A row that sees
 * no key, or does not exist, gets log2 = +infinity, so that its P is 0 whatever
 * its scores are.
 *
 * In `delta` a tile of queries has TILE_M times log2, then TILE_M times delta:
 * one copy brings both (walk_backward.h says where).
 *
 * Grid: (tiles of queries of the longest sequence, heads, batch), 256 threads.
 * The data's way: O, dO -> registers -> a few lanes of a warp add up a row.
 * Floor: O and dO read once, dQ (f32) written once. */
#ifndef SPAK_FMHA_GPU_BACK_DELTA_CUH
#define SPAK_FMHA_GPU_BACK_DELTA_CUH

#include "fmha/gpu/params.h"
#include "fmha/gpu/walk_backward.h"
#include "ptx/types.cuh"
#if ADD_DQ
#include "ptx/hopper.cuh"
#endif

/* dQ in f32 is in two parts (back_dq.cuh): 64 queries each of all columns, or
 * half of the columns each, rounded up to whole slices of 64, of 64 queries. */
#if TILE_M == 128
#define DQ_DIM HEAD_DIM
#define DQ_N   HEAD_DIM
#elif HEAD_DIM > 64
#define DQ_DIM 128
#define DQ_N   64
#else
#define DQ_DIM 64
#define DQ_N   32
#endif

#define ROW_LANES  (HEAD_DIM % 64 == 0 ? 8 : 4) /* of a warp, a row */
#define ROW_CHUNKS (HEAD_DIM / 8 / ROW_LANES)   /* of 8 elements, a lane */
#define ROW_STEP   (256 / ROW_LANES)            /* rows at once */

/* A tile of queries: where its rows begin, and how many there are. */
typedef struct rows_place {
    int row, count;  /* the first in its sequence; at most TILE_M */
    long long first; /* of the sequence, counted over sequences; else 0 */
    long long tile;  /* in scratch */
} rows_place;

DEVICE rows_place rows_at(const fmha_gpu_params *p) {
    const int m = (int)blockIdx.x, h = (int)blockIdx.y, b = (int)blockIdx.z;
    const int *cu_q = VARLEN ? (const int *)p->cu_q : 0;
    const int first = VARLEN ? cu_q[b] : 0;
    const int queries = VARLEN ? cu_q[b + 1] - first : p->q_len;
    rows_place at = {m * TILE_M, fmha_least(TILE_M, queries - m * TILE_M),
                     first,
                     fmha_row_tile(b, h, m, p->batch, p->heads, p->q_len,
                                   p->total_q, TILE_M, cu_q)};
    return at;
}

/* Element (row, 0) of this block's head. */
DEVICE long long row_at(const fmha_layout *at, const rows_place *rows, int r) {
    return (VARLEN ? 0 : (int)blockIdx.z * at->batch) +
           (int)blockIdx.y * at->head + (rows->first + rows->row + r) * at->row;
}

/* The number of the next tile of keys, behind logarithms and deltas. */
DEVICE unsigned *next_tile(const fmha_gpu_params *p) {
    return (unsigned *)p->delta +
           fmha_delta_floats(p->batch, p->heads, p->q_len, p->total_q, TILE_M,
                             VARLEN) -
           1;
}

/* The sum of products of eight elements. */
DEVICE float dot8(vec16 x, vec16 y) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum += first_element(x.x[i]) * first_element(y.x[i]);
        sum += second_element(x.x[i]) * second_element(y.x[i]);
    }
    return sum;
}

KERNEL void __launch_bounds__(256, 4)
    fmha_delta(const __grid_constant__ fmha_gpu_params p) {
#if ADD_DQ
    let_next_start();
    wait_for_previous();
#endif
    const rows_place rows = rows_at(&p);
    if (ADD_DQ && threadIdx.x + blockIdx.x + blockIdx.y + blockIdx.z == 0)
        *next_tile(&p) = 0;
    if (rows.count <= 0) return;
    const int lane = (int)threadIdx.x % ROW_LANES;
    float *stats = (float *)p.delta + rows.tile * 2 * TILE_M;
#pragma unroll
    for (int r = (int)threadIdx.x / ROW_LANES; r < TILE_M; r += ROW_STEP) {
        float delta = 0.0f, log2 = __uint_as_float(0x7f800000u);
        if (r < rows.count) {
            const element *o =
                (const element *)p.o + row_at(&p.o_at, &rows, r) + lane * 8;
            const element *d_o =
                (const element *)p.d_o + row_at(&p.do_at, &rows, r) + lane * 8;
#pragma unroll
            for (int c = 0; c < ROW_CHUNKS; c++)
                delta += dot8(load_vec16(o + c * ROW_LANES * 8),
                              load_vec16(d_o + c * ROW_LANES * 8));
            const long long at =
                VARLEN ? (int)blockIdx.y * (long long)p.total_q + rows.first
                       : ((int)blockIdx.z * p.heads + (int)blockIdx.y) *
                             (long long)p.q_len;
            const float lse = ((const float *)p.lse)[at + rows.row + r];
            if (lse > __uint_as_float(0xff800000u))
                log2 = lse * 1.4426950408889634f;
        }
#pragma unroll
        for (int i = 1; i < ROW_LANES; i *= 2)
            delta += __shfl_xor_sync(0xffffffffu, delta, i);
        if (lane == 0) {
            stats[r] = log2;
            stats[TILE_M + r] = delta;
        }
    }
#if ADD_DQ
    vec16 *dq = (vec16 *)((float *)p.dq_sum + rows.tile * TILE_M * DQ_DIM);
    const vec16 zero = {{0, 0, 0, 0}};
#pragma unroll
    for (int i = (int)threadIdx.x; i < TILE_M * DQ_DIM / 4; i += 256)
        store_vec16(dq + i, zero);
    if (DETERMINISTIC && threadIdx.x == 0) ((int *)p.turn)[rows.tile] = 0;
#endif
}

#endif
