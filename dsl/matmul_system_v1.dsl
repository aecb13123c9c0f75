---
title: "MatMul: from three loops to a register tile"
version: 1
status: active
tags: [matmul, cpu, ladder]
---

// The first system of the series. It is written by hand; what the trials teach goes into the next version, which
// `spak crystallise` writes.
system MatMul_System_v1 {
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
    //> hypotheses
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
    //< hypotheses
    hypothesis threads_share_the_work {
        expect: "a second core halves the time, less what sharing the packed panel costs"
        predict: `ratio(gflops, variant == "threads" and threads == 2, variant == "register_tile" and threads == 1)`
        within: [1.6, 2.05]
    }

    knowledge {
        //> knowledge
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
        //< knowledge

        hint cause_before_search {
            text: "when a prediction fails, find out why before trying the next value"
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
