#!/bin/sh
# The house has the rooms that its plan draws, and no more; its files stay small enough to live in.
. tests/tap.sh
rooms='.ci .clang-format .editorconfig .gitignore CITATION.cff CONTRIBUTING.md LICENSE Makefile README.md chapters data dsl
experiments figures kernels paper reproduce.sh src tests'
plan=$(echo "$rooms" | tr -s ' \n' '\n\n' | sort)
top() { git ls-files 2>/dev/null | cut -d/ -f1 | grep . || ls -A | grep -v -x -e .git -e build -e out; }
is "$(top | sort -u)" "$plan" 'the top level is as drawn'

# A file over 700 lines wants to be two. Generated text and data are no code.
too_long() { find "$@" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.lua' -o -name '*.t' -o -name '*.sh' \) -exec awk '
    FNR == 700 { print FILENAME " has more than 700 lines" }' {} +; }
is "$(too_long src kernels experiments tests)" '' 'no source file over 700 lines'
mkdir "$scratch/src" && yes 'int x;' | head -n 701 >"$scratch/src/long.c"
is "$(too_long "$scratch/src")" "$scratch/src/long.c has more than 700 lines" 'and one would be seen'

for script in reproduce.sh .ci/run; do
    [ -x "$script" ]
    check $? "$script can be run"
done
idle=$(find tests -name '*.t' ! -perm -u+x)
is "$idle" '' 'every test script can be run'
done_testing
