/* The trace: JSON Lines, append-only, each record chained to the line before it by SHA-256.
 *
 * A record is one JSON object in canonical form (base/json.h) on one line. Every record holds
 *   "kind"  run | plan | invariant | ticket | hypothesis | measure | correct | converge | evaluate | insight | end
 *   "seq"   0, 1, 2, ...
 *   "prev"  SHA-256 of the previous line's bytes without its newline; 64 zeros for the first
 * beside its own fields. The first record's kind is "run" and holds the whole environment. The chain shows that no
 * record was altered, removed or put in after the fact; it does not show that a measurement was right. The last record
 * and the length of the chain are pinned by whoever keeps the head: the lock file does for archived traces.
 *
 * A power cut can leave a last line without its newline or with half its bytes. Such a tail is reported by readers and
 * cut off by the next writer; what stands before it is never touched. A bad line anywhere else is damage, and every
 * function here then fails and names the line. */
#ifndef SPAK_TRACE_TRACE_H
#define SPAK_TRACE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"

#define TRACE_MARKER "__SPAK_TRACE__ "

typedef struct trace_status {
    size_t records;
    char head[SPAK_SHA256_HEX + 1]; /* hash of the last whole line; 64 zeros for an empty trace */
    size_t torn_bytes;              /* length of a truncated last line, 0 when there is none */
} trace_status;

/* Reads a trace and verifies the chain; *records becomes a new JSON array in order, NULL on failure. status may be
 * NULL. Files that end in .gz are read through zlib (at most 1 GiB unpacked); a gzip file cut short is damage. A line
 * may have 64 MiB. */
bool trace_read(const char *path, json_t **records, trace_status *status, spak_error *err);

/* The same check without building the records. */
bool trace_verify(const char *path, trace_status *status, spak_error *err);

typedef struct trace_writer trace_writer;

/* Opens for appending: makes the file (and folders) when absent, takes an exclusive lock (a second writer gets an error
 * that names the holder's process id, also within one process), verifies the chain and cuts off a torn tail
 * (status->torn_bytes says so). */
bool trace_open(const char *path, trace_writer **writer, trace_status *status, spak_error *err);

/* Appends one record and syncs it to disk. body: an object without kind/seq/prev; its reference is stolen, also on
 * failure, and the object itself is not changed. The kind must be one of the eleven, and the first record's kind must
 * be "run". seq may be NULL. After a failed write (disk full) the file is cut back to the last whole line, and the
 * writer can be used again. body may be NULL, which is an error: json_pack gives that for a number that is not finite.
 * (json_object_set_new(body, key, json_real(NAN)) in contrast leaves the field out; check what it returns.) */
bool trace_append(trace_writer *writer, const char *kind, json_t *body, uint64_t *seq, spak_error *err);

/* Hash of the line last appended (or found at opening). */
const char *trace_head(const trace_writer *writer);
const char *trace_path(const trace_writer *writer);
void trace_close(trace_writer *writer);

/* Runs argv, passes its output through, and appends a record for each line that starts with TRACE_MARKER (the rest of
 * the line is the record's JSON object with its "kind"). *exit_status is the program's, 128 + n when signal n ended it,
 * 127 when it could not be started. A marked line that is no valid record is reported with its line number in the
 * output and makes this fail after the program has ended; good records around it are kept. */
bool trace_collect(trace_writer *writer, char *const argv[], int *exit_status, spak_error *err);

/* The lock file: one line "HEAD  RECORDS  PATH" for each archived trace, PATH relative to the lock file's folder.
 * Check: every listed trace verifies and ends in the pinned head, and every *.jsonl[.gz] below the folder is listed;
 * *traces (may be NULL) is their number. Write: refuses a damaged or torn trace, and leaves an unchanged lock file
 * alone. */
bool trace_lock_check(const char *lock_path, size_t *traces, spak_error *err);
bool trace_lock_write(const char *lock_path, spak_error *err);

#endif
