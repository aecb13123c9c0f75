/* A Markdown file as lines that know what they are: just enough to tell prose from code, front matter and generated
 * parts. Only fenced code counts as code; four spaces of indent mean a list's paragraph here. */
#include <string.h>

#include "base/alloc.h"
#include "report/internal.h"

static size_t indent_of(const char *text) { return strspn(text, " "); }

/* Length of a fence of ` or ~ that opens or closes here, 0 for none. */
static size_t fence_length(const char *text, char *mark) {
    text += indent_of(text);
    if (*text != '`' && *text != '~') return 0;
    size_t len = strspn(text, *text == '`' ? "`" : "~");
    *mark = *text;
    return len >= 3 ? len : 0;
}

/* `<!-- NAME:begin -->` or `:end`, alone on its line. */
static bool is_marker(const char *text, const char *which) {
    char end[16];
    text += indent_of(text);
    size_t len = strlen(text), tail = (size_t)strlen(which) + strlen(": -->");
    if (!spak_starts_with(text, "<!-- ") || len < tail || tail >= sizeof end) return false;
    strcpy(end, ":");
    strcat(end, which);
    strcat(end, " -->");
    return spak_ends_with(text, end);
}

static void classify(rep_lines *lines) {
    bool front = lines->count > 0 && !strcmp(lines->at[0].text, "---");
    bool generated = false;
    size_t fence = 0;
    char mark = 0;
    for (size_t i = 0; i < lines->count; i++) {
        rep_line *line = &lines->at[i];
        const char *text = line->text;
        char this_mark = 0;
        size_t this_fence = fence_length(text, &this_mark);
        if (front) {
            line->kind = REP_FRONT;
            if (i > 0 && (!strcmp(text, "---") || !strcmp(text, "..."))) front = false;
        } else if (fence) {
            line->kind = REP_CODE;
            if (this_fence >= fence && this_mark == mark && text[indent_of(text) + this_fence] == '\0') fence = 0;
        } else if (generated) {
            line->kind = REP_GENERATED;
            if (is_marker(text, "end")) generated = false;
        } else if (this_fence) {
            line->kind = REP_CODE;
            fence = this_fence;
            mark = this_mark;
        } else if (is_marker(text, "begin")) {
            line->kind = REP_GENERATED;
            generated = true;
        } else if (text[strspn(text, " \t")] == '\0') {
            line->kind = REP_BLANK;
        } else {
            size_t hashes = strspn(text, "#");
            line->kind = hashes > 0 && hashes <= 6 && text[hashes] == ' ' ? REP_HEADING : REP_TEXT;
        }
    }
}

bool rep_text_check(const char *file, const char *text, size_t len, spak_error *err) {
    const char *zero = memchr(text, '\0', len);
    size_t bad = spak_first_bad_utf8(text, len), line = 1;
    if (zero && (size_t)(zero - text) < bad) bad = (size_t)(zero - text);
    if (bad == len) return true;
    for (size_t i = 0; i < bad; i++) line += text[i] == '\n';
    return spak_fail(err, "%s:%zu: expected UTF-8 text, found the byte 0x%02x; remove it or convert the file", file,
                     line, (unsigned)(unsigned char)text[bad]);
}

bool rep_lines_split(const char *text, size_t len, rep_lines *lines, spak_error *err) {
    memset(lines, 0, sizeof *lines);
    if (!rep_text_check("chapter", text ? text : "", text ? len : 0, err)) return false;
    lines->buffer = spak_strndup(text ? text : "", len);
    if (!lines->buffer) return spak_fail_oom(err);
    size_t count = 1;
    for (size_t i = 0; i < len; i++) count += text[i] == '\n';
    lines->at = spak_calloc(count, sizeof *lines->at);
    if (!lines->at) {
        rep_lines_free(lines);
        return spak_fail_oom(err);
    }
    for (char *c = lines->buffer; *c;) {
        char *end = strchr(c, '\n');
        lines->at[lines->count++].text = c;
        if (!end) break;
        *end = '\0';
        if (end > c && end[-1] == '\r') end[-1] = '\0';
        c = end + 1;
    }
    classify(lines);
    return true;
}

void rep_lines_free(rep_lines *lines) {
    spak_free(lines->buffer);
    spak_free(lines->at);
    memset(lines, 0, sizeof *lines);
}

bool rep_front_value(const rep_lines *lines, const char *key, spak_str *out) {
    size_t key_len = strlen(key);
    for (size_t i = 0; i < lines->count && lines->at[i].kind == REP_FRONT; i++) {
        const char *text = lines->at[i].text;
        if (strncmp(text, key, key_len) != 0 || text[key_len] != ':') continue;
        text += key_len + 1;
        text += strspn(text, " ");
        size_t len = strlen(text);
        while (len && text[len - 1] == ' ') len--;
        if (len >= 2 && (*text == '"' || *text == '\'') && text[len - 1] == *text) text++, len -= 2;
        spak_str_append(out, text, len);
        return true;
    }
    return false;
}
