#!/bin/sh
# spak claims and spak weave as they are typed: exit statuses, what goes to which stream, README's table.
SPAK=$(realpath "${SPAK:-build/spak}")
here=$(pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
count=0
missing=
failed=0
check() { # check STATUS DESCRIPTION
  count=$((count + 1))
  if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
status() { # status WANTED DESCRIPTION COMMAND...: standard output to $dir/1, errors to $dir/2
  want=$1 what=$2
  shift 2
  "$@" >"$dir/1" 2>"$dir/2"
  got=$?
  [ $got -eq "$want" ]
  check $? "$what: exit status $want"
  [ $got -eq "$want" ] || sed 's/^/# /' "$dir/1" "$dir/2"
}

echo "TAP version 13"
mkdir -p "$dir/p/dsl" "$dir/p/src/report" "$dir/p/chapters" "$dir/p/paper"
cp -r src/report/web "$dir/p/src/report/"
cp dsl/claims.dsl "$dir/p/dsl/"
cd "$dir/p" || exit 1

status 0 "claims without any evidence" "$SPAK" claims --out o
grep -q '^Claims: 0 REPRODUCED, 0 DIFFERS, 3 INCONSISTENT' "$dir/1"; check $? "the counts are printed"
[ "$(wc -l <"$dir/1")" -eq 1 ]; check $? "and nothing else"
[ -s o/verdicts.json ] && [ -s o/verdicts.md ]; check $? "the verdicts are written"
for id in C1 C2 C3 C4 M1 F1 F2 F3 F4 F5 G1 G2 G3 N1 N2 N3 N4 N5 L1 L2 L3 L4 L5 L6 L7 L8 L9 L10 L11 L12 L13 D1 D2; do
  grep -q "^| $id |" o/verdicts.md || missing="$missing $id"
done
[ -z "$missing" ]; check $? "every claim has a verdict$missing"
for id in G1 G2 L7; do grep -q "^| $id |.*INCONSISTENT" o/verdicts.md; check $? "$id contradicts what was published"; done
for id in N1 L4; do grep -q "^| $id |.*NOT EVALUATED" o/verdicts.md; check $? "$id adds up, and is not evaluated"; done
status 0 "claims --summary" "$SPAK" claims --out o --summary
grep -q 'Written: o/verdicts.md' "$dir/1"; check $? "names the files"
! grep -q "$(printf '\033')" "$dir/1"; check $? "without colour in a file"
status 0 "claims --claim" "$SPAK" claims --out o --claim M1
grep -q 'the experiment has not been run' "$dir/1"; check $? "tells the reason"
status 1 "an unknown claim" "$SPAK" claims --out o --claim X9
status 2 "an unknown option" "$SPAK" claims --nonsense
status 0 "help" "$SPAK" claims --help

printf '# x\n<!-- claims:begin -->\n<!-- claims:end -->\n' >README.md
status 1 "README out of date" "$SPAK" claims --readme README.md --check
grep -q 'out of date' "$dir/2"; check $? "says so"
status 0 "README is written" "$SPAK" claims --readme README.md
status 0 "and then up to date" "$SPAK" claims --readme README.md --check
sed 's/`7.4 \/ 2.8`/`7.4 \/ nothing`/' dsl/claims.dsl >t && mv t dsl/claims.dsl
status 1 "an expression that cannot be evaluated" "$SPAK" claims --out o
grep -q 'dsl/claims.dsl:[0-9]*: claim N1: ' "$dir/2"; check $? "is named with file and line"
cp "$here/dsl/claims.dsl" dsl/
"$SPAK" claims --out o >/dev/null

printf 'One\ntwo\0 three\n' >zero.md
status 1 "a zero byte in a chapter" "$SPAK" weave --out o --partial zero.md
grep -q 'zero.md:2: .*0x00' "$dir/2"; check $? "is named with its line"
status 1 "a zero byte in a text" "$SPAK" weave --check-numbers zero.md
grep -q 'zero.md:2: .*0x00' "$dir/2"; check $? "is named with its line"
printf 'One\ntwo\n\377 three\n' >odd.md
status 1 "a chapter that is not UTF-8" "$SPAK" weave --out o --partial odd.md
grep -q 'odd.md:3: .*0xff' "$dir/2"; check $? "is named with its line"

printf -- '---\ntitle: "One"\n---\n\nA page, and {{verdict G1}}\n' >chapters/one.md
status 0 "weave" "$SPAK" weave --out o chapters/one.md
grep -q 'badge inconsistent' o/book/one.html; check $? "the page is there"
printf 'It is 12 times {{value a.b}}\n' >>chapters/one.md
status 1 "weave with faults" "$SPAK" weave --out o chapters/one.md
grep -q "^chapters/one.md:6: number '12'" "$dir/2" && grep -q "^chapters/one.md:6: unknown value 'a.b'" "$dir/2"
check $? "lists them with file and line"
status 1 "a number in README.md" "$SPAK" weave --check-numbers chapters/one.md
printf 'It takes 10 minutes. <!-- number: an estimate -->\n' >>README.md
status 0 "an excused one" "$SPAK" weave --check-numbers README.md
grep -q '^1 line(s)' "$dir/1"; check $? "is counted"
status 2 "weave without files" "$SPAK" weave
echo "1..$count"
exit $failed
