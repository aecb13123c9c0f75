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
done_testing
