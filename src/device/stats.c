/* Spread of samples, and caches with nothing of ours in them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between the two nearest order statistics, as R's type 7 and NumPy's default do it. */
static double quantile(const double *sorted, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t below = (size_t)at;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

dev_spread dev_spread_of(double *x, size_t n) {
    qsort(x, n, sizeof *x, ascending);
    return (dev_spread){quantile(x, n, 0.5), quantile(x, n, 0.25), quantile(x, n, 0.75), x[0], x[n - 1]};
}

/* Twice the last level: with an associative cache and an unknown replacement policy, once is not enough. A shared last
 * level of a large server belongs mostly to others, hence the upper limit. */
size_t dev_flush_bytes(void) {
    const dev_caches *caches = dev_cpu_caches();
    size_t last = caches->l3_bytes ? caches->l3_bytes : caches->l2_bytes ? caches->l2_bytes : (size_t)16 << 20;
    size_t bytes = 2 * last;
    return bytes > (size_t)128 << 20 ? (size_t)128 << 20 : bytes;
}

void dev_flush_caches(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static volatile unsigned char *block; /* kept: a fresh one would cost page faults at each call */
    static size_t size;
    pthread_mutex_lock(&lock);
    if (!block) {
        size = dev_flush_bytes();
        block = spak_calloc(size, 1);
    }
    if (block)
        for (size_t i = 0; i < size; i += 64) block[i]++;
    pthread_mutex_unlock(&lock);
}
