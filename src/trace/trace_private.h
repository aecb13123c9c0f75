/* What the files of this folder share; callers use trace/trace.h. */
#ifndef SPAK_TRACE_PRIVATE_H
#define SPAK_TRACE_PRIVATE_H

#include "base/str.h"
#include "trace/trace.h"

/* A record's line may be this long, a compressed trace this large when unpacked (bytes). */
enum { TRACE_MAX_LINE = 64 << 20 };
#define TRACE_MAX_UNPACKED ((uint64_t)1 << 30)

bool trace_kind_known(const char *kind);

/* --- source.c: bytes of a trace, plain or gzip --- */

typedef struct trace_source trace_source;

/* fd >= 0: reads that descriptor from its start and leaves it open; else opens path. */
bool trace_source_open(const char *path, int fd, trace_source **source, spak_error *err);
/* *got is 0 at the end. */
bool trace_source_read(trace_source *source, char *buffer, size_t size, size_t *got, spak_error *err);
void trace_source_close(trace_source *source);

/* --- read.c --- */

/* Reads and verifies to the end of the source; records, when not NULL, gets each record appended. status holds the
 * chain's end; *whole_bytes is the length up to and with the last newline. */
bool trace_scan(const char *path, int fd, json_t *records, trace_status *status, uint64_t *whole_bytes,
                spak_error *err);

/* --- hold.c: one writer a file --- */

/* Takes the exclusive lock or fails and names the holder. The kernel drops it with the last descriptor. */
bool trace_hold_take(int fd, const char *path, spak_error *err);
/* Makes this process the one that a refused writer is told of. */
void trace_hold_name(int fd);

#endif
