---
title: "microGPT: from single numbers to vectors, at the same loss"
version: 1
status: active
tags: [microgpt, cpu, training]
---

// The third system. Attention, tiles and the gate come with what it inherits; what is its own is training: gradients of a
// whole model, random numbers that another program draws too, and a loss curve to be true to.
system MicroGPT_System_v1 {
    inherits: "matmul_system_v3.dsl"
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
            cached: "keys and values of earlier positions are kept, in training as in inference"
        }
        arithmetic {
            exact: "double precision, each sum in the order of the reference"
            single: "single precision, sums spread over vector lanes"
        }
    }

    engineering_loop {
        problem reference {
            dataset: names
            steps: 1000
            seed: 42
        }

        profile smoke {
            samples: 9
            min_sample_ms: 2
        }
        profile paper {
            samples: 21
            min_sample_ms: 5
        }

        // How many steps each engine runs. The scalar engine is the slow one; the molecules always run all of them.
        engines smoke {
            atom_steps: 150
            python_steps: 40
        }
        engines paper {
            atom_steps: 1000
            python_steps: 1000
        }
        inference {
            names: 20
            temperature: 0.5
        }
    }

    // Written down before the first measurement.
    //> hypotheses
    hypothesis writing_it_out_beats_the_graph {
        expect: "a node of the graph costs an allocation and two table look-ups, the sum that it stands for one operation"
        predict: `ratio(time_ms, engine == "atom", variant == "exact")`
        within: [500, 8000]
    }
    hypothesis single_precision_fills_the_lanes {
        expect: "a vector holds twice as many floats as doubles, and sums need not wait for each other in order"
        predict: `ratio(time_ms, variant == "exact", variant == "single")`
        within: [1.5, 6.0]
    }
    hypothesis a_cache_saves_what_was_computed {
        expect: "without it a name of n letters costs n passes over what stands before, on average half of it again"
        predict: `ratio(time_ms, cache == false, cache == true)`
        within: [2.0, 5.0]
    }
    //< hypotheses

    knowledge {
        rule fidelity_before_speed {
            when: `op == "microgpt"`
            apply: `variant == "exact" or variant == "single"`
            reason: "only paths whose losses the gate has compared with the reference are timed"
            scope { kind: [cpu] }
            evidence: ["an order of work; no measurement needed"]
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
