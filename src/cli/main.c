/* spak: dispatches to one command a file. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
    {"data", cli_data, "where the data sets are; fetch them"},
    {"run", cli_run, "run a recipe: experiment, figures, tables, values"},
    {"train", cli_train, "train a model from a configuration; stop and go on"},
    {"sample", cli_sample, "text from a trained model, or the sum that it finds"},
    {"eval", cli_eval, "the loss or the exact match of a trained model"},
    {"export", cli_export, "a trained model for transformers"},
    {"kernels", cli_kernels, "compile the CUDA kernels that are shipped, ahead; what each takes"},
    {"bench", cli_bench, "time an operator beside its peer"},
    {"trial", cli_trial, "one trial of one configuration, as JSON"},
    {"claims", cli_claims, "give a verdict on every claim"},
    {"weave", cli_weave, "weave chapters and paper with code and values"},
    {"device", cli_device, "what processor and GPU this machine has"},
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

bool cli_wrong(const char *argument, const char *why) {
    fprintf(stderr, "spak: %s: %s\n", argument, why);
    return false;
}

bool cli_stray(const char *argument, const char *first) {
    return cli_wrong(argument, *argument == '-' ? "no such option, or no value follows it" : first);
}

bool cli_value(int argc, char **argv, int *i, const char *option, const char **value) {
    if (strcmp(argv[*i], option) != 0 || *i + 1 >= argc || !*argv[*i + 1]) return false;
    *value = argv[++*i];
    return true;
}

int cli_finish(int status) {
    bool lost = ferror(stdout);
    errno = 0;
    if (fclose(stdout) == 0 && !lost) return status;
    fprintf(stderr, "spak: error: cannot write to standard output: %s\n", errno ? strerror(errno) : "output was lost");
    return status ? status : CLI_FAILED;
}

/* A descriptor of the three that was closed would go to the next file that is opened, and messages would land in that
 * file. It is filled, in the mode that makes its use fail, so that lost output is still noticed. */
static void fill_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

static int help(FILE *to) {
    fputs("usage: spak COMMAND [ARGUMENT...]\n\n", to);
    for (int i = 0; i < COMMANDS; i++) fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
    fputs("\n`spak COMMAND --help` tells more of one.\n", to);
    return to == stdout ? CLI_OK : CLI_USAGE;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout);
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "spak: no command '%s'\n\n", argv[1]);
    return help(stderr);
}

int main(int argc, char **argv) {
    fill_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* past the limit on a file's size, write fails and the error names the file */
    spak_json_init();
    return cli_finish(dispatch(argc, argv));
}
