/* gpu_internal.h against the real cuda.h, where that is to be had: what differs does not compile. */
#include "../tap.h"

#if __has_include(<cuda.h>)
#include <cuda.h>
#include <stddef.h>

#include "device/gpu_internal.h"

#define SAME_VALUE(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #ours " is " #theirs)
SAME_VALUE(DEV_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME_VALUE(DEV_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME_VALUE(DEV_CU_NOT_READY, CUDA_ERROR_NOT_READY);
SAME_VALUE(DEV_CU_LAUNCH_TIMEOUT, CUDA_ERROR_LAUNCH_TIMEOUT);
SAME_VALUE(DEV_CU_NOT_SUPPORTED, CUDA_ERROR_NOT_SUPPORTED);
SAME_VALUE(DEV_CU_CLOCK_RATE, CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
SAME_VALUE(DEV_CU_SM_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME_VALUE(DEV_CU_MEMORY_CLOCK_RATE, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
SAME_VALUE(DEV_CU_MEMORY_BUS_WIDTH, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
SAME_VALUE(DEV_CU_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME_VALUE(DEV_CU_THREADS_PER_SM, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
SAME_VALUE(DEV_CU_CC_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(DEV_CU_CC_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_VALUE(DEV_CU_SMEM_PER_SM, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
SAME_VALUE(DEV_CU_REGISTERS_PER_SM, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
SAME_VALUE(DEV_CU_SMEM_PER_BLOCK_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME_VALUE(DEV_CU_FUNCTION_MAX_DYNAMIC_SMEM, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME_VALUE(DEV_CU_FUNCTION_NON_PORTABLE_CLUSTER, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
SAME_VALUE(DEV_CU_LAUNCH_CLUSTER, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
SAME_VALUE(DEV_CU_LAUNCH_OVERLAP, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
SAME_VALUE(DEV_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME_VALUE(DEV_CU_CAPTURE_RELAXED, CU_STREAM_CAPTURE_MODE_RELAXED);
SAME_VALUE(DEV_CU_TENSOR_F16, CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
SAME_VALUE(DEV_CU_TENSOR_F32, CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
SAME_VALUE(DEV_CU_TENSOR_BF16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
SAME_VALUE(DEV_CU_TENSOR_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE);
SAME_VALUE(DEV_CU_TENSOR_SWIZZLE_32, CU_TENSOR_MAP_SWIZZLE_32B);
SAME_VALUE(DEV_CU_TENSOR_SWIZZLE_64, CU_TENSOR_MAP_SWIZZLE_64B);
SAME_VALUE(DEV_CU_TENSOR_SWIZZLE_128, CU_TENSOR_MAP_SWIZZLE_128B);
SAME_VALUE(DEV_CU_TENSOR_PROMOTE_256, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
/* dev_gpu_check's faults, dev_tensor_encode's zeros. */
SAME_VALUE(0, CUDA_SUCCESS);
SAME_VALUE(700, CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_VALUE(702, CUDA_ERROR_LAUNCH_TIMEOUT);
SAME_VALUE(710, CUDA_ERROR_ASSERT);
SAME_VALUE(714, CUDA_ERROR_HARDWARE_STACK_ERROR);
SAME_VALUE(719, CUDA_ERROR_LAUNCH_FAILED);
SAME_VALUE(0, CU_TENSOR_MAP_INTERLEAVE_NONE);
SAME_VALUE(0, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);

#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #ours " has the size of " #theirs)
#define SAME_PLACE(ours, member, theirs, theirs_member)                                     \
    _Static_assert(offsetof(ours, member) == offsetof(theirs, theirs_member) &&             \
                       sizeof(((ours *)0)->member) >= sizeof(((theirs *)0)->theirs_member), \
                   #ours "." #member " stands where " #theirs "." #theirs_member " does")
SAME_SIZE(cu_result, CUresult);
SAME_SIZE(dev_ptr, CUdeviceptr);
SAME_SIZE(cu_device, CUdevice);
SAME_SIZE(cu_device_attribute, CUdevice_attribute);
SAME_SIZE(cu_function_attribute, CUfunction_attribute);
SAME_SIZE(cu_capture_mode, CUstreamCaptureMode);
SAME_SIZE(cu_tensor_type, CUtensorMapDataType);
SAME_SIZE(cu_tensor_interleave, CUtensorMapInterleave);
SAME_SIZE(cu_tensor_swizzle, CUtensorMapSwizzle);
SAME_SIZE(cu_tensor_promotion, CUtensorMapL2promotion);
SAME_SIZE(cu_tensor_fill, CUtensorMapFloatOOBfill);
SAME_SIZE(dev_tensor_map, CUtensorMap);
_Static_assert(_Alignof(dev_tensor_map) >= _Alignof(CUtensorMap), "a tensor map is aligned");
SAME_SIZE(cu_launch_attribute, CUlaunchAttribute);
SAME_PLACE(cu_launch_attribute, id, CUlaunchAttribute, id);
SAME_PLACE(cu_launch_attribute, value, CUlaunchAttribute, value);
SAME_PLACE(cu_launch_attribute, value.cluster.x, CUlaunchAttribute, value.clusterDim.x);
SAME_PLACE(cu_launch_attribute, value.cluster.y, CUlaunchAttribute, value.clusterDim.y);
SAME_PLACE(cu_launch_attribute, value.cluster.z, CUlaunchAttribute, value.clusterDim.z);
SAME_PLACE(cu_launch_attribute, value.overlap, CUlaunchAttribute, value.programmaticStreamSerializationAllowed);
SAME_SIZE(cu_launch_config, CUlaunchConfig);
SAME_PLACE(cu_launch_config, grid[0], CUlaunchConfig, gridDimX);
SAME_PLACE(cu_launch_config, grid[2], CUlaunchConfig, gridDimZ);
SAME_PLACE(cu_launch_config, block[0], CUlaunchConfig, blockDimX);
SAME_PLACE(cu_launch_config, block[2], CUlaunchConfig, blockDimZ);
SAME_PLACE(cu_launch_config, smem_bytes, CUlaunchConfig, sharedMemBytes);
SAME_PLACE(cu_launch_config, stream, CUlaunchConfig, hStream);
SAME_PLACE(cu_launch_config, attributes, CUlaunchConfig, attrs);
SAME_PLACE(cu_launch_config, num_attributes, CUlaunchConfig, numAttrs);

/* The table's parameter lists, with cuda.h's types in the place of ours, are the functions' types. */
#define cu_result             CUresult
#define cu_device             CUdevice
#define cu_context            CUcontext
#define cu_module             CUmodule
#define cu_function           CUfunction
#define cu_stream             CUstream
#define cu_event              CUevent
#define cu_graph              CUgraph
#define cu_graph_exec         CUgraphExec
#define cu_launch_config      CUlaunchConfig
#define cu_device_attribute   CUdevice_attribute
#define cu_function_attribute CUfunction_attribute
#define cu_capture_mode       CUstreamCaptureMode
#define cu_tensor_type        CUtensorMapDataType
#define cu_tensor_interleave  CUtensorMapInterleave
#define cu_tensor_swizzle     CUtensorMapSwizzle
#define cu_tensor_promotion   CUtensorMapL2promotion
#define cu_tensor_fill        CUtensorMapFloatOOBfill
#define dev_tensor_map        CUtensorMap
#define dev_ptr               CUdeviceptr
#define SAME_TYPE(name, symbol, parameters) \
    _Static_assert(__builtin_types_compatible_p(CUresult(*) parameters, __typeof__(&symbol)), #symbol);
DEV_DRIVER_FUNCTIONS(SAME_TYPE)

int main(void) {
    ok(true, "constants, structures and functions are those of cuda.h %d.%d", CUDA_VERSION / 1000,
       CUDA_VERSION % 1000 / 10);
    return done_testing();
}
#else
int main(void) {
    skip_test("no cuda.h here (looked in CUDA_HOME, CUDA_PATH and /usr/local/cuda, and where the compiler looks)");
    return done_testing();
}
#endif
