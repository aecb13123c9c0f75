/* Configurations and plans: the manifest's constraints are config.c's, what is picked is allowed, and a problem or an
 * axis that is wrong is refused by name. */
#include "../../tap.h"
#include "device/gpu_datasheet.h"
#include "dsl/dsl.h"
#include "fmha/gpu/invariants.h"
#include "loop/loop_internal.h"
#include "lua/sandbox.h"

static fmha_gpu_machine machine;

static loop_run *run_of(lua_box *box, json_t *hw) {
    static loop_run run;
    run.op = &fmha_gpu_op;
    run.hw = hw;
    run.eval = lua_box_evaluator(box);
    run.system = json_pack("{s:[], s:[]}", "body", "knowledge");
    run.system_path = "test";
    return &run;
}

/* A configuration with all axes, allowed or not. */
static void draw(fmha_gpu_check *check, fmha_gpu_case *c) {
    static const int ms[] = {64, 128, 192, 16}, ns[] = {16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224};
    fmha_gpu_draw_case(check, c);
    fmha_gpu_config *g = &c->config;
    if (fmha_gpu_draw(check, 3)) g->variant = (fmha_gpu_variant)fmha_gpu_draw(check, FMHA_GPU_VARIANTS);
    g->tile_m = ms[fmha_gpu_draw(check, 4)];
    g->tile_n = ns[fmha_gpu_draw(check, 13)];
    g->k_stages = 1 + (int)fmha_gpu_draw(check, 4);
    g->v_stages = 1 + (int)fmha_gpu_draw(check, 4);
    g->q_stages = fmha_gpu_draw(check, 4) ? 1 : 2;
    g->start = 1 + (int)fmha_gpu_draw(check, 2);
    g->maximum = 1 + (int)fmha_gpu_draw(check, 2);
    g->consumers = fmha_gpu_draw(check, 4) ? g->tile_m / 64 : 1 + (int)fmha_gpu_draw(check, 3);
    g->pack = fmha_gpu_draw(check, 4) ? 1 : 1 << fmha_gpu_draw(check, 4);
    g->order = 1 + (int)fmha_gpu_draw(check, 2);
    g->group = 1 << fmha_gpu_draw(check, 4);
    g->slices = fmha_gpu_draw(check, 4) ? 1 : 1 << fmha_gpu_draw(check, 4);
}

static json_t *all_axes(const fmha_gpu_config *c) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:s, s:s}", "variant",
                     fmha_gpu_variant_name(c->variant), "tile_m", c->tile_m, "tile_n", c->tile_n, "q_stages",
                     c->q_stages, "k_stages", c->k_stages, "v_stages", c->v_stages, "consumers", c->consumers, "pack",
                     c->pack, "order", c->order == FMHA_GPU_LONGEST ? "longest" : "plain", "group", c->group, "slices",
                     c->slices, "start", c->start == FMHA_GPU_START_OVERLAPPED ? "overlapped" : "plain", "maximum",
                     c->maximum == FMHA_GPU_KEPT ? "kept" : "followed");
}

/* A problem as a recipe may write it, with what is usual left out. */
static json_t *sparse_problem(const fmha_gpu_problem *p) {
    json_t *json = fmha_gpu_problem_json(p);
    if (p->kv_heads == p->heads) json_object_del(json, "kv_heads");
    if (p->kv_len == p->q_len) json_object_del(json, "kv_len");
    if (p->pass == FMHA_GPU_FORWARD) json_object_del(json, "pass");
    return json;
}

/* "constraint NAME..." of either side. */
static bool same_name(const char *ours, const char *theirs) {
    size_t n = strcspn(ours, ":");
    return strncmp(ours, theirs, n) == 0;
}

