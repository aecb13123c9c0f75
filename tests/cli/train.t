#!/bin/sh
# spak train, sample and eval: the way of a run from its configuration to text, and what goes wrong on it.
. tests/tap.sh
unset SPAK_DATA_MIRROR
out=$scratch/out

cat >"$scratch/text.lua" <<'END'
return { name = "small", task = { kind = "text", dataset = "names" }, steps = 30, batch = 4, warmup_steps = 5,
         model = { preset = "nanogpt-cpu", layers = 1, width = 32, hidden = 64, context = 16, dropout = 0.1 },
         validate_every = 10, checkpoint_every = 10, keep = 2 }
END
cat >"$scratch/sums.lua" <<'END'
return { name = "sums", task = { kind = "addition", most_digits = 1 }, steps = 12, batch = 8, least_loops = 1,
         most_loops = 3, model = { preset = "looplm-12", loops = 3, width = 32, hidden = 64 }, validate_every = 0 }
END
train() { "$SPAK" train "$@" --threads 1; }

# --- from beginning to end ---
runs 0 train "$scratch/text.lua" --out "$out"
check $? 'a run ends'
says 'small: [0-9]* parameters, 4 x 16 tokens a step, 30 steps'
check $? 'and begins with its plan'
says 'step 20: validation loss [0-9.]*$' && says 'step 30: validation loss'
check $? 'it validates on the way and at its end'
is "$(ls "$out/small")" 'ckpt-00000020.safetensors
ckpt-00000030.safetensors' 'as many checkpoints as were to be kept'
runs 0 "$SPAK" trace verify "$out/small.jsonl"
check $? 'its trace is sound'
is "$(sed 's/.*"kind":"\([a-z]*\)".*/\1/' "$out/small.jsonl" | tr '\n' ' ')" \
    'run evaluate converge evaluate converge evaluate converge evaluate end ' 'with the run, its losses, evaluations and end'
losses() { sed -n 's/.*"kind":"converge","loops":[^]]*\],"loss":\[\([^]]*\)\].*/\1/p' "$1" | tr '\n' ','; }
is "$(losses "$out/small.jsonl" | tr ',' '\n' | grep -c .)" 30 'the loss of every step'
runs 0 grep -q '"config_file":{"path":".*text.lua","sha256":"'"$(sha256sum <"$scratch/text.lua" | cut -c1-64)"'"}' "$out/small.jsonl"
check $? 'and the hash of the configuration'
runs 1 train "$scratch/text.lua" --out "$out"
says 'ckpt-00000030.safetensors is there already; go on with it by --resume' && [ "$(ls "$out/small" | wc -l)" -eq 2 ]
check $? 'a second run does not write over the first'

# --- stopped and gone on ---
runs 0 train "$scratch/text.lua" --out "$scratch/parts" --steps 17
check $? 'a run that ends early'
runs 0 train "$scratch/text.lua" --out "$scratch/parts" --resume
says 'goes on from .*ckpt-00000017.safetensors'
check $? 'goes on'
is "$(losses "$scratch/parts/small.jsonl")" "$(losses "$out/small.jsonl")" 'with the same losses'
cmp "$out/small/ckpt-00000030.safetensors" "$scratch/parts/small/ckpt-00000030.safetensors" >"$scratch/log" 2>&1
check $? 'to the same parameters'
sed 's/batch = 4/batch = 5/' "$scratch/text.lua" >"$scratch/other.lua"
runs 1 train "$scratch/other.lua" --out "$scratch/parts" --resume
says 'ckpt-00000030.safetensors: made by a run with another `batch`: 4 there, 5 here'
check $? 'but not with another configuration'
runs 0 train "$scratch/text.lua" --out "$scratch/none" --steps 1 --resume
says 'holds no checkpoint: begins at step 0'
check $? 'with nothing to go on from it begins'

sed 's/hidden = 64/hidden = 32/' "$scratch/text.lua" >"$scratch/other.lua"
runs 1 train "$scratch/other.lua" --out "$scratch/parts" --resume
says 'ckpt-00000030.safetensors: .* has `hidden` 64, the model.s has 32'
check $? 'another model is named by its member'

