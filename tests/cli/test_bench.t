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
ends_with 0 "a refused configuration is a result"
has 'refused: axis tile' "and says why"

SPAK_OPENBLAS=none; export SPAK_OPENBLAS
run matmul --sizes 48 --threads 1 --samples 2
ends_with 0 "no peer is no error"
has 'no peer on this machine' "the table says so"
done_testing
