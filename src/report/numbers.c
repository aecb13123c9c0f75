/* The check on numbers typed by hand.
 *
 * Whoever writes prose refers to a number by its name; a digit in the text is then a slip. What may hold digits: code,
 * formulae, link targets, numbering of headings and lists, and identifiers, where the digit touches a letter or is
 * joined to one by a hyphen (float32, AVX-512, GPT-2). To keep these from being a way round the rule, a code span or a
 * formula that is nothing but a number is flagged, and so is a number with a unit stuck to it (12ms). What remains
 * (a year, "10 minutes") is excused by `<!-- number: reason -->` on the same line, in the open and counted.
 *
 * The text is read in blocks, from blank line to blank line, because spans and formulae run over line ends. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "report/internal.h"

static const char *const units[] = {
    "%", "s",     "ms",    "us",     "ns",     "min",     "h",       "x",    "k",    "K",     "M",   "G",     "T",
    "B", "KB",    "MB",    "GB",     "TB",     "KiB",     "MiB",     "GiB",  "TiB",  "Hz",    "kHz", "MHz",   "GHz",
    "W", "GFLOP", "TFLOP", "GFLOPS", "TFLOPS", "GFLOP/s", "TFLOP/s", "GB/s", "MB/s", "GiB/s", "µs",  "bytes", "cores"};

typedef struct block {
    const char *file;
    size_t line; /* of the block's first character */
    const char *text;
    rep_problems *problems;
    const bool *excused; /* by line number */
    bool *needed;        /* by line number: the excuse was of use */
} block;

static bool is_unit(const char *text, size_t len) {
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i]) == len && !strncmp(units[i], text, len)) return true;
    return false;
}

/* A number, alone or followed by a unit. */
static bool number_and_unit(const char *text, size_t len) {
    while (len && isspace((unsigned char)*text)) text++, len--;
    while (len && isspace((unsigned char)text[len - 1])) len--;
    size_t i = 0, digits = 0;
    while (i < len && strchr("+-~<>=", text[i])) i++;
    while (i < len && (isdigit((unsigned char)text[i]) || text[i] == '.' || text[i] == ','))
        digits += isdigit((unsigned char)text[i++]) != 0;
    if (!digits) return false;
    if (i + 1 < len && (text[i] == 'e' || text[i] == 'E')) {
        size_t e = i + 1;
        while (e < len && strchr("+-", text[e])) e++;
        if (e < len && isdigit((unsigned char)text[e])) {
            for (i = e; i < len && isdigit((unsigned char)text[i]);) i++;
        }
    }
    while (i < len && text[i] == ' ') i++;
    return i == len || is_unit(text + i, len - i);
}

/* 512x512, 128x128x32 */
static bool product(const char *text, size_t len) {
    size_t i = 0;
    bool any = false;
    while (i < len) {
        size_t from = i;
        while (i < len && isdigit((unsigned char)text[i])) i++;
        if (i == from) return false;
        if (i == len) return any;
        if (text[i] != 'x') return false;
        any = true;
        i++;
    }
    return false;
}

static void flag(const block *b, size_t at, size_t len, const char *what) {
    size_t line = b->line;
    for (size_t i = 0; i < at; i++) line += b->text[i] == '\n';
    if (b->excused[line]) {
        b->needed[line] = true;
        return;
    }
    rep_problem(
        b->problems, b->file, line,
        "%s '%.*s' typed by hand; use {{value ...}}, or say why it is none of ours with <!-- number: reason -->", what,
        (int)(len > 60 ? 60 : len), b->text + at);
}

/* A formula that holds digits and, commands aside, no letter. */
static bool bare_formula(const char *text, size_t len) {
    bool digit = false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\') {
            while (i + 1 < len && isalpha((unsigned char)text[i + 1])) i++;
        } else if (isalpha((unsigned char)text[i]) || (unsigned char)text[i] >= 0x80) {
            return false;
        } else if (isdigit((unsigned char)text[i])) {
            digit = true;
        }
    }
    return digit;
}

