/* Data sets: found in the mirror, the cache or the project itself, in this order, and never with other content than the
 * manifest's. Every allocation fails once. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "data/data.h"

static const char whole[] = "anna\nberta\nclara\n", other[] = "anna\nberta\nclarb\n", shorter[] = "anna\n";
static const char own[] = "ana\nbela\n";
static char folder[] = "/tmp/spak-data-XXXXXX";

static void put(const char *path, const char *text) {
    spak_error err = {0};
    if (!spak_write_file(path, text, strlen(text), &err)) printf("Bail out! %s\n", err.message), exit(1);
}

/* A manifest with the data set `names`; extra: further keys of it. */
static void put_manifest(const char *extra) {
    char hash[SPAK_SHA256_HEX + 1];
    spak_str text = {0};
    spak_sha256(whole, strlen(whole), hash, NULL);
    spak_str_printf(
        &text,
        "dataset far {\n  file: \"deep/far.bin\"\n  bytes: 3\n  sha256: \"%s\"\n  url: \"https://example.org/f\"\n"
        "  license: \"CC0\"\n  holds: \"little\"\n}\n"
        "dataset names {\n  file: \"names.txt\"\n  bytes: %zu\n  sha256: \"%s\"\n"
        "  url: \"https://example.org/names.txt\"\n  license: \"BSD\"\n  holds: \"names\"\n%s}\n",
        hash, strlen(whole), hash, extra);
    put("data/MANIFEST.dsl", text.data);
    spak_str_free(&text);
}

static void put_manifest_with_builtin(void) {
    char hash[SPAK_SHA256_HEX + 1], extra[256];
    spak_sha256(own, strlen(own), hash, NULL);
    snprintf(extra, sizeof extra, "  builtin: \"data/builtin/names.txt\"\n  builtin_sha256: \"%s\"\n", hash);
    put_manifest(extra);
    put("data/builtin/names.txt", own);
}

/* It opens, from there, with these bytes, and is described so. */
static void opens(const char *origin, const char *bytes, const char *license) {
    spak_error err = {0};
    data_set *set = NULL;
    json_t *said = NULL;
    char hash[SPAK_SHA256_HEX + 1];
    spak_sha256(bytes, strlen(bytes), hash, NULL);
    if (ok(data_open("names", &set, &err), "%s: opens %s", origin, err.message)) {
        is_str(set->origin, origin, "%s: and says where from", origin);
        is_str(set->bytes, bytes, "%s: its bytes, with a NUL behind", origin);
        is_int(set->size, strlen(bytes), "%s: its size", origin);
        is_str(set->sha256, hash, "%s: its hash", origin);
    }
    data_close(set);
    if (ok(data_describe("names", &said, &err), "%s: is described %s", origin, err.message)) {
        json_t *want = json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", "names", "origin", origin, "sha256", hash,
                                 "bytes", (json_int_t)strlen(bytes), "license", license);
        ok(json_equal(said, want), "%s: as a trace has it", origin);
        json_decref(want);
    }
    json_decref(said);
}

static void refused(const char *name, const char *const texts[], const char *what) {
    spak_error err = {0};
    data_set *set = (data_set *)&err;
    bool all = !data_open(name, &set, &err) && !set;
    for (; *texts; texts++) all = all && strstr(err.message, *texts);
    if (!ok(all, "refused: %.*s", (int)strcspn(what, "\n"), what)) printf("# %s\n", err.message);
}
#define REFUSED(name, what, ...) refused(name, (const char *const[]){__VA_ARGS__, NULL}, what)

static void test_order(void) {
    put_manifest("");
    REFUSED("names", "nowhere", "names", "data/cache", "SPAK_DATA_MIRROR", "spak data fetch names");
    REFUSED("nemo", "not in the manifest", "data/MANIFEST.dsl", "nemo", "far, names");
    put_manifest_with_builtin();
    opens("builtin", own, "MIT");
    put("data/cache/names.txt", whole);
    opens("cache", whole, "BSD");
    put("mirror/names.txt", whole);
    setenv("SPAK_DATA_MIRROR", "mirror", 1);
    opens("mirror", whole, "BSD");
    put("data/cache/names.txt", other); /* not looked at: the mirror comes first */
    opens("mirror", whole, "BSD");
}

