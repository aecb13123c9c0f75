#!/bin/sh
# The data manifest: each file of the mirror that SPAK_DATA_MIRROR names is the one that was meant.
. tests/tap.sh

# wrong FOLDER: the files of the manifest that are in the folder and do not have the size and hash that they should.
wrong() {
    sed -n 's/^ *\(file\|bytes\|sha256\): *"\{0,1\}\([^"]*\)"\{0,1\} *$/\2/p' data/MANIFEST.dsl | while read -r file && read -r bytes && read -r hash; do
        [ -e "$1/$file" ] || continue
        [ "$(wc -c <"$1/$file")" -eq "$bytes" ] && [ "$(sha256sum <"$1/$file")" = "$hash  -" ] || echo "$file"
    done
}
is "$(sed -n 's/^ *sha256: *"\([0-9a-f]*\)" *$/\1/p' data/MANIFEST.dsl | awk 'length($0) == 64' | wc -l | tr -d ' ')" \
    "$(grep -c '^dataset ' data/MANIFEST.dsl)" 'each data set has a whole hash'
names=$(grep -c '^dataset ' data/MANIFEST.dsl)
for key in file bytes url license; do
    is "$(grep -c "^  $key: " data/MANIFEST.dsl)" "$names" "and its $key"
done
if [ -d "${SPAK_DATA_MIRROR-}" ]; then
    is "$(wrong "$SPAK_DATA_MIRROR")" '' 'the mirror holds what the manifest says'
else
    tap_count=$((tap_count + 1))
    echo "ok $tap_count # SKIP SPAK_DATA_MIRROR names no folder"
fi
awk 'BEGIN { for (i = 0; i < 228145; i++) printf "x" }' >"$scratch/names.txt"
is "$(wrong "$scratch")" names.txt 'a file of the right size and the wrong content is caught'
echo short >"$scratch/names.txt"
is "$(wrong "$scratch")" names.txt 'and one of the wrong size'

# changed ROOT: the stand-ins of the manifest that are not there or have another hash
changed() {
    sed -n 's/^ *\(builtin\|builtin_sha256\): *"\([^"]*\)" *$/\2/p' "$1/data/MANIFEST.dsl" | while read -r file && read -r hash; do
        [ "$(sha256sum <"$1/$file")" = "$hash  -" ] || echo "$file"
    done
}
is "$(grep -c '^  builtin: ' data/MANIFEST.dsl)" "$(grep -c '^  builtin_sha256: "[0-9a-f]*"$' data/MANIFEST.dsl)" 'each stand-in has its hash'
is "$(sed -n 's/^  builtin: "\(.*\)"$/\1/p' data/MANIFEST.dsl)" "$(ls data/builtin/*)" 'and each file of data/builtin is one'
is "$(changed .)" '' 'each has the hash that it should'
mkdir -p "$scratch/data" && cp -R data/MANIFEST.dsl data/builtin "$scratch/data/" && echo more >>"$scratch/data/builtin/names.txt"
is "$(changed "$scratch")" data/builtin/names.txt 'one that was edited is caught'
is "$(LC_ALL=C grep -c -v -x -e '[a-z]\{2,15\}' data/builtin/names.txt)" 0 'names: lower case, 2 to 15 letters, one a line'
is "$(sort data/builtin/names.txt | uniq -d)" '' 'names: none twice'
sed -n "/^    awk '/,/^    }'/s/^    //p" data/README.md >"$scratch/rule.sh"
sh "$scratch/rule.sh" >"$scratch/made" 2>"$scratch/log" && cmp "$scratch/made" data/builtin/names.txt >>"$scratch/log" 2>&1
check $? 'names: what the rule in data/README.md makes'
made() { awk -f "$1" | cmp - data/builtin/plays.txt >"$scratch/log" 2>&1; }
made data/plays.awk
check $? 'plays: what data/plays.awk makes'
sed 's/state = 1$/state = 2/' data/plays.awk >"$scratch/other.awk"
! made "$scratch/other.awk"
check $? 'and another seed would be seen'
is "$(grep -x /data/cache/ .gitignore)" /data/cache/ 'the cache is no part of the project'
done_testing
