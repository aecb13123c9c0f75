/* What the host hands to the attention oracle's kernels: one struct by value,
 * the same text for C and CUDA. Tensors, strides and masks are as in
 * fmha/gpu/params.h; elements have 16 bits, of the type that TYPE_F16 says. */
#ifndef SPAK_ORACLE_FMHA_PARAMS_H
#define SPAK_ORACLE_FMHA_PARAMS_H

#ifdef __CUDACC__
typedef unsigned long long oracle_ptr;
#else
#include "oracle/params.h"
#endif

typedef struct oracle_layout {
    long long batch, head, row; /* elements */
} oracle_layout;

/* A line is what depends on one row of inputs beside the whole of the other
 * side's: O and LSE, or dQ, of a query; dK and dV of a key. */
typedef struct oracle_line {
    int batch, head, at; /* head: of K and V for a key */
} oracle_line;

/* The bound's constants; fmha_f64.c derives them. */
typedef struct oracle_bound {
    double unit;      /* a rounding of a sum or product in 32 bits */
    double exp_error; /* relative error of an exponential */
    double rescales;  /* of a running sum, at most */
    double shift;     /* of |largest score|, in every exponent */
    double phi;       /* of the sums, relative to their magnitudes */
    double rho;       /* the same with the roundings to 16 bits */
    double factor;    /* what the sums of magnitudes are multiplied with: rho */
    double subnormal; /* the least number of 16 bits, over 4 w */
    double out_unit;  /* w: a rounding of the output */
    int exact;        /* no sum rounds: equal scores, small integers in V */
    int own_cancels;  /* a key's own error cancels in its weight */
} oracle_bound;

typedef struct oracle_attention {
    oracle_ptr q, k, v, o, lse; /* lse: f32 */
    oracle_ptr d_o, dq, dk, dv; /* backward */
    oracle_layout q_at, k_at, v_at, o_at, do_at, dq_at, dk_at, dv_at;
    oracle_ptr cu_q, cu_k; /* int (batch + 1), or 0 */
    int batch, heads, kv_heads, head_dim;
    int q_len, kv_len; /* with cu_q, cu_k the longest */
    int total_q;       /* with cu_q: rows in all, LSE's row length */
    int causal, window;
    double scale;
    oracle_bound bound;
    /* fmha_f64.cu: some lines */
    oracle_ptr lines;    /* oracle_line (blocks) */
    oracle_ptr partners; /* double (blocks, most_partners, 4) */
    oracle_ptr found;    /* double (blocks, 3, width): wanted, bound, got */
    long long most_partners;
    /* fmha_all.cu: all lines. f32, of row (b, h, t) of a dense (b, h, t): */
    oracle_ptr q_size, k_size, v_size, do_size; /* pairs: norm, largest */
    oracle_ptr dots;    /* pairs: sum of dO O, and of its magnitudes */
    oracle_ptr own_lse; /* LSE as this file's kernels find it */
    oracle_ptr worst;   /* float (blocks, 2): ratio, line in its block */
    int writes;         /* O and LSE are written, not compared */
} oracle_attention;

#endif
