#!/bin/sh
# spak run from end to end: complete, resumed after kill -9, put aside when an input changes, refused to a second writer.
SPAK=${SPAK:-build/spak}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
failed=0
check() { # check STATUS DESCRIPTION
  count=$((count + 1))
  if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
recipe=tests/cli/fixtures/tiny.lua
trace=$dir/out/traces/tiny.jsonl
records() { wc -l <"$trace"; }
run() { $SPAK run "$recipe" --out "$dir/out" >"$dir/log" 2>&1; }

echo "TAP version 13"
run; status=$?
check $status "a recipe runs"
[ $status -eq 0 ] || sed 's/^/# /' "$dir/log"
$SPAK trace verify "$trace" >/dev/null 2>&1; check $? "its trace verifies"
for file in tiny/guide.dsl tiny/ticket.dsl tiny/tiny_system_v2.dsl values/tiny.json tables/tiny.md tables/tiny.tex; do
  [ -s "$dir/out/$file" ]; check $? "it leaves $file"
done
$SPAK dsl check "$dir/out/tiny/tiny_system_v2.dsl" "$dir/out/tiny/guide.dsl" >/dev/null 2>&1
check $? "what it wrote is well-formed"
before=$(sha256sum "$trace")
run && grep -q 'up to date' "$dir/log"; check $? "a second run finds it complete"
[ "$before" = "$(sha256sum "$trace")" ]; check $? "and leaves the trace alone"

# From the finished trace alone, as from one that another machine made, the same next version comes out.
$SPAK crystallise tests/cli/fixtures/tiny_system_v1.dsl --trace "$trace" --to "$dir/again.dsl" >/dev/null
cmp -s "$dir/again.dsl" "$dir/out/tiny/tiny_system_v2.dsl"; check $? "crystallising the finished trace gives the same file"
# A report on half of it says so.
mkdir -p "$dir/halved/traces" && head -n -1 "$trace" >"$dir/halved/traces/tiny.jsonl"
$SPAK run "$recipe" --report-only --out "$dir/halved" >"$dir/log" 2>&1 && grep -q 'without the end of its run' "$dir/log"
check $? "a report on a trace without its end says so"
! $SPAK run "$recipe" --report-only --out "$dir/out" 2>&1 | grep -q 'without the end'
check $? "and on a whole one does not"

# Neither from half of it, nor for another system, nor over a file that somebody wrote.
refuses() { # WHAT WORDS SYSTEM TRACE TO
  $SPAK crystallise "$3" --trace "$4" --to "$5" >"$dir/log" 2>&1; [ $? -eq 1 ] && grep -q "$2" "$dir/log"; check $? "$1"
}
head -n -1 "$trace" >"$dir/half.jsonl"
refuses "a trace without its end" 'without the end of its run' tests/cli/fixtures/tiny_system_v1.dsl "$dir/half.jsonl" "$dir/no.dsl"
cp tests/cli/fixtures/tiny_system_v1.dsl "$dir/other_system_v1.dsl"
refuses "another system's trace" 'is a trace of ' "$dir/other_system_v1.dsl" "$trace" "$dir/no.dsl"
mkdir -p "$dir/own" && cp tests/cli/fixtures/tiny_system_v1.dsl "$dir/own/"
refuses "the system itself" 'is the system itself' "$dir/own/tiny_system_v1.dsl" "$trace" "$dir/own/tiny_system_v1.dsl"
echo mine >"$dir/own/mine.dsl"
refuses "what somebody wrote" 'is there already' "$dir/own/tiny_system_v1.dsl" "$trace" "$dir/own/mine.dsl"
cmp -s tests/cli/fixtures/tiny_system_v1.dsl "$dir/own/tiny_system_v1.dsl" && [ "$(cat "$dir/own/mine.dsl")" = mine ] && [ ! -e "$dir/no.dsl" ]; check $? "and nothing is written"

# A misspelt member of a call would measure something else under the name of what was meant.
for call in 'evaluate { label = "x", confg = {}, problem = {} }' 'evaluate { label = "x", problem = {}, options = "all" }' \
  'tune { label = "x", problem = {}, max_trials = -5 }' 'engine { label = "x", script = "y", sampels = 2, problem = {} }' \
  'program { label = "x", command = { "true" }, optinal = true }'; do
  mkdir -p "$dir/wrong" && sed "s/^\\( *\\)run:plan()/\\1run:$call/; s/name = \"tiny\"/name = \"wrong\"/" "$recipe" >"$dir/wrong/wrong.lua"
  ! $SPAK run "$dir/wrong/wrong.lua" --out "$dir/wrong/out" >"$dir/log" 2>&1 && grep -q 'run: [a-z]*\.[a-z_]*: ' "$dir/log"
  check $? "refused: run:$call"
done

# Killed at some moment, again and again, it ends with the same trials and a trace that verifies.
rm -rf "$dir/out"
broken=0
for i in 1 2 3 4 5 6; do
  $SPAK run "$recipe" --out "$dir/out" >/dev/null 2>&1 & pid=$!
  sleep "0.$i"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ ! -e "$trace" ] || $SPAK trace verify "$trace" >/dev/null 2>&1 || broken=1
