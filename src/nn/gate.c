#include "nn/gate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "device/trial.h"

static bool read_options(const dev_op *op, const json_t *options, size_t default_cases, nn_check *check,
                         spak_error *err) {
    static const dev_member members[] = {
        {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
        {"cases", JSON_INTEGER, 1, 100000, false},
        {"fault", JSON_STRING, 0, 0, false},
    };
    if (!dev_members_check(op->name, "options", options, members, 3, err)) return false;
    check->seed = (uint64_t)spak_json_int(options, "seed", 1);
    check->cases = (size_t)spak_json_int(options, "cases", (long long)default_cases);
    const char *name = spak_json_str(options, "fault", NULL);
    for (size_t i = 0; name && i < op->num_faults; i++)
        if (!strcmp(name, op->faults[i].name)) check->fault = (int)i + 1;
    return !name || check->fault || spak_fail(err, "%s: options.fault: unknown fault '%s'", op->name, name);
}

bool nn_check_run(const dev_op *op, const json_t *options, size_t default_cases, bool (*body)(nn_check *check),
                  json_t **evidence, spak_error *err) {
    spak_error inner = {""};
    nn_check check = {.err = &inner};
    *evidence = NULL;
    if (!read_options(op, options, default_cases, &check, err)) return false;
    const bool holds = body(&check);
    if (!holds && !check.counterexample) return spak_fail(err, "%s", inner.message);
    *evidence = json_pack("{s:b,s:I,s:I,s:o*}", "holds", holds, "cases", (json_int_t)check.tried, "seed",
                          (json_int_t)check.seed, "counterexample", check.counterexample);
    return *evidence || spak_fail_oom(err);
}

bool nn_refute(nn_check *check, const char *subject, const char *fmt, ...) {
    char what[512];
    if (check->counterexample) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    check->counterexample = json_pack("{s:s,s:s}", "subject", subject, "what", what);
    if (!check->counterexample) spak_fail_oom(check->err);
    return false;
}
