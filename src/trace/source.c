/* The bytes of a trace: a plain file, or, when the name ends in .gz, what its gzip members unpack to. zlib's own gzread
 * is not used because it takes a cut-off file for a shorter one and allocates past base/alloc.h. */
#include <errno.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "trace/trace_private.h"

struct trace_source {
    const char *path;
    int fd;
    bool own_fd, gzip;
    z_stream stream;
    bool in_member, any_member, input_ended;
    uint64_t unpacked;
    unsigned char packed[1 << 15];
};

static void *zlib_alloc(void *unused, unsigned count, unsigned size) {
    (void)unused;
    return spak_calloc(count, size);
}

static void zlib_free(void *unused, void *ptr) {
    (void)unused;
    spak_free(ptr);
}

bool trace_source_open(const char *path, int fd, trace_source **out, spak_error *err) {
    trace_source *source = spak_calloc(1, sizeof *source);
    *out = NULL;
    if (!source) return spak_fail_oom(err);
    source->path = path;
    source->own_fd = fd < 0;
    source->fd = source->own_fd ? spak_open_read(path, err) : fd;
    bool ok = source->fd >= 0;
    if (ok && !source->own_fd && lseek(fd, 0, SEEK_SET) != 0)
        ok = spak_fail_errno(err, "%s: cannot go to the start of this trace", path);
    if (ok && spak_ends_with(path, ".gz")) {
        source->stream.zalloc = zlib_alloc;
        source->stream.zfree = zlib_free;
        source->gzip = inflateInit2(&source->stream, 15 + 16) == Z_OK; /* 32 KiB window, gzip header wanted */
        if (!source->gzip) ok = spak_fail_oom(err);
    }
    if (ok)
        *out = source;
    else
        trace_source_close(source);
    return ok;
}

void trace_source_close(trace_source *source) {
    if (!source) return;
    if (source->gzip) inflateEnd(&source->stream);
    if (source->own_fd && source->fd >= 0) close(source->fd);
    spak_free(source);
}

static bool read_raw(trace_source *source, void *buffer, size_t size, size_t *got, spak_error *err) {
    ssize_t count;
    do count = read(source->fd, buffer, size);
    while (count < 0 && errno == EINTR);
    *got = count > 0 ? (size_t)count : 0;
    return count >= 0 || spak_fail_errno(err, "%s: cannot read this trace", source->path);
}

/* Makes input available; false on a read error. */
static bool refill(trace_source *source, spak_error *err) {
    if (source->stream.avail_in || source->input_ended) return true;
    size_t got;
    if (!read_raw(source, source->packed, sizeof source->packed, &got, err)) return false;
    source->stream.next_in = source->packed;
    source->stream.avail_in = (unsigned)got;
    source->input_ended = got == 0;
    return true;
}

static bool bad_gzip(const trace_source *source, const char *what, spak_error *err) {
    return spak_fail(err, "%s: %s; restore this file from where it was archived", source->path, what);
}

static bool unpack(trace_source *source, char *buffer, size_t size, size_t *got, spak_error *err) {
    *got = 0;
    while (*got == 0) {
        if (!refill(source, err)) return false;
        if (source->stream.avail_in == 0) {
            if (source->in_member) return bad_gzip(source, "the gzip data ends in the middle", err);
            return source->any_member || bad_gzip(source, "expected gzip data, found an empty file", err);
        }
        source->in_member = source->any_member = true;
        source->stream.next_out = (unsigned char *)buffer;
        source->stream.avail_out = (unsigned)size;
        int rc = inflate(&source->stream, Z_NO_FLUSH);
        *got = size - source->stream.avail_out;
        source->unpacked += *got;
        if (source->unpacked > TRACE_MAX_UNPACKED)
            return spak_fail(err, "%s: unpacks to more than 1 GiB; split the trace", source->path);
        if (rc == Z_MEM_ERROR) return spak_fail_oom(err);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return bad_gzip(source, source->stream.msg ? source->stream.msg : "not gzip data", err);
        if (rc == Z_STREAM_END) {
            source->in_member = false;
            inflateReset(&source->stream);
        }
    }
    return true;
}

bool trace_source_read(trace_source *source, char *buffer, size_t size, size_t *got, spak_error *err) {
    return source->gzip ? unpack(source, buffer, size, got, err) : read_raw(source, buffer, size, got, err);
}
