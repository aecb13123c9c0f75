/* spak kernels: compiles the CUDA kernels that are shipped, ahead, and holds what they need against their budget.
 *
 * What is shipped: the helpers that kernels/defaults.dsl lists, and what each operator's own plan asks for (dev_op's
 * `shipped`), so that what is compiled ahead is what a trial looks for. The list is walked twice: first what is missing
 * is compiled, each kernel in a process of its own and as many at once as there are processors; then each is found,
 * or compiled where its process failed, which tells why, and judged.
 *
 * A kernel that comes to need more registers or begins to spill is slower on every machine, and no test of its results
 * sees it. So what ptxas says of each is compared with kernels/budget.dsl, which is written by --update and committed.
 * Registers are a matter of the compiler's release: another one than the budget's is told and only checked for spills
 * and for wgmma that ptxas serialises.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "device/gpu_compile.h"
#include "device/op.h"
#include "dsl/dsl.h"

#define DEFAULTS "kernels/defaults.dsl"
#define BUDGET   "kernels/budget.dsl"
#define RECORD   DEV_KERNELS_FOLDER "/budget.jsonl"

static const char usage[] =
    "usage: spak kernels [--update]\n"
    "\n"
    "Compiles the CUDA kernels of kernels/defaults.dsl, and those that the operators pick where nobody says more, for\n"
    "each target into build/kernels, with nvcc or, where that is not, NVRTC. Needs no GPU. Fails when one spills, has\n"
    "its wgmma serialised, or needs more than kernels/budget.dsl says.\n"
    "  --update   writes kernels/budget.dsl\n"
    "What each needs is also written to build/kernels/budget.jsonl. Without a compiler nothing is checked, which is\n"
    "said and is no failure.\n";

typedef struct run {
    bool update, use_nvcc;
    const char *release;    /* of the compiler */
    json_t *budget;         /* its meaning, or NULL */
    const char *budget_for; /* the release that it was written with */
    json_t *met;            /* "KEY ENTRY" of what the walk has met */
    json_t *unknown;        /* targets that the compiler does not know */
    const char *group;      /* of the kernel before */
    spak_str record, text;  /* budget.jsonl, budget.dsl */
    int working, workers;   /* processes */
    int kernels, compiled, failed;
} run;

/* One kernel for one target, as the walk comes by. The group and the name are what the budget calls it. */
typedef struct shipped {
    const char *group, *name, *target;
    const dev_variant *variant;
    char key[65];
    spak_str text; /* its file */
} shipped;

typedef bool visit(run *r, shipped *k, spak_error *err);

static bool load(const char *path, json_t **meaning, spak_error *err) {
    dsl_doc *doc = NULL;
    bool good =
        dsl_parse_file(path, &doc, err) &&
        (dsl_error_count(doc) == 0 || spak_fail(err, "%s has errors: `spak dsl check %s` shows them", path, path)) &&
        dsl_meaning(doc, meaning, err);
    dsl_free(doc);
    return good;
}

/* --- compiling --- */

static bool find(const run *r, const shipped *k, dev_cubin *cubin) {
    return dev_cache_find(DEV_KERNELS_FOLDER, k->key, k->variant->entry, r->release, cubin);
}

static bool compile(const run *r, const shipped *k, dev_cubin *cubin, spak_error *err) {
    memcpy(cubin->key, k->key, sizeof k->key);
    return (r->use_nvcc ? dev_nvcc_compile(k->variant, k->target, cubin, err)
                        : dev_nvrtc_compile(k->variant, k->target, spak_str_text(&k->text), cubin, err)) &&
           dev_cache_put(DEV_KERNELS_FOLDER, k->variant, k->target, r->release, cubin, err);
}

