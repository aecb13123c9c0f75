/* What is known of a GPU without having one: its entry in dsl/hardware/nvidia.dsl. */
#ifndef SPAK_DEVICE_GPU_DATASHEET_H
#define SPAK_DEVICE_GPU_DATASHEET_H

#include "base/err.h"
#include "base/json.h"

/* The numbers and texts of the entry of this name: {"kind": "gpu", "cc", "sms", ...} with the keys of dev_gpu_describe
 * where both say the same thing, and "datasheet_..." else. "id" is the name with "-datasheet" after it, so that no
 * trace takes it for a machine. Read relative to the project's root. A name without an entry is an error. */
bool dev_gpu_datasheet(const char *name, json_t **hw, spak_error *err);

/* Adds what the datasheet knows and `hw` (of dev_gpu_describe) does not. Leaves hw as it is when there is no entry. */
bool dev_gpu_add_datasheet(json_t *hw, spak_error *err);

#endif
