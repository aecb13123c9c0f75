#!/bin/sh
# The order of the floors holds, and a breach of it is caught: each kind is planted in a copy.
. tests/tap.sh
floors() { runs "$1" sh tests/house/floors.sh "$2"; }

floors 0 .
check $? 'no lower floor includes a higher one'

# plant FILE INCLUDE EXPECTED DESCRIPTION
plant() {
    rm -rf "$scratch/copy" && mkdir -p "$scratch/copy" && cp -R src "$scratch/copy/" && mkdir -p "$scratch/copy/kernels/toy"
    cp "$scratch/copy/src/base/err.h" "$scratch/copy/kernels/toy/toy.h"
    mkdir -p "$scratch/copy/$(dirname "$1")"
    printf '#include %s\n' "$2" >>"$scratch/copy/$1"
    { ! floors 0 "$scratch/copy"; } && says "^$1:[0-9]*: $3"
    check $? "$4"
}
plant src/base/str.c '"dsl/dsl.h"' 'base (floor 1) includes dsl (floor 2)' 'base may not include the DSL'
plant src/dsl/planted.c '"trace/trace.h"' 'dsl and trace share a floor' 'the DSL knows nothing of traces'
plant src/trace/planted.h '"dsl/dsl.h"' 'trace and dsl share a floor' 'nor a trace of the DSL'
plant src/device/planted.c '"loop/loop.h"' 'device (floor 3) includes loop' 'device may not include the loop'
plant src/loop/planted.c '"nn/model.h"' 'loop and nn share a floor' 'the loop knows nothing of models'
plant src/lua/planted.c ' "cli/cli.h"' 'lua (floor 5) includes cli' 'nothing includes the command line'
plant src/device/planted.c '"toy/toy.h"' 'device (floor 3) includes kernels' 'device may not include a kernel'
plant kernels/toy/toy.c '"dsl/dsl.h"' 'a kernel includes base, data, device and kernels only, not dsl' 'a kernel may not include the DSL'
plant kernels/toy/toy.cu '"loop/loop.h"' 'a kernel includes base' 'the same in CUDA'
plant src/base/str.c '"../dsl/dsl.h"' '"../dsl/dsl.h" goes up' 'a path that goes up is no way round'
plant src/base/str.c '"tests/tap.h"' '"tests/tap.h": nothing but a test' 'nor is a test'
plant src/attic/junk.c '<stdio.h>' 'the folder has no floor' 'a folder outside the table is refused'

rm -rf "$scratch/copy" && mkdir "$scratch/copy" && cp -R src "$scratch/copy/" && mkdir "$scratch/copy/kernels"
printf '#include "base/err.h"\n#include <stdio.h>\n#include "cli.h"\n' >"$scratch/copy/src/report/fine.c"
floors 0 "$scratch/copy"
check $? 'what points down, or to no folder, is let be'
done_testing
