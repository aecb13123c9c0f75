#!/bin/sh
# spak kernels: what is shipped is compiled ahead, and what it needs is held against a budget. In a project of its own.
. tests/tap.sh
spak=$(realpath "${SPAK:-build/spak}")
cd "$scratch" || exit 1
mkdir -p kernels/toy
cat >kernels/toy/toy.cu <<'EOF'
extern "C" __global__ void __launch_bounds__(LIMIT) toy(float *p, int n) {
    float a[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) a[i] = p[i * n];
    for (int j = 0; j < n; j++)
#pragma unroll
        for (int i = 0; i < COUNT; i++) a[i] += a[(i + 1) % COUNT] * a[(i * 7) % COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) p[i] = a[i];
}
EOF
defaults() { # COUNT LIMIT
    printf 'kernel toy {\n    file: "kernels/toy/toy.cu"\n    entries: [toy]\n    targets: [sm_80, sm_90a]\n    defines: ["COUNT=%s", "LIMIT=%s"]\n}\n' \
        "$1" "$2" >kernels/defaults.dsl
}
defaults 4 128

SPAK_NVCC=none SPAK_NVRTC=none runs 0 "$spak" kernels && says 'not checked: neither nvcc nor NVRTC is here'
check $? 'without a compiler nothing is checked, which is said'
runs 2 "$spak" kernels toy
check $? 'it takes no names'

# A compiler of the test's own, which says what it is told to.
cat >nvcc <<'EOF'
#!/bin/sh
[ "$1" = --version ] && exec echo 'Cuda compilation tools, release 1.0, V1.0.1'
[ "$1" = --list-gpu-code ] && exec printf 'sm_80\nsm_90\n'
[ -e broken ] && { echo 'kernels/toy/toy.cu(1): error: broken' >&2; exit 1; }
while [ $# -gt 0 ]; do
    [ "$1" = -o ] && echo code >"$2"
    shift
done
echo x >>compiled
echo "ptxas info    : Compiling entry function 'toy' for 'sm'"
echo 'ptxas info    : Used 10 registers, used 0 barriers'
[ ! -e words ] || cat words
EOF
chmod +x nvcc
export SPAK_NVCC="$PWD/nvcc"
runs 0 "$spak" kernels --update && says 'kernels: 2 shipped, 2 files of machine code compiled with nvcc 1.0, 0 over'
check $? 'each target is compiled'
is "$(wc -l <compiled | tr -d ' ')" 2 'once'
rm -rf build
echo 'ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ...' >words
runs 1 "$spak" kernels && says 'toy: toy for sm_80: Potential Performance Loss: wgmma'
check $? 'wgmma that is serialised fails'
runs 1 "$spak" kernels && says ' 0 files of machine code compiled'
check $? 'and so when it is found again'
rm -rf build words && touch broken
runs 1 "$spak" kernels && says 'kernels/toy/toy.cu(1): error: broken'
check $? 'what no process could compile is told'
rm -rf build broken
sed -i 's/\\nsm_90//' nvcc
runs 0 "$spak" kernels && says 'not checked: sm_90a, which nvcc 1.0 does not know' && says 'kernels: 1 shipped'
check $? 'a target that the compiler does not know is not checked, which is said'
runs 1 "$spak" kernels --update && says 'kernels/budget.dsl is not written'
check $? 'and no budget is written without it'
rm -rf build nvcc kernels/budget.dsl
unset SPAK_NVCC

if "$spak" kernels --update | grep -q 'not checked'; then
    echo "ok $((tap_count = tap_count + 1)) # SKIP neither nvcc nor NVRTC is here"
    done_testing
fi
runs 0 "$spak" dsl fmt --check kernels/budget.dsl
check $? 'the budget is laid out as every manifest'
is "$(grep -c '"kernel":"toy"' build/kernels/budget.jsonl)" 2 'what each target needs is recorded'
is "$(ls build/kernels | grep -c '\.cubin$')" 2 'and there is machine code for each'
runs 0 "$spak" kernels && says ' 0 files of machine code compiled .* 0 over budget'
check $? 'the second time there is nothing to do'
cp kernels/budget.dsl old

sed -i 's/toy.sm_90a { registers: [0-9]*/toy.sm_90a { registers: 2/' kernels/budget.dsl
runs 1 "$spak" kernels && says 'toy: toy for sm_90a: [0-9]* registers, and the budget is 2'
check $? 'a register too many fails'
sed '/sm_80/d' old >kernels/budget.dsl
runs 1 "$spak" kernels && says 'toy for sm_80: .* has no budget for it'
check $? 'so does a kernel without a budget'
sed 's/ *budget toy.sm_80 .*/&\n    budget tay.sm_80 { registers: 1, stack_bytes: 0, smem_bytes: 0 }/' old >kernels/budget.dsl
runs 1 "$spak" kernels && says 'has 3 budgets for 2 kernels'
check $? 'and a budget without a kernel'
sed 's/release: .*/release: "1.0"/; s/registers: [0-9]*/registers: 2/' old >kernels/budget.dsl
runs 0 "$spak" kernels && says 'not checked: registers'
check $? "another release's registers are not compared, which is said"

defaults 160 1024
runs 1 "$spak" kernels --update && says 'bytes of registers spilled'
check $? 'a kernel that spills fails, whatever its budget'
defaults 4 128
cp old kernels/budget.dsl
sed -i 's/a\[i\];$/b[i];/' kernels/toy/toy.cu
runs 1 "$spak" kernels && says 'kernels/toy/toy.cu(9): error'
check $? 'an error names file and line'

sed -i 's/b\[i\];$/a[i];/' kernels/toy/toy.cu
rm -rf build
if SPAK_NVCC=none "$spak" kernels >log && ! grep -q 'neither' log; then
    is "$(grep -c 'compiled with NVRTC' log)" 1 'without nvcc NVRTC compiles'
else
    echo "ok $((tap_count = tap_count + 1)) # SKIP NVRTC is not here"
fi
done_testing
