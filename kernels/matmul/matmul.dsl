---
title: "MatMul on the processor: what may be tuned"
status: active
tags: [matmul, cpu, manifest]
---

// Quotes are prose, backticks are law: an expression sees the axes below, the names under `derived`, hw and problem.
kernel matmul {
    operator: matmul
    dtype: f32
    computes: "C = op(A) op(B), row-major, any m, n, k, leading dimensions, either input transposed"
    oracle: "the same in double precision, with the bound k u / (1 - k u) times |A| |B|, u = 2^-24"
    peer: "OpenBLAS cblas_sgemm, loaded at run time, as many threads, samples interleaved"

    // One idea a step; the last two share their loops and micro-kernels.
    ladder: [naive, loop_order, blocked, packed, register_tile, threads]

    // An axis that a variant does not have is ignored by it; one that is left out takes the machine's default.
    tuning_space {
        variant: [naive, loop_order, blocked, packed, register_tile, threads]
        isa: [portable, avx2, avx512]
        tile: ["4x8", "6x8", "8x8", "12x8", "6x16", "4x24", "24x16", "12x32", "14x32", "8x48"]
        kc: [128, 192, 256, 320, 384, 448, 512]
        mc: [96, 168, 240, 336, 504, 840]
        nc: [512, 1024, 2048, 4096]
        prefetch: [0, 4, 8, 16]
    }

    derived {
        mr: `tonumber(string.match(tile, "^(%d+)x"))`
        nr: `tonumber(string.match(tile, "x(%d+)$"))`
        lanes: `isa == "avx512" and 16 or isa == "avx2" and 8 or 4`
        nv: `nr / lanes`
    }

    constraint isa_is_there {
        that: `isa == "portable" or isa == hw.isa or (isa == "avx2" and hw.isa == "avx512")`
        reason: "an instruction that the processor lacks ends the program"
    }
    constraint tile_of_this_isa {
        that: `isa == "avx512" and nr % 16 == 0 and mr * nv >= 24 and mr * nv <= 28 or isa == "avx2" and nr % 8 == 0 and mr * nv >= 8 and mr * nv <= 12 or isa == "portable" and nr == 8 and mr <= 8`
        reason: "each instruction set has its own micro-kernels"
    }
    constraint panel_of_b_in_l1 {
        that: `hw.l1d_bytes == nil or 4 * kc * nr <= hw.l1d_bytes`
        reason: "the micro-kernel reads the panel of B again for every tile of a block of rows"
    }
    constraint block_of_a_in_l2 {
        that: `hw.l2_bytes == nil or 4 * mc * kc <= hw.l2_bytes`
        reason: "the block of A is read again for every panel of B"
    }
    constraint block_of_b_in_l3 {
        that: `hw.l3_bytes == nil or 4 * kc * nc <= hw.l3_bytes`
        reason: "the block of B is read again for every block of A"
    }
    constraint threads_use_them {
        that: `problem.threads == nil or problem.threads == 1 or variant == "threads"`
        reason: "the other variants run on one thread"
    }

    invariants: [tiled_sum_within_bound, every_element_written_once, no_read_outside, threads_do_not_change_bits]
}
