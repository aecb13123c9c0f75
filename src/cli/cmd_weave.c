/* spak weave FILE...: chapters and paper with code, values, figures and verdicts pulled in; or --check-numbers alone.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "report/report.h"

static const char usage[] =
    "usage: spak weave [--out DIR] [--partial] FILE.md...\n"
    "       spak weave --check-numbers FILE.md...\n\n"
    "Weaves chapters to DIR/book/*.html (and what lies in a folder `paper` to DIR/paper/*.tex as well), with the "
    "regions\n"
    "of the real sources, the values, figures and tables that reports left in DIR, and the verdicts of `spak claims`.\n"
    "Nothing is written when a region, value, figure, table or claim is unknown, a region is used by no chapter or "
    "does\n"
    "not fit, or a number was typed by hand; each such place is listed.\n"
    "--partial        these are not all chapters: do not look for regions that none uses\n"
    "--check-numbers  only look for numbers typed by hand, also in README.md\n";

static int check_numbers(char *const files[], size_t count, rep_problems *problems, size_t *escapes, spak_error *err) {
    for (size_t i = 0; i < count; i++) {
        spak_str text = {0};
        bool good = spak_read_file(files[i], &text, err) &&
                    rep_check_numbers(files[i], spak_str_text(&text), text.len, problems, escapes, err);
        spak_str_free(&text);
        if (!good) return cli_error(err);
    }
    return problems->count ? CLI_FAILED : CLI_OK;
}

/* A file that cannot be read is left to the weaver, which says so. */
static bool check_texts(char *const files[], size_t count, spak_error *err) {
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        spak_str text = {0};
        if (spak_read_file(files[i], &text, NULL)) good = rep_text_check(files[i], spak_str_text(&text), text.len, err);
        spak_str_free(&text);
    }
    return good;
}

static int weave(const char *out, char *const files[], size_t count, bool partial, bool numbers_only) {
    rep_place place = {.root = ".", .out = out};
    rep_weave_options options = {partial};
    rep_problems problems = {0};
    spak_error err = {0};
    size_t escapes = 0;
    int status = CLI_OK;
    if (numbers_only)
        status = check_numbers(files, count, &problems, &escapes, &err);
    else if (!check_texts(files, count, &err) || !rep_weave(&place, files, count, &options, &problems, &escapes, &err))
        status = CLI_FAILED;
    fputs(spak_str_text(&problems.text), stderr);
    if (status != CLI_OK && !numbers_only) cli_error(&err);
    if (status == CLI_OK && !numbers_only) printf("woven: %s/book/index.html, %zu page(s)\n", out, count);
    if (escapes) printf("%zu line(s) hold a number that is excused by <!-- number: ... -->\n", escapes);
    rep_problems_free(&problems);
    return status;
}

int cli_weave(int argc, char **argv) {
    const char *out = "out";
    bool partial = false, numbers_only = false;
    int files = 0; /* argv[1..files]: the files, moved to the front */
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (!strcmp(argv[i], "--partial"))
            partial = true;
        else if (!strcmp(argv[i], "--check-numbers"))
            numbers_only = true;
        else if (cli_value(argc, argv, &i, "--out", &out))
            continue;
        else if (argv[i][0] == '-')
            return cli_usage(usage);
        else
            argv[++files] = argv[i];
    }
    if (files == 0) return cli_usage(usage);
    return weave(out, argv + 1, (size_t)files, partial, numbers_only);
}
