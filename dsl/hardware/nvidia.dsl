---
title: "GPUs that the source and this artifact speak of"
---

// What scopes, the planner's resource model and floors refer to where that GPU is not at hand. Limits are those that the
// driver reports; memory, bandwidth and matrix rate are the datasheet's (10^9 and 10^12; dense, bf16 with 32-bit sums).
// clock_mhz is the highest boost clock. No measurement is recorded here.
hardware rtx5070 {
    names: ["rtx5070", "rtx", "blackwell", "sm_120a"]
    cc: 120
    sms: 48
    smem_per_block_bytes: 101376
    smem_per_sm_bytes: 102400
    registers_per_sm: 65536
    threads_per_sm: 1536
    l2_bytes: 50331648
    memory_bytes: 12000000000
    clock_mhz: 2512
    datasheet_bandwidth_gb_s: 672
    datasheet_bf16_tflops: 61.7
    note: "the machine of the source documents"
}
hardware rtx4090 {
    names: ["rtx4090", "rtx", "ada", "sm_89"]
    cc: 89
    sms: 128
    smem_per_block_bytes: 101376
    smem_per_sm_bytes: 102400
    registers_per_sm: 65536
    threads_per_sm: 1536
    l2_bytes: 75497472
    memory_bytes: 24000000000
    clock_mhz: 2520
    datasheet_bandwidth_gb_s: 1008
    datasheet_bf16_tflops: 165.2
}
hardware h200 {
    names: ["h200", "hopper", "sm_90a"]
    cc: 90
    sms: 132
    smem_per_block_bytes: 232448
    smem_per_sm_bytes: 233472
    registers_per_sm: 65536
    threads_per_sm: 2048
    l2_bytes: 62914560
    memory_bytes: 141000000000
    clock_mhz: 1980
    datasheet_bandwidth_gb_s: 4800
    datasheet_bf16_tflops: 989
    note: "the SXM module; the datasheet's matrix rate is at 1830 MHz"
}
hardware h100 {
    names: ["h100", "hopper", "sm_90a"]
    cc: 90
    sms: 132
    smem_per_block_bytes: 232448
    smem_per_sm_bytes: 233472
    registers_per_sm: 65536
    threads_per_sm: 2048
    l2_bytes: 52428800
    memory_bytes: 80000000000
    clock_mhz: 1980
    datasheet_bandwidth_gb_s: 3350
    datasheet_bf16_tflops: 989
    note: "the SXM module; the datasheet's matrix rate is at 1830 MHz"
}
hardware a100 {
    names: ["a100", "ampere", "sm_80"]
    cc: 80
    sms: 108
    smem_per_block_bytes: 166912
    smem_per_sm_bytes: 167936
    registers_per_sm: 65536
    threads_per_sm: 2048
    l2_bytes: 41943040
    memory_bytes: 80000000000
    clock_mhz: 1410
    datasheet_bandwidth_gb_s: 2039
    datasheet_bf16_tflops: 312
    note: "the SXM module with 80 GB"
}
