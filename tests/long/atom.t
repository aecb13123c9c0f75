#!/bin/sh
# A thousand steps of the atom, through a recipe, lose what the Python original loses and draw its twenty names; on the
# data set when it is here, else on its stand-in. The fixtures hold the original's losses to the last digit.
. tests/tap.sh
SPAK=${SPAK:-build/spak}
trace=$scratch/out/traces/atom.jsonl
begun=$(date +%s)
runs 0 "$SPAK" run tests/long/fixtures/atom.lua --experiment-only --out "$scratch/out"
check $? "the recipe runs ($(($(date +%s) - begun)) s)"
runs 0 "$SPAK" trace verify "$trace"
check $? 'its trace verifies'
record=$(grep '"engine":"Lua 5' "$trace")
origin=$(echo "$record" | grep -o '"origin":"[a-z]*"' | cut -d'"' -f4)
golden=tests/kernels/microgpt/fixtures/reference_$([ "$origin" = builtin ] && echo builtin || echo names).txt
echo "# data set: $origin"

# list KEY: the items of a list of the record, one a line
list() { echo "$record" | grep -o "\"$1\":\[[^]]*\]" | sed 's/^[^[]*\[//; s/\]$//; s/"//g' | tr ',' '\n'; }

# apart FILE FROM TO: the largest distance of FILE's losses from the golden ones, in steps FROM to TO
apart() { grep '^[0-9]' "$golden" | paste - "$1" | awk -v from="$2" -v to="$3" '
    NR >= from && NR <= to { d = $1 - $2; d = d < 0 ? -d : d; if (NF != 2 || d > most) most = NF == 2 ? d : 1e30 }
    END { printf "%.3g\n", NR == 1000 ? most : 1e30 }'; }
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

list losses >"$scratch/losses"
first=$(apart "$scratch/losses" 1 100)
all=$(apart "$scratch/losses" 1 1000)
below "$first" 1e-9
check $? "the first hundred losses are the original's ($first apart)"
below "$all" 1e-6
check $? "and so are all thousand ($all apart)"
is "$(list names)" "$(sed -n 's/^N //p' "$golden")" 'the twenty names too'
is "$(list step_ms | wc -l)" 1000 'each step has its time'
{ list time_ms; list step_ms; } | awk 'NR == 1 { mean = $1; next } { sum += $1 } END {
    printf "# %.1f s, %.1f ms a step\n", sum / 1000, mean; d = mean - sum / 1000; exit !(d < 1e-9 && d > -1e-9) }'
check $? 'and the time of a step is their mean'

# The comparison itself can fail.
sed '700s/.*/2.5/' "$scratch/losses" >"$scratch/wrong"
below "$(apart "$scratch/wrong" 1 1000)" 1e-6
[ $? -ne 0 ]
check $? 'a wrong loss is seen'
head -n 999 "$scratch/losses" >"$scratch/short"
below "$(apart "$scratch/short" 1 1000)" 1e-6
[ $? -ne 0 ]
check $? 'and a missing one'

before=$(cat "$trace" | cksum)
begun=$(date +%s)
runs 0 "$SPAK" run tests/long/fixtures/atom.lua --experiment-only --out "$scratch/out"
is "$? $(cat "$trace" | cksum) $([ $(($(date +%s) - begun)) -lt 10 ] && echo quick)" "0 $before quick" 'a second run adds nothing'
done_testing
