---
title: "MatMul on the GPU: what may be tuned"
status: active
tags: [matmul, gpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, the names under `derived`, hw and problem.
// config.c checks the same constraints by the same names; a test holds the two against each other.
kernel matmul_gpu {
    operator: matmul_gpu
    dtype: bf16
    computes: "C = residual + act(alpha op(A) op(B) + beta C + bias), row-major, any m, n, k; bf16 or f16 in, 32-bit sums"
    oracle: "the same in double precision on the GPU, with the bound of 32-bit sums and the output's rounding"
    peer: "cuBLAS, loaded at run time; the plain product where an epilogue is fused"

    // One idea a step; from tma on for cc 90.
    ladder: [naive, coalesced, shared_tile, register_tile, mma_sync, tma, specialised, two_consumers, persistent, cluster, async_store, best]

    // An axis that a variant does not have is ignored by it; one that is left out takes what the model of cost.c picks.
    tuning_space {
        variant: [naive, coalesced, shared_tile, register_tile, mma_sync, tma, specialised, two_consumers, persistent, cluster, async_store, best]
        tile_m: [64, 128, 256]
        tile_n: [32, 64, 96, 128, 160, 192, 224, 256]
        tile_k: [16, 32, 64, 128]
        stages: [1, 2, 3, 4, 5, 6, 7, 8]
        cluster_m: [1, 2]
        cluster_n: [1, 2]
        group: [1, 4, 6, 8, 11, 16, 32]
        split: [1, 2, 4, 8]
        last_round: [whole, shared]
        start: [plain, overlapped]
        swizzle_bytes: [16, 128]
    }

    derived {
        tma: `variant ~= "naive" and variant ~= "coalesced" and variant ~= "shared_tile" and variant ~= "register_tile" and variant ~= "mma_sync"`
        clustered: `variant == "cluster" or variant == "async_store" or variant == "best"`
        tma_store: `variant == "async_store" or variant == "best"`
        consumers: `not tma and 0 or (variant == "tma" or variant == "specialised") and 1 or variant == "best" and tile_m % 128 > 0 and 1 or 2`
        sum_threads: `tma and 128 * consumers or variant == "mma_sync" and tile_m // 64 * (tile_n // 64) * 32 or tile_m // 8 * (tile_n // 8)`
        threads: `tma and variant ~= "tma" and sum_threads + 128 or sum_threads`
        sums: `math.ceil(tile_m * tile_n / math.max(sum_threads, 1))`
        out_bytes: `problem.out == "f32" and 4 or 2`
        stage_bytes: `2 * (tile_m + tile_n) * tile_k`
        piece_row: `tile_n * out_bytes % 128 > 0 and 64 or 128`
        smem_bytes: `tma and (stage_bytes + 16) * stages + (tma_store and consumers * 2 * 64 * piece_row or 0) or variant == "mma_sync" and stage_bytes * stages or 0`
        tiles_m: `math.ceil(problem.m / tile_m)`
        tiles_n: `math.ceil(problem.n / tile_n)`
        tiles_k: `math.ceil(problem.k / tile_k)`
        tiles: `tiles_m * tiles_n`
        waves: `math.ceil(tiles * split / hw.sms)`
        row_a: `problem.trans_a and problem.m or problem.k`
        row_b: `problem.trans_b and problem.k or problem.n`
        plain: `problem.epilogue == nil or #problem.epilogue == 0`
        simple: `variant == "naive" or variant == "coalesced" or variant == "shared_tile"`
    }

    constraint tma_needs_cc_90 {
        that: `not tma or hw.cc == 90`
        reason: "wgmma and these bulk copies exist on Hopper only"
    }
    constraint tma_rows_aligned {
        that: `not tma or row_a % 8 == 0 and row_b % 8 == 0 and (not tma_store or problem.n * out_bytes % 16 == 0)`
        reason: "the bulk copy engine takes rows of whole 16 bytes"
    }
    constraint whole_warps {
        that: `simple or threads >= 32 and threads <= 1024 and threads % 32 == 0`
        reason: "a block is whole warps, at most 32 of them"
    }
    constraint warps_of_64 {
        that: `variant ~= "mma_sync" or tile_m % 64 == 0 and tile_n % 64 == 0 and tile_k % 32 == 0 and stages >= 2`
        reason: "a warp computes 64 x 64 in steps of 32, and one slot is filled while another is read"
    }
    constraint rows_for_each_consumer {
        that: `consumers == 0 or tile_m % (64 * consumers) == 0`
        reason: "wgmma takes 64 rows from each warpgroup"
    }
    constraint shares_of_a_copy {
        that: `variant ~= "mma_sync" or (tile_k == 32 or tile_k == 64) and tile_m * tile_k // 8 % threads == 0 and tile_n * tile_k // 8 % threads == 0 and threads // 32 * 64 * 72 <= stages * stage_bytes`
        reason: "each thread copies as much as the others, and the epilogue's strips take the stages' place"
    }
    constraint static_tile_fits {
        that: `variant ~= "register_tile" or (tile_m + tile_n) * tile_k * 4 <= 48 * 1024`
        reason: "shared memory that is not asked for at launch is at most 48 KiB"
    }
    constraint ring_of_two {
        that: `not tma or variant == "tma" or stages >= 2`
        reason: "a consumer holds a stage while it waits for the next"
    }
    constraint columns_by_32 {
        that: `not tma or tile_n % 32 == 0`
        reason: "pieces of C have rows of sixty-four bytes at least"
    }
    constraint swizzled_rows {
        that: `not tma or tile_k % 64 == 0`
        reason: "a swizzled row of 128 bytes holds 64 elements"
    }
    constraint columns_of_b_whole {
        that: `not tma or problem.trans_b or tile_n % (64 * cluster_m) == 0`
        reason: "where B is stored by k, its tile is boxes of 64 columns"
    }
    constraint rows_of_a_whole {
        that: `not tma or not problem.trans_a or tile_m % (64 * cluster_n) == 0`
        reason: "where A is stored by k, its tile is boxes of 64 rows"
    }
    constraint smem_fits {
        that: `simple or smem_bytes <= hw.smem_per_block_bytes`
        reason: "the stages and the tile on its way out share a block's shared memory"
    }
    constraint sums_fit_registers {
        that: `simple or sums <= 128 or sums <= 192 and consumers == 2 and plain`
        reason: "what is left of 255 registers addresses, or of 232 where the producer gives some away; an epilogue needs its own"
    }
    constraint clusters_from_cluster_on {
        that: `clustered or cluster_m * cluster_n == 1`
        reason: "the steps below have no clusters"
    }
    constraint pairs {
        that: `cluster_m * cluster_n <= 2`
        reason: "larger clusters leave multiprocessors idle that no whole cluster fits into"
    }
    constraint clusters_have_tiles {
        that: `not clustered or cluster_m <= tiles_m and cluster_n <= tiles_n`
        reason: "a cluster's blocks take neighbouring tiles"
    }
    constraint shares_are_whole {
        that: `not clustered or tile_m % (8 * cluster_n) == 0 and tile_n % (8 * cluster_m) == 0`
        reason: "each block of a cluster fetches a share of eight rows or more of what all need"
    }
    constraint split_has_a_variant {
        that: `split == 1 or variant == "mma_sync"`
        reason: "the other steps do not split"
    }
    constraint shared_by_best {
        that: `last_round ~= "shared" or variant == "best"`
        reason: "the other steps have no one to pass sums on to"
    }
    constraint split_where_tiles_are_few {
        that: `split == 1 or tiles < hw.sms and split <= tiles_k`
        reason: "parts that are summed apart cost a pass over C; it pays only where multiprocessors would idle"
    }

    invariants: [every_element_written_once, tiled_sum_within_bound, no_read_outside, threads_do_not_change_bits, pipeline_never_overwrites, swizzle_is_a_bijection_without_conflicts, split_covers_k_once, resources_fit]
}
