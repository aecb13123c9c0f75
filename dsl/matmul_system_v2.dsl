---
title: "MatMul: from three loops to a register tile"
version: 2
status: active
tags: [matmul, cpu, ladder]
---

// Written by `spak crystallise` from MatMul_System_v1 and trace:matmul/amd-epyc-zen3-2c; not to be edited.
system MatMul_System_v2 {
    operator: matmul

    objective Approach_The_Vendor {
        target: "single-precision C = A B on one processor, as fast as the vendor library on the same cores, by steps that each add one idea"
        maximise: peer_ratio
        correctness: "every step stays within the rounding bound of the double-precision oracle"
    }

    baseline {
        peer: "OpenBLAS, loaded at run time, the same number of threads, samples interleaved with ours"
        metric: "the ratio of the peer's time to ours in one run; above one means faster than the peer"
    }

    design_space {
        loop_structure {
            naive: "a dot product for each element"
            loop_order: "the inner loop runs along rows, so that every access streams"
            blocked: "the three loops are cut into blocks that stay in a cache"
        }
        data_layout {
            packed: "panels of A and B are copied once into the order in which they are read"
        }
        arithmetic {
            register_tile: "a tile of C stays in vector registers while K runs"
        }
        parallelism {
            threads: "tiles of C are shared out among the cores"
        }
    }

    // Only the last rungs have parameters worth searching; the manifest of the operator lists all of them.
    tuning_space {
        variant: [register_tile]
    }

    engineering_loop {
        problem one_thread {
            m: 1024
            n: 1024
            k: 1024
            threads: 1
            seed: 1
        }

        profile smoke {
            trials: 24
            samples: 7
            min_sample_ms: 2
        }
        profile paper {
            trials: 96
            samples: 15
            min_sample_ms: 5
        }

        // The ladder: each rung at each size up to its limit, beside the peer.
        ladder smoke {
            sizes: [128, 256, 512, 1024]
            naive_up_to: 256
            loop_order_up_to: 512
            samples: 9
        }
        ladder paper {
            sizes: [128, 256, 512, 1024, 2048]
            naive_up_to: 512
            loop_order_up_to: 1024
            samples: 21
        }
    }

    // Written down before the first measurement.
    hypothesis streaming_beats_dot_products {
        expect: "rows of B use whole cache lines, a column one word of each"
        predict: `ratio(gflops, variant == "loop_order", variant == "naive")`
        within: [2.0, 20.0]
    }
    hypothesis blocking_keeps_what_was_read {
        expect: "a block of B is read from a cache instead of memory"
        predict: `ratio(gflops, variant == "blocked", variant == "loop_order")`
        within: [1.05, 4.0]
    }
    hypothesis packing_straightens_the_panels {
        expect: "panels in reading order need no strides, which pays the copy"
        predict: `ratio(gflops, variant == "packed", variant == "blocked")`
        within: [1.05, 3.0]
    }
    hypothesis registers_hold_the_tile {
        expect: "one load feeds many multiply-adds, whose units become the limit"
        predict: `ratio(gflops, variant == "register_tile", variant == "packed")`
        within: [2.0, 12.0]
    }
    hypothesis threads_share_the_work {
        expect: "a second core halves the time, less what sharing the packed panel costs"
        predict: `ratio(gflops, variant == "threads" and threads == 2, variant == "register_tile" and threads == 1)`
        within: [1.6, 2.05]
    }

    knowledge {
        invariant tiled_sum_within_bound {
            statement: "each element is within c k u (|A| |B|) of the oracle"
            scope { op: [matmul] }
        }
        // These three hold for any kernel: a system that inherits them has
        // to show them too.
        invariant every_element_written_once {
            statement: "the tiles cover the output and touch nothing else"
        }
        invariant no_read_outside {
            statement: "no kernel touches memory outside of its arrays"
        }
        invariant threads_do_not_change_bits {
            statement: "any number of threads gives the same bits"
        }

        rule tile_fits_the_registers {
            when: `op == "matmul"`
            apply: `mr * nv + nv + 1 <= hw.vector_registers`
            reason: "a tile that does not fit spills in the inner loop"
            scope { kind: [cpu] }
            evidence: ["a count of registers; no measurement needed"]
            support: 0
            contradictions: 0
            status: proposed
        }

        hint cause_before_search {
            text: "when a prediction fails, find out why before trying the next value"
        }
        fact best_one_thread_on_amd_epyc_zen3_2c {
            description: "the best configuration that the search met, of 19 trials"
            config: `isa == "avx2" and kc == 512 and mc == 60 and nc == 4096 and prefetch == 8 and tile == "6x16" and variant == "register_tile"`
            problem: `k == 1024 and m == 1024 and n == 1024 and seed == 1 and threads == 1`
            merit: 0.987
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: valid
        }
        fact tile_8x8_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile == "8x8", tile == "6x16")`
            measured: 0.83
            range: [0.819, 0.842]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#21, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact tile_12x8_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, tile == "12x8", tile == "6x16")`
            measured: 0.729
            range: [0.719, 0.74]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#23, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        rule prefer_tile_on_avx2 {
            when: `op == "matmul"`
            apply: `tile == "6x16"`
            predict: `ratio(peer_ratio, tile == "6x16", tile == "12x8")`
            within: [1.3, 1.45]
            reason: "the best of the values tried, all else equal; the search gives no cause"
            scope { isa: ["avx2"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#23, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact kc_128_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, kc == 128, kc == 512)`
            measured: 0.955
            range: [0.942, 0.969]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#30, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact kc_192_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, kc == 192, kc == 512)`
            measured: 0.941
            range: [0.928, 0.955]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#32, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact kc_256_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, kc == 256, kc == 512)`
            measured: 0.955
            range: [0.942, 0.969]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#34, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact kc_320_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, kc == 320, kc == 512)`
            measured: 0.952
            range: [0.939, 0.965]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#36, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact kc_448_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, kc == 448, kc == 512)`
            measured: 0.966
            range: [0.953, 0.98]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#40, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact mc_96_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, mc == 96, mc == 60)`
            measured: 0.944
            range: [0.93, 0.957]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#42, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact nc_512_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, nc == 512, nc == 4096)`
            measured: 0.972
            range: [0.959, 0.986]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#51, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact nc_1024_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, nc == 1024, nc == 4096)`
            measured: 0.969
            range: [0.956, 0.983]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#53, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact prefetch_0_loses_one_thread_on_amd_epyc_zen3_2c {
            negative: true
            description: "this value loses against the best one, all else equal"
            comparison: `ratio(peer_ratio, prefetch == 0, prefetch == 8)`
            measured: 0.969
            range: [0.955, 0.982]
            pairs: 2
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#57, trace:matmul/amd-epyc-zen3-2c#13, trace:matmul/amd-epyc-zen3-2c#15]
            support: 1
            contradictions: 0
            status: proposed
        }
        fact outcome_of_streaming_beats_dot_products_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `ratio(gflops, variant == "loop_order", variant == "naive")`
            predicted: [2, 20]
            measured: 11.8
            pairs: 3
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#66, trace:matmul/amd-epyc-zen3-2c#64, trace:matmul/amd-epyc-zen3-2c#86, trace:matmul/amd-epyc-zen3-2c#84, trace:matmul/amd-epyc-zen3-2c#104, trace:matmul/amd-epyc-zen3-2c#102]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_blocking_keeps_what_was_read_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `ratio(gflops, variant == "blocked", variant == "loop_order")`
            predicted: [1.05, 4]
            measured: 1.11
            pairs: 4
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#68, trace:matmul/amd-epyc-zen3-2c#66, trace:matmul/amd-epyc-zen3-2c#88, trace:matmul/amd-epyc-zen3-2c#86, trace:matmul/amd-epyc-zen3-2c#106, trace:matmul/amd-epyc-zen3-2c#104]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_packing_straightens_the_panels_on_amd_epyc_zen3_2c {
            negative: true
            outcome: contradicted
            comparison: `ratio(gflops, variant == "packed", variant == "blocked")`
            predicted: [1.05, 3]
            measured: 1.04
            pairs: 5
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#70, trace:matmul/amd-epyc-zen3-2c#68, trace:matmul/amd-epyc-zen3-2c#90, trace:matmul/amd-epyc-zen3-2c#88, trace:matmul/amd-epyc-zen3-2c#108, trace:matmul/amd-epyc-zen3-2c#106]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_registers_hold_the_tile_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `ratio(gflops, variant == "register_tile", variant == "packed")`
            predicted: [2, 12]
            measured: 3.99
            pairs: 5
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#72, trace:matmul/amd-epyc-zen3-2c#70, trace:matmul/amd-epyc-zen3-2c#92, trace:matmul/amd-epyc-zen3-2c#90, trace:matmul/amd-epyc-zen3-2c#110, trace:matmul/amd-epyc-zen3-2c#108]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_threads_share_the_work_on_amd_epyc_zen3_2c {
            negative: true
            outcome: contradicted
            comparison: `ratio(gflops, variant == "threads" and threads == 2, variant == "register_tile" and threads == 1)`
            predicted: [1.6, 2.05]
            measured: 0.591
            pairs: 10
            scope { op: [matmul] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:matmul/amd-epyc-zen3-2c#76, trace:matmul/amd-epyc-zen3-2c#72, trace:matmul/amd-epyc-zen3-2c#78, trace:matmul/amd-epyc-zen3-2c#80, trace:matmul/amd-epyc-zen3-2c#82, trace:matmul/amd-epyc-zen3-2c#96]
            support: 1
            contradictions: 0
            status: valid
        }
    }

    protocol verification {
        step 1: "the gate runs the invariants on random and awkward shapes"
        step 2: "each trial checks its output against the oracle before it is timed"
        step 3: "the peer is timed in the same run, its samples interleaved with ours"
    }

    trace_schema {
        measure: [config, problem, time_ms, peer_time_ms, ratio, gflops, correct]
        evaluate: [config, problem, time_ms, peer_time_ms, ratio, gflops, correct]
    }
}
