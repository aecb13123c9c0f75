/* spak bench: one operator against its peer, in a table.
 *
 * The peer library picks its kernels when it is loaded and cannot change them afterwards, so each instruction set runs
 * in a child process of its own, whose environment tells the peer to use no better one than we do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "device/device.h"
#include "device/op.h"

static const char usage[] =
    "usage: spak bench matmul [--sizes 512,1024,2048] [--threads 1,2] [--isa avx2,avx512] [--samples N]\n"
    "                         [--config JSON] [--json [--marker]]\n"
    "\n"
    "Times square products of each size against the peer, samples interleaved, caches flushed before each.\n"
    "  --sizes    m = n = k (default 512,1024,2048)\n"
    "  --threads  default 1 and, with two cores or more, 2\n"
    "  --isa      instruction sets, the peer restricted to the same (default: this processor's best)\n"
    "  --samples  pairs of samples a row (default 15)\n"
    "  --config   tuning axes as JSON, e.g. '{\"tile\": \"6x16\", \"kc\": 256}'\n"
    "  --json     one JSON record a row; --marker puts the trace marker in front of it\n";

enum { LIST_MAX = 32 };
enum { NOTHING_MEASURED = 3 }; /* how a child ends whose every row was refused */

typedef struct list {
    long value[LIST_MAX];
    int count;
} list;

typedef struct bench {
    const dev_op *op;
    list sizes, threads;
    dev_isa isa[DEV_ISA_COUNT];
    int isas, samples;
    bool json, marker;
    json_t *config; /* or NULL */
} bench;

static bool parse_numbers(const char *text, list *numbers) {
    numbers->count = 0;
    while (numbers->count < LIST_MAX) {
        char *end;
        long value = strtol(text, &end, 10);
        if (end == text || value < 1 || value > 1 << 20) return false;
        numbers->value[numbers->count++] = value;
        if (!*end) return true;
        if (*end != ',') return false;
        text = end + 1;
    }
    return false;
}

static bool parse_isas(const char *text, bench *b) {
    for (b->isas = 0; b->isas < DEV_ISA_COUNT;) {
        char name[16];
        size_t n = strcspn(text, ",");
        if (n >= sizeof name) return false;
        memcpy(name, text, n);
        name[n] = '\0';
        if (!dev_isa_parse(name, &b->isa[b->isas++])) return false;
        if (!text[n]) return true;
        text += n + 1;
    }
    return false;
}

static bool parse_config(bench *b, const char *text) {
    spak_error err = {0};
    json_decref(b->config); /* the last one counts */
    b->config = NULL;
    bool good = spak_json_parse("--config", text, strlen(text), &b->config, &err) &&
                (json_is_object(b->config) || spak_fail(&err, "--config: expected a JSON object"));
    if (!good) cli_error(&err);
    return good;
}

static bool parse_option(bench *b, const char *name, const char *value) {
    if (!strcmp(name, "--sizes")) return parse_numbers(value, &b->sizes);
    if (!strcmp(name, "--threads")) return parse_numbers(value, &b->threads);
    if (!strcmp(name, "--isa")) return parse_isas(value, b);
    if (!strcmp(name, "--config")) return parse_config(b, value);
    list samples;
    if (strcmp(name, "--samples") != 0 || !parse_numbers(value, &samples) || samples.count != 1) return false;
    b->samples = (int)samples.value[0];
    return true;
}

