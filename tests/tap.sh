# TAP 13 for the shell tests: `. tests/tap.sh`, then check, is, and done_testing at the end.
# $scratch is a folder of the test's own, removed when it ends.
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
tap_count=0
tap_failed=0
echo 'TAP version 13'

# check STATUS DESCRIPTION: passes when STATUS is 0. Shows $scratch/log when it does not.
check() {
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        echo "not ok $tap_count - $2"
        tap_failed=1
        [ -s "$scratch/log" ] && head -n 20 "$scratch/log" | sed 's/^/# /'
    fi
    return 0
}

# is GOT WANT DESCRIPTION
is() {
    : >"$scratch/log"
    [ "$1" = "$2" ] || printf 'got:  %s\nwant: %s\n' "$1" "$2" >"$scratch/log"
    [ "$1" = "$2" ]
    check $? "$3"
}

# runs STATUS COMMAND...: the command ends with this status; its output is in $scratch/log. Returns 0 when it did.
runs() {
    want=$1
    shift
    "$@" >"$scratch/log" 2>&1 </dev/null
    [ $? -eq "$want" ]
}

# says PATTERN: the last command's output has a line that matches the basic regular expression.
says() { grep -q -e "$1" "$scratch/log"; }

done_testing() {
    echo "1..$tap_count"
    exit "$tap_failed"
}
