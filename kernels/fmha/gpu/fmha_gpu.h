/* FMHA on a GPU: fused multi-head attention, forward, backward and decoding,
 * 16-bit inputs, sums in 32-bit floats (params.h has the formula).
 *
 * A configuration says how (config.c), a plan turns it, with a problem, into
 * what is launched (plan.c); neither needs a GPU. Binding a plan to buffers and
 * launching it does (launch.c). */
#ifndef SPAK_FMHA_GPU_H
#define SPAK_FMHA_GPU_H

#include "device/gpu_module.h"
#include "device/op.h"
#include "fmha/gpu/params.h"

/* The ladder of the forward pass: one idea a step. */
typedef enum fmha_gpu_variant {
    FMHA_GPU_UNFUSED,     /* S and P through global memory: three kernels */
    FMHA_GPU_MMA_SYNC,    /* fused, mma.sync and cp.async; cc 80 and up */
    FMHA_GPU_TMA,         /* from here on cc 90: TMA and wgmma */
    FMHA_GPU_SPECIALISED, /* one warpgroup fetches */
    FMHA_GPU_PING_PONG,   /* two or three others take turns */
    FMHA_GPU_AHEAD,       /* scores of the next keys under this softmax */
    FMHA_GPU_REGISTERS,   /* P stays in registers */
    FMHA_GPU_PERSISTENT,  /* blocks stay; longest tiles first */
    FMHA_GPU_PACKED,      /* grouped heads share a tile */
    FMHA_GPU_DECODE,      /* few queries, many keys: slices of keys */
    FMHA_GPU_VARIANTS
} fmha_gpu_variant;

/* The pass that a trial runs. */
typedef enum fmha_gpu_pass {
    FMHA_GPU_FORWARD,
    FMHA_GPU_BACKWARD,
    FMHA_GPU_PASSES
} fmha_gpu_pass;

typedef struct fmha_gpu_problem {
    int batch, heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    int window;  /* keys before the last one that a query sees; -1: all */
    bool varlen; /* lengths drawn from the seed, at most q_len and kv_len */
    float scale; /* 0: 1 / sqrt(head_dim) */
    dev_element dtype; /* DEV_BF16 or DEV_F16 */
    fmha_gpu_pass pass;
    bool deterministic; /* backward: bitwise equal from run to run */
} fmha_gpu_problem;

typedef struct fmha_gpu_config {
    fmha_gpu_variant variant;
    int tile_m, tile_n;     /* queries and keys of a tile */
    int k_stages, v_stages; /* tiles of K and of V in flight */
    int consumers;          /* warpgroups of 64 queries each */
    int pack;               /* grouped heads in a tile; 1: not packed */
    int slices;             /* decode: parts of the keys */
} fmha_gpu_config;

#endif
