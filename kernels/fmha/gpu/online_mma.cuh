/* The online softmax of a warp's rows, for the fused portable kernels: a tile
 * of KEYS keys after another, each with the products on both sides of it.
 *
 * KEYS is defined by the file that includes this, with what tile_mma.cuh asks
 * for. */
#ifndef SPAK_FMHA_GPU_ONLINE_MMA_CUH
#define SPAK_FMHA_GPU_ONLINE_MMA_CUH

#include "fmha/gpu/tile_mma.cuh"

enum { FRAGS_S = KEYS / 8 };
static_assert(KEYS % 16 == 0, "ldmatrix brings 16 keys");

/* What a warp holds of its rows: O before the division, and of row 8 half + g
 * of piece i the maximum, times scale_log2, and this lane's part of the sum. */
typedef struct rows {
    float o[FRAGS_M][FRAGS_O][4];
    float max[FRAGS_M][2], sum[FRAGS_M][2];
} rows;

DEVICE void clear(rows *r) {
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_O * 4; j++) r->o[i][j / 4][j % 4] = 0.0f;
        r->max[i][0] = r->max[i][1] = FLOOR;
        r->sum[i][0] = r->sum[i][1] = 0.0f;
    }
}

//> online_softmax
/* Turns scores into P = 2^(scale_log2 s - max) and brings O and the sum, which
 * were relative to the maximum before, to the new one. The maximum is kept
 * times scale_log2, rounded: then P and the factor are relative to the very
 * same number, and its rounding cancels in O. Lanes add up their own columns;
 * the four of a row meet at the end. */
DEVICE void softmax(rows *r, float s[FRAGS_M][FRAGS_S][4], float scale_log2) {
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float most = s[i][0][2 * h];
#pragma unroll
            for (int j = 1; j < 2 * FRAGS_S; j++)
                most = fmaxf(most, s[i][j / 2][2 * h + j % 2]);
            most = fmaxf(most, shuffle_xor(most, 1));
            most = fmaxf(most, shuffle_xor(most, 2));
            most = fmaxf(r->max[i][h], most * scale_log2);
            const float factor = exp2_fast(r->max[i][h] - most);
            r->max[i][h] = most;
            float sum = r->sum[i][h] * factor;
#pragma unroll
            for (int j = 0; j < 2 * FRAGS_S; j++) {
                float *x = &s[i][j / 2][2 * h + j % 2];
                *x = exp2_fast(fmaf(*x, scale_log2, -most));
                sum += *x;
            }
            r->sum[i][h] = sum;
#pragma unroll
            for (int j = 0; j < 2 * FRAGS_O; j++)
                r->o[i][j / 2][2 * h + j % 2] *= factor;
        }
    }
}
//< online_softmax

/* O += P V, 16 keys at a time; P is rounded to 16 bits here. v_lane is the
 * lane_address of the first key's values, with `down`. */
DEVICE void values(rows *r, float s[FRAGS_M][FRAGS_S][4], unsigned v_lane) {
#pragma unroll
    for (int step = 0; step < FRAGS_S / 2; step++) {
        unsigned p[FRAGS_M][4];
#pragma unroll
        for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float *x = &s[i][2 * step + e / 2][e % 2 * 2];
                p[i][e] = pack_elements(x[0], x[1]);
            }
        }
        add_values(r->o, p, v_lane, 16 * step);
    }
}

/* The sum of a row over its four lanes. */
DEVICE float whole_sum(float sum) {
    sum += shuffle_xor(sum, 1);
    return sum + shuffle_xor(sum, 2);
}

#endif
