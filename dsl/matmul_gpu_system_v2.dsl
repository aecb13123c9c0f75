---
title: "MatMul on the GPU: from three loops to the matrix units' limit"
version: 2
status: active
tags: [matmul, gpu, ladder]
---

// Written before the first measurement.
inherits: "matmul_system_v3.dsl"
// Written by `spak crystallise` from MatMul_GPU_System_v1 and trace:matmul_gpu/h200; not to be edited.
system MatMul_GPU_System_v2 {
    operator: matmul_gpu

    objective Pass_The_Vendor {
        target: "products of half-precision matrices on one GPU, at least as fast as the vendor library in the same run, by steps that each add one idea"
        maximise: peer_ratio
        correctness: "every output stays within the bound of truncating 32-bit sums of the double-precision oracle, and has the same bits at each run"
    }

    baseline {
        peer: "cuBLAS, loaded at run time, its own choice of algorithm, samples interleaved with ours"
        metric: "the ratio of the peer's time to ours in one run; above one means faster than the peer"
    }

    design_space {
        memory_access {
            coalesced: "neighbouring threads read neighbouring addresses"
            shared_tile: "a block loads each element once for all its threads"
            register_tile: "a thread keeps a tile of C and reuses what it loads"
        }
        matrix_units {
            mma_sync: "warps feed the matrix units; copies run ahead of them; the swizzle keeps banks apart"
            tma: "the copy engine moves whole tiles, and four warps multiply straight from shared memory"
        }
        division_of_labour {
            specialised: "one warpgroup fetches, another multiplies"
            two_consumers: "a larger tile, halved between two warpgroups that take the producer's registers"
            persistent: "blocks stay and take tile after tile in an order that the second-level cache likes"
            cluster: "two blocks fetch a shared tile once"
            async_store: "tiles leave through shared memory while the next one is computed"
            best: "tiles chosen for the problem, launches that overlap, consumers out of step, a last round that is shared out"
        }
    }

    // The steps below are the ladder; what is searched is the top.
    tuning_space {
        variant: [best]
        tile_m: [64, 128, 256]
        tile_k: [64, 128]
        stages: [2, 3, 4, 5, 6, 7, 8]
        group: [1, 6, 11, 16]
        split: [1]
        start: [overlapped]
        swizzle_bytes: [128]
    }

    engineering_loop {
        // The ten shapes of the comparison: A by rows, B stored (n, k).
        problem square_512 { m: 512 n: 512 k: 512 trans_b: true dtype: "bf16" seed: 1 }
        problem square_1024 { m: 1024 n: 1024 k: 1024 trans_b: true dtype: "bf16" seed: 1 }
        problem square_2048 { m: 2048 n: 2048 k: 2048 trans_b: true dtype: "bf16" seed: 1 }
        problem square_4096 { m: 4096 n: 4096 k: 4096 trans_b: true dtype: "bf16" seed: 1 }
        problem square_8192 { m: 8192 n: 8192 k: 8192 trans_b: true dtype: "bf16" seed: 1 }
        problem square_16384 { m: 16384 n: 16384 k: 16384 trans_b: true dtype: "bf16" seed: 1 }
        problem gpt2_up { m: 8192 n: 3072 k: 768 trans_b: true dtype: "bf16" seed: 1 }
        problem gpt2_down { m: 8192 n: 768 k: 3072 trans_b: true dtype: "bf16" seed: 1 }
        problem gpt2_vocabulary { m: 8192 n: 50304 k: 768 trans_b: true dtype: "bf16" seed: 1 }
        problem llama_up { m: 4096 n: 14336 k: 4096 trans_b: true dtype: "bf16" seed: 1 }

        // Training: the gradient of the inputs (NN) and of the weights (TN) of the same layers.
        problem gpt2_up_dx { m: 8192 n: 768 k: 3072 dtype: "bf16" seed: 1 }
        problem gpt2_up_dw { m: 3072 n: 768 k: 8192 trans_a: true dtype: "bf16" seed: 1 }
        problem gpt2_vocabulary_dx { m: 8192 n: 768 k: 50304 dtype: "bf16" seed: 1 }
        problem gpt2_vocabulary_dw { m: 50304 n: 768 k: 8192 trans_a: true dtype: "bf16" seed: 1 }

        // LoopLM: the layers of a small recurrent transformer, 2048 wide.
        problem looplm_qkv { m: 8192 n: 6144 k: 2048 trans_b: true dtype: "bf16" seed: 1 }
        problem looplm_mlp { m: 8192 n: 5632 k: 2048 trans_b: true dtype: "bf16" seed: 1 }

        profile smoke {
            trials: 6
            samples: 7
            min_sample_ms: 1
        }
        profile paper {
            trials: 24
            samples: 50
            min_sample_ms: 2
        }

        // What the recipe measures: the ladder's sizes and how far its slow steps go, which shapes are searched, and the
        // new shape whose search is held against trying everything.
        ladder smoke {
            sizes: [512, 1024, 2048]
            naive_up_to: 512
            vector_up_to: 1024
            slow_samples: 7
            searched: [gpt2_down]
            search_trials: 8
            new_trials: 8
        }
        ladder paper {
            sizes: [512, 1024, 2048, 4096, 8192, 16384]
            naive_up_to: 2048
            vector_up_to: 4096
            slow_samples: 9
            searched: [square_1024, gpt2_up, gpt2_down]
            search_trials: 14
            new_trials: 24
        }
        problem new_shape { m: 5000 n: 1984 k: 1536 trans_b: true dtype: "bf16" seed: 1 }
    }

    // Predicted from the hardware's arithmetic. At 2048 and above a step's limit is what its header names.
    hypothesis coalescing_uses_whole_sectors {
        expect: "a warp's access touches one or two sectors for C and A instead of thirty-two; B, stored by k, stays as it was"
        predict: `ratio(tflops, variant == "coalesced", variant == "naive")`
        within: [1.0, 10.0]
    }
    hypothesis shared_tile_spares_the_caches {
        expect: "each element comes from global memory thirty-two times less, and always in whole sectors"
        predict: `ratio(tflops, variant == "shared_tile", variant == "coalesced")`
        within: [1.3, 8.0]
    }
    hypothesis register_tile_feeds_the_vector_units {
        expect: "sixteen loads from shared memory for sixty-four multiply-adds instead of a hundred and twenty-eight"
        predict: `ratio(tflops, variant == "register_tile", variant == "shared_tile")`
        within: [2.0, 6.0]
    }
    hypothesis matrix_units_multiply_the_rate {
        expect: "the matrix units do sixteen times the vector units' work in a cycle; this way of feeding them reaches some six tenths"
        predict: `ratio(tflops, variant == "mma_sync", variant == "register_tile")`
        within: [5.0, 12.0]
    }
    hypothesis tma_alone_gains_little {
        expect: "one warpgroup that waits, multiplies and fetches in turn leaves the units idle, however fast they are"
        predict: `ratio(tflops, variant == "tma", variant == "mma_sync")`
        within: [0.6, 1.2]
    }
    hypothesis specialisation_hides_the_copies {
        expect: "a producer that runs ahead takes the wait for memory out of the loop"
        predict: `ratio(tflops, variant == "specialised", variant == "tma")`
        within: [1.1, 1.6]
    }
    hypothesis two_consumers_halve_the_traffic {
        expect: "a tile twice as wide needs three quarters of the bytes a product, and one warpgroup's epilogue lets the other go on"
        predict: `ratio(tflops, variant == "two_consumers", variant == "specialised")`
        within: [1.1, 1.5]
    }
    hypothesis persistence_hides_starts {
        expect: "the next tile's first stages arrive while this tile is stored, and the order of tiles keeps A and B in the second-level cache"
        predict: `ratio(tflops, variant == "persistent", variant == "two_consumers")`
        within: [1.0, 1.15]
    }
    hypothesis clusters_save_bandwidth {
        expect: "two blocks fetch a shared tile once, where the way from the second-level cache is not the limit"
        predict: `ratio(tflops, variant == "cluster", variant == "persistent")`
        within: [1.0, 1.08]
    }
    hypothesis async_store_frees_the_consumers {
        expect: "the copy engine writes C in whole lines while the warps go on"
        predict: `ratio(tflops, variant == "async_store", variant == "cluster")`
        within: [1.0, 1.06]
    }
    hypothesis best_schedule_adds_the_rest {
        expect: "tiles that fit the problem; at large squares there is little left"
        predict: `ratio(tflops, variant == "best", variant == "async_store")`
        within: [0.98, 1.1]
    }

    // The source's own claims on tiling, swizzling and pipelining, one by one: all else equal, at one shape.
    hypothesis swizzling_frees_the_banks {
        expect: "without it the eight rows that one read takes share a quarter or an eighth of the banks; the matrix units wait for them"
        predict: `ratio(tflops, swizzle_bytes == 128, swizzle_bytes == 16)`
        within: [1.2, 3.0]
    }
    hypothesis pipelining_needs_a_second_stage {
        expect: "with one stage the copy and the product take turns"
        predict: `ratio(tflops, stages == 2, stages == 1)`
        within: [1.2, 2.2]
    }
    hypothesis pipelining_saturates {
        expect: "once the stages in flight cover the latency, one more adds nothing"
        predict: `ratio(tflops, stages == 4, stages == 3)`
        within: [0.97, 1.08]
    }
    hypothesis grouping_tiles_keeps_the_cache {
        expect: "a wave that takes tiles from a compact part of C reads half of what a wave along rows reads"
        predict: `ratio(tflops, group == 8, group == 1)`
        within: [1.0, 1.25]
    }
    hypothesis wide_tiles_save_traffic {
        expect: "a tile twice as wide needs three quarters of the bytes a product"
        predict: `ratio(tflops, tile_n == 256, tile_n == 128)`
        within: [1.05, 1.5]
    }

    hypothesis overlapping_hides_the_launch {
        expect: "a launch costs a microsecond or two beside the work, which is much of a small product and little of a large one"
        predict: `ratio(tflops, start == "overlapped", start == "plain")`
        within: [1.0, 1.3]
    }
    hypothesis sharing_the_last_round_fills_it {
        expect: "nearly half of the last of sixteen rounds is idle at one of the sizes; passing sums on costs a few microseconds everywhere"
        predict: `ratio(tflops, last_round == "shared", last_round == "whole")`
        within: [0.95, 1.04]
    }

    knowledge {
        invariant tiled_sum_within_bound {
            statement: "truncated 32-bit sums stay within k 2^-22 |A| |B| of the oracle"
            scope { op: [matmul_gpu] }
        }
        invariant pipeline_never_overwrites {
            statement: "no stage is read before it is full or filled before it is free, and no wait is for ever"
            scope { op: [matmul_gpu] }
        }
        invariant swizzle_is_a_bijection_without_conflicts {
            statement: "chunks of a tile have a place each, and eight rows' chunks all banks"
            scope { op: [matmul_gpu] }
        }
        invariant split_covers_k_once {
            statement: "the slices of k have every step once"
            scope { op: [matmul_gpu] }
        }
        invariant resources_fit {
            statement: "what the constraints allow fits a block's shared memory, threads and registers"
            scope { op: [matmul_gpu] }
        }

        fact datasheet_of_hopper {
            description: "989 TFLOP/s dense with 16-bit inputs at 1830 MHz; 227 KiB of shared memory a block; 4.8 TB/s on the H200"
            scope { cc: [90] }
            evidence: ["the vendor's datasheet; no measurement needed"]
            status: valid
        }
        hint power_is_a_limit {
            text: "random data at the full rate meets the power limit before the clock's; a kernel that moves fewer bits computes more"
        }
        fact best_square_1024_on_h200 {
            description: "the best configuration that the search met, of 14 trials"
            config: `cluster_m == 1 and cluster_n == 1 and group == 11 and last_round == "whole" and stages == 8 and start == "overlapped" and tile_k == 64 and tile_m == 64 and tile_n == 128 and variant == "best"`
            problem: `dtype == "bf16" and k == 1024 and m == 1024 and n == 1024 and seed == 1 and trans_b == true`
            merit: 1.14
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_m_makes_no_difference_square_1024_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_32_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 32, tile_n == 128)`
            measured: 0.44
            range: [0.344, 0.453]
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#418, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406, trace:matmul_gpu/h200#455, trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#485]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_64_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 64, tile_n == 128)`
            measured: 0.738
            range: [0.582, 0.783]
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#420, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406, trace:matmul_gpu/h200#457, trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#487]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_96_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 96, tile_n == 128)`
            measured: 0.776
            range: [0.648, 0.895]
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#422, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406, trace:matmul_gpu/h200#459, trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#489]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_224_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 224, tile_n == 128)`
            measured: 0.947
            range: [0.909, 0.985]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#467, trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#495, trace:matmul_gpu/h200#491]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_2_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 2, stages == 8)`
            measured: 0.412
            range: [0.409, 0.414]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#429, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_3_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 3, stages == 8)`
            measured: 0.569
            range: [0.565, 0.572]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#431, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_4_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 4, stages == 8)`
            measured: 0.709
            range: [0.705, 0.714]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_5_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 5, stages == 8)`
            measured: 0.868
            range: [0.862, 0.873]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#435, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_6_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 6, stages == 8)`
            measured: 0.947
            range: [0.941, 0.953]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#437, trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact cluster_m_makes_no_difference_square_1024_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_n_2_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, cluster_n == 2, cluster_n == 1)`
            measured: 0.683
            range: [0.682, 0.685]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#666, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: proposed
        }
        rule prefer_cluster_n_on_this_machine {
            when: `op == "matmul_gpu"`
            apply: `cluster_n == 1`
            predict: `ratio(peer_ratio, cluster_n == 1, cluster_n == 2)`
            within: [1.4, 1.52]
            reason: "the best of the values tried, all else equal; the search gives no cause"
            scope { isa: ["unknown"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#666, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact group_makes_no_difference_square_1024_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#406]
            support: 1
            contradictions: 0
            status: valid
        }
        fact last_round_shared_loses_square_1024_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, last_round == "shared", last_round == "whole")`
            measured: 0.795
            range: [0.795, 0.795]
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#674, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: proposed
        }
        rule prefer_last_round_on_this_machine {
            when: `op == "matmul_gpu"`
            apply: `last_round == "whole"`
            predict: `ratio(peer_ratio, last_round == "whole", last_round == "shared")`
            within: [1.21, 1.31]
            reason: "the best of the values tried, all else equal; the search gives no cause"
            scope { isa: ["unknown"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#674, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact best_gpt2_up_on_h200 {
            description: "the best configuration that the search met, of 14 trials"
            config: `cluster_m == 1 and cluster_n == 1 and group == 11 and last_round == "whole" and stages == 4 and start == "overlapped" and tile_k == 64 and tile_m == 128 and tile_n == 256 and variant == "best"`
            problem: `dtype == "bf16" and k == 768 and m == 8192 and n == 3072 and seed == 1 and trans_b == true`
            merit: 1.04
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_m_64_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_m == 64, tile_m == 128)`
            measured: 0.812
            range: [0.639, 0.858]
            pairs: 8
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#420, trace:matmul_gpu/h200#408, trace:matmul_gpu/h200#410, trace:matmul_gpu/h200#452, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_32_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 32, tile_n == 256)`
            measured: 0.347
            range: [0.347, 0.416]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#455, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#485, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_64_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 64, tile_n == 256)`
            measured: 0.552
            range: [0.551, 0.725]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#457, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#487, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_96_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 96, tile_n == 256)`
            measured: 0.737
            range: [0.736, 0.974]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#459, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#489, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_128_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 128, tile_n == 256)`
            measured: 0.949
            range: [0.947, 1.21]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#491, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact tile_n_160_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 160, tile_n == 256)`
            measured: 0.893
            range: [0.891, 1.03]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact tile_n_224_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 224, tile_n == 256)`
            measured: 0.935
            range: [0.933, 1.1]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#467, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#495, trace:matmul_gpu/h200#497]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_2_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 2, stages == 4)`
            measured: 0.665
            range: [0.58, 0.668]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#429, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#656, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact stages_3_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 3, stages == 4)`
            measured: 0.977
            range: [0.802, 0.982]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#431, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#658, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_m_makes_no_difference_gpt2_up_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_n_2_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, cluster_n == 2, cluster_n == 1)`
            measured: 0.683
            range: [0.682, 0.685]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#666, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact group_makes_no_difference_gpt2_up_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact last_round_shared_loses_gpt2_up_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, last_round == "shared", last_round == "whole")`
            measured: 0.795
            range: [0.795, 0.795]
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#674, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact best_gpt2_down_on_h200 {
            description: "the best configuration that the search met, of 14 trials"
            config: `cluster_m == 1 and cluster_n == 1 and group == 11 and last_round == "whole" and stages == 4 and start == "overlapped" and tile_k == 64 and tile_m == 128 and tile_n == 192 and variant == "best"`
            problem: `dtype == "bf16" and k == 3072 and m == 8192 and n == 768 and seed == 1 and trans_b == true`
            merit: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_m_64_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_m == 64, tile_m == 128)`
            measured: 0.812
            range: [0.639, 0.858]
            pairs: 8
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#420, trace:matmul_gpu/h200#408, trace:matmul_gpu/h200#410, trace:matmul_gpu/h200#452, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_32_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 32, tile_n == 192)`
            measured: 0.323
            range: [0.319, 0.354]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#455, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#485, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_64_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 64, tile_n == 192)`
            measured: 0.562
            range: [0.556, 0.563]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#457, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#487, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_96_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 96, tile_n == 192)`
            measured: 0.75
            range: [0.747, 0.757]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#459, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#489, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_128_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 128, tile_n == 192)`
            measured: 0.94
            range: [0.928, 0.966]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#491, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_160_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 160, tile_n == 192)`
            measured: 0.803
            range: [0.792, 0.909]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_224_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 224, tile_n == 192)`
            measured: 0.855
            range: [0.844, 0.952]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#467, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#495, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_256_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 256, tile_n == 192)`
            measured: 0.897
            range: [0.766, 1.02]
            pairs: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#465, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#497, trace:matmul_gpu/h200#474, trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_2_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 2, stages == 4)`
            measured: 0.665
            range: [0.58, 0.668]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#429, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#656, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact stages_3_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 3, stages == 4)`
            measured: 0.977
            range: [0.802, 0.982]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#431, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#658, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_m_makes_no_difference_gpt2_down_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_n_2_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, cluster_n == 2, cluster_n == 1)`
            measured: 0.683
            range: [0.682, 0.685]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#666, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact group_makes_no_difference_gpt2_down_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#476]
            support: 1
            contradictions: 0
            status: valid
        }
        fact last_round_shared_loses_gpt2_down_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, last_round == "shared", last_round == "whole")`
            measured: 0.795
            range: [0.795, 0.795]
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#674, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact best_new_shape_on_h200 {
            description: "the best configuration that the search met, of 24 trials"
            config: `cluster_m == 1 and cluster_n == 1 and group == 1 and last_round == "whole" and stages == 4 and start == "overlapped" and tile_k == 64 and tile_m == 256 and tile_n == 160 and variant == "best"`
            problem: `dtype == "bf16" and k == 1536 and m == 5000 and n == 1984 and seed == 1 and trans_b == true`
            merit: 0.961
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_m_64_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_m == 64, tile_m == 256)`
            measured: 0.619
            range: [0.589, 0.622]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#640, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638, trace:matmul_gpu/h200#676, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_m_128_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_m == 128, tile_m == 256)`
            measured: 0.935
            range: [0.922, 0.939]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#642, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638, trace:matmul_gpu/h200#678, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_32_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 32, tile_n == 160)`
            measured: 0.389
            range: [0.382, 0.45]
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#455, trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#485, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#644, trace:matmul_gpu/h200#636]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_64_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 64, tile_n == 160)`
            measured: 0.684
            range: [0.618, 0.788]
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#457, trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#487, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#646, trace:matmul_gpu/h200#636]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_96_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 96, tile_n == 160)`
            measured: 0.803
            range: [0.778, 0.943]
            pairs: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#459, trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#489, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#648, trace:matmul_gpu/h200#636]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_n_128_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile_n == 128, tile_n == 160)`
            measured: 0.968
            range: [0.869, 1.17]
            pairs: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#463, trace:matmul_gpu/h200#491, trace:matmul_gpu/h200#493, trace:matmul_gpu/h200#650, trace:matmul_gpu/h200#636]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact stages_2_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 2, stages == 4)`
            measured: 0.665
            range: [0.58, 0.668]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#429, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#656, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact stages_3_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, stages == 3, stages == 4)`
            measured: 0.977
            range: [0.802, 0.982]
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#431, trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#658, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_m_makes_no_difference_new_shape_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: valid
        }
        fact cluster_n_2_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, cluster_n == 2, cluster_n == 1)`
            measured: 0.683
            range: [0.682, 0.685]
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#666, trace:matmul_gpu/h200#636, trace:matmul_gpu/h200#638]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact group_makes_no_difference_new_shape_on_h200 {
            negative: true
            description: "no value of this axis that was tried differs by more than the noise"
            noise: 0.02
            values_tried: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: valid
        }
        fact last_round_shared_loses_new_shape_on_h200 {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, last_round == "shared", last_round == "whole")`
            measured: 0.795
            range: [0.795, 0.795]
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#674, trace:matmul_gpu/h200#668]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact outcome_of_coalescing_uses_whole_sectors_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "coalesced", variant == "naive")`
            predicted: [1, 10]
            measured: 5.04
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#270, trace:matmul_gpu/h200#268, trace:matmul_gpu/h200#294, trace:matmul_gpu/h200#292, trace:matmul_gpu/h200#298, trace:matmul_gpu/h200#296]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_shared_tile_spares_the_caches_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, variant == "shared_tile", variant == "coalesced")`
            predicted: [1.3, 8]
            measured: 13.6
            pairs: 3
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#272, trace:matmul_gpu/h200#270, trace:matmul_gpu/h200#300, trace:matmul_gpu/h200#298, trace:matmul_gpu/h200#328, trace:matmul_gpu/h200#326]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_register_tile_feeds_the_vector_units_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "register_tile", variant == "shared_tile")`
            predicted: [2, 6]
            measured: 3.88
            pairs: 4
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#274, trace:matmul_gpu/h200#272, trace:matmul_gpu/h200#302, trace:matmul_gpu/h200#300, trace:matmul_gpu/h200#330, trace:matmul_gpu/h200#328]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_matrix_units_multiply_the_rate_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "mma_sync", variant == "register_tile")`
            predicted: [5, 12]
            measured: 9.79
            pairs: 5
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#276, trace:matmul_gpu/h200#274, trace:matmul_gpu/h200#304, trace:matmul_gpu/h200#302, trace:matmul_gpu/h200#332, trace:matmul_gpu/h200#330]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_tma_alone_gains_little_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "tma", variant == "mma_sync")`
            predicted: [0.6, 1.2]
            measured: 1.11
            pairs: 7
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#278, trace:matmul_gpu/h200#276, trace:matmul_gpu/h200#306, trace:matmul_gpu/h200#304, trace:matmul_gpu/h200#334, trace:matmul_gpu/h200#332]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_specialisation_hides_the_copies_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "specialised", variant == "tma")`
            predicted: [1.1, 1.6]
            measured: 1.21
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#280, trace:matmul_gpu/h200#278, trace:matmul_gpu/h200#308, trace:matmul_gpu/h200#306, trace:matmul_gpu/h200#336, trace:matmul_gpu/h200#334]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_two_consumers_halve_the_traffic_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, variant == "two_consumers", variant == "specialised")`
            predicted: [1.1, 1.5]
            measured: 1.04
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#282, trace:matmul_gpu/h200#280, trace:matmul_gpu/h200#310, trace:matmul_gpu/h200#308, trace:matmul_gpu/h200#338, trace:matmul_gpu/h200#336]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_persistence_hides_starts_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "persistent", variant == "two_consumers")`
            predicted: [1, 1.15]
            measured: 1
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#284, trace:matmul_gpu/h200#282, trace:matmul_gpu/h200#312, trace:matmul_gpu/h200#310, trace:matmul_gpu/h200#340, trace:matmul_gpu/h200#338]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_clusters_save_bandwidth_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "cluster", variant == "persistent")`
            predicted: [1, 1.08]
            measured: 1
            pairs: 7
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#286, trace:matmul_gpu/h200#284, trace:matmul_gpu/h200#314, trace:matmul_gpu/h200#312, trace:matmul_gpu/h200#342, trace:matmul_gpu/h200#340]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_async_store_frees_the_consumers_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "async_store", variant == "cluster")`
            predicted: [1, 1.06]
            measured: 1.05
            pairs: 7
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#288, trace:matmul_gpu/h200#286, trace:matmul_gpu/h200#316, trace:matmul_gpu/h200#314, trace:matmul_gpu/h200#344, trace:matmul_gpu/h200#342]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_best_schedule_adds_the_rest_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, variant == "best", variant == "async_store")`
            predicted: [0.98, 1.1]
            measured: 1.05
            pairs: 11
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#290, trace:matmul_gpu/h200#288, trace:matmul_gpu/h200#318, trace:matmul_gpu/h200#316, trace:matmul_gpu/h200#346, trace:matmul_gpu/h200#344]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_swizzling_frees_the_banks_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, swizzle_bytes == 128, swizzle_bytes == 16)`
            predicted: [1.2, 3]
            measured: 2.13
            pairs: 2
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#568, trace:matmul_gpu/h200#570, trace:matmul_gpu/h200#576]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_pipelining_needs_a_second_stage_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, stages == 2, stages == 1)`
            predicted: [1.2, 2.2]
            measured: 1.07
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#582, trace:matmul_gpu/h200#580]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_pipelining_saturates_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, stages == 4, stages == 3)`
            predicted: [0.97, 1.08]
            measured: 1.01
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#433, trace:matmul_gpu/h200#431, trace:matmul_gpu/h200#568, trace:matmul_gpu/h200#574, trace:matmul_gpu/h200#576, trace:matmul_gpu/h200#586]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_grouping_tiles_keeps_the_cache_on_h200 {
            negative: true
            outcome: contradicted
            comparison: `ratio(tflops, group == 8, group == 1)`
            predicted: [1, 1.25]
            measured: 1
            pairs: 1
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#596, trace:matmul_gpu/h200#592]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_wide_tiles_save_traffic_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, tile_n == 256, tile_n == 128)`
            predicted: [1.05, 1.5]
            measured: 1.06
            pairs: 9
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#461, trace:matmul_gpu/h200#446, trace:matmul_gpu/h200#497, trace:matmul_gpu/h200#491, trace:matmul_gpu/h200#512]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_overlapping_hides_the_launch_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, start == "overlapped", start == "plain")`
            predicted: [1, 1.3]
            measured: 1.04
            pairs: 16
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#404, trace:matmul_gpu/h200#522, trace:matmul_gpu/h200#406, trace:matmul_gpu/h200#444, trace:matmul_gpu/h200#532, trace:matmul_gpu/h200#446]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_sharing_the_last_round_fills_it_on_h200 {
            outcome: confirmed
            comparison: `ratio(tflops, last_round == "shared", last_round == "whole")`
            predicted: [0.95, 1.04]
            measured: 0.964
            pairs: 6
            scope { op: [matmul_gpu] id: ["h200"] dtype: [bf16] }
            evidence: [trace:matmul_gpu/h200#508, trace:matmul_gpu/h200#616, trace:matmul_gpu/h200#518, trace:matmul_gpu/h200#622, trace:matmul_gpu/h200#614, trace:matmul_gpu/h200#612]
            support: 1
            contradictions: 0
            status: valid
        }
    }
}
