#!/bin/sh
# spak data: what it lists, and what a download leaves behind when it works and when it does not; then a recipe that
# reads a data set. In a copy of what a run reads; the web is played by a curl of the test's own, or by file:// .
. tests/tap.sh
case ${SPAK:-build/spak} in
    /*) spak=${SPAK:-build/spak} ;;
    *) spak=$PWD/${SPAK:-build/spak} ;;
esac
unset SPAK_DATA_MIRROR SPAK_DATA_OFFLINE
mkdir -p "$scratch/home/tests/cli" "$scratch/home/dsl" "$scratch/home/experiments" "$scratch/home/kernels" "$scratch/bin" "$scratch/empty" \
    "$scratch/web/deep" "$scratch/mirror"
cp -R tests/cli/fixtures "$scratch/home/tests/cli/"
cp -R kernels/matmul "$scratch/home/kernels/"
cp -R dsl/claims.dsl dsl/hardware "$scratch/home/dsl/"
cd "$scratch/home" || exit 1

printf 'anna\nberta\nclara\n' >"$scratch/web/names.txt"
printf 'far\n' >"$scratch/web/deep/far.bin"
hash() { sha256sum <"$1" | cut -d' ' -f1; }
# manifest URL: the data sets `names`, which has a stand-in, and `far`, which has none, in a folder of the cache
manifest() {
    mkdir -p data/builtin
    printf 'ana\nbela\n' >data/builtin/names.txt
    cat >data/MANIFEST.dsl <<END_OF_MANIFEST
dataset names {
  file: "names.txt"
  bytes: $(wc -c <"$scratch/web/names.txt")
  sha256: "$(hash "$scratch/web/names.txt")"
  url: "$1/names.txt"
  license: "BSD"
  holds: "names"
  builtin: "data/builtin/names.txt"
  builtin_sha256: "$(hash data/builtin/names.txt)"
}
dataset far {
  file: "deep/far.bin"
  bytes: 4
  sha256: "$(hash "$scratch/web/deep/far.bin")"
  url: "$1/deep/far.bin"
  license: "CC0"
  holds: "little"
}
END_OF_MANIFEST
}
manifest https://example.org
forget() { rm -rf data/cache; }
left() { find data/cache 2>/dev/null | wc -l | tr -d ' '; }

# --- usage, list, path ---
runs 0 "$spak" data --help && says '^usage: spak data ' && says 'SPAK_DATA_MIRROR'
check $? '--help tells of it'
for wrong in 'nonsense' 'path' 'path a b' '--all' 'fetch --force'; do
    # shellcheck disable=SC2086 # words on purpose
    runs 2 "$spak" data $wrong && says '^usage: '
    check $? "data $wrong: usage, status 2"
done
runs 0 "$spak" data && says '^names  *builtin  *9 bytes  *MIT  *data/builtin/names.txt$' && says '^far  *absent  *4 bytes  *CC0 *$'
check $? 'it lists what there is, and what is absent'
is "$("$spak" data path names)" data/builtin/names.txt 'the path of what a run would read'
runs 1 "$spak" data path far && says 'spak data fetch far'
check $? 'the path of what is absent: status 1, and what to do'
runs 1 "$spak" data path nobody && says "no data set 'nobody'"
check $? 'of what the manifest does not have: status 1'
cp "$scratch/web/names.txt" "$scratch/mirror/"
SPAK_DATA_MIRROR=$scratch/mirror runs 0 "$spak" data && says "^names  *mirror  *17 bytes  *BSD  *$scratch/mirror/names.txt\$"
check $? 'the mirror comes first'
echo >>"$scratch/mirror/names.txt"
SPAK_DATA_MIRROR=$scratch/mirror runs 1 "$spak" data && says '^names  *wrong' && says 'expected 17 bytes, found 18' && says '^far  *absent'
check $? 'a wrong file: status 1, and the others are listed all the same'
for command in data 'data fetch'; do
    # shellcheck disable=SC2086 # words on purpose
    SPAK_DATA_MIRROR=$scratch/no-such-folder runs 1 "$spak" $command && [ "$(grep -c 'which is no folder' "$scratch/log")" -eq 1 ]
    check $? "$command: a mirror that is not there is said once"
done
(cd "$scratch/empty" && runs 1 "$spak" data && says 'data/MANIFEST.dsl: cannot open')
check $? 'elsewhere: status 1, and the file that is not there'

# --- fetch, with a curl that gives what it is told to ---
play() { { echo '#!/bin/sh'; cat; } >"$scratch/bin/curl" && chmod +x "$scratch/bin/curl"; }
played() { status=$1 && shift && PATH=$scratch/bin:$PATH runs "$status" "$spak" data fetch "$@"; }
export WEB="$scratch/web" ASKED="$scratch/asked"
play <<'EOF'
echo "$@" >>"$ASKED"
while [ $# -gt 0 ]; do
    case $1 in
        --output) to=$2 ;;
        --url) from=${2#https://example.org/} ;;
    esac
    shift
done
cp "$WEB/$from" "$to"
EOF
played 0 && says '^names: fetching 17 bytes from https://example.org/names.txt' && says '^names: data/cache/names.txt$' &&
    says '^far: data/cache/deep/far.bin$'
check $? 'fetch brings all of them'
cmp -s data/cache/names.txt "$scratch/web/names.txt" && cmp -s data/cache/deep/far.bin "$scratch/web/deep/far.bin"
check $? 'as they are there'
is "$(left)" 4 'and nothing beside them'
grep -q -e '--connect-timeout 5 --max-time 120 ' "$ASKED" && grep -q -e '--fail ' "$ASKED" && grep -q -e '--proto =https,file ' "$ASKED"
check $? 'curl is told how long it may take, and to fail when the server does'
: >"$ASKED"
played 0 && [ ! -s "$ASKED" ] && says '^names: data/cache/names.txt$'
check $? 'what is there is not fetched again'
forget
played 0 far && [ ! -e data/cache/names.txt ] && [ -e data/cache/deep/far.bin ]
check $? 'one by its name'
forget
played 1 far nobody && says "no data set 'nobody'" && [ ! -e data/cache ]
check $? 'an unknown name: nothing is fetched'

# --- downloads that go wrong leave nothing ---
fails() { # fails PATTERN DESCRIPTION
    forget
    played 1 far && says "far: .*$1" && [ ! -e data/cache ]
    check $? "$2"
}
play <<'EOF'
for last; do [ "$before" = --output ] && printf 'fa' >"$last"; before=$last; done
echo 'curl: (6) Could not resolve host: example.org' >&2
exit 6
EOF
fails 'curl (6) Could not resolve host: example.org (exit status 6)' 'no network: curl says why, and nothing is left'
says 'SPAK_DATA_MIRROR'
check $? '... and what to do is said'
play <<'EOF'
for last; do [ "$before" = --output ] && printf 'far and wide\n' >"$last"; before=$last; done
EOF
fails 'expected 4 bytes, found 13' 'too much: refused, nothing is left'
play <<'EOF'
for last; do [ "$before" = --output ] && printf 'fat\n' >"$last"; before=$last; done
EOF
fails 'expected SHA-256' 'other content: refused, nothing is left'
play <<'EOF'
exit 0
EOF
fails 'expected 4 bytes, found 0' 'nothing at all: refused, nothing is left'
forget
played 1 && says 'names: .*expected 17 bytes' && says 'far: .*expected 4 bytes'
check $? 'one that fails does not keep the next from being tried'
mkdir -p data/cache && cp "$scratch/web/names.txt" data/cache/
played 1 far && [ -e data/cache/names.txt ] && [ ! -e data/cache/deep ]
check $? 'what was there before stays'
forget
PATH=$scratch/empty runs 1 "$spak" data fetch far && says 'far: curl is not installed; type: apt-get install curl' && [ ! -e data/cache ]
check $? 'no curl: says so, and nothing is left'
mkdir -p data/cache && echo keep >data/cache/names.txt
played 1 names && says 'data/cache/names.txt: expected 17 bytes, found 5' && says 'remove it' && [ "$(cat data/cache/names.txt)" = keep ]
check $? 'a wrong file in the cache is named and left to its owner'
forget
echo file >data/cache
played 1 far && says 'data/cache' && [ "$(cat data/cache)" = file ]
check $? 'a file where the folder should be: says so'
forget

# Killed while it downloads, it leaves a file that the next one sweeps away.
play <<'EOF'
for last; do [ "$before" = --output ] && printf 'fa' >"$last"; before=$last; done
: >"$ASKED"
exec sleep 20
EOF
rm -f "$ASKED"
PATH=$scratch/bin:$PATH "$spak" data fetch far >/dev/null 2>&1 & pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e "$ASKED" ] && break
    sleep 0.1
done
child=$(ps -o pid= --ppid $pid 2>/dev/null | tr -d ' ')
kill -9 $pid ${child:+"$child"} && wait $pid 2>/dev/null
runs 0 "$spak" data && says '^far  *absent'
check $? 'killed: the half file counts for nothing'
play <<'EOF'
for last; do [ "$before" = --output ] && printf 'far\n' >"$last"; before=$last; done
EOF
played 0 far && [ "$(left)" = 3 ]
check $? 'and the next fetch leaves the whole file alone there'
forget

if command -v curl >/dev/null; then
    manifest "file://$scratch/web"
    runs 0 "$spak" data fetch && [ "$("$spak" data path names)" = data/cache/names.txt ] && [ "$(left)" = 4 ]
    check $? 'the real curl, with file://'
    forget
    manifest "file://$scratch/nowhere"
    runs 1 "$spak" data fetch far && says 'far: cannot be fetched from file://.*/far.bin: curl (37)' && [ ! -e data/cache ]
    check $? 'from where nothing is'
    manifest "ftp://127.0.0.1"
    runs 1 "$spak" data fetch far && says 'curl (1)' && [ ! -e data/cache ]
    check $? 'by another protocol'
    manifest https://example.org
