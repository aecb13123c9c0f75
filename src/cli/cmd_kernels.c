/* spak kernels: compiles the CUDA kernels that are shipped, ahead, and holds what they need against their budget.
 *
 * A kernel that comes to need more registers or begins to spill is slower on every machine, and no test of its results
 * sees it. So what ptxas says of each is compared with kernels/budget.dsl, which is written by --update and committed.
 * Registers are a matter of the compiler's release: another one than the budget's is told and only checked for spills.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "device/gpu_compile.h"
#include "dsl/dsl.h"

#define DEFAULTS "kernels/defaults.dsl"
#define BUDGET   "kernels/budget.dsl"
#define RECORD   DEV_KERNELS_FOLDER "/budget.jsonl"

static const char usage[] =
    "usage: spak kernels [--update]\n"
    "\n"
    "Compiles every CUDA kernel of kernels/defaults.dsl for each of its targets into build/kernels, with nvcc or, "
    "where\n"
    "that is not, NVRTC. Needs no GPU. Fails when one spills or needs more than kernels/budget.dsl says.\n"
    "  --update   writes kernels/budget.dsl\n"
    "What each needs is also written to build/kernels/budget.jsonl. Without a compiler nothing is checked, which is\n"
    "said and is no failure.\n";

typedef struct run {
    bool update, use_nvcc;
    const char *release;    /* of the compiler */
    json_t *budget;         /* its meaning, or NULL */
    const char *budget_for; /* the release that it was written with */
    spak_str record, text;  /* budget.jsonl, budget.dsl */
    int kernels, compiled, failed;
} run;

static bool load(const char *path, json_t **meaning, spak_error *err) {
    dsl_doc *doc = NULL;
    bool good =
        dsl_parse_file(path, &doc, err) &&
        (dsl_error_count(doc) == 0 || spak_fail(err, "%s has errors: `spak dsl check %s` shows them", path, path)) &&
        dsl_meaning(doc, meaning, err);
    dsl_free(doc);
    return good;
}

/* --- one kernel, one target --- */

/* Finds it or compiles it, the whole file for the sake of one of its entries. */
static bool get(run *r, const dev_variant *variant, const char *target, dev_cubin *cubin, spak_error *err) {
    spak_str text = {0};
    char key[65];
    bool good = dev_variant_key(variant, target, key, &text, err);
    if (good && !dev_cache_find(DEV_KERNELS_FOLDER, key, variant->entry, r->release, cubin)) {
        memcpy(cubin->key, key, sizeof key);
        good = r->use_nvcc ? dev_nvcc_compile(variant, target, cubin, err)
                           : dev_nvrtc_compile(variant, target, spak_str_text(&text), cubin, err);
        good = good && dev_cache_put(DEV_KERNELS_FOLDER, variant, target, r->release, cubin, err);
        r->compiled++;
    }
    spak_str_free(&text);
    return good;
}

static bool over(run *r, const char *where, const char *what, long long is, long long may) {
    if (is <= may) return true;
    r->failed++;
    fprintf(stderr, "spak: error: %s: %lld %s, and the budget is %lld\n", where, is, what, may);
    return false;
}

static void compare(run *r, const char *kernel, const char *entry, const char *target, const dev_resources *is) {
    char name[256], where[512];
    snprintf(name, sizeof name, "%s.%s", entry, target);
    snprintf(where, sizeof where, "%s: %s for %s", kernel, entry, target);
    over(r, where, "bytes of registers spilled", is->spill_store_bytes + (long long)is->spill_load_bytes, 0);
    if (r->update) return;
    const json_t *block = dsl_block(r->budget, "kernel", kernel, 0);
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

/* ptxas' hints that the code is not what was meant ("... wgmma.mma_async instructions are serialized ..."). */
static void tell_hints(const char *kernel, const char *target, const char *log) {
    for (const char *at = log; (at = strstr(at, "Potential Performance Loss")); at++)
        printf("  note: %s for %s: %.*s\n", kernel, target, (int)strcspn(at, "\n"), at);
}

static bool record(run *r, const char *kernel, const char *entry, const char *target, const dev_cubin *cubin,
                   spak_error *err) {
    const dev_resources *is = &cubin->resources;
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:i, s:i, s:i, s:i, s:i}", "kernel", kernel, "entry", entry, "target",
                  target, "key", cubin->key, "compiler", cubin->compiler, "compile_ms", cubin->compile_ms, "registers",
                  is->registers, "spill_store_bytes", is->spill_store_bytes, "spill_load_bytes", is->spill_load_bytes,
                  "stack_bytes", is->stack_bytes, "smem_bytes", is->smem_bytes);
    bool good = spak_json_canonical(line, &r->record, err);
    json_decref(line);
    spak_str_putc(&r->record, '\n');
    spak_str_printf(&r->text, "    budget %s.%s { registers: %d, stack_bytes: %d, smem_bytes: %d }\n", entry, target,
                    is->registers, is->stack_bytes, is->smem_bytes);
    return good;
}

/* --- the list --- */

static const char *text_at(const json_t *list, size_t i) { return dsl_text(json_array_get(list, i), NULL); }

enum { DEFINES_MAX = 64 };

static bool one_target(run *r, const json_t *block, dev_variant *variant, const char *target, spak_error *err) {
    const char *kernel = spak_json_str(block, "name", "");
    const json_t *entries = dsl_value(block, "entries");
    for (size_t i = 0; i < json_array_size(entries); i++) {
        dev_cubin cubin = {0};
        variant->entry = text_at(entries, i);
        if (!variant->entry) return spak_fail(err, "%s: %s: an entry is no name", DEFAULTS, kernel);
        bool good = get(r, variant, target, &cubin, err) && record(r, kernel, variant->entry, target, &cubin, err);
        if (good) {
            if (i == 0) tell_hints(kernel, target, cubin.log);
            compare(r, kernel, variant->entry, target, &cubin.resources);
        }
        dev_cubin_free(&cubin);
        if (!good) return false;
    }
    return true;
}

static bool one_kernel(run *r, const json_t *block, spak_error *err) {
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
    spak_str_printf(&r->text, "\nkernel %s {\n", kernel);
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const char *target = text_at(targets, i);
        if (!target || strncmp(target, "sm_", 3) != 0)
            return spak_fail(err, "%s: kernel '%s': a target is a name as sm_90a", DEFAULTS, kernel);
        if (!one_target(r, block, &variant, target, err)) return false;
    }
    spak_str_puts(&r->text, "}\n");
    r->kernels++;
    return true;
}

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

static bool finish(run *r, spak_error *err) {
    if (!spak_str_ok(&r->record, err) || !spak_str_ok(&r->text, err)) return false;
    if (!spak_write_file(RECORD, r->record.data, r->record.len, err)) return false;
    return !r->update || spak_write_if_changed(BUDGET, r->text.data, r->text.len, err);
}

static bool all_kernels(run *r, const json_t *defaults, spak_error *err) {
    spak_str_printf(
        &r->text,
        "// What each shipped CUDA kernel may take, a thread or a block. `spak kernels --update` writes this "
        "file.\n\nrelease: \"%s\"\n",
        r->release);
    const json_t *block;
    for (size_t i = 0; (block = dsl_block(defaults, "kernel", NULL, i)); i++)
        if (!one_kernel(r, block, err)) return false;
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
    spak_str_free(&r.record);
    spak_str_free(&r.text);
    return good && r.failed == 0 ? CLI_OK : CLI_FAILED;
}
