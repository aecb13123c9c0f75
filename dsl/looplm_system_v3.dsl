---
title: "LoopLM: additions longer than those learned"
version: 3
status: active
tags: [looplm, cpu, recurrence, length_generalisation]
---

// A recurrent transformer on a task with right answers. The number of this version is the one that the source gives it.
// The systems before asked how fast a known result can be had; this one asks whether a claimed result is there at all.
system LoopLM_System_v3 {
    inherits: "microgpt_system_v3.dsl"
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

        // What all runs share. Small: so that a processor of two cores answers within minutes.
        common small {
            most_digits: 2
            batch: 64
            rate: 2e-3
            min_rate: 1e-4
            warmup_steps: 20
            weight_decay: 1e-4
        }
        // Bridge problems at this scale: none. The two protocols are told apart at paper scale.
        axes small {
            width: 64
            heads: 4
            positions: rope
            layers: 1
            loops: 6
            inject: false
        }

        // The five models of the source's table, a sixth to a half of their depth.
        arm gpt {
            title: "GPT-6L (static)"
            layers: 6
            loops: 1
        }
        arm loop {
            title: "LoopLM-6"
        }
        arm deep {
            title: "LoopLM-15"
            loops: 15
        }
        arm narrow {
            title: "LoopLM-6, narrow"
            width: 32
        }
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
        //> one_format
        invariant one_format {
            statement: "training and evaluation write the same problem in the same way"
            scope { op: [looplm] }
        }
        //< one_format
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
    }
}
