/* spak data: where each data set is, and downloading. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"

static const char usage[] =
    "usage: spak data                  each data set: where it is, its size and its licence\n"
    "       spak data fetch [NAME...]  downloads what is absent into data/cache, with the program curl\n"
    "       spak data path NAME        where the file lies that a run would read\n"
    "\n"
    "Data sets are those of data/MANIFEST.dsl. Each is looked for in the folder that SPAK_DATA_MIRROR names, then in\n"
    "data/cache, and taken only when its size and SHA-256 are the manifest's. `builtin` is a small stand-in that the\n"
    "project made itself. Exit status: 0 good, 1 a file is wrong or cannot be had, 2 wrong usage.\n";

/* What is wrong with the mirror is wrong for every data set, and said once. */
static void tell(const spak_error *err, spak_error *told) {
    if (strcmp(err->message, told->message) != 0) cli_error(err);
    *told = *err;
}

/* One line; a file with other content than the manifest's is reported and makes this fail. */
static bool list_one(const json_t *set, spak_error *told) {
    const char *name = spak_json_str(set, "name", ""), *origin = NULL;
    spak_error err = {0};
    spak_str path = {0};
    data_set *opened = NULL;
    bool ok = data_locate(set, &origin, &path, &err) && (!origin || data_open(name, &opened, &err));
    bool builtin = origin && !strcmp(origin, "builtin");
    long long size = opened ? (long long)opened->size : spak_json_int(set, "bytes", 0);
    printf("%-24s %-8s %9lld bytes  %-6s %s\n", name,
           !ok      ? "wrong"
           : origin ? origin
                    : "absent",
           size, builtin ? "MIT" : spak_json_str(set, "license", ""), spak_str_text(&path));
    if (!ok) tell(&err, told);
    data_close(opened);
    spak_str_free(&path);
    return ok;
}

static int list(const json_t *sets) {
    bool ok = true;
    spak_error told = {0};
    for (size_t i = 0; i < json_array_size(sets); i++) ok = list_one(json_array_get(sets, i), &told) && ok;
    return ok ? CLI_OK : CLI_FAILED;
}

static bool fetch_one(const json_t *set, spak_error *told) {
    const char *name = spak_json_str(set, "name", "");
    spak_error err = {0};
    spak_str path = {0};
    data_set *opened = NULL;
    const char *origin = NULL;
    bool ok = true;
    if (data_absent(set)) {
        fprintf(stderr, "%s: fetching %lld bytes from %s\n", name, spak_json_int(set, "bytes", 0),
                spak_json_str(set, "url", ""));
        ok = data_fetch(set, &err);
    }
    ok = ok && data_open(name, &opened, &err) && data_locate(set, &origin, &path, &err);
    if (ok) printf("%s: %s\n", name, path.data);
    data_close(opened);
    spak_str_free(&path);
    if (!ok) tell(&err, told);
    return ok;
}

/* The names (none: all). One that fails does not keep the others from coming. */
static int fetch(const json_t *sets, int count, char **names) {
    bool ok = true;
    spak_error err = {0}, told = {0};
    const json_t *set = NULL;
    for (int i = 0; i < count; i++)
        if (!data_find(sets, names[i], &set, &err)) return cli_error(&err);
    for (int i = 0; i < count; i++) ok = data_find(sets, names[i], &set, &err) && fetch_one(set, &told) && ok;
    for (size_t i = 0; !count && i < json_array_size(sets); i++) ok = fetch_one(json_array_get(sets, i), &told) && ok;
    return ok ? CLI_OK : CLI_FAILED;
}

static int print_path(const json_t *sets, const char *name) {
    spak_error err = {0};
    spak_str path = {0};
    const json_t *set = NULL;
    data_set *opened = NULL;
    const char *origin = NULL;
    bool ok =
        data_find(sets, name, &set, &err) && data_open(name, &opened, &err) && data_locate(set, &origin, &path, &err);
    if (ok) puts(path.data);
    data_close(opened);
    spak_str_free(&path);
    return ok ? CLI_OK : cli_error(&err);
}

int cli_data(int argc, char **argv) {
    bool fetching = argc > 1 && !strcmp(argv[1], "fetch"), asking = argc > 1 && !strcmp(argv[1], "path");
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-') return cli_usage(usage);
    if ((argc > 1 && !fetching && !asking) || (asking && argc != 3)) return cli_usage(usage);
    spak_error err = {0};
    json_t *sets = NULL;
    if (!data_manifest(".", &sets, &err)) return cli_error(&err);
    int status = fetching ? fetch(sets, argc - 2, argv + 2) : asking ? print_path(sets, argv[2]) : list(sets);
    json_decref(sets);
    return status;
}
