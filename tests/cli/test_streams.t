#!/bin/sh
# Standard streams and empty values: output that is lost is reported, and a closed stream never becomes another file.
. tests/tap.sh
SPAK=${SPAK:-build/spak}
good=tests/dsl/fixtures/utf8.dsl

# full DESCRIPTION COMMAND...: fails with status 1 and the reason when the output cannot be written
full() {
    what=$1
    shift
    "$@" >/dev/full 2>"$scratch/log" </dev/null
    [ $? -eq 1 ] && says 'cannot write to standard output: ' && ! says 'out of memory'
    check $? "$what on a full disk"
}
if [ -c /dev/full ]; then
    full 'help' "$SPAK" help
    full 'dsl fmt' "$SPAK" dsl fmt $good
    full 'dsl json' "$SPAK" dsl json $good
    full 'dsl json --canonical' "$SPAK" dsl json --canonical $good
    full 'dsl check --help' "$SPAK" dsl --help
    full 'status' "$SPAK" status --out "$scratch/none"
    full 'claims' "$SPAK" claims --out "$scratch/none"
    full 'bench' "$SPAK" bench matmul --sizes 48 --threads 1 --samples 2
    full 'bench --json' "$SPAK" bench matmul --sizes 48 --threads 1 --samples 2 --json
    is "$(grep -c 'cannot write' "$scratch/log")" 1 'and says it once'
fi
runs 1 sh -c '"$0" help >&-' "$SPAK" && says 'cannot write to standard output'
check $? 'help with a closed output'
runs 0 sh -c '"$0" dsl check "$1" >&- 2>&-' "$SPAK" $good
check $? 'check prints nothing there, so a closed output is none of its business'

# With standard error closed the trace would be descriptor 2, and progress lines would land in it.
"$SPAK" run tests/cli/fixtures/tiny.lua --out "$scratch/out" --experiment-only >"$scratch/log" 2>&-
runs 0 "$SPAK" trace verify "$scratch/out/traces/tiny.jsonl"
check $? 'a run with a closed standard error leaves a trace that verifies'
"$SPAK" run tests/cli/fixtures/tiny.lua --out "$scratch/in" --experiment-only <&- >&- 2>&-
runs 0 "$SPAK" trace verify "$scratch/in/traces/tiny.jsonl"
check $? 'and so does one with all three closed'

# The limit on a file's size (in blocks of 512 bytes here) is an error like a full disk: the file is named, and what was
# written before stays.
runs 1 sh -c 'ulimit -f 8; exec "$0" run tests/cli/fixtures/tiny.lua --out "$1"' "$SPAK" "$scratch/small" &&
    says "small/.*cannot .*File too large"
check $? 'a file that may not grow is an error that names it'
runs 0 "$SPAK" trace verify "$scratch/small/traces/tiny.jsonl"
check $? 'its trace verifies'
runs 0 "$SPAK" run tests/cli/fixtures/tiny.lua --out "$scratch/small"
check $? 'and the run goes on once it may'

# empty COMMAND...: wrong usage
empty() {
    runs 2 "$SPAK" "$@" && says '^usage:'
    check $? "an empty value is wrong usage: $1 $2"
}
empty run --out '' tests/cli/fixtures/tiny.lua
empty run --profile '' tests/cli/fixtures/tiny.lua
for option in --out --name --to --profile; do empty plan $option '' tests/cli/fixtures/tiny_system_v1.dsl; done
empty claims --out ''
empty claims --claim ''
empty status --out ''
empty weave --out '' README.md
mkfifo "$scratch/pipe"
for command in 'trace verify' 'trace show' 'dsl check' 'weave --check-numbers' 'crystallise --to x'; do
    runs 1 timeout 20 "$SPAK" $command "$scratch/pipe" && says 'expected a regular file, found a pipe'
    check $? "$command does not wait for the writer of a pipe"
done
cat $good | "$SPAK" dsl check /dev/stdin >"$scratch/log" 2>&1
check $? '/dev/stdin may be a pipe'
cat "$scratch/in/traces/tiny.jsonl" | "$SPAK" trace verify /dev/stdin >"$scratch/log" 2>&1
check $? 'for traces too'
SPAK_ISA=sse9 runs 1 "$SPAK" status && says "SPAK_ISA: expected portable, avx2 or avx512, found 'sse9'"
check $? 'status refuses an unknown SPAK_ISA'
SPAK_OPENBLAS=$scratch/none.so runs 0 "$SPAK" status && says "peer .*SPAK_OPENBLAS.*$scratch/none.so: cannot open"
check $? 'status names the peer that cannot be loaded'
done_testing