else
    tap_count=$((tap_count + 1))
    echo "ok $tap_count # SKIP curl is not installed"
fi

# --- a recipe that reads a data set ---
sed 's|seed = 1,|seed = 1, data = { "names" },|' tests/cli/fixtures/tiny.lua >with.lua
sed 's|^return function(report)|return function(report) report:table { name = "origin", caption = report.data.names.origin .. " " .. report.data.names.sha256, columns = { { header = "x" } }, rows = { { "y" } } }|' \
    tests/cli/fixtures/tiny_report.lua >with_report.lua
sed -i 's|tests/cli/fixtures/tiny_report.lua|with_report.lua|' with.lua
trace=out/traces/tiny.jsonl
first_record() { head -n 1 "$trace"; }
# run STATUS [NAME=VALUE...]: the recipe, with the test's curl
run() { status=$1 && shift && PATH=$scratch/bin:$PATH runs "$status" env "$@" "$spak" run with.lua; }
play <<'EOF'
: >"$ASKED"
echo 'curl: (6) Could not resolve host: example.org' >&2
exit 6
EOF
run 0 && says '^data set names: fetching https://example.org/names.txt$' && says '^data set names: .*Could not resolve host' &&
    says '^data set names: there is its stand-in data/builtin/names.txt'
check $? 'a recipe without a network runs on the stand-in, and says so'
first_record | grep -q "\"data\":\[{\"bytes\":9,\"license\":\"MIT\",\"name\":\"names\",\"origin\":\"builtin\",\"sha256\":\"$(hash data/builtin/names.txt)\"}\]"
check $? 'its run record names it'
grep -q '"stand_ins":\["names"\]' out/values/tiny.json
check $? 'so do the values'
grep -q "builtin $(hash data/builtin/names.txt)" out/tables/origin.md
check $? 'and the report can tell'
rm -f "$ASKED"
run 0 SPAK_DATA_OFFLINE=1 && says 'SPAK_DATA_OFFLINE forbids' && says 'its stand-in' && says 'up to date' && [ ! -e "$ASKED" ]
check $? 'SPAK_DATA_OFFLINE=1: nothing is tried, and the run is complete'
play <<'EOF'
for last; do [ "$before" = --output ] && cp "$WEB/names.txt" "$last"; before=$last; done
EOF
run 0 && says '^data set names: fetching ' && says 'the data has changed since; measuring anew' && { ! says stand-in; }
check $? 'with a network the data set comes, and the run is a new one'
first_record | grep -q '"origin":"cache"' && ! grep -q stand_ins out/values/tiny.json
check $? 'on the data set'
run 0 && { ! says fetching; } && says 'up to date'
check $? 'which is then there'
printf 'anna\nberta\nclarb\n' >data/cache/names.txt
run 1 && says 'data/cache/names.txt: expected SHA-256' && says 'remove it'
check $? 'an edited cache stops the run'

