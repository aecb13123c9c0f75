---
title: "LoopLM: additions longer than those learned"
version: 4
status: active
tags: [looplm, cpu, recurrence, length_generalisation]
---

// Written by `spak crystallise` from LoopLM_System_v3 and trace:looplm/amd-epyc-zen3-2c; not to be edited.
system LoopLM_System_v4 {
    inherits: "nanogpt_system_v2.dsl"
    operator: looplm

    objective Algorithmic_Emergence {
        target: "models trained on short operands add ones three times as long, and say which part of the model does it"
        correctness: "a number counts only when batches were looked at, formats agree and test problems were never drawn"
    }

    baseline {
        peer: "a static transformer of as many layers as the looped one has loops, on the same problems from the same seeds"
        metric: "exact match, for each length by itself, on problems that no training draws"
    }

    design_space {
        recurrence {
            loops: "one block, run again and again on its own output; a step of training costs what as many layers cost"
            injection: "the embedding is added again before each loop"
            normalised_state: "the state is brought to one size before each loop"
            supervision: "the loss of the last loop, or of all loops of the second half"
        }
        alignment {
            token_position: "rotary positions by the place in the row: what is to be added stands further apart in longer sums"
            digit_index: "rotary positions by the digit's index in its number: what is to be added stands at one angle"
            learned_index: "a learned vector for each index, with a random offset in training"
            aligned_blanks: "digits at random places of a grid that all three numbers share"
        }
        locality {
            window: "a token sees only those whose index is at most one apart"
            slope: "a score falls with each index apart"
        }
        thinking {
            wait_to_think: "a token whose answer is sure enough leaves the loop; from the equals sign on it has to be surer"
        }
        layout {
            one_problem: "a row holds one problem"
            one_pass: "all digits of the sum are asked for at once, so that a carry has to move within the pass"
        }
    }

    tuning_space {
        layers: [1, 6, 12]
        loops: [1, 6, 12, 15, 30]
        width: [32, 64, 128, 256]
        inject: [false, true]
        positions: [rope, rope_index, learned_index, none]
        window: [-1, 1]
        kinds: [0, 2]
        mask_operands: [true, false]
    }

    engineering_loop {
        profile smoke {
            trials: 2
        }
        profile paper {
            trials: 2
        }

        // How much of it a profile runs. smoke: minutes. paper: the same experiments from more seeds, which a processor
        // has time for. The published configurations are of a third scale, further down.
        plan smoke {
            steps: 1000
            bridge_steps: 1400
            one_pass_steps: 1200
            seeds: 3
            bridge_seeds: 1
            problems: 2000
            most_tested: 5
            test_loops: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
            decoded: 500
            twelve_seeds: 2
            without_seeds: 1
            lengths: [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 30, 40, 60, 80, 100]
            short_lengths: [4, 5, 6, 12, 40]
            chains: [12, 40]
            one_pass_seeds: 1
            one_pass_loops: [2, 4, 6, 8, 10, 12, 16, 24, 32, 48]
            one_pass_digits: [4, 8, 12]
            one_pass_problems: 500
            paper_seeds: 1
        }
        plan paper {
            steps: 1500
            bridge_steps: 2000
            one_pass_steps: 2000
            seeds: 5
            bridge_seeds: 3
            problems: 2000
            most_tested: 6
            test_loops: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
            decoded: 1000
            twelve_seeds: 5
            without_seeds: 3
            lengths: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100]
            short_lengths: [4, 5, 6, 12, 40]
            chains: [12, 40, 100]
            one_pass_seeds: 2
            one_pass_loops: [2, 4, 6, 8, 10, 12, 16, 24, 32, 48]
            one_pass_digits: [4, 8, 12, 16]
            one_pass_problems: 1024
            paper_seeds: 1
        }

        // The source's comparison, shrunk: operands of one or two digits, a model of 64 numbers a token, six passes. The
        // state is normalised before each loop and the first weights of the branches are not scaled down: without either,
        // the looped model has not learned its training lengths after so few steps.
        axes small {
            layers: 1
            loops: 6
            width: 64
            heads: 4
            positions: rope
            inject: false
            normalise_state: true
            init_residual_scaled: false
            supervision: second_half
        }
        training small {
            most_digits: 2
            batch: 32
            rate: 4e-3
            min_rate: 1e-4
            warmup_steps: 100
            weight_decay: 1e-4
        }
        decay high {
            weight_decay: 0.2
        }
        decay phased {
            weight_decay: 1e-4
            late_weight_decay: 0.2 // from half of the steps on
        }

        // The five models of the source's table: the fifth is the second, asked after twice as many loops.
        arm gpt {
            title: "static, 6 layers"
            layers: 6
            loops: 1
        }
        arm loop {
            title: "1 layer, 6 loops"
        }
        arm deep {
            title: "1 layer, 15 loops"
            loops: 15
        }
        arm narrow {
            title: "1 layer, 6 loops, half as wide"
            width: 32
        }

        training by_heart {
            steps: 200
            batch: 16
            one_batch: true
            warmup_steps: 20
            rate: 3e-3
            min_rate: 1e-3
        }

        // The entropy barrier: the model below that learns the task soonest, problems one after the other in a row, and
        // every token learned. Without its window, from which it could not tell the first operand from
        // the second.
        axes unmasked {
            layout: packed
            packed_len: 64
            segments: true
            window: -1
        }
        training unmasked {
            steps: 800
            batch: 16
        }
        entropy small {
            layout: packed
            most_digits: 4
        }
        entropy clean {
            most_digits: 4
        }
        entropy published {
            layout: packed
            protocol: published
        }

        // One block, run once, that adds a hundred digits.
        axes twelve {
            layers: 1
            loops: 1
            width: 64
            heads: 4
            positions: rope_index
            window: 1
            kinds: 2
            act: relu
            inject: false
            init_residual_scaled: false
        }
        training twelve {
            most_digits: 4
            steps: 1200
            batch: 64
            rate: 2e-3
            min_rate: 1e-4
            weight_decay: 0
        }

        // The same without one ingredient, or with another in its place.
        without loops3 {
            title: "three loops"
            loops: 3
        }
        without loops6 {
            title: "six loops, state normalised"
            loops: 6
            normalise_state: true
        }
        without window {
            title: "no window"
            window: -1
        }
        without slope {
            title: "a slope of 3 in place of the window"
            window: -1
            slope: 3
        }
        without kinds {
            title: "no operand and answer embedding"
            kinds: 0
        }
        without index {
            title: "rotary by token, window kept"
            positions: rope
        }
        without positions {
            title: "no positions, window kept"
            positions: none
        }
        without both {
            title: "rotary by token, no window"
            positions: rope
            window: -1
        }
        without abacus {
            title: "learned index, random offset, no window"
            positions: learned_index
            window: -1
            most_offset: 100
        }
        without abacus_loops {
            title: "the same, three loops with injection"
            positions: learned_index
            window: -1
            most_offset: 100
            loops: 3
            inject: true
        }
        without blanks {
            title: "rotary by token, aligned blanks, no window"
            positions: rope
            window: -1
            kinds: 0
            layout: blanks
            slots: 13
        }

        // Where loops must matter.
        axes one_pass {
            layout: one_pass
            chain_share: 0.3
            width: 64
            heads: 4
            positions: rope_index
            window: 1
            kinds: 2
            act: relu
            init_residual_scaled: false
        }
        training one_pass {
            most_digits: 4
            batch: 64
            rate: 2e-3
            min_rate: 1e-4
            warmup_steps: 100
            weight_decay: 0
        }
        one_pass loops {
            layers: 1
            loops: 8
            least_loops: 5
            most_loops: 10
            inject: true
            normalise_state: true
        }
        one_pass static {
            layers: 8
            loops: 1
        }

        // The published configurations, for a machine with days or with a GPU. On a processor they are refused unless
        // on_cpu is true here.
        axes paper {
            layers: 1
            loops: 12
            width: 256
            heads: 4
            positions: rope
            inject: false
            layout: packed
            packed_len: 64
            supervision: second_half
        }
        training paper {
            scale: paper
            on_cpu: false
            most_digits: 4
            batch: 512
            rate: 1e-3
            min_rate: 1e-4
            warmup_steps: 100
            weight_decay: 1e-4
        }
        paper_arm gpt {
            title: "GPT-12L"
            layers: 12
            loops: 1
            steps: 15000
        }
        paper_arm loop {
            title: "LoopLM-12"
            steps: 15000
        }
        paper_arm deep {
            title: "LoopLM-30"
            loops: 30
            steps: 20000
        }
        paper_arm narrow {
            title: "LoopLM-128e"
            width: 128
            steps: 15000
        }
    }

    // Written down before the first measurement.
    hypothesis operands_have_no_pattern {
        expect: "without masks the loss stays above the entropy of the operands, spread over all tokens"
        predict: `study("entropy", "floor")`
        within: [1.2, 1.4]
    }
    // A prediction compares trials that agree in all that its conditions do not name: so they name the variant, and that
    // something was asked of it.
    hypothesis a_loop_costs_a_layer {
        expect: "six loops of one layer take the time of six layers of one loop"
        predict: `ratio(time_ms, loops == 6 and layers == 1 and variant == "1 layer, 6 loops" and problem.decode ~= nil, loops == 1 and layers == 6 and variant == "static, 6 layers" and problem.evaluate ~= nil)`
        within: [0.9, 1.3]
    }
    hypothesis loops_reach_further {
        expect: "beyond the training lengths the looped model solves more than the static one"
        predict: `ratio(beyond, loops == 6 and layers == 1 and variant == "1 layer, 6 loops" and problem.decode ~= nil, loops == 1 and layers == 6 and variant == "static, 6 layers" and problem.evaluate ~= nil)`
        within: [1.05, 100]
    }
    hypothesis locality_reaches_further {
        expect: "rotary positions by the digit's index generalise, even without a window"
        predict: `ratio(beyond, window == 1 and variant == "twelve" and problem.evaluate ~= nil, window == -1 and variant == "no window")`
        within: [0.9, 1.1]
    }

    knowledge {
        invariant masks_on_the_answer {
            statement: "targets are on the whole answer and on nothing else, in batches read back from their text"
            scope { op: [looplm] }
        }
        invariant train_and_test_disjoint {
            statement: "no problem that a test asks is ever drawn in training"
            scope { op: [looplm] }
        }
        invariant one_format {
            statement: "training and evaluation write the same problem in the same way"
            scope { op: [looplm] }
        }
        invariant sees_only_what_it_may {
            statement: "a token hidden by mask, window or segment changes no bit"
            scope { op: [looplm] }
        }
        invariant gradients_match_differences {
            statement: "the gradient, summed over all loops, is the difference of the loss"
            scope { op: [looplm] }
        }
        invariant cpu_matches_oracle {
            statement: "single precision is double precision, within the roundings on the way"
            scope { op: [looplm] }
        }
        // MatMul's, restated: there for one product, here for a training run.
        invariant threads_do_not_change_bits {
            statement: "any number of threads trains the same parameters"
            scope { op: [looplm] }
        }
        // microGPT's, restated: there for one set of documents, here for every layout.
        invariant every_parameter_trains {
            statement: "each parameter that a few batches use has a gradient"
            scope { op: [looplm] }
        }
        invariant cache_does_not_change_answers {
            statement: "greedy decoding with a cache is right where the model is right given the right tokens"
            scope { op: [looplm] }
        }
        invariant halting_keeps_frozen_state {
            statement: "a token that halts keeps its state, and what thinks on sees the keys of that state"
            scope { op: [looplm] }
        }
        invariant one_batch_by_heart {
            statement: "one batch is learned by heart before any long run"
            scope { op: [looplm] }
        }
        fact outcome_of_operands_have_no_pattern_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `study("entropy", "floor")`
            predicted: [1.2, 1.4]
            measured: 1.24
            pairs: 3
            scope { op: [looplm] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:looplm/amd-epyc-zen3-2c#40, trace:looplm/amd-epyc-zen3-2c#41, trace:looplm/amd-epyc-zen3-2c#42]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_a_loop_costs_a_layer_on_amd_epyc_zen3_2c {
            negative: true
            outcome: contradicted
            comparison: `ratio(time_ms, loops == 6 and layers == 1 and variant == "1 layer, 6 loops" and problem.decode ~= nil, loops == 1 and layers == 6 and variant == "static, 6 layers" and problem.evaluate ~= nil)`
            predicted: [0.9, 1.3]
            measured: 0.87
            pairs: 5
            scope { op: [looplm] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:looplm/amd-epyc-zen3-2c#153, trace:looplm/amd-epyc-zen3-2c#143, trace:looplm/amd-epyc-zen3-2c#155, trace:looplm/amd-epyc-zen3-2c#145, trace:looplm/amd-epyc-zen3-2c#157, trace:looplm/amd-epyc-zen3-2c#147]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_locality_reaches_further_on_amd_epyc_zen3_2c {
            negative: true
            outcome: contradicted
            comparison: `ratio(beyond, window == 1 and variant == "twelve" and problem.evaluate ~= nil, window == -1 and variant == "no window")`
            predicted: [0.9, 1.1]
            measured: 5.05
            pairs: 3
            scope { op: [looplm] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:looplm/amd-epyc-zen3-2c#67, trace:looplm/amd-epyc-zen3-2c#89, trace:looplm/amd-epyc-zen3-2c#69, trace:looplm/amd-epyc-zen3-2c#91, trace:looplm/amd-epyc-zen3-2c#71, trace:looplm/amd-epyc-zen3-2c#93]
            support: 1
            contradictions: 0
            status: valid
        }
    }
}