static bool word_char(const char *c) {
    if (isalnum((unsigned char)*c) || *c == '_') return true;
    if (*c == ',') return isdigit((unsigned char)c[-1]) && isdigit((unsigned char)c[1]);
    return (*c == '-' || *c == '.') && isalnum((unsigned char)c[1]);
}

/* A word from `at`; returns its length. */
static size_t word(const block *b, size_t at) {
    const char *text = b->text + at;
    size_t len = 1;
    bool digit = isdigit((unsigned char)*text), letter = isalpha((unsigned char)*text);
    for (; text[len] && word_char(text + len); len++) {
        digit = digit || isdigit((unsigned char)text[len]);
        letter = letter || isalpha((unsigned char)text[len]);
    }
    if (digit && (!letter || number_and_unit(text, len) || product(text, len))) flag(b, at, len, "number");
    return len;
}

static size_t skip_to(const char *text, const char *end) {
    const char *found = strstr(text, end);
    return found ? (size_t)(found - text) + strlen(end) : 0;
}

/* A code span that opens at text[at]; returns its length, or that of the backticks when it never closes. */
static size_t code_span(const block *b, size_t at) {
    const char *text = b->text + at;
    size_t ticks = strspn(text, "`");
    for (size_t i = ticks; text[i];) {
        size_t run = strspn(text + i, "`");
        if (run == ticks) {
            if (number_and_unit(text + ticks, i - ticks)) flag(b, at, i + ticks, "code span that is a bare number");
            return i + ticks;
        }
        i += run ? run : 1;
    }
    return ticks;
}

/* $...$ by pandoc's rule, or $$...$$; 1 when it is only a dollar sign. */
static size_t formula(const block *b, size_t at) {
    const char *text = b->text + at;
    size_t marks = text[1] == '$' ? 2 : 1;
    if (marks == 1 && (!text[1] || isspace((unsigned char)text[1]))) return 1;
    for (size_t i = marks; text[i]; i++) {
        if (text[i] == '\\' && text[i + 1]) {
            i++;
        } else if (text[i] == '$' && (marks == 2 ? text[i + 1] == '$' : !isspace((unsigned char)text[i - 1]))) {
            if (bare_formula(text + marks, i - marks)) flag(b, at, i + marks, "formula that is a bare number");
            return i + marks;
        }
    }
    return marks;
}

static void scan(const block *b, size_t from, size_t to);

/* A directive; the caption of a figure is prose like any other. */
static size_t directive(const block *b, size_t at) {
    size_t len = skip_to(b->text + at, "}}");
    if (len && spak_starts_with(b->text + at, "{{figure")) {
        const char *open = memchr(b->text + at, '"', len);
        if (open) scan(b, (size_t)(open - b->text), at + len - 2);
    }
    return len;
}

/* What begins at `at` and may hold digits: its length, 0 when nothing special begins here. */
static size_t special(const block *b, size_t at) {
    const char *text = b->text + at;
    if (*text == '\\') return text[1] ? 2 : 1;
    if (*text == '`') return code_span(b, at);
    if (*text == '$') return formula(b, at);
    if (spak_starts_with(text, "{{")) return directive(b, at);
    if (spak_starts_with(text, "<!--")) return skip_to(text, "-->");
    if (spak_starts_with(text, "](")) return skip_to(text, ")");
    if (spak_starts_with(text, "[^")) return skip_to(text, "]");
    if (spak_starts_with(text, "{#") || spak_starts_with(text, "{.")) return skip_to(text, "}");
    if (spak_starts_with(text, "http://") || spak_starts_with(text, "https://")) return strcspn(text, " \n)>");
    if (*text == '<' && (isalpha((unsigned char)text[1]) || text[1] == '/')) return skip_to(text, ">");
    return 0;
}

