// What each shipped CUDA kernel may take, a thread or a block. `spak kernels --update` writes this file.

release: "13.0"

kernel matmul_f64 {
    budget oracle_rows.sm_80 { registers: 92, stack_bytes: 0, smem_bytes: 17152 }
    budget oracle_compare.sm_80 { registers: 36, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_finite.sm_80 { registers: 17, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_apply.sm_80 { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_gelu.sm_80 { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_rows.sm_89 { registers: 92, stack_bytes: 0, smem_bytes: 17152 }
    budget oracle_compare.sm_89 { registers: 36, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_finite.sm_89 { registers: 17, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_apply.sm_89 { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_gelu.sm_89 { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_rows.sm_90a { registers: 96, stack_bytes: 0, smem_bytes: 17152 }
    budget oracle_compare.sm_90a { registers: 40, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_finite.sm_90a { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_apply.sm_90a { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_gelu.sm_90a { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_rows.sm_120a { registers: 84, stack_bytes: 0, smem_bytes: 17152 }
    budget oracle_compare.sm_120a { registers: 48, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_finite.sm_120a { registers: 18, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_apply.sm_120a { registers: 40, stack_bytes: 0, smem_bytes: 0 }
    budget oracle_gelu.sm_120a { registers: 36, stack_bytes: 0, smem_bytes: 0 }
}
