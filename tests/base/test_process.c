/* Other programs: what they print and how they end; one that does not end is stopped. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "../tap.h"
#include "base/process.h"

static void runs(void) {
    char *argv[] = {"sh", "-c", "read line && exit 9; echo out; echo bad >&2; exit 3", NULL};
    char *killed[] = {"sh", "-c", "kill -9 $$", NULL}, *absent[] = {"spak-no-such-program", NULL};
    spak_str said = {0}, errors = {0};
    spak_error err = {0};
    bool found = false;
    int status = 0;
    ok(spak_spawn(argv, 20, &found, &status, &said, &errors, &err) && found, "a program runs %s", err.message);
    is_int(status, 3, "its exit status, and its input was empty");
    is_str(spak_str_text(&said), "out\n", "what it prints");
    is_str(spak_str_text(&errors), "bad\n", "and where it complains");
    ok(spak_spawn(killed, 20, &found, &status, &said, &errors, &err) && status == 128 + 9, "one that a signal ended");
    ok(spak_spawn(absent, 20, &found, &status, &said, &errors, &err) && !found, "one that is not there is not found");
    spak_str_free(&said);
    spak_str_free(&errors);
}

static void stopped(char *const argv[], const char *what) {
    spak_str said = {0}, errors = {0};
    spak_error err = {0};
    bool found = false;
    int status = 0;
    time_t begun = time(NULL);
    bool good = spak_spawn(argv, 1, &found, &status, &said, &errors, &err);
    pid_t pid = (pid_t)atol(spak_str_text(&said));
    ok(pid > 0 && (kill(pid, 0) != 0 && errno == ESRCH), "%s is gone", what);
    ok(!good && strstr(err.message, "within 1 s") && time(NULL) - begun < 10, "%s is stopped: %s", what, err.message);
    spak_str_free(&said);
    spak_str_free(&errors);
}

static void time_limit(void) {
    stopped((char *[]){"sh", "-c", "echo $$; exec sleep 30", NULL}, "a program that does not end");
    stopped((char *[]){"sh", "-c", "echo $$; exec >&- 2>&-; exec sleep 30", NULL}, "one that closed its output");
}

int main(void) {
    runs();
    time_limit();
    return done_testing();
}
