/* What the host hands to an attention kernel on a GPU: one struct by value, the
 * same text for C and CUDA.
 *
 *   O = softmax(scale Q K^T + mask) V, LSE = log of the sum of the exponentials
 *
 * Q, O, dO, dQ: element (b, h, t, d) at b * batch + h * head + t * row + d,
 * with the strides of their fmha_layout; K, V, dK, dV likewise with kv_heads
 * heads; query head h reads head h / (heads / kv_heads). With VARLEN sequence b
 * is rows cu_q[b] ... cu_q[b + 1] - 1 of one long one (cu_k for keys), and the
 * batch stride is not used.
 *
 * LSE: f32, element (b, h, t) at (b * heads + h) * q_len + t, with VARLEN
 * (h, t) at h * total_q + t, in units of log base e; of a row that sees no key
 * it is -infinity, and its O is 0.
 *
 * Query t sees key j when
 *   CAUSAL   j <= t + (keys - queries)         the last query sees every key
 *   WINDOW   j >= t + (keys - queries) - window
 *
 * Macros, all with a value: HEAD_DIM (32, 64, 96, 128, 192, 256), TYPE_F16 (f16
 * instead of bf16), CAUSAL, WINDOW, VARLEN, and what a variant's axes are. */
#ifndef SPAK_FMHA_GPU_PARAMS_H
#define SPAK_FMHA_GPU_PARAMS_H

#ifdef __CUDACC__
typedef struct {
    alignas(128) unsigned long long opaque[16];
} fmha_map;
typedef unsigned long long fmha_ptr;
#else
#include "device/gpu.h"
typedef dev_tensor_map fmha_map;
typedef dev_ptr fmha_ptr;
#endif

typedef struct fmha_layout {
    long long batch, head, row; /* elements */
} fmha_layout;

typedef struct fmha_gpu_params {
    /* TMA variants only. Dimensions (d, h, t, b); with VARLEN t runs over all
     * sequences and b has one. */
    fmha_map q_map, k_map, v_map, o_map; /* forward */
    fmha_map do_map;                     /* backward */
    fmha_ptr q, k, v, o, lse;
    /* Backward. delta, dq_sum and turn are scratch that it prepares itself,
     * with sizes and orders of walk_backward.h: what it needs of each row
     * (LSE again, sum over d of O dO), dQ in f32 while it is added up,
     * deterministic: whose turn it is to add. Forward, where blocks stay: turn
     * counts the tiles that were taken; 0 before and after. */
    fmha_ptr d_o, delta, dq, dk, dv, dq_sum, turn;
    fmha_ptr cu_q, cu_k;       /* int (batch + 1); VARLEN only */
    fmha_ptr part_o, part_lse; /* decode: f32, of each slice of keys: (slices,
                                * rows of LSE, d) and (slices, rows of LSE) */
    fmha_ptr scores, weights;  /* unfused: S in f32, P in 16 bits; (b, h, t, j)
                                * at ((b * heads + h) * q_len + t) * scores_row
                                * + j; scores_row: kv_len, or more, a multiple
                                * of 8 */
    long long scores_row;
    fmha_layout q_at, k_at, v_at, o_at, do_at, dq_at, dk_at, dv_at;
    int batch, heads, kv_heads;
    int q_len, kv_len;    /* VARLEN: the longest */
    int total_q, total_k; /* VARLEN: rows in all */
    int window, slices;
    int group; /* heads that the order of tiles keeps together (walk.h) */
    float scale, scale_log2; /* scale_log2: scale times log2(e) */
} fmha_gpu_params;

#endif
