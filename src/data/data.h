/* Data sets: the files of data/MANIFEST.dsl, each taken only when its SHA-256 is the manifest's.
 *
 * Looked for in this order: the folder that SPAK_DATA_MIRROR names, then data/cache (what data_fetch downloaded), then
 * the small stand-in that the project makes itself (the manifest's `builtin`). Which one it was, and its hash, go into
 * the trace: a result on a stand-in is not a result on the data set. */
#ifndef SPAK_DATA_DATA_H
#define SPAK_DATA_DATA_H

#include <stddef.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"

typedef struct data_set {
    char *name;
    char *bytes; /* size of them, and a NUL after the last */
    size_t size;
    const char *origin; /* "mirror", "cache" or "builtin" */
    char sha256[SPAK_SHA256_HEX + 1];
} data_set;

/* Never touches the network. A file in the mirror or the cache with another size or hash is an error that names it,
 * what was expected and what to do. Fails when the manifest has no such data set, or nothing at all is found. */
bool data_open(const char *name, data_set **set, spak_error *err);
void data_close(data_set *set); /* NULL is fine */

/* {"name", "origin", "sha256", "bytes", "license"}: what a trace says of it. New reference. */
bool data_describe(const char *name, json_t **description, spak_error *err);

#endif
