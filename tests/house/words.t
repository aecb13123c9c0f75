#!/bin/sh
# The project speaks of itself alone: no path of one machine, no host of a package archive, no number of a discussion
# elsewhere, and nothing that says it is unfinished. The words are put together here so that this file does not hold them.
. tests/tap.sh
export LC_ALL=C

# What a clone holds, or, without git, what a tarball holds.
files() { # files ROOT
    (cd "$1" && { git ls-files 2>/dev/null | grep . || find . -name .git -prune -o -name build -prune -o -name out -prune -o \
        -type f -print | sed 's|^\./||'; })
}
# seen ROOT PATTERN [EXCEPT]: the lines with the extended regular expression, outside paths that match EXCEPT
seen() { files "$1" | grep -v -E "${3:-^$}" | (cd "$1" && xargs grep -n -I -i -E -e "$2" /dev/null 2>/dev/null) | head -n 10; }

slash=/
machine="(^|[^[:alnum:]._-])${slash}(home|Users|root|work|mnt)${slash}[[:alnum:]._-]+|\.\.${slash}shared${slash}"
hosts='(pypi|npmjs|crates)''\.(org|com|io)|pkg''\.dev|(deb|archive|security)\.(debian|ubuntu)''\.(org|com)'
elsewhere='(issue|ticket|PR|pull request|fix(es|ed)?|close[sd]?|bug) ?#[0-9]+|\(#[0-9]+\)'
unfinished='(^|[^[:alnum:]_])(TO''DO|FIX''ME|XX''X|not imple''mented|place''holder|for'' now|st''ub)([^[:alnum:]_]|$)'

# The script for the builders' machines names the folders that it may find beside the clone.
is "$(seen . "$machine" '^\.ci/run$')" '' 'no absolute path of one machine'
is "$(seen . "$hosts")" '' 'no host of a package archive'
is "$(seen . "$elsewhere" '/fixtures/')" '' 'no number of a discussion elsewhere'
is "$(seen . "$unfinished" '/fixtures/')" '' 'no word for what is unfinished'
web=$(seen . 'https?://[a-z0-9-]+\.[a-z]' '^data/|^README\.md$|^CITATION\.cff$|^paper/|^chapters/|/fixtures/|^LICENSE$' | grep -v -e 'http://www.w3.org/' -e 'https\?://json-schema.org' -e 'https\?://example\.org')
is "$web" '' 'an address on the web stands in the data manifest and in prose only'

# Each is caught when planted.
plant() { # plant TEXT PATTERN DESCRIPTION
    rm -rf "$scratch/copy" && mkdir "$scratch/copy" && printf '%s\n' "$1" >"$scratch/copy/planted.c"
    [ -n "$(seen "$scratch/copy" "$2")" ]
    check $? "$3"
}
plant "// see ${slash}home${slash}kim/spak" "$machine" 'a home folder is caught'
plant "open(\"..${slash}shared${slash}x\")" "$machine" 'a folder beside the clone is caught'
plant "// get it from pypi""."org "$hosts" 'a package archive is caught'
plant "// as issue ""#2 says" "$elsewhere" 'the number of a discussion is caught'
plant "/* TO""DO: the rest */" "$unfinished" 'an unfinished place is caught'
plant "return fail(\"not imple""mented\");" "$unfinished" 'and an unfinished function'
done_testing
