---
title: "MatMul on the GPU: from three loops to the matrix units' limit"
version: 1
status: active
tags: [matmul, gpu, ladder]
---

// Written before the first measurement.
inherits: "matmul_system_v3.dsl"
system MatMul_GPU_System_v1 {
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
    }
}