# A trace on the data set is not given up for one on its stand-in, unless it is out of date.
forget
kept=$(hash "$trace")
run 0 SPAK_DATA_OFFLINE=1 && says "$trace: kept: .*data set names, of which only the stand-in is here" && says 'move this trace away' &&
    { ! says 'up to date'; } && [ "$(hash "$trace")" = "$kept" ]
check $? 'without the data set its finished trace is kept, and what to do is said'
! grep -q stand_ins out/values/tiny.json && grep -q '"archived":false' out/values/tiny.json
check $? 'and still reported on'
{ cat "$spak" && echo; } >rebuilt && chmod +x rebuilt
PATH=$scratch/bin:$PATH runs 0 env SPAK_DATA_OFFLINE=1 ./rebuilt run with.lua && says "$trace: kept: " && [ "$(hash "$trace")" = "$kept" ]
check $? 'a new build of the program is no reason to give it up'
mkdir away && mv "$trace" away/
run 0 SPAK_DATA_OFFLINE=1 && first_record | grep -q '"origin":"builtin"'
check $? 'moved away, the run is made on the stand-in'
mv away/tiny.jsonl "$trace"
echo '-- changed' >>with.lua
run 0 SPAK_DATA_OFFLINE=1 && says 'the source has changed since; measuring anew' && first_record | grep -q '"origin":"builtin"'
check $? 'one that is out of date is put aside as ever'
head -n -1 with.lua >shorter && mv shorter with.lua
cp "$(grep -l '"origin":"cache"' out/traces/old/tiny.*.jsonl | tail -n 1)" "$trace"
sed -i "s/sha256: \"$(hash "$scratch/web/names.txt")\"/sha256: \"$(printf x | sha256sum | cut -d' ' -f1)\"/" data/MANIFEST.dsl
run 0 SPAK_DATA_OFFLINE=1 && says 'the data has changed since; measuring anew'
check $? 'and so is one on what is the data set no more'
manifest https://example.org

sed 's|data = { "names" }|data = { "far" }|' with.lua >far.lua
PATH=$scratch/empty runs 1 "$spak" run far.lua --out out/far && says 'curl is not installed' && says 'data set far is neither in data/cache' && [ ! -e out/far/traces ]
check $? 'a data set without a stand-in that cannot be had: an error, and no trace is begun'
for bad in '"names"' '{ names = true }' '{ "names", 3 }' '{ "names", more = 1 }'; do
    sed "s|data = { \"names\" }|data = $bad|" with.lua >bad.lua
    runs 1 "$spak" run bad.lua && says 'bad.lua: expected `data` to be a list of names'
    check $? "data = $bad is refused"
done
sed 's|data = { "names" }|data = { "nobody" }|' with.lua >bad.lua
runs 1 "$spak" run bad.lua && says "bad.lua: .*no data set 'nobody'"
check $? 'and so is a name that the manifest does not have'
done_testing
