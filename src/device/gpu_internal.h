/* What the files of the CUDA device share; nobody else includes it.
 *
 * The driver's functions and types as this project uses them, declared here so that no CUDA header is needed. Where
 * cuda.h is to be had, a test compares every constant and signature with it (tests/device/test_cuda_h.c). */
#ifndef SPAK_DEVICE_GPU_INTERNAL_H
#define SPAK_DEVICE_GPU_INTERNAL_H

#include "device/gpu.h"

typedef int cu_result; /* CUresult; 0 is success */
typedef int cu_device;
typedef struct cu_context_st *cu_context;
typedef struct cu_module_st *cu_module;
typedef struct cu_function_st *cu_function;
typedef struct cu_stream_st *cu_stream;
typedef struct cu_event_st *cu_event;
typedef struct cu_graph_st *cu_graph;
typedef struct cu_graph_exec_st *cu_graph_exec;

typedef struct cu_launch_attribute { /* CUlaunchAttribute */
    int id;
    char pad[4];
    union {
        char bytes[64];
        struct {
            unsigned x, y, z;
        } cluster;
        int overlap; /* programmaticStreamSerializationAllowed */
    } value;
} cu_launch_attribute;

typedef struct cu_launch_config { /* CUlaunchConfig */
    unsigned grid[3], block[3], smem_bytes;
    cu_stream stream;
    cu_launch_attribute *attributes;
    unsigned num_attributes;
} cu_launch_config;

/* The driver's enumerations, as far as they are used; the test compares them. Each set is an int to the driver. */
typedef int cu_device_attribute, cu_function_attribute, cu_capture_mode;
typedef int cu_tensor_type, cu_tensor_interleave, cu_tensor_swizzle, cu_tensor_promotion, cu_tensor_fill;
enum {
    DEV_CU_OUT_OF_MEMORY = 2,
    DEV_CU_NO_DEVICE = 100,
    DEV_CU_NOT_READY = 600,
    DEV_CU_LAUNCH_TIMEOUT = 702,
    DEV_CU_NOT_SUPPORTED = 801,
    DEV_CU_CLOCK_RATE = 13,
    DEV_CU_SM_COUNT = 16,
    DEV_CU_MEMORY_CLOCK_RATE = 36,
    DEV_CU_MEMORY_BUS_WIDTH = 37,
    DEV_CU_L2_BYTES = 38,
    DEV_CU_THREADS_PER_SM = 39,
    DEV_CU_CC_MAJOR = 75,
    DEV_CU_CC_MINOR = 76,
    DEV_CU_SMEM_PER_SM = 81,
    DEV_CU_REGISTERS_PER_SM = 82,
    DEV_CU_SMEM_PER_BLOCK_OPTIN = 97,
    DEV_CU_FUNCTION_MAX_DYNAMIC_SMEM = 8,
    DEV_CU_FUNCTION_NON_PORTABLE_CLUSTER = 14,
    DEV_CU_LAUNCH_CLUSTER = 4,
    DEV_CU_LAUNCH_OVERLAP = 6,
    DEV_CU_STREAM_NON_BLOCKING = 1,
    DEV_CU_CAPTURE_RELAXED = 2,
    DEV_CU_TENSOR_F16 = 6,
    DEV_CU_TENSOR_F32 = 7,
    DEV_CU_TENSOR_BF16 = 9,
    DEV_CU_TENSOR_SWIZZLE_NONE = 0,
    DEV_CU_TENSOR_SWIZZLE_32 = 1,
    DEV_CU_TENSOR_SWIZZLE_64 = 2,
    DEV_CU_TENSOR_SWIZZLE_128 = 3,
    DEV_CU_TENSOR_PROMOTE_256 = 3,
};

