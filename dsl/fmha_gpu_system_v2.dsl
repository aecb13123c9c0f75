---
title: "FMHA on the GPU: softmax under the products"
version: 2
status: active
tags: [fmha, attention, gpu, ladder]
---

// Written by `spak crystallise` from FMHA_GPU_System_v1 and trace:fmha_gpu/h200; not to be edited.
system FMHA_GPU_System_v2 {
    operator: fmha_gpu
    inherits: ["matmul_gpu_system_v2.dsl", "fmha_system_v3.dsl"]

    objective Hide_The_Softmax {
        target: "attention in half precision on one GPU, forward and backward, faster than what the framework picks by default, by steps that each add one idea"
        maximise: peer_ratio
        correctness: "output, log of the sum and all gradients stay within the derived bound of the double-precision oracle; the forward pass and the deterministic backward pass have the same bits at each run"
    }

    baseline {
        peer: "PyTorch's scaled_dot_product_attention as it chooses by itself, in a process of its own on the same GPU, given the same inputs with grouped heads as they are, its samples in turn with ours"
        metric: "the ratio of the peer's time to ours in one run; above one means faster than the peer"
    }

    design_space {
        memory_access {
            unfused: "scores and weights go through global memory: three kernels"
            mma_sync: "one kernel, scores in a tile; copies run ahead, warps feed the matrix units"
            tma: "the copy engine moves whole tiles, warpgroups multiply straight from shared memory"
        }
        division_of_labour {
            specialised: "one warpgroup fetches, others multiply"
            ping_pong: "the others take turns: one multiplies while another is at its softmax"
            ahead: "a warpgroup's next scores are computed under its own softmax"
            registers: "weights stay in the registers that scores came in"
            kept: "a row's maximum stays while no weight grows too large"
        }
        schedule {
            persistent: "blocks stay; the longest rows of a causal mask are taken first"
            packed: "grouped heads share a tile of queries, and with it the keys"
            decode: "few queries, many keys: slices of the keys are merged at the end"
        }
    }

    // The steps above are the ladder; what is swept is the top and, for one warpgroup of queries, the step below it.
    tuning_space {
        variant: [packed, specialised, mma_sync]
        tile_m: [64, 128, 192]
        tile_n: [32, 64, 80, 96, 128, 160, 176]
        k_stages: [1, 2, 3, 4, 5]
        v_stages: [1, 2, 3, 4, 5]
    }

    engineering_loop {
        // The shape of the source's headline: grouped heads, causal. The peer is given the grouped heads as they are.
        problem source_shape { batch: 8 heads: 16 kv_heads: 4 q_len: 2048 head_dim: 128 causal: true }

        // Decoding: one query against a long cache; what it reads is the cache.
        problem decode { batch: 64 heads: 32 q_len: 1 kv_len: 8192 head_dim: 128 causal: true }
        problem decode_grouped { batch: 64 heads: 32 kv_heads: 8 q_len: 1 kv_len: 8192 head_dim: 128 causal: true }
        problem decode_one { batch: 1 heads: 32 kv_heads: 8 q_len: 1 kv_len: 8192 head_dim: 128 causal: true }
        // A few queries of grouped heads: where a head's queries do not fill a tile.
        problem few_queries { batch: 32 heads: 32 kv_heads: 4 q_len: 16 kv_len: 4096 head_dim: 128 causal: true }

        // What else attention is asked for.
        problem gpt2 { batch: 16 heads: 12 q_len: 1024 head_dim: 64 causal: true }
        problem window { batch: 2 heads: 16 q_len: 8192 head_dim: 128 causal: true window: 1024 }
        problem varlen { batch: 16 heads: 16 q_len: 2048 head_dim: 128 causal: true varlen: true }
        problem half { batch: 4 heads: 16 q_len: 4096 head_dim: 128 causal: true dtype: "f16" }
        problem dim_32 { batch: 4 heads: 64 q_len: 4096 head_dim: 32 causal: true }
        problem dim_96 { batch: 4 heads: 21 q_len: 4096 head_dim: 96 causal: true }
        problem dim_256 { batch: 4 heads: 8 q_len: 4096 head_dim: 256 causal: true }

        profile smoke {
            trials: 2
            samples: 5
            min_sample_ms: 1
        }
        profile paper {
            trials: 2
            samples: 50
            min_sample_ms: 2
        }

        // The points of the comparison: every head_dim, length and mask, so many batches that there are `tokens` tokens,
        // so many heads that they are `hidden` wide. flash: where the peer is also asked for FlashAttention.
        points smoke {
            tokens: 4096
            hidden: 512
            head_dims: [64, 128]
            lengths: [512, 1024]
            backward_samples: 5
            flash_forward: [1024]
            flash_backward: [1024]
        }
        points paper {
            tokens: 16384
            hidden: 2048
            head_dims: [64, 128]
            lengths: [512, 1024, 2048, 4096, 8192, 16384]
            backward_samples: 20
            flash_forward: [512, 1024, 2048, 4096, 8192, 16384]
            flash_backward: [2048, 16384]
        }

        // The ladder's lengths and fusion's, at the widest head_dim; the length at which tiles and stages are tried beside
        // the source's shape. None of these has a peer.
        ladder smoke {
            lengths: [512]
            fusion: [512, 1024]
            tried: 512
            samples: 3
        }
        ladder paper {
            lengths: [2048, 16384]
            fusion: [512, 1024, 2048, 4096, 8192, 16384]
            tried: 2048
            samples: 7
        }
    }

    // Predicted from the hardware's arithmetic. A pair of a query and a key costs four times head_dim operations of the
    // matrix units and an exponential, of which a multiprocessor does sixteen a cycle: at head_dim 128 the softmax takes
    // about half the time of the products, at 64 as long as they do. A step takes away what its header names.
    hypothesis fusing_saves_the_scores_way {
        expect: "a pair's score and weight move twelve bytes through memory, which takes twice as long as its products"
        predict: `ratio(tflops, variant == "mma_sync", variant == "unfused")`
        within: [1.8, 5.0]
    }
    hypothesis tma_feeds_but_does_not_overlap {
        expect: "products are twice as fast, and the softmax still waits for them and they for it"
        predict: `ratio(tflops, variant == "tma", variant == "mma_sync")`
        within: [0.9, 1.6]
    }
    hypothesis a_producer_hides_the_copies {
        expect: "stages are filled by someone who waits for nothing else; at long rows copies were mostly hidden before"
        predict: `ratio(tflops, variant == "specialised", variant == "tma")`
        within: [1.0, 1.3]
    }
    hypothesis turns_hide_the_softmax {
        expect: "one warpgroup's softmax runs under the other's products; by chance a part of it did before"
        predict: `ratio(tflops, variant == "ping_pong", variant == "specialised")`
        within: [1.0, 1.25]
    }
    hypothesis scores_ahead_fill_what_is_left {
        expect: "with the next scores under this softmax the matrix units wait for neither"
        predict: `ratio(tflops, variant == "ahead", variant == "ping_pong")`
        within: [1.0, 1.2]
    }
    hypothesis weights_in_registers_spare_shared_memory {
        expect: "weights are written and read once less, and a barrier between the two is gone"
        predict: `ratio(tflops, variant == "registers", variant == "ahead")`
        within: [1.02, 1.25]
    }
    hypothesis staying_hides_starts_and_ends {
        expect: "the next tile's queries arrive under this one's end; without a mask little is idle"
        predict: `ratio(tflops, variant == "persistent" and maximum == "followed" and causal == false, variant == "registers" and causal == false)`
        within: [1.0, 1.12]
    }
    hypothesis longest_first_balances_the_mask {
        expect: "under a causal mask rows differ as one to all, and what is taken last decides when all is done"
        predict: `ratio(tflops, variant == "persistent" and maximum == "followed" and causal == true, variant == "registers" and causal == true)`
        within: [1.03, 1.35]
    }
    hypothesis packing_fills_the_tile {
        expect: "eight heads of sixteen queries are one tile instead of eight, and read their keys once"
        predict: `ratio(tflops, variant == "packed" and q_len == 16, variant == "persistent" and q_len == 16)`
        within: [2.0, 8.5]
    }

    hypothesis a_kept_maximum_saves_the_search_for_it {
        expect: "weights begin with their first score, and nothing is scaled; a wrong guess costs a tile's scores, and random rows hardly make one"
        predict: `ratio(tflops, variant == "packed" and maximum == "kept", variant == "packed" and maximum == "followed")`
        within: [1.0, 1.12]
    }

    // The next two are about the points of the comparison: bf16, a head of keys for each of queries, `hidden` wide.
    hypothesis forward_passes_the_peer {
        expect: "the products at nine tenths of what the power allows, the softmax hidden; cuDNN hides it too"
        predict: `paired(peer_time_ms, time_ms, pass == "forward" and peer == "default" and dtype == "bf16" and kv_heads == heads and (head_dim == 64 or head_dim == 128) and (heads * head_dim == 2048 or heads * head_dim == 512))`
        within: [1.0, 1.25]
    }
    hypothesis backward_passes_the_peer {
        expect: "five products for two, of which dQ's sum is the one that leaves the chip"
        predict: `paired(peer_time_ms, time_ms, pass == "backward" and peer == "default" and dtype == "bf16" and kv_heads == heads and (head_dim == 64 or head_dim == 128) and (heads * head_dim == 2048 or heads * head_dim == 512))`
        within: [1.0, 1.3]
    }
    hypothesis flash_2_is_left_behind {
        expect: "mma.sync reaches some six tenths of the matrix units' rate, and has no warpgroup to hide a softmax under"
        predict: `paired(peer_time_ms, time_ms, pass == "forward" and peer == "flash")`
        within: [1.7, 2.6]
    }
    hypothesis order_costs_little {
        expect: "a tile of dQ waits for its turn; tiles are many and most turns come before they are waited for"
        predict: `ratio(tflops, deterministic == true, deterministic == false)`
        within: [0.75, 1.0]
    }
    hypothesis decoding_is_a_copy {
        expect: "a cache is read once and nearly nothing is written; reading alone is a little faster than a copy"
        predict: `ratio(gb_per_s, kv_heads == 32 and q_len == 1, kv_heads == 8 and q_len == 1)`
        within: [0.9, 1.2]
    }

    knowledge {
        invariant every_pair_visited_once {
            statement: "each pair of a query and a key that see each other is visited once, forward and backward"
            scope { op: [fmha_gpu] }
        }
        // Both systems' invariants, changed: their code is another one.
        invariant grouped_heads_map {
            statement: "a query head reads its group's keys and values, packed or not"
            scope { op: [fmha_gpu] }
        }
        invariant pipeline_never_overwrites {
            statement: "no stage of K, V, Q or dO is read before it is full or filled before it is free, and no wait is for ever"
            scope { op: [fmha_gpu] }
        }
        invariant online_merge_is_associative {
            statement: "partial states of the softmax merge in any order, from tiles and slices of any size, to the same result"
            scope { op: [fmha_gpu] }
        }
        invariant masked_row_is_zero {
            statement: "a row that sees no key gives zero, a logarithm of minus infinity, and no NaN"
            scope { op: [fmha_gpu] }
        }
        invariant resources_fit {
            statement: "what the constraints allow fits a block's shared memory, threads and registers"
            scope { op: [fmha_gpu] }
        }

        // The source's rules, as it states them: from one consumer GPU of
        // another generation. They refuse nothing here; they predict, and
        // the sweep says what becomes of them.
        // "tile_m = 128 harms FMHA": 45 to 50 % slower there.
        rule tile_m_128_harms {
            when: `op == "fmha_gpu"`
            predict: `ratio(tflops, tile_m == 128, tile_m == 64)`
            within: [0.4, 0.95]
            reason: "the source: more registers, fewer blocks at once"
            scope { kind: [gpu] }
            evidence: ["the source's measurement, on an RTX 5070"]
            support: 0
            contradictions: 1
            status: contested
        }
        // "64x64 is the global best."
        rule tile_64_by_64_is_best {
            when: `op == "fmha_gpu"`
            predict: `ratio(tflops, tile_m == 64 and tile_n == 64, tile_m == 128 and tile_n == 128)`
            within: [1.02, 2.5]
            reason: "the source: the balance of work a block and blocks a multiprocessor"
            scope { kind: [gpu] }
            evidence: ["the source's sweep, on an RTX 5070"]
            support: 0
            contradictions: 1
            status: contested
        }
        // "K latency 2, V latency 5 for causal masks", as stages of K and V.
        rule five_stages_of_v_help_a_causal_mask {
            when: `op == "fmha_gpu"`
            predict: `ratio(tflops, k_stages == 2 and v_stages == 5 and causal == true, k_stages == 2 and v_stages == 2 and causal == true)`
            within: [1.02, 1.5]
            reason: "the source: values are needed later than keys and may be asked for earlier"
            scope { kind: [gpu] }
            evidence: ["the source's hints to its compiler, on an RTX 5070"]
            support: 0
            contradictions: 1
            status: contested
        }

        fact a_pair_costs_an_exponential {
            description: "sixteen exponentials a cycle and multiprocessor beside 4096 operations of the matrix units: at head_dim 128 a pair's exponential takes half the time of its products, at 64 as long"
            scope { cc: [90] }
            evidence: ["the vendor's programming guide; a count, no measurement needed"]
            status: valid
        }
        hint hide_the_softmax {
            text: "when the products are as fast as they get, what is left is what does not run under them"
        }
        hint ask_the_peer_as_a_user_would {
            text: "the peer chooses by itself, gets grouped heads as they are, and the same count of operations"
        }
        fact outcome_of_tile_m_128_harms_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, tile_m == 128, tile_m == 64)`
            predicted: [0.4, 0.95]
            measured: 1.17
            pairs: 17
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#597, trace:fmha_gpu/h200#585, trace:fmha_gpu/h200#599, trace:fmha_gpu/h200#587, trace:fmha_gpu/h200#601, trace:fmha_gpu/h200#589]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_tile_64_by_64_is_best_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, tile_m == 64 and tile_n == 64, tile_m == 128 and tile_n == 128)`
            predicted: [1.02, 2.5]
            measured: 0.746
            pairs: 2
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#614, trace:fmha_gpu/h200#628, trace:fmha_gpu/h200#713, trace:fmha_gpu/h200#727]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_five_stages_of_v_help_a_causal_mask_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, k_stages == 2 and v_stages == 5 and causal == true, k_stages == 2 and v_stages == 2 and causal == true)`
            predicted: [1.02, 1.5]
            measured: 1
            pairs: 2
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#801, trace:fmha_gpu/h200#795, trace:fmha_gpu/h200#851, trace:fmha_gpu/h200#845]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_fusing_saves_the_scores_way_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "mma_sync", variant == "unfused")`
            predicted: [1.8, 5]
            measured: 2.39
            pairs: 14
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#461, trace:fmha_gpu/h200#459, trace:fmha_gpu/h200#561, trace:fmha_gpu/h200#481, trace:fmha_gpu/h200#479, trace:fmha_gpu/h200#579]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_tma_feeds_but_does_not_overlap_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "tma", variant == "mma_sync")`
            predicted: [0.9, 1.6]
            measured: 1.49
            pairs: 6
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#463, trace:fmha_gpu/h200#461, trace:fmha_gpu/h200#563, trace:fmha_gpu/h200#483, trace:fmha_gpu/h200#481, trace:fmha_gpu/h200#581]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_a_producer_hides_the_copies_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "specialised", variant == "tma")`
            predicted: [1, 1.3]
            measured: 1.09
            pairs: 4
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#465, trace:fmha_gpu/h200#463, trace:fmha_gpu/h200#485, trace:fmha_gpu/h200#483, trace:fmha_gpu/h200#505, trace:fmha_gpu/h200#503]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_turns_hide_the_softmax_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "ping_pong", variant == "specialised")`
            predicted: [1, 1.25]
            measured: 1.09
            pairs: 4
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#467, trace:fmha_gpu/h200#465, trace:fmha_gpu/h200#487, trace:fmha_gpu/h200#485, trace:fmha_gpu/h200#507, trace:fmha_gpu/h200#505]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_scores_ahead_fill_what_is_left_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "ahead", variant == "ping_pong")`
            predicted: [1, 1.2]
            measured: 1.03
            pairs: 4
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#469, trace:fmha_gpu/h200#467, trace:fmha_gpu/h200#489, trace:fmha_gpu/h200#487, trace:fmha_gpu/h200#509, trace:fmha_gpu/h200#507]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_weights_in_registers_spare_shared_memory_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "registers", variant == "ahead")`
            predicted: [1.02, 1.25]
            measured: 1.08
            pairs: 4
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#471, trace:fmha_gpu/h200#469, trace:fmha_gpu/h200#491, trace:fmha_gpu/h200#489, trace:fmha_gpu/h200#511, trace:fmha_gpu/h200#509]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_staying_hides_starts_and_ends_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "persistent" and maximum == "followed" and causal == false, variant == "registers" and causal == false)`
            predicted: [1, 1.12]
            measured: 1.03
            pairs: 2
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#473, trace:fmha_gpu/h200#471, trace:fmha_gpu/h200#493, trace:fmha_gpu/h200#491]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_longest_first_balances_the_mask_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "persistent" and maximum == "followed" and causal == true, variant == "registers" and causal == true)`
            predicted: [1.03, 1.35]
            measured: 1.06
            pairs: 2
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#513, trace:fmha_gpu/h200#511, trace:fmha_gpu/h200#533, trace:fmha_gpu/h200#531]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_packing_fills_the_tile_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "packed" and q_len == 16, variant == "persistent" and q_len == 16)`
            predicted: [2, 8.5]
            measured: 4.83
            pairs: 1
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#547, trace:fmha_gpu/h200#545]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_a_kept_maximum_saves_the_search_for_it_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "packed" and maximum == "kept", variant == "packed" and maximum == "followed")`
            predicted: [1, 1.12]
            measured: 1.09
            pairs: 10
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#292, trace:fmha_gpu/h200#475, trace:fmha_gpu/h200#298, trace:fmha_gpu/h200#495, trace:fmha_gpu/h200#308, trace:fmha_gpu/h200#515]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_forward_passes_the_peer_on_h200 {
            outcome: confirmed
            comparison: `paired(peer_time_ms, time_ms, pass == "forward" and peer == "default" and dtype == "bf16" and kv_heads == heads and (head_dim == 64 or head_dim == 128) and (heads * head_dim == 2048 or heads * head_dim == 512))`
            predicted: [1, 1.25]
            measured: 1.2
            pairs: 24
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#264, trace:fmha_gpu/h200#266, trace:fmha_gpu/h200#268, trace:fmha_gpu/h200#270, trace:fmha_gpu/h200#272, trace:fmha_gpu/h200#274]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_backward_passes_the_peer_on_h200 {
            outcome: confirmed
            comparison: `paired(peer_time_ms, time_ms, pass == "backward" and peer == "default" and dtype == "bf16" and kv_heads == heads and (head_dim == 64 or head_dim == 128) and (heads * head_dim == 2048 or heads * head_dim == 512))`
            predicted: [1, 1.3]
            measured: 1.1
            pairs: 24
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#324, trace:fmha_gpu/h200#328, trace:fmha_gpu/h200#332, trace:fmha_gpu/h200#336, trace:fmha_gpu/h200#340, trace:fmha_gpu/h200#344]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_flash_2_is_left_behind_on_h200 {
            outcome: confirmed
            comparison: `paired(peer_time_ms, time_ms, pass == "forward" and peer == "flash")`
            predicted: [1.7, 2.6]
            measured: 2.15
            pairs: 6
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#302, trace:fmha_gpu/h200#306, trace:fmha_gpu/h200#310, trace:fmha_gpu/h200#314, trace:fmha_gpu/h200#318, trace:fmha_gpu/h200#322]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_order_costs_little_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, deterministic == true, deterministic == false)`
            predicted: [0.75, 1]
            measured: 0.955
            pairs: 24
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#326, trace:fmha_gpu/h200#324, trace:fmha_gpu/h200#330, trace:fmha_gpu/h200#328, trace:fmha_gpu/h200#334, trace:fmha_gpu/h200#332]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_decoding_is_a_copy_on_h200 {
            outcome: confirmed
            comparison: `ratio(gb_per_s, kv_heads == 32 and q_len == 1, kv_heads == 8 and q_len == 1)`
            predicted: [0.9, 1.2]
            measured: 1.01
            pairs: 1
            scope { op: [fmha_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:fmha_gpu/h200#429, trace:fmha_gpu/h200#431]
            support: 1
            contradictions: 0
            status: valid
        }
    }

    protocol verification {
        step 1: "the gate runs inherited and own invariants on the CPU, and is tried on planted faults"
        step 2: "each trial begins with inputs that leave its bound no room, then with those asked for; both are checked in full"
        step 3: "the peer's output is held against the same oracle, its samples are taken in turn with ours"
        step 4: "what the timed launches left behind is checked once more"
    }

    trace_schema {
        evaluate: [config, problem, time_ms, peer_time_ms, ratio, tflops, correct, error_over_bound, bitwise_equal, kernels]
    }
}
