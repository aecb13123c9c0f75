/* nvcc, the compiler that is a program: compiles shipped defaults ahead. And the words that both compilers have in
 * common, since ptxas speaks in both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/process.h"
#include "device/gpu_compile.h"

/* --- what ptxas says --- */

static size_t find_before(const char *text, const char *word, size_t end) {
    const char *at = strstr(text, word);
    return at && (size_t)(at - text) < end ? (size_t)(at - text) : end;
}

/* The number before each of the words in text[0..end), added up: "16 bytes spill stores" counts 16. */
static int sum_before(const char *text, const char *word, size_t end) {
    int sum = 0;
    for (size_t at = 0; (at += find_before(text + at, word, end - at)) < end; at += strlen(word)) {
        size_t digits = at;
        while (digits > 0 && text[digits - 1] >= '0' && text[digits - 1] <= '9') digits--;
        sum += atoi(text + digits);
    }
    return sum;
}

/* ptxas describes one entry after the other; functions of its own that an entry calls are described with it. */
bool dev_log_resources(const char *log, const dev_variant *variant, dev_cubin *cubin, spak_error *err) {
    static const char entry_words[] = "Compiling entry function '";
    char words[256];
    snprintf(words, sizeof words, "%s%s' for", entry_words, variant->entry);
    const char *from = strstr(log, words);
    if (!from)
        return spak_fail(err, "%s: there is no kernel '%s' in it (declared extern \"C\" __global__)", variant->file,
                         variant->entry);
    from += strlen(entry_words);
    const char *next = strstr(from, entry_words);
    size_t end = next ? (size_t)(next - from) : strlen(from);
    dev_resources *r = &cubin->resources;
    r->registers = sum_before(from, " registers", end);
    r->spill_store_bytes = sum_before(from, " bytes spill stores", end);
    r->spill_load_bytes = sum_before(from, " bytes spill loads", end);
    r->stack_bytes = sum_before(from, " bytes stack frame", end);
    r->smem_bytes = sum_before(from, " bytes smem", end);
    return r->registers > 0 || spak_fail(err, "%s: the compiler does not say how many registers '%s' takes: %.200s",
                                         variant->file, variant->entry, from);
}

bool dev_compile_failed(const dev_variant *variant, const char *target, const char *log, spak_error *err) {
    const char *at = strstr(log, "error");
    while (at && at > log && at[-1] != '\n') at--;
    return spak_fail(err, "%s does not compile for %s:\n%s", variant->file, target, at ? at : log);
}

/* Whole microseconds: jansson's scanner asserts when memory runs out within a number of more than 15 digits. */
double dev_compile_ms(uint64_t start_ns) { return (double)((spak_now_ns() - start_ns) / 1000) / 1000; }

/* --- the program --- */

static struct {
    bool tried;
    char path[512], release[32];
    char codes[1024]; /* "sm_75\nsm_80\n..." */
    spak_error why;
} nvcc;

/* "Cuda compilation tools, release 13.0, V13.0.88" */
static bool ask_release(const char *path) {
    char *const argv[] = {(char *)path, (char *)"--version", NULL};
    spak_str out = {0}, errors = {0};
    bool found = false;
    int status = 1;
    if (spak_spawn(argv, 60, &found, &status, &out, &errors, NULL) && found && status == 0) {
        const char *at = strstr(spak_str_text(&out), "release ");
        int major, minor;
        if (at && sscanf(at, "release %d.%d", &major, &minor) == 2) {
            snprintf(nvcc.release, sizeof nvcc.release, "%d.%d", major, minor);
            snprintf(nvcc.path, sizeof nvcc.path, "%s", path);
        }
    }
    spak_str_free(&out);
    spak_str_free(&errors);
    return *nvcc.release;
}

static void ask_codes(void) {
    char *const argv[] = {nvcc.path, "--list-gpu-code", NULL};
    spak_str out = {0}, errors = {0};
    bool found = false;
    int status = 1;
    if (spak_spawn(argv, 60, &found, &status, &out, &errors, NULL) && found && status == 0)
        snprintf(nvcc.codes, sizeof nvcc.codes, "%s", spak_str_text(&out));
    spak_str_free(&out);
    spak_str_free(&errors);
}

