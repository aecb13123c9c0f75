/* One writer a trace, and writers that are killed. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/rng.h"
#include "trace_test.h"

static void sleep_us(long us) { nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL); }

static void test_two_processes(void) {
    spak_error err = {0};
    make_trace("two.jsonl", 2, &err);
    int ready[2], leave[2];
    if (pipe(ready) != 0 || pipe(leave) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        trace_writer *writer = NULL;
        char byte = trace_open("two.jsonl", &writer, NULL, &err) ? 'y' : 'n';
        close(leave[1]);
        if (write(ready[1], &byte, 1) != 1 || read(leave[0], &byte, 1) < 0) _exit(2);
        trace_close(writer);
        _exit(0);
    }
    close(leave[0]);
    char byte = 0, pid[32];
    ok(read(ready[0], &byte, 1) == 1 && byte == 'y', "one process writes");
    trace_writer *writer = NULL;
    snprintf(pid, sizeof pid, "process %ld ", (long)child);
    ok(!trace_open("two.jsonl", &writer, NULL, &err), "the second is refused");
    ok(strstr(err.message, pid) && strstr(err.message, "two.jsonl"), "and told by whom: %s", err.message);
    trace_status status;
    ok(trace_verify("two.jsonl", &status, &err) && status.records == 2, "reading goes on");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ok(trace_open("two.jsonl", &writer, NULL, &err), "a killed writer holds nothing: %s", err.message);
    trace_close(writer);
    close(leave[1]);
    close(ready[0]);
    close(ready[1]);
}

static void test_one_process(void) {
    spak_error err = {0};
    trace_writer *first = NULL, *second = NULL;
    trace_status status;
    ok(trace_open("one.jsonl", &first, NULL, &err), "a first writer");
    ok(!trace_open("one.jsonl", &second, NULL, &err) && !second && strstr(err.message, "this process"),
       "a second in the same process is refused: %s", err.message);
    ok(append_one(first, "run", 0, &err), "the first goes on");
    ok(trace_verify("one.jsonl", &status, &err) && status.records == 1, "the process reads what it writes");
    ok(!trace_open("one.jsonl", &second, NULL, &err), "which loses no lock (%s)", err.message);
    ok(append_one(first, "measure", 1, &err), "an append takes the name again");
    pid_t child = fork(); /* the child's copy of the descriptor shares the lock, so it asks from a fresh program */
    if (child == 0) {
        trace_writer *third = NULL;
        char pid[32];
        snprintf(pid, sizeof pid, "process %ld ", (long)getppid());
        bool refused = !trace_open("one.jsonl", &third, NULL, &err) && strstr(err.message, pid);
        _exit(refused ? 0 : 1);
    }
    int state = 1;
    waitpid(child, &state, 0);
    is_int(state, 0, "so that another process is told who holds it");
    trace_close(first);
    ok(trace_open("one.jsonl", &second, NULL, &err), "once closed, another may: %s", err.message);
    trace_close(second);
}

/* Appends until killed; each returned append is reported through the pipe. */
static void append_for_ever(const char *path, int report) {
    spak_error err = {0};
    trace_writer *writer;
    trace_status status;
    if (!trace_open(path, &writer, &status, &err)) _exit(1);
    for (size_t i = status.records;; i++) {
        uint64_t seq;
        if (!trace_append(writer, i ? "measure" : "run", json_pack("{s:I}", "i", (json_int_t)i), &seq, &err)) _exit(1);
        if (write(report, &seq, sizeof seq) != sizeof seq) _exit(1);
    }
}

static void test_kill(void) {
    enum { KILLS = 30 };
    int verified = 0, complete = 0;
    spak_error err = {0};
    size_t records = 0;
    for (int i = 0; i < KILLS; i++) {
        int report[2];
        if (pipe(report) != 0) return;
        pid_t child = fork();
        if (child == 0) append_for_ever("kill.jsonl", report[1]);
        close(report[1]);
        sleep_us(1000 + (long)(30000.0f * spak_philox_uniform(7, 0, (uint64_t)i)));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t seq, returned = records;
        while (read(report[0], &seq, sizeof seq) == sizeof seq) returned = seq + 1;
        close(report[0]);
        trace_writer *writer = NULL;
        trace_status status = {0};
        bool good = trace_open("kill.jsonl", &writer, NULL, &err);
        trace_close(writer);
        good = good && trace_verify("kill.jsonl", &status, &err) && status.torn_bytes == 0;
        verified += good;
        complete += status.records >= returned;
        records = status.records;
    }
    is_int(verified, KILLS, "killed %d times, the trace verifies each time (%s)", KILLS, err.message);
    is_int(complete, KILLS, "and holds every record whose append returned, %zu at the end", records);
    ok(records > KILLS, "there was something to lose");
}

int main(void) {
    if (!make_scratch()) return 1;
    test_two_processes();
    test_one_process();
    test_kill();
    remove_scratch();
    return done_testing();
}
