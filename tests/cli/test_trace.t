#!/bin/sh
# The trace command as a user types it: output, exit status, messages.
SPAK=${SPAK:-build/spak}
case $SPAK in /*) ;; *) SPAK=$PWD/$SPAK ;; esac
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
n=0

ok() { # STATUS NAME
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# out: /' out
        sed 's/^/# err: /' err
    fi
}
run() { "$SPAK" trace "$@" >out 2>err; status=$?; }
is() { [ "$status" -eq "$1" ]; ok $? "$2 (exit status $1)"; }
out_has() { grep -q -e "$1" out; ok $? "  out: $1"; }
err_has() { grep -q -e "$1" err; ok $? "  err: $1"; }

echo "TAP version 13"

run; is 2 "no command"; err_has '^usage:'
run dance; is 2 "an unknown command"; err_has "no command 'dance'"
run --help; is 0 "help"; out_has '^usage:'
for command in show verify collect lock; do
    run $command --help; is 0 "$command --help"; out_has "^usage: spak trace $command"
    run $command; is 2 "$command alone"; err_has "^usage: spak trace $command"
    run $command --sing x; is 2 "$command with an unknown option"; err_has "no option '--sing'"
done
run show --seq -1 t.jsonl; is 2 "a negative seq"; err_has 'whole number'
run show --seq; is 2 "an option without its value"; err_has "behind '--seq'"
run verify --head x a b; is 2 "one head for two files"

run collect --out d/t.jsonl -- sh -c 'echo hello; echo "__SPAK_TRACE__ {\"kind\":\"measure\",\"ms\":[1.50,2]}"; exit 3'
is 3 "collect gives the command's status"
out_has '^hello$'; out_has '^__SPAK_TRACE__ {"kind":"measure","ms":\[1.50,2\]}$'
run show d/t.jsonl; is 0 "show"
out_has '^     0  run  .* command=\["sh","-c"'; out_has '^     1  measure  .* ms=\[1.5,2\]$'
run show --json --seq 0 d/t.jsonl; is 0 "show --json --seq"
out_has '"time_utc":"20[0-9-]*T[0-9:]*Z"'; out_has '"spak_sha256":"[0-9a-f]\{64\}"'; out_has '"release":'
run show --kind measure d/t.jsonl; [ "$(wc -l <out)" -eq 1 ]; ok $? "show --kind"
run show --json d/t.jsonl; cmp -s out d/t.jsonl; ok $? "show --json prints the file's lines"
run collect --out d/t.jsonl -- echo '__SPAK_TRACE__ {"kind":"end"}'; is 0 "collect goes on with a trace"
run verify d/t.jsonl; is 0 "verify"
head=$(tail -n 1 d/t.jsonl | tr -d '\n' | sha256sum | cut -d' ' -f1)
out_has "^d/t.jsonl: 3 records, head $head\$"
run verify --head "$head" d/t.jsonl; is 0 "verify --head"
run verify --head "0$head" d/t.jsonl; is 1 "another head"; err_has 'expected head 0'
printf '{"half' >>d/t.jsonl
run verify d/t.jsonl; is 0 "a torn tail is no damage"; out_has 'torn last line of 6 bytes'
run show d/t.jsonl; is 0 "show of a torn trace"; err_has 'd/t.jsonl:4: torn last line'
run lock d/LOCK; is 1 "lock of a torn trace"; err_has 'torn last line'
run collect --out d/t.jsonl -- true; is 0 "the next writer cuts it off"; err_has 'torn last line'
run verify --head "$head" d/t.jsonl; is 0 "and loses nothing"

run collect --out bad.jsonl -- sh -c 'echo "__SPAK_TRACE__ {"; echo "__SPAK_TRACE__ {\"kind\":\"end\"}"'
is 1 "a bad record"; err_has 'line 1 of its output'
run show --kind end bad.jsonl; out_has ' end '
run collect --out e.jsonl -- spak-no-such-program; is 127 "no such program"; err_has 'spak-no-such-program: cannot start'
run collect --out e.jsonl -- sh -c 'kill -9 $$'; is 137 "a killed program"
run collect --out e.jsonl -- "$(printf '\377')"; is 127 "an odd name"
rm -f u.jsonl; run collect --out u.jsonl -- echo "$(printf '\377')"; is 1 "an argument that is not UTF-8"; err_has 'not UTF-8'
"$SPAK" trace collect --out pipe.jsonl -- sh -c 'for i in 1 2 3; do echo "__SPAK_TRACE__ {\"kind\":\"measure\"}"; sleep 0.1; done' 2>err | head -n 1 >out
run verify pipe.jsonl; out_has 'pipe.jsonl: 4 records'

run lock d/LOCK; is 0 "lock"; out_has 'd/LOCK: 1 traces, pinned'
run lock --check d/LOCK; is 0 "lock --check"; out_has 'all as pinned'
cp d/t.jsonl d/u.jsonl
run lock --check d/LOCK; is 1 "an unlisted trace"; err_has 'u.jsonl lies in the folder and is not listed'
run lock d/LOCK; is 0 "lock again"
sed -i '2s/1.5/1.4/' d/u.jsonl
run lock --check d/LOCK; is 1 "an altered trace"; err_has 'd/u.jsonl:3: broken chain'
run verify d/t.jsonl d/u.jsonl absent.jsonl; is 1 "verify of several"
out_has '^d/t.jsonl: 3 records'; err_has 'd/u.jsonl:3: broken chain'; err_has 'absent.jsonl: cannot open'
run show d/u.jsonl; is 1 "show of a damaged trace"; err_has 'broken chain'
gzip -k d/t.jsonl
run verify --head "$head" d/t.jsonl.gz; is 0 "a packed trace"
run collect --out d/t.jsonl.gz -- true; is 1 "is not written"; err_has 'archive'

if [ -c /dev/full ]; then
    "$SPAK" trace show d/t.jsonl >/dev/full 2>err; status=$?; : >out
    is 1 "show on a full disk"; err_has 'cannot write to standard output'
    run collect --out /dev/full -- true; is 1 "a device is no trace"; err_has 'regular file'
fi

"$SPAK" trace collect --out held.jsonl -- sleep 5 >/dev/null 2>&1 &
holder=$!
i=0; while [ ! -s held.jsonl ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
run collect --out held.jsonl -- true; is 1 "a second writer"; err_has "process $holder is writing"
kill -9 $holder
wait $holder 2>/dev/null
run collect --out held.jsonl -- echo '__SPAK_TRACE__ {"kind":"end"}'; is 0 "after kill -9"
run verify held.jsonl; out_has 'held.jsonl: 2 records'
echo "1..$n"
