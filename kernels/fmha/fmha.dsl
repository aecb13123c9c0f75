---
title: "Fused attention on the processor: what may be tuned"
status: active
tags: [fmha, cpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, the names under `derived`, hw and problem.
kernel fmha {
    operator: fmha
    dtype: [f32, f16, bf16]
    computes: "O = softmax(scale Q K^T + mask) V and its gradients, grouped heads, causal mask aligned at the last query and key"
    oracle: "the same in double precision, with a bound derived from the lengths of the sums and the sizes of the scores"
    peer: "the variant unfused: three passes, products by matmul's register tiles, as many threads, samples interleaved"

    // One idea a step; the last two share their loops and micro-kernels.
    ladder: [naive, unfused, fused, threads]

    // An axis that a variant does not have is ignored by it; one that is left out takes the machine's default.
    tuning_space {
        variant: [naive, unfused, fused, threads]
        isa: [portable, avx2, avx512]
        tile_m: [32, 64, 96, 128, 192, 256]
        tile_n: [24, 48, 96, 144, 192, 288, 384]
    }

    derived {
        lanes: `isa == "avx512" and 32 or isa == "avx2" and 16 or 8`
        mr: `isa == "avx512" and 14 or 6`
        nv: `2`
        panels: `tile_m / lanes`
        tile_of_keys_bytes: `8 * tile_n * problem.head_dim`
        tile_of_queries_bytes: `8 * tile_m * problem.head_dim`
    }

    constraint isa_is_there {
        that: `isa == "portable" or isa == hw.isa or (isa == "avx2" and hw.isa == "avx512")`
        reason: "an instruction that the processor lacks ends the program"
    }
    constraint whole_panels {
        that: `tile_m % lanes == 0`
        reason: "queries lie in the lanes of two vectors; lanes without a query compute nothing that is kept"
    }
    constraint keys_in_l2 {
        that: `hw.l2_bytes == nil or tile_of_keys_bytes <= hw.l2_bytes`
        reason: "every panel of a tile of queries reads the tile of K and V again"
    }
    constraint queries_in_l2 {
        that: `hw.l2_bytes == nil or tile_of_queries_bytes <= hw.l2_bytes`
        reason: "every tile of keys reads the panels' Q again and adds to their O"
    }
    constraint threads_use_them {
        that: `problem.threads == nil or problem.threads == 1 or variant == "threads" or variant == "unfused"`
        reason: "the other variants run on one thread"
    }

    invariants: [online_merge_is_associative, rescaled_equals_two_pass, causal_skip_contributes_nothing, masked_row_is_zero, grouped_heads_map, tiled_sum_within_bound, threads_do_not_change_bits, backward_matches_differences, every_element_written_once, no_read_outside]
}
