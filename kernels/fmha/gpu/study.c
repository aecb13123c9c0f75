/* What the GPU's own copy reaches, in the run that measures attention: what
 * decoding, which reads each key and value once, is held against. */
#include "device/device.h"
#include "fmha/gpu/fmha_gpu.h"

enum { SAMPLES = 15 };

static bool device_copy(const json_t *options, json_t **result,
                        spak_error *err) {
    double rate[SAMPLES];
    size_t bytes;
    dev_gpu *gpu = dev_gpu_get(err);
    if (json_object_size(options) > 0)
        return spak_fail(err, "device_copy takes no options");
    if (!gpu || !dev_gpu_copy_bandwidth(gpu, rate, SAMPLES, &bytes, err))
        return false;
    const dev_spread s = dev_spread_of(rate, SAMPLES);
    *result =
        json_pack("{s:f, s:f, s:f, s:i, s:I}", "gb_per_s", s.median, "q1", s.q1,
                  "q3", s.q3, "samples", SAMPLES, "bytes", (json_int_t)bytes);
    return *result || spak_fail_oom(err);
}

const dev_study fmha_gpu_studies[FMHA_GPU_STUDIES] = {
    {"device_copy",
     "what the driver's copy reads and writes within the GPU's memory, in GB/s",
     device_copy}};
