/* spak status: what there is, and what is stale. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "report/report.h"

static const char usage[] =
    "usage: spak status [--out DIR]\n\n"
    "Prints the machine, the tools that were found, and each trace (made here, in DIR, or archived) with whether it "
    "is\n"
    "still good evidence.\n";

int cli_status(int argc, char **argv) {
    rep_place place = {.root = ".", .out = "out"};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (cli_value(argc, argv, &i, "--out", &place.out))
            continue;
        else
            return cli_usage(usage);
    }
    spak_error err = {0};
    spak_str text = {0};
    bool ok = rep_status(&place, &text, &err);
    if (ok) fputs(spak_str_text(&text), stdout);
    spak_str_free(&text);
    return ok ? CLI_OK : cli_error(&err);
}
