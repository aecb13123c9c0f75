/* The progress bar: this program starts itself with standard error in a pipe, and on a terminal made by script(1). */
#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"
#include "base/clock.h"
#include "base/progress.h"

/* Ten steps; before the fifth the bar is told that it was last shown, and begun, twenty seconds ago. */
static int run_bar(bool quiet) {
    spak_progress bar;
    spak_progress_quiet(quiet);
    spak_progress_begin(&bar, "tune", 10);
    for (int i = 0; i < 10; i++) {
        if (i == 4) {
            bar.shown_ns -= 20000000000u;
            bar.begun_ns -= 20000000000u;
        }
        spak_progress_step(&bar, i == 4 ? "tile 64" : NULL);
    }
    spak_progress_end(&bar);
    return 0;
}

static void output_of(const char *format, const char *self, char *out, size_t size) {
    char command[8192];
    snprintf(command, sizeof command, format, self);
    FILE *from = popen(command, "r");
    size_t len = from ? fread(out, 1, size - 1, from) : 0;
    out[len] = 0;
    if (from) pclose(from);
}

static int lines(const char *text) {
    int count = 0;
    for (; *text; text++) count += *text == '\n';
    return count;
}

int main(int argc, char **argv) {
    if (argc > 1) return run_bar(!strcmp(argv[1], "quiet"));
    char self[4096] = "", out[8192];
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) return 1;
    output_of("'%s' bar 2>&1", self, out, sizeof out);
    is_int(lines(out), 2, "in a pipe: a line after five seconds, and one at the end");
    ok(strstr(out, "tune: 5 of 10, 20 s, about 20 s left: tile 64\n") == out, "with the share and an estimate");
    ok(strstr(out, "tune: 10 of 10, 20 s, about 0 s left\n") != NULL, "and the end");
    ok(!strpbrk(out, "\r\033["), "and no terminal codes");
    output_of("'%s' quiet 2>&1", self, out, sizeof out);
    is_str(out, "", "a quiet bar says nothing");
    if (system("script -qec true /dev/null </dev/null >/dev/null 2>&1") != 0) {
        skip_test("script(1) cannot make a terminal here");
        return done_testing();
    }
    output_of("script -qec \"'%s' bar\" /dev/null </dev/null", self, out, sizeof out);
    ok(strstr(out, "\rtune") && strstr(out, "[..........") && strstr(out, "0/10"), "on a terminal: an empty bar");
    ok(strstr(out, "[##############..............] 5/10  20 s, about 20 s left  tile 64") != NULL, "half a bar");
    ok(strstr(out, "[############################] 10/10") != NULL, "a full bar");
    is_int(lines(out), 1, "all on one line");
    return done_testing();
}
