/* Tensor maps: the engine's rules are checked here, one sentence each, before the driver is asked; it would say
 * "invalid argument" of all of them. The rules are those of cuTensorMapEncodeTiled in the CUDA driver's manual. */
#include "device/gpu_internal.h"

enum { ROW_UNIT = 16, BOX_MOST = 256 };

static const struct {
    const char *name;
    size_t bytes;
    cu_tensor_type type;
} elements[DEV_ELEMENTS] = {
    [DEV_BF16] = {"bf16", 2, DEV_CU_TENSOR_BF16},
    [DEV_F16] = {"f16", 2, DEV_CU_TENSOR_F16},
    [DEV_F32] = {"f32", 4, DEV_CU_TENSOR_F32},
};

size_t dev_element_bytes(dev_element element) { return (unsigned)element < DEV_ELEMENTS ? elements[element].bytes : 0; }

static bool check_array(dev_ptr base, const dev_tensor_spec *spec, spak_error *err) {
    const uint64_t size_limit = (uint64_t)1 << 32, stride_limit = (uint64_t)1 << 40;
    if (!base || base % ROW_UNIT)
        return spak_fail(err, "tensor map: the array starts at 0x%llx; supported are multiples of 16 bytes",
                         (unsigned long long)base);
    for (int i = 0; i < spec->dims; i++)
        if (!spec->size[i] || spec->size[i] > size_limit)
            return spak_fail(err, "tensor map: dimension %d has %llu elements; supported are 1 to 2^32", i,
                             (unsigned long long)spec->size[i]);
    for (int i = 1; i < spec->dims; i++)
        if (!spec->stride[i] || spec->stride[i] % ROW_UNIT || spec->stride[i] >= stride_limit)
            return spak_fail(err,
                             "tensor map: the stride of dimension %d is %llu bytes; supported are multiples of 16 "
                             "below 2^40 (pad the rows, or use a kernel without tensor maps)",
                             i, (unsigned long long)spec->stride[i]);
    return true;
}

static bool check_box(const dev_gpu *gpu, const dev_tensor_spec *spec, spak_error *err) {
    size_t row = spec->box[0] * dev_element_bytes(spec->element), bytes = dev_element_bytes(spec->element);
    for (int i = 0; i < spec->dims; i++) {
        if (!spec->box[i] || spec->box[i] > BOX_MOST)
            return spak_fail(err, "tensor map: the box has %u elements in dimension %d; supported are 1 to %d",
                             spec->box[i], i, BOX_MOST);
        bytes *= spec->box[i];
    }
    if (row % ROW_UNIT)
        return spak_fail(err, "tensor map: a box's inner row has %zu bytes (%u of %s); supported are multiples of 16",
                         row, spec->box[0], elements[spec->element].name);
    if (spec->swizzle_bytes && row > (size_t)spec->swizzle_bytes)
        return spak_fail(err,
                         "tensor map: a box's inner row has %zu bytes (%u of %s); with a swizzle of %d bytes it has at "
                         "most as many",
                         row, spec->box[0], elements[spec->element].name, spec->swizzle_bytes);
    if (bytes > gpu->info.smem_per_block_bytes)
        return spak_fail(err, "tensor map: a box of %zu bytes; a block of this GPU has %zu bytes of shared memory",
                         bytes, gpu->info.smem_per_block_bytes);
    return true;
}

static bool swizzle_of(int bytes, cu_tensor_swizzle *swizzle, spak_error *err) {
    switch (bytes) {
        case 0: return true;
        case 32: *swizzle = DEV_CU_TENSOR_SWIZZLE_32; return true;
        case 64: *swizzle = DEV_CU_TENSOR_SWIZZLE_64; return true;
        case 128: *swizzle = DEV_CU_TENSOR_SWIZZLE_128; return true;
        default: return spak_fail(err, "tensor map: a swizzle of %d bytes; supported are 0, 32, 64 and 128", bytes);
    }
}

bool dev_tensor_encode(dev_gpu *gpu, dev_ptr base, const dev_tensor_spec *spec, dev_tensor_map *map, spak_error *err) {
    static const uint32_t dense[DEV_TENSOR_DIMS] = {1, 1, 1, 1, 1};
    cu_tensor_swizzle swizzle = DEV_CU_TENSOR_SWIZZLE_NONE;
    *map = (dev_tensor_map){0};
    if (gpu->info.cc < 90)
        return spak_fail(err, "tensor map: supported from compute capability 9.0 on, and %s has %d.%d", gpu->info.name,
                         gpu->info.cc / 10, gpu->info.cc % 10);
    if (!dev_element_bytes(spec->element))
        return spak_fail(err, "tensor map: element type %d; supported are bf16, f16 and f32", (int)spec->element);
    if (spec->dims < 1 || spec->dims > DEV_TENSOR_DIMS)
        return spak_fail(err, "tensor map: %d dimensions; supported are 1 to %d", spec->dims, DEV_TENSOR_DIMS);
    if (!swizzle_of(spec->swizzle_bytes, &swizzle, err) || !check_array(base, spec, err) || !check_box(gpu, spec, err))
        return false;
    /* The driver's strides begin with the second dimension's. 256 bytes at a time come from memory into L2: what
     * follows in a row is another box's, and wanted soon. */
    cu_result result = gpu->driver.tensor_encode(map, elements[spec->element].type, (uint32_t)spec->dims,
                                                 (void *)(uintptr_t)base, spec->size, spec->stride + 1, spec->box,
                                                 dense, 0, swizzle, DEV_CU_TENSOR_PROMOTE_256, 0);
    return dev_gpu_check(gpu, result, "making a tensor map", err);
}