static void manifest_and_code_agree(lua_box *box, json_t *hw, uint64_t seed) {
    loop_run *run = run_of(box, hw);
    spak_error err = {0};
    ok(loop_load_block(fmha_gpu_op.manifest, "kernel", "fmha_gpu", &run->manifest, &err), "the manifest: %s",
       err.message);
    fmha_gpu_check check = {.fault = FMHA_GPU_NO_FAULT, .seed = seed};
    int allowed_count = 0, differ = 0, names = 0;
    for (int i = 0; i < 12000 && !differ; i++) {
        fmha_gpu_case c;
        spak_error why = {0};
        draw(&check, &c);
        json_t *config = all_axes(&c.config), *problem = sparse_problem(&c.problem), *reason = NULL;
        bool theirs = false;
        bool ours = fmha_gpu_config_allowed(&c.config, &c.problem, &machine, &why);
        if (!loop_allowed(run, config, problem, &theirs, &reason, &err)) {
            ok(false, "the manifest's constraints: %s", err.message);
            return;
        }
        if (ours != theirs) {
            differ++;
            printf("# %s on %s\n", json_dumps(config, 0), json_dumps(problem, 0));
            printf("# config.c: %s; manifest: %s\n", ours ? "yes" : why.message,
                   theirs ? "yes" : json_string_value(reason));
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

static bool read_problem(const char *text, fmha_gpu_problem *p, spak_error *err) {
    json_t *json = NULL;
    uint64_t seed;
    bool good = spak_json_parse("test", text, strlen(text), &json, err) && fmha_gpu_problem_read(json, p, &seed, err);
    json_decref(json);
    return good;
}

static void refuses(const char *text, const char *want) {
    fmha_gpu_problem p;
    spak_error err = {""};
    bool good = read_problem(text, &p, &err);
    ok(!good && strstr(err.message, want), "%s: %s", text, good ? "read" : err.message);
}

static void reads(const char *text, const char *want, const char *what) {
    fmha_gpu_problem p;
    fmha_gpu_config config;
    spak_error err = {""}, why = {""};
    json_t *asked = NULL;
    bool parsed = read_problem("{\"batch\": 4, \"heads\": 16, \"q_len\": 4096, \"head_dim\": 128}", &p, &err) &&
                  spak_json_parse("test", text, strlen(text), &asked, &err);
    bool good = parsed && fmha_gpu_config_read(asked, &p, &machine, &config, &why);
    ok(parsed && good == !want && (!want || strstr(why.message, want)), "%s: %s", what,
       good     ? "read"
       : parsed ? why.message
                : err.message);
    json_decref(asked);
}

/* What is picked for a problem on this machine, as "variant tile_m x tile_n". */
static void picks(const fmha_gpu_machine *hw, const char *text, const char *want) {
    fmha_gpu_problem p;
    fmha_gpu_config c;
    fmha_gpu_plan plan;
    spak_error why = {""};
    bool good = read_problem(text, &p, &why) && fmha_gpu_config_read(NULL, &p, hw, &c, &why) &&
                fmha_gpu_config_allowed(&c, &p, hw, &why) && fmha_gpu_plan_new(&c, &p, hw, &plan, &why);
    char got[256] = "";
    if (good)
        snprintf(got, sizeof got, "%s %d x %d, %d + %d stages", fmha_gpu_variant_name(c.variant), c.tile_m, c.tile_n,
                 c.k_stages, c.v_stages);
    ok(good && !strcmp(got, want), "%s: %s, expected %s", text, good ? got : why.message, want);
}

#define POINT(b, h, t, d, rest) "{\"batch\": " #b ", \"heads\": " #h ", \"q_len\": " #t ", \"head_dim\": " #d rest "}"

static void lengths_are_drawn(void) {
    fmha_gpu_problem p;
    spak_error err = {""};
    int cu_q[33], cu_k[33], most = 0, empty = 0, least = 0;
    bool good = read_problem(POINT(32, 2, 300, 64, ", \"varlen\": true, \"kv_len\": 500, \"seed\": 3"), &p, &err);
    if (!ok(good, "sequences of their own lengths: %s", err.message)) return;
    fmha_gpu_draw_lengths(&p, 3, cu_q, cu_k);
    for (int b = 0; b < 32; b++) {
        int q = cu_q[b + 1] - cu_q[b], k = cu_k[b + 1] - cu_k[b];
        if (q < 0 || k < 0 || q > 300 || k > 500) least--;
        most += q == 300 && k == 500;
        empty += q == 0 || k == 0;
    }
    ok(least == 0 && most >= 1 && empty > 0, "within 0 and the longest, %d the longest, %d empty", most, empty);
    ok(p.total_q == cu_q[32] && p.total_k == cu_k[32] && p.q_at.row == 128 && p.q_at.head == 64, "totals and strides");
    double flop = fmha_gpu_flop(&p, cu_q, cu_k), want = 0;
    for (int b = 0; b < 32; b++) want += (double)(cu_q[b + 1] - cu_q[b]) * (cu_k[b + 1] - cu_k[b]);
    ok(flop == want * 2 * 4 * 64, "operations: %g", flop);
}

static void operations_are_counted(void) {
    fmha_gpu_problem p;
    spak_error err = {""};
    const struct {
        const char *text;
        double want;
    } cases[] = {
        {POINT(2, 3, 10, 64, ""), 2 * 3 * 100 * 256.0},
        {POINT(2, 3, 10, 64, ", \"causal\": true"), 2 * 3 * 50 * 256.0},
        {POINT(2, 3, 10, 64, ", \"causal\": true, \"pass\": \"backward\""), 2 * 3 * 50 * 256.0 * 2.5},
        {POINT(1, 1, 10, 64, ", \"causal\": true, \"window\": 2"), (1 + 2 + 8 * 3) * 256.0},
        {POINT(1, 1, 2, 64, ", \"kv_len\": 5, \"window\": 1"), (3 + 2) * 256.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = read_problem(cases[i].text, &p, &err);
        ok(good && fmha_gpu_flop(&p, NULL, NULL) == cases[i].want, "%s: %g operations, expected %g", cases[i].text,
           good ? fmha_gpu_flop(&p, NULL, NULL) : 0, cases[i].want);
    }
}

static void wrong_problems_are_refused(void) {
    refuses(POINT(1, 1, 64, 80, ""), "head_dim = 80: supported are 32, 64");
    refuses(POINT(1, 6, 64, 64, ", \"kv_heads\": 4"), "supported are whole groups");
    refuses(POINT(1, 6, 64, 64, ", \"dtype\": \"f32\""), "'f32' is neither bf16 nor f16");
    refuses(POINT(1, 6, 64, 64, ", \"layout\": \"dhtb\""), "'dhtb' is neither bhtd nor bthd");
    refuses(POINT(1, 6, 64, 64, ", \"windows\": 4"), "windows");
    refuses(POINT(65536, 4096, 1024, 64, ""), "supported are up to 2^31 - 1 rows");
    fmha_gpu_problem p;
    spak_error err = {""};
    bool good = read_problem(POINT(1, 6, 64, 64, ""), &p, &err);
    p.k_at.row = 68;
    ok(good && !fmha_gpu_problem_check(&p, &err) && strstr(err.message, "multiples of 8"), "unaligned rows: %s",
       err.message);
    p.k_at.row = 56;
    ok(good && !fmha_gpu_problem_check(&p, &err) && strstr(err.message, "rows of K"), "short rows: %s", err.message);
}

static void hopper_picks(void) {
    picks(&machine, POINT(4, 16, 4096, 128, ", \"causal\": true"), "packed 128 x 128, 3 + 2 stages");
    picks(&machine, POINT(4, 16, 4096, 128, ""), "packed 128 x 128, 3 + 2 stages");
    picks(&machine, POINT(1, 16, 16384, 128, ""), "packed 128 x 128, 3 + 2 stages");
    picks(&machine, POINT(1, 16, 16384, 128, ", \"causal\": true"), "packed 128 x 128, 3 + 2 stages");
    picks(&machine, POINT(32, 16, 512, 128, ", \"causal\": true"), "packed 128 x 128, 3 + 2 stages");
    picks(&machine, POINT(4, 32, 4096, 64, ", \"causal\": true"), "packed 192 x 128, 3 + 2 stages");
    picks(&machine, POINT(4, 32, 4096, 64, ""), "packed 192 x 128, 3 + 2 stages");
    picks(&machine, POINT(4, 32, 4096, 64, ", \"pass\": \"backward\""), "persistent 128 x 128, 2 + 2 stages");
    picks(&machine, POINT(4, 16, 4096, 128, ", \"pass\": \"backward\""), "persistent 64 x 128, 2 + 2 stages");
}

int main(void) {
    spak_error err = {0};
    json_t *hw = NULL;
    lua_box *box = NULL;
    if (!ok(dev_gpu_datasheet("h200", &hw, &err), "the H200's datasheet: %s", err.message)) return done_testing();
    matmul_gpu_machine_of(hw, &machine);
    if (ok(lua_box_new(NULL, &box, &err), "a box")) manifest_and_code_agree(box, hw, 5);
    lua_box_free(box);
    reads("{}", NULL, "no axis");
    reads("{\"tile_q\": 1}", "no axis 'tile_q'", "an axis that is none");
    reads("{\"variant\": \"quick\"}", "'quick' is none of", "a variant that is none");
    reads("{\"tile_m\": 129}", "tile_m", "a tile of 129 rows");
    reads("{\"tile_n\": 208, \"k_stages\": 1, \"v_stages\": 1}", "sums_fit_registers", "too many sums");
    reads("{\"tile_n\": 128, \"v_stages\": 5}", "smem_fits", "too many stages");
    reads("{\"consumers\": 3, \"tile_n\": 128}", "sums_fit_registers", "three warpgroups have fewer registers");
    reads("{\"consumers\": 3}", NULL, "and take narrower tiles");
    reads("{\"maximum\": \"kept\", \"k_stages\": 1}", "kept_keys_stay", "keys that stay while the next ones come");
    reads("{\"k_stages\": 1}", NULL, "and do not where there is one stage");
    reads("{\"variant\": \"ping_pong\", \"consumers\": 1}", "turns_need_two", "one consumer");
    reads("{\"variant\": \"packed\", \"pack\": 2}", "packs_are_whole", "heads that do not share K and V");
    reads("{\"variant\": \"tma\", \"slices\": 2}", NULL, "an axis that the variant does not have is ignored");
    wrong_problems_are_refused();
    lengths_are_drawn();
    operations_are_counted();
    hopper_picks();
    json_decref(hw);
    return done_testing();
}
