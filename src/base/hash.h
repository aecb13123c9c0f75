/* SHA-256 (libcrypto), always as 64 lower-case hex digits. */
#ifndef SPAK_BASE_HASH_H
#define SPAK_BASE_HASH_H

#include <stddef.h>

#include "base/err.h"

enum { SPAK_SHA256_HEX = 64 };

/* The hash of len bytes. */
bool spak_sha256(const void *data, size_t len, char hex[SPAK_SHA256_HEX + 1], spak_error *err);

/* The same in pieces: end frees the hasher (end(hasher, NULL, NULL) does no more) and fails when any piece did. */
typedef struct spak_hasher spak_hasher;
bool spak_hasher_begin(spak_hasher **hasher, spak_error *err);
void spak_hasher_put(spak_hasher *hasher, const void *data, size_t len);
bool spak_hasher_end(spak_hasher *hasher, char hex[SPAK_SHA256_HEX + 1], spak_error *err);

/* The hash of a file's content, read in pieces. */
bool spak_sha256_file(const char *path, char hex[SPAK_SHA256_HEX + 1], spak_error *err);

/* The hash of the running program's own binary (/proc/self/exe), computed once. */
bool spak_sha256_self(char hex[SPAK_SHA256_HEX + 1], spak_error *err);

#endif
