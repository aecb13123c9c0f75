/* Programs read line by line: times, limits, and that nothing is left behind, whatever way they end. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"
#include "base/process.h"

typedef struct taken {
    size_t lines, stop_at, fail_at, bytes;
    uint64_t first_ns, last_ns;
    char last[64];
    pid_t child; /* the number in a line `child N` */
} taken;

static bool take(void *context, const spak_line *line, bool *stop, spak_error *err) {
    taken *t = context;
    if (t->lines++ == 0) t->first_ns = line->at_ns;
    t->last_ns = line->at_ns;
    t->bytes += line->len;
    snprintf(t->last, sizeof t->last, "%s", line->text);
    if (!strncmp(line->text, "child ", 6)) t->child = (pid_t)atol(line->text + 6);
    *stop = line->number == t->stop_at;
    return line->number != t->fail_at || spak_fail(err, "no more");
}

static spak_ended run(const char *script, taken *t, double timeout_s, bool want, spak_error *err) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    char *env[] = {"SPAK_TEST_WORD=here", NULL};
    spak_lines how = {.folder = "/", .env = env, .timeout_s = timeout_s, .max_line = 1000, .take = take, .context = t};
    spak_ended ended;
    *err = (spak_error){0};
    ok(spak_run_lines(argv, &how, &ended, err) == want, "`%.40s`: %s %s", script, want ? "runs" : "fails",
       err->message);
    return ended;
}

/* A process that was killed stays a zombie until its new parent waits for it. */
static bool is_gone_now(pid_t pid) {
    char path[64], text[256] = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[got] = 0;
    const char *state = strrchr(text, ')');
    return !got || (state && state[2] == 'Z');
}

static bool is_gone(pid_t pid) {
    for (int i = 0; i < 500; i++, usleep(10000))
        if (is_gone_now(pid)) return true;
    return false;
}

/* Hands the number of a line `child N` on through a pipe. */
static bool tell_parent(void *context, const spak_line *line, bool *stop, spak_error *err) {
    pid_t child = (pid_t)atol(line->text + 6);
    (void)stop;
    return write(*(int *)context, &child, sizeof child) == sizeof child || spak_fail(err, "no parent");
}

static void test_lines(void) {
    taken t = {0};
    spak_error err;
    spak_ended e =
        run("read x; pwd; echo $SPAK_TEST_WORD; sleep 0.2; printf 'the end'; echo oh >&2", &t, 20, true, &err);
    ok(e.found && !e.stopped && !e.timed_out, "it ends by itself");
    is_int(e.status, 0, "with its status");
    is_int(t.lines, 3, "three lines, the last without a newline");
    is_str(t.last, "the end", "which is the last one");
    ok(t.last_ns - t.first_ns > 150000000u && t.first_ns > 0, "each with its own time");
    ok(e.seconds * 1e9 >= (double)t.last_ns && e.seconds < 5, "the whole takes longer than its last line");
    is_str(spak_str_text(&e.errors), "oh\n", "standard error is kept");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("pwd; echo $SPAK_TEST_WORD", &t, 20, true, &err);
    is_str(t.last, "here", "what env sets is in its environment");
    is_int(t.bytes, 5, "and it runs in its folder");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("yes complaint | head -c 100000 >&2; echo last >&2; exit 3", &t, 20, true, &err);
    is_int(e.status, 3, "a failure's status");
    is_int(e.errors.len, 4096, "4 KiB of standard error are kept");
    is_str(e.errors.data + e.errors.len - 5, "last\n", "the last ones");
    spak_str_free(&e.errors);
    e = run("kill -9 $$", &t, 20, true, &err);
    is_int(e.status, 128 + 9, "a signal's number");
    spak_str_free(&e.errors);
}

static void test_limits(void) {
    spak_error err;
    taken t = {.stop_at = 3};
    spak_ended e = run("sleep 300 & echo child $!; while :; do echo line; done", &t, 20, true, &err);
    ok(e.stopped && t.lines == 3, "stopped at the third line");
    ok(t.child > 0 && is_gone(t.child), "with its child");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("sleep 300 & echo child $!; wait", &t, 0.5, true, &err);
    ok(e.timed_out && !e.stopped && e.seconds < 10, "stopped when its time is up");
    ok(t.child > 0 && is_gone(t.child), "with its child");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("exec >&- 2>&-; sleep 300", &t, 0.5, true, &err);
    ok(e.timed_out && e.seconds < 10, "also when it has closed its output");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("sleep 300 & echo child $!; exit 5", &t, 20, true, &err);
    ok(e.status == 5 && !e.timed_out && e.seconds < 10, "a child that holds the pipes is not waited for");
    ok(t.child > 0 && is_gone(t.child), "and does not stay");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("yes & echo child $!; exit 6", &t, 20, true, &err);
    ok(e.status == 6 && e.seconds < 10 && t.child > 0 && is_gone(t.child), "nor one that goes on talking");
    spak_str_free(&e.errors);
    t = (taken){.fail_at = 2};
    e = run("sleep 300 & echo child $!; while :; do echo line; done", &t, 20, false, &err);
    ok(t.child > 0 && is_gone(t.child), "a line that cannot be taken ends it too");
    is_str(err.message, "no more", "and the reason is the taker's");
}

