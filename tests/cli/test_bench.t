#!/bin/sh
# The bench command as a user types it: the table, the records, refusals, wrong usage.
. tests/tap.sh
SPAK=${SPAK:-build/spak}

run() { "$SPAK" bench "$@" >"$scratch/log" 2>&1; status=$?; }
has() { grep -q -e "$1" "$scratch/log"; check $? "$2"; }
ends_with() { [ "$status" -eq "$1" ]; check $? "$2 (exit status $1)"; }

run; ends_with 2 "no operator"; has '^usage: spak bench' "shows the usage"
run sorting; ends_with 2 "an unknown operator"
run matmul --sizes 64,none; ends_with 2 "a size that is no number"
run matmul --isa sse9; ends_with 2 "an unknown instruction set"
run --help; ends_with 0 "help"; has 'samples interleaved' "tells what is measured"

run matmul --sizes 48,64 --threads 1 --samples 2
ends_with 0 "two sizes"
has '^ *size threads' "a header"
has '^ *48 ' "a row of the first size"
has '^ *64 ' "a row of the second"

run matmul --sizes 48 --threads 1 --samples 2 --isa portable --json --marker
ends_with 0 "a record"
has '^__SPAK_TRACE__ {.*"isa":"portable".*"kind":"measure".*"status":"ok"' "marked, of the portable kernels"

run matmul --sizes 48 --threads 1 --samples 2 --config '{"tile": "5x5"}'
ends_with 1 "a configuration that every row refuses"
has 'refused: axis tile' "says why"
has 'nothing was measured' "and that nothing was measured"
run matmul --sizes 48 --threads 1048576 --samples 2
ends_with 1 "more threads than there can be"
run matmul --sizes 48 --threads 1,1048576 --samples 2
ends_with 0 "a refused row among others is a result"
run matmul --sizes 48 --config '{"tile": '
ends_with 2 "a configuration that is no JSON"
has 'error: --config:1:[0-9]*: not valid JSON' "says where"
run matmul --sizes 48 --config '[]'
ends_with 2 "a configuration that is no object"
SPAK_ISA=avx1024 run matmul --sizes 48 --threads 1 --samples 2
ends_with 1 "SPAK_ISA with an unknown value"
has "SPAK_ISA: expected portable, avx2 or avx512, found 'avx1024'" "says what it may be"
SPAK_ISA=portable run matmul --sizes 48 --threads 1 --samples 2 --isa avx2
ends_with 1 "an instruction set that is not there"
unset SPAK_ISA

SPAK_OPENBLAS=none; export SPAK_OPENBLAS
run matmul --sizes 48 --threads 1 --samples 2
ends_with 0 "no peer is no error"
has 'no peer on this machine' "the table says so"
done_testing