static void wait_for_one(run *r) {
    int status;
    if (waitpid(-1, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) r->compiled++;
    r->working--;
}

/* In a process of its own. Where that fails, judge() compiles it again and says why. */
static bool compile_aside(run *r, shipped *k, spak_error *err) {
    dev_cubin cubin;
    if (json_object_get(r->met, k->key)) return true; /* for another entry of the file */
    bool there = find(r, k, &cubin);
    dev_cubin_free(&cubin);
    if (!spak_json_set(r->met, k->key, json_true(), err)) return false;
    if (there) return true;
    if (r->working == r->workers) wait_for_one(r);
    pid_t child = fork();
    if (child == 0) _exit(compile(r, k, &cubin, NULL) ? 0 : 1);
    if (child > 0) r->working++;
    return true;
}

/* --- judging --- */

static bool over(run *r, const char *where, const char *what, long long is, long long may) {
    if (is <= may) return true;
    r->failed++;
    fprintf(stderr, "spak: error: %s: %lld %s, and the budget is %lld\n", where, is, what, may);
    return false;
}

static void compare(run *r, const shipped *k, const dev_resources *is) {
    char name[256], where[512];
    snprintf(name, sizeof name, "%s.%s", k->name, k->target);
    snprintf(where, sizeof where, "%s: %s for %s", k->group, k->name, k->target);
    over(r, where, "bytes of registers spilled", is->spill_store_bytes + (long long)is->spill_load_bytes, 0);
    if (r->update) return;
    const json_t *block = dsl_block(r->budget, "kernel", k->group, 0);
    const json_t *may = block ? dsl_block(block, "budget", name, 0) : NULL;
    if (!may) {
        r->failed++;
        fprintf(stderr, "spak: error: %s: %s has no budget for it: `spak kernels --update` writes one\n", where,
                BUDGET);
        return;
    }
    if (strcmp(r->budget_for, r->release) != 0) return;
    over(r, where, "registers", is->registers, json_integer_value(dsl_value(may, "registers")));
    over(r, where, "bytes of shared memory", is->smem_bytes, json_integer_value(dsl_value(may, "smem_bytes")));
    over(r, where, "bytes of stack", is->stack_bytes, json_integer_value(dsl_value(may, "stack_bytes")));
}

/* ptxas' words for code that is not what was meant ("... wgmma.mma_async instructions are serialized due to ..."): the
 * matrix units then wait for each product. */
static void look_for_losses(run *r, const shipped *k, const char *log) {
    const char *at = strstr(log, "Potential Performance Loss");
    if (!at) return;
    r->failed++;
    fprintf(stderr, "spak: error: %s: %s for %s: %.*s\n", k->group, k->name, k->target, (int)strcspn(at, "\n"), at);
}

static bool record(run *r, const shipped *k, const dev_cubin *cubin, spak_error *err) {
    const dev_resources *is = &cubin->resources;
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:i, s:i, s:i, s:i, s:i}", "kernel", k->group, "entry", k->name,
                  "target", k->target, "key", cubin->key, "compiler", cubin->compiler, "compile_ms", cubin->compile_ms,
                  "registers", is->registers, "spill_store_bytes", is->spill_store_bytes, "spill_load_bytes",
                  is->spill_load_bytes, "stack_bytes", is->stack_bytes, "smem_bytes", is->smem_bytes);
    bool good = spak_json_canonical(line, &r->record, err);
    json_decref(line);
    spak_str_putc(&r->record, '\n');
    if (!r->group || strcmp(r->group, k->group) != 0)
        spak_str_printf(&r->text, "%s\nkernel %s {\n", r->group ? "}\n" : "", k->group);
    r->group = k->group;
    spak_str_printf(&r->text, "    budget %s.%s { registers: %d, stack_bytes: %d, smem_bytes: %d }\n", k->name,
                    k->target, is->registers, is->stack_bytes, is->smem_bytes);
    return good;
}

static bool judge(run *r, shipped *k, spak_error *err) {
    dev_cubin cubin;
    bool good = find(r, k, &cubin);
    if (!good) {
        good = compile(r, k, &cubin, err);
        r->compiled++;
    }
    good = good && record(r, k, &cubin, err);
    if (good) {
        look_for_losses(r, k, cubin.log);
        compare(r, k, &cubin.resources);
        r->kernels++;
    }
    dev_cubin_free(&cubin);
    return good;
}

/* --- the list --- */

