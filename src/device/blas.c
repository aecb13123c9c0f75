/* OpenBLAS through dlopen.
 *
 * Its worker threads stay awake for a while after a call, asking for work, and would take the cores from whatever is
 * timed next. OPENBLAS_THREAD_TIMEOUT=n lets them sleep after 2^n clock ticks; unless it is set already, 20 is asked
 * for: under a millisecond, so that they are awake within one sample and asleep before the other side's. */
#include "device/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "device/device.h"

/* CBLAS constants, fixed by its interface. */
enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };

typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);

static struct {
    bool found;
    sgemm_fn *sgemm;
    void (*set_num_threads)(int);
    char text[512], why[512], core[64], asked[64], path[256];
    dev_blas public;
} peer;

static const char *const places[] = {
    "libopenblas.so.0",
    "libopenblas.so",
    "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0",
    "/usr/lib/aarch64-linux-gnu/openblas-pthread/libopenblas.so.0",
    "/usr/lib64/libopenblas.so.0",
    "/usr/lib64/libopenblasp.so.0",
    "/usr/local/lib/libopenblas.so",
    "/opt/OpenBLAS/lib/libopenblas.so",
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX promises that the bits mean the same. */
static bool symbol(void *library, const char *name, void *function_pointer) {
    void *found = dlsym(library, name);
    memcpy(function_pointer, &found, sizeof found);
    return found != NULL;
}

/* The instruction set of a core's kernels, as far as a name tells. A name that is not listed is a newer core than this
 * list, and those have been chosen well. */
static dev_isa isa_of_core(const char *core) {
    static const char *const old[] = {
        "Prescott",   "Katmai", "Coppermine", "Northwood",  "Banias",      "Core2",       "Penryn",
        "Dunnington", "Atom",   "Nano",       "Nehalem",    "Athlon",      "Opteron",     "Opteron_SSE3",
        "Barcelona",  "Bobcat", "Bulldozer",  "Piledriver", "Steamroller", "Sandybridge", "Unknown"};
    static const char *const avx2[] = {"Haswell", "Zen", "Excavator"};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        if (!strcasecmp(core, old[i])) return DEV_ISA_PORTABLE;
    for (size_t i = 0; i < sizeof avx2 / sizeof *avx2; i++)
        if (!strcasecmp(core, avx2[i])) return DEV_ISA_AVX2;
    return DEV_ISA_AVX512;
}

static bool open_library(const char *path, void **library) {
    char *(*config)(void) = NULL, *(*core)(void) = NULL;
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*library) {
        const char *why = dlerror();
        snprintf(peer.why, sizeof peer.why, "%s", why ? why : "cannot be loaded");
        return false;
    }
    if (!symbol(*library, "cblas_sgemm", &peer.sgemm) ||
        !symbol(*library, "openblas_set_num_threads", &peer.set_num_threads)) {
        dlclose(*library);
        snprintf(peer.why, sizeof peer.why, "%s: is no OpenBLAS (no cblas_sgemm, or no openblas_set_num_threads)",
                 path);
        return false;
    }
    const char *asked = getenv("OPENBLAS_CORETYPE");
    snprintf(peer.asked, sizeof peer.asked, "%s", asked ? asked : "");
    snprintf(peer.path, sizeof peer.path, "%s", path);
    snprintf(peer.core, sizeof peer.core, "%s", symbol(*library, "openblas_get_corename", &core) ? core() : "unknown");
    bool described = symbol(*library, "openblas_get_config", &config);
    snprintf(peer.text, sizeof peer.text, "%s", described ? config() : "OpenBLAS");
    if (!strstr(peer.text, peer.core)) {
        size_t used = strlen(peer.text);
        snprintf(peer.text + used, sizeof peer.text - used, " %s", peer.core);
    }
    return true;
}

/* A library that is older than the processor may not know it and fall back to kernels of twenty years ago; a ratio
 * against those would flatter us. When it chose worse ones than this processor (as dev_cpu_isa sees it) can run and
 * nobody asked for that, it is loaded again and told. */
static void load(const char *path) {
    void *library;
    if (!open_library(path, &library)) return;
    dev_isa best = dev_cpu_isa();
    if (!getenv("OPENBLAS_CORETYPE") && isa_of_core(peer.core) < best) {
        setenv("OPENBLAS_CORETYPE", best == DEV_ISA_AVX512 ? "SkylakeX" : "Haswell", 1);
        dlclose(library);
        if (!open_library(path, &library)) return;
    }
    peer.found = true;
}

static void load_once(void) {
    setenv("OPENBLAS_THREAD_TIMEOUT", "20", 0);
    const char *only = getenv("SPAK_OPENBLAS");
    if (only && *only) {
        if (strcmp(only, "none") != 0) load(only);
    } else {
        for (size_t i = 0; i < sizeof places / sizeof *places && !peer.found; i++) load(places[i]);
    }
    peer.public = (dev_blas){peer.text, peer.core, *peer.asked ? peer.asked : NULL, peer.path};
}

const dev_blas *dev_blas_peer(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    return peer.found ? &peer.public : NULL;
}

const char *dev_blas_missing(void) {
    const char *only = getenv("SPAK_OPENBLAS");
    return dev_blas_peer() || !only || !*peer.why ? NULL : peer.why;
}

void dev_blas_sgemm(size_t m, size_t n, size_t k, const float *a, size_t lda, bool trans_a, const float *b, size_t ldb,
                    bool trans_b, float *c, size_t ldc, int threads) {
    static int threads_set;
    if (threads_set != threads) peer.set_num_threads(threads_set = threads);
    peer.sgemm(CBLAS_ROW_MAJOR, trans_a ? CBLAS_TRANS : CBLAS_NO_TRANS, trans_b ? CBLAS_TRANS : CBLAS_NO_TRANS, (int)m,
               (int)n, (int)k, 1.0f, a, (int)lda, b, (int)ldb, 0.0f, c, (int)ldc);
}
