/* spak: dispatches to one command a file. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"dsl", cli_dsl, "check, format or convert DSL files"},
    {"trace", cli_trace, "show, verify, lock and collect traces"},
    {"plan", cli_loop, "write the guide of a system"},
    {"gate", cli_loop, "run a guide's invariants and write the ticket"},
    {"tune", cli_loop, "search the tuning space, given a ticket"},
    {"crystallise", cli_loop, "write the next version of a system from what the trace taught"},
    {"run", cli_run, "run a recipe: experiment, figures, tables, values"},
    {"bench", cli_bench, "time an operator beside its peer"},
    {"claims", cli_claims, "give a verdict on every claim"},
    {"weave", cli_weave, "weave chapters and paper with code and values"},
    {"status", cli_status, "what this machine has, which traces there are, what is stale"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

int cli_error(const spak_error *err) {
    fprintf(stderr, "spak: error: %s\n", err->message);
    return CLI_FAILED;
}

int cli_usage(const char *usage) {
    fputs(usage, stderr);
    return CLI_USAGE;
}

static int help(FILE *to) {
    fputs("usage: spak COMMAND [ARGUMENT...]\n\n", to);
    for (int i = 0; i < COMMANDS; i++) fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
    fputs("\n`spak COMMAND --help` tells more of one.\n", to);
    return to == stdout ? CLI_OK : CLI_USAGE;
}

int main(int argc, char **argv) {
    spak_json_init();
    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout);
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "spak: no command '%s'\n\n", argv[1]);
    return help(stderr);
}
