#include "device/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

bool dev_guard(dev_guarded *g, size_t bytes, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    g->size = inner + 2 * page;
    g->base = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->base == MAP_FAILED) return false;
    if (inner && mprotect(g->base + page, inner, PROT_READ | PROT_WRITE) != 0) return false;
    g->data = g->base + page + (at_end ? inner - bytes : 0);
    return true;
}

void dev_guard_free(dev_guarded *g) { munmap(g->base, g->size); }

enum { CANNOT_RUN = 42 };

static void child(int count, dev_guard_job *job, void *ctx, volatile int *at) {
    int quiet = open("/dev/null", O_WRONLY);
    if (quiet >= 0) dup2(quiet, STDERR_FILENO); /* a sanitizer's report of an expected fault */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    for (int index = 0; index < count; index++)
        for (int at_end = 0; at_end < 2; at_end++) {
            *at = 2 * index + at_end;
            if (!job(ctx, index, at_end)) _exit(CANNOT_RUN);
        }
    _exit(0);
}

bool dev_guard_run(int count, dev_guard_job *job, void *ctx, dev_guard_outcome *outcome, spak_error *err) {
    memset(outcome, 0, sizeof *outcome);
    int *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return spak_fail_errno(err, "cannot map a page to share with the child process");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child(count, job, ctx, at);
    int status = 0;
    bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
    outcome->index = *at / 2;
    outcome->at_end = *at % 2;
    munmap(at, sizeof *at);
    if (!waited) return spak_fail_errno(err, "cannot run a kernel in a child process");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN)
        return spak_fail(err, "the child process cannot map guarded memory: free some memory and try again");
    outcome->outside = true;
    snprintf(outcome->how, sizeof outcome->how, "%s %d", WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return true;
}
