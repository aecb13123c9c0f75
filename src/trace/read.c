/* Reading and verifying.
 *
 * A line is a record when it is the canonical form of a JSON object (parsed, written again, compared byte for byte: so
 * every byte of a line means something), its kind is known, its seq is the number of lines before it and its prev is
 * the hash of the line before it. One pass, one line in memory at a time.
 *
 * What the chain cannot see: a change to the last record that keeps it canonical, since no later line holds its hash,
 * and whole records cut from the end. Whoever keeps the head sees both; the lock file (lock.c) is such a keeper. */
#include <string.h>

#include "base/alloc.h"
#include "trace/trace_private.h"

#define RESTORE "restore this file from its archive, or move it away and measure again (a trace is never repaired)"

static const char *const kinds[] = {"run",     "plan",     "invariant", "ticket",  "hypothesis", "measure",
                                    "correct", "converge", "evaluate",  "insight", "end"};

bool trace_kind_known(const char *kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kind, kinds[i])) return true;
    return false;
}

typedef struct scan {
    const char *path;
    trace_status *status;
    json_t *records; /* NULL: verify only */
    spak_str line, again;
    uint64_t whole_bytes;
} scan;

static bool damage(const scan *s, spak_error *err, const char *what) {
    return spak_fail(err, "%s:%zu: damaged record: %s; " RESTORE, s->path, s->status->records + 1, what);
}

static bool is_canonical(scan *s, const json_t *record, spak_error *err) {
    spak_str_clear(&s->again);
    if (!spak_json_canonical(record, &s->again, err)) {
        return spak_fail_context(err, "%s:%zu", s->path, s->status->records + 1);
    }
    size_t same = 0, len = s->line.len;
    while (same < len && same < s->again.len && s->line.data[same] == s->again.data[same]) same++;
    if (same == len && same == s->again.len) return true;
    return spak_fail(err,
                     "%s:%zu:%zu: damaged record: expected canonical JSON (sorted keys, no white space, shortest "
                     "numbers), '%.20s', found '%.*s'; " RESTORE,
                     s->path, s->status->records + 1, same + 1, s->again.data + same,
                     (int)(len - same < 20 ? len - same : 20), s->line.data + same);
}

static bool check_links(const scan *s, const json_t *record, spak_error *err) {
    size_t line = s->status->records + 1;
    const json_t *seq = json_object_get(record, "seq");
    const char *kind = spak_json_str(record, "kind", NULL), *prev = spak_json_str(record, "prev", NULL);
    if (!kind) return damage(s, err, "expected a \"kind\" that is a string, found none");
    if (!trace_kind_known(kind))
        return spak_fail(
            err, "%s:%zu: damaged record: expected a known kind (run, plan, ... end), found \"%.40s\"; " RESTORE,
            s->path, line, kind);
    if (line == 1 && strcmp(kind, "run") != 0)
        return spak_fail(err,
                         "%s:1: damaged record: expected the first record's kind to be \"run\", found \"%s\"; " RESTORE,
                         s->path, kind);
    if (!json_is_integer(seq)) return damage(s, err, "expected a \"seq\" that is an integer, found none");
    if (json_integer_value(seq) != (json_int_t)s->status->records)
        return spak_fail(err,
                         "%s:%zu: damaged record: expected seq %zu, found %lld (a record was removed, moved or put "
                         "in); " RESTORE,
                         s->path, line, s->status->records, (long long)json_integer_value(seq));
    if (!prev) return damage(s, err, "expected a \"prev\" that is a string, found none");
    if (strcmp(prev, s->status->head) != 0)
        return spak_fail(err,
                         "%s:%zu: broken chain: expected prev %.16s... (the hash of the line before), found "
                         "%.16s...; this line or the one before was altered; " RESTORE,
                         s->path, line, s->status->head, prev);
    return true;
}

/* Takes s->line, a whole line without its newline. */
static bool take_line(scan *s, spak_error *err) {
    json_error_t where;
    unsigned long failures = spak_alloc_failures();
    const char *text = spak_str_text(&s->line);
    json_t *record = json_loadb(text, s->line.len, JSON_REJECT_DUPLICATES, &where);
    bool ok = true;
    if (spak_alloc_failures() != failures)
        ok = spak_fail_oom(err);
    else if (!record)
        ok = spak_fail(err, "%s:%zu:%d: damaged record: expected a JSON object, found: %s; " RESTORE, s->path,
                       s->status->records + 1, where.column, where.text);
    else if (!json_is_object(record))
        ok = damage(s, err, "expected a JSON object, found an array");
    ok = ok && is_canonical(s, record, err) && check_links(s, record, err);
    ok = ok && spak_sha256(text, s->line.len, s->status->head, err);
    if (ok && s->records && json_array_append(s->records, record) != 0) ok = spak_fail_oom(err);
    json_decref(record);
    if (ok) {
        s->status->records++;
        s->whole_bytes += s->line.len + 1;
        spak_str_clear(&s->line);
    }
    return ok;
}

static bool take_bytes(scan *s, const char *data, size_t len, spak_error *err) {
    while (len) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        if (s->line.len + part > TRACE_MAX_LINE)
            return spak_fail(err, "%s:%zu: expected a record of at most 64 MiB, found a longer line; is this a trace?",
                             s->path, s->status->records + 1);
        spak_str_append(&s->line, data, part);
        if (!spak_str_ok(&s->line, err)) return false;
        if (!newline) return true;
        if (!take_line(s, err)) return false;
        data += part + 1;
        len -= part + 1;
    }
    return true;
}

bool trace_scan(const char *path, int fd, json_t *records, trace_status *status, uint64_t *whole_bytes,
                spak_error *err) {
    enum { BUFFER = 1 << 16 };
    *status = (trace_status){0};
    memset(status->head, '0', SPAK_SHA256_HEX);
    scan s = {.path = path, .status = status, .records = records};
    trace_source *source;
    if (!trace_source_open(path, fd, &source, err)) return false;
    char *buffer = spak_malloc(BUFFER);
    bool ok = buffer || spak_fail_oom(err);
    for (size_t got = 1; ok && got;) {
        ok = trace_source_read(source, buffer, BUFFER, &got, err) && take_bytes(&s, buffer, got, err);
    }
    status->torn_bytes = s.line.len;
    if (whole_bytes) *whole_bytes = s.whole_bytes;
    spak_free(buffer);
    spak_str_free(&s.line);
    spak_str_free(&s.again);
    trace_source_close(source);
    return ok;
}

bool trace_read(const char *path, json_t **records, trace_status *status, spak_error *err) {
    trace_status unused;
    *records = json_array();
    if (!*records) return spak_fail_oom(err);
    if (trace_scan(path, -1, *records, status ? status : &unused, NULL, err)) return true;
    json_decref(*records);
    *records = NULL;
    return false;
}

bool trace_verify(const char *path, trace_status *status, spak_error *err) {
    trace_status unused;
    return trace_scan(path, -1, NULL, status ? status : &unused, NULL, err);
}
