#!/bin/sh
# A recipe's `inputs` name just those kernels of other operators that its own are built from, and of a model in src/nn all
# that it is built from. The compiler says which: the headers that it read (.d), and the objects whose symbols are used
# (nm), theirs in turn included.
. tests/tap.sh
built=${B:-build}

# One line a symbol that a kernel's object uses (U) or gives to others: OBJECT TYPE SYMBOL.
nm -A "$built"/obj/kernels/*/*.o "$built"/obj/src/nn/*.o | sed 's/:[0-9a-f ]* / /' | awk '$2 ~ /^[A-Z]$/' >"$scratch/symbols"

# Kernels outside the folder $1 that its files are built from, one a line.
needed() {
    awk -v own="/obj/$1/" '
        $2 == "U" { used[$1] = used[$1] " " $3; next }
        { given[$3] = $1 }
        END {
            for (object in used) if (index(object, own)) queue[++count] = object
            for (at = 1; at <= count; at++) {
                print queue[at]
                symbols = split(used[queue[at]], symbol, " ")
                for (i = 1; i <= symbols; i++) {
                    object = given[symbol[i]]
                    if (object != "" && !index(object, own) && !seen[object]++) queue[++count] = object
                }
            }
        }' "$scratch/symbols" | sed 's/\.o$/.d/' | xargs cat | sed 's/[\\:]/ /g' | tr ' ' '\n' | grep '^kernels/.*/' |
        grep -v "^$1/" | sort -u
}

# What the recipe $1 lists of kernels/.
listed() { grep -o '"kernels/[^"]*\.[ch]"' "$1" | tr -d '"' | sort -u; }

for folder in kernels/*/; do
    operator=$(basename "$folder")
    recipe=experiments/$operator.lua
    [ -e "$recipe" ] || continue
    needed "kernels/$operator" >"$scratch/needed"
    listed "$recipe" >"$scratch/listed"
    is "$(diff "$scratch/needed" "$scratch/listed")" '' "$recipe lists the kernels of others that $operator is built from"
done

needed src/nn >"$scratch/needed"
listed experiments/lib/models.lua >"$scratch/listed"
is "$(diff "$scratch/needed" "$scratch/listed")" '' 'experiments/lib/models.lua lists the kernels that the models are built from'
for recipe in $(grep -l '^ *system = "dsl/\(nanogpt\|looplm\)_' experiments/*.lua); do
    is "$(grep -c 'inputs = models\.with {' "$recipe")" 1 "$recipe takes that list"
done

# What the GPU's compiler reads is hashed too: each file that the .cu files of an operator, and those that its C names,
# include. The emulator's headers are the processor's.
device_needs() { # device_needs FOLDER RECIPE
    own=$(ls "$1"/*.cu)
    named=$(cat "$1"/*.c $(grep -o '"kernels/oracle/[^"]*\.c"' "$2" | tr -d '"') | grep -o '"kernels/[^"]*\.cu"' | tr -d '"')
    queue=$(for file in $own $named; do [ -e "$file" ] && echo "$file"; done | sort -u)
    all=
    while [ -n "$queue" ]; do
        all=$(printf '%s\n%s\n' "$all" "$queue" | sort -u)
        queue=$(for file in $queue; do sed -n 's,^#include "\(.*\)",kernels/\1,p' "$file"; done | grep -v '^kernels/emulate/' | sort -u |
            while read -r file; do [ ! -e "$file" ] || printf '%s\n' "$all" | grep -qx "$file" || echo "$file"; done)
    done
    printf '%s\n' "$all" | grep "^kernels/" | grep -v "^$1/"
}
device_listed() { grep -o '"kernels/[^"]*\.\(h\|cu\|cuh\)"' "$1" | tr -d '"' | sort -u; }
for folder in kernels/*/gpu; do
    recipe=experiments/$(basename "$(dirname "$folder")")_gpu.lua
    device_needs "$folder" "$recipe" >"$scratch/needed"
    device_listed "$recipe" >"$scratch/listed"
    is "$(comm -23 "$scratch/needed" "$scratch/listed")" '' "$recipe lists what its kernels include"
    is "$(comm -13 "$scratch/needed" "$scratch/listed" | grep 'cuh\?$')" '' 'and no kernel that they do not'
    sed 's,"kernels/ptx/hopper.cuh",,' "$recipe" >"$scratch/recipe.lua"
    device_listed "$scratch/recipe.lua" >"$scratch/listed"
    is "$(comm -23 "$scratch/needed" "$scratch/listed")" kernels/ptx/hopper.cuh 'one that is left out is missed'
done

# Each kind of slip is seen: a header left out, a file that is only linked left out, and one too many.
needed kernels/fmha >"$scratch/needed"
for gone in matmul/micro_tile.h matmul/goto.c; do
    sed "s,\"kernels/$gone\",," experiments/fmha.lua >"$scratch/recipe.lua"
    listed "$scratch/recipe.lua" >"$scratch/listed"
    is "$(comm -23 "$scratch/needed" "$scratch/listed")" "kernels/$gone" "$gone is missed where it is not listed"
done
sed 's,"kernels/matmul/goto.c",& "kernels/matmul/oracle.c",' experiments/fmha.lua >"$scratch/recipe.lua"
listed "$scratch/recipe.lua" >"$scratch/listed"
is "$(comm -13 "$scratch/needed" "$scratch/listed")" kernels/matmul/oracle.c 'and what is listed for nothing is seen'
done_testing
