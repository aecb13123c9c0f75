/* spak run RECIPE: the experiment (resumed where it was), then its figures, tables and values. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lua/recipe.h"

static const char usage[] =
    "usage: spak run RECIPE [--profile smoke|paper] [--out DIR] [--report-only|--experiment-only]\n\n"
    "Runs a recipe of experiments/: plan, gate, trials, trace; then figures, tables and values from the trace made "
    "here\n"
    "and from archived ones. A run that was interrupted goes on where it was; one that is complete is not run again.\n"
    "--report-only runs no experiment; --experiment-only draws nothing, for a machine without gnuplot.\n";

int cli_run(int argc, char **argv) {
    lua_recipe_options options = {.profile = "smoke", .out_dir = "out"};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (!strcmp(argv[i], "--report-only"))
            options.report_only = true;
        else if (!strcmp(argv[i], "--experiment-only"))
            options.experiment_only = true;
        else if (cli_value(argc, argv, &i, "--profile", &options.profile))
            continue;
        else if (cli_value(argc, argv, &i, "--out", &options.out_dir))
            continue;
        else if (argv[i][0] == '-' || options.recipe)
            return cli_usage(usage);
        else
            options.recipe = argv[i];
    }
    if (!options.recipe || (options.report_only && options.experiment_only)) return cli_usage(usage);
    spak_error err = {0};
    return lua_recipe_run(&options, &err) ? CLI_OK : cli_error(&err);
}
