/* A peer that is a program: shell scripts play it. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"
#include "base/clock.h"
#include "device/peer_program.h"

static dev_peer *start(const char *script) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    dev_peer *peer = NULL;
    spak_error err = {0};
    if (!dev_peer_start(argv, &peer, &err)) printf("# %s\n", err.message);
    return peer;
}

/* Asks {"n": n}; the answer's "n", or -1 with the error. */
static long long ask(dev_peer *peer, int n, double timeout_s, spak_error *err) {
    json_t *question = json_pack("{s:i}", "n", n), *answer = NULL;
    long long got = -1;
    if (dev_peer_ask(peer, question, timeout_s, &answer, err)) got = spak_json_int(answer, "n", -2);
    json_decref(question);
    json_decref(answer);
    return got;
}

static bool refuses(dev_peer *peer, const char *with) {
    spak_error err = {0};
    if (ask(peer, 1, 5, &err) != -1) return false;
    if (!strstr(err.message, with)) printf("# %s\n", err.message);
    return strstr(err.message, with) != NULL;
}

static void answers(void) {
    spak_error err = {0};
    dev_peer *peer = start("while read -r line; do echo \"$line\"; done");
    bool good = peer != NULL;
    for (int i = 0; good && i < 300; i++) good = ask(peer, i, 5, &err) == i;
    ok(good, "three hundred questions and answers%s%s", *err.message ? ": " : "", err.message);
    json_t *question = json_object(), *answer = NULL;
    char *text = malloc(1 << 20);
    memset(text, 'x', (1 << 20) - 1);
    text[(1 << 20) - 1] = 0;
    json_object_set_new(question, "text", json_string(text));
    ok(dev_peer_ask(peer, question, 20, &answer, &err) && !strcmp(spak_json_str(answer, "text", ""), text),
       "a question longer than any pipe holds, echoed while it is sent");
    json_decref(question);
    json_decref(answer);
    free(text);
    dev_peer_stop(peer);
}

static void refusals(void) {
    spak_error err = {0};
    dev_peer *peer = start("read -r a; echo '{\"error\": \"no such backend\"}'; while read -r a; do echo \"$a\"; done");
    ok(peer && refuses(peer, "no such backend"), "what the peer says is wrong is the error");
    is_int(ask(peer, 7, 5, &err), 7, "and it lives on");
    dev_peer_stop(peer);
}

static void ends(void) {
    spak_error err = {0};
    char *nobody[] = {"spak-no-such-program", NULL};
    dev_peer *peer = NULL;
    ok(!dev_peer_start(nobody, &peer, &err) && !peer && strstr(err.message, "spak-no-such-program is not installed"),
       "a program that is not there: %s", err.message);
    peer = start("read -r a; echo first >&2; echo 'torch cannot be imported' >&2; exit 3");
    ok(peer && refuses(peer, "ended with status 3: torch cannot be imported"), "one that ends, with its last words");
    ok(refuses(peer, "status 3"), "and the same reason later");
    dev_peer_stop(peer);
    peer = start("exit 0");
    usleep(100000);
    ok(peer && refuses(peer, "ended"), "one that has ended before it is asked");
    dev_peer_stop(peer);
    peer = start("read -r a; kill -9 $$");
    ok(peer && refuses(peer, "by signal 9"), "one that is killed");
    dev_peer_stop(peer);
    peer = start("read -r a; echo hello");
    ok(peer && refuses(peer, "no object of JSON"), "one that says something else");
    dev_peer_stop(peer);
    peer = start("read -r a; echo '[1]'");
    ok(peer && refuses(peer, "no object of JSON"), "or a list");
    dev_peer_stop(peer);
}

static void waits(void) {
    spak_error err = {0};
    dev_peer *peer = start("exec sleep 60");
    uint64_t begun = spak_now_ns();
    is_int(ask(peer, 1, 0.3, &err), -1, "one that does not answer");
    const double seconds = (double)(spak_now_ns() - begun) * 1e-9;
    ok(seconds < 5 && strstr(err.message, "did not answer in time"), "is stopped after %.1f s: %s", seconds,
       err.message);
    dev_peer_stop(peer);
    peer = start(
        "i=0; while [ $i -lt 20000 ]; do echo 'a warning of some length, again and again' >&2; i=$((i+1)); "
        "done; read -r a; echo \"$a\"");
    is_int(ask(peer, 5, 20, &err), 5, "a peer that talks much to its standard error does not stall");
    dev_peer_stop(peer);
    begun = spak_now_ns();
    peer = start("trap '' TERM; while :; do sleep 0.05; done");
    dev_peer_stop(peer);
    ok((double)(spak_now_ns() - begun) * 1e-9 < 5, "a peer that does not see its input's end is killed");
}

int main(void) {
    answers();
    refusals();
    ends();
    waits();
    return done_testing();
}
