#!/bin/sh
# A reproduction that is killed (kill -9, make and all that it started) at twenty random moments and started again ends
# with the verdicts of one that was left alone, and no trace fails verification at any time. A second run is quick.
#
# KILLS and REPRODUCE (a command that takes OUT=folder) may be set; SEED repeats the moments of an earlier run.
. tests/tap.sh
unset MAKEFLAGS MFLAGS MAKELEVEL V
SPAK=${SPAK:-build/spak}
kills=${KILLS:-20}
seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"
command=${REPRODUCE:-make -s reproduce PROFILE=smoke}
reproduce() { $command OUT="$1" >"$scratch/log" 2>&1 </dev/null; }

# In a group of its own, so that all of it can be killed at once.
apart() { exec setsid $command OUT="$1" >"$scratch/log" 2>&1 </dev/null; }

verdicts() { tr -d '\n' <"$1/verdicts.json" | grep -o '"\(id\|verdict\)": *"[^"]*"' | tr -d ' '; }

# broken FOLDER: the traces that do not verify
broken() {
    for trace in "$1"/traces/*.jsonl; do
        [ ! -e "$trace" ] || "$SPAK" trace verify "$trace" >/dev/null 2>&1 || echo "$trace"
    done
}

begun=$(date +%s)
reproduce "$scratch/whole"
check $? 'a reproduction that is left alone ends well'
took=$(($(date +%s) - begun))
[ -n "$(verdicts "$scratch/whole")" ] && [ "$took" -lt 600 ]
check $? "it gives verdicts within ten minutes ($took s)"
begun=$(date +%s)
reproduce "$scratch/whole"
status=$?
again=$(($(date +%s) - begun))
[ $status -eq 0 ] && [ "$again" -le 30 ]
check $? "a second run ends within 30 s ($again s)"

# Moments between 0 and a fifth of the whole time: twenty of them reach into every part of it.
bad=
landed=0
for moment in $(awk -v seed="$seed" -v kills="$kills" -v span="$((took / 5 + 1))" \
    'BEGIN { srand(seed); for (i = 0; i < kills; i++) printf "%.2f\n", 0.05 + rand() * span }'); do
    apart "$scratch/cut" &
    group=$!
    sleep "$moment"
    kill -s KILL -- "-$group" 2>/dev/null && landed=$((landed + 1))
    wait "$group" 2>/dev/null
    bad="$bad$(broken "$scratch/cut")"
done
is "$bad" '' "$landed of $kills kills found it at work; every trace verified after each"
[ "$landed" -gt 0 ]
check $? 'at least one kill found it at work'
reproduce "$scratch/cut"
check $? 'started again, it ends well'
is "$(broken "$scratch/cut")" '' 'its traces verify'

# A verdict rests on measurements, and those of two runs are never the same: on a busy machine two runs that are left
# alone may disagree. What must hold is that killing loses nothing: the claim with an experiment has a verdict of its own,
# nothing is stale, and the trace, reported on afresh, gives the very verdicts that stand. A disagreement is shown.
verdicts "$scratch/cut" | grep -q -e REPRODUCED -e DIFFERS
check $? 'with a verdict on what was measured'
is "$(verdicts "$scratch/cut" | grep STALE)" '' 'and nothing stale'
stood=$(verdicts "$scratch/cut")
rm -rf "$scratch/cut/values" "$scratch/cut/figures" "$scratch/cut/tables" "$scratch/cut/verdicts.json"
reproduce "$scratch/cut"
is "$(verdicts "$scratch/cut")" "$stood" 'reported on afresh, its trace gives the same verdicts'
if [ "$stood" != "$(verdicts "$scratch/whole")" ]; then
    echo '# two measurements disagree:'
    verdicts "$scratch/whole" >"$scratch/a"
    verdicts "$scratch/cut" | diff "$scratch/a" - | sed 's/^/# /'
fi
left=$(find "$scratch/cut" -name '*.spak-tmp-*')
is "$left" '' 'and leaves no half-written file'
done_testing
