/* Its input is a socket, not a pipe: writing to a peer that has died is then an error (MSG_NOSIGNAL), not a signal that
 * ends this process. base/process_lines.c runs programs to their end and gives them no input; what it does against
 * processes left behind is done here by the end of the input, and by a signal at the death of this process. */
#include "device/peer_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { KEPT_ERRORS = 4096, LONGEST_ANSWER = 64 << 20, MOMENT_MS = 500 };

struct dev_peer {
    char *name; /* without its folder, which is this machine's business */
    pid_t pid;
    int in, out, errors; /* -1: closed */
    spak_str line, said; /* said: the last of its standard error */
    spak_error gone;     /* why; "" while it lives */
};

/* --- its start --- */

/* In the child, where only functions that a signal handler may use stand. Returns what went wrong. */
static int become(char *const argv[], const int ends[3], pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    for (int i = 0; i < 3; i++)
        if (dup2(ends[i], i) < 0) return errno;
    execvp(argv[0], argv);
    return errno;
}

static void close_all(int *fd, int count) {
    for (int i = 0; i < count; i++)
        if (fd[i] >= 0) close(fd[i]);
}

/* 0, or why it could not be started. */
static int spawn(dev_peer *p, char *const argv[]) {
    int fd[8] = {-1, -1, -1, -1, -1, -1, -1, -1}; /* in, out, errors, report: ours and the child's */
    int code = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) || pipe2(fd + 2, O_CLOEXEC) ||
        pipe2(fd + 4, O_CLOEXEC) || pipe2(fd + 6, O_CLOEXEC))
        code = errno;
    const int ends[3] = {fd[1], fd[3], fd[5]};
    const pid_t parent = getpid();
    if (!code && (p->pid = fork()) < 0) code = errno;
    if (!code && p->pid == 0) {
        code = become(argv, ends, parent);
        ssize_t put = write(fd[7], &code, sizeof code);
        _exit(put < 0 ? 126 : 127);
    }
    if (!code) {
        close(fd[7]);
        fd[7] = -1;
        ssize_t got;
        while ((got = read(fd[6], &code, sizeof code)) < 0 && errno == EINTR) continue;
        if (got != (ssize_t)sizeof code) code = 0; /* exec closed the pipe */
    }
    if (!code) {
        p->in = fd[0], p->out = fd[2], p->errors = fd[4];
        fd[0] = fd[2] = fd[4] = -1;
    }
    close_all(fd, 8);
    return code;
}

static int end(dev_peer *p) {
    int raw = 0;
    close_all((int[]){p->in, p->out, p->errors}, 3);
    p->in = p->out = p->errors = -1;
    if (p->pid <= 0) return 0;
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, &raw, 0) < 0 && errno == EINTR) continue;
    p->pid = 0;
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

bool dev_peer_start(char *const argv[], dev_peer **peer, spak_error *err) {
    dev_peer *p = *peer = spak_calloc(1, sizeof *p);
    if (!p) return spak_fail_oom(err);
    p->in = p->out = p->errors = -1;
    const char *slash = strrchr(argv[0], '/');
    p->name = spak_strdup(slash ? slash + 1 : argv[0]);
    const int code = p->name ? spawn(p, argv) : 0;
    if (p->name && !code) return true;
    if (!p->name)
        spak_fail_oom(err);
    else if (code == ENOENT)
        spak_fail(err, "%s is not installed", p->name);
    else
        spak_fail(err, "cannot start %s: %s", p->name, strerror(code));
    dev_peer_stop(p);
    *peer = NULL;
    return false;
}

/* --- questions and answers --- */

/* The last line of what it said on its standard error. */
static const char *last_line(dev_peer *p) {
    while (p->said.len && p->said.data[p->said.len - 1] == '\n') p->said.data[--p->said.len] = 0;
    const char *text = spak_str_text(&p->said), *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

/* Ends it; always false. The program's own end is looked at first: a kill would hide its status. */
static bool be_gone(dev_peer *p, const char *how, spak_error *err) {
    int raw = 0;
    const struct timespec nap = {.tv_nsec = 1000000};
    for (int i = 0; p->out < 0 && p->pid > 0 && i < MOMENT_MS; i++) { /* it closed its output: wait a moment */
        if (waitpid(p->pid, &raw, WNOHANG) == p->pid) p->pid = 0;
        if (p->pid) nanosleep(&nap, NULL);
    }
    const bool own = p->pid == 0;
    end(p);
    const char *said = last_line(p), *colon = *said ? ": " : "";
    if (own && WIFEXITED(raw))
        spak_fail(&p->gone, "%s %s with status %d%s%s", p->name, how, WEXITSTATUS(raw), colon, said);
    else if (own)
        spak_fail(&p->gone, "%s %s by signal %d%s%s", p->name, how, WTERMSIG(raw), colon, said);
    else
        spak_fail(&p->gone, "%s %s%s%s", p->name, how, colon, said);
    return spak_fail(err, "%s", p->gone.message);
}

static int left_ms(uint64_t deadline_ns) {
    const uint64_t now = spak_now_ns();
    return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000 + 1);
}