static void find_nvcc(void) {
    const char *own = getenv("SPAK_NVCC"), *const homes[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"),
                                                             "/usr/local/cuda"};
    char path[512];
    if (own && *own) {
        if (strcmp(own, "none") != 0 && ask_release(own)) return;
        spak_fail(&nvcc.why, "there is no nvcc: SPAK_NVCC is '%s'", own);
        return;
    }
    if (ask_release("nvcc")) return;
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        if (homes[i] && snprintf(path, sizeof path, "%s/bin/nvcc", homes[i]) < (int)sizeof path && ask_release(path))
            return;
    spak_fail(&nvcc.why, "there is no nvcc on the PATH, in CUDA_HOME, CUDA_PATH or /usr/local/cuda");
}

const char *dev_nvcc_release(spak_error *err) {
    if (!nvcc.tried) find_nvcc();
    nvcc.tried = true;
    if (*nvcc.release) return nvcc.release;
    if (err) *err = nvcc.why;
    return NULL;
}

/* The list leaves the "a" of sm_90a out. */
bool dev_nvcc_knows(const char *target) {
    char line[32];
    if (!dev_nvcc_release(NULL)) return false;
    if (!*nvcc.codes) ask_codes();
    snprintf(line, sizeof line, "sm_%d\n", atoi(target + strcspn(target, "0123456789")));
    return strstr(nvcc.codes, line) != NULL;
}

/* Runs it; the log is what it printed. */
static bool run(const dev_variant *variant, const char *target, const char *to, spak_str *log, spak_error *err) {
    char arch[64], **argv = spak_calloc(2 * variant->num_defines + 16, sizeof *argv);
    spak_str errors = {0};
    bool found, good;
    int status, n = 0;
    if (!argv) return spak_fail_oom(err);
    snprintf(arch, sizeof arch, "-arch=%s", target);
    const char *const fixed[] = {nvcc.path, "-cubin", arch, "-std=c++17", "-lineinfo",  "-Ikernels",
                                 "-Xptxas", "-v",     "-o", to,           variant->file};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) argv[n++] = (char *)fixed[i];
    for (size_t i = 0; i < variant->num_defines; i++) {
        argv[n++] = (char *)"-D";
        argv[n++] = (char *)variant->defines[i];
    }
    good = spak_spawn(argv, 550, &found, &status, log, &errors, err);
    spak_str_append(log, spak_str_text(&errors), errors.len);
    good = good && (found || spak_fail(err, "%s is gone", nvcc.path)) && spak_str_ok(log, err);
    if (good && status != 0) good = dev_compile_failed(variant, target, spak_str_text(log), err);
    spak_str_free(&errors);
    spak_free(argv);
    return good;
}

bool dev_nvcc_compile(const dev_variant *variant, const char *target, dev_cubin *cubin, spak_error *err) {
    char to[256], compiler[64];
    spak_str log = {0}, data = {0};
    if (!dev_nvcc_release(err)) return false;
    uint64_t start = spak_now_ns();
    snprintf(to, sizeof to, DEV_KERNELS_FOLDER "/%.64s.cubin" SPAK_TEMPORARY "%ld", cubin->key, (long)getpid());
    bool good = spak_make_parent_dirs(to, err) && run(variant, target, to, &log, err) &&
                dev_log_resources(spak_str_text(&log), variant, cubin, err) && spak_read_file(to, &data, err) &&
                spak_str_ok(&data, err);
    unlink(to);
    cubin->compile_ms = dev_compile_ms(start);
    snprintf(compiler, sizeof compiler, "nvcc %s", nvcc.release);
    cubin->data = data.data; /* handed over, also when it is to be freed */
    cubin->bytes = data.len;
    cubin->log = good ? spak_strdup(spak_str_text(&log)) : NULL;
    cubin->compiler = good ? spak_strdup(compiler) : NULL;
    spak_str_free(&log);
    return good && ((cubin->log && cubin->compiler) || spak_fail_oom(err));
}