/* Numbering at the start of a line: `1. `, `2) `, `## 2.1 `, and `[label]: target`. */
static size_t line_start(const char *text) {
    size_t i = strspn(text, " ");
    if (text[i] == '[') {
        size_t label = skip_to(text + i, "]:");
        if (label && !memchr(text + i, '\n', label)) return i + strcspn(text + i, "\n");
    }
    size_t hashes = strspn(text + i, "#"), n = i + hashes + strspn(text + i + hashes, " ");
    size_t number = strspn(text + n, "0123456789");
    if (!number) return 0;
    if (hashes) {
        number = strspn(text + n, "0123456789.");
        return text[n + number] == ' ' ? n + number : 0;
    }
    return (text[n + number] == '.' || text[n + number] == ')') && text[n + number + 1] == ' ' ? n + number + 1 : 0;
}

static void scan(const block *b, size_t from, size_t to) {
    for (size_t at = from; at < to;) {
        bool fresh = at == 0 || b->text[at - 1] == '\n';
        size_t len = fresh ? line_start(b->text + at) : 0;
        if (!len) len = special(b, at);
        if (!len && isalnum((unsigned char)b->text[at])) len = word(b, at);
        at += len ? len : 1;
    }
}

/* `<!-- number: reason -->` with a reason. */
static bool has_excuse(const char *file, size_t line, const char *text, rep_problems *problems) {
    const char *at = strstr(text, "<!-- number:");
    if (!at) return false;
    at += strlen("<!-- number:");
    at += strspn(at, " ");
    if (*at && !spak_starts_with(at, "-->")) return true;
    rep_problem(problems, file, line, "<!-- number: --> needs a reason");
    return false;
}

static bool is_prose(rep_line_kind kind) { return kind == REP_TEXT || kind == REP_HEADING || kind == REP_FRONT; }

static bool front_is_free(const char *text) {
    return spak_starts_with(text, "date:") || spak_starts_with(text, "lang:") || !strcmp(text, "---");
}

void rep_numbers(const char *file, const rep_lines *lines, rep_problems *problems, size_t *escapes) {
    bool *excused = spak_calloc(lines->count + 2, sizeof *excused),
         *needed = spak_calloc(lines->count + 2, sizeof *needed);
    spak_str text = {0};
    if (!excused || !needed) text.oom = true;
    for (size_t i = 0; !text.oom && i < lines->count; i++)
        excused[i + 1] = is_prose(lines->at[i].kind) && has_excuse(file, i + 1, lines->at[i].text, problems);
    for (size_t i = 0; !text.oom && i < lines->count;) {
        if (!is_prose(lines->at[i].kind)) {
            i++;
            continue;
        }
        size_t first = i;
        spak_str_clear(&text);
        for (; i < lines->count && lines->at[i].kind == lines->at[first].kind; i++) {
            bool skip = lines->at[i].kind == REP_FRONT && front_is_free(lines->at[i].text);
            spak_str_printf(&text, "%s\n", skip ? "" : lines->at[i].text);
        }
        block b = {file, first + 1, spak_str_text(&text), problems, excused, needed};
        scan(&b, 0, text.len);
    }
    for (size_t i = 1; !text.oom && i <= lines->count; i++) {
        if (excused[i] && !needed[i])
            rep_problem(problems, file, i, "<!-- number: ... --> excuses nothing; take it out");
        if (excused[i] && escapes) ++*escapes;
    }
    if (text.oom) rep_problem(problems, file, 0, "out of memory while checking numbers");
    spak_free(excused);
    spak_free(needed);
    spak_str_free(&text);
}

bool rep_check_numbers(const char *file, const char *text, size_t len, rep_problems *problems, size_t *escapes,
                       spak_error *err) {
    rep_lines lines;
    if (!rep_text_check(file, text, len, err) || !rep_lines_split(text, len, &lines, err)) return false;
    rep_numbers(file, &lines, problems, escapes);
    rep_lines_free(&lines);
    return spak_str_ok(&problems->text, err);
}
