/* The list of what is compiled ahead: it has what the problems of the system and the helpers of a trial ask for, on
 * each GPU; the names are unlike each other. tests/long holds what was compiled against it. */
#include "../../tap.h"
#include "base/json.h"
#include "base/str.h"
#include "device/gpu_compile.h"
#include "device/gpu_datasheet.h"
#include "dsl/dsl.h"
#include "matmul/gpu/matmul_gpu.h"

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

static bool put(void *context, const char *name, const dev_variant *kernel, spak_error *err) {
    list *l = context;
    char key[65];
    if (json_object_get(l->names, name)) l->twice++;
    json_object_set_new(l->names, name, json_true());
    if (key_of(kernel, l->target, key)) json_object_set_new(l->keys, key, json_true());
    return l->stop_after-- != 1 || spak_fail(err, "enough");
}

/* Whether the list has what this problem asks for when nobody says more, and the portable path. */
static bool has(const list *l, const matmul_gpu_machine *hw, const json_t *json, const char *variant) {
    matmul_gpu_problem p;
    matmul_gpu_config config;
    matmul_gpu_plan plan;
    const char *defines[MATMUL_GPU_DEFINES];
    uint64_t seed;
    char key[65];
    spak_error err = {""};
    json_t *asked = json_pack("{s:s*}", "variant", variant);
    bool good = matmul_gpu_problem_read(json, &p, &seed, &err) &&
                matmul_gpu_config_read(asked, &p, hw, &config, &err) &&
                matmul_gpu_plan_new(&config, &p, hw, &plan, &err);
    if (!good) printf("# %s\n", err.message);
    json_decref(asked);
    dev_variant kernel = matmul_gpu_plan_variant(&plan, defines);
    return good && key_of(&kernel, l->target, key) && json_object_get(l->keys, key);
}

/* A block of the system as a trial's problem. */
static json_t *problem_of(const json_t *block) {
    json_t *problem = json_object();
    const json_t *body = json_object_get(block, "body");
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *entry = json_array_get(body, i);
        json_object_set(problem, spak_json_str(entry, "key", ""), json_object_get(entry, "value"));
    }
    return problem;
}

static void problems_are_shipped(const list *l, const matmul_gpu_machine *hw, const char *gpu, const json_t *block) {
    int count = 0, missing = 0;
    const json_t *problem;
    for (size_t i = 0; (problem = dsl_block(block, "problem", NULL, i)); i++) {
        const char *name = spak_json_str(problem, "name", "");
        json_t *json = problem_of(problem);
        if (strcmp(name, "new_shape") != 0 && ++count && !has(l, hw, json, NULL)) {
            printf("# %s is not\n", name);
            missing++;
        }
        if (spak_starts_with(name, "square") && !has(l, hw, json, "mma_sync")) missing++;
        json_decref(json);
    }
    ok(count > 10 && !missing, "%s: the %d problems of the system are shipped", gpu, count);
}

static void edges_are_shipped(const list *l, const matmul_gpu_machine *hw, const char *gpu) {
    json_t *json = json_pack("{s:i, s:i, s:i, s:b}", "m", 257, "n", 127, "k", 1000, "trans_b", 1);
    ok(has(l, hw, json, NULL), "%s: so is an edge", gpu);
    json_object_set_new(json, "epilogue", json_pack("[s]", "residual"));
    ok(!has(l, hw, json, NULL), "%s: and one with an epilogue is seen to be not", gpu);
    json_decref(json);
}

int main(void) {
    static const char *const gpus[] = {"a100", "rtx4090", "h200", "h100", "rtx5070"};
    spak_error err = {""};
    dsl_doc *doc = NULL;
    json_t *system = NULL;
    if (!ok(dsl_parse_file("dsl/matmul_gpu_system_v1.dsl", &doc, &err) && dsl_meaning(doc, &system, &err),
            "the system %s", err.message))
        return done_testing();
    const json_t *loop = dsl_block(dsl_block(system, "system", NULL, 0), "engineering_loop", NULL, 0);
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        json_t *hw = NULL;
        matmul_gpu_machine machine;
        if (!ok(dev_gpu_datasheet(gpus[i], &hw, &err), "%s %s", gpus[i], err.message)) continue;
        matmul_gpu_machine_of(hw, &machine);
        list l = {.target = dev_target_of(machine.cc), .names = json_object(), .keys = json_object()};
        bool good = matmul_gpu_shipped(l.target, put, &l, &err);
        ok(good && json_object_size(l.names) > 20 && l.twice == 0, "%s: %zu names for %zu kernels, none twice %s",
           gpus[i], json_object_size(l.names), json_object_size(l.keys), good ? "" : err.message);
        problems_are_shipped(&l, &machine, gpus[i], loop);
        edges_are_shipped(&l, &machine, gpus[i]);
        l.stop_after = 3;
        ok(!matmul_gpu_shipped(l.target, put, &l, &err) && !strcmp(err.message, "enough"), "%s: it ends when told",
           gpus[i]);
        json_decref(l.names);
        json_decref(l.keys);
        json_decref(hw);
    }
    json_decref(system);
    dsl_free(doc);
    return done_testing();
}
