/* The scheduler: fibers, warps, barriers, blocks. emulate.h says what for.
 *
 * A thread runs until it meets others. When all of a warp's lanes stand at one
 * instruction it is carried out for all of them and they go on; when all of a
 * block's threads stand at the barrier or have ended, the barrier opens. So the
 * order is fixed by the schedule alone. */
#include "emulate/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size)  ((void)0)
#define __sanitizer_finish_switch_fiber(save, bottom, size) ((void)0)
#endif

struct emulate_here emulate_here;
_Alignas(1024) unsigned char emulate_smem[EMULATE_SMEM];
machine *emulate_machine;

enum { UNSET = 0xff }; /* as bytes: NaN in every type */

/* --- fibers --- */

static void resume(machine *m, thread *t) {
    m->current = t;
    emulate_here.thread = t->index;
    __sanitizer_start_switch_fiber(&m->fake_stack, t->stack, STACK);
    swapcontext(&m->scheduler, &t->context);
    __sanitizer_finish_switch_fiber(m->fake_stack, NULL, NULL);
}

void emulate_meet(meeting at) {
    machine *m = emulate_machine;
    thread *t = m->current;
    t->at = at;
    __sanitizer_start_switch_fiber(at == ENDED ? NULL : &t->fake_stack,
                                   m->scheduler_stack,
                                   m->scheduler_stack_bytes);
    swapcontext(&t->context, &m->scheduler);
    __sanitizer_finish_switch_fiber(t->fake_stack, NULL, NULL);
}

void emulate_fault(const char *fmt, ...) {
    machine *m = emulate_machine;
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const emulate_dim *b = &emulate_here.block, *t = &emulate_here.thread;
    if (!m->faulted)
        spak_fail(&m->fault, "block (%u, %u, %u), thread (%u, %u, %u): %s",
                  b->x, b->y, b->z, t->x, t->y, t->z, what);
    m->faulted = true;
    for (;;) emulate_meet(ENDED);
}

static void thread_main(void) {
    machine *m = emulate_machine;
    __sanitizer_finish_switch_fiber(NULL, &m->scheduler_stack,
                                    &m->scheduler_stack_bytes);
    m->launch->kernel(m->launch->params);
    for (int i = 0; i < m->current->num_copies; i++)
        if (m->current->copies[i].bytes > 0)
            emulate_fault("ends while asynchronous copies are under way");
    emulate_meet(ENDED);
}

static void start_thread(machine *m, thread *t) {
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK;
    t->context.uc_link = &m->scheduler;
    makecontext(&t->context, thread_main, 0);
    t->at = RUNNING;
    t->num_copies = t->group = 0;
}

/* --- warps and blocks --- */

static const char *meeting_name(meeting at) {
    static const char *const names[] = {
        "nowhere",        "the barrier", "__syncwarp", "ldmatrix",
        "ldmatrix.trans", "mma",         "a shuffle",  "its end"};
    return names[at];
}

/* Runs a warp until its lanes are at the block's barrier or at their end. */
static bool run_warp(machine *m, thread *warp) {
    unsigned lanes = (unsigned)(m->threads + m->num_threads - warp);
    if (lanes > WARP) lanes = WARP;
    for (;;) {
        thread *one = NULL; /* a lane that waits for its warp */
        for (unsigned l = 0; l < lanes; l++) {
            if (warp[l].at == RUNNING) resume(m, &warp[l]);
            if (m->faulted) return false;
            if (warp[l].at != AT_BARRIER && warp[l].at != ENDED) one = &warp[l];
        }
        if (!one) return true;
        for (unsigned l = 0; l < WARP; l++) {
            meeting at = l < lanes ? warp[l].at : ENDED;
            if (at == one->at) continue;
            m->faulted = true;
            return spak_fail(&m->fault,
                             "block (%u, %u, %u), thread (%u, %u, %u) is at "
                             "%s, but lane %u of its warp at %s",
                             emulate_here.block.x, emulate_here.block.y,
                             emulate_here.block.z, one->index.x, one->index.y,
                             one->index.z, meeting_name(one->at), l,
                             meeting_name(at));
        }
        if (one->at == AT_LDMATRIX) emulate_warp_ldmatrix(warp, false);
        if (one->at == AT_LDMATRIX_TRANS) emulate_warp_ldmatrix(warp, true);
        if (one->at == AT_MMA) emulate_warp_mma(warp);
        if (one->at == AT_SHUFFLE) emulate_warp_shuffle(warp);
        for (unsigned l = 0; l < lanes; l++) warp[l].at = RUNNING;
    }
}

