/* Taking records from a program in any language: it prints lines, those behind the marker are records.
 *
 * What the program prints goes on unchanged, the marked lines too, piece by piece as it arrives; a second look at the
 * same bytes cuts them into lines. A line is buffered only as long as it may still turn out to be marked, so a program
 * that prints a gigabyte without a newline costs nothing. Nothing that is wrong with a record, or with our own output,
 * ends the program: it runs to its end, the good records are kept, and then the first fault is reported. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "trace/trace_private.h"

enum { MARKER_LEN = sizeof TRACE_MARKER - 1 };

typedef struct collector {
    trace_writer *writer;
    const char *program;
    spak_str line;  /* the line so far, as long as it may be a marked one */
    bool unmarked;  /* the rest of this line is of no interest */
    size_t line_no; /* in the output, from 1 */
    size_t faults;
    spak_error first; /* of the faults */
    bool output_lost;
} collector;

static void fault(collector *c, const spak_error *what) {
    if (c->faults++ == 0) spak_fail(&c->first, "%s: line %zu of its output: %s", c->program, c->line_no, what->message);
}

/* json_decref(record) is up to trace_append. */
static bool append_marked(collector *c, const char *text, size_t len, spak_error *err) {
    json_t *record;
    if (!spak_json_parse("after the marker", text, len, &record, err)) {
        bool not_finite = memmem(text, len, "NaN", 3) || memmem(text, len, "Infinity", 8);
        if (not_finite) spak_fail_context(err, "JSON has no NaN and no Infinity, leave the field out");
        return false;
    }
    const char *kind = spak_json_str(record, "kind", NULL);
    char *kept = kind ? spak_strdup(kind) : NULL;
    if (!kind || !kept) {
        json_decref(record);
        return kind ? spak_fail_oom(err) : spak_fail(err, "expected a JSON object with a \"kind\", found none");
    }
    json_object_del(record, "kind");
    bool ok = trace_append(c->writer, kept, record, NULL, err);
    spak_free(kept);
    return ok;
}

static void end_line(collector *c) {
    spak_error err = {0};
    if (c->line.oom) {
        spak_fail_oom(&err);
        fault(c, &err);
    } else if (!c->unmarked && c->line.len >= MARKER_LEN) {
        if (!append_marked(c, c->line.data + MARKER_LEN, c->line.len - MARKER_LEN, &err)) fault(c, &err);
    }
    spak_str_clear(&c->line);
    c->unmarked = false;
    c->line_no++;
}

static void take_part(collector *c, const char *data, size_t len) {
    if (c->unmarked || c->line.oom) return;
    if (c->line.len + len > TRACE_MAX_LINE + MARKER_LEN) {
        spak_error err = {0}; /* the line is a marked one, for a piece of output is far shorter than this */
        spak_fail(&err, "expected a record of at most 64 MiB, found a longer one; split it");
        fault(c, &err);
        c->unmarked = true;
    } else {
        spak_str_append(&c->line, data, len);
        size_t known = c->line.len < MARKER_LEN ? c->line.len : MARKER_LEN;
        c->unmarked = memcmp(spak_str_text(&c->line), TRACE_MARKER, known) != 0;
    }
    if (c->unmarked) spak_str_free(&c->line);
}

static void take(collector *c, const char *data, size_t len) {
    while (len) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        take_part(c, data, part);
        if (!newline) return;
        end_line(c);
        data += part + 1;
        len -= part + 1;
    }
}

static void pass_through(collector *c, const char *data, size_t len) {
    while (len && !c->output_lost) {
        ssize_t put = write(STDOUT_FILENO, data, len);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            spak_error err = {0};
            spak_fail_errno(&err, "cannot pass it on to standard output");
            fault(c, &err);
            c->output_lost = true;
            return;
        }
        data += put;
        len -= (size_t)put;
    }
}

static bool drain(collector *c, int from, spak_error *err) {
    enum { BUFFER = 1 << 16 };
    char *buffer = spak_malloc(BUFFER);
    if (!buffer) return spak_fail_oom(err);
    ssize_t got;
    while ((got = read(from, buffer, BUFFER)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        pass_through(c, buffer, (size_t)got);
        take(c, buffer, (size_t)got);
    }
    if (got == 0 && c->line.len) end_line(c); /* a last line without its newline */
    bool ok = got == 0 || spak_fail_errno(err, "%s: cannot read its output", c->program);
    spak_free(buffer);
    return ok;
}

static bool start(char *const argv[], int *from, pid_t *pid, spak_error *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return spak_fail_errno(err, "cannot make a pipe for %s", argv[0]);
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        if (rc == 0) rc = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *from = ends[0];
    if (rc == 0) return true;
    close(ends[0]);
    errno = rc;
    return spak_fail_errno(err, "%s: cannot start this program (is it installed, and spelled as in PATH?)", argv[0]);
}

bool trace_collect(trace_writer *writer, char *const argv[], int *exit_status, spak_error *err) {
    int from = -1, state = 0;
    pid_t pid = 0;
    *exit_status = 0;
    if (!argv || !argv[0]) return spak_fail(err, "expected a program to run, found none");
    if (!start(argv, &from, &pid, err)) {
        *exit_status = 127;
        return false;
    }
    collector c = {.writer = writer, .program = argv[0], .line_no = 1};
    bool ok = drain(&c, from, err);
    close(from); /* a program that still prints after a failed drain ends with SIGPIPE instead of hanging */
    spak_str_free(&c.line);
    while (waitpid(pid, &state, 0) < 0) {
        if (errno != EINTR) return spak_fail_errno(err, "%s: cannot learn how this program ended", argv[0]);
    }
    *exit_status = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
    if (!ok || c.faults == 0) return ok;
    if (c.faults == 1) return spak_fail(err, "%s", c.first.message);
    return spak_fail(err, "%s (and %zu more such lines)", c.first.message, c.faults - 1);
}