static void test_wrong(void) {
    put("mirror/names.txt", other);
    put("data/cache/names.txt", whole);
    REFUSED("names", "another hash in the mirror", "mirror/names.txt", "expected SHA-256", "found", "SPAK_DATA_MIRROR");
    put("mirror/names.txt", shorter);
    REFUSED("names", "another size in the mirror", "mirror/names.txt", "expected 17 bytes, found 5",
            "SPAK_DATA_MIRROR");
    put("mirror/names.txt", "");
    REFUSED("names", "an empty file in the mirror", "expected 17 bytes, found 0");
    unlink("mirror/names.txt");
    opens("cache", whole, "BSD");
    put("data/cache/names.txt", other);
    REFUSED("names", "another hash in the cache", "data/cache/names.txt", "expected SHA-256", "remove it");
    put("data/cache/names.txt", shorter);
    REFUSED("names", "another size in the cache", "data/cache/names.txt", "expected 17 bytes, found 5", "remove it");
    unlink("data/cache/names.txt");
    put("data/builtin/names.txt", "anab\n");
    REFUSED("names", "an edited stand-in", "data/builtin/names.txt", "expected SHA-256", "restore it");
    unlink("data/builtin/names.txt");
    REFUSED("names", "a stand-in that is gone", "data/builtin/names.txt");
    put_manifest_with_builtin();
    if (symlink("nowhere", "mirror/names.txt")) printf("Bail out! no link\n"), exit(1);
    REFUSED("names", "a link to nowhere in the mirror", "mirror/names.txt: cannot be looked at", "leads nowhere",
            "SPAK_DATA_MIRROR");
    unlink("mirror/names.txt");
    if (symlink("nowhere", "data/cache/names.txt")) printf("Bail out! no link\n"), exit(1);
    REFUSED("names", "a link to nowhere in the cache", "data/cache/names.txt: cannot be looked at", "remove it");
    unlink("data/cache/names.txt");
    opens("builtin", own, "MIT");
    setenv("SPAK_DATA_MIRROR", "no/such/folder", 1);
    REFUSED("names", "a mirror that is not there", "SPAK_DATA_MIRROR", "no/such/folder", "no folder");
    setenv("SPAK_DATA_MIRROR", "", 1);
    opens("builtin", own, "MIT");
    unsetenv("SPAK_DATA_MIRROR");
}

/* The manifest with `from` replaced by `to`. */
static void broken(const char *from, const char *to, const char *expected) {
    put_manifest_with_builtin();
    spak_str text = {0}, changed = {0};
    spak_read_file("data/MANIFEST.dsl", &text, NULL);
    const char *at = strstr(text.data, "dataset names"), *found = at ? strstr(at, from) : NULL;
    if (!found) printf("Bail out! '%s' is not in the manifest\n", from), exit(1);
    spak_str_append(&changed, text.data, (size_t)(found - text.data));
    spak_str_printf(&changed, "%s%s", to, found + strlen(from));
    put("data/MANIFEST.dsl", changed.data);
    REFUSED("names", to, "data/MANIFEST.dsl:", expected);
    spak_str_free(&text);
    spak_str_free(&changed);
}

