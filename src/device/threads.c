/* The team of threads.
 *
 * Everything waits in one way: for a counter to leave its old value. `generation` starts a run, `running` ends it, and
 * `barrier_generation` opens a barrier. A waiter spins for about SPINS pauses (some tens of microseconds) and then
 * sleeps on a condition variable. The one who changes a counter takes the lock only when someone sleeps. No wake-up
 * is lost: a waiter announces itself in `sleepers` before it looks at the counter for the last time, the changer writes
 * the counter before it looks at `sleepers`, and both accesses are sequentially consistent, so at least one of the two
 * sees the other.
 *
 * A futex would save the lock but runs on Linux only; OpenMP would bring a second runtime whose waiting policy is
 * not ours to choose. */
#include "device/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/alloc.h"

enum { SPINS = 4000 };

typedef struct worker {
    struct dev_pool *pool;
    pthread_t id;
    int index;
} worker;

struct dev_pool {
    int threads, started;
    worker *workers; /* threads - 1 of them */
    void (*job)(void *arg, int thread, int threads);
    void *arg;
    bool closing;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Each on a cache line of its own: spinning on one must not slow down writing another. */
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_uint running;
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint barrier_generation;
    _Alignas(64) atomic_uint sleepers;
};

static inline void pause_a_little(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits until *counter is no longer `old`. */
static void wait_change(dev_pool *pool, atomic_uint *counter, unsigned old) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(counter, memory_order_acquire) != old) return;
        pause_a_little();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(counter) == old) pthread_cond_wait(&pool->changed, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void wake_sleepers(dev_pool *pool) {
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

static void *work(void *arg) {
    worker *self = arg;
    dev_pool *pool = self->pool;
    for (unsigned seen = 0;; seen++) {
        wait_change(pool, &pool->generation, seen);
        if (pool->closing) return NULL;
        pool->job(pool->arg, self->index, pool->threads);
        atomic_fetch_sub(&pool->running, 1);
        wake_sleepers(pool);
    }
}

bool dev_pool_new(int threads, dev_pool **out, spak_error *err) {
    *out = NULL;
    if (threads < 1) return spak_fail(err, "a pool needs at least 1 thread, not %d", threads);
    /* spak_malloc promises the alignment of max_align_t only; the cache lines need 64 bytes. */
    char *raw = spak_calloc(1, sizeof(dev_pool) + 64 + sizeof(void *));
    if (!raw) return spak_fail_oom(err);
    dev_pool *pool = (dev_pool *)(((uintptr_t)raw + sizeof(void *) + 63) & ~(uintptr_t)63);
    ((void **)pool)[-1] = raw;
    pool->threads = threads;
    pool->workers = spak_calloc((size_t)threads, sizeof *pool->workers);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    if (!pool->workers) {
        dev_pool_free(pool);
        return spak_fail_oom(err);
    }
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[i - 1];
        *w = (worker){.pool = pool, .index = i};
        if (pthread_create(&w->id, NULL, work, w)) {
            dev_pool_free(pool);
            return spak_fail(err, "cannot start thread %d of %d: lower the number of threads", i + 1, threads);
        }
        pool->started++;
    }
    *out = pool;
    return true;
}

void dev_pool_free(dev_pool *pool) {
    if (!pool) return;
    pool->closing = true;
    atomic_fetch_add(&pool->generation, 1);
    wake_sleepers(pool);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].id, NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    spak_free(pool->workers);
    spak_free(((void **)pool)[-1]);
}

void dev_pool_run(dev_pool *pool, void (*job)(void *arg, int thread, int threads), void *arg) {
    if (pool->threads > 1) {
        pool->job = job;
        pool->arg = arg;
        atomic_store(&pool->running, (unsigned)pool->threads - 1);
        atomic_fetch_add(&pool->generation, 1);
        wake_sleepers(pool);
    }
    job(arg, 0, pool->threads);
    for (unsigned left; (left = atomic_load(&pool->running)) != 0;) wait_change(pool, &pool->running, left);
}

void dev_pool_barrier(dev_pool *pool) {
    if (pool->threads == 1) return;
    unsigned old = atomic_load(&pool->barrier_generation);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == (unsigned)pool->threads) {
        atomic_store(&pool->arrived, 0);
        atomic_fetch_add(&pool->barrier_generation, 1);
        wake_sleepers(pool);
    } else {
        wait_change(pool, &pool->barrier_generation, old);
    }
}
