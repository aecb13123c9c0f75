/* Writing.
 *
 * The file always consists of whole, chained lines, and perhaps one torn tail that the next opening cuts off. A record
 * goes out as one write() of line and newline followed by fdatasync, so trace_append returns true only for a record
 * that outlives a power cut. When either fails the file is cut back to the length that it had, and the writer stays
 * usable: a measurement that met a full disk can be appended again once there is room.
 *
 * Rejected: a write-ahead file and rename (two syncs a record, and no gain: the newline already marks the end of a
 * record), and buffering several records (a crash would lose measurements that were reported as kept). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "trace/trace_private.h"

struct trace_writer {
    char *path;
    int fd;
    uint64_t whole_bytes; /* length up to and with the last record's newline */
    trace_status status;
    bool broken; /* the file could not be cut back: it ends in half a record */
};

/* Opens and locks. The file may be renamed or removed between the two, by a clean-up or an archiver; then the lock is
 * on a file that no one will find again, and the opening starts over. */
static bool open_locked(trace_writer *writer, bool *created, spak_error *err) {
    for (int attempt = 0; attempt < 8; attempt++) {
        *created = !spak_exists(writer->path);
        writer->fd = open(writer->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (writer->fd < 0) return spak_fail_errno(err, "%s: cannot open this trace for writing", writer->path);
        struct stat mine, named;
        if (fstat(writer->fd, &mine) != 0) return spak_fail_errno(err, "%s: cannot examine this file", writer->path);
        if (!S_ISREG(mine.st_mode))
            return spak_fail(err, "%s: expected a regular file, found a device, pipe or folder; name another file",
                             writer->path);
        if (!trace_hold_take(writer->fd, writer->path, err)) return false;
        if (stat(writer->path, &named) == 0 && named.st_dev == mine.st_dev && named.st_ino == mine.st_ino) return true;
        close(writer->fd);
        writer->fd = -1;
    }
    return spak_fail(err, "%s: this file is being replaced again and again; stop what replaces it", writer->path);
}

static bool cut_torn_tail(trace_writer *writer, spak_error *err) {
    if (writer->status.torn_bytes == 0) return true;
    if (ftruncate(writer->fd, (off_t)writer->whole_bytes) == 0 && fsync(writer->fd) == 0) return true;
    return spak_fail_errno(err, "%s: cannot cut off the %zu bytes of a torn last line", writer->path,
                           writer->status.torn_bytes);
}

bool trace_open(const char *path, trace_writer **out, trace_status *status, spak_error *err) {
    *out = NULL;
    if (spak_ends_with(path, ".gz"))
        return spak_fail(err, "%s: a compressed trace is an archive and is only read; unpack it or name another file",
                         path);
    if (!spak_make_parent_dirs(path, err)) return false;
    trace_writer *writer = spak_calloc(1, sizeof *writer);
    if (!writer) return spak_fail_oom(err);
    writer->fd = -1;
    writer->path = spak_strdup(path);
    bool created = false;
    bool ok = writer->path || spak_fail_oom(err);
    ok = ok && open_locked(writer, &created, err);
    ok = ok && trace_scan(path, writer->fd, NULL, &writer->status, &writer->whole_bytes, err);
    ok = ok && cut_torn_tail(writer, err);
    if (!ok) {
        trace_close(writer);
        return false;
    }
    if (created) spak_sync_parent(path);
    if (status) *status = writer->status;
    *out = writer;
    return true;
}

void trace_close(trace_writer *writer) {
    if (!writer) return;
    if (writer->fd >= 0) close(writer->fd);
    spak_free(writer->path);
    spak_free(writer);
}

const char *trace_head(const trace_writer *writer) { return writer->status.head; }

const char *trace_path(const trace_writer *writer) { return writer->path; }

static bool check_body(const trace_writer *writer, const char *kind, const json_t *body, spak_error *err) {
    static const char *const ours[] = {"kind", "seq", "prev"};
    if (!trace_kind_known(kind))
        return spak_fail(err, "%s: expected a known kind of record (run, plan, ... end), found \"%.40s\"", writer->path,
                         kind);
    if (writer->status.records == 0 && strcmp(kind, "run") != 0)
        return spak_fail(err, "%s: expected the first record to be of kind \"run\", found \"%s\"; append it first",
                         writer->path, kind);
    if (!body)
        return spak_fail(err,
                         "%s: the \"%s\" record has no body: it holds a number that is not finite, text that is "
                         "not UTF-8, or memory ran out",
                         writer->path, kind);
    if (!json_is_object(body))
        return spak_fail(err, "%s: expected the \"%s\" record's body to be a JSON object", writer->path, kind);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (json_object_get(body, ours[i]))
            return spak_fail(err,
                             "%s: the \"%s\" record's body holds \"%s\", which the trace sets itself; rename that "
                             "field",
                             writer->path, kind, ours[i]);
    return true;
}

/* The record's line with its newline. body itself stays as it is, for others may hold it. */
static bool compose(const trace_writer *writer, const char *kind, json_t *body, spak_str *line, spak_error *err) {
    unsigned long failures = spak_alloc_failures();
    json_t *record = json_copy(body);
    bool ok = record && json_object_set_new(record, "kind", json_string(kind)) == 0 &&
              json_object_set_new(record, "seq", json_integer((json_int_t)writer->status.records)) == 0 &&
              json_object_set_new(record, "prev", json_string(writer->status.head)) == 0;
    if (!ok || spak_alloc_failures() != failures) ok = spak_fail_oom(err); /* json_copy drops failures silently */
    if (ok && !spak_json_canonical(record, line, err))
        ok = spak_fail_context(err, "%s: cannot write the \"%s\" record", writer->path, kind);
    json_decref(record);
    if (ok && line->len > TRACE_MAX_LINE)
        ok = spak_fail(err, "%s: the \"%s\" record has %zu bytes, at most 64 MiB can be read back; split it",
                       writer->path, kind, line->len);
    if (ok) spak_str_putc(line, '\n');
    return ok && spak_str_ok(line, err);
}

/* The lock holds off other writers of this kind, not an editor or a clean-up. */
static bool still_ours(trace_writer *writer, spak_error *err) {
    struct stat st;
    if (fstat(writer->fd, &st) != 0) return spak_fail_errno(err, "%s: cannot examine this trace", writer->path);
    if (st.st_nlink == 0)
        return spak_fail(err, "%s: this trace was deleted while being written; open it anew", writer->path);
    if ((uint64_t)st.st_size != writer->whole_bytes)
        return spak_fail(err,
                         "%s: expected %llu bytes, found %llu: another program changed this trace while it was "
                         "being written; open it anew, which verifies it",
                         writer->path, (unsigned long long)writer->whole_bytes, (unsigned long long)st.st_size);
    return true;
}

static bool write_line(trace_writer *writer, const spak_str *line, spak_error *err) {
    size_t done = 0;
    bool ok = true;
    while (ok && done < line->len) { /* a second turn only after a short write, to learn its reason */
        ssize_t put = write(writer->fd, line->data + done, line->len - done);
        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            ok = false;
    }
    if (ok && fdatasync(writer->fd) == 0) return true;
    spak_fail_errno(err, "%s: cannot append record %zu (is the disk full?)", writer->path, writer->status.records);
    if (ftruncate(writer->fd, (off_t)writer->whole_bytes) != 0) {
        writer->broken = true;
        return spak_fail_context(err, "%s: ends in half a record now, which the next opening cuts off", writer->path);
    }
    return false;
}

bool trace_append(trace_writer *writer, const char *kind, json_t *body, uint64_t *seq, spak_error *err) {
    spak_str line = {0};
    char head[SPAK_SHA256_HEX + 1];
    bool ok = !writer->broken ||
              spak_fail(err, "%s: an earlier append failed and left half a record; open the trace anew", writer->path);
    ok = ok && check_body(writer, kind, body, err) && compose(writer, kind, body, &line, err) &&
         spak_sha256(line.data, line.len - 1, head, err) && still_ours(writer, err) && write_line(writer, &line, err);
    if (ok) {
        if (seq) *seq = writer->status.records;
        writer->status.records++;
        writer->whole_bytes += line.len;
        memcpy(writer->status.head, head, sizeof head);
        trace_hold_name(writer->fd);
    }
    spak_str_free(&line);
    json_decref(body);
    return ok;
}
