#!/bin/sh
# spak export: what sample and eval make of the folder is what they make of the run, and what may stop the way there.
. tests/tap.sh
unset SPAK_DATA_MIRROR
out=$scratch/out

config() { # config NAME MEMBERS
    cat <<LUA
return { name = "$1", task = { kind = "text", dataset = "names" }, steps = 2, batch = 4, warmup_steps = 1, rate = 0.01,
         model = { preset = "nanogpt-cpu", layers = 2, width = 32, hidden = 64, context = 16, $2 }, validate_every = 0 }
LUA
}
train() { # train NAME MEMBERS
    config "$1" "$2" >"$scratch/$1.lua"
    runs 0 "$SPAK" train "$scratch/$1.lua" --out "$out" --threads 1
}
export_() { runs "$1" "$SPAK" export "$2" "$3"; }
text() { "$SPAK" sample "$1" --tokens 60 --prompt ann --temperature "$2" --threads 1 2>&1; }

# --- there and back ---
train plain 'dropout = 0.1' && export_ 0 "$out/plain" "$scratch/plain"
check $? 'a run is exported'
chars=$(grep -o '[0-9][0-9]*' "$scratch/plain/chars.json" | wc -l)
says "plain: the [0-9]* parameters of $out/plain/ckpt-00000002.safetensors" && says "plain/chars.json: the $chars characters"
check $? 'and what went where is said'
is "$(ls -A "$scratch/plain" | tr '\n' ' ')" 'chars.json config.json model.safetensors ' 'as a folder of three files'
is "$(ls -d "$scratch"/plain*)" "$scratch/plain
$scratch/plain.lua" 'and nothing beside it'
runs 0 grep -q '"architectures":\["GPT2LMHeadModel"\]' "$scratch/plain/config.json"
check $? 'which say what they are'
for temperature in 0 1; do
    is "$(text "$scratch/plain" $temperature)" "$(text "$out/plain" $temperature)" "the same text at temperature $temperature"
done
is "$(text "$scratch/plain" 1 | wc -c)" 64 'of the prompt, as many characters as were wanted, and a new line'
export_ 0 "$out/plain/ckpt-00000002.safetensors" "$scratch/file/" && runs 0 diff -r "$scratch/plain" "$scratch/file"
check $? 'a checkpoint gives the same bytes as its run'
train wide 'bias = true, tied = false, act = "relu", norm_eps = 0.001' && export_ 0 "$out/wide" "$scratch/wide" &&
    [ "$(text "$scratch/wide" 1)" = "$(text "$out/wide" 1)" ]
check $? 'the same with biases, a head of its own, ReLU and another epsilon'
printf 'anna\nbob\n' >"$scratch/names.txt"
runs 0 "$SPAK" eval "$scratch/plain" --text "$scratch/names.txt" --threads 1
says 'loss [0-9.]* nats a token .* over 8 tokens'
check $? 'eval takes a text for it'
printf 'anna\nBob\n' >"$scratch/names.txt"
runs 1 "$SPAK" eval "$scratch/plain" --text "$scratch/names.txt"
says "names.txt:2:1: the byte 'B' .* is not in the vocabulary"
check $? 'of its characters only'

# --- faults in the folder ---
hurt() { rm -rf "$scratch/hurt" && cp -r "$scratch/plain" "$scratch/hurt" && sed -i "$1" "$scratch/hurt/chars.json"; }
hurt 's/,122\]/,123]/'
[ "$(text "$scratch/hurt" 1)" != "$(text "$out/plain" 1)" ]
check $? 'another character gives another text'
hurt 's/,122\]/,122,123]/'
runs 1 "$SPAK" sample "$scratch/hurt"
says "hurt/chars.json: $((chars + 1)) tokens, but the model beside it has $chars"
check $? 'one too many is refused'
hurt 's/characters/words/'
runs 1 "$SPAK" sample "$scratch/hurt"
says 'hurt/chars.json: .*expected the kind "characters", found "words"'
check $? 'and so are tokens of another kind'
hurt 's/.*/{/'
runs 1 "$SPAK" sample "$scratch/hurt"
says 'hurt/chars.json:[0-9]*:[0-9]*: not valid JSON'
check $? 'and what is no JSON'
rm "$scratch/hurt/chars.json"
runs 1 "$SPAK" sample "$scratch/hurt"
says 'hurt/vocab.json'
check $? 'without characters a vocabulary is looked for'
hurt 's/x/x/' && printf damaged | dd of="$scratch/hurt/model.safetensors" bs=1 seek=9000 conv=notrunc 2>/dev/null
[ "$(text "$scratch/hurt" 1)" != "$(text "$out/plain" 1)" ]
check $? 'other parameters give another text'

