/* What the files of src/data share. */
#ifndef SPAK_DATA_DATA_INTERNAL_H
#define SPAK_DATA_DATA_INTERNAL_H

#include "data/data.h"

/* data/cache/FILE, appended; false when out of memory. */
bool data_cache_path(const json_t *set, spak_str *path);

/* Whether these bytes, read from path, are the data set (origin "builtin": its stand-in); fills their hash. */
bool data_check(const json_t *set, const char *origin, const char *path, const char *bytes, size_t size,
                char sha256[SPAK_SHA256_HEX + 1], spak_error *err);

#endif
