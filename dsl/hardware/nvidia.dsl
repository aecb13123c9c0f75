---
title: "GPUs that the source and this artifact speak of"
---

// Datasheet figures that scopes and floors refer to. No measurement is recorded here.
hardware rtx5070 {
    names: ["rtx5070", "rtx", "blackwell", "sm_120a"]
    cc: 120
    note: "the machine of the source documents"
}
hardware h200 {
    names: ["h200", "h100", "hopper", "sm_90a"]
    cc: 90
}
hardware a100 {
    names: ["a100", "ampere", "sm_80"]
    cc: 80
}