static void test_manifest(void) {
    unlink("data/MANIFEST.dsl");
    REFUSED("names", "no manifest", "data/MANIFEST.dsl: cannot open");
    broken("  holds: \"names\"\n", "  }}} \n", "error");
    broken("  holds: \"names\"\n", "", "`holds`");
    broken("  license: \"BSD\"\n", "  license: \"\"\n", "`license`");
    broken("  bytes: 17", "  bytes: \"17\"", "`bytes`");
    broken("  bytes: 17", "  bytes: -1", "`bytes`");
    broken("sha256: \"", "sha256: \"X", "`sha256`");
    broken("builtin_sha256: \"", "builtin_sha256: \"f", "`builtin_sha256`");
    broken("  builtin: \"data/builtin/names.txt\"\n", "", "`builtin`");
    broken("file: \"names.txt\"", "file: \"../names.txt\"", "`file`");
    broken("file: \"names.txt\"", "file: \"/names.txt\"", "`file`");
    broken("dataset names", "dataset", "name");
    broken("dataset names", "dataset \"\"", "`dataset` to be followed by a name");
    broken("dataset names", "dataset far", "MANIFEST.dsl:9: data set far: expected `name` to be no other data set's");
    broken("file: \"names.txt\"", "file: \"deep/far.bin\"", "expected `file` to be no other data set's");
    broken("file: \"names.txt\"", "file: \"\"", "`file`");
    broken("file: \"names.txt\"", "file: \"./names.txt\"", "`file`");
    broken("file: \"names.txt\"", "file: \"deep//far.bin\"", "`file`");
    broken("file: \"names.txt\"", "file: \"deep/./far.bin\"", "`file`");
    broken("file: \"names.txt\"", "file: \"deep/\"", "`file`");
    char hash[SPAK_SHA256_HEX + 1], extra[256];
    spak_sha256("", 0, hash, NULL);
    snprintf(extra, sizeof extra, "  builtin: \"data/builtin/names.txt\"\n  builtin_sha256: \"%s\"\n", hash);
    put_manifest(extra);
    put("data/builtin/names.txt", "");
    REFUSED("names", "an empty stand-in that hashes as it should", "data/builtin/names.txt: is empty");
    put_manifest_with_builtin();
    json_t *sets = NULL;
    spak_error err = {0};
    ok(data_manifest(folder, &sets, &err) && json_array_size(sets) == 2, "the manifest of another folder %s",
       err.message);
    json_decref(sets);
}

static bool do_open(spak_error *err) {
    data_set *set = NULL;
    bool good = data_open("names", &set, err);
    if (good && strcmp(set->bytes, whole) != 0) good = spak_fail(err, "other bytes");
    data_close(set);
    return good;
}

static bool do_describe(spak_error *err) {
    json_t *said = NULL;
    bool good = data_describe("names", &said, err);
    if (good && json_object_size(said) != 5) good = spak_fail(err, "half a description");
    json_decref(said);
    return good;
}

/* The whole download, with a curl of the test's own. */
static bool do_fetch(spak_error *err) {
    json_t *sets = NULL;
    const json_t *set = NULL;
    unlink("data/cache/names.txt");
    rmdir("data/cache");
    bool good = data_manifest(".", &sets, err) && data_find(sets, "names", &set, err) && data_fetch(set, err);
    json_decref(sets);
    if (good != spak_exists("data/cache/names.txt") || (!good && spak_exists("data/cache")))
        snprintf(err->message, sizeof err->message, "something is left behind");
    return good;
}

static void each_failure(const char *what, bool (*run)(spak_error *)) {
    long n = 0, clean = 0;
    spak_error err = {0};
    for (bool good = false; !good && n < 5000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        good = run(&err);
        spak_alloc_fail_after(-1);
        clean += good || strstr(err.message, "out of memory") != NULL;
    }
    ok(n > 20 && n < 5000, "%s: %ld allocations", what, n - 1);
    is_int(clean, n, "%s: each failure is an error about memory (%s)", what, err.message);
}

int main(void) {
    spak_json_init();
    unsetenv("SPAK_DATA_MIRROR");
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    test_order();
    test_wrong();
    test_manifest();
    put("bin/curl", "#!/bin/sh\nfor last; do [ \"$before\" = --output ] && cp whole \"$last\"; before=$last; done\n");
    put("whole", whole);
    chmod("bin/curl", 0755);
    char *path = getenv("PATH"), with[4096];
    snprintf(with, sizeof with, "%s/bin:%s", folder, path ? path : "");
    setenv("PATH", with, 1);
    each_failure("fetch", do_fetch);
    put("data/cache/names.txt", whole);
    put("mirror/names.txt", whole);
    each_failure("open", do_open);
    setenv("SPAK_DATA_MIRROR", "mirror", 1);
    each_failure("describe", do_describe);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return (system(command) != 0) | done_testing();
}
