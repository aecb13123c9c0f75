/* The manifest, and where its files are found.
 *
 * A file counts as a data set only when it has the size and the SHA-256 of the manifest, whoever put it there: a mirror
 * may be older than the manifest, and a cache may have been edited. Such a file is an error and no reason to look
 * further down, for else a run that was meant for the data set would quietly take the stand-in. The bytes that are
 * hashed are the bytes that are given out: a file that changes between two reads cannot slip through. */
#include "data/data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "data/data_internal.h"
#include "dsl/dsl.h"

static const char MANIFEST[] = "data/MANIFEST.dsl";

/* --- the manifest --- */

static bool is_hash(const char *text) {
    return strlen(text) == SPAK_SHA256_HEX && strspn(text, "0123456789abcdef") == SPAK_SHA256_HEX;
}

/* A path that stays where it is put, and the only one of its file: relative, without "." and ".." and empty parts, and
 * no option of a program. */
static bool is_path(const char *text) {
    return *text && !strchr("/-.", *text) && !strstr(text, "/.") && !strstr(text, "//") && !spak_ends_with(text, "/") &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == strlen(text);
}

static bool is_text(const char *text) { return *text; }

static const struct {
    const char *key;
    bool (*good)(const char *text);
    const char *expected;
    bool needed;
} keys[] = {
    {"file", is_path, "a relative path without '..'", true},
    {"sha256", is_hash, "64 lower-case hexadecimal digits", true},
    {"url", is_text, "an address", true},
    {"license", is_text, "the name of a licence", true},
    {"holds", is_text, "what it holds", true},
    {"builtin", is_path, "a relative path without '..'", false},
    {"builtin_sha256", is_hash, "64 lower-case hexadecimal digits", false},
};

static bool bad_entry(const char *path, const json_t *block, const char *key, const char *expected, spak_error *err) {
    return spak_fail(err, "%s:%lld: data set %s: expected `%s` to be %s; put it right, or restore the file", path,
                     spak_json_int(block, "line", 0), spak_json_str(block, "name", "without a name"), key, expected);
}

static bool add_set(const char *path, const json_t *block, json_t *sets, spak_error *err) {
    const char *name = spak_json_str(block, "name", NULL);
    const json_t *bytes = dsl_value(block, "bytes");
    if (!name || !*name) return bad_entry(path, block, "dataset", "followed by a name", err);
    if (!json_is_integer(bytes) || json_integer_value(bytes) < 1)
        return bad_entry(path, block, "bytes", "the size of the file", err);
    json_t *set = json_pack("{s:s, s:I}", "name", name, "bytes", json_integer_value(bytes));
    if (!set || json_array_append_new(sets, set)) return spak_fail_oom(err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = dsl_text(dsl_value(block, keys[i].key), NULL);
        if (!text && !keys[i].needed) continue;
        if (!text || !keys[i].good(text)) return bad_entry(path, block, keys[i].key, keys[i].expected, err);
        if (json_object_set_new(set, keys[i].key, json_string(text))) return spak_fail_oom(err);
    }
    for (size_t i = 0; i + 1 < json_array_size(sets); i++) {
        const json_t *other = json_array_get(sets, i);
        static const char *const own[] = {"name", "file"};
        for (int k = 0; k < 2; k++)
            if (!strcmp(spak_json_str(other, own[k], ""), spak_json_str(set, own[k], "")))
                return bad_entry(path, block, own[k], "no other data set's", err);
    }
    if (!json_object_get(set, "builtin") != !json_object_get(set, "builtin_sha256"))
        return bad_entry(path, block, "builtin", "given together with `builtin_sha256`", err);
    return true;
}

static bool parse(const char *path, json_t **meaning, spak_error *err) {
    dsl_doc *doc = NULL;
    bool ok = dsl_parse_file(path, &doc, err);
    if (ok && dsl_error_count(doc)) {
        spak_str text = {0};
        dsl_format_diagnostic(doc, dsl_diagnostic_at(doc, 0), &text);
        ok = spak_str_ok(&text, err) && spak_fail(err, "%s", spak_str_text(&text));
        spak_str_free(&text);
    }
    ok = ok && dsl_meaning(doc, meaning, err);
    dsl_free(doc);
    return ok;
}