static bool smem_beyond_untouched(machine *m) {
    for (size_t i = m->launch->smem_bytes; i < EMULATE_SMEM; i++) {
        if (emulate_smem[i] == UNSET) continue;
        m->faulted = true;
        return spak_fail(&m->fault,
                         "block (%u, %u, %u) wrote byte %zu of shared memory, "
                         "but the launch asked for %zu",
                         emulate_here.block.x, emulate_here.block.y,
                         emulate_here.block.z, i, m->launch->smem_bytes);
    }
    return true;
}

static bool run_block(machine *m) {
    const unsigned num_warps = (m->num_threads + WARP - 1) / WARP;
    memset(emulate_smem, UNSET, sizeof emulate_smem);
    for (unsigned i = 0; i < m->num_threads; i++)
        start_thread(m, &m->threads[i]);
    for (;;) {
        for (unsigned i = 0; i < num_warps; i++) {
            unsigned w =
                m->launch->schedule.warps_backward ? num_warps - 1 - i : i;
            if (!run_warp(m, m->threads + w * WARP)) return false;
        }
        bool waiting = false;
        for (unsigned i = 0; i < m->num_threads; i++) {
            if (m->threads[i].at != AT_BARRIER) continue;
            m->threads[i].at = RUNNING;
            waiting = true;
        }
        if (!waiting) return smem_beyond_untouched(m);
        m->counts.barriers++;
    }
}

/* --- launches --- */

/* The i-th of n blocks to run. Shuffled: multiples of a number that has no
 * factor in common with n. */
static uint64_t block_at(const emulate_schedule *s, uint64_t i, uint64_t n) {
    if (s->blocks == EMULATE_BLOCKS_FORWARD) return i;
    if (s->blocks == EMULATE_BLOCKS_BACKWARD) return n - 1 - i;
    for (uint64_t step = s->seed % n + 1;; step++) {
        uint64_t a = step, b = n;
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) return (i * (step % n) + s->seed % n) % n;
    }
}

static bool take_threads(machine *m, spak_error *err) {
    const unsigned *b = m->launch->block;
    m->num_threads = b[0] * b[1] * b[2];
    m->threads = spak_calloc(m->num_threads, sizeof *m->threads);
    if (!m->threads) return spak_fail_oom(err);
    for (unsigned i = 0; i < m->num_threads; i++) {
        thread *t = &m->threads[i];
        t->index = (emulate_dim){i % b[0], i / b[0] % b[1], i / b[0] / b[1]};
        if (!(t->stack = spak_malloc(STACK))) return spak_fail_oom(err);
    }
    return true;
}

static void free_threads(machine *m) {
    for (unsigned i = 0; m->threads && i < m->num_threads; i++)
        spak_free(m->threads[i].stack);
    spak_free(m->threads);
}

bool emulate_run(const emulate_launch *launch, emulate_counts *counts,
                 spak_error *err) {
    machine m = {.launch = launch};
    const unsigned *g = launch->grid, *b = launch->block;
    const uint64_t blocks = (uint64_t)g[0] * g[1] * g[2];
    if (launch->smem_bytes > EMULATE_SMEM)
        return spak_fail(err,
                         "the launch asks for %zu bytes of shared memory, "
                         "the emulator has %d",
                         launch->smem_bytes, EMULATE_SMEM);
    bool done = take_threads(&m, err);
    emulate_machine = &m;
    emulate_here.block_dim = (emulate_dim){b[0], b[1], b[2]};
    emulate_here.grid_dim = (emulate_dim){g[0], g[1], g[2]};
    for (uint64_t i = 0; done && i < blocks; i++) {
        uint64_t at = block_at(&launch->schedule, i, blocks);
        emulate_here.block =
            (emulate_dim){(unsigned)(at % g[0]), (unsigned)(at / g[0] % g[1]),
                          (unsigned)(at / g[0] / g[1])};
        done = run_block(&m);
        if (!done) spak_fail(err, "%s", m.fault.message);
    }
    emulate_machine = NULL;
    if (counts) *counts = m.counts;
    free_threads(&m);
    return done;
}
