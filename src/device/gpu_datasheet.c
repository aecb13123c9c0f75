#include "device/gpu_datasheet.h"

#include <stdio.h>
#include <string.h>

#include "dsl/dsl.h"

static const char file[] = "dsl/hardware/nvidia.dsl";

static json_t *plain_entries(const json_t *block) {
    json_t *hw = json_pack("{s:s, s:o}", "kind", "gpu", "id",
                           json_sprintf("%s-datasheet", spak_json_str(block, "name", "unknown")));
    const json_t *body = json_object_get(block, "body");
    for (size_t i = 0; hw && i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i), *value = json_object_get(entry, "value");
        const char *key = spak_json_str(entry, "key", "");
        bool taken = strcmp(key, "note") != 0 && (json_is_number(value) || json_is_string(value));
        if (taken && json_object_set(hw, key, (json_t *)value)) {
            json_decref(hw);
            return NULL;
        }
    }
    return hw;
}

static bool look_up(const char *name, json_t **hw, spak_error *err) {
    dsl_doc *doc = NULL;
    json_t *meaning = NULL;
    *hw = NULL;
    bool ok = dsl_parse_file(file, &doc, err) && dsl_meaning(doc, &meaning, err);
    const json_t *block = ok ? dsl_block(meaning, "hardware", name, 0) : NULL;
    if (block) {
        *hw = plain_entries(block);
        ok = *hw || spak_fail_oom(err);
    }
    json_decref(meaning);
    dsl_free(doc);
    return ok;
}

bool dev_gpu_datasheet(const char *name, json_t **hw, spak_error *err) {
    if (!look_up(name, hw, err)) return false;
    return *hw || spak_fail(err, "%s: no `hardware %s`", file, name);
}

/* The block of the GPU's name, or of its beginning ("a100" for "a100-sxm4-80gb") when it has as many multiprocessors.
 */
static bool look_up_model(const json_t *hw, json_t **known, spak_error *err) {
    char name[128];
    snprintf(name, sizeof name, "%s", spak_json_str(hw, "id", ""));
    for (char *cut = name; cut; cut = strrchr(name, '-')) {
        if (cut != name) *cut = '\0';
        if (!look_up(name, known, err)) return false;
        if (*known && (cut == name || spak_json_int(*known, "sms", 0) == spak_json_int(hw, "sms", -1))) return true;
        json_decref(*known);
        *known = NULL;
    }
    return true;
}

bool dev_gpu_add_datasheet(json_t *hw, spak_error *err) {
    json_t *known = NULL;
    if (!look_up_model(hw, &known, err)) return false;
    bool ok = !known || json_object_update_missing(hw, known) == 0 || spak_fail_oom(err);
    json_decref(known);
    return ok;
}
