#!/bin/sh
# A whole reproduction, killed with kill -9 at twenty moments and started again each time: no trace ever fails to verify,
# nothing is measured twice, and it ends with a verdict on the claims it has experiments for.
SPAK=${SPAK:-build/spak}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
failed=0
check() { # check STATUS DESCRIPTION
  count=$((count + 1))
  if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
out=$dir/out
reproduce() { # one attempt, in a process group of its own so that all of it can be killed
  exec setsid sh -c "$SPAK run experiments/matmul.lua --out $out && $SPAK claims --out $out &&
    $SPAK weave --out $out chapters/*.md paper/paper.md" >"$dir/log" 2>&1
}
echo "TAP version 13"
damaged=0
finished=0
for i in $(seq 20); do
  reproduce & pid=$!
  sleep "$(awk -v i="$i" 'BEGIN { srand(i); printf "%.2f", 0.1 + 6 * rand() }')"
  kill -0 $pid 2>/dev/null || finished=$((finished + 1))
  kill -9 -$pid 2>/dev/null
  wait $pid 2>/dev/null
  for trace in "$out"/traces/*.jsonl; do
    [ -e "$trace" ] || continue
    $SPAK trace verify "$trace" >/dev/null 2>"$dir/why" || { damaged=1; sed 's/^/# /' "$dir/why"; }
  done
done
echo "# $finished of 20 attempts ended before they were killed"
check $damaged "after each of twenty kills every trace verifies"
(reproduce); status=$?
check $status "the attempt that is left alone ends well"
[ $status -eq 0 ] || sed 's/^/# /' "$dir/log"
$SPAK trace verify "$out"/traces/*.jsonl >/dev/null 2>&1; check $? "and its traces verify"
twice=$(grep '"kind":"evaluate"' "$out/traces/matmul.jsonl" |
  sed 's/.*"asked":\({[^}]*}\).*"label":\("[a-z]*"\).*"problem":\({[^}]*}\).*/\1\2\3/' | sort | uniq -d | wc -l)
check "$twice" "no rung of the ladder was measured twice"
ls "$out"/traces/old/* >/dev/null 2>&1; [ $? -ne 0 ]; check $? "no trace had to be put aside"
verdicts() { sed 's/"value":[^,}]*//g' "$out/verdicts.json" | tr ',' '\n' | grep '"verdict"'; }
before=$(verdicts)
[ -n "$before" ]; check $? "there are verdicts"
start=$(date +%s)
(reproduce); check $? "a second reproduction ends well"
took=$(($(date +%s) - start))
[ "$took" -le 30 ]; check $? "within 30 seconds (it took $took)"
[ "$before" = "$(verdicts)" ]; check $? "with the same verdicts"
leftovers=$(find "$out" -name '*.tmp-*' | wc -l)
echo "# $leftovers temporary files of killed processes are left"
echo "1..$count"
exit $failed
