#!/bin/sh
# README.md keeps what it promises: two commands, a generated table, files that exist.
. tests/tap.sh
unset MAKEFLAGS MFLAGS MAKELEVEL
commands=$(awk '/^```/ { inside = !inside; next } inside && /^\.\/reproduce\.sh/ { sub(/ *#.*/, ""); print }' README.md)
is "$commands" './reproduce.sh
./reproduce.sh test' 'getting started takes these two commands'
is "$(grep -c -x '<!-- claims:begin -->' README.md) $(grep -c -x '<!-- claims:end -->' README.md)" '1 1' 'the claims table has its markers'
[ "$(grep -n 'claims:begin' README.md | cut -d: -f1)" -lt "$(grep -n 'claims:end' README.md | cut -d: -f1)" ]
check $? 'in order'

gone=
for file in README.md CONTRIBUTING.md data/README.md; do
    for path in $(grep -o '](\([^)# "]*\)' "$file" | sed 's/^](//' | grep -v '^https\?:'); do
        [ -e "$(dirname "$file")/$path" ] || gone="$gone $file:$path"
    done
done
is "$gone" '' 'every link within the project leads somewhere'
make -s help >"$scratch/help"
gone=
for target in $(grep -h -o '`make [a-z-]*' README.md CONTRIBUTING.md | sed 's/.* //' | sort -u); do
    grep -q "^  make $target " "$scratch/help" || gone="$gone $target"
done
is "$gone" '' 'every make target that they name is there'
for word in 'cff-version: 1.2.0' 'title: ' 'license: MIT' 'authors:' 'message: '; do
    grep -q "^$word" CITATION.cff
    check $? "CITATION.cff: ${word%%:*}"
done
if command -v python3 >/dev/null && python3 -c 'import yaml' 2>/dev/null; then
    runs 0 python3 -c 'import yaml; c = yaml.safe_load(open("CITATION.cff")); assert c["authors"][0]["name"]'
    check $? 'and it is YAML'
fi
done_testing