/* F(name, symbol, parameters): the symbol carries the version of the interface that is meant. */
#define DEV_DRIVER_FUNCTIONS(F)                                                                                      \
    F(init, cuInit, (unsigned flags))                                                                                \
    F(driver_version, cuDriverGetVersion, (int *version))                                                            \
    F(error_name, cuGetErrorName, (cu_result result, const char **text))                                             \
    F(error_string, cuGetErrorString, (cu_result result, const char **text))                                         \
    F(device_count, cuDeviceGetCount, (int *count))                                                                  \
    F(device_get, cuDeviceGet, (cu_device * device, int ordinal))                                                    \
    F(device_name, cuDeviceGetName, (char *name, int size, cu_device device))                                        \
    F(device_attribute, cuDeviceGetAttribute, (int *value, cu_device_attribute attribute, cu_device device))         \
    F(device_memory, cuDeviceTotalMem_v2, (size_t * bytes, cu_device device))                                        \
    F(device_pci, cuDeviceGetPCIBusId, (char *text, int size, cu_device device))                                     \
    F(context_retain, cuDevicePrimaryCtxRetain, (cu_context * context, cu_device device))                            \
    F(context_set, cuCtxSetCurrent, (cu_context context))                                                            \
    F(context_sync, cuCtxSynchronize, (void))                                                                        \
    F(persisting_reset, cuCtxResetPersistingL2Cache, (void))                                                         \
    F(memory_alloc, cuMemAlloc_v2, (dev_ptr * at, size_t bytes))                                                     \
    F(memory_free, cuMemFree_v2, (dev_ptr at))                                                                       \
    F(memory_info, cuMemGetInfo_v2, (size_t * free, size_t * total))                                                 \
    F(copy_to, cuMemcpyHtoD_v2, (dev_ptr to, const void *from, size_t bytes))                                        \
    F(copy_from, cuMemcpyDtoH_v2, (void *to, dev_ptr from, size_t bytes))                                            \
    F(copy_async, cuMemcpyDtoDAsync_v2, (dev_ptr to, dev_ptr from, size_t bytes, cu_stream stream))                  \
    F(set8_async, cuMemsetD8Async, (dev_ptr to, unsigned char value, size_t count, cu_stream stream))                \
    F(set32_async, cuMemsetD32Async, (dev_ptr to, unsigned value, size_t count, cu_stream stream))                   \
    F(stream_new, cuStreamCreate, (cu_stream * stream, unsigned flags))                                              \
    F(stream_query, cuStreamQuery, (cu_stream stream))                                                               \
    F(capture_begin, cuStreamBeginCapture_v2, (cu_stream stream, cu_capture_mode mode))                              \
    F(capture_end, cuStreamEndCapture, (cu_stream stream, cu_graph * graph))                                         \
    F(graph_instantiate, cuGraphInstantiateWithFlags,                                                                \
      (cu_graph_exec * exec, cu_graph graph, unsigned long long flags))                                              \
    F(graph_upload, cuGraphUpload, (cu_graph_exec exec, cu_stream stream))                                           \
    F(graph_launch, cuGraphLaunch, (cu_graph_exec exec, cu_stream stream))                                           \
    F(graph_exec_free, cuGraphExecDestroy, (cu_graph_exec exec))                                                     \
    F(graph_free, cuGraphDestroy, (cu_graph graph))                                                                  \
    F(event_new, cuEventCreate, (cu_event * event, unsigned flags))                                                  \
    F(event_record, cuEventRecord, (cu_event event, cu_stream stream))                                               \
    F(event_sync, cuEventSynchronize, (cu_event event))                                                              \
    F(event_elapsed, cuEventElapsedTime, (float *ms, cu_event start, cu_event end))                                  \
    F(event_free, cuEventDestroy_v2, (cu_event event))                                                               \
    F(module_load, cuModuleLoadData, (cu_module * module, const void *image))                                        \
    F(module_unload, cuModuleUnload, (cu_module module))                                                             \
    F(module_function, cuModuleGetFunction, (cu_function * function, cu_module module, const char *name))            \
    F(function_attribute, cuFuncGetAttribute, (int *value, cu_function_attribute attribute, cu_function function))   \
    F(function_set, cuFuncSetAttribute, (cu_function function, cu_function_attribute attribute, int value))          \
    F(occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor,                                                        \
      (int *blocks, cu_function function, int threads, size_t smem_bytes))                                           \
    F(launch, cuLaunchKernelEx, (const cu_launch_config *config, cu_function function, void **params, void **extra)) \
    F(tensor_encode, cuTensorMapEncodeTiled,                                                                         \
      (dev_tensor_map * map, cu_tensor_type type, uint32_t rank, void *address, const uint64_t *size,                \
       const uint64_t *stride, const uint32_t *box, const uint32_t *element_stride, cu_tensor_interleave interleave, \
       cu_tensor_swizzle swizzle, cu_tensor_promotion promotion, cu_tensor_fill fill))

typedef struct dev_driver {
#define DEV_DRIVER_MEMBER(name, symbol, parameters) cu_result(*name) parameters;
    DEV_DRIVER_FUNCTIONS(DEV_DRIVER_MEMBER)
#undef DEV_DRIVER_MEMBER
} dev_driver;

enum { DEV_UNDER_WAY = 8, DEV_SMEM_SLOTS = 64 };

/* Kernels in the order of their launches: the latest few, the last one last, and how many there were in all. */
typedef struct dev_launches {
    const dev_kernel *latest[DEV_UNDER_WAY];
    unsigned long count;
} dev_launches;

struct dev_gpu {
    dev_driver driver;
    dev_gpu_info info;
    cu_device device;
    cu_context context;
    cu_stream stream;
    bool debug; /* SPAK_GPU_DEBUG=1 */
    bool hung;  /* did not come back in time: any call that waits for it would wait for ever */
    dev_ptr flush;
    size_t flush_bytes;
    bool recording;         /* inside dev_graph_record: what is enqueued does not run */
    dev_launches under_way; /* since the last wait; for attributing a fault */
    struct {                /* how much dynamic shared memory a kernel may use, as last asked or set */
        cu_function function;
        int bytes;
    } smem[DEV_SMEM_SLOTS];
};

/* True on success, else fills err: "WHAT: CUDA_ERROR_NAME (explanation)", and for a fault of a kernel (an illegal
 * address, a misaligned one, a trap, ...) the kernels that were under way. */
bool dev_gpu_check(dev_gpu *gpu, cu_result result, const char *what, spak_error *err);

/* Fails while a graph is being recorded; what says what cannot be done then. */
bool dev_gpu_not_recording(const dev_gpu *gpu, const char *what, spak_error *err);

/* Sees to it that a kernel may be launched with so much dynamic shared memory; never takes any back. gpu_launch.c. */
bool dev_gpu_allow_smem(dev_gpu *gpu, cu_function function, size_t bytes, spak_error *err);

/* The driver's handle of a kernel; gpu_module.c. */
cu_function dev_kernel_function(const dev_kernel *kernel);

/* Opens a library: the file that the environment variable names (and then nothing else; "none": not at all), else the
 * first of `names` (up to a NULL) that the loader finds, by itself and in the folders where CUDA is usually put
 * (CUDA_HOME, CUDA_PATH, /usr/local/cuda, the driver's). NULL with everything that was tried in err, and what_for:
 * what cannot be done without it and what can, "compiling kernels (those compiled before still run)". gpu.c. */
void *dev_library_open(const char *variable, const char *const *names, const char *what_for, spak_error *err);

/* Looks a function up; ISO C has no cast from an object pointer to a function pointer, POSIX promises that the bits
 * mean the same. */
bool dev_library_symbol(void *library, const char *name, void *function_pointer);

#endif
