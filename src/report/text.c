/* Escaping for HTML, Markdown and LaTeX, numbers through a checked format, names that are safe as file names. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/internal.h"

void rep_html(spak_str *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
            case '&': spak_str_puts(out, "&amp;"); break;
            case '<': spak_str_puts(out, "&lt;"); break;
            case '>': spak_str_puts(out, "&gt;"); break;
            case '"': spak_str_puts(out, "&quot;"); break;
            default: spak_str_putc(out, *text);
        }
    }
}

void rep_markdown(spak_str *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\n') { /* a cell or caption is one line */
            spak_str_putc(out, ' ');
            continue;
        }
        if (strchr("\\`*_[]<>|~^$#", *text)) spak_str_putc(out, '\\');
        spak_str_putc(out, *text);
    }
}

void rep_latex(spak_str *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
            case '\\': spak_str_puts(out, "\\textbackslash{}"); break;
            case '~': spak_str_puts(out, "\\textasciitilde{}"); break;
            case '^': spak_str_puts(out, "\\textasciicircum{}"); break;
            case '<': spak_str_puts(out, "\\textless{}"); break;
            case '>': spak_str_puts(out, "\\textgreater{}"); break;
            case '\n': spak_str_putc(out, ' '); break;
            case '&':
            case '%':
            case '$':
            case '#':
            case '_':
            case '{':
            case '}': spak_str_putc(out, '\\'); /* fall through */
            default: spak_str_putc(out, *text);
        }
    }
}

bool rep_valid_name(const char *name) {
    if (!name || !*name || strlen(name) > 90) return false;
    bool fresh = true; /* at the start of a part, which must begin with a letter or digit */
    for (const char *c = name; *c; c++) {
        if (*c == '/') {
            if (fresh) return false;
            fresh = true;
        } else if (isalnum((unsigned char)*c)) {
            fresh = false;
        } else if (!strchr("_-.", *c) || fresh) {
            return false;
        }
    }
    return !fresh;
}

void rep_problem(rep_problems *problems, const char *file, size_t line, const char *fmt, ...) {
    char message[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (line > 0)
        spak_str_printf(&problems->text, "%s:%zu: %s\n", file, line, message);
    else
        spak_str_printf(&problems->text, "%s: %s\n", file, message);
    problems->count++;
}

void rep_problems_free(rep_problems *problems) {
    spak_str_free(&problems->text);
    problems->count = 0;
}

void rep_path(spak_str *out, const char *base, const char *path) {
    if (base && *base && strcmp(base, ".") != 0) spak_str_printf(out, "%s/", base);
    spak_str_puts(out, path);
}

/* Copies one conversion (`%` flags width precision letter) and gives its letter, or 0 when it is none we know. */
static char conversion(const char **at, char spec[24]) {
    const char *c = *at + 1;
    while (*c && strchr("+- 0", *c)) c++;
    while (isdigit((unsigned char)*c)) c++;
    if (*c == '.')
        for (c++; isdigit((unsigned char)*c);) c++;
    size_t len = (size_t)(c - *at) + 1;
    if (!*c || !strchr("fegd", *c) || len >= 20) return 0;
    memcpy(spec, *at, len);
    spec[len] = '\0';
    *at = c;
    return *c;
}

bool rep_format_number(const char *format, double value, spak_str *out, spak_error *err) {
    if (!isfinite(value)) return spak_fail(err, "a number to print is not finite; measure it again or leave it out");
    if (!format) {
        char text[32];
        spak_number_text(value, text);
        size_t len = strlen(text);
        if (len > 2 && !strcmp(text + len - 2, ".0")) text[len - 2] = '\0';
        spak_str_puts(out, text);
        return true;
    }
    int conversions = 0;
    for (const char *c = format; *c; c++) {
        if (*c != '%') {
            spak_str_putc(out, *c);
        } else if (c[1] == '%') {
            spak_str_putc(out, *++c);
        } else {
            char spec[24];
            char letter = conversion(&c, spec);
            if (!letter || ++conversions > 1) {
                return spak_fail(
                    err, "format '%s': expected exactly one of %%f %%e %%g %%d (and %%%% for a per cent sign)", format);
            }
            if (letter == 'd') { /* through %.0f: a count may exceed an int */
                strcpy(spec + strlen(spec) - 1, ".0f");
            }
            char text[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int len = snprintf(text, sizeof text, spec, value);
#pragma GCC diagnostic pop
            if (len < 0 || (size_t)len >= sizeof text)
                return spak_fail(err, "format '%s': the text is too long", format);
            spak_str_puts(out, text);
        }
    }
    if (conversions != 1) {
        return spak_fail(err, "format '%s': expected exactly one of %%f %%e %%g %%d, found none", format);
    }
    return true;
}