# --- no GPT-2 ---
refused() { # refused MEMBER MEMBERS
    train "no_$1" "$2" && export_ 1 "$out/no_$1" "$scratch/no" &&
        says "no_$1/ckpt-.*no GPT-2, .* its member .$1. is another" && [ -z "$(ls -d "$scratch"/no "$scratch"/no.* 2>/dev/null)" ]
    check $? "a model with another \`$1\` is refused"
}
refused positions 'positions = "rope"'
refused norm 'norm = "rmsnorm", bias = false'
refused loops 'loops = 2'
refused act 'act = "swiglu", bias = false'
refused kv_heads 'kv_heads = 2'
cat >"$scratch/sums.lua" <<'LUA'
return { name = "sums", task = { kind = "addition", most_digits = 1 }, steps = 1, batch = 8, least_loops = 1,
         most_loops = 1, model = { preset = "looplm-12", loops = 1, width = 32, hidden = 64 }, validate_every = 0 }
LUA
runs 0 "$SPAK" train "$scratch/sums.lua" --out "$out" --threads 1 && export_ 1 "$out/sums" "$scratch/no"
says 'sums/ckpt-.* a model of additions; only models of text'
check $? 'so is one of additions'
export_ 1 "$scratch/plain" "$scratch/no"
says 'plain: this is the form of transformers already'
check $? 'and what was exported already'
export_ 1 "$scratch/mirror" "$scratch/no"
says 'mirror'
check $? 'and what is not there'
head -c 5000 "$out/plain/ckpt-00000002.safetensors" >"$scratch/cut.safetensors"
export_ 1 "$scratch/cut.safetensors" "$scratch/no"
says 'cut.safetensors' && [ ! -e "$scratch/no" ]
check $? 'and half a checkpoint'

# --- the place ---
for kept in kept .kept; do
    rm -rf "$scratch/full" && mkdir "$scratch/full" && echo mine >"$scratch/full/$kept"
    export_ 1 "$out/plain" "$scratch/full"
    says 'full: expected a new or empty folder, .* not empty' && [ "$(ls -A "$scratch/full")" = $kept ]
    check $? "a folder with the file $kept stays as it is"
done
mkdir "$scratch/empty" && ln -s empty "$scratch/link"
export_ 0 "$out/plain" "$scratch/link" && [ -L "$scratch/link" ] && runs 0 diff -r "$scratch/plain" "$scratch/empty"
check $? 'an empty one is filled, also through a link'
(mkdir "$scratch/cwd" && cd "$scratch/cwd" && case $SPAK in /*) ;; *) SPAK=$OLDPWD/$SPAK ;; esac && "$SPAK" export "$out/plain" here) >"$scratch/log" 2>&1 &&
    runs 0 diff -r "$scratch/plain" "$scratch/cwd/here"
check $? 'a name without a folder is one here'
export_ 1 "$out/plain" "$scratch/plain.lua"
says 'plain.lua: expected a new or empty folder, found a file' && [ -s "$scratch/plain.lua" ]
check $? 'a file is not written over'
ln -s nowhere "$scratch/dangling"
export_ 1 "$out/plain" "$scratch/dangling"
says 'dangling: cannot follow this link'
check $? 'nor is a link to nothing'
export_ 1 "$out/plain" "$scratch/plain.lua/below"
says 'plain.lua'
check $? 'nothing can be made below a file'
export_ 1 "$out/plain" /proc/spak-export
says '/proc/spak-export'
check $? 'nor where nobody may write'

# A limit on a file's size (in blocks of 512 bytes) is an error like a full disk.
runs 1 sh -c 'ulimit -f 8; exec "$0" export "$1" "$2"' "$SPAK" "$out/plain" "$scratch/small"
says 'model.safetensors: cannot write' && [ -z "$(ls -d "$scratch"/small* 2>/dev/null)" ]
check $? 'a full disk leaves nothing behind'
mkdir "$scratch/small"
runs 1 sh -c 'ulimit -f 8; exec "$0" export "$1" "$2"' "$SPAK" "$out/plain" "$scratch/small"
is "$(cd "$scratch" && find . -path './small*')" ./small 'and an empty folder as it was'
gone=$(sh -c 'echo $$')
mkdir "$scratch/again.spak-tmp-$gone" "$scratch/again.spak-tmp-$$" "$scratch/other.spak-tmp-$gone"
: >"$scratch/again.spak-tmp-$gone/model.safetensors"
export_ 0 "$out/plain" "$scratch/again"
is "$(cd "$scratch" && ls -d again* other*)" "again
again.spak-tmp-$$
other.spak-tmp-$gone" 'what a killed export left is removed, and nothing of anybody else'

# --- usage ---
for wrong in '' "$out/plain" 'a b c' 'a --fast' '-a b'; do
    runs 2 "$SPAK" export $wrong && says '^usage: spak export'
    check $? "usage: export $wrong"
done
runs 2 "$SPAK" export "$out/plain" ''
check $? 'usage: export RUN ""'
runs 0 "$SPAK" export --help && says '^usage: spak export'
check $? 'help'
done_testing
