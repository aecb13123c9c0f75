/* Is this attention right? Two oracles on the GPU: chosen lines in double
 * precision (fmha_f64.cu), all elements in 32 bits (fmha_all.cu). */
#ifndef SPAK_ORACLE_FMHA_F64_H
#define SPAK_ORACLE_FMHA_F64_H

#include "device/gpu.h"
#include "oracle/fmha_params.h"

/* Element (b, h, t, d) at at + b * batch + h * head + t * row + d, in elements
 * of 16 bits. */
typedef struct oracle_tensor {
    dev_ptr at;
    oracle_layout by;
} oracle_tensor;

/* What was computed, as in fmha/gpu/params.h. All inputs are finite. */
typedef struct oracle_fmha {
    int batch, heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    int window;         /* -1: none */
    float scale;        /* 0: 1 / sqrt(head_dim) */
    dev_element type;   /* DEV_BF16 or DEV_F16 */
    dev_ptr cu_q, cu_k; /* int (batch + 1), both or none */
    oracle_tensor q, k, v, o;
    dev_ptr lse;
    bool backward; /* dQ, dK and dV of the O and LSE given */
    oracle_tensor d_o, dq, dk, dv;
    /* Forward only: all scores are equal and V holds small integers. Then no
     * sum rounds, and every key that is missing shows. */
    bool exact;
    int lines; /* of each kind in double; 0: what a budget of work allows, all
                  of a small problem */
    bool lines_only;
    uint64_t seed;
} oracle_fmha;

/* Errors are relative to the bounds of fmha_f64.c; at most 1 is right. */
typedef struct oracle_fmha_verdict {
    bool good;
    double worst;     /* over the lines checked in double ... */
    int lines;        /* ... so many */
    double worst_all; /* over all elements; 0 with lines_only */
    /* Of the lines in double: norm of the error over norm of the output; O, or
     * dQ, dK, dV. */
    double error[3];
    char text[256]; /* what is wrong, or "" */
} oracle_fmha_verdict;

/* Waits for the GPU. Fails when the check cannot be made, not when the output
 * is wrong. */
bool oracle_fmha_check(dev_gpu *gpu, const oracle_fmha *x,
                       oracle_fmha_verdict *verdict, spak_error *err);

/* Writes O, rounded, and LSE: what a backward pass starts from. */
bool oracle_fmha_forward(dev_gpu *gpu, const oracle_fmha *x, spak_error *err);

/* The constants of a pass's bound. */
oracle_bound oracle_fmha_bound(const oracle_fmha *x);

#endif
