#!/bin/sh
# usage: floors.sh ROOT    prints each include that breaks the order of the floors; status 1 when there is one
#
# A file may include its own folder and any lower floor. Two folders of one floor know nothing of each other, except the
# fifth's, which both serve the command line. A kernel stands above data and device and includes base, these two and kernels only.
cd "${1:-.}" || exit 2
find src kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null | sort | xargs awk '
    BEGIN {
        split("base 1 dsl 2 trace 2 data 3 device 3 kernels 3.5 nn 4 loop 4 lua 5 report 5 cli 6", table, " ")
        for (i = 1; i in table; i += 2) floor[table[i]] = table[i + 1]
    }
    function broken(what) { print FILENAME ":" FNR ": " what; bad = 1 }
    function part_of(path, at) { split(path, at, "/"); return at[1] == "kernels" ? "kernels" : at[2] }
    FNR == 1 {
        from = part_of(FILENAME)
        if (FILENAME !~ /^(src|kernels)\/[^\/]+\/|^kernels\/[^\/]+$/ || !(from in floor))
            broken("the folder has no floor: put it into the table of tests/house/floors.sh")
    }
    match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]+"/) {
        path = substr($0, RSTART, RLENGTH); gsub(/^[^"]*"|"$/, "", path)
        if (path ~ /(^|\/)\.\.(\/|$)/) { broken("\"" path "\" goes up: name the folder from src/ on"); next }
        if (path ~ /^tests\//) { broken("\"" path "\": nothing but a test includes a test"); next }
        if (split(path, at, "/") < 2) next
        to = at[1]
        if (!(to in floor)) {
            if (system("test -d kernels/" to) != 0) next
            to = "kernels"
        }
        if (from == to) next
        if (from == "kernels" && to != "base" && to != "data" && to != "device")
            broken("a kernel includes base, data, device and kernels only, not " to)
        else if (floor[to] > floor[from])
            broken(from " (floor " floor[from] ") includes " to " (floor " floor[to] ")")
        else if (floor[to] == floor[from] && floor[to] != 5)
            broken(from " and " to " share a floor and know nothing of each other")
    }
    END { exit bad }
'
