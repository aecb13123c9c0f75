/* Configurations and plans: the manifest's constraints are config.c's, what is picked is allowed, and an axis that is
 * wrong is refused by name. */
#include "../../tap.h"
#include "device/gpu_datasheet.h"
#include "dsl/dsl.h"
#include "loop/loop_internal.h"
#include "lua/sandbox.h"
#include "matmul/gpu/invariants.h"

static matmul_gpu_machine machine;

static loop_run *run_of(lua_box *box, json_t *hw) {
    static loop_run run;
    run.op = &matmul_gpu_op;
    run.hw = hw;
    run.eval = lua_box_evaluator(box);
    run.system = json_pack("{s:[], s:[]}", "body", "knowledge");
    run.system_path = "test";
    return &run;
}

static json_t *problem_json(const matmul_gpu_problem *p) {
    return json_pack("{s:i, s:i, s:i, s:b, s:b, s:s, s:s, s:o}", "m", p->m, "n", p->n, "k", p->k, "trans_a", p->trans_a,
                     "trans_b", p->trans_b, "dtype", p->in == DEV_F16 ? "f16" : "bf16", "out",
                     p->out == DEV_F32 ? "f32" : "same", "epilogue", p->bias ? json_pack("[s]", "bias") : json_array());
}

/* A configuration with all axes, allowed or not. */
static void draw(matmul_gpu_check *check, matmul_gpu_case *c) {
    static const int ms[] = {64, 128, 256}, ns[] = {32, 64, 96, 128, 160, 192, 224, 256}, ks[] = {32, 64, 64, 128};
    matmul_gpu_draw_case(check, c);
    c->config.variant = (matmul_gpu_variant)(MATMUL_GPU_REGISTER_TILE +
                                             matmul_gpu_draw(check, MATMUL_GPU_VARIANTS - MATMUL_GPU_REGISTER_TILE));
    c->config.tile_m = ms[matmul_gpu_draw(check, 3)];
    c->config.tile_n = ns[matmul_gpu_draw(check, 8)];
    c->config.tile_k = ks[matmul_gpu_draw(check, 4)];
    c->config.stages = 1 + (int)matmul_gpu_draw(check, 7);
    c->config.cluster_m = 1 + (int)matmul_gpu_draw(check, 2);
    c->config.cluster_n = 1 + (int)matmul_gpu_draw(check, 2);
    c->config.split = 1 + (int)matmul_gpu_draw(check, 3);
    c->config.group = 8;
    c->config.last_round = 1 + (int)matmul_gpu_draw(check, 2);
    c->config.start = 1 + (int)matmul_gpu_draw(check, 2);
    c->config.swizzle_bytes = 128;
    c->problem.bias = matmul_gpu_draw(check, 4) == 0;
}

static json_t *all_axes(const matmul_gpu_config *c) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s}", "variant",
                     matmul_gpu_variant_name(c->variant), "tile_m", c->tile_m, "tile_n", c->tile_n, "tile_k", c->tile_k,
                     "stages", c->stages, "cluster_m", c->cluster_m, "cluster_n", c->cluster_n, "split", c->split,
                     "group", c->group, "swizzle_bytes", c->swizzle_bytes, "last_round",
                     c->last_round == MATMUL_GPU_SHARED ? "shared" : "whole", "start",
                     c->start == MATMUL_GPU_OVERLAPPED ? "overlapped" : "plain");
}

/* "constraint NAME..." of either side. */
static bool same_name(const char *ours, const char *theirs) {
    size_t n = strcspn(ours, ":");
    return strncmp(ours, theirs, n) == 0;
}

static void manifest_and_code_agree(lua_box *box, json_t *hw) {
    loop_run *run = run_of(box, hw);
    spak_error err = {0};
    ok(loop_load_block(matmul_gpu_op.manifest, "kernel", "matmul_gpu", &run->manifest, &err), "the manifest: %s",
       err.message);
    matmul_gpu_check check = {.fault = MATMUL_GPU_NO_FAULT, .seed = 5};
    int allowed_count = 0, differ = 0, names = 0;
    for (int i = 0; i < 12000 && !differ; i++) {
        matmul_gpu_case c;
        spak_error why = {0};
        draw(&check, &c);
        json_t *config = all_axes(&c.config), *problem = problem_json(&c.problem), *reason = NULL;
        bool theirs = false;
        bool ours = matmul_gpu_config_allowed(&c.config, &c.problem, &machine, &why);
        if (!loop_allowed(run, config, problem, &theirs, &reason, &err)) {
            printf("# %s\n", err.message);
            differ++;
        } else if (ours != theirs) {
            printf("# %s: config.c says %s, the manifest %s\n", json_dumps(config, 0), ours ? "yes" : why.message,
                   theirs ? "yes" : json_string_value(reason));
            differ++;
        }
        if (!ours && !theirs) names += same_name(why.message, json_string_value(reason));
        allowed_count += ours && theirs;
        json_decref(config);
        json_decref(problem);
        json_decref(reason);
    }
    ok(!differ, "config.c and the manifest allow the same configurations");
    ok(allowed_count > 100, "%d of them are allowed", allowed_count);
    ok(names > 100, "and %d refusals have the same first reason", names);
    json_decref(run->manifest);
    json_decref(run->system);
}

