---
title: "microGPT on the processor: what may be tuned"
status: active
tags: [microgpt, cpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, hw and problem.
kernel microgpt {
    operator: microgpt
    dtype: f32
    computes: "one training step of a GPT of 4,192 parameters on one name: loss, gradient, Adam; a trial runs a whole training"
    oracle: "the loss in plain loops in double precision, with the bound 416 u; Adam by its definition"
    peer: "the same step in doubles (variant exact), samples interleaved"

    // exact computes what the reference computes, in doubles; single the same in floats.
    ladder: [exact, single]

    tuning_space {
        variant: [exact, single]
        isa: [portable, avx2, avx512]
    }

    constraint isa_is_there {
        that: `isa == "portable" or isa == hw.isa or (isa == "avx2" and hw.isa == "avx512")`
        reason: "an instruction that the processor lacks ends the program"
    }
    constraint one_thread {
        that: `problem.threads == nil or problem.threads == 1`
        reason: "a step of some seven rows of 16 is over before a second thread has woken"
    }

    invariants: [backward_matches_differences, every_parameter_trains, loss_matches_the_oracle, adam_follows_its_definition, single_matches_exact, rng_is_pythons, cache_does_not_change_samples, loss_is_entropy_at_start]
}
