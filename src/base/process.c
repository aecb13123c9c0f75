/* Runs another program: posix_spawn, both output pipes read together so that neither can fill up and stall the
 * other, no shell, and nothing inherited but the environment. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/process.h"

extern char **environ;

static bool start(char *const argv[], const int out[2], const int errors[2], pid_t *pid, int *code, spak_error *err) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions)) return spak_fail_oom(err);
    int bad = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!bad) bad = posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    if (!bad) bad = posix_spawn_file_actions_adddup2(&actions, errors[1], 2);
    if (!bad) *code = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return bad ? spak_fail_oom(err) : true;
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads both pipes to their ends, or until the deadline. */
static bool drain(int out_fd, spak_str *out, int err_fd, spak_str *errors, long long deadline_ms, spak_error *err) {
    struct pollfd polled[2] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}};
    spak_str *to[2] = {out, errors};
    for (int open_pipes = 2; open_pipes > 0;) {
        long long left = deadline_ms - now_ms();
        if (left <= 0) return true;
        if (poll(polled, 2, (int)left) < 0) {
            if (errno == EINTR) continue;
            return spak_fail_errno(err, "poll");
        }
        for (int i = 0; i < 2; i++) {
            if (polled[i].fd < 0 || !polled[i].revents) continue;
            char buffer[8192];
            ssize_t got = read(polled[i].fd, buffer, sizeof buffer);
            if (got < 0 && errno == EINTR) continue;
            if (got > 0) {
                spak_str_append(to[i], buffer, (size_t)got);
            } else { /* poll leaves negative descriptors alone */
                polled[i].fd = -1;
                open_pipes--;
            }
        }
    }
    return true;
}

/* Waits for the program's end and kills it at the deadline; false when it had to be killed. */
static bool reap(pid_t pid, long long deadline_ms, int *raw) {
    const struct timespec nap = {.tv_nsec = 1000000};
    for (;;) {
        pid_t got = waitpid(pid, raw, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) return true;
        if (now_ms() >= deadline_ms) break;
        nanosleep(&nap, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, raw, 0) < 0 && errno == EINTR) continue;
    return false;
}

bool spak_spawn(char *const argv[], int limit_s, bool *found, int *status, spak_str *out, spak_str *errors,
                spak_error *err) {
    int out_pipe[2], err_pipe[2];
    *found = true;
    *status = 0;
    if (pipe2(out_pipe, O_CLOEXEC)) return spak_fail_errno(err, "pipe for %s", argv[0]);
    if (pipe2(err_pipe, O_CLOEXEC)) {
        close(out_pipe[0]);
        close(out_pipe[1]);
        return spak_fail_errno(err, "pipe for %s", argv[0]);
    }
    pid_t pid = -1;
    int code = 0;
    bool good = start(argv, out_pipe, err_pipe, &pid, &code, err);
    close(out_pipe[1]);
    close(err_pipe[1]);
    if (good && code == ENOENT) *found = false;
    if (good && code && code != ENOENT) good = spak_fail(err, "cannot start %s: %s", argv[0], strerror(code));
    if (good && *found) {
        long long deadline_ms = now_ms() + 1000LL * limit_s;
        int raw = 0;
        good = drain(out_pipe[0], out, err_pipe[0], errors, deadline_ms, err);
        if (!reap(pid, deadline_ms, &raw) && good)
            good = spak_fail(err, "%s did not end within %d s and was stopped", argv[0], limit_s);
        *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    }
    close(out_pipe[0]);
    close(err_pipe[0]);
    return good && spak_str_ok(out, err) && spak_str_ok(errors, err);
}
