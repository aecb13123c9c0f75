#!/bin/sh
# The Makefile: a second make does nothing, new flags and a touched header rebuild, every target explains itself.
# A small project of its own stands in for SPAK where something has to be built.
. tests/tap.sh
built=${B:-build}
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES B V SAN STATIC CC CFLAGS CPPFLAGS WERROR OUT PROFILE C PARTS LUA

make -s help >"$scratch/help"
missing=
for target in $(sed -n 's/^\.PHONY: //p' Makefile); do
    grep -q "^  make $target " "$scratch/help" || missing="$missing $target"
done
is "$missing" '' 'make help lists every target'
for target in all test test-long reproduce figures book claim bench status check clean; do
    grep -q "^  make $target " "$scratch/help" || missing="$missing $target"
done
is "$missing" '' 'and all that the plan names are there'
lines=$(wc -l <Makefile)
[ "$lines" -le 220 ]
check $? "the Makefile can be read at one sitting ($lines lines)"

if [ -x build/spak ] && [ "$built" = build ]; then
    is "$(make -n all 2>&1 | grep -c -v 'Nothing to be done')" 0 'the build is complete: make has nothing to do'
fi
runs 2 make -n claim && says 'which claim'
check $? 'make claim without a claim says what is wanted'
runs 0 make -n claim C=M1 && says 'claims --out out --claim M1'
check $? 'make claim C=M1 asks for one verdict'
make -n figures 2>&1 | grep -q -e '--profile'
is $? 1 'make figures runs no experiment'
runs 2 make -n LUA=lua-of-nowhere && says 'not installed: lua-of-nowhere. Type ./reproduce.sh install'
check $? 'a missing library is named, with what to type'
mkdir "$scratch/bin"
for tool in sh sed awk cksum uname cc; do
    at=$(command -v "$tool") && ln -s "$at" "$scratch/bin/$tool"
done
make=$(command -v make)
PATH=$scratch/bin runs 2 "$make" -n && says 'not installed: pkg-config'
check $? 'so is a missing pkg-config'
PATH=$scratch/bin runs 0 "$make" help
check $? 'help needs neither'

# The small project: one source file on the first floor, one command, one kernel for AVX2, one test.
here=$PWD
mkdir -p "$scratch/p/src/base" "$scratch/p/src/cli" "$scratch/p/kernels/toy" "$scratch/p/tests/base"
cp Makefile "$scratch/p/" && cp tests/tap.h tests/tap.sh "$scratch/p/tests/" && cd "$scratch/p" || exit 1
echo 'int base_answer(void);' >src/base/answer.h
printf '#include "base/answer.h"\nint base_answer(void) { return 42; }\n' >src/base/answer.c
printf '#include "base/answer.h"\nint main(void) { return base_answer() - 42; }\n' >src/cli/main.c
printf 'int toy(void);\nint toy(void) {\n#ifdef __AVX2__\n  return 2;\n#else\n  return 1;\n#endif\n}\n' >kernels/toy/toy_avx2.c
printf '#include "../tap.h"\n#include "base/answer.h"\nint main(void) { ok(base_answer() == 42, "it is"); return done_testing(); }\n' \
    >tests/base/test_answer.c
compiled() { make -n "$@" 2>&1 | grep -c '^echo .  CC'; }

runs 0 make -j2 && build/spak
check $? 'it builds and runs'
runs 0 make && says 'Nothing to be done'
check $? 'a second make does nothing'
is "$(compiled)" 0 'not even in a dry run'
is "$(compiled CFLAGS=-O1)" 3 'other flags would compile everything'
is "$(compiled)" 0 'and asking has changed nothing'
runs 0 make CFLAGS=-O1 && runs 0 make CFLAGS=-O1 && says 'Nothing to be done'
check $? 'with them built, there is nothing to do'
is "$(compiled)" 3 'the old flags would compile everything again'
runs 0 make CFLAGS=-O1 V=1 CPPFLAGS=-DX && says '^cc .*-DX .*-o build/obj/src/base/answer.o'
check $? 'V=1 shows the commands'
runs 0 make && touch src/base/answer.h
is "$(compiled)" 2 'a header rebuilds what includes it'
runs 0 make
is "$(make -n WERROR= 2>&1 | grep -c CC)" 0 '-Werror changes no code and rebuilds nothing'
rm kernels/toy/toy_avx2.c
runs 0 make && ar t build/libspak.a >"$scratch/log" && ! says toy
check $? 'a file that is gone leaves the library'
runs 0 make test && says 'Result: PASS'
check $? 'make test runs the test'
sed -i 's/== 42/== 43/' tests/base/test_answer.c
runs 2 make test && says 'Failed 1/1'
check $? 'and fails when it fails'
echo 'int f(void) { int *p = 0; return *p; }' >>src/base/answer.c
! runs 0 make
check $? 'a warning is an error (no prototype)'
runs 0 make WERROR=
check $? 'unless it is asked not to be'
cd "$here" || exit 1
done_testing
