/* Runs a program and hands over its output line by line, each with the time at which it came.
 *
 * The program and whatever it starts are in a process group of their own, which is killed whatever way the program
 * ended, and also when this process dies, even by kill -9. A process that dies so can do nothing more, and the kernel
 * tells only its own children of its death (PR_SET_PDEATHSIG), not theirs. So the group's leader is a guard: a child
 * that waits for that signal alone and then kills its group. As the guard is waited for last, the group's number cannot
 * be given to another one before the group has been killed. A process that leaves the group (setsid) is out of reach.
 *
 * This needs a few calls between fork and exec that posix_spawn does not have; only functions that a signal handler may
 * use stand there, because other threads may hold a lock at that moment.
 *
 * The end of the output is not the end of the program, nor the other way round: a program may close its output and go
 * on, and a child that it left behind may hold the pipes open. So both are watched. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process.h"

enum { LOOK_MS = 20, LINGER_MS = 200, KEPT_ERRORS = 4096 };

static const uint64_t MS = 1000000u;

typedef struct reader {
    const spak_lines *how;
    spak_ended *ended;
    const char *program;
    pid_t pid, guard;
    int out, errors;
    uint64_t begun, deadline, looked;
    spak_str line;
    size_t line_no;
    bool exited;
} reader;

/* What a child that could not start tells its parent. */
typedef struct failure {
    int code;
    bool folder;
} failure;

/* In the guard, with all signals blocked. It holds no file open, for that might be a trace's lock. */
static _Noreturn void guard_group(pid_t parent, const sigset_t *all) {
    if (setpgid(0, 0)) _exit(127);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close_range(0, ~0U, 0);
    while (getppid() == parent) sigwaitinfo(all, NULL);
    kill(0, SIGKILL);
    _exit(127);
}

/* The guard's number, or -1. Signals are blocked before it begins: a program may send them to its whole group at once,
 * when the guard has not had a moment on a busy machine yet. */
static pid_t fork_guard(pid_t parent) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pid_t guard = fork();
    if (guard == 0) guard_group(parent, &all);
    if (guard > 0) setpgid(guard, guard); /* both do it, for either may come first */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return guard;
}

/* In the child. Returns only from what went wrong. The signal is for the moment before it has joined the guard. */
static failure become(char *const argv[], const spak_lines *how, char *const *env, const int out[2],
                      const int errors[2], pid_t guard, pid_t parent) {
    failure why = {0};
    int empty = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    if (setpgid(0, guard) || empty < 0 || dup2(empty, 0) < 0 || dup2(out[1], 1) < 0 || dup2(errors[1], 2) < 0) {
        why.code = errno;
    } else if (how->folder && chdir(how->folder)) {
        why = (failure){.code = errno, .folder = true};
    } else {
        if (empty > 2) close(empty);
        execvpe(argv[0], argv, env);
        why.code = errno;
    }
    return why;
}

/* The environment with how->env in front, where getenv of the usual C libraries finds it first; only the array is new.
 */
static char **environment(const spak_lines *how) {
    size_t own = 0, inherited = 0;
    while (how->env && how->env[own]) own++;
    while (environ[inherited]) inherited++;
    char **env = spak_calloc(own + inherited + 1, sizeof *env);
    if (!env) return NULL;
    size_t count = 0;
    for (size_t i = 0; i < own; i++) env[count++] = how->env[i];
    for (size_t i = 0; i < inherited; i++) {
        size_t name = strcspn(environ[i], "=");
        bool replaced = false;
        for (size_t k = 0; k < own; k++)
            replaced = replaced || (!strncmp(environ[i], how->env[k], name) && how->env[k][name] == '=');
        if (!replaced) env[count++] = environ[i];
    }
    return env;
}

static void close_both(int ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
}