# --- damaged ---
damage() { printf damaged | dd of="$1" bs=1 seek=9000 conv=notrunc 2>/dev/null; }
mkdir "$scratch/hurt" && cp -r "$scratch/parts/small" "$scratch/hurt/small" && damage "$scratch/hurt/small/ckpt-00000030.safetensors"
runs 0 "$SPAK" sample "$scratch/hurt/small" --tokens 5
says 'passed over a damaged checkpoint: .*ckpt-00000030'
check $? 'sample says that it takes an older checkpoint'
runs 0 "$SPAK" eval "$scratch/hurt/small"
says 'passed over a damaged checkpoint: .*ckpt-00000030' && says 'ckpt-00000020.safetensors, 20 steps'
check $? 'and so does eval'
for file in "$scratch/hurt/small"/*; do damage "$file"; done
hashes() { (cd "$scratch/hurt/small" && sha256sum *); }
before=$(hashes)
for resume in '' --resume; do
    runs 1 train "$scratch/text.lua" --out "$scratch/hurt" $resume
    says 'hurt/small holds checkpoints, and none can be read; move them away, .*ckpt-00000030' && [ "$(hashes)" = "$before" ]
    check $? "a run whose checkpoints are all damaged is not written over ${resume:-without --resume}"
done
runs 1 "$SPAK" sample "$scratch/hurt/small"
says 'holds checkpoints, and none can be read'
check $? 'nor sampled from'
rm "$scratch/hurt/small"/* && ln -s nowhere "$scratch/hurt/small/ckpt-00000030.safetensors"
runs 1 train "$scratch/text.lua" --out "$scratch/hurt"
says 'ckpt-00000030.safetensors: cannot open' && [ "$(ls "$scratch/hurt/small")" = ckpt-00000030.safetensors ]
check $? 'nor is one whose checkpoint cannot be opened'

# --- interrupted ---
sed 's/steps = 30/steps = 1000000/' "$scratch/text.lua" >"$scratch/endless.lua"
for signal in INT TERM HUP; do
    "$SPAK" train "$scratch/endless.lua" --out "$scratch/$signal" --threads 1 >"$scratch/said" 2>&1 &
    pid=$!
    while [ ! -e "$scratch/$signal/small" ] && kill -0 $pid 2>/dev/null; do sleep 0.1; done
    kill -$signal $pid 2>/dev/null
    wait $pid
    is $? 1 "interrupted by SIG$signal it ends"
    cp "$scratch/said" "$scratch/log"
    says "spak train .*endless.lua --resume --out $scratch/$signal --threads 1"
    check $? 'saying how to go on'
    step=$(sed -n 's/^interrupted after step \([0-9]*\);.*/\1/p' "$scratch/said")
    [ -e "$scratch/$signal/small/ckpt-$(printf '%08d' "${step:-0}").safetensors" ] && runs 0 "$SPAK" trace verify "$scratch/$signal/small.jsonl"
    check $? 'with its checkpoint and a sound trace'
done

mkfifo "$scratch/pipe"
"$SPAK" train "$scratch/text.lua" --out "$scratch/unread" --threads 1 >"$scratch/pipe" 2>/dev/null &
pid=$!
head -n 1 "$scratch/pipe" >/dev/null
wait $pid
runs 0 grep -q '"status":"complete"' "$scratch/unread/small.jsonl"
check $? 'a reader of its output that goes away does not end it'

# --- what comes of it ---
runs 0 "$SPAK" sample "$out/small" --tokens 40 --prompt ann --temperature 1
[ "$(wc -c <"$scratch/log")" -eq 44 ] && says '^ann'
check $? 'text: the prompt, and as many characters as were wanted'
cp "$scratch/log" "$scratch/first"
"$SPAK" sample "$out/small" --tokens 40 --prompt ann --temperature 1 --no-cache >"$scratch/log" 2>&1
cmp "$scratch/log" "$scratch/first" >/dev/null
check $? 'without the cache the same'
"$SPAK" sample "$out/small" --tokens 40 --prompt ann --temperature 1 --seed 2 >"$scratch/log" 2>&1
! cmp "$scratch/log" "$scratch/first" >/dev/null
check $? 'with another seed another'
runs 0 "$SPAK" eval "$out/small"
is "$(sed -n 's/^validation loss \([0-9.]*\) .*/\1/p' "$scratch/log")" \
    "$(sed -n 's/.*"final":true.*"validation_loss":\([0-9.]*\)}/\1/p' "$out/small.jsonl" | awk '{ printf "%.4f", $1 }')" 'eval gives the loss that the run ended with'
runs 0 train "$scratch/sums.lua" --out "$out"
check $? 'additions'
runs 0 "$SPAK" sample "$out/sums" --prompt 3+4=
says '^3+4=' && says '^3 + 4 = .*, which is [rw]'
check $? 'a sum is asked for, and judged'
for seed in $(seq 120); do # nearly every token as likely as every other
    "$SPAK" sample "$out/sums" --prompt 1+0= --temperature 1000 --seed "$seed" --threads 1 | tr '\n' ' '
    echo
done >"$scratch/drawn"
grep -q '^1+0=[0-9]* .*is right' "$scratch/drawn" && grep -q '^1+0=[0-9]*[^0-9 ]' "$scratch/drawn" &&
    ! grep '^1+0=[0-9]*[^0-9 ].*is right' "$scratch/drawn"