bool data_manifest(const char *root, json_t **sets, spak_error *err) {
    spak_str path = {0};
    json_t *meaning = NULL;
    if (root && strcmp(root, ".") != 0) spak_str_printf(&path, "%s/", root);
    spak_str_puts(&path, MANIFEST);
    *sets = json_array();
    bool ok = (*sets || spak_fail_oom(err)) && spak_str_ok(&path, err) && parse(path.data, &meaning, err);
    const json_t *block;
    for (size_t i = 0; ok && (block = dsl_block(meaning, "dataset", NULL, i)); i++)
        ok = add_set(path.data, block, *sets, err);
    json_decref(meaning);
    spak_str_free(&path);
    if (!ok) {
        json_decref(*sets);
        *sets = NULL;
    }
    return ok;
}

bool data_find(const json_t *sets, const char *name, const json_t **set, spak_error *err) {
    spak_str names = {0};
    for (size_t i = 0; i < json_array_size(sets); i++) {
        *set = json_array_get(sets, i);
        const char *other = spak_json_str(*set, "name", "");
        if (!strcmp(other, name)) {
            spak_str_free(&names);
            return true;
        }
        spak_str_printf(&names, "%s%s", i ? ", " : "", other);
    }
    *set = NULL;
    spak_fail(err, "%s holds no data set '%s'; it holds %s", MANIFEST, name, names.len ? names.data : "none");
    spak_str_free(&names);
    return false;
}

/* --- where a data set lies --- */

/* Whether there is something at this path. What cannot be looked at is no absence: a run that was meant for it would
 * quietly take what is further down. */
static bool is_there(const char *path, const char *remedy, bool *there, spak_error *err) {
    struct stat st;
    *there = lstat(path, &st) == 0;
    if (!*there && errno == ENOENT) return true;
    if (*there && stat(path, &st) == 0) return true;
    return spak_fail_errno(err, "%s: cannot be looked at (a symbolic link that leads nowhere?); %s", path, remedy);
}

static const char *remedy(const char *origin) {
    if (!strcmp(origin, "mirror")) return "replace it there, or unset SPAK_DATA_MIRROR";
    if (!strcmp(origin, "cache")) return "remove it; `make data` fetches it again";
    if (!strcmp(origin, "builtin")) return "restore it: it is a part of the project";
    return "nothing was kept";
}

bool data_cache_path(const json_t *set, spak_str *path) {
    spak_str_printf(path, "data/cache/%s", spak_json_str(set, "file", ""));
    return !path->oom;
}

static bool mirror_path(const json_t *set, spak_str *path, spak_error *err) {
    const char *mirror = getenv("SPAK_DATA_MIRROR");
    struct stat st;
    if (!mirror || !*mirror) return true;
    if (stat(mirror, &st) != 0 || !S_ISDIR(st.st_mode))
        return spak_fail(err, "SPAK_DATA_MIRROR names %s, which is no folder; correct it or unset it", mirror);
    spak_str_printf(path, "%s/%s", mirror, spak_json_str(set, "file", ""));
    return spak_str_ok(path, err);
}

bool data_locate(const json_t *set, const char **origin, spak_str *path, spak_error *err) {
    bool there = false;
    *origin = NULL;
    spak_str_clear(path);
    if (!mirror_path(set, path, err)) return false;
    if (path->len && !is_there(path->data, remedy("mirror"), &there, err)) return false;
    if (there) {
        *origin = "mirror";
        return true;
    }
    spak_str_clear(path);
    if (!data_cache_path(set, path)) return spak_fail_oom(err);
    if (!is_there(path->data, remedy("cache"), &there, err)) return false;
    if (there) {
        *origin = "cache";
        return true;
    }
    spak_str_clear(path);
    const char *builtin = spak_json_str(set, "builtin", NULL);
    if (!builtin) return true;
    *origin = "builtin";
    spak_str_puts(path, builtin);
    return spak_str_ok(path, err);
}

