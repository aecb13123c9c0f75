---
title: "Helper kernels in CUDA that are shipped: what `make kernels` compiles ahead beside the operators' own"
status: active
tags: [kernels, cuda]
---

// A kernel's file is named from the project's root. Its entries share one file of machine code for each target. The
// registers and the shared memory that each may take are in kernels/budget.dsl; none may spill. The kernels that an
// operator's plan picks are not listed: `spak kernels` asks the operator (dev_op's `shipped`).

kernel matmul_f64 {
    file: "kernels/oracle/matmul_f64.cu"
    entries: [oracle_rows, oracle_compare, oracle_finite, oracle_apply, oracle_gelu]
    targets: [sm_80, sm_89, sm_90a, sm_120a]
    defines: []
}
kernel matmul_inputs_bf16 {
    file: "kernels/matmul/gpu/inputs.cu"
    entries: [fill, fill_floats, different]
    targets: [sm_80, sm_89, sm_90a, sm_120a]
    defines: ["TYPE_F16=0"]
}
kernel matmul_inputs_f16 {
    file: "kernels/matmul/gpu/inputs.cu"
    entries: [fill, fill_floats, different]
    targets: [sm_80, sm_89, sm_90a, sm_120a]
    defines: ["TYPE_F16=1"]
}