check $? 'an answer with other tokens than digits is wrong, whatever its digits are'
nines=$(printf '%0128d' 0 | tr 0 9)
runs 0 "$SPAK" sample "$out/sums" --prompt "$nines+1="
says "wrong: it is 1$(echo "$nines" | tr 9 0)\$" || says "= nothing, which is wrong"
check $? 'also of 128 digits'
runs 0 "$SPAK" eval "$out/sums" --digits 1-2 --loops 1,3 --problems 30
says '^     1       1 .* of 27 .* %' && says '^     2       3 .* of 30 .* %'
check $? 'exact match for each length and number of loops'
runs 0 "$SPAK" eval "$out/sums" --digits 2 --problems 30 --halting 0.01
says '^     2    1.00 .* of 30 '
check $? 'a low threshold halts after one loop'
one=$(awk '$1 == 2 { print $3 }' "$scratch/log")
"$SPAK" eval "$out/sums" --digits 2 --problems 30 --loops 1 >"$scratch/log" 2>&1
is "$(awk '$1 == 2 { print $3 }' "$scratch/log")" "$one" 'and is as often right as one loop'

# --- what goes wrong ---
for wrong in '' '--out' 'a.lua b.lua' 'a.lua --steps x' 'a.lua --device gpu' 'a.lua --fast'; do
    runs 2 "$SPAK" train $wrong
    check $? "usage: train $wrong"
done
says 'spak: --fast: no such option'
check $? 'which names the argument'
runs 2 "$SPAK" train "$scratch/text.lua" --threads 257
says 'spak: --threads: expected 0 to 256'
check $? 'and what was expected'
runs 2 "$SPAK" sample
check $? 'usage: sample'
runs 2 "$SPAK" sample x --temperature hot
says 'spak: --temperature: expected a number from 0 to 1000'
check $? 'usage: sample x --temperature hot'
runs 2 "$SPAK" sample x --prompt ''
says 'spak: --prompt: .*no value'
check $? 'usage: sample x --prompt ""'
runs 2 "$SPAK" eval x --digits 0
says 'spak: --digits: expected'
check $? 'usage: eval x --digits 0'
runs 0 "$SPAK" eval "$out/small" --threads 0
check $? 'eval --threads 0: one for each core'
runs 2 "$SPAK" eval x --halting 2
check $? 'usage: eval x --halting 2'
bad() { # bad LUA PATTERN DESCRIPTION
    printf '%s\n' "$1" >"$scratch/bad.lua"
    runs 1 train "$scratch/bad.lua" --out "$scratch/bad"
    says "$2"
    check $? "$3"
}
bad 'return 5' 'bad.lua: expected it to return a table' 'no table'
bad 'return {' 'bad.lua:2: ' 'no Lua'
bad 'return { name = "a/b" }' 'bad.lua: name: expected' 'a name that is a path'
bad 'return { name = "a", task = { kind = "addition" }, model = { preset = "looplm-12" }, keep = 0 }' 'bad.lua: keep: expected' 'keeping none'
bad 'return { name = "a", task = { kind = "addition" }, model = { preset = "looplm-12" }, stepz = 9 }' 'bad.lua: stepz' 'an unknown member'
bad 'return { name = "a\0b", task = { kind = "addition" }, model = { preset = "looplm-12" } }' 'bad.lua: name: expected' 'a name with a NUL'
bad 'return { name = "a", task = { kind = "addition" }, model = { preset = "looplm-12" }, beta1 = 1 }' 'bad.lua: beta1: expected' 'a mean that forgets nothing'
bad 'return { name = "a", task = { kind = "text", dataset = "novels" }, model = { preset = "nanogpt-cpu" } }' "no data set 'novels'" 'no such data set'
[ ! -e "$scratch/bad" ]
check $? 'and nothing was written'
mkdir "$scratch/mirror" && echo other >"$scratch/mirror/names.txt"
SPAK_DATA_MIRROR=$scratch/mirror runs 1 train "$scratch/text.lua" --out "$scratch/bad"
says 'names.txt: expected 228145 bytes, found 6'
check $? 'another file in the place of the data'
runs 1 train "$scratch/none.lua"
says 'none.lua'
check $? 'no configuration'
: >"$scratch/file"
runs 1 train "$scratch/text.lua" --out "$scratch/file"
says "$scratch/file"
check $? 'a folder that cannot be made'
runs 1 "$SPAK" sample "$out/small" --prompt 'A1'
says 'prompt'
check $? 'a prompt of other characters'
runs 1 "$SPAK" sample "$out/sums" --prompt '3+4'
says 'expected a problem such as "321+654="'
check $? 'a prompt that is no problem'
runs 1 "$SPAK" eval "$scratch/mirror"
says 'mirror: this folder holds no checkpoint'
check $? 'a folder without checkpoints'
head -c 5000 "$out/small/ckpt-00000030.safetensors" >"$scratch/cut.safetensors"
runs 1 "$SPAK" eval "$scratch/cut.safetensors"
says 'cut.safetensors'
check $? 'half a checkpoint'
done_testing