static void test_hostile(void) {
    spak_error err;
    taken t = {0};
    run("printf 'child %s\\n' $$; head -c 5000 /dev/zero | tr '\\0' x; sleep 300", &t, 20, false, &err);
    ok(strstr(err.message, "line 2 of its output is longer than 1000 bytes") && is_gone(t.child), "a line without end");
    t = (taken){0};
    spak_ended e = run("head -c 1000 /dev/zero", &t, 20, true, &err);
    is_int(t.bytes, 1000, "zero bytes are bytes like any other");
    spak_str_free(&e.errors);
    t = (taken){0};
    e = run("yes | head -n 1000000", &t, 60, true, &err);
    is_int(t.lines, 1000000, "a million lines");
    spak_str_free(&e.errors);
}

/* kill -9 of this process ends the program and what that has started, whatever signals it has sent to its group. */
static void test_orphans(void) {
    static const char script[] =
        "trap '' TERM USR1; kill -s TERM 0; kill -s USR1 0; sleep 300 & echo child $!; echo child $$; wait";
    int ends[2];
    pid_t children[2] = {0};
    if (pipe(ends)) return (void)ok(false, "a pipe");
    pid_t parent = fork();
    if (parent == 0) {
        char *argv[] = {"sh", "-c", (char *)script, NULL};
        spak_lines how = {.timeout_s = 60, .max_line = 1000, .take = tell_parent, .context = &ends[1]};
        spak_ended ended;
        _exit(!spak_run_lines(argv, &how, &ended, NULL));
    }
    for (int i = 0; i < 2; i++)
        if (read(ends[0], &children[i], sizeof children[i]) != sizeof children[i]) break;
    ok(children[0] > 0 && children[1] > 0 && !is_gone_now(children[0]) && !is_gone_now(children[1]),
       "a program and its child run");
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    ok(is_gone(children[1]), "kill -9 of the process that runs them ends the program");
    ok(is_gone(children[0]), "and its child");
    close(ends[0]);
    close(ends[1]);
}

static void test_absent(void) {
    taken t = {0};
    spak_error err = {0};
    char *argv[] = {"spak-no-such-program", NULL}, *plain[] = {"/dev/null", NULL}, *sh[] = {"sh", "-c", ":", NULL};
    spak_lines how = {.timeout_s = 5, .max_line = 10, .take = take, .context = &t};
    spak_ended ended;
    ok(spak_run_lines(argv, &how, &ended, &err) && !ended.found, "a program that is not there is not found");
    ok(!spak_run_lines(plain, &how, &ended, &err) && strstr(err.message, "cannot start /dev/null"),
       "what is no program is an error: %s", err.message);
    how.folder = "/spak-no-such-folder";
    ok(!spak_run_lines(sh, &how, &ended, &err) && strstr(err.message, "in /spak-no-such-folder"),
       "and so is a folder that is not there: %s", err.message);
}

static bool tell_child(void *context, const spak_line *line, bool *stop, spak_error *err) {
    (void)stop, (void)err;
    pid_t child = (pid_t)atol(line->text);
    return write(*(int *)context, &child, sizeof child) == sizeof child;
}

/* Whoever runs a program may be killed itself. */
static void test_killed(void) {
    int ends[2];
    pid_t child = 0, runner = pipe(ends) == 0 ? fork() : -1;
    if (runner == 0) {
        char *argv[] = {"sh", "-c", "echo $$; exec sleep 300", NULL};
        spak_lines how = {.timeout_s = 60, .max_line = 100, .take = tell_child, .context = &ends[1]};
        spak_ended ended;
        spak_run_lines(argv, &how, &ended, NULL);
        _exit(0);
    }
    ok(runner > 0 && read(ends[0], &child, sizeof child) == sizeof child && child > 0, "it runs under another process");
    kill(runner, SIGKILL);
    waitpid(runner, NULL, 0);
    ok(is_gone(child), "and ends when that one is killed");
    close(ends[0]), close(ends[1]);
}

int main(void) {
    test_lines();
    test_limits();
    test_hostile();
    test_orphans();
    test_absent();
    test_killed();
    return done_testing();
}
