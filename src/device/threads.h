/* A small persistent team of threads for kernels with a static partition.
 *
 * The caller is thread 0; the others wait between runs, first spinning (a kernel call is often shorter than a wake-up
 * by the operating system), then asleep. Which thread computes what is the kernel's business and depends on the thread
 * number alone, so a result never depends on who was faster. */
#ifndef SPAK_DEVICE_THREADS_H
#define SPAK_DEVICE_THREADS_H

#include "base/err.h"

typedef struct dev_pool dev_pool;

/* threads >= 1; a pool of one starts no thread. */
bool dev_pool_new(int threads, dev_pool **pool, spak_error *err);
void dev_pool_free(dev_pool *pool); /* NULL is fine */

/* Calls job(arg, thread, threads) once in every thread and returns when all have come back. One caller at a time. */
void dev_pool_run(dev_pool *pool, void (*job)(void *arg, int thread, int threads), void *arg);

/* Inside a job: waits until every thread of the pool has come here. What was written before it is seen after it. */
void dev_pool_barrier(dev_pool *pool);

#endif
