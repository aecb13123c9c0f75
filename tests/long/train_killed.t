#!/bin/sh
# A training run that is killed again and again, at any moment, goes on each time from a whole checkpoint and comes to
# the same parameters as one that was left alone.
. tests/tap.sh
unset SPAK_DATA_MIRROR
cat >"$scratch/small.lua" <<'END'
return { name = "small", task = { kind = "text", dataset = "names" }, steps = 1500, batch = 4, warmup_steps = 5,
         model = { preset = "nanogpt-cpu", layers = 1, width = 32, hidden = 64, context = 16, dropout = 0.1 },
         validate_every = 0, checkpoint_every = 3, keep = 2 }
END
runs 0 "$SPAK" train "$scratch/small.lua" --out "$scratch/whole" --threads 1
check $? 'a run that is left alone'

killed=0 damaged=0 unsound=0
while [ $killed -lt 40 ]; do
    "$SPAK" train "$scratch/small.lua" --out "$scratch/killed" --threads 1 --resume >"$scratch/said" 2>&1 &
    pid=$!
    sleep "0.$(awk -v n=$killed 'BEGIN { printf "%03d", 30 + n * 137 % 300 }')"
    kill -9 $pid 2>/dev/null || break
    wait $pid 2>/dev/null
    killed=$((killed + 1))
    grep -q 'damaged' "$scratch/said" && damaged=$((damaged + 1))
    [ -e "$scratch/killed/small.jsonl" ] && ! "$SPAK" trace verify "$scratch/killed/small.jsonl" >"$scratch/log" 2>&1 && unsound=$((unsound + 1))
done
[ $killed -ge 5 ]
check $? "it is killed $killed times"
is $damaged 0 'and no checkpoint is found damaged'
is $unsound 0 'nor a trace, but for a last line that was cut'
runs 0 "$SPAK" train "$scratch/small.lua" --out "$scratch/killed" --threads 1 --resume
check $? 'then it is left to end'
newest=ckpt-00001500.safetensors
cmp "$scratch/whole/small/$newest" "$scratch/killed/small/$newest" >"$scratch/log" 2>&1
check $? 'with the same parameters and moments, bit for bit'
is "$(ls -A "$scratch/killed/small" | grep -c -v '^ckpt-')" 0 'and nothing half-written beside them'
done_testing
