/* What the files behind gpu_module.h share, and `spak kernels` with them: a variant's key, its compilers, the cache. */
#ifndef SPAK_DEVICE_GPU_COMPILE_H
#define SPAK_DEVICE_GPU_COMPILE_H

#include "base/str.h"
#include "device/gpu_module.h"

/* Where `make kernels` writes. */
#define DEV_KERNELS_FOLDER "build/kernels"

/* The architectures that shipped defaults are compiled for. */
enum { DEV_TARGETS = 4 };
extern const char *const dev_targets[DEV_TARGETS];

/* --- gpu_cache.c --- */

/* The variant's key for a target; text gets the kernel's file. */
bool dev_variant_key(const dev_variant *variant, const char *target, char key[65], spak_str *text, spak_error *err);

/* Finds what a CUDA release ("13.0"; NULL: the newest of any) made under the key; false when there is nothing or what
 * is there is not what it says. Fills the whole of cubin. */
bool dev_cache_find(const char *folder, const char *key, const char *entry, const char *release, dev_cubin *cubin);
/* Writes KEY.RELEASE.cubin, then KEY.RELEASE.json. */
bool dev_cache_put(const char *folder, const dev_variant *variant, const char *target, const char *release,
                   const dev_cubin *cubin, spak_error *err);
/* The user's own cache; "" when there is no home to put it in. */
void dev_cache_folder(char *path, size_t room);

/* --- gpu_nvrtc.c --- */

/* Both fill data, bytes, resources, compile_ms, compiler and log of a cubin whose key is there. An error is the
 * compiler's own text, from its first error on. */
bool dev_nvrtc_compile(const dev_variant *variant, const char *target, const char *text, dev_cubin *cubin,
                       spak_error *err);
bool dev_nvrtc_knows(const char *target); /* this NVRTC compiles for the target */

/* --- gpu_nvcc.c --- */

bool dev_nvcc_compile(const dev_variant *variant, const char *target, dev_cubin *cubin, spak_error *err);
/* nvcc's release, "13.0", or NULL with why it is not there. SPAK_NVCC names the program ("none": pretend). */
const char *dev_nvcc_release(spak_error *err);
bool dev_nvcc_knows(const char *target); /* this nvcc compiles for the target */

/* What both say of the entry, from ptxas' verbose output: fails when there is no such kernel. */
bool dev_log_resources(const char *log, const dev_variant *variant, dev_cubin *cubin, spak_error *err);
double dev_compile_ms(uint64_t start_ns); /* since then */
/* Fills err with a compiler's output from its first error on. */
bool dev_compile_failed(const dev_variant *variant, const char *target, const char *log, spak_error *err);

#endif
