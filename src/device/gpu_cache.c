/* A variant's key, and what was compiled under it.
 *
 * The key covers everything that decides the machine code but the compiler's release: a change to any file on the way
 * gives another key, so that nothing is ever stale, and nothing has to be deleted. Includes are collected without
 * looking at #if: one too many costs a compilation, one too few would cost the truth. A name that resolves to no file
 * of kernels/ (a header of the host, behind #ifndef __CUDACC__) is left to the compiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "device/gpu_compile.h"

const char *const dev_targets[DEV_TARGETS] = {"sm_80", "sm_89", "sm_90a", "sm_120a"};

/* Changes when the flags that a variant is compiled with do. */
static const char flags[] = "spak-kernel 1: -std=c++17 -lineinfo -Ikernels\n";

enum { FILES_MAX = 128, PATH_ROOM = 512 };

/* --- the key --- */

typedef struct collection {
    char path[FILES_MAX][PATH_ROOM];
    size_t count;
} collection;

/* Writes folder/name with every "." and "x/.." taken out, so that a file has one name; false when it is too long. */
static bool join(char out[PATH_ROOM], const char *folder, size_t folder_len, const char *name, size_t name_len) {
    if (folder_len + name_len + 2 > PATH_ROOM) return false;
    size_t len = 0, root = *folder == '/';
    if (root) out[len++] = '/';
    for (int part = 0; part < 2; part++) {
        const char *at = part ? name : folder, *end = at + (part ? name_len : folder_len);
        while (at < end) {
            size_t n = 0;
            while (at + n < end && at[n] != '/') n++;
            if (n == 2 && at[0] == '.' && at[1] == '.') {
                if (len == root) return false;
                while (len > root && out[--len] != '/') continue;
            } else if (n > 0 && !(n == 1 && *at == '.')) {
                if (len > root) out[len++] = '/';
                memcpy(out + len, at, n);
                len += n;
            }
            at += n < (size_t)(end - at) ? n + 1 : n;
        }
    }
    out[len] = '\0';
    return true;
}

static bool add(collection *files, const char *path, spak_error *err) {
    for (size_t i = 0; i < files->count; i++)
        if (!strcmp(files->path[i], path)) return true;
    if (files->count == FILES_MAX) return spak_fail(err, "%s includes more than %d files", files->path[0], FILES_MAX);
    snprintf(files->path[files->count++], PATH_ROOM, "%s", path);
    return true;
}

/* The name between the quotes of an #include line, or NULL. */
static const char *included(const char *line, size_t *len) {
    line += strspn(line, " \t");
    if (*line++ != '#') return NULL;
    line += strspn(line, " \t");
    if (strncmp(line, "include", 7) != 0) return NULL;
    line += 7 + strspn(line + 7, " \t");
    if (*line++ != '"') return NULL;
    *len = strcspn(line, "\"\n");
    return line[*len] == '"' ? line : NULL;
}

/* Adds what one file includes: from its own folder when it is there, as the compilers do it, else from kernels/. */
static bool collect(collection *files, const char *path, const char *text, spak_error *err) {
    const char *slash = strrchr(path, '/');
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        size_t len;
        const char *name = included(line, &len);
        char found[PATH_ROOM];
        if (!name) continue;
        bool there = (join(found, path, slash ? (size_t)(slash - path) : 0, name, len) && spak_exists(found)) ||
                     (join(found, "kernels", 7, name, len) && spak_exists(found));
        if (there && !add(files, found, err)) return false;
    }
    return true;
}

static void put_text(spak_hasher *hasher, const char *text, size_t len) {
    char head[32];
    spak_hasher_put(hasher, head, (size_t)snprintf(head, sizeof head, "%zu:", len));
    spak_hasher_put(hasher, text, len);
}

static bool hash_files(collection *files, spak_hasher *hasher, spak_str *text, spak_error *err) {
    for (size_t i = 0; i < files->count; i++) {
        spak_str more = {0}, *into = i == 0 ? text : &more;
        bool good = spak_read_file(files->path[i], into, err) && spak_str_ok(into, err) &&
                    collect(files, files->path[i], spak_str_text(into), err);
        put_text(hasher, files->path[i], strlen(files->path[i]));
        put_text(hasher, spak_str_text(into), into->len);
        spak_str_free(&more);
        if (!good) return false;
    }
    return true;
}

bool dev_variant_key(const dev_variant *variant, const char *target, char key[65], spak_str *text, spak_error *err) {
    spak_hasher *hasher;
    collection *files = spak_calloc(1, sizeof *files);
    if (!files) return spak_fail_oom(err);
    spak_str_clear(text);
    bool good = strlen(variant->file) < PATH_ROOM || spak_fail(err, "%s: the name is too long", variant->file);
    good = good && add(files, variant->file, err);
    if (!good || !spak_hasher_begin(&hasher, err)) {
        spak_free(files);
        return false;
    }
    spak_hasher_put(hasher, flags, sizeof flags);
    put_text(hasher, target, strlen(target));
    for (size_t i = 0; i < variant->num_defines; i++)
        put_text(hasher, variant->defines[i], strlen(variant->defines[i]));
    put_text(hasher, "", 0); /* no define is empty: the files begin here */
    good = hash_files(files, hasher, text, err);
    good = spak_hasher_end(hasher, key, good ? err : NULL) && good;
    spak_free(files);
    return good;
}

/* --- the cache --- */