static void reads(const char *json, const char *want, const char *what) {
    matmul_gpu_problem p = {.m = 4096, .n = 4096, .k = 4096, .trans_b = true, .in = DEV_BF16, .out = DEV_BF16};
    matmul_gpu_config config;
    spak_error err = {0}, why = {0};
    json_t *asked = NULL;
    matmul_gpu_tight(&p);
    bool parsed = spak_json_parse("test", json, strlen(json), &asked, &err);
    bool good = matmul_gpu_config_read(asked, &p, &machine, &config, &why);
    ok(parsed && good == !want && (!want || strstr(why.message, want)), "%s: %s", what, good ? "read" : why.message);
    json_decref(asked);
}

static void picks(int m, int n, int k, bool trans_b, const char *variant) {
    matmul_gpu_problem p = {.m = m, .n = n, .k = k, .trans_b = trans_b, .in = DEV_BF16, .out = DEV_BF16};
    matmul_gpu_config config;
    matmul_gpu_plan plan;
    spak_error why = {0};
    matmul_gpu_tight(&p);
    bool good = matmul_gpu_config_read(NULL, &p, &machine, &config, &why) &&
                matmul_gpu_config_allowed(&config, &p, &machine, &why) &&
                matmul_gpu_plan_new(&config, &p, &machine, &plan, &why);
    json_t *json = good ? matmul_gpu_config_json(&config) : NULL;
    char *text = json ? json_dumps(json, 0) : NULL;
    ok(good && !strcmp(matmul_gpu_variant_name(config.variant), variant), "%d x %d x %d: %s", m, n, k,
       text ? text : why.message);
    json_decref(json);
    free(text);
}

int main(void) {
    spak_error err = {0};
    json_t *hw = NULL;
    lua_box *box = NULL;
    if (!ok(dev_gpu_datasheet("h200", &hw, &err), "the H200's datasheet: %s", err.message)) return done_testing();
    ok(!strcmp(spak_json_str(hw, "id", ""), "h200-datasheet"), "nobody takes it for a machine");
    json_t *none = NULL;
    ok(!dev_gpu_datasheet("h300", &none, &err) && strstr(err.message, "h300"), "one that is not there: %s",
       err.message);
    matmul_gpu_machine_of(hw, &machine);
    ok(machine.sms == 132 && machine.matrix_flop_per_s > machine.datasheet_flop_per_s, "the machine");
    if (ok(lua_box_new(NULL, &box, &err), "a box")) manifest_and_code_agree(box, hw);
    lua_box_free(box);
    reads("{}", NULL, "no axis");
    reads("{\"tile_q\": 1}", "no axis 'tile_q'", "an axis that is none");
    reads("{\"variant\": \"quick\"}", "'quick' is none of", "a variant that is none");
    reads("{\"tile_m\": 129}", "tile_m", "a tile of 129 rows");
    reads("{\"variant\": \"best\", \"tile_m\": 256, \"tile_n\": 256, \"stages\": 2}", "sums_fit_registers",
          "too many sums");
    reads("{\"variant\": \"best\", \"tile_n\": 256, \"stages\": 7}", "smem_fits", "too many stages");
    reads("{\"variant\": \"naive\", \"split\": 2}", NULL, "an axis that the variant does not have is ignored");
    picks(4096, 4096, 4096, true, "best");
    picks(512, 512, 512, true, "best");
    picks(8192, 50304, 768, true, "best");
    picks(8192, 768, 3072, false, "best");
    picks(1000, 1000, 1000, true, "best");
    picks(13, 127, 257, true, "mma_sync");
    picks(1, 1, 1, false, "mma_sync");
    picks(4097, 257, 127, false, "mma_sync");
    json_decref(hw);
    return done_testing();
}
