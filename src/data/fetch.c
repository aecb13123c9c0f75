/* Downloads. curl does them: it knows proxies, certificates and redirections, and the program needs no library for a
 * thing that happens once. curl writes to a file beside the final one; only what has the size and hash of the manifest
 * is renamed into place, so that data/cache never holds half a file, whatever is killed and when. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "data/data_internal.h"

enum { CONNECT_S = 5, TOTAL_S = 120, MARGIN_S = 10 };

/* What curl says, on one line without its prefix. */
static void say(const spak_str *said, spak_str *out) {
    const char *text = spak_str_text(said);
    if (spak_starts_with(text, "curl: ")) text += strlen("curl: ");
    for (; *text && *text != '\n'; text++) spak_str_putc(out, *text);
}

static bool run_curl(const json_t *set, char *to, spak_error *err) {
    char connect[16], total[16], most[32];
    const char *url = spak_json_str(set, "url", "");
    snprintf(connect, sizeof connect, "%d", CONNECT_S);
    snprintf(total, sizeof total, "%d", TOTAL_S);
    snprintf(most, sizeof most, "%lld", spak_json_int(set, "bytes", 0));
    char *argv[] = {"curl",
                    "--fail",
                    "--location",
                    "--silent",
                    "--show-error",
                    "--proto",
                    "=https,file",
                    "--proto-redir",
                    "=https",
                    "--connect-timeout",
                    connect,
                    "--max-time",
                    total,
                    "--max-filesize",
                    most,
                    "--output",
                    to,
                    "--url",
                    (char *)url,
                    NULL};
    spak_str out = {0}, said = {0}, why = {0};
    bool found = true;
    int status = 0;
    bool ok = spak_spawn(argv, TOTAL_S + MARGIN_S, &found, &status, &out, &said, err);
    say(&said, &why);
    if (ok && !found) ok = spak_fail(err, "curl is not installed; type: apt-get install curl ca-certificates");
    if (ok && status)
        ok = spak_fail(err,
                       "cannot be fetched from %s: curl %s (exit status %d). Without a network, put the file into "
                       "data/cache, or its folder into SPAK_DATA_MIRROR",
                       url, why.len ? why.data : "failed", status);
    spak_str_free(&out);
    spak_str_free(&said);
    spak_str_free(&why);
    return ok;
}

/* Checks what came, brings it to the disk and renames it. */
static bool take(const json_t *set, const char *from, const char *to, spak_error *err) {
    char sha256[SPAK_SHA256_HEX + 1];
    spak_str bytes = {0};
    bool ok = spak_read_file(from, &bytes, err) &&
              data_check(set, "download", spak_json_str(set, "url", ""), spak_str_text(&bytes), bytes.len, sha256, err);
    spak_str_free(&bytes);
    if (!ok) return false;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) spak_fail_errno(err, "%s: cannot write (is the disk full?)", to);
    if (fd >= 0) close(fd);
    if (ok && rename(from, to) != 0) ok = spak_fail_errno(err, "%s: cannot rename into place", to);
    if (ok) spak_sync_parent(to);
    return ok;
}

/* The folders that were made for a file that never came; one that holds anything stays. */
static void remove_empty_parents(char *path) {
    for (char *slash; (slash = strrchr(path, '/')) && !spak_ends_with(path, "data/cache");) {
        *slash = 0;
        if (rmdir(path) != 0) break;
    }
}

bool data_fetch(const json_t *set, spak_error *err) {
    spak_str path = {0}, beside = {0};
    spak_sweep_temporaries("data/cache");
    if (data_cache_path(set, &path)) spak_str_printf(&beside, "%s" SPAK_TEMPORARY "%ld", path.data, (long)getpid());
    bool ok = spak_str_ok(&path, err) && spak_str_ok(&beside, err) && spak_make_parent_dirs(path.data, err);
    if (ok) {
        /* Made at once, so that nobody finds the folder empty and removes it. */
        int fd = open(beside.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) ok = spak_fail_errno(err, "%s: cannot create", beside.data);
        if (fd >= 0) close(fd);
    }
    ok = ok && run_curl(set, beside.data, err) && take(set, beside.data, path.data, err);
    if (!ok && beside.data) {
        unlink(beside.data);
        remove_empty_parents(path.data);
    }
    if (!ok) spak_fail_context(err, "%s", spak_json_str(set, "name", ""));
    spak_str_free(&path);
    spak_str_free(&beside);
    return ok;
}
