---
title: "CUDA kernels that are shipped: what `make kernels` compiles ahead"
status: active
tags: [kernels, cuda]
---

// A kernel's file is named from the project's root. Its entries share one file of machine code for each target. The
// registers and the shared memory that each may take are in kernels/budget.dsl; none may spill.

kernel matmul_f64 {
    file: "kernels/oracle/matmul_f64.cu"
    entries: [oracle_rows, oracle_compare, oracle_finite, oracle_apply, oracle_gelu]
    targets: [sm_80, sm_89, sm_90a, sm_120a]
    defines: []
}
