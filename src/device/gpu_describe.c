/* What the GPU is, for rules and traces, and how it is doing, from the management library (NVML).
 *
 * NVML comes with the driver, but containers may leave it out and virtual GPUs may refuse single questions. So each
 * field stands alone and is left out when its source is silent. Its functions, types and constants are those of nvml.h;
 * they are few, and their interface is promised to stay. */
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/gpu_internal.h"
#include "device/gpu_module.h"

typedef struct nvml_device_st *nvml_device;

/* F(name, symbol, parameters); each returns 0 on success. */
#define NVML_FUNCTIONS(F)                                                                         \
    F(init, nvmlInit_v2, (void))                                                                  \
    F(driver, nvmlSystemGetDriverVersion, (char *text, unsigned size))                            \
    F(by_pci, nvmlDeviceGetHandleByPciBusId_v2, (const char *pci, nvml_device *device))           \
    F(clock, nvmlDeviceGetClockInfo, (nvml_device device, int which, unsigned *mhz))              \
    F(power, nvmlDeviceGetPowerUsage, (nvml_device device, unsigned *milliwatts))                 \
    F(temperature, nvmlDeviceGetTemperature, (nvml_device device, int sensor, unsigned *celsius)) \
    F(throttle, nvmlDeviceGetCurrentClocksThrottleReasons, (nvml_device device, unsigned long long *reasons))

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, SENSOR_GPU = 0 };

typedef struct nvml {
#define NVML_MEMBER(name, symbol, parameters) int(*name) parameters;
    NVML_FUNCTIONS(NVML_MEMBER)
#undef NVML_MEMBER
} nvml;

/* The library, started once; NULL when there is none. A function that it lacks is NULL. */
static const nvml *nvml_get(void) {
    static nvml library;
    static enum { UNKNOWN, HERE, ABSENT } state;
    if (state == UNKNOWN) {
        static const char *const names[] = {"libnvidia-ml.so.1", NULL};
        void *handle = dev_library_open("SPAK_NVML", names, "clocks and power", NULL);
#define NVML_LOAD(name, symbol, parameters) \
    if (handle) dev_library_symbol(handle, #symbol, &library.name);
        NVML_FUNCTIONS(NVML_LOAD)
#undef NVML_LOAD
        state = library.init && library.init() == 0 ? HERE : ABSENT;
    }
    return state == HERE ? &library : NULL;
}

/* Environment variables may number the GPUs of driver and NVML differently; the place on the bus is the same. */
static bool nvml_device_of(const nvml *library, dev_gpu *gpu, nvml_device *device) {
    char pci[32] = "";
    return library->by_pci && gpu->driver.device_pci(pci, sizeof pci, gpu->device) == 0 &&
           library->by_pci(pci, device) == 0;
}

/* --- the state at this moment --- */

static json_t *reasons_of(unsigned long long mask) {
    static const char *const names[] = {
        "idle",          "applications_clocks", "software_power_cap", "hardware_slowdown",
        "sync_boost",    "software_thermal",    "hardware_thermal",   "hardware_power_brake",
        "display_clocks"};
    enum { COUNT = sizeof names / sizeof *names };
    json_t *list = json_array();
    for (int i = 0; list && i < 64; i++) {
        char other[16];
        if (!(mask >> i & 1)) continue;
        snprintf(other, sizeof other, "bit_%d", i);
        if (json_array_append_new(list, json_string(i < COUNT ? names[i] : other)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool add_state(const nvml *library, nvml_device device, json_t *state, spak_error *err) {
    unsigned value = 0;
    unsigned long long mask = 0;
    bool ok = true;
    if (library->clock && library->clock(device, CLOCK_SM, &value) == 0)
        ok = ok && spak_json_set(state, "sm_mhz", json_integer(value), err);
    if (library->clock && library->clock(device, CLOCK_MEMORY, &value) == 0)
        ok = ok && spak_json_set(state, "memory_mhz", json_integer(value), err);
    if (library->power && library->power(device, &value) == 0)
        ok = ok && spak_json_set(state, "power_w", json_real(value / 1000.0), err);
    if (library->temperature && library->temperature(device, SENSOR_GPU, &value) == 0)
        ok = ok && spak_json_set(state, "temperature_c", json_integer(value), err);
    if (library->throttle && library->throttle(device, &mask) == 0)
        ok = ok && spak_json_set(state, "throttle", reasons_of(mask), err);
    return ok;
}

bool dev_gpu_state(dev_gpu *gpu, json_t **out, spak_error *err) {
    const nvml *library = nvml_get();
    nvml_device device;
    *out = NULL;
    json_t *state = json_object();
    if (!state) return spak_fail_oom(err);
    if (library && nvml_device_of(library, gpu, &device) && !add_state(library, device, state, err)) {
        json_decref(state);
        return false;
    }
    *out = state;
    return true;
}

/* --- what it is --- */

static bool set_number(json_t *hw, const char *key, size_t value, spak_error *err) {
    return !value || spak_json_set(hw, key, json_integer((json_int_t)value), err);
}

/* "CUDA 13.0, 580.95.05": the newest CUDA that the driver knows, and its own version. */
static bool set_driver(json_t *hw, const dev_gpu_info *info, spak_error *err) {
    const nvml *library = nvml_get();
    char text[128], own[80] = "";
    bool told = library && library->driver && library->driver(own, sizeof own) == 0 && *own;
    snprintf(text, sizeof text, "CUDA %d.%d%s%s", info->driver_version / 1000, info->driver_version % 1000 / 10,
             told ? ", " : "", told ? own : "");
    return spak_json_set(hw, "driver", json_string(text), err);
}

static bool fill(json_t *hw, const dev_gpu_info *info, spak_error *err) {
    const struct {
        const char *key;
        size_t value;
    } numbers[] = {{"cc", (size_t)info->cc},
                   {"sms", (size_t)info->sms},
                   {"memory_bytes", info->memory_bytes},
                   {"l2_bytes", info->l2_bytes},
                   {"smem_per_block_bytes", info->smem_per_block_bytes},
                   {"smem_per_sm_bytes", info->smem_per_sm_bytes},
                   {"registers_per_sm", (size_t)info->registers_per_sm},
                   {"threads_per_sm", (size_t)info->threads_per_sm},
                   {"clock_mhz", (size_t)info->clock_mhz},
                   {"memory_clock_mhz", (size_t)info->memory_clock_mhz},
                   {"memory_bus_bits", (size_t)info->memory_bus_bits}};
    if (!spak_json_set(hw, "kind", json_string("gpu"), err) || !spak_json_set(hw, "id", json_string(info->id), err) ||
        !spak_json_set(hw, "name", json_string(info->name), err))
        return false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!set_number(hw, numbers[i].key, numbers[i].value, err)) return false;
    const char *nvrtc = dev_nvrtc_version(NULL);
    return set_driver(hw, info, err) && (!nvrtc || spak_json_set(hw, "nvrtc", json_string(nvrtc), err));
}

bool dev_gpu_describe(json_t **out, spak_error *err) {
    json_t *host = NULL;
    *out = NULL;
    dev_gpu *gpu = dev_gpu_get(err);
    if (!gpu || !dev_describe(&host, err)) return false;
    json_t *hw = json_object();
    if (hw && fill(hw, &gpu->info, err) && spak_json_set(hw, "host", json_incref(host), err)) {
        json_decref(host);
        *out = hw;
        return true;
    }
    if (!hw) spak_fail_oom(err);
    json_decref(hw);
    json_decref(host);
    return false;
}
