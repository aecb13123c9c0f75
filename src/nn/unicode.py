"""Writes src/nn/unicode_ranges.h: which characters are letters, numbers and white space, by Unicode 16.0.0.

    python3 src/nn/unicode.py > src/nn/unicode_ranges.h

The version is fixed because a tokenizer's output depends on it. Python's own unicodedata is used where it is of that
version (3.14), else the package unicodedata2==16.0.0.
"""
import sys

import unicodedata

VERSION = "16.0.0"
if unicodedata.unidata_version != VERSION:
    import unicodedata2 as unicodedata
if unicodedata.unidata_version != VERSION:
    sys.exit(f"expected Unicode {VERSION}, found {unicodedata.unidata_version}: pip install unicodedata2=={VERSION}")

WHITE_SPACE = [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def ranges(belongs):
    """[first, last] of each run of code points that belong."""
    found = []
    for code in filter(belongs, range(0x110000)):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def table(name, comment, belongs):
    cells = [f"{{0x{first:x}, 0x{last:x}}}," for first, last in ranges(belongs)]
    lines, line = [], "   "
    for cell in cells:
        if len(line) + 1 + len(cell) > 120:
            lines.append(line)
            line = "   "
        line += " " + cell
    print(f"\n/* {comment} */\nstatic const unicode_range {name}[] = {{\n" + "\n".join(lines + [line]) + "\n};")


print(f"/* Made by src/nn/unicode.py from Unicode {VERSION}; first and last code point of each run. */")
print("""// clang-format off
#ifndef SPAK_NN_UNICODE_RANGES_H
#define SPAK_NN_UNICODE_RANGES_H

#include <stdint.h>

typedef struct unicode_range {
    uint32_t first, last;
} unicode_range;""")
table("LETTERS", "\\p{L}: the general categories that begin with L", lambda c: unicodedata.category(chr(c))[0] == "L")
table("NUMBERS", "\\p{N}: those that begin with N", lambda c: unicodedata.category(chr(c))[0] == "N")
table("SPACES", "\\s: the property White_Space", set(WHITE_SPACE).__contains__)
print("\n#endif")
