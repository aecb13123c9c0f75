/* Boxes with a deadline instead of a count of instructions. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"
#include "base/clock.h"
#include "lua/sandbox.h"

static const lua_limits TIMED = {.max_memory_bytes = 64 << 20, .max_seconds = 0.3};

static void is_late(lua_box *box, const char *code) {
    spak_error err = {0};
    uint64_t begun = spak_now_ns();
    bool fine = lua_box_run_text(box, "t", code, strlen(code), &err);
    double seconds = (double)(spak_now_ns() - begun) * 1e-9;
    ok(!fine && strstr(err.message, "time limit of 0.3 s reached in t:1"), "%s: %s", code, err.message);
    ok(seconds > 0.25 && seconds < 5, "when its time was up");
    is_int(lua_gettop(lua_box_state(box)), 0, "and leaves nothing");
}

static void is_fine(lua_box *box, const char *code) {
    spak_error err = {0};
    ok(lua_box_run_text(box, "t", code, strlen(code), &err), "%s %s", code, err.message);
    lua_settop(lua_box_state(box), 0);
}

/* Gets the alarm before the box's thread does. */
static void *send_alarm(void *argument) {
    (void)argument;
    usleep(100000);
    pthread_kill(pthread_self(), SIGALRM);
    return NULL;
}

static void on_user_alarm(int number) { (void)number; }

int main(void) {
    spak_error err = {0};
    lua_box *box = NULL, *counted = NULL;
    pthread_t thread;
    struct sigaction mine = {.sa_handler = on_user_alarm}, now;
    sigaction(SIGALRM, &mine, NULL);
    if (!ok(lua_box_new(&TIMED, &box, &err) && lua_box_new(NULL, &counted, &err), "boxes %s", err.message)) return 1;
    is_fine(box, "local x = 0 for i = 1, 1e5 do x = x + i end return x");
    is_late(box, "while true do end");
    is_late(box, "while true do pcall(function() while true do end end) end");
    is_late(box, "local function f() return pcall(f) end while true do f() end");
    is_late(box, "local t = {} while true do t[1] = {} end");
    is_fine(box, "return 1");
    ok(!lua_box_run_text(box, "t", "local s = 'x' while true do s = s .. s end", 42, &err) &&
           strstr(err.message, "memory limit"),
       "memory is limited all the same: %s", err.message);
    is_fine(box, "return 1");

    /* Inside library functions no hook fires. */
    is_late(box, "table.move({}, 1, 1900000000, 1)");
    is_late(box, "pcall(table.move, {}, 1, 1900000000, 1)");
    is_late(box, "table.concat(setmetatable({}, {__index = tostring, __name = ''}), '', 1, 1900000000)");
    is_late(box, "return #(('x'):rep(20000)):gsub('', ('%0'):rep(1000000))");
    is_late(box,
            "local a, b, t = ('x'):rep(1 << 22) .. 1, ('x'):rep(1 << 22) .. 2, {} "
            "for i = 1, 50000 do t[i] = i % 2 == 0 and a or b end table.sort(t)");
    is_late(box, "return (('a'):rep(60)):find(('.-'):rep(30) .. 'x')");

    /* The kernel may choose any thread for the signal. The other one passes it on. */
    pthread_create(&thread, NULL, send_alarm, NULL);
    uint64_t begun = spak_now_ns();
    ok(!lua_box_run_text(box, "t", "while true do end", 17, &err) && spak_now_ns() - begun < 250000000u,
       "an alarm that another thread gets is passed on");
    pthread_join(thread, NULL);

    sigaction(SIGALRM, NULL, &now);
    ok(now.sa_handler == on_user_alarm, "the signal's old handler is back");
    usleep(400000);
    is_fine(counted, "local x = 0 for i = 1, 1e6 do x = x + i end return x");
    lua_limits few = {.max_instructions = 100000, .max_seconds = 20};
    lua_box *big = NULL;
    ok(lua_box_new(&few, &big, &err), "a box with both limits");
    is_fine(big, "for i = 1, 1e6 do end");
    ok(!lua_box_run_text(big, "t", "local t = {} for i = 1, 1e6 do t[i] = {} end", 44, &err) &&
           strstr(err.message, "instruction limit of 100000"),
       "draws on its instructions for what it allocates: %s", err.message);
    lua_box_free(big);
    lua_box_free(box);
    lua_box_free(counted);
    return done_testing();
}
