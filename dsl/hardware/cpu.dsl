---
title: "Processors that the CPU kernels have variants for"
---

// What a kernel may rely on for each instruction set. Cache sizes and clocks are read from the machine itself.
hardware portable {
    names: ["portable"]
    vector_bytes: 16
    vector_registers: 16
    note: "what any compiler makes of the vector extensions of C; no assumption beyond that"
}
hardware avx2 {
    names: ["avx2", "haswell", "zen", "zen3"]
    vector_bytes: 32
    vector_registers: 16
    note: "x86 with 256-bit vectors and fused multiply-add"
}
hardware avx512 {
    names: ["avx512", "skylakex", "sapphirerapids", "zen4"]
    vector_bytes: 64
    vector_registers: 32
    note: "x86 with 512-bit vectors"
}
