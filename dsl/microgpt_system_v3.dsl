---
title: "microGPT: from single numbers to vectors, at the same loss"
version: 3
status: active
tags: [microgpt, cpu, training]
---

// Written by `spak crystallise` from MicroGPT_System_v2 and trace:microgpt/intel-xeon-emeraldrapids-2c; not to be edited.
system MicroGPT_System_v3 {
    inherits: "fmha_system_v3.dsl"
    operator: microgpt

    objective Same_Curve_Less_Time {
        target: "train the model of the scalar engine to the same losses, step by step, and then in less time a step"
        minimise: time_per_step
        correctness: "fidelity comes first: a path that leaves the curve of the reference is not fast, it is wrong"
    }

    baseline {
        peer: "the scalar autograd engine in Lua, run in the same experiment on the same machine"
        metric: "the time of a training step of the scalar engine over ours; above one means faster"
        original: "the Python program that both follow, when SPAK_MICROGPT_PY names a copy"
    }

    design_space {
        atom {
            scalars: "each number is a node of a graph; one walk back over the graph gives every gradient"
        }
        molecule {
            explicit: "forward and backward written out, layer by layer; no graph is kept"
            cached: "in inference, keys and values of earlier positions are kept"
        }
        arithmetic {
            exact: "double precision, to follow the reference"
            single: "single precision, twice as many numbers in a vector"
        }
    }

    // Precision is no parameter: it is part of what is computed. Only the instruction set is searched.
    tuning_space {
        variant: [single]
        isa: [portable, avx2, avx512]
    }

    engineering_loop {
        problem reference {
            dataset: names
            steps: 1000
            seed: 42
        }

        // In the search the peer would be the same instruction set in double precision, which says nothing: so none.
        profile smoke {
            trials: 4
            samples: 9
            min_sample_ms: 5
            peer: false
        }
        profile paper {
            trials: 4
            samples: 21
            min_sample_ms: 20
            peer: false
        }

        // How many steps of the run the scalar engines make, which are slow. The molecules make all of them.
        engines smoke {
            atom_steps: 150
            python_steps: 40
            timed_names: 2000
            other_seeds: 16
        }
        engines paper {
            atom_steps: 1000
            python_steps: 1000
            timed_names: 10000
            other_seeds: 16
        }
    }

    // Written down before the first measurement.
    // A problem with a schedule is the scalar engine's: so many steps of how many.
    hypothesis writing_it_out_beats_the_graph {
        expect: "a node costs an allocation, the sum it stands for an addition"
        predict: `ratio(time_ms, variant == "atom" and steps <= schedule, variant == "exact")`
        within: [500, 8000]
    }
    hypothesis single_precision_fills_the_lanes {
        expect: "twice as many floats as doubles fit a vector, in any order"
        predict: `ratio(time_ms, variant == "exact", variant == "single")`
        within: [1.5, 6.0]
    }
    hypothesis a_cache_saves_what_was_computed {
        expect: "without it each letter computes all before it once more"
        predict: `study("inference", "exact.ratio")`
        within: [2.0, 5.0]
    }

    knowledge {
        // These three are about kernels for any shape, on any number of threads. Every shape of this model is fixed, and
        // a step runs on one thread: there is nothing of the kind to show.
        invariant every_element_written_once {
            statement: "the tiles cover the output exactly and touch nothing else"
            scope { op: [matmul, fmha] }
        }
        invariant no_read_outside {
            statement: "no kernel reads or writes past the ends of its inputs and outputs"
            scope { op: [matmul, fmha] }
        }
        invariant threads_do_not_change_bits {
            statement: "any number of threads gives the same bits"
            scope { op: [matmul, fmha] }
        }

        // The gate runs them in this order: what is quick to check comes first.
        invariant every_parameter_trains {
            statement: "over documents that use all of the model, each parameter has a gradient"
            scope { op: [microgpt] }
        }
        invariant loss_matches_the_oracle {
            statement: "loss and logits are those of plain loops, within the roundings on the way"
            scope { op: [microgpt] }
        }
        invariant adam_follows_its_definition {
            statement: "each update is that of the definition, and the next step sees it"
            scope { op: [microgpt] }
        }
        invariant rng_is_pythons {
            statement: "names are shuffled, weights drawn and letters chosen as the reference's generator does"
            scope { op: [microgpt] }
        }
        invariant cache_does_not_change_samples {
            statement: "with a cache of keys and values the logits have the same bits"
            scope { op: [microgpt] }
        }
        invariant loss_is_entropy_at_start {
            statement: "a model that knows nothing pays the logarithm of the number of tokens"
            scope { op: [microgpt] }
        }
        // Attention's, changed: there a loss made for the test, one tensor at a time; here the model's own, all the way.
        invariant backward_matches_differences {
            statement: "each gradient of the whole model is a difference of its loss"
            scope { op: [microgpt] }
        }
        invariant single_matches_exact {
            statement: "gradients in single precision are those in double, within the roundings there and back"
            scope { op: [microgpt] }
        }

        rule a_step_is_too_short_to_share {
            when: `op == "microgpt"`
            apply: `problem.threads == nil or problem.threads == 1`
            reason: "to wake a second thread takes about as long as the whole step"
            scope { kind: [cpu] }
            evidence: ["a count of operations; no measurement needed"]
            support: 0
            contradictions: 0
            status: proposed
        }

        hint single_documents_are_noisy {
            text: "the loss of one document says little; compare curves step by step, and levels by means over documents"
        }
        hint count_the_gradients_that_are_zero {
            text: "a loss that falls does not show that all of the model learns: look at each parameter's gradient"
        }
        fact best_reference_on_amd_epyc_zen3_2c {
            description: "the best configuration that the search met, of 3 trials"
            config: `isa == "avx2" and variant == "single"`
            problem: `dataset == "names" and seed == 42 and steps == 1000`
            merit: 23.9
            scope { op: [microgpt] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:microgpt/amd-epyc-zen3-2c#36]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_writing_it_out_beats_the_graph_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `ratio(time_ms, variant == "atom" and steps <= schedule, variant == "exact")`
            predicted: [500, 8e+03]
            measured: 2.81e+03
            pairs: 1
            scope { op: [microgpt] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:microgpt/amd-epyc-zen3-2c#77, trace:microgpt/amd-epyc-zen3-2c#42]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_single_precision_fills_the_lanes_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `ratio(time_ms, variant == "exact", variant == "single")`
            predicted: [1.5, 6]
            measured: 2.52
            pairs: 1
            scope { op: [microgpt] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:microgpt/amd-epyc-zen3-2c#42, trace:microgpt/amd-epyc-zen3-2c#44]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_a_cache_saves_what_was_computed_on_amd_epyc_zen3_2c {
            outcome: confirmed
            comparison: `study("inference", "exact.ratio")`
            predicted: [2, 5]
            measured: 2.19
            pairs: 1
            scope { op: [microgpt] id: ["amd-epyc-zen3-2c"] dtype: [f32] }
            evidence: [trace:microgpt/amd-epyc-zen3-2c#80]
            support: 1
            contradictions: 0
            status: valid
        }
        fact best_reference_on_intel_xeon_emeraldrapids_2c {
            description: "the best configuration that the search met, of 4 trials"
            config: `isa == "avx512" and variant == "single"`
            problem: `dataset == "names" and seed == 42 and steps == 1000`
            merit: 30.9
            scope { op: [microgpt] id: ["intel-xeon-emeraldrapids-2c"] dtype: [f32] }
            evidence: [trace:microgpt/intel-xeon-emeraldrapids-2c#36]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_writing_it_out_beats_the_graph_on_intel_xeon_emeraldrapids_2c {
            outcome: confirmed
            comparison: `ratio(time_ms, variant == "atom" and steps <= schedule, variant == "exact")`
            predicted: [500, 8e+03]
            measured: 1.63e+03
            pairs: 1
            scope { op: [microgpt] id: ["intel-xeon-emeraldrapids-2c"] dtype: [f32] }
            evidence: [trace:microgpt/intel-xeon-emeraldrapids-2c#78, trace:microgpt/intel-xeon-emeraldrapids-2c#43]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_single_precision_fills_the_lanes_on_intel_xeon_emeraldrapids_2c {
            outcome: confirmed
            comparison: `ratio(time_ms, variant == "exact", variant == "single")`
            predicted: [1.5, 6]
            measured: 2.7
            pairs: 1
            scope { op: [microgpt] id: ["intel-xeon-emeraldrapids-2c"] dtype: [f32] }
            evidence: [trace:microgpt/intel-xeon-emeraldrapids-2c#43, trace:microgpt/intel-xeon-emeraldrapids-2c#45]
            support: 1
            contradictions: 0
            status: valid
        }
        fact outcome_of_a_cache_saves_what_was_computed_on_intel_xeon_emeraldrapids_2c {
            negative: true
            outcome: contradicted
            comparison: `study("inference", "exact.ratio")`
            predicted: [2, 5]
            measured: 1.9
            pairs: 1
            scope { op: [microgpt] id: ["intel-xeon-emeraldrapids-2c"] dtype: [f32] }
            evidence: [trace:microgpt/intel-xeon-emeraldrapids-2c#81]
            support: 1
            contradictions: 0
            status: valid
        }
    }

    protocol verification {
        step 1: "the gate holds the molecule's gradients against finite differences and its losses against the reference"
        step 2: "faults are planted, and the gate has to catch them"
        step 3: "every engine trains from the same seed on the same documents; losses are compared step by step"
        step 4: "the scalar engine is timed in the same run; its time is what the ratios refer to"
    }

    trace_schema {
        evaluate: [config, problem, time_ms, losses, correct]
        study: [study, options, result]
    }
}
