#!/bin/sh
# The later versions of a system are what crystallise makes of the version before and an archived trace: nothing in them
# was typed. The archived traces are the ones that the lock file pins.
. tests/tap.sh
SPAK=${SPAK:-build/spak}

"$SPAK" trace lock --check data/traces/LOCK >"$scratch/log" 2>&1
check $? 'every archived trace verifies and ends as the lock file says'

# grown OLD MACHINE/EXPERIMENT NEW
grown() {
    "$SPAK" crystallise "dsl/$1.dsl" --trace "data/traces/$2.jsonl" --to "$scratch/$3.dsl" >"$scratch/log" 2>&1
    check $? "$1 learns from $2"
    is "$(diff "$scratch/$3.dsl" "dsl/$3.dsl" 2>&1)" '' "and that is dsl/$3.dsl"
}
grown matmul_system_v1 amd-epyc-zen3-2c/matmul matmul_system_v2
grown matmul_system_v2 intel-xeon-emeraldrapids-2c/matmul matmul_system_v3
grown fmha_system_v1 amd-epyc-zen3-2c/fmha fmha_system_v2
grown fmha_system_v2 intel-xeon-emeraldrapids-2c/fmha fmha_system_v3
grown microgpt_system_v1 amd-epyc-zen3-2c/microgpt microgpt_system_v2
grown microgpt_system_v2 intel-xeon-emeraldrapids-2c/microgpt microgpt_system_v3
grown nanogpt_system_v1 amd-epyc-zen3-2c/nanogpt nanogpt_system_v2
grown matmul_gpu_system_v1 h200/matmul_gpu matmul_gpu_system_v2
grown fmha_gpu_system_v1 h200/fmha_gpu fmha_gpu_system_v2
grown looplm_system_v3 amd-epyc-zen3-2c/looplm looplm_system_v4

# A number changed by hand is caught.
sed 's/measured: 0/measured: 1/' dsl/matmul_system_v3.dsl >"$scratch/typed.dsl"
! cmp -s "$scratch/typed.dsl" "$scratch/matmul_system_v3.dsl"
check $? 'a figure typed into a version would be seen'
done_testing