/* Whether the compiler has this target; says so once when not. */
static bool compiler_knows(run *r, const char *target, spak_error *err) {
    if (r->use_nvcc ? dev_nvcc_knows(target) : dev_nvrtc_knows(target)) return true;
    if (!json_object_get(r->unknown, target))
        printf("kernels: not checked: %s, which %s %s does not know\n", target, r->use_nvcc ? "nvcc" : "NVRTC",
               r->release);
    spak_json_set(r->unknown, target, json_true(), err);
    return false;
}

/* Passes on what was not met before. */
static bool meet(run *r, visit *each, shipped *k, spak_error *err) {
    char name[256];
    if (!compiler_knows(r, k->target, err)) return true;
    bool good = dev_variant_key(k->variant, k->target, k->key, &k->text, err);
    snprintf(name, sizeof name, "%s %s", k->key, k->variant->entry);
    if (good && !json_object_get(r->met, name)) good = spak_json_set(r->met, name, json_true(), err) && each(r, k, err);
    spak_str_free(&k->text);
    return good;
}

static const char *text_at(const json_t *list, size_t i) { return dsl_text(json_array_get(list, i), NULL); }

enum { DEFINES_MAX = 64 };

static bool listed_for(run *r, visit *each, const json_t *block, const char *target, dev_variant *variant,
                       spak_error *err) {
    const json_t *entries = dsl_value(block, "entries");
    shipped k = {.group = spak_json_str(block, "name", ""), .target = target, .variant = variant};
    for (size_t i = 0; i < json_array_size(entries); i++) {
        k.name = variant->entry = text_at(entries, i);
        if (!k.name) return spak_fail(err, "%s: %s: an entry is no name", DEFAULTS, k.group);
        if (!meet(r, each, &k, err)) return false;
    }
    return true;
}

static bool listed(run *r, visit *each, const json_t *block, spak_error *err) {
    const char *kernel = spak_json_str(block, "name", "");
    const char *defines[DEFINES_MAX];
    const json_t *list = dsl_value(block, "defines"), *targets = dsl_value(block, "targets");
    dev_variant variant = {.file = dsl_text(dsl_value(block, "file"), NULL), .defines = defines};
    if (!*kernel || !variant.file || json_array_size(targets) == 0 || json_array_size(dsl_value(block, "entries")) == 0)
        return spak_fail(err, "%s: kernel '%s': expected a name, file, entries and targets", DEFAULTS, kernel);
    if (json_array_size(list) > DEFINES_MAX)
        return spak_fail(err, "%s: kernel '%s': more than %d defines", DEFAULTS, kernel, DEFINES_MAX);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!(defines[variant.num_defines++] = text_at(list, i)))
            return spak_fail(err, "%s: kernel '%s': a define is text: \"TILE_M=128\"", DEFAULTS, kernel);
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const char *target = text_at(targets, i);
        if (!target || strncmp(target, "sm_", 3) != 0)
            return spak_fail(err, "%s: kernel '%s': a target is a name as sm_90a", DEFAULTS, kernel);
        if (!listed_for(r, each, block, target, &variant, err)) return false;
    }
    return true;
}

typedef struct asking {
    run *r;
    visit *each;
    const dev_op *op;
    const char *target;
} asking;

static bool take(void *context, const char *name, const dev_variant *variant, spak_error *err) {
    asking *a = context;
    shipped k = {.group = a->op->name, .name = name, .target = a->target, .variant = variant};
    return meet(a->r, a->each, &k, err);
}

/* What the operators of this project ship. */
static bool asked(run *r, visit *each, spak_error *err) {
    for (const dev_op *const *op = dev_ops; *op; op++)
        for (int i = 0; i < DEV_TARGETS && (*op)->shipped && spak_exists((*op)->manifest); i++) {
            asking a = {r, each, *op, dev_targets[i]};
            if (!(*op)->shipped(a.target, take, &a, err)) return false;
        }
    return true;
}

static bool walk(run *r, visit *each, const json_t *defaults, spak_error *err) {
    const json_t *block;
    json_object_clear(r->met);
    for (size_t i = 0; (block = dsl_block(defaults, "kernel", NULL, i)); i++)
        if (!listed(r, each, block, err)) return false;
    return asked(r, each, err);
}

/* --- the command --- */

