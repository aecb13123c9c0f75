/* The end of the backward pass of attention: dQ = scale times what was added up
 * in f32, in 16 bits.
 *
 * A tile of queries lies in dq_sum as the warpgroup held it that multiplied
 * (sm90_backward.cu): parts of 64 rows and DQ_N columns, of which thread
 * 32 w + 4 g + t has, as its j-th four floats, columns 8 j + 2 t and the next
 * of rows 16 w + g and 16 w + g + 8. So 64 consecutive bytes are eight columns
 * of two rows, which is what a thread here takes.
 *
 * Grid: (tiles of queries of the longest sequence, heads, batch), 256 threads.
 * Floor: dQ read in f32 and written in 16 bits once. */
#ifndef SPAK_FMHA_GPU_BACK_DQ_CUH
#define SPAK_FMHA_GPU_BACK_DQ_CUH

#include "fmha/gpu/back_delta.cuh"

#define DQ_ACROSS (DQ_DIM / DQ_N) /* parts beside each other */
#define DQ_PARTS  2
#define DQ_FLOATS (64 * DQ_N) /* of a part */

/* Eight columns of one of the two rows: h says which. */
DEVICE vec16 eight_of(const vec16 x[4], int h, float scale) {
    vec16 y;
#pragma unroll
    for (int t = 0; t < 4; t++)
        y.x[t] = pack_elements(word_to_float(x[t].x[2 * h]) * scale,
                               word_to_float(x[t].x[2 * h + 1]) * scale);
    return y;
}

KERNEL void __launch_bounds__(256)
    fmha_dq(const __grid_constant__ fmha_gpu_params p) {
    wait_for_previous();
    const rows_place rows = rows_at(&p);
    if (rows.count <= 0) return;
    const float *sum = (const float *)p.dq_sum + rows.tile * TILE_M * DQ_DIM;
#pragma unroll
    for (int i = (int)threadIdx.x; i < TILE_M * DQ_DIM / 16; i += 256) {
        const int j = i % (DQ_N / 8), g = i / (DQ_N / 8) % 8;
        const int w = i / DQ_N % 4, part = i / (4 * DQ_N);
        const int row = part / DQ_ACROSS * 64 + 16 * w + g;
        const int col = part % DQ_ACROSS * DQ_N + 8 * j;
        vec16 x[4];
#pragma unroll
        for (int t = 0; t < 4; t++)
            x[t] = load_vec16(sum + part * DQ_FLOATS +
                              (j * 128 + 32 * w + 4 * g + t) * 4);
#pragma unroll
        for (int h = 0; h < 2; h++)
            if (row + 8 * h < rows.count && col < HEAD_DIM)
                store_vec16((element *)p.dq +
                                row_at(&p.dq_at, &rows, row + 8 * h) + col,
                            eight_of(x, h, p.scale));
    }
}

#endif
