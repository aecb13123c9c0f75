/* spak trial: one configuration of an operator on one problem, outside of any trace: for a look at a kernel that is
 * being written. What a paper quotes comes from recipes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "device/op.h"

static const char usage[] =
    "usage: spak trial OPERATOR --problem PAIRS [--config PAIRS] [--options PAIRS] [--brief]\n\n"
    "Runs one trial and prints its record as JSON. PAIRS is a JSON object or name=value,name=value,...: a value is a\n"
    "number, true, false, a list of texts (bias+gelu, or +bias for one) or else a text.\n"
    "  spak trial matmul_gpu --problem m=4096,n=4096,k=4096,trans_b=true --config variant=best,tile_n=256\n"
    "  --options  samples=50,min_sample_ms=2,peer=true,check=true,flush=true\n"
    "  --brief    leaves out the samples\n";

static json_t *list_of(const char *text) {
    json_t *list = json_array();
    while (list && *text) {
        size_t n = strcspn(text, "+");
        if (n) json_array_append_new(list, json_stringn(text, n));
        text += n + (text[n] == '+');
    }
    return list;
}

/* What is no finite number is a word, which no member takes for one. */
static json_t *value_of(const char *text) {
    char *end;
    double number = strtod(text, &end);
    if (!strcmp(text, "true") || !strcmp(text, "false")) return json_boolean(*text == 't');
    if (*text && !*end && isfinite(number)) {
        const bool whole = fabs(number) < 9e18 && number == (double)(long long)number;
        return whole ? json_integer((json_int_t)number) : json_real(number);
    }
    return strchr(text, '+') ? list_of(text) : json_string(text);
}

static bool read_pairs(const char *option, const char *text, json_t **object, spak_error *err) {
    char pair[256];
    json_decref(*object); /* the last one counts */
    *object = NULL;
    if (*text == '{')
        return spak_json_parse(option, text, strlen(text), object, err) &&
               (json_is_object(*object) || spak_fail(err, "%s: expected an object", option));
    *object = json_object();
    while (*object && *text) {
        size_t n = strcspn(text, ",");
        snprintf(pair, sizeof pair, "%.*s", (int)n, text);
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair || n >= sizeof pair)
            return spak_fail(err, "%s: expected name=value, found '%s'", option, pair);
        *equals = '\0';
        if (!spak_json_set(*object, pair, value_of(equals + 1), err)) return false;
        text += n + (text[n] == ',');
    }
    return *object || spak_fail_oom(err);
}

static bool print(const json_t *result, bool brief, spak_error *err) {
    static const char *const lists[] = {"time_ms", "peer_time_ms"};
    json_t *shown = json_copy((json_t *)result);
    for (size_t i = 0; brief && i < sizeof lists / sizeof *lists; i++) json_object_del(shown, lists[i]);
    char *text = shown ? json_dumps(shown, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(shown);
    if (!text) return spak_fail_oom(err);
    puts(text);
    spak_free(text);
    return true;
}

int cli_trial(int argc, char **argv) {
    const dev_op *op = NULL;
    json_t *config = NULL, *problem = NULL, *options = NULL, *result = NULL;
    bool brief = false, ok = true;
    const char *stray = NULL;
    spak_error err = {0};
    for (int i = 1; ok && i < argc; i++) {
        const char *text;
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (!strcmp(argv[i], "--brief"))
            brief = true;
        else if (cli_value(argc, argv, &i, "--config", &text))
            ok = read_pairs("--config", text, &config, &err);
        else if (cli_value(argc, argv, &i, "--problem", &text))
            ok = read_pairs("--problem", text, &problem, &err);
        else if (cli_value(argc, argv, &i, "--options", &text))
            ok = read_pairs("--options", text, &options, &err);
        else if (op || argv[i][0] == '-' || !(op = dev_op_find(argv[i])))
            stray = argv[i];
        if (stray) break;
    }
    if (stray) cli_stray(stray, op ? "one operator is enough" : "no such operator");
    if (ok && (stray || !op || !problem)) {
        json_decref(config);
        json_decref(problem);
        json_decref(options);
        return cli_usage(usage);
    }
    ok = ok && op->trial(config, problem, options, &result, &err) && print(result, brief, &err);
    bool good = ok && !strcmp(spak_json_str(result, "status", ""), "ok");
    json_decref(config);
    json_decref(problem);
    json_decref(options);
    json_decref(result);
    if (!ok) return cli_error(&err);
    return good ? CLI_OK : CLI_FAILED;
}
