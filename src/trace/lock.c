/* The lock file pins what the chain itself cannot: the last record, and the number of records, of each archived trace.
 *
 *     # comment
 *     HEAD  RECORDS  PATH
 *
 * sorted by path, two spaces between the fields, so that `git diff` of it is the list of what changed in an archive.
 * Both directions are checked: a pinned trace that is missing or differs, and a trace in the folder that is not pinned.
 * Links to folders are not entered, names with a leading dot are not looked at. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "trace/trace_private.h"

enum { MAX_FOLDERS_DEEP = 64 };

#define COMMENT "# Heads of the archived traces, made by `spak trace lock`: HEAD  RECORDS  PATH\n"

typedef struct paths {
    char **items;
    size_t count, capacity;
} paths;

static bool add_path(paths *list, const char *path, spak_error *err) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **grown = spak_realloc(list->items, capacity * sizeof *grown);
        if (!grown) return spak_fail_oom(err);
        list->items = grown;
        list->capacity = capacity;
    }
    char *copy = spak_strdup(path);
    if (!copy) return spak_fail_oom(err);
    list->items[list->count++] = copy;
    return true;
}

static char *join(const char *folder, const char *name, spak_error *err) {
    spak_str path = {0};
    if (*folder) spak_str_printf(&path, "%s%s", folder, spak_ends_with(folder, "/") ? "" : "/");
    spak_str_puts(&path, name);
    if (spak_str_ok(&path, err)) return path.data;
    spak_str_free(&path);
    return NULL;
}

static bool walk(const char *root, const char *below, int depth, paths *found, spak_error *err);

/* path: where it is; relative: as the lock file names it. */
static bool visit(const char *root, const char *path, const char *relative, int depth, paths *found, spak_error *err) {
    struct stat st;
    if (lstat(path, &st) != 0) return spak_fail_errno(err, "%s: cannot examine this file", path);
    if (S_ISDIR(st.st_mode)) return walk(root, relative, depth + 1, found, err);
    if (!spak_ends_with(relative, ".jsonl") && !spak_ends_with(relative, ".jsonl.gz")) return true;
    if (strpbrk(relative, "\n\r"))
        return spak_fail(err, "%s: a line break in the name cannot be written into a lock file; rename it", path);
    return add_path(found, relative, err);
}

static bool walk(const char *root, const char *below, int depth, paths *found, spak_error *err) {
    if (depth > MAX_FOLDERS_DEEP)
        return spak_fail(err, "%s/%s: folders more than %d deep; move the traces up", root, below, MAX_FOLDERS_DEEP);
    char **names = NULL;
    size_t count = 0;
    char *folder = join(root, below, err);
    bool ok = folder && spak_list_dir(folder, &names, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        char *path = join(folder, names[i], err), *relative = path ? join(below, names[i], err) : NULL;
        ok = relative && visit(root, path, relative, depth, found, err);
        spak_free(path);
        spak_free(relative);
    }
    spak_names_free(names, count);
    spak_free(folder);
    return ok;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorted by the whole relative path, which differs from the order of the walk: "a.jsonl" is before "a/b.jsonl". */
static bool find_traces(const char *root, paths *found, spak_error *err) {
    if (!walk(root, "", 0, found, err)) return false;
    if (found->count) qsort(found->items, found->count, sizeof *found->items, by_bytes);
    return true;
}

/* The folder of the lock file, "." for a bare name. */
static char *folder_of(const char *lock_path, spak_error *err) {
    const char *slash = strrchr(lock_path, '/');
    size_t len = slash ? (size_t)(slash - lock_path) : 0;
    char *folder = !slash ? spak_strdup(".") : len ? spak_strndup(lock_path, len) : spak_strdup("/");
    if (!folder) spak_fail_oom(err);
    return folder;
}

/* Verifies one trace; a torn tail is an error too, since no one would pin its bytes. */
static bool examine(const char *root, const char *relative, trace_status *status, spak_error *err) {
    char *path = join(root, relative, err);
    bool ok = path && trace_verify(path, status, err);
    if (ok && status->torn_bytes)
        ok = spak_fail(err,
                       "%s: expected a finished trace, found a torn last line of %zu bytes; open it for appending "
                       "once, which cuts them off",
                       path, status->torn_bytes);
    spak_free(path);
    return ok;
}

bool trace_lock_write(const char *lock_path, spak_error *err) {
    paths found = {0};
    spak_str text = {0};
    char *root = folder_of(lock_path, err);
    bool ok = root && find_traces(root, &found, err);
    spak_str_puts(&text, COMMENT);
    for (size_t i = 0; ok && i < found.count; i++) {
        trace_status status;
        ok = examine(root, found.items[i], &status, err);
        if (ok) spak_str_printf(&text, "%s  %zu  %s\n", status.head, status.records, found.items[i]);
    }
    ok = ok && spak_str_ok(&text, err) && spak_write_if_changed(lock_path, text.data, text.len, err);
    spak_str_free(&text);
    spak_names_free(found.items, found.count);
    spak_free(root);
    return ok;
}

typedef struct pin {
    char head[SPAK_SHA256_HEX + 1];
    size_t records;
    const char *path; /* into the line */
} pin;

/* Also refuses paths that lead out of the folder: a lock file pins what lies beside it. */
static bool parse_pin(const char *line, pin *out) {
    if (strspn(line, "0123456789abcdef") != SPAK_SHA256_HEX) return false;
    memcpy(out->head, line, SPAK_SHA256_HEX);
    out->head[SPAK_SHA256_HEX] = 0;
    line += SPAK_SHA256_HEX;
    if (strncmp(line, "  ", 2) != 0 || line[2] < '0' || line[2] > '9') return false;
    char *end;
    out->records = strtoull(line + 2, &end, 10);
    if (strncmp(end, "  ", 2) != 0 || !end[2] || end[2] == '/') return false;
    out->path = end + 2;
    for (const char *part = out->path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2])) return false;
    return true;
}

