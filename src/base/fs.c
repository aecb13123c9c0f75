#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static const size_t MAX_FILE = (size_t)1 << 30;

bool spak_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

/* Standard input and what a shell's <(...) gives are pipes that were named on purpose. */
static bool may_be_pipe(const char *path) {
    return !strcmp(path, "/dev/stdin") || spak_starts_with(path, "/dev/fd/") ||
           spak_starts_with(path, "/proc/self/fd/");
}

int spak_open_read(const char *path, spak_error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* waits for no writer of a pipe */
    if (fd < 0) {
        spak_fail_errno(err, "%s: cannot open", path);
        return -1;
    }
    bool ok = fstat(fd, &st) == 0 || spak_fail_errno(err, "%s: cannot examine this file", path);
    if (ok && !S_ISREG(st.st_mode) && !may_be_pipe(path))
        ok = spak_fail(err, "%s: expected a regular file, found a %s", path,
                       S_ISDIR(st.st_mode)    ? "folder"
                       : S_ISFIFO(st.st_mode) ? "pipe"
                                              : "device");
    if (ok && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) != 0)
        ok = spak_fail_errno(err, "%s: cannot be read in the usual way", path);
    if (ok) return fd;
    close(fd);
    return -1;
}

bool spak_read_file(const char *path, spak_str *out, spak_error *err) {
    int fd = spak_open_read(path, err);
    if (fd < 0) return false;
    char buffer[1 << 16];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 || out->len + (size_t)got > MAX_FILE || out->oom) break;
        spak_str_append(out, buffer, (size_t)got);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (got < 0) return spak_fail_errno(err, "%s: cannot read", path);
    if (got > 0 && !out->oom) return spak_fail(err, "%s: larger than 1 GiB, which no file of this project is", path);
    return spak_str_ok(out, err);
}

bool spak_make_dirs(const char *path, spak_error *err) {
    char *copy = spak_strdup(path);
    if (!copy) return spak_fail_oom(err);
    bool ok = true;
    for (char *slash = copy + 1; ok && *copy; slash++) {
        if (*slash != '/' && *slash != 0) continue;
        char kept = *slash;
        *slash = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) ok = spak_fail_errno(err, "%s: cannot make this folder", copy);
        *slash = kept;
        if (!kept) break;
    }
    struct stat st;
    if (ok && *copy && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        ok = spak_fail(err, "%s: exists and is no folder; move it away", path);
    spak_free(copy);
    return ok;
}

bool spak_make_parent_dirs(const char *path, spak_error *err) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return true;
    char *parent = spak_strndup(path, (size_t)(slash - path));
    if (!parent) return spak_fail_oom(err);
    bool ok = spak_make_dirs(parent, err);
    spak_free(parent);
    return ok;
}

static bool write_all(int fd, const char *data, size_t len) {
    while (len) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        data += put;
        len -= (size_t)put;
    }
    return true;
}

