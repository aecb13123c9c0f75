/* The deadline of a call whose instructions are not counted.
 *
 * A count hook makes Lua look at every instruction, which halves its speed: too much where the time is the result. So a
 * box with `max_seconds` runs without one, and an alarm sets it when the time is up. lua_sethook is made for this: it
 * may be called from a signal handler, and the hook runs at the next instruction, never inside an allocation. Inside a
 * library function there is none, so one whose work is not bounded by the memory it holds asks with box_poll as it
 * goes. What is left is one pass, or one sort of keys, over what a box may hold: seconds for a gigabyte. The kernel may
 * hand the signal to any thread; one that is not the box's passes it on.
 *
 * Rejected: a thread that sets the hook, because lua_sethook walks the calls of a state that runs meanwhile. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "lua/box.h"

static lua_box *volatile watched; /* by the one alarm that a process has */
static pthread_t owner;
static struct sigaction before;

static void on_alarm(int number) {
    lua_box *box = watched;
    if (!box) return;
    if (!pthread_equal(pthread_self(), owner)) {
        pthread_kill(owner, number);
        return;
    }
    box->overdue = 1;
    lua_sethook(box->L, box_on_count, LUA_MASKCOUNT, 1);
}

static void set_alarm(double seconds) {
    struct itimerval when = {0};
    when.it_value.tv_sec = (time_t)seconds;
    when.it_value.tv_usec = (suseconds_t)((seconds - (double)when.it_value.tv_sec) * 1e6);
    if (seconds > 0 && !when.it_value.tv_sec && !when.it_value.tv_usec) when.it_value.tv_usec = 1;
    setitimer(ITIMER_REAL, &when, NULL);
}

void box_deadline_begin(lua_box *box) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    box->overdue = 0;
    if (watched) return; /* a call around this one has the alarm, and its deadline is this one's too */
    sigemptyset(&action.sa_mask);
    owner = pthread_self();
    watched = box;
    sigaction(SIGALRM, &action, &before);
    set_alarm(box->limits.max_seconds);
}

void box_deadline_end(lua_box *box) {
    if (watched != box) return;
    watched = NULL; /* a signal that is still on its way finds nothing to do */
    set_alarm(0);
    sigaction(SIGALRM, &before, NULL);
    lua_sethook(box->L, NULL, 0, 0);
}