void dev_cache_folder(char *path, size_t room) {
    const char *own = getenv("SPAK_KERNEL_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = own && *own       ? snprintf(path, room, "%s", own)
            : cache && *cache ? snprintf(path, room, "%s/spak/kernels", cache)
            : home && *home   ? snprintf(path, room, "%s/.cache/spak/kernels", home)
                              : 0;
    if (n <= 0 || (size_t)n >= room) *path = '\0';
}

/* Reads one entry and holds it against its description. */
static bool load(const char *folder, const char *name, const char *entry, dev_cubin *cubin) {
    char path[4096], sha256[65];
    json_t *about = NULL;
    spak_str data = {0};
    dev_variant variant = {.entry = entry};
    if (snprintf(path, sizeof path, "%s/%s.json", folder, name) >= (int)sizeof path || !spak_exists(path)) return false;
    bool good = spak_json_load(path, &about, NULL);
    snprintf(path, sizeof path, "%s/%s.cubin", folder, name);
    good = good && spak_read_file(path, &data, NULL) && spak_str_ok(&data, NULL) && data.len > 0 &&
           spak_sha256(data.data, data.len, sha256, NULL) &&
           !strcmp(spak_json_str(about, "cubin_sha256", ""), sha256) &&
           !strncmp(spak_json_str(about, "key", ""), cubin->key, sizeof cubin->key);
    variant.file = spak_json_str(about, "file", "");
    if (good) {
        cubin->compiler = spak_strdup(spak_json_str(about, "compiler", ""));
        cubin->log = spak_strdup(spak_json_str(about, "log", ""));
        good = cubin->compiler && cubin->log && dev_log_resources(cubin->log, &variant, cubin, NULL);
    }
    if (good) {
        cubin->data = data.data;
        cubin->bytes = data.len;
        cubin->cached = true;
        cubin->compile_ms = spak_json_num(about, "compile_ms", 0);
    } else {
        spak_str_free(&data);
        dev_cubin_free(cubin);
    }
    json_decref(about);
    return good;
}

/* "KEY.13.0.json" -> 13.0 as 13000; -1 for another key. */
static long release_of(const char *name, const char *key) {
    int major, minor, end = 0;
    if (strncmp(name, key, 64) != 0) return -1;
    if (sscanf(name + 64, ".%d.%d.json%n", &major, &minor, &end) != 2 || end == 0 || name[64 + end]) return -1;
    return major * 1000L + minor;
}

static bool find_newest(const char *folder, const char *key, const char *entry, dev_cubin *cubin) {
    char **names;
    size_t count;
    if (!spak_list_dir(folder, &names, &count, NULL)) return false;
    bool found = false;
    for (long below = 1000000000L; !found;) { /* the newest; when it is damaged, the one before */
        long best = -1;
        for (size_t i = 0; i < count; i++) {
            long release = release_of(names[i], key);
            if (release > best && release < below) best = release;
        }
        if (best < 0) break;
        char name[96];
        snprintf(name, sizeof name, "%s.%ld.%ld", key, best / 1000, best % 1000);
        memcpy(cubin->key, key, sizeof cubin->key);
        found = load(folder, name, entry, cubin);
        below = best;
    }
    spak_names_free(names, count);
    return found;
}

bool dev_cache_find(const char *folder, const char *key, const char *entry, const char *release, dev_cubin *cubin) {
    char name[128];
    *cubin = (dev_cubin){0};
    if (!*folder) return false;
    if (!release) return find_newest(folder, key, entry, cubin);
    memcpy(cubin->key, key, sizeof cubin->key);
    snprintf(name, sizeof name, "%s.%s", key, release);
    return load(folder, name, entry, cubin);
}

static json_t *description(const dev_variant *variant, const char *target, const char *release, const char *sha256,
                           const dev_cubin *cubin, spak_error *err) {
    json_t *defines = json_array(), *about;
    for (size_t i = 0; i < variant->num_defines; i++) json_array_append_new(defines, json_string(variant->defines[i]));
    about = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:f, s:s}", "key", cubin->key, "release", release, "file",
                      variant->file, "target", target, "defines", defines, "compiler", cubin->compiler, "cubin_sha256",
                      sha256, "compile_ms", cubin->compile_ms, "log", cubin->log);
    if (about && json_array_size(defines) == variant->num_defines) return about;
    json_decref(about);
    spak_fail(err, "%s: out of memory, or a define is no UTF-8", variant->file);
    return NULL;
}

bool dev_cache_put(const char *folder, const dev_variant *variant, const char *target, const char *release,
                   const dev_cubin *cubin, spak_error *err) {
    char path[4096], sha256[65];
    spak_str text = {0};
    if (!*folder) return spak_fail(err, "there is no folder for a kernel cache: set SPAK_KERNEL_CACHE");
    if (!spak_sha256(cubin->data, cubin->bytes, sha256, err)) return false;
    json_t *about = description(variant, target, release, sha256, cubin, err);
    if (!about) return false;
    int n = snprintf(path, sizeof path, "%s/%s.%s.cubin", folder, cubin->key, release);
    bool good = n < (int)sizeof path || spak_fail(err, "%s: the name is too long", folder);
    good = good && spak_write_file(path, cubin->data, cubin->bytes, err);
    if (good) snprintf(path, sizeof path, "%s/%s.%s.json", folder, cubin->key, release);
    good = good && spak_json_canonical(about, &text, err);
    spak_str_putc(&text, '\n');
    good = good && spak_str_ok(&text, err) && spak_write_file(path, text.data, text.len, err);
    json_decref(about);
    spak_str_free(&text);
    return good;
}