static bool check_pin(const char *lock_path, size_t line_no, const char *root, const pin *want, spak_error *err) {
    trace_status found;
    if (!examine(root, want->path, &found, err)) return spak_fail_context(err, "%s:%zu", lock_path, line_no);
    if (found.records == want->records && strcmp(found.head, want->head) == 0) return true;
    return spak_fail(err,
                     "%s:%zu: %s: expected %zu records with head %.16s..., found %zu with head %.16s...; restore "
                     "the trace, or, if the change is wanted, write the lock anew with `spak trace lock`",
                     lock_path, line_no, want->path, want->records, want->head, found.records, found.head);
}

typedef struct lock_check {
    const char *lock_path, *root;
    const paths *found;
    size_t pinned;
    const char *last_path;
} lock_check;

/* The found paths are sorted, and so must be the lines: the n-th line pins the n-th trace or something is wrong. */
static bool check_line(lock_check *check, size_t line_no, const char *line, spak_error *err) {
    pin want;
    if (!*line || *line == '#') return true;
    if (!parse_pin(line, &want))
        return spak_fail(err,
                         "%s:%zu: expected \"HEAD  RECORDS  PATH\" with a path below this folder, found '%.120s'; "
                         "write the lock anew with `spak trace lock`",
                         check->lock_path, line_no, line);
    if (check->last_path && strcmp(check->last_path, want.path) >= 0)
        return spak_fail(err,
                         "%s:%zu: expected paths in sorted order, each once, found %s after %s; write the lock "
                         "anew with `spak trace lock`",
                         check->lock_path, line_no, want.path, check->last_path);
    check->last_path = want.path;
    const paths *found = check->found;
    int order = check->pinned < found->count ? strcmp(found->items[check->pinned], want.path) : 1;
    if (order < 0)
        return spak_fail(err,
                         "%s:%zu: %s lies in the folder and is not listed; write the lock anew with `spak trace "
                         "lock`",
                         check->lock_path, line_no, found->items[check->pinned]);
    if (order > 0)
        return spak_fail(err,
                         "%s:%zu: %s is listed and not in the folder; restore it, or write the lock anew with "
                         "`spak trace lock`",
                         check->lock_path, line_no, want.path);
    check->pinned++;
    return check_pin(check->lock_path, line_no, check->root, &want, err);
}

static bool check_lines(lock_check *check, char *text, spak_error *err) {
    size_t line_no = 1;
    for (char *line = text; *line; line_no++) {
        char *newline = strchr(line, '\n');
        if (!newline)
            return spak_fail(err, "%s:%zu: expected a newline at the end; write the lock anew with `spak trace lock`",
                             check->lock_path, line_no);
        *newline = 0;
        if (!check_line(check, line_no, line, err)) return false;
        line = newline + 1;
    }
    if (check->pinned == check->found->count) return true;
    return spak_fail(err, "%s: %s lies in the folder and is not listed; write the lock anew with `spak trace lock`",
                     check->lock_path, check->found->items[check->pinned]);
}

bool trace_lock_check(const char *lock_path, size_t *traces, spak_error *err) {
    paths found = {0};
    spak_str text = {0};
    char *root = folder_of(lock_path, err);
    lock_check check = {.lock_path = lock_path, .root = root, .found = &found};
    bool ok = root && spak_read_file(lock_path, &text, err) && find_traces(root, &found, err);
    char nothing[1] = "";
    ok = ok && check_lines(&check, text.data ? text.data : nothing, err);
    if (traces) *traces = ok ? check.pinned : 0;
    spak_str_free(&text);
    spak_names_free(found.items, found.count);
    spak_free(root);
    return ok;
}
