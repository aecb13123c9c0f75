/* no_read_outside: the matrices lie against pages that nobody may touch.
 *
 * Each matrix gets a mapping of its own with a forbidden page before it and one
 * after it, and every problem runs twice: with the matrices ending where the
 * last page begins, and beginning where the first ends. An access outside is
 * then a fault of the processor. So that a fault is a counterexample and not
 * the end of the program, the subject runs in a child process, which notes in
 * shared memory which problem it is at. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "matmul/invariants.h"

typedef struct guarded {
    char *base;
    size_t size; /* of the whole mapping */
    float *data;
} guarded;

static bool guard(guarded *g, size_t floats, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = floats * sizeof(float);
    size_t inner = (bytes + page - 1) / page * page;
    g->size = inner + 2 * page;
    g->base =
        mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->base == MAP_FAILED) return false;
    if (inner && mprotect(g->base + page, inner, PROT_READ | PROT_WRITE) != 0)
        return false;
    g->data = (float *)(g->base + page + (at_end ? inner - bytes : 0));
    return true;
}

/* Rows but the last end with padding that belongs to the matrix; after the last
 * row's elements nothing may be read. */
static size_t used(size_t rows, size_t columns, size_t ld) {
    return rows ? (rows - 1) * ld + columns : 0;
}

enum { CANNOT_RUN = 42 };

static void child(const matmul_subject *subject, uint64_t seed, int cases,
                  volatile int *at) {
    int quiet = open("/dev/null", O_WRONLY);
    if (quiet >= 0)
        dup2(quiet,
             STDERR_FILENO); /* a sanitizer's report of an expected fault */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    for (int index = 0; index < cases; index++)
        for (int at_end = 0; at_end < 2; at_end++) {
            *at = 2 * index + at_end;
            matmul_case c;
            guarded g[3];
            matmul_case_shape(seed, index, &c);
            matmul_args *x = &c.x;
            c.a_floats = x->trans_a ? used(x->k, x->m, x->lda)
                                    : used(x->m, x->k, x->lda);
            c.b_floats = x->trans_b ? used(x->n, x->k, x->ldb)
                                    : used(x->k, x->n, x->ldb);
            c.c_floats = used(x->m, x->n, x->ldc);
            if (!guard(&g[0], c.a_floats, at_end) ||
                !guard(&g[1], c.b_floats, at_end) ||
                !guard(&g[2], c.c_floats, at_end))
                _exit(CANNOT_RUN);
            c.a = g[0].data;
            c.b = g[1].data;
            c.c = g[2].data;
            matmul_case_fill(&c, seed, index);
            subject->run(subject->ctx, x, 2);
            for (int i = 0; i < 3; i++) munmap(g[i].base, g[i].size);
        }
    _exit(0);
}

bool matmul_check_reads(const matmul_subject *subject, uint64_t seed, int cases,
                        json_t **counterexample, spak_error *err) {
    *counterexample = NULL;
    int *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return spak_fail_errno(
            err, "cannot map a page to share with the child process");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child(subject, seed, cases, at);
    int status = 0, where = 0;
    bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
    where = *at;
    munmap(at, sizeof *at);
    if (!waited)
        return spak_fail_errno(
            err, "cannot run the guarded product in a child process");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN)
        return spak_fail(err,
                         "the child process cannot map guarded memory: free "
                         "some memory and try again");
    matmul_case c;
    matmul_case_shape(seed, where / 2, &c);
    *counterexample = matmul_counterexample(
        subject, &c.x, "touched memory %s a matrix (%s %d)",
        where % 2 ? "after the end of" : "before the beginning of",
        WIFSIGNALED(status) ? "signal" : "exit status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}