static bool parse(int argc, char **argv, bench *b) {
    *b = (bench){.sizes = {{512, 1024, 2048}, 3}, .isa = {dev_cpu_isa()}, .isas = 1, .samples = 15};
    b->threads = (list){{1, 2}, dev_cpu_count() > 1 ? 2 : 1};
    if (argc < 2 || !(b->op = dev_op_find(argv[1]))) return false;
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            b->json = true;
        else if (!strcmp(argv[i], "--marker"))
            b->marker = true;
        else if (i + 1 >= argc || !parse_option(b, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

/* --- output --- */

static dev_spread spread_of_json(const json_t *list_of_ms, double scale_over) {
    double values[10000];
    size_t n = json_array_size(list_of_ms);
    for (size_t i = 0; i < n; i++) values[i] = scale_over / json_number_value(json_array_get(list_of_ms, i));
    return n ? dev_spread_of(values, n) : (dev_spread){0};
}

static void print_row(dev_isa isa, long size, long threads, const json_t *result) {
    const char *status = spak_json_str(result, "status", "failed");
    printf("%6ld %7ld  %-8s ", size, threads, dev_isa_name(isa));
    if (strcmp(status, "ok") != 0) {
        printf("%s: %s\n", status, spak_json_str(result, "reason", ""));
        return;
    }
    double gflop_ms = 2e-6 * (double)size * (double)size * (double)size; /* GFLOP/s times milliseconds */
    dev_spread ours = spread_of_json(json_object_get(result, "time_ms"), gflop_ms);
    printf("%8.1f (%.1f-%.1f)", ours.median, ours.q1, ours.q3);
    if (json_is_string(json_object_get(result, "peer"))) {
        printf("  %8.1f %-14s", spak_json_num(result, "peer_gflops", 0), spak_json_str(result, "peer_core", ""));
        printf("  %.3f (%.3f-%.3f)", spak_json_num(result, "ratio", 0), spak_json_num(result, "ratio_q1", 0),
               spak_json_num(result, "ratio_q3", 0));
    } else {
        printf("  no peer on this machine");
    }
    printf("\n");
}

static bool print_record(const bench *b, json_t *problem, json_t *result, spak_error *err) {
    spak_str text = {0};
    json_t *record = json_pack("{s:s,s:s,s:O}", "kind", "measure", "operator", b->op->name, "problem", problem);
    if (!record) return spak_fail_oom(err);
    json_object_update(record, result);
    bool done = spak_json_canonical(record, &text, err) && spak_str_ok(&text, err);
    if (done) printf("%s%s\n", b->marker ? "__SPAK_TRACE__ " : "", spak_str_text(&text));
    spak_str_free(&text);
    json_decref(record);
    return done;
}

/* --- running --- */

static bool bench_row(const bench *b, dev_isa isa, long size, long threads, bool *measured, spak_error *err) {
    json_t *config = b->config ? json_deep_copy(b->config) : json_object();
    json_t *problem = json_pack("{s:I,s:I,s:I,s:I,s:i}", "m", (json_int_t)size, "n", (json_int_t)size, "k",
                                (json_int_t)size, "threads", (json_int_t)threads, "seed", 1);
    json_t *options = json_pack("{s:i}", "samples", b->samples), *result = NULL;
    if (config) json_object_set_new(config, "isa", json_string(dev_isa_name(isa)));
    bool done =
        config && problem && options ? b->op->trial(config, problem, options, &result, err) : spak_fail_oom(err);
    if (done && b->json)
        done = print_record(b, problem, result, err);
    else if (done)
        print_row(isa, size, threads, result);
    if (done && !strcmp(spak_json_str(result, "status", ""), "ok")) *measured = true;
    fflush(stdout);
    json_decref(config);
    json_decref(problem);
    json_decref(options);
    json_decref(result);
    return done;
}

/* Asks the peer for kernels of the same instruction set, unless the environment asks for some already. */
static void restrict_peer(dev_isa isa) {
    if (isa == DEV_ISA_PORTABLE) setenv("OPENBLAS_CORETYPE", "Nehalem", 0);
    if (isa == DEV_ISA_AVX2) setenv("OPENBLAS_CORETYPE", "Haswell", 0);
}

static int bench_isa(const bench *b, dev_isa isa) {
    spak_error err;
    bool measured = false;
    if (isa != dev_cpu_isa() || getenv("SPAK_ISA")) restrict_peer(isa);
    for (int s = 0; s < b->sizes.count; s++)
        for (int t = 0; t < b->threads.count; t++)
            if (!bench_row(b, isa, b->sizes.value[s], b->threads.value[t], &measured, &err)) return cli_error(&err);
    return measured ? CLI_OK : NOTHING_MEASURED;
}

static int in_child(const bench *b, dev_isa isa) {
    if (fflush(stdout) != 0) return CLI_FAILED; /* main reports it */
    pid_t pid = fork();
    if (pid == 0) {
        _exit(cli_finish(bench_isa(b, isa)));
    }
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status)) return WEXITSTATUS(status);
    spak_error err;
    spak_fail(&err, "the measurement with %s ended abnormally (wait status %d)", dev_isa_name(isa), status);
    return cli_error(&err);
}

int cli_bench(int argc, char **argv) {
    bench b;
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return CLI_OK;
    }
    spak_error err = {0};
    if (!parse(argc, argv, &b)) {
        json_decref(b.config);
        return cli_usage(usage);
    }
    if (!dev_isa_check(&err)) {
        json_decref(b.config);
        return cli_error(&err);
    }
    if (!b.json)
        printf("%6s %7s  %-8s %8s %-13s  %8s %-14s  %s\n", "size", "threads", "isa", "GFLOP/s", "(q1-q3)", "peer", "",
               "ratio (q1-q3)");
    int status = CLI_OK;
    bool measured = false;
    for (int i = 0; i < b.isas; i++) {
        int one = in_child(&b, b.isa[i]);
        if (one == CLI_OK) measured = true;
        if (one != CLI_OK && one != NOTHING_MEASURED) status = one;
    }
    if (!measured && status == CLI_OK) {
        spak_fail(&err, "nothing was measured: every row was refused");
        status = cli_error(&err);
    }
    json_decref(b.config);
    return status;
}
