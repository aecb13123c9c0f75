---
title: "nanoGPT on the processor: what may be tried"
status: active
tags: [nanogpt, cpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, hw and problem.
kernel nanogpt {
    operator: nanogpt
    dtype: f32
    computes: "a GPT-2 trained on characters: forward pass, backward pass, AdamW; a trial runs a whole training"
    oracle: "the same model on operators in plain loops in double precision; finite differences of its loss"
    peer: "PyTorch in eager mode, the same model and batch, in turn with ours"

    // cpu computes in floats; oracle the same in doubles, without vectors or threads.
    ladder: [oracle, cpu]

    tuning_space {
        variant: [cpu, oracle]
        threads: [1, 2, 4, 8, 16]
    }

    constraint there_are_so_many_cores {
        that: `threads == nil or threads <= hw.cores`
        reason: "threads that share a core wait for each other at the end of each operator"
    }

    invariants: [tied_head, residual_scaled, loss_is_entropy_at_start, adam_follows_its_definition, every_parameter_trains, cpu_matches_oracle, backward_matches_differences, cache_does_not_change_samples, resume_does_not_change_bits, threads_do_not_change_bits, operators_match_oracle]
}
