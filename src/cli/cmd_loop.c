/* spak plan, gate, tune and crystallise: the steps of the loop one at a time, on one system. They share a trace,
 * OUT/traces/NAME.jsonl, which is how each knows what the ones before it did. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "loop/loop.h"
#include "lua/sandbox.h"

static const char usage[] =
    "usage: spak plan|gate|tune|crystallise SYSTEM.dsl [--name NAME] [--profile smoke|paper] [--out DIR] [--to "
    "FILE]\n\n"
    "  plan         writes the guide OUT/NAME/guide.dsl\n"
    "  gate         runs the guide's invariants on the CPU and writes the ticket OUT/NAME/ticket.dsl\n"
    "  tune         needs a valid ticket; searches the tuning space for each problem of the system\n"
    "  crystallise  writes the next version of the system to FILE (default OUT/NAME/next.dsl); with --trace from a\n"
    "               finished trace, made here or on another machine\n\n"
    "NAME is `manual` and OUT is `out/manual` unless they are given.\n";

typedef struct arguments {
    loop_spec spec;
    const char *to, *trace;
    bool help;
} arguments;

static bool parse(int argc, char **argv, arguments *args) {
    *args = (arguments){.spec = {.profile = "smoke", .out_dir = "out/manual", .name = "manual", .seed = 1}};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help"))
            args->help = true;
        else if (cli_value(argc, argv, &i, "--name", &args->spec.name))
            continue;
        else if (cli_value(argc, argv, &i, "--profile", &args->spec.profile))
            continue;
        else if (cli_value(argc, argv, &i, "--out", &args->spec.out_dir))
            continue;
        else if (cli_value(argc, argv, &i, "--to", &args->to))
            continue;
        else if (!strcmp(argv[0], "crystallise") && cli_value(argc, argv, &i, "--trace", &args->trace))
            continue;
        else if (argv[i][0] == '-' || args->spec.system_path)
            return false;
        else
            args->spec.system_path = argv[i];
    }
    return args->help || (args->spec.system_path && (!args->trace || args->to));
}

/* The next version may take the place of one written so before, but not of the one that it comes from. */
static bool may_write(const char *path, const char *system_path, spak_error *err) {
    spak_str old = {0};
    struct stat there, system;
    if (!spak_exists(path)) return true;
    if (!stat(path, &there) && !stat(system_path, &system) && there.st_dev == system.st_dev &&
        there.st_ino == system.st_ino)
        return spak_fail(err, "%s is the system itself: name another file with --to", path);
    bool ok = spak_read_file(path, &old, err);
    if (ok && !strstr(spak_str_text(&old), "// Written by `spak crystallise`"))
        ok = spak_fail(
            err, "%s is there already and was not written by `spak crystallise`: name another file with --to", path);
    spak_str_free(&old);
    return ok;
}

static bool crystallise(loop_run *run, const char *to, spak_error *err) {
    spak_str path = {0};
    if (to)
        spak_str_puts(&path, to);
    else
        spak_str_printf(&path, "%s/%s/next.dsl", run->out_dir, run->name);
    bool ok = spak_str_ok(&path, err) && may_write(path.data, run->system_path, err) &&
              (run->complete || loop_settle(run, err)) && loop_crystallise(run, path.data, err);
    if (ok) printf("wrote %s\n", path.data);
    spak_str_free(&path);
    return ok;
}

static bool step(loop_run *run, const char *name, const char *to, spak_error *err) {
    if (!strcmp(name, "crystallise")) return crystallise(run, to, err);
    if (!strcmp(name, "plan")) {
        if (!loop_plan(run, err)) return false;
        printf("wrote %s\n", run->guide_path);
    } else if (!strcmp(name, "gate")) {
        if (!loop_gate(run, err)) return false;
        printf("the gate is open: wrote %s\n", run->ticket_path);
    } else {
        if (!loop_ticket_check(run, err) || !loop_hypothesise(run, err) || !loop_tune_system(run, err)) return false;
        printf("trials are in %s\n", trace_path(run->trace));
    }
    return true;
}

int cli_loop(int argc, char **argv) {
    arguments args;
    if (!parse(argc, argv, &args)) return cli_usage(usage);
    if (args.help) return fputs(usage, stdout), CLI_OK;
    spak_error err = {0};
    lua_box *box = NULL;
    loop_run *run = NULL;
    bool ok = lua_box_new(NULL, &box, &err);
    if (ok) args.spec.eval = lua_box_evaluator(box);
    ok = ok && (args.trace ? loop_open_trace(args.spec.system_path, args.trace, args.spec.eval, &run, &err)
                           : loop_open(&args.spec, &run, &err));
    if (ok && run->note) fprintf(stderr, "%s\n", run->note);
    ok = ok && step(run, argv[0], args.to, &err);
    loop_close(run);
    lua_box_free(box);
    return ok ? CLI_OK : cli_error(&err);
}