/* Leaves no process of the group; the program's exit status, or 128 + the signal that ended it. */
static int reap(const reader *r) {
    int raw = 0;
    if (r->guard > 0) kill(-r->guard, SIGKILL);
    while (r->pid > 0 && waitpid(r->pid, &raw, 0) < 0 && errno == EINTR) continue;
    while (r->guard > 0 && waitpid(r->guard, NULL, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

/* Forks; why.code stays 0 when the program was started. */
static bool start(reader *r, char *const argv[], failure *why, spak_error *err) {
    int out[2] = {-1, -1}, errors[2] = {-1, -1}, report[2] = {-1, -1};
    char **env = environment(r->how);
    bool ok =
        env ? !pipe2(out, O_CLOEXEC) && !pipe2(errors, O_CLOEXEC) && !pipe2(report, O_CLOEXEC) : spak_fail_oom(err);
    if (env && !ok) spak_fail_errno(err, "pipe for %s", argv[0]);
    pid_t parent = getpid();
    if (ok) r->guard = fork_guard(parent);
    if (ok) r->begun = spak_now_ns();
    if (ok && (r->guard < 0 || (r->pid = fork()) < 0)) ok = spak_fail_errno(err, "cannot start %s", argv[0]);
    if (ok && r->pid == 0) {
        *why = become(argv, r->how, env, out, errors, r->guard, parent);
        ssize_t put = write(report[1], why, sizeof *why);
        _exit(put < 0 ? 126 : 127);
    }
    if (ok) {
        close(report[1]);
        report[1] = -1;
        ssize_t got;
        while ((got = read(report[0], why, sizeof *why)) < 0 && errno == EINTR) continue;
        if (got != (ssize_t)sizeof *why) why->code = 0; /* exec closed the pipe */
        r->out = out[0];
        r->errors = errors[0];
        out[0] = errors[0] = -1;
    }
    close_both(out);
    close_both(errors);
    close_both(report);
    spak_free(env);
    if (!ok) reap(r);
    return ok;
}

/* True when the program has ended; it stays a zombie. */
static bool has_exited(reader *r) {
    siginfo_t info = {0};
    if (r->exited) return true;
    r->looked = spak_now_ns();
    int bad = waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    r->exited = bad || info.si_pid == r->pid;
    return r->exited;
}

static bool hand_over(reader *r, uint64_t now, bool *stop, spak_error *err) {
    spak_line line = {
        .text = spak_str_text(&r->line), .len = r->line.len, .number = ++r->line_no, .at_ns = now - r->begun};
    bool ok = spak_str_ok(&r->line, err) && r->how->take(r->how->context, &line, stop, err);
    spak_str_clear(&r->line);
    return ok;
}

/* Cuts what came into lines. */
static bool take(reader *r, const char *data, size_t len, bool *stop, spak_error *err) {
    uint64_t now = spak_now_ns();
    while (len && !*stop) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) : len;
        if (r->line.len + part > r->how->max_line)
            return spak_fail(err, "%s: line %zu of its output is longer than %zu bytes", r->program, r->line_no + 1,
                             r->how->max_line);
        spak_str_append(&r->line, data, part);
        if (!newline) return true;
        if (!hand_over(r, now, stop, err)) return false;
        data += part + 1;
        len -= part + 1;
    }
    return true;
}

/* Keeps the last KEPT_ERRORS bytes. */
static void keep_errors(spak_str *errors, const char *data, size_t len) {
    spak_str_append(errors, data, len);
    if (errors->oom || errors->len <= KEPT_ERRORS) return;
    memmove(errors->data, errors->data + errors->len - KEPT_ERRORS, KEPT_ERRORS);
    errors->len = KEPT_ERRORS;
    errors->data[KEPT_ERRORS] = 0;
}

/* Reads what one pipe holds now; *open becomes false at its end. */
static bool read_some(reader *r, struct pollfd *polled, bool is_output, bool *stop, spak_error *err) {
    char buffer[16384];
    if (polled->fd < 0 || !polled->revents) return true;
    ssize_t got = read(polled->fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) return true;
    if (got > 0 && is_output) return take(r, buffer, (size_t)got, stop, err);
    if (got > 0) keep_errors(&r->ended->errors, buffer, (size_t)got);
    if (got <= 0) polled->fd = -1; /* poll leaves negative descriptors alone */
    return true;
}

/* Until the program is told to stop, has ended and said all, or has used up its time. */
static bool listen_to(reader *r, spak_error *err) {
    struct pollfd polled[2] = {{r->out, POLLIN, 0}, {r->errors, POLLIN, 0}};
    bool stop = false, ok = true;
    while (ok && !stop) {
        bool silent = polled[0].fd < 0 && polled[1].fd < 0;
        if (silent && has_exited(r)) break;
        int ready = poll(polled, 2, silent ? 1 : LOOK_MS);
        if (ready < 0 && errno != EINTR) return spak_fail_errno(err, "poll");
        uint64_t now = spak_now_ns();
        if ((ready <= 0 || now - r->looked > LOOK_MS * MS) && !r->exited && has_exited(r) &&
            now + LINGER_MS * MS < r->deadline)
            r->deadline = now + LINGER_MS * MS; /* for what is still in the pipes, whoever holds them */
        if (ready == 0 && r->exited) break;
        for (int i = 0; ok && !stop && ready > 0 && i < 2; i++) ok = read_some(r, &polled[i], i == 0, &stop, err);
        if (now >= r->deadline) break;
    }
    r->ended->stopped = stop;
    r->ended->timed_out = ok && !stop && !has_exited(r);
    if (ok && !stop && r->line.len) ok = hand_over(r, spak_now_ns(), &stop, err); /* without its newline */
    return ok;
}

bool spak_run_lines(char *const argv[], const spak_lines *how, spak_ended *ended, spak_error *err) {
    reader r = {.how = how, .ended = ended, .program = argv[0], .out = -1, .errors = -1};
    failure why = {0};
    *ended = (spak_ended){0};
    if (!start(&r, argv, &why, err)) return false;
    ended->found = why.code == 0 || (why.code != ENOENT && why.code != ENOTDIR) || why.folder;
    r.deadline = r.begun + (uint64_t)(how->timeout_s * 1e9);
    bool ok = true;
    if (why.code && ended->found)
        ok = spak_fail(err, "cannot start %s%s%s: %s", argv[0], why.folder ? " in " : "", why.folder ? how->folder : "",
                       strerror(why.code));
    if (!why.code) ok = listen_to(&r, err);
    ended->seconds = (double)(spak_now_ns() - r.begun) * 1e-9;
    ended->status = reap(&r);
    close(r.out);
    close(r.errors);
    spak_str_free(&r.line);
    ok = ok && spak_str_ok(&ended->errors, err);
    if (!ok) spak_str_free(&ended->errors);
    return ok;
}