/* nvcc, since its host compiler sees what NVRTC does not; else NVRTC. False without either. */
static bool pick_compiler(run *r) {
    spak_error no_nvcc = {""}, no_nvrtc = {""};
    r->release = dev_nvcc_release(&no_nvcc);
    r->use_nvcc = r->release != NULL;
    if (!r->release) r->release = dev_nvrtc_version(&no_nvrtc);
    if (r->release) return true;
    printf("kernels: not checked: neither nvcc nor NVRTC is here (%s; %s)\n", no_nvcc.message, no_nvrtc.message);
    return false;
}

static bool load_budget(run *r, spak_error *err) {
    r->budget_for = "";
    if (r->update || !spak_exists(BUDGET)) return true;
    if (!load(BUDGET, &r->budget, err)) return false;
    r->budget_for = dsl_text(dsl_value(r->budget, "release"), "");
    if (strcmp(r->budget_for, r->release) != 0)
        printf("kernels: not checked: registers and shared memory (%s is for CUDA %s, this is %s)\n", BUDGET,
               r->budget_for, r->release);
    return true;
}

/* A budget that no kernel has belongs to a name that went. */
static void count_budgets(run *r) {
    const json_t *kernel;
    int budgets = 0;
    for (size_t i = 0; r->budget && (kernel = dsl_block(r->budget, "kernel", NULL, i)); i++)
        for (size_t k = 0; dsl_block(kernel, "budget", NULL, k); k++) budgets++;
    if (!r->budget || budgets == r->kernels || json_object_size(r->unknown) > 0) return;
    r->failed++;
    fprintf(stderr, "spak: error: %s has %d budgets for %d kernels: `spak kernels --update` writes it\n", BUDGET,
            budgets, r->kernels);
}

static bool finish(run *r, spak_error *err) {
    count_budgets(r);
    if (!spak_str_ok(&r->record, err) || !spak_str_ok(&r->text, err)) return false;
    if (!spak_write_file(RECORD, r->record.data, r->record.len, err)) return false;
    if (!r->update) return true;
    if (json_object_size(r->unknown) > 0)
        return spak_fail(err, "%s is not written: it would lack the targets that this compiler does not know", BUDGET);
    return spak_write_if_changed(BUDGET, r->text.data, r->text.len, err);
}

static bool all_kernels(run *r, const json_t *defaults, spak_error *err) {
    spak_str_printf(
        &r->text,
        "// What each shipped CUDA kernel may take, a thread or a block. `spak kernels --update` writes this "
        "file.\n\nrelease: \"%s\"\n",
        r->release);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    r->workers = processors > 1 ? (int)processors : 1;
    r->met = json_object();
    r->unknown = json_object();
    if (!r->met || !r->unknown) return spak_fail_oom(err);
    bool good = walk(r, compile_aside, defaults, err);
    while (r->working > 0) wait_for_one(r);
    if (!good || !walk(r, judge, defaults, err)) return false;
    spak_str_puts(&r->text, "}\n");
    return r->kernels > 0 || spak_fail(err, "%s names no kernel", DEFAULTS);
}

int cli_kernels(int argc, char **argv) {
    run r = {0};
    json_t *defaults = NULL;
    spak_error err = {""};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            fputs(usage, stdout);
            return CLI_OK;
        }
        r.update = r.update || !strcmp(argv[i], "--update");
        if (strcmp(argv[i], "--update") != 0) {
            cli_stray(argv[i], "kernels takes no names");
            return cli_usage(usage);
        }
    }
    if (!pick_compiler(&r)) return CLI_OK;
    bool good =
        load(DEFAULTS, &defaults, &err) && load_budget(&r, &err) && all_kernels(&r, defaults, &err) && finish(&r, &err);
    if (good)
        printf("kernels: %d shipped, %d files of machine code compiled with %s %s, %d over budget\n", r.kernels,
               r.compiled, r.use_nvcc ? "nvcc" : "NVRTC", r.release, r.failed);
    else
        cli_error(&err);
    json_decref(defaults);
    json_decref(r.budget);
    json_decref(r.met);
    json_decref(r.unknown);
    spak_str_free(&r.record);
    spak_str_free(&r.text);
    return good && r.failed == 0 ? CLI_OK : CLI_FAILED;
}
