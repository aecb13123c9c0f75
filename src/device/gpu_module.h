/* Kernels are data: a .cu file compiled at run time for the parameters that the tuner picks.
 *
 * A variant is a file, its macros and a target. Its key is the SHA-256 of the file, of every file of kernels/ that it
 * includes, of the macros, flags and target. What a release of CUDA made of it before is found as KEY.RELEASE.cubin
 * (RELEASE as in 13.0), in
 *
 *   build/kernels/         shipped defaults, compiled ahead by `make kernels` (found where there is no NVRTC, too)
 *   $SPAK_KERNEL_CACHE, else $XDG_CACHE_HOME/spak/kernels, else ~/.cache/spak/kernels
 *
 * with KEY.RELEASE.json beside it: {"key", "release", "file", "target", "defines", "compiler", "cubin_sha256",
 * "compile_ms", "log"}; what the kernel needs is read from the log, ptxas' own words. nvcc and NVRTC of one release
 * have one front end and one ptxas, so that what either made stands for the other's. The release is no part of the key
 * but stands beside it: a machine with NVRTC looks for its own release only, so that a new compiler never meets what an
 * old one made; one without (or whose NVRTC does not know the target) takes the newest that is there.
 *
 * An entry is written beside and renamed, the cubin before its description; one whose content is not what its hash
 * says is compiled anew. Two processes may compile the same variant at once; either's result is the other's. Where the
 * cache cannot be written, kernels are compiled for this process alone.
 *
 * A compile error shows the kernel's own file and line, as the compiler says it. */
#ifndef SPAK_DEVICE_GPU_MODULE_H
#define SPAK_DEVICE_GPU_MODULE_H

#include "device/gpu.h"

typedef struct dev_variant {
    const char *file;           /* "kernels/matmul/gpu/naive.cu", relative to the project's root */
    const char *entry;          /* the kernel's name, declared extern "C" */
    const char *const *defines; /* "TILE_M=128" */
    size_t num_defines;
} dev_variant;

/* What the compiler said of one variant. */
typedef struct dev_resources {
    int registers;                           /* a thread, as compiled */
    int spill_store_bytes, spill_load_bytes; /* a thread */
    int stack_bytes;
    int smem_bytes; /* static */
} dev_resources;

typedef struct dev_cubin {
    void *data;
    size_t bytes;
    char key[65];
    dev_resources resources;
    bool cached;       /* found, not compiled */
    double compile_ms; /* what compiling took, now or when it was compiled */
    char *compiler;    /* "NVRTC 13.0" or "nvcc 13.0" */
    char *log;         /* what the compiler said */
} dev_cubin;

/* Targets are named by architecture: "sm_80", "sm_89", "sm_90a", "sm_120a". The one for a compute capability: 90 ->
 * "sm_90a"; NULL below 80. */
const char *dev_target_of(int cc);

/* Compiles, or finds, a variant for a target. Needs no GPU. Fails when it must be compiled and NVRTC is missing, and
 * says how to go on (`make kernels` where nvcc is). */
bool dev_compile(const dev_variant *variant, const char *target, dev_cubin *cubin, spak_error *err);
void dev_cubin_free(dev_cubin *cubin);

/* The version of NVRTC, "13.0", or NULL with why it is not there. */
const char *dev_nvrtc_version(spak_error *err);

/* Compiles or finds the variant for this GPU and loads it, once a process for equal variants. The kernel lives as long
 * as the process. */
bool dev_kernel_get(dev_gpu *gpu, const dev_variant *variant, const dev_kernel **kernel, spak_error *err);
const char *dev_kernel_name(const dev_kernel *kernel); /* "matmul in kernels/matmul/gpu/naive.cu" */
/* {"key", "target", "registers", "spill_store_bytes", "spill_load_bytes", "stack_bytes", "smem_bytes", "cached",
 * "compile_ms", "compiler"}, for the trace; a new reference. */
json_t *dev_kernel_json(const dev_kernel *kernel);
/* Blocks of so many threads and so much dynamic shared memory that one SM holds at once. */
bool dev_kernel_occupancy(const dev_kernel *kernel, int threads, size_t smem_bytes, int *blocks, spak_error *err);

#endif
