/* The list of what is compiled ahead: it has what the points of the claim ask for, forward and backward, on each GPU,
 * and helpers of every pass; the names are unlike each other. */
#include "../../tap.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "device/gpu_compile.h"
#include "device/gpu_datasheet.h"
#include "fmha/gpu/fmha_gpu.h"

typedef struct list {
    const char *target;
    json_t *names, *keys;
    int twice, stop_after;
} list;

static bool key_of(const dev_variant *kernel, const char *target, char key[65]) {
    spak_str text = {0};
    bool good = dev_variant_key(kernel, target, key, &text, NULL);
    spak_str_free(&text);
    return good;
}

static void entry_of(const dev_variant *kernel, const char *key, char entry[128]) {
    snprintf(entry, 128, "%s %s", key, kernel->entry);
}

static bool put(void *context, const char *name, const dev_variant *kernel, spak_error *err) {
    list *l = context;
    char key[65], entry[128];
    if (json_object_get(l->names, name)) l->twice++;
    json_object_set_new(l->names, name, json_true());
    if (!key_of(kernel, l->target, key)) return spak_fail(err, "%s has no key", name);
    entry_of(kernel, key, entry);
    json_object_set_new(l->keys, entry, json_true());
    return l->stop_after-- != 1 || spak_fail(err, "enough");
}

/* Whether the list has every kernel that this problem asks for when nobody says more. -1: its file is not there. */
static int has(const list *l, const fmha_gpu_machine *hw, const char *text) {
    fmha_gpu_problem p;
    fmha_gpu_config config;
    fmha_gpu_plan plan;
    const char *defines[FMHA_GPU_DEFINES];
    json_t *json = NULL;
    uint64_t seed;
    spak_error err = {""};
    bool good = spak_json_parse("test", text, strlen(text), &json, &err) &&
                fmha_gpu_problem_read(json, &p, &seed, &err) && fmha_gpu_config_read(NULL, &p, hw, &config, &err) &&
                fmha_gpu_plan_new(&config, &p, hw, &plan, &err);
    json_decref(json);
    if (!good) printf("# %s: %s\n", text, err.message);
    if (good && !spak_exists(plan.file)) return -1;
    for (int i = 0; good && i < plan.steps; i++) {
        char key[65], entry[128];
        dev_variant kernel = fmha_gpu_plan_variant(&plan, i, defines);
        good = key_of(&kernel, l->target, key);
        entry_of(&kernel, key, entry);
        good = good && json_object_get(l->keys, entry);
    }
    return good;
}

static void points_are_shipped(const list *l, const fmha_gpu_machine *hw, const char *gpu) {
    int there = 0, missing = 0, no_file = 0;
    for (int i = 0; i < 48; i++) {
        char text[256];
        int dim = i % 2 ? 128 : 64, len = 512 << i / 8;
        snprintf(text, sizeof text,
                 "{\"batch\": %d, \"heads\": %d, \"q_len\": %d, \"head_dim\": %d, \"causal\": %s, \"pass\": \"%s\"}",
                 16384 / len, 2048 / dim, len, dim, i / 2 % 2 ? "true" : "false", i / 4 % 2 ? "backward" : "forward");
        int found = has(l, hw, text);
        if (!found) printf("# %s is not\n", text);
        there += found == 1;
        missing += found == 0;
        no_file += found < 0;
    }
    ok(!missing, "%s: %d points are shipped, %d have no kernel in the tree", gpu, there, no_file);
}

int main(void) {
    static const char *const gpus[] = {"a100", "rtx4090", "h200", "h100", "rtx5070"};
    spak_error err = {""};
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        json_t *hw = NULL;
        fmha_gpu_machine machine;
        if (!ok(dev_gpu_datasheet(gpus[i], &hw, &err), "%s %s", gpus[i], err.message)) continue;
        matmul_gpu_machine_of(hw, &machine);
        list l = {.target = dev_target_of(machine.cc), .names = json_object(), .keys = json_object()};
        bool good = fmha_gpu_shipped(l.target, put, &l, &err);
        ok(good && l.twice == 0, "%s: %zu names for %zu kernels, none twice %s", gpus[i], json_object_size(l.names),
           json_object_size(l.keys), good ? "" : err.message);
        points_are_shipped(&l, &machine, gpus[i]);
        ok(has(&l, &machine,
               "{\"batch\": 1, \"heads\": 1, \"q_len\": 77, \"head_dim\": 64, \"window\": 3, \"causal\": true, "
               "\"varlen\": true, \"dtype\": \"f16\"}") != 1,
           "%s: and one that is not is seen to be not", gpus[i]);
        l.stop_after = 2;
        if (json_object_size(l.names) > 2)
            ok(!fmha_gpu_shipped(l.target, put, &l, &err) && !strcmp(err.message, "enough"), "%s: it ends when told",
               gpus[i]);
        json_decref(l.names);
        json_decref(l.keys);
        json_decref(hw);
    }
    return done_testing();
}
