/* Data sets: the files of data/MANIFEST.dsl, each taken only when its SHA-256 is the manifest's.
 *
 * Looked for in this order: the folder that SPAK_DATA_MIRROR names, then data/cache (what data_fetch downloaded), then
 * the small stand-in that the project makes itself (the manifest's `builtin`). Which one it was, and its hash, go into
 * the trace: a result on a stand-in is not a result on the data set. Paths are relative to the project's root, which is
 * the current folder, as everywhere. */
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

/* Whether content of this hash is the data set itself, as the manifest has it now, and not its stand-in. */
bool data_is_whole(const char *name, const char *sha256);

/* --- the manifest, for `spak data` and for the report --- */

/* ROOT/data/MANIFEST.dsl as [{"name", "file", "bytes", "sha256", "url", "license", "holds", and where there is a
 * stand-in "builtin", "builtin_sha256"}], in its order. Fails, with file and line, when an entry lacks one of these,
 * has a bad one, or the name or file of another. New reference. */
bool data_manifest(const char *root, json_t **sets, spak_error *err);

/* The data set of that name in what data_manifest gave; borrowed. Fails, with the names that there are. */
bool data_find(const json_t *sets, const char *name, const json_t **set, spak_error *err);

/* Where a data set of the manifest lies, appended to path, and its origin. NULL as the origin, and no path, when it is
 * nowhere. A mirror that is no folder is an error, and so is a symbolic link that leads nowhere. What the file holds is
 * not looked at: data_open does that. */
bool data_locate(const json_t *set, const char **origin, spak_str *path, spak_error *err);

/* Whether it must be fetched to be had: it is neither in the mirror nor in the cache. False too when that cannot be
 * told, for then data_locate says what is wrong. */
bool data_absent(const json_t *set);

/* Downloads a data set of the manifest to data/cache with the program curl, at most 2 minutes (5 s to connect), into a
 * file beside it that is renamed once its size and hash are right. Fails without a network, without curl and on other
 * content than expected; then nothing is left behind. */
bool data_fetch(const json_t *set, spak_error *err);

#endif