done
check $broken "after each kill -9 the trace verifies"
run; check $? "the run after the last kill ends well"
$SPAK trace verify "$trace" >/dev/null 2>&1; check $? "and its trace verifies"
[ "$(grep -c '"label":"ladder"[^}]*' "$trace")" -ge 15 ]; check $? "and holds every rung"
asked=$(grep '"kind":"evaluate"' "$trace" | sed 's/.*"asked":\({[^}]*}\).*"problem":\({[^}]*}\).*/\1\2/' | sort | uniq -d | wc -l)
check "$asked" "and no rung was measured twice"

# An input that changed starts a new trace and keeps the old one.
mkdir "$dir/moved"
sed 's/any_order/another_name/' tests/cli/fixtures/tiny_system_v1.dsl >"$dir/moved/tiny_system_v1.dsl"
sed "s|tests/cli/fixtures/tiny_system_v1.dsl|$dir/moved/tiny_system_v1.dsl|" "$recipe" >"$dir/moved/tiny.lua"
$SPAK run "$dir/moved/tiny.lua" --out "$dir/out" >"$dir/log" 2>&1; check $? "a changed system is run anew"
ls "$dir"/out/traces/old/tiny.*.jsonl >/dev/null 2>&1; check $? "and the old trace is put aside, not lost"

# Two at a time: the second is refused and names the first.
rm -rf "$dir/out"
$SPAK run "$recipe" --out "$dir/out" >/dev/null 2>&1 & pid=$!
refused=1
for i in 1 2 3 4 5 6 7 8 9; do
  [ -e "$trace" ] || { sleep 0.1; continue; }
  $SPAK run "$recipe" --out "$dir/out" >"$dir/log" 2>&1 || { grep -q "$pid" "$dir/log" && refused=0; }
  break
done
wait $pid
check $refused "a second writer is refused, with the first one's process number"

# Bad calls.
$SPAK run >/dev/null 2>&1; [ $? -eq 2 ]; check $? "no recipe: usage, status 2"
$SPAK run nowhere.lua --out "$dir/x" >/dev/null 2>"$dir/log"; [ $? -eq 1 ] && grep -q nowhere.lua "$dir/log"
check $? "a missing recipe: status 1, and its name"
$SPAK run "$recipe" --profile huge --out "$dir/x" >/dev/null 2>"$dir/log"; [ $? -eq 1 ] && grep -q 'profile huge' "$dir/log"
check $? "an unknown profile: status 1, and its name"
echo 'return { name = "x" ' >"$dir/bad.lua"
$SPAK run "$dir/bad.lua" --out "$dir/x" >/dev/null 2>"$dir/log"; [ $? -eq 1 ] && grep -q 'bad.lua:' "$dir/log"
check $? "a recipe with a syntax error: status 1, file and line"
echo "1..$count"
exit $failed
