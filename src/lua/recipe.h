/* Runs a recipe: a Lua file in experiments/ that returns
 *
 *   { name = "matmul",                          -- the trace is OUT/traces/NAME.jsonl
 *     system = "dsl/matmul_system_v1.dsl",
 *     seed = 1,
 *     data = { "names" },                       -- data sets of data/MANIFEST.dsl that it reads; none unless given
 *     inputs = { "experiments/lib/x.lua" },     -- further files the measurements depend on; the recipe is always one
 *     experiment = function(run) ... end,       -- the steps of the loop; see api_run.c for what `run` offers
 *     report = "experiments/report/matmul.lua" } -- a file that returns function(report): figures, tables, values
 *
 * What is named in `data` and is neither in the mirror nor in data/cache is fetched first, unless SPAK_DATA_OFFLINE=1;
 * where that fails the stand-in of the project is used, if there is one. Standard error says which.
 *
 * An experiment whose operator lacks its machine (`here` in device/op.h: a GPU, say) is not run, which standard error
 * says and which is no error; the report uses archived traces then, and is left out when there are none.
 *
 * The report is a file of its own, and no input: a figure may change without its measurements going stale. */
#ifndef SPAK_LUA_RECIPE_H
#define SPAK_LUA_RECIPE_H

#include <stdbool.h>

#include "base/err.h"

typedef struct lua_recipe_options {
    const char *recipe;  /* path, relative to the project's root, which is the current folder */
    const char *profile; /* "smoke" or "paper": which budget of the system's engineering_loop applies */
    const char *out_dir;
    bool report_only;     /* no experiment: only report on the traces that are there */
    bool experiment_only; /* no report: for a machine without gnuplot, whose trace is archived */
} lua_recipe_options;

/* Runs the experiment (or resumes it, or finds it complete), then the report once for the trace made here and once for
 * each archived trace of that name. Fails when a step fails, or when report_only finds no trace at all. */
bool lua_recipe_run(const lua_recipe_options *options, spak_error *err);

#endif
