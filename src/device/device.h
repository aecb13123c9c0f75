/* The machine: what it is, and how time is measured on it. */
#ifndef SPAK_DEVICE_DEVICE_H
#define SPAK_DEVICE_DEVICE_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

/* Instruction sets that the CPU kernels have variants for, best last. */
typedef enum dev_isa { DEV_ISA_PORTABLE, DEV_ISA_AVX2, DEV_ISA_AVX512, DEV_ISA_COUNT } dev_isa;

/* The best one this processor has; the environment variable SPAK_ISA=portable|avx2|avx512 may lower it. */
dev_isa dev_cpu_isa(void);
bool dev_isa_check(spak_error *err); /* fails when SPAK_ISA holds anything else; dev_cpu_isa passes over that */
bool dev_cpu_has(dev_isa isa);
const char *dev_isa_name(dev_isa isa); /* "portable", "avx2", "avx512" */
bool dev_isa_parse(const char *name, dev_isa *isa);

/* Cores this process may run on (sched_getaffinity, cgroup quota). */
int dev_cpu_count(void);

/* Bytes of the data caches that one core sees; 0 where it cannot be found out. */
typedef struct dev_caches {
    size_t l1d_bytes, l2_bytes, l3_bytes;
} dev_caches;
const dev_caches *dev_cpu_caches(void);

/* {"kind": "cpu", "id": "amd-epyc-zen3-2c" (a slug for file names), "vendor", "model", "isa": "avx2",
 *  "vector_bytes": 32, "vector_registers": 16, "fma_per_cycle", "cores": 2, "l1d_bytes", "l2_bytes", "l3_bytes",
 *  "flush_bytes" (what dev_flush_caches touches), "memory_bytes", "mhz", "governor", "kernel", "libc", "compiler"} —
 * the `hw` table of rules and the trace's environment. Fields that cannot be found out are left out, not guessed. */
bool dev_describe(json_t **hw, spak_error *err);

/* Samples in any order -> median, and the 25th and 75th percentile; n >= 1. Reorders x. */
typedef struct dev_spread {
    double median, q1, q3, min, max;
} dev_spread;
dev_spread dev_spread_of(double *x, size_t n);

/* Touches dev_flush_bytes() of memory, enough to push every earlier byte out of the caches. */
void dev_flush_caches(void);
size_t dev_flush_bytes(void);

#endif
