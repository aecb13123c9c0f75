/* Between the emulator's own files. */
#ifndef SPAK_EMULATE_MACHINE_H
#define SPAK_EMULATE_MACHINE_H

#include <ucontext.h>

#include "emulate/device.h"
#include "emulate/emulate.h"

enum { WARP = 32, COPIES = 256, STACK = 128 * 1024 };

/* Where a thread stands. */
typedef enum meeting {
    RUNNING, /* may go on */
    AT_BARRIER,
    AT_SYNCWARP,
    AT_LDMATRIX,
    AT_LDMATRIX_TRANS,
    AT_MMA,
    AT_SHUFFLE,
    ENDED
} meeting;

typedef struct copy {
    unsigned to;
    const void *from;
    int bytes, group;
} copy;

typedef struct thread {
    ucontext_t context;
    unsigned char *stack;
    void *fake_stack; /* the address sanitizer's */
    emulate_dim index;
    meeting at;
    unsigned address;      /* ldmatrix */
    unsigned *y;           /* ldmatrix */
    float *c;              /* mma */
    const unsigned *a, *b; /* mma */
    bool f16;              /* mma */
    float x, got;          /* shuffle: handed in, and what comes back */
    int mask;              /* shuffle */
    copy copies[COPIES];   /* under way, oldest first */
    int num_copies, group; /* the group that is open */
} thread;

typedef struct machine {
    const emulate_launch *launch;
    emulate_counts counts;
    thread *threads;
    unsigned num_threads;
    thread *current;
    ucontext_t scheduler;
    void *fake_stack;
    const void *scheduler_stack; /* the address sanitizer's */
    size_t scheduler_stack_bytes;
    bool faulted;
    spak_error fault;
} machine;

extern machine *emulate_machine; /* the launch under way */

/* Gives the machine back to the scheduler until all concerned stand there. */
void emulate_meet(meeting at);
/* Ends the launch with a message; the thread does not come back. */
void emulate_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Asynchronous copies of a thread up to a group land. */
void emulate_land(thread *t, int group);
/* The collective instruction that all lanes of a warp stand at. */
void emulate_warp_ldmatrix(thread *warp, bool transposed);
void emulate_warp_mma(thread *warp);
void emulate_warp_shuffle(thread *warp);

#endif