void spak_sync_parent(const char *path) {
    char *copy = spak_strdup(path);
    if (!copy) return;
    char *slash = strrchr(copy, '/');
    if (slash) *slash = 0;
    int fd = open(slash ? (*copy ? copy : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    spak_free(copy);
}

struct spak_writer {
    char *target, *beside; /* target is no symbolic link */
    int fd;
};

static void writer_free(spak_writer *writer) {
    if (writer->fd >= 0) close(writer->fd);
    spak_free(writer->target);
    spak_free(writer->beside);
    spak_free(writer);
}

/* What a symbolic link leads to is replaced, and the link stays; *mode < 0: whatever the umask leaves. */
static bool name_target(spak_writer *writer, const char *path, long *mode, spak_error *err) {
    struct stat st;
    char *followed = NULL;
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && !(followed = realpath(path, NULL)))
        return spak_fail_errno(err, "%s: cannot follow this symbolic link", path);
    writer->target = spak_strdup(followed ? followed : path);
    free(followed);
    if (!writer->target) return spak_fail_oom(err);
    *mode = stat(writer->target, &st) == 0 ? (long)(st.st_mode & 0777) : -1;
    if (*mode >= 0 && !S_ISREG(st.st_mode))
        return spak_fail(err, "%s: expected a regular file, found a folder, device or pipe; name another file", path);
    spak_str beside = {0};
    spak_str_printf(&beside, "%s" SPAK_TEMPORARY "%ld", writer->target, (long)getpid());
    writer->beside = beside.data;
    return spak_str_ok(&beside, err);
}

bool spak_writer_open(const char *path, spak_writer **out, spak_error *err) {
    *out = NULL;
    if (!spak_make_parent_dirs(path, err)) return false;
    spak_writer *writer = spak_calloc(1, sizeof *writer);
    if (!writer) return spak_fail_oom(err);
    writer->fd = -1;
    long mode = -1;
    bool ok = name_target(writer, path, &mode, err);
    if (ok && (writer->fd = open(writer->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
        ok = spak_fail_errno(err, "%s: cannot create", writer->beside);
    if (ok && mode >= 0 && fchmod(writer->fd, (mode_t)mode) != 0) {
        ok = spak_fail_errno(err, "%s: cannot set the old file's permissions", writer->beside);
        unlink(writer->beside);
    }
    if (ok)
        *out = writer;
    else
        writer_free(writer);
    return ok;
}

bool spak_writer_put(spak_writer *writer, const void *data, size_t len, spak_error *err) {
    return write_all(writer->fd, data, len) ||
           spak_fail_errno(err, "%s: cannot write (is the disk full?)", writer->target);
}

bool spak_writer_commit(spak_writer *writer, spak_error *err) {
    bool ok = fsync(writer->fd) == 0;
    int saved = errno;
    if (close(writer->fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    writer->fd = -1;
    errno = saved;
    if (!ok) spak_fail_errno(err, "%s: cannot write (is the disk full?)", writer->target);
    if (ok && rename(writer->beside, writer->target) != 0)
        ok = spak_fail_errno(err, "%s: cannot rename into place", writer->target);
    if (!ok) unlink(writer->beside);
    if (ok) spak_sync_parent(writer->target);
    writer_free(writer);
    return ok;
}

void spak_writer_abandon(spak_writer *writer) {
    if (!writer) return;
    unlink(writer->beside);
    writer_free(writer);
}

bool spak_write_file(const char *path, const void *data, size_t len, spak_error *err) {
    spak_writer *writer;
    if (!spak_writer_open(path, &writer, err)) return false;
    if (spak_writer_put(writer, data, len, err)) return spak_writer_commit(writer, err);
    spak_writer_abandon(writer);
    return false;
}

bool spak_write_if_changed(const char *path, const void *data, size_t len, spak_error *err) {
    spak_str old = {0};
    bool same = spak_exists(path) && spak_read_file(path, &old, NULL) && old.len == len &&
                (len == 0 || memcmp(old.data, data, len) == 0);
    spak_str_free(&old);
    return same || spak_write_file(path, data, len, err);
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool spak_list_dir(const char *path, char ***names, size_t *count, spak_error *err) {
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir) return spak_fail_errno(err, "%s: cannot list this folder", path);
    size_t capacity = 0;
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            char **grown = spak_realloc(*names, capacity * sizeof **names);
            if (!grown) {
                ok = spak_fail_oom(err);
                break;
            }
            *names = grown;
        }
        char *name = spak_strdup(entry->d_name);
        if (name)
            (*names)[(*count)++] = name;
        else
            ok = spak_fail_oom(err);
    }
    closedir(dir);
    if (!ok) {
        spak_names_free(*names, *count);
        *names = NULL;
        *count = 0;
        return false;
    }
    if (*count) qsort(*names, *count, sizeof **names, by_bytes);
    return true;
}

void spak_names_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++) spak_free(names[i]);
    spak_free(names);
}

/* The process that a temporary file's name belongs to; 0 when it is no such name. */
static pid_t writer_of(const char *name) {
    static const char *const endings[] = {"", ".svg", ".png", ".pdf", ".dat"};
    const char *mark = NULL;
    for (const char *next = name; (next = strstr(next, SPAK_TEMPORARY)); next++) mark = next;
    if (!mark || mark == name) return 0;
    mark += strlen(SPAK_TEMPORARY);
    size_t digits = strspn(mark, "0123456789");
    if (digits == 0 || digits > 10) return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(mark + digits, endings[i])) return (pid_t)strtol(mark, NULL, 10);
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st, (void)type, (void)where;
    remove(path);
    return 0;
}

void spak_remove_tree(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

static int sweep(const char *path, const struct stat *st, int type, struct FTW *where) {
    bool folder = type == FTW_D, file = type == FTW_F && S_ISREG(st->st_mode);
    pid_t pid = (folder || file) && st->st_uid == geteuid() ? writer_of(path + where->base) : 0;
    if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH) return FTW_CONTINUE;
    if (file) unlink(path);
    if (folder) spak_remove_tree(path);
    return folder ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
}

void spak_sweep_temporaries(const char *folder) { nftw(folder, sweep, 16, FTW_PHYS | FTW_ACTIONRETVAL); }
