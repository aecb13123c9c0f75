---
title: "LoopLM on the processor: what may be tried"
status: active
tags: [looplm, cpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, hw and problem.
kernel looplm {
    operator: looplm
    dtype: f32
    computes: "one model trained on additions of few digits and tested on more; a trial is a whole training run and its tests"
    oracle: "the same model in plain loops in double precision; finite differences of its loss"
    peer: "another model of the same run, on the same problems"

    tuning_space {
        layers: [1, 2, 6, 8, 12]
        loops: [1, 2, 3, 6, 8, 12, 15, 30]
        width: [32, 64, 128, 256]
        heads: [4]
        inject: [false, true]
        normalise_state: [false, true]
        positions: [rope, rope_index, learned_index, none]
        window: [-1, 1]
        kinds: [0, 2]
        layout: [single, packed, blanks, one_pass]
        protocol: [clean, published]
        act: [gelu_erf, relu, swiglu]
        supervision: [last, second_half]
        mask_operands: [true, false]
    }

    // What a processor would take days for is written down, and run where there is time for it.
    constraint paper_scale_is_for_a_gpu {
        that: `problem.scale ~= "paper" or problem.on_cpu == true or hw.kind ~= "cpu"`
        reason: "15,000 steps and more at width 256 take a day on a processor; ask for it with on_cpu: true in the system"
    }
    constraint heads_divide_the_width {
        that: `width == nil or heads == nil or width % heads == 0`
        reason: "a head is a share of the width"
    }

    invariants: [masks_on_the_answer, train_and_test_disjoint, one_format, one_batch_by_heart, gradients_match_differences, cpu_matches_oracle, threads_do_not_change_bits, sees_only_what_it_may, cache_does_not_change_answers, halting_keeps_frozen_state, every_parameter_trains]
}