static void read_errors(dev_peer *p) {
    char buffer[4096];
    ssize_t got = read(p->errors, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) return;
    if (got > 0) spak_str_append(&p->said, buffer, (size_t)got);
    if (p->said.len > KEPT_ERRORS && !p->said.oom) {
        memmove(p->said.data, p->said.data + p->said.len - KEPT_ERRORS, KEPT_ERRORS + 1);
        p->said.len = KEPT_ERRORS;
    }
    if (got <= 0) {
        close(p->errors);
        p->errors = -1;
    }
}

/* Reads what is there; *ended at the end of its output. */
static void read_output(dev_peer *p, bool *ended) {
    char buffer[16384];
    ssize_t got = read(p->out, buffer, sizeof buffer);
    if (got > 0) spak_str_append(&p->line, buffer, (size_t)got);
    *ended = got == 0 || (got < 0 && errno != EINTR);
}

/* Sends the rest of the question, listens meanwhile: neither side may wait for the other for ever. */
static bool exchange(dev_peer *p, const spak_str *question, uint64_t deadline_ns, spak_error *err) {
    size_t sent = 0;
    for (;;) {
        if (p->line.len && memchr(p->line.data, '\n', p->line.len)) return true;
        if (p->line.len > LONGEST_ANSWER || p->line.oom) return be_gone(p, "said more than a line may hold", err);
        struct pollfd polled[3] = {
            {p->out, POLLIN, 0}, {p->errors, POLLIN, 0}, {sent < question->len ? p->in : -1, POLLOUT, 0}};
        const int wait_ms = left_ms(deadline_ns);
        if (wait_ms == 0) return be_gone(p, "did not answer in time and was stopped", err);
        if (poll(polled, 3, wait_ms) < 0 && errno != EINTR) return be_gone(p, "cannot be listened to", err);
        bool ended = false;
        if (polled[1].revents) read_errors(p);
        if (polled[0].revents) read_output(p, &ended);
        if (polled[2].revents && !ended) {
            ssize_t put = send(p->in, question->data + sent, question->len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (put > 0) sent += (size_t)put;
            ended = put < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK;
        }
        if (!ended) continue;
        while (p->errors >= 0 && poll(&(struct pollfd){p->errors, POLLIN, 0}, 1, 0) > 0) read_errors(p);
        close(p->out);
        p->out = -1;
        return be_gone(p, "ended", err);
    }
}

static bool read_answer(dev_peer *p, json_t **answer, spak_error *err) {
    spak_error why = {0};
    const size_t len = (size_t)((char *)memchr(p->line.data, '\n', p->line.len) - p->line.data);
    const bool parsed = spak_json_parse(p->name, p->line.data, len, answer, &why);
    memmove(p->line.data, p->line.data + len + 1, p->line.len - len); /* its NUL, too */
    p->line.len -= len + 1;
    if (!parsed || !json_is_object(*answer)) {
        json_decref(*answer);
        *answer = NULL;
        return be_gone(p, "said what is no object of JSON", err);
    }
    const json_t *refusal = json_object_get(*answer, "error");
    if (!refusal) return true;
    spak_fail(err, "%s", json_is_string(refusal) ? json_string_value(refusal) : "it refused");
    json_decref(*answer);
    *answer = NULL;
    return false;
}

bool dev_peer_ask(dev_peer *p, const json_t *question, double timeout_s, json_t **answer, spak_error *err) {
    spak_str line = {0};
    *answer = NULL;
    if (*p->gone.message) return spak_fail(err, "%s", p->gone.message);
    const uint64_t deadline = spak_now_ns() + (uint64_t)(timeout_s * 1e9);
    bool ok = spak_json_canonical(question, &line, err);
    spak_str_puts(&line, "\n");
    ok = ok && spak_str_ok(&line, err) && exchange(p, &line, deadline, err) && read_answer(p, answer, err);
    spak_str_free(&line);
    return ok;
}

void dev_peer_stop(dev_peer *p) {
    if (!p) return;
    const struct timespec nap = {.tv_nsec = 1000000};
    if (p->in >= 0) close(p->in);
    p->in = -1;
    for (int i = 0; p->pid > 0 && i < MOMENT_MS; i++) {
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) p->pid = 0;
        if (p->pid > 0) nanosleep(&nap, NULL);
    }
    end(p);
    spak_str_free(&p->line);
    spak_str_free(&p->said);
    spak_free(p->name);
    spak_free(p);
}
