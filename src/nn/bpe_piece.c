/* GPT-2's expression by hand: its alternatives in their order, each a run of one class of characters. */
#include <string.h>

#include "base/str.h"
#include "nn/bpe.h"
#include "nn/unicode_ranges.h"

typedef enum char_class { LETTER, NUMBER, SPACE, OTHER } char_class;

static bool in_ranges(const unicode_range *ranges, size_t count, uint32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}
#define IN(ranges, code) in_ranges(ranges, sizeof(ranges) / sizeof *(ranges), code)

static char_class class_of(uint32_t code) {
    return IN(LETTERS, code) ? LETTER : IN(NUMBERS, code) ? NUMBER : IN(SPACES, code) ? SPACE : OTHER;
}

/* The character at the beginning: its class and its length. A byte that begins no valid character is one of its own. */
static size_t next_char(const char *text, size_t len, char_class *class) {
    const unsigned char *s = (const unsigned char *)text;
    size_t bytes = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    *class = OTHER;
    if (bytes == 0 || bytes > len || spak_first_bad_utf8(text, bytes) < bytes) return 1;
    uint32_t code = bytes == 1 ? s[0] : s[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) code = code << 6 | (s[i] & 0x3f);
    *class = class_of(code);
    return bytes;
}

/* The end of the run of a class that begins at `at`; *last: where its last character begins. */
static size_t run_end(const char *text, size_t len, size_t at, char_class wanted, size_t *last) {
    *last = at;
    while (at < len) {
        char_class found;
        size_t bytes = next_char(text + at, len - at, &found);
        if (found != wanted) break;
        *last = at;
        at += bytes;
    }
    return at;
}

size_t nn_bpe_piece(const char *text, size_t len) {
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof contractions / sizeof *contractions; i++) {
        size_t bytes = strlen(contractions[i]);
        if (bytes <= len && !memcmp(text, contractions[i], bytes)) return bytes;
    }
    size_t blank = text[0] == ' ' && len > 1, last;
    char_class first;
    next_char(text + blank, len - blank, &first);
    if (first != SPACE) return run_end(text, len, blank, first, &last);
    size_t end = run_end(text, len, 0, SPACE, &last);
    return end < len && last > 0 ? last : end; /* the last space of a run belongs to what follows */
}
