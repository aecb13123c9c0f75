/* A 10 MB file of realistic systems: its check takes less than 15 times its size in memory, and is fast. The speed is
 * asserted loosely, since the machine may be busy, and not at all under sanitizers. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "dsl_test.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { SIZE = 10 * 1000 * 1000 };

/* Copies of the fixture, each with a name of its own. */
static bool generate(spak_str *out) {
    static const char HEAD[] = "system Fused_Attention_v2";
    spak_str source = {0};
    spak_error err;
    if (!spak_read_file(FIXTURES "/attention_system.dsl", &source, &err)) return false;
    const char *body = strstr(source.data, HEAD);
    spak_str_append(out, source.data, (size_t)(body - source.data));
    for (int i = 0; out->len < SIZE; i++) spak_str_printf(out, "%s_%d%s\n", HEAD, i, body + strlen(HEAD));
    spak_str_free(&source);
    return spak_str_ok(out, &err);
}

/* Checks the file in a process of its own; seconds < 0 when it failed. */
static double check(const char *path, long *peak_kb) {
    int fds[2];
    if (pipe(fds)) return -1;
    pid_t child = fork();
    if (!child) {
        spak_error err;
        dsl_doc *doc;
        uint64_t begun = spak_now_ns();
        double seconds = dsl_parse_file(path, &doc, &err) && !dsl_diagnostic_count(doc) ? 0 : -1;
        if (!seconds) seconds = (double)(spak_now_ns() - begun) * 1e-9;
        _exit(write(fds[1], &seconds, sizeof seconds) != sizeof seconds);
    }
    double seconds = -1;
    struct rusage usage;
    int status;
    bool read_all = read(fds[0], &seconds, sizeof seconds) == sizeof seconds;
    close(fds[0]);
    close(fds[1]);
    if (wait4(child, &status, 0, &usage) != child || !read_all || status) return -1;
    *peak_kb = usage.ru_maxrss;
    return seconds;
}

int main(void) {
    spak_json_init();
    spak_str text = {0}, path = {0};
    spak_error err;
    spak_str_printf(&path, "/tmp/spak_speed_%ld.dsl", (long)getpid());
    ok(generate(&text) && spak_write_file(path.data, text.data, text.len, &err), "a file of %zu bytes", text.len);
    double size = (double)text.len, best = -1;
    spak_str_free(&text); /* the child must not inherit it */
    long peak_kb = 0;
    for (int i = 0; i < 3; i++) {
        double seconds = check(path.data, &peak_kb);
        if (seconds >= 0 && (best < 0 || seconds < best)) best = seconds;
    }
    unlink(path.data);
    spak_str_free(&path);
    ok(best > 0, "it is checked, without a diagnostic");
    double rate = size / best / 1e6, ratio = (double)peak_kb * 1024 / size;
    printf("# %.0f MB/s, peak memory %.1f times the file\n", rate, ratio);
    if (SANITIZED) {
        skip_test("memory and speed are not those of the program under sanitizers");
        return done_testing();
    }
    ok(ratio < 15, "peak memory under 15 times the file");
    ok(rate >= 20, "at least 20 MB/s");
    return done_testing();
}
