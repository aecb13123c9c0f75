#!/bin/sh
# A reproduction that is killed (kill -9, make and all that it started) at twenty random moments and started again ends
# with the verdicts of one that was left alone, and no trace fails verification at any time. A second run is quick.
#
# The experiments are those that measure kernels: their verdicts rest on many short trials. A training run that is killed
# has a test of its own (train_killed.t). KILLS and REPRODUCE (a command that takes OUT=folder) may be set; SEED repeats
# the moments of an earlier run.
. tests/tap.sh
unset MAKEFLAGS MFLAGS MAKELEVEL V
SPAK=${SPAK:-build/spak}
kills=${KILLS:-20}
seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"
export RECIPES='experiments/matmul.lua experiments/fmha.lua experiments/microgpt.lua'
command=${REPRODUCE:-make -s reproduce PROFILE=smoke}
reproduce() { $command OUT="$1" >"$scratch/log" 2>&1 </dev/null; }

# In a group of its own, so that all of it can be killed at once.
apart() { exec setsid $command OUT="$1" >"$scratch/log" 2>&1 </dev/null; }

# Claim and verdict, a line each, of what was evaluated here.
verdicts() { sed -n 's/^| \([A-Z][0-9]*\) | \([^|]*\) |.*| \([^|;]*[^|; ]\)[^|]*|$/\1 \2: \3/p' "$1/verdicts.md"; }

# Whether two threads were timed and neither side gained from the second one: another program had the core. Then there is
# no verdict about two threads to compare; one whose measurement was lost would have no such values.
alone() {
    tr -d '\n ' <"$1/values/matmul.json" | grep -o '"speedup_threads[a-z_]*":{[^}]*}' | sed 's/.*"value":\([0-9.]*\)}/\1/' |
        awk '$1 >= 1.2 { gained = 1 } END { exit !(NR == 2 && !gained) }'
}
same_verdicts() {
    verdicts "$scratch/whole" >"$scratch/a"
    verdicts "$scratch/cut" >"$scratch/b"
    if alone "$scratch/whole" || alone "$scratch/cut"; then
        echo '# no second core was free: verdicts about two threads are not compared'
        sed -i '/two threads/d' "$scratch/a" "$scratch/b"
    fi
    cmp -s "$scratch/a" "$scratch/b"
}

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

# kill_often: kills the reproduction in the folder `cut` at moments between 0 and a fifth of the whole time: twenty of them
# reach into every part of it. Then it is started again and left alone.
kill_often() {
    for moment in $(awk -v seed="$1" -v kills="$kills" -v span="$((took / 5 + 1))" \
        'BEGIN { srand(seed); for (i = 0; i < kills; i++) printf "%.2f\n", 0.05 + rand() * span }'); do
        apart "$scratch/cut" &
        group=$!
        sleep "$moment"
        kill -s KILL -- "-$group" 2>/dev/null && landed=$((landed + 1))
        wait "$group" 2>/dev/null
        bad="$bad$(broken "$scratch/cut")"
    done
    reproduce "$scratch/cut"
}

# A verdict rests on measurements. While another program takes a core now and then, two runs that are left alone can
# disagree: then both are made anew, twice at most. What killing does to a verdict it would do each time.
bad=
landed=0
for round in 1 2 3; do
    rm -rf "$scratch/cut"
    kill_often "$seed$round"
    status=$?
    same_verdicts && break
    echo "# round $round: the verdicts differ:"
    diff "$scratch/a" "$scratch/b" | sed 's/^/# /'
    [ "$round" -lt 3 ] && rm -rf "$scratch/whole" && reproduce "$scratch/whole"
done
is "$bad" '' "every trace verified after each of the kills ($landed found it at work)"
[ "$landed" -gt 0 ]
check $? 'at least one kill found it at work'
check $status 'started again, it ends well'
is "$(broken "$scratch/cut")" '' 'its traces verify'
is "$(cat "$scratch/b")" "$(cat "$scratch/a")" 'with the verdicts of a run that was left alone'
left=$(find "$scratch/cut" -name '*.spak-tmp-*')
is "$left" '' 'and leaves no half-written file'
done_testing
