---
title: "Fused attention on the GPU: what may be tuned"
status: active
tags: [fmha, gpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, the names under `derived`, hw and problem.
// config.c checks the same constraints by the same names; a test holds the two against each other.
kernel fmha_gpu {
    operator: fmha_gpu
    dtype: bf16
    computes: "O = softmax(scale Q K^T + mask) V and its gradients; grouped heads, causal masks and windows aligned at the last query and key, sequences of any lengths; 32-bit sums"
    oracle: "the same in double precision on the GPU, with a bound derived from the lengths of the sums and the sizes of the scores"
    peer: "what PyTorch's scaled_dot_product_attention picks, timed by a script in the same run"

    // One idea a step; from tma on for cc 90. decode is for few queries and many keys.
    ladder: [unfused, mma_sync, tma, specialised, ping_pong, ahead, registers, persistent, packed, decode]

    // An axis that a variant does not have is ignored by it; one that is left out takes what the model of cost.c picks.
    tuning_space {
        variant: [unfused, mma_sync, tma, specialised, ping_pong, ahead, registers, persistent, packed, decode]
        tile_m: [16, 32, 64, 128, 192]
        tile_n: [16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256]
        q_stages: [1, 2]
        k_stages: [1, 2, 3, 4, 5]
        v_stages: [1, 2, 3, 4, 5]
        consumers: [1, 2, 3]
        pack: [1, 2, 4, 8, 16]
        order: [plain, longest]
        group: [1, 2, 4, 8, 16, 32, 64, 128]
        slices: [1, 2, 4, 8, 16, 32]
        start: [plain, overlapped]
        maximum: [followed, kept]
    }

    derived {
        producing: `variant == "specialised" or variant == "ping_pong" or variant == "ahead" or variant == "registers" or variant == "persistent" or variant == "packed"`
        tma: `producing or variant == "tma"`
        turns: `producing and variant ~= "specialised"`
        running_ahead: `turns and variant ~= "ping_pong"`
        keeps_p: `running_ahead and variant ~= "ahead"`
        back: `problem.pass == "backward"`
        tma_back: `back and tma`
        slices_of_64: `math.ceil(problem.head_dim / 64)`
        dq_columns: `tile_m == 128 and problem.head_dim or slices_of_64 * 64`
        dq_stages: `problem.deterministic and 2 or 1`
        back_tiles_bytes: `(2 * tile_n + 2 * k_stages * tile_m) * slices_of_64 * 128 + 4 * tile_m * tile_n + dq_stages * 4 * tile_m * dq_columns`
        back_smem_bytes: `back_tiles_bytes + k_stages * tile_m * 8 + 128 + (9 + 4 * dq_stages + 3 * k_stages) * 8`
        weights_bytes: `tma and not keeps_p and tile_m * math.ceil(tile_n / 64) * 128 or 0`
        barrier_bytes: `tma and 1024 or 0`
        staying: `variant == "persistent" or variant == "packed"`
        rows: `(tma and q_stages or 1) * tile_m + (k_stages + v_stages) * tile_n`
        unfused_smem_bytes: `math.max((tile_m + tile_n) * problem.head_dim * 2, 192 * (tile_m + problem.head_dim))`
        decode_warps: `tile_n < 64 and tile_n // 16 or 4`
        decode_smem_bytes: `math.max(tile_n * k_stages * problem.head_dim * 4, decode_warps * tile_m * (problem.head_dim + 10) * 4)`
        mma_back: `back and variant == "mma_sync"`
        smem_bytes: `mma_back and 4 * (tile_m + tile_n) * problem.head_dim or variant == "unfused" and unfused_smem_bytes or variant == "decode" and decode_smem_bytes or tma_back and back_smem_bytes or rows * problem.head_dim * 2 + weights_bytes + barrier_bytes`
        threads: `variant == "decode" and 32 * decode_warps or tma and 128 * (producing and consumers + 1 or consumers) or 128`
        sums: `problem.head_dim // 2 + tile_n // 2`
        pieces: `math.ceil(tile_m / 64)`
        mma_sums: `pieces * sums`
        mma_queries: `pieces * (problem.head_dim // 4)`
        mma_registers: `mma_sums + (mma_sums + mma_queries <= 160 and mma_queries or 0) + 64`
        decode_sums: `problem.head_dim // 4 + problem.head_dim // 2 + tile_n // decode_warps // 2`
        decode_registers: `math.ceil(tile_m / 16) * (decode_sums + 32)`
        registers: `(mma_back or variant == "unfused") and 128 or variant == "decode" and decode_registers or variant == "mma_sync" and mma_registers or tma_back and problem.head_dim + tile_m + tile_m // 4 + 16 or sums + (running_ahead and tile_n // 4 or 0) + 32`
        registers_there: `not tma and 255 or producing and (consumers < 3 and 240 or 160) or consumers < 3 and 255 or 168`
        heads_of_keys: `problem.kv_heads or problem.heads`
        keys: `problem.kv_len or problem.q_len`
        heads_a_group: `problem.heads // heads_of_keys`
        tiles_of_keys: `math.ceil(keys / tile_n)`
    }

    constraint tma_needs_cc_90 {
        that: `not tma or hw.cc == 90`
        reason: "wgmma and these bulk copies exist on Hopper only"
    }
    constraint backward_has_two_variants {
        that: `problem.pass ~= "backward" or variant == "mma_sync" or variant == "persistent"`
        reason: "the other steps are ideas of the forward pass"
    }
    constraint backward_of_128 {
        that: `not tma_back or problem.head_dim <= 128`
        reason: "dK and dV of more do not stay in registers"
    }
    constraint keys_of_two_warpgroups {
        that: `not tma_back or tile_n == 128 and consumers == 2`
        reason: "backward two warpgroups have 64 keys each"
    }
    constraint sixty_four_stay {
        that: `not mma_back or tile_n == 64 and (tile_m == 32 or tile_m == 64 and problem.head_dim <= 64)`
        reason: "64 rows of one side stay with a block, 64 or, of wide heads, 32 of the other pass"
    }
    constraint stages_of_both {
        that: `not tma_back or k_stages == v_stages and q_stages == 1`
        reason: "backward a stage has queries with their dO"
    }
    constraint queries_by_64 {
        that: `not tma_back or tile_m == 64 or tile_m == 128`
        reason: "a product takes 64 queries"
    }
    constraint rows_for_each_consumer {
        that: `not tma or back or tile_m == 64 * consumers`
        reason: "wgmma takes 64 rows from each warpgroup"
    }
    constraint rows_for_each_warp {
        that: `back or variant ~= "mma_sync" and variant ~= "unfused" or tile_m % 64 == 0`
        reason: "each of four warps has pieces of 16 queries"
    }
    constraint keys_by_16 {
        that: `tile_n % 16 == 0`
        reason: "the matrix units take 16 keys at a time"
    }
    constraint keys_of_two_warps {
        that: `variant ~= "unfused" or tile_n % 32 == 0`
        reason: "two warps have pieces of 16 keys each"
    }
    constraint keys_of_four_warps {
        that: `variant ~= "decode" or tile_n < 64 or tile_n % 64 == 0`
        reason: "from 64 keys on four warps have pieces of 16 each"
    }
    constraint queries_come_through_a_slot {
        that: `variant ~= "decode" or tile_m <= 32`
        reason: "a warp's slot holds 16 keys with their values"
    }
    constraint slots_have_both {
        that: `variant ~= "decode" or k_stages == v_stages and k_stages >= 2`
        reason: "a slot has keys and their values, and one is filled while another is read"
    }
    constraint turns_need_two {
        that: `not turns or back or consumers >= 2`
        reason: "one warpgroup has nobody to take turns with"
    }
    constraint smem_fits {
        that: `smem_bytes <= hw.smem_per_block_bytes`
        reason: "a tile of Q and the stages of K and V share a block's shared memory"
    }
    constraint sums_fit_registers {
        that: `registers <= registers_there`
        reason: "O and S, and P beside the next S, stay in registers; three warpgroups have fewer each than two"
    }
    constraint next_queries_of_those_that_stay {
        that: `q_stages == 1 or staying`
        reason: "the other steps have one tile of queries"
    }
    constraint kept_keys_stay {
        that: `maximum == "followed" or not staying or k_stages >= 2`
        reason: "a tile's keys stay until its weights are known to be right, while the next one's come"
    }
    constraint pack_has_a_variant {
        that: `pack == 1 or variant == "packed"`
        reason: "the other steps have one head in a tile"
    }
    constraint packs_are_whole {
        that: `heads_a_group % pack == 0 and 64 % pack == 0`
        reason: "the heads of a tile read the same K and V, and a warpgroup has as many queries of each"
    }
    constraint slices_have_a_variant {
        that: `slices == 1 or variant == "decode"`
        reason: "the other steps visit all keys in one block"
    }
    constraint slices_have_keys {
        that: `slices <= tiles_of_keys`
        reason: "a slice has a tile of keys at least"
    }

    invariants: [every_element_written_once, every_pair_visited_once, grouped_heads_map, pipeline_never_overwrites, online_merge_is_associative, masked_row_is_zero, threads_do_not_change_bits, resources_fit, no_read_outside]
}
