#!/bin/sh
# A recipe whose operator lacks its machine (a GPU): not run, said in a line, and no error; plan and gate work all the same.
. tests/tap.sh
: "${SPAK:=build/spak}"
export SPAK_GPU=none
system=dsl/matmul_gpu_system_v1.dsl

$SPAK run experiments/matmul_gpu.lua --out "$scratch/out" --experiment-only >"$scratch/said" 2>&1
is $? 0 'an experiment that cannot run here is no error'
is "$(grep -c '^matmul_gpu: not run here: .*SPAK_GPU=none' "$scratch/said")" 1 'and a line says so, with the reason'
is "$([ -e "$scratch/out/traces/matmul_gpu.jsonl" ]; echo $?)" 1 'no trace is begun'

$SPAK run experiments/matmul_gpu.lua --out "$scratch/out" >"$scratch/said" 2>&1
is $? 0 'its report, from archived traces or none, is no error either'

$SPAK plan $system --out "$scratch/manual" >"$scratch/said" 2>&1
is $? 0 'plan needs no GPU'
$SPAK gate $system --out "$scratch/manual" >"$scratch/said" 2>&1
is $? 0 'nor does the gate'
is "$(head -n 1 "$scratch/manual/traces/manual.jsonl" | grep -c '"id":"h200-datasheet"')" 1 'the plan is for a described machine, not one'
$SPAK tune $system --out "$scratch/manual" >"$scratch/said" 2>&1
is $? 1 'tune refuses'
is "$(grep -c 'no GPU is used, because SPAK_GPU=none' "$scratch/said")" 1 'and says why'

$SPAK trial matmul_gpu --problem m=64,n=64,k=64 >"$scratch/said" 2>&1
is $? 1 'a trial by hand fails with the reason'
is "$(grep -c 'SPAK_GPU=none' "$scratch/said")" 1 'which it prints'
SPAK_GPU= $SPAK trial matmul --problem m=64,n=64,k=64,threads=1 --options samples=3,min_sample_ms=0 --brief >"$scratch/said" 2>&1
is $? 0 'a trial of an operator that runs here'
is "$(grep -c '"status": "ok"' "$scratch/said")" 1 'prints its record'
$SPAK trial matmul --problem m=64,n >"$scratch/said" 2>&1
is $? 1 'a pair without a value'
is "$(grep -c "expected name=value, found 'n'" "$scratch/said")" 1 'is named'

# Attention on the GPU likewise.
$SPAK run experiments/fmha_gpu.lua --out "$scratch/fmha" --experiment-only >"$scratch/said" 2>&1
is $? 0 'the experiment of attention on a GPU is no error either'
is "$(grep -c '^fmha_gpu: not run here: .*SPAK_GPU=none' "$scratch/said")" 1 'and is not run'
$SPAK plan dsl/fmha_gpu_system_v1.dsl --out "$scratch/fmha" >"$scratch/said" 2>&1
is $? 0 'its plan needs no GPU'
$SPAK gate dsl/fmha_gpu_system_v1.dsl --out "$scratch/fmha" >"$scratch/said" 2>&1
is $? 0 'nor does its gate'
$SPAK trial fmha_gpu --problem batch=1,heads=1,q_len=64,head_dim=64 >"$scratch/said" 2>&1
is $? 1 'a trial of it fails'
is "$(grep -c 'SPAK_GPU=none' "$scratch/said")" 1 'and says why'
done_testing
