#!/bin/sh
# The report functions in experiments/, on records made up for it and on damage planted in them (report_checks.lua).
. tests/tap.sh
SPAK=${SPAK:-build/spak}

# A recipe that lends the checks the name of an archived trace, so that they are run as a report.
recipe() { # recipe REPORT
    printf 'return { name = "matmul", system = "dsl/matmul_system_v1.dsl", seed = 1, report = "%s", experiment = function() end }\n' \
        "$1" >"$scratch/recipe.lua"
}
# The file of checks with what it shares with the others.
take() { # take NAME
    checks=$scratch/$1
    cat tests/report/fixtures/help.lua "tests/report/fixtures/$1" >"$checks"
    recipe "$checks"
}
take report_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'values, tables and figures follow from the records, and damage is refused'

# The checks themselves fail when something is wrong.
wrong() { # wrong FROM TO EXPECTED DESCRIPTION
    sed "s/$1/$2/" "$checks" >"$scratch/wrong.lua"
    recipe "$scratch/wrong.lua"
    runs 1 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out" && says "$3"
    check $? "$4"
}
wrong 'is(v.fusion, 3,' 'is(v.fusion, 3.1,' 'what fusing pays there: 3' 'a wrong number is seen'
wrong 'list\[9\].ratio = 2.1' 'list[9].ratio = 2' "expected 'record 8: its ratio is', found" 'and damage that is not refused'

take microgpt_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of microGPT'
wrong 'is(v.mean_300, losses(STEPS)\[300\]' 'is(v.mean_300, losses(STEPS)[301]' 'its middle: ' 'a wrong mean is seen'
wrong 'list\[7\].ratio = 2.9' 'list[7].ratio = 3' "expected 'record 6: its ratio is', found" 'and damage that is not refused'

take nanogpt_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of nanoGPT'
wrong 'is(v.ratio_step, 2,' 'is(v.ratio_step, 2.5,' "the median of the rounds' quotients" 'a wrong ratio is seen'
wrong 'ours 800' 'ours 80!' "found 'record 5: PyTorch" 'and damage that is not refused'

take looplm_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of LoopLM'
wrong 'is(v.decoding_same, 1,' 'is(v.decoding_same, 2,' 'the sixth differs with one seed: 1, not 2' 'a wrong count is seen'

take matmul_gpu_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of MatMul on the GPU'
wrong 'is(v.steps_falling, 1,' 'is(v.steps_falling, 0,' 'async store falls: 1, not 0' 'a wrong count is seen'
wrong 'measured = 1.125' 'measured = 1.126' 'its measured is 1.126, but' 'a median that its pairs do not give is refused'
wrong 'list\[13\].ratio = 2.1' 'list[13].ratio = 2' "expected 'record 12: its ratio is', found" 'and damage that is not refused'

take fmha_gpu_checks.lua
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of FMHA on the GPU'
wrong 'is(v.backward_geomean, 1.5,' 'is(v.backward_geomean, 1.6,' 'backward: 1.5, not 1.6' 'a wrong mean is seen'
wrong 'list\[3\].ratio = 2.1' 'list[3].ratio = 2' "expected 'record 2: its ratio is', found" 'and damage that is not refused'

checks=tests/report/fixtures/lib_checks.lua
recipe "$checks"
runs 0 "$SPAK" run "$scratch/recipe.lua" --report-only --out "$scratch/out"
check $? 'the same of what the recipes share'
wrong '{ 12 } }, "sweep sweep_2 sweep_3"' '{ 12 } }, "sweep sweep_2"' 'no gain is asked again: ' 'a wrong number of attempts is seen'
wrong '"dsl\/s.dsl:7: ' '"' 'a profile that is missing: dsl/s.dsl:7: engineering_loop has no block' 'and an error without its file'
done_testing
