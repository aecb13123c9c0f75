#!/bin/sh
# spak dsl as a user meets it: exit statuses, what goes to which stream, files rewritten in place.
SPAK=${SPAK:-build/spak}
FIXTURES=tests/dsl/fixtures
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
n=0
echo "TAP version 13"
result() { # status name
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$DIR/out" "$DIR/err"; fi
}
# runs NAME STATUS ARGUMENT...: the exit status
runs() {
    name=$1 want=$2
    shift 2
    "$SPAK" dsl "$@" >"$DIR/out" 2>"$DIR/err" </dev/null
    [ $? = "$want" ]
    result $? "$name"
}
holds() { grep -qF -- "$2" "$DIR/$1"; result $? "$1 says: $2"; }
lacks() { ! grep -qF -- "$2" "$DIR/$1"; result $? "$1 does not say: $2"; }
same() { cmp -s "$1" "$2"; result $? "$3"; }

runs "check of a good file" 0 check $FIXTURES/attention_system.dsl
holds err "attention_system.dsl: good"
runs "check of a damaged file" 1 check $FIXTURES/damaged_margin.dsl
holds err "$FIXTURES/damaged_margin.dsl:6:17: error: the string that opens here is not closed"
holds err '        target: "Reach the library'
holds err '                    ^'
holds err "damaged_margin.dsl: 8 errors, 0 warnings"
runs "check of several files fails when one does" 1 check $FIXTURES/damaged_brace.dsl $FIXTURES/utf8.dsl
holds err "utf8.dsl: good"
runs "warnings are no failure" 0 check $FIXTURES/front_matter_again.dsl
holds err "0 errors, 1 warning"
runs "check of a missing file" 1 check "$DIR/none.dsl"
holds err "none.dsl"

runs "fmt prints" 0 fmt $FIXTURES/one_line.dsl
same "$DIR/out" $FIXTURES/one_line.fmt "the canonical layout"
runs "fmt of a damaged file prints and fails" 1 fmt $FIXTURES/damaged_prose.dsl
same "$DIR/out" $FIXTURES/damaged_prose.fmt "the canonical layout of a damaged file"
cp $FIXTURES/one_line.dsl "$DIR/a.dsl"
runs "fmt --check of another layout" 1 fmt --check "$DIR/a.dsl"
holds out "$DIR/a.dsl"
same $FIXTURES/one_line.dsl "$DIR/a.dsl" "and leaves the file alone"
runs "fmt -w" 0 fmt -w "$DIR/a.dsl"
same "$DIR/a.dsl" $FIXTURES/one_line.fmt "rewrites the file"
[ "$(ls "$DIR" | sort | tr '\n' ' ')" = "a.dsl err out " ]
result $? "and leaves nothing beside it"
runs "fmt --check of the canonical layout" 0 fmt --check "$DIR/a.dsl"
cp $FIXTURES/damaged_prose.dsl "$DIR/bad.dsl"
runs "fmt -w of a damaged file fails" 1 fmt -w "$DIR/bad.dsl"
same "$DIR/bad.dsl" $FIXTURES/damaged_prose.dsl "and leaves it alone"
printf 'a: 1\n' | "$SPAK" dsl fmt - >"$DIR/out" 2>"$DIR/err"
result $? "fmt - reads standard input"
[ "$(cat "$DIR/out")" = "a: 1" ]
result $? "and prints it"

runs "json" 0 json $FIXTURES/utf8.dsl
holds out '  "body": ['
runs "json --canonical" 0 json --canonical $FIXTURES/utf8.dsl
[ "$(wc -l <"$DIR/out")" = 1 ]
result $? "is one line"
runs "json of a damaged file" 1 json $FIXTURES/damaged_brace.dsl
holds out '"name": "atomics_reorder"'
printf 'a: "cut\n' | "$SPAK" dsl check - >"$DIR/out" 2>"$DIR/err"
[ $? = 1 ]
result $? "check - reads standard input"
holds err "<stdin>:1:4: error"

runs "no command" 2
holds err "usage: spak dsl check"
runs "an unknown command" 2 lint x.dsl
runs "no file" 2 check
runs "an unknown option" 2 fmt -x $FIXTURES/utf8.dsl
runs "--help" 0 --help
holds out "usage: spak dsl check"
lacks err "usage"
echo "1..$n"