bool data_absent(const json_t *set) {
    spak_str path = {0};
    const char *origin = NULL;
    bool absent = data_locate(set, &origin, &path, NULL) && (!origin || !strcmp(origin, "builtin"));
    spak_str_free(&path);
    return absent;
}

/* --- opening --- */

bool data_check(const json_t *set, const char *origin, const char *path, const char *bytes, size_t size,
                char sha256[SPAK_SHA256_HEX + 1], spak_error *err) {
    bool builtin = !strcmp(origin, "builtin");
    long long want = spak_json_int(set, "bytes", 0);
    const char *hash = spak_json_str(set, builtin ? "builtin_sha256" : "sha256", "");
    if (!builtin && (long long)size != want)
        return spak_fail(err, "%s: expected %lld bytes, found %zu: this is not the data set %s of %s; %s", path, want,
                         size, spak_json_str(set, "name", ""), MANIFEST, remedy(origin));
    if (!size) return spak_fail(err, "%s: is empty, which no data set is; %s", path, remedy(origin));
    if (!spak_sha256(bytes, size, sha256, err)) return false;
    return !strcmp(sha256, hash) ||
           spak_fail(err, "%s: expected SHA-256 %s, found %s: this is not the data set %s of %s; %s", path, hash,
                     sha256, spak_json_str(set, "name", ""), MANIFEST, remedy(origin));
}

static bool fill(const json_t *set, data_set *data, spak_error *err) {
    spak_str path = {0}, bytes = {0};
    const char *name = spak_json_str(set, "name", "");
    bool ok = data_locate(set, &data->origin, &path, err);
    if (ok && !data->origin)
        ok = spak_fail(err,
                       "the data set %s is neither in data/cache nor in a folder named by SPAK_DATA_MIRROR; "
                       "`build/spak data fetch %s` fetches it",
                       name, name);
    ok = ok && spak_read_file(path.data, &bytes, err) &&
         data_check(set, data->origin, path.data, spak_str_text(&bytes), bytes.len, data->sha256, err);
    if (ok) {
        data->name = spak_strdup(name);
        data->size = bytes.len;
        data->bytes = bytes.data;
        bytes.data = NULL;
        ok = (data->name && data->bytes) || spak_fail_oom(err);
    }
    spak_str_free(&path);
    spak_str_free(&bytes);
    return ok;
}

bool data_open(const char *name, data_set **set, spak_error *err) {
    json_t *sets = NULL;
    const json_t *entry = NULL;
    *set = spak_calloc(1, sizeof **set);
    bool ok = (*set || spak_fail_oom(err)) && data_manifest(".", &sets, err) && data_find(sets, name, &entry, err) &&
              fill(entry, *set, err);
    json_decref(sets);
    if (!ok) {
        data_close(*set);
        *set = NULL;
    }
    return ok;
}

void data_close(data_set *set) {
    if (!set) return;
    spak_free(set->name);
    spak_free(set->bytes);
    spak_free(set);
}

bool data_describe(const char *name, json_t **description, spak_error *err) {
    json_t *sets = NULL;
    const json_t *entry = NULL;
    data_set *set = NULL;
    *description = NULL;
    bool ok = data_open(name, &set, err) && data_manifest(".", &sets, err) && data_find(sets, name, &entry, err);
    if (ok) {
        bool builtin = !strcmp(set->origin, "builtin"); /* the project's own, under its own licence */
        *description =
            json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", name, "origin", set->origin, "sha256", set->sha256, "bytes",
                      (json_int_t)set->size, "license", builtin ? "MIT" : spak_json_str(entry, "license", ""));
        ok = *description || spak_fail_oom(err);
    }
    data_close(set);
    json_decref(sets);
    return ok;
}

bool data_is_whole(const char *name, const char *sha256) {
    json_t *sets = NULL;
    const json_t *set = NULL;
    bool whole = data_manifest(".", &sets, NULL) && data_find(sets, name, &set, NULL) &&
                 !strcmp(spak_json_str(set, "sha256", ""), sha256);
    json_decref(sets);
    return whole;
}
