#include "base/str.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static bool reserve(spak_str *str, size_t extra) {
    if (str->oom) return false;
    if (extra > SIZE_MAX / 4 - str->len) {
        str->oom = true;
        return false;
    }
    size_t need = str->len + extra + 1;
    if (need <= str->capacity) return true;
    size_t capacity = str->capacity ? str->capacity : 64;
    while (capacity < need) capacity += capacity / 2 + 1;
    char *data = spak_realloc(str->data, capacity);
    if (!data) {
        str->oom = true;
        return false;
    }
    str->data = data;
    str->capacity = capacity;
    return true;
}

void spak_str_append(spak_str *str, const char *text, size_t len) {
    if (!reserve(str, len)) return;
    if (len) memcpy(str->data + str->len, text, len);
    str->len += len;
    str->data[str->len] = 0;
}

void spak_str_puts(spak_str *str, const char *text) { spak_str_append(str, text, strlen(text)); }

void spak_str_putc(spak_str *str, char c) { spak_str_append(str, &c, 1); }

void spak_str_printf(spak_str *str, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    if (len >= 0 && reserve(str, (size_t)len)) {
        vsnprintf(str->data + str->len, (size_t)len + 1, fmt, again);
        str->len += (size_t)len;
    }
    va_end(again);
    va_end(ap);
}

void spak_str_clear(spak_str *str) {
    str->len = 0;
    str->oom = false;
    if (str->data) str->data[0] = 0;
}

void spak_str_free(spak_str *str) {
    spak_free(str->data);
    *str = (spak_str){0};
}

bool spak_str_ok(const spak_str *str, spak_error *err) { return str->oom ? spak_fail_oom(err) : true; }

const char *spak_str_text(const spak_str *str) { return str->data ? str->data : ""; }

bool spak_ends_with(const char *text, const char *suffix) {
    size_t len = strlen(text), tail = strlen(suffix);
    return len >= tail && memcmp(text + len - tail, suffix, tail) == 0;
}

bool spak_starts_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

size_t spak_first_bad_utf8(const char *text, size_t len) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        uint64_t eight;
        if (len - i >= 8 && (memcpy(&eight, s + i, 8), !(eight & 0x8080808080808080u))) {
            i += 8;
            continue;
        }
        unsigned char c = s[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 9;
        if (more > 3 || len - i <= more) return i;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80) return i;
        if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) || (c == 0xf0 && s[i + 1] < 0x90) ||
            (c == 0xf4 && s[i + 1] > 0x8f))
            return i;
        i += more + 1;
    }
    return len;
}
