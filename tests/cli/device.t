#!/bin/sh
# spak device: the machine as `hardware` blocks, with and without a GPU. The GPU's driver and its management library are
# played by libraries that this test builds.
. tests/tap.sh
unset SPAK_GPU SPAK_LIBCUDA SPAK_NVML SPAK_GPU_DEBUG
SPAK=${SPAK:-build/spak}
good() { "$SPAK" dsl check - <"$scratch/out" >"$scratch/log" 2>&1 && "$SPAK" dsl fmt --check - <"$scratch/out" >>"$scratch/log" 2>&1; }

SPAK_GPU=none "$SPAK" device >"$scratch/out" 2>"$scratch/log"
check $? 'without a GPU it is no failure'
good
check $? 'what it prints is well-formed and laid out'
grep -q '^// no GPU: no GPU is used, because SPAK_GPU=none$' "$scratch/out"
check $? 'and says why there is no GPU'
is "$(grep -c '^hardware ' "$scratch/out")" 1 'one block, the processor'
grep -q '^    kind: "cpu"$' "$scratch/out"
check $? 'which says what it is'
SPAK_GPU=none "$SPAK" device --measure >"$scratch/out" 2>"$scratch/log"
check $? 'neither is asking for a measurement'
SPAK_LIBCUDA=/nowhere/libcuda.so "$SPAK" device --json >"$scratch/out"
grep -q '"gpu":null,"why_no_gpu":"SPAK_LIBCUDA=/nowhere/libcuda.so, for running GPU kernels' "$scratch/out"
check $? 'as JSON, with the reason'
runs 0 "$SPAK" device --help && says '^usage: spak device'
check $? 'help'
runs 2 "$SPAK" device cpu && says 'cpu: takes no arguments'
check $? 'a stray argument is refused'
runs 2 "$SPAK" device --fast && says 'no such option'
check $? 'and an unknown option'

if command -v "${CC:-cc}" >/dev/null && "${CC:-cc}" -std=c17 -shared -fPIC -D_GNU_SOURCE -Isrc -o "$scratch/cuda.so" \
    tests/device/fixtures/cuda/driver.c 2>"$scratch/log" && "${CC:-cc}" -std=c17 -shared -fPIC -o "$scratch/nvml.so" \
    tests/device/fixtures/cuda/nvml.c 2>"$scratch/log"; then
    export SPAK_LIBCUDA="$scratch/cuda.so" SPAK_NVML="$scratch/nvml.so" SPAK_FAKE_CUDA_NAME='NVIDIA "H200" \ 1'
    "$SPAK" device --measure >"$scratch/out" 2>"$scratch/log"
    check $? 'with a GPU, measured'
    good
    check $? 'well-formed, whatever it is called'
    is "$(grep -c '^hardware ' "$scratch/out")" 2 'two blocks'
    for line in 'hardware "h200-1" {' '    kind: "gpu"' '    name: "NVIDIA \\"H200\\" \\\\ 1"' '    cc: 90' '    sms: 132' \
        '    l2_bytes: 1048576' '    smem_per_block_bytes: 232448' '    registers_per_sm: 65536' '    clock_mhz: 1980' \
        '    driver: "CUDA 13.0, 580.95.05"' '        median: 16.777216' '        q1: 16.777216' '        samples: 51' \
        '        bytes: 8388608' '        sm_mhz: 1755' '        memory_mhz: 3201' '        power_w: 512.5' \
        '        temperature_c: 41' '        throttle: ["software_power_cap", "hardware_thermal", "bit_40"]'; do
        grep -q "^$(printf %s "$line" | sed 's/\[/\\[/g')\$" "$scratch/out" 2>"$scratch/log"
        check $? "$line"
    done
    "$SPAK" device --json >"$scratch/out" 2>"$scratch/log"
    check $? 'as JSON'
    grep -q '"gpu":{"cc":90,.*"why_no_gpu"' "$scratch/out"
    is $? 1 'without a reason'
    SPAK_FAKE_NVML=poor "$SPAK" device --measure >"$scratch/out" 2>"$scratch/log" && good
    check $? 'a management library that tells little'
    is "$(grep -c 'power_w\|sm_mhz\|throttle' "$scratch/out")" 0 'leaves fields out'
    grep -q '^        temperature_c: 41$' "$scratch/out"
    check $? 'and gives the others'
    SPAK_NVML=none "$SPAK" device >"$scratch/out" 2>"$scratch/log" && good && grep -q '^    driver: "CUDA 13.0"$' "$scratch/out"
    check $? 'no management library at all'
    SPAK_NVML=none "$SPAK" device --measure >"$scratch/out" 2>"$scratch/log" && good && ! grep -q '^    before' "$scratch/out"
    check $? 'a state of which nothing is known is left out'
    SPAK_FAKE_CUDA_FAIL=cuMemAlloc_v2:1:2 runs 1 "$SPAK" device --measure && says 'for the copy whose speed is measured'
    check $? 'a measurement that fails is a failure'
else
    echo "ok $((tap_count = tap_count + 1)) # SKIP with a GPU: no C compiler that makes a library (${CC:-cc})"
fi
done_testing
