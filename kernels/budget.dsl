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

kernel matmul_inputs_bf16 {
    budget fill.sm_80 { registers: 24, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_80 { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_89 { registers: 24, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_89 { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_90a { registers: 22, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_90a { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_120a { registers: 38, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_120a { registers: 16, stack_bytes: 0, smem_bytes: 0 }
}

kernel matmul_inputs_f16 {
    budget fill.sm_80 { registers: 24, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_80 { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_89 { registers: 24, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_89 { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_90a { registers: 22, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_90a { registers: 15, stack_bytes: 0, smem_bytes: 0 }
    budget fill.sm_120a { registers: 38, stack_bytes: 0, smem_bytes: 0 }
    budget different.sm_120a { registers: 16, stack_bytes: 0, smem_bytes: 0 }
}

kernel matmul_gpu {
    budget a100_square_512_mma_sync.sm_80 { registers: 250, stack_bytes: 0, smem_bytes: 0 }
    budget a100_square_2048_mma_sync.sm_80 { registers: 250, stack_bytes: 0, smem_bytes: 0 }
    budget a100_square_4096_naive.sm_80 { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget a100_square_4096_coalesced.sm_80 { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget a100_square_4096_shared_tile.sm_80 { registers: 31, stack_bytes: 0, smem_bytes: 8448 }
    budget a100_square_4096_register_tile.sm_80 { registers: 105, stack_bytes: 0, smem_bytes: 16384 }
    budget a100_square_8192_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_dx_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_dw_mma_sync.sm_80 { registers: 246, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_vocabulary_dw_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_dw_added_mma_sync.sm_80 { registers: 246, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_bias_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_bias_gelu_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_residual_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_down_bias_residual_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_beta_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_f32_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_f16_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_gpt2_up_f16_bias_gelu_mma_sync.sm_80 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget a100_edge_nt_mma_sync.sm_80 { registers: 244, stack_bytes: 0, smem_bytes: 0 }
    budget a100_edge_nn_mma_sync.sm_80 { registers: 250, stack_bytes: 0, smem_bytes: 0 }
    budget a100_edge_tn_mma_sync.sm_80 { registers: 248, stack_bytes: 0, smem_bytes: 0 }
    budget a100_edge_nt_f16_mma_sync.sm_80 { registers: 244, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_512_mma_sync.sm_89 { registers: 250, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_1024_mma_sync.sm_89 { registers: 250, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_2048_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_4096_naive.sm_89 { registers: 38, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_4096_coalesced.sm_89 { registers: 38, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_square_4096_shared_tile.sm_89 { registers: 33, stack_bytes: 0, smem_bytes: 8448 }
    budget rtx4090_square_4096_register_tile.sm_89 { registers: 119, stack_bytes: 0, smem_bytes: 16384 }
    budget rtx4090_gpt2_up_dx_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_dw_mma_sync.sm_89 { registers: 252, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_vocabulary_dw_mma_sync.sm_89 { registers: 246, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_dw_added_mma_sync.sm_89 { registers: 252, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_bias_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_bias_gelu_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_residual_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_down_bias_residual_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_beta_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_f32_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_f16_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_gpt2_up_f16_bias_gelu_mma_sync.sm_89 { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget rtx4090_edge_nt_mma_sync.sm_89 { registers: 237, stack_bytes: 0, smem_bytes: 128 }
    budget rtx4090_edge_nn_mma_sync.sm_89 { registers: 239, stack_bytes: 0, smem_bytes: 128 }
    budget rtx4090_edge_tn_mma_sync.sm_89 { registers: 239, stack_bytes: 0, smem_bytes: 128 }
    budget rtx4090_edge_nt_f16_mma_sync.sm_89 { registers: 237, stack_bytes: 0, smem_bytes: 128 }
    budget h200_square_512_best.sm_90a { registers: 48, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_512_mma_sync.sm_90a { registers: 244, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_1024_best.sm_90a { registers: 103, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_1024_mma_sync.sm_90a { registers: 248, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_2048_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_2048_mma_sync.sm_90a { registers: 254, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_naive.sm_90a { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_coalesced.sm_90a { registers: 30, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_shared_tile.sm_90a { registers: 30, stack_bytes: 0, smem_bytes: 8448 }
    budget h200_square_4096_register_tile.sm_90a { registers: 123, stack_bytes: 0, smem_bytes: 16384 }
    budget h200_square_4096_tma.sm_90a { registers: 156, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_specialised.sm_90a { registers: 156, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_two_consumers.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_persistent.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_cluster.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_4096_async_store.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_square_8192_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_down_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_dx_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_dw_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_vocabulary_dx_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_vocabulary_dw_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_dw_added_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_bias_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_bias_gelu_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_residual_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_down_bias_residual_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_beta_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_f32_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_f16_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_gpt2_up_f16_bias_gelu_best.sm_90a { registers: 168, stack_bytes: 0, smem_bytes: 0 }
    budget h200_edge_nt_mma_sync.sm_90a { registers: 237, stack_bytes: 0, smem_bytes: 0 }
    budget h200_edge_nn_mma_sync.sm_90a { registers: 240, stack_bytes: 0, smem_bytes: 0 }
    budget h200_edge_tn_mma_sync.sm_90a { registers: 239, stack_bytes: 0, smem_bytes: 0 }
    budget h200_edge_nt_f16_mma_sync.sm_90a { registers: 237, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_square_512_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_square_4096_naive.sm_120a { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_square_4096_coalesced.sm_120a { registers: 32, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_square_4096_shared_tile.sm_120a { registers: 40, stack_bytes: 0, smem_bytes: 8448 }
    budget rtx5070_square_4096_register_tile.sm_120a { registers: 115, stack_bytes: 0, smem_bytes: 16384 }
    budget rtx5070_square_8192_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_dx_mma_sync.sm_120a { registers: 252, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_dw_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_dw_added_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_bias_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_bias_gelu_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_residual_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_down_bias_residual_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_beta_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_f32_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_f16_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_gpt2_up_f16_bias_gelu_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 0 }
    budget rtx5070_edge_nt_mma_sync.sm_120a { registers: 236, stack_bytes: 0, smem_bytes: 128 }
    budget rtx5070_edge_nn_mma_sync.sm_120a { registers: 238, stack_bytes: 0, smem_bytes: 128 }
    budget rtx5070_edge_tn_mma_sync.sm_120a { registers: 245, stack_bytes: 0, smem_bytes: 128 }
    budget rtx5070_edge_nt_f16_mma_sync.sm_120a { registers: 236, stack_bytes: 0, smem_bytes: 128 }
}
