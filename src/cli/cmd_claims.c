/* spak claims: the ledger. Evaluates every claim on the values below OUT; for README.md on archived traces alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "dsl/dsl.h"
#include "lua/recipe.h"
#include "lua/sandbox.h"
#include "report/report.h"

static const char usage[] =
    "usage: spak claims [--out DIR] [--summary | --claim ID]\n"
    "       spak claims --readme README.md [--check]\n"
    "       spak claims --experiments ID\n\n"
    "Gives a verdict on every claim of dsl/claims.dsl from the values that reports left in DIR (default: out), and "
    "writes\n"
    "DIR/verdicts.json and DIR/verdicts.md. A claim that differs is a result: the exit status is 1 only when the "
    "ledger\n"
    "cannot be computed.\n"
    "--summary  prints every claim that was evaluated, and where the results are\n"
    "--claim    prints one claim with its reasons and trace records\n"
    "--experiments  prints the names of the experiments that the claim's verdict needs\n"
    "--readme   puts the table between <!-- claims:begin --> and <!-- claims:end -->, from archived traces only\n"
    "--check    changes nothing and fails when README.md is out of date\n";

static const char CLAIMS[] = "dsl/claims.dsl";

typedef struct options {
    const char *out, *claim, *readme, *needed_for;
    bool summary, check;
} options;

static bool ledger_for(const char *out, bool archived_only, json_t **ledger, spak_error *err) {
    lua_box *box = NULL;
    rep_place place = {.root = ".", .out = out};
    if (!lua_box_new(NULL, &box, err)) return false;
    spak_evaluator eval = lua_box_evaluator(box);
    bool good = rep_ledger(&place, CLAIMS, &eval, archived_only, ledger, err);
    lua_box_free(box);
    return good;
}

/* What could not be computed goes to standard error; the exit status follows from it. */
static int tell_errors(const json_t *ledger) {
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(ledger, "errors"), i, text)
        fprintf(stderr, "spak: error: %s\n", json_string_value(text));
    return json_array_size(json_object_get(ledger, "errors")) ? CLI_FAILED : CLI_OK;
}

static void tell_files(const char *out) {
    static const char *const files[] = {"verdicts.md", "book/index.html", "paper/paper.tex",
                                        "figures",     "tables",          "traces"};
    bool any = false;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        spak_str path = {0};
        spak_str_printf(&path, "%s/%s", out, files[i]);
        if (!path.oom && spak_exists(path.data)) printf("%s%s", any ? ", " : "\nWritten: ", path.data), any = true;
        spak_str_free(&path);
    }
    if (any) printf("\n");
}

static int claims(const options *o) {
    json_t *ledger = NULL;
    spak_error err = {0};
    spak_str text = {0};
    rep_place place = {.root = ".", .out = o->out};
    bool good = ledger_for(o->out, false, &ledger, &err) && rep_ledger_write(&place, ledger, &err) &&
                rep_ledger_print(ledger, o->claim, isatty(STDOUT_FILENO), &text, &err);
    int status = good ? tell_errors(ledger) : cli_error(&err);
    if (good) {
        const char *all = spak_str_text(&text);
        size_t first = strcspn(all, "\n") + 1; /* the counts */
        printf("%.*s", (int)(o->summary || o->claim ? text.len : first), all);
        if (o->summary) tell_files(o->out);
    }
    spak_str_free(&text);
    json_decref(ledger);
    return status;
}

/* --- README.md --- */

/* Is there an archived trace of that name on any machine? */
/* The experiments that a claim's evaluations name, one a line, each once. */
static int print_experiments(const char *id) {
    spak_error err = {0};
    dsl_doc *doc = NULL;
    json_t *meaning = NULL, *seen = json_object();
    bool good = dsl_parse_file(CLAIMS, &doc, &err) && dsl_meaning(doc, &meaning, &err);
    const json_t *claim = good ? dsl_block(meaning, "claim", id, 0) : NULL, *evaluation;
    if (good && !claim) good = spak_fail(&err, "%s: there is no claim '%s'", CLAIMS, id);
    for (size_t i = 0; good && (evaluation = dsl_block(claim, "evaluation", NULL, i)); i++) {
        const char *name = dsl_text(dsl_value(evaluation, "experiment"), NULL);
        if (!name || json_object_get(seen, name)) continue;
        json_object_set_new(seen, name, json_true());
        printf("%s\n", name);
    }
    json_decref(seen);
    json_decref(meaning);
    dsl_free(doc);
    return good ? CLI_OK : cli_error(&err);
}

static bool is_archived(const char *name) {
    char **machines = NULL;
    size_t count = 0;
    bool found = false;
    if (!spak_exists("data/traces") || !spak_list_dir("data/traces", &machines, &count, NULL)) return false;
    for (size_t i = 0; i < count && !found; i++) {
        spak_str path = {0};
        spak_str_printf(&path, "data/traces/%s/%s.jsonl", machines[i], name);
        found = !path.oom && spak_exists(path.data);
        spak_str_puts(&path, ".gz");
        found = found || (!path.oom && spak_exists(path.data));
        spak_str_free(&path);
    }
    spak_names_free(machines, count);
    return found;
}

/* Runs the report of every recipe that has an archived trace, into out. */
static bool report_archived(const char *out, spak_error *err) {
    char **names = NULL;
    size_t count = 0;
    if (!spak_exists("experiments")) return true;
    if (!spak_list_dir("experiments", &names, &count, err)) return false;
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        spak_str path = {0}, name = {0};
        if (spak_ends_with(names[i], ".lua")) {
            spak_str_append(&name, names[i], strlen(names[i]) - strlen(".lua"));
            spak_str_printf(&path, "experiments/%s", names[i]);
            lua_recipe_options recipe = {
                .recipe = spak_str_text(&path), .profile = "smoke", .out_dir = out, .report_only = true};
            good = spak_str_ok(&name, err) && spak_str_ok(&path, err);
            if (good && is_archived(name.data)) good = lua_recipe_run(&recipe, err);
        }
        spak_str_free(&path);
        spak_str_free(&name);
    }
    spak_names_free(names, count);
    return good;
}

static void remove_tree(const char *path) {
    char **names = NULL;
    size_t count = 0;
    if (spak_list_dir(path, &names, &count, NULL)) {
        for (size_t i = 0; i < count; i++) {
            spak_str inner = {0};
            spak_str_printf(&inner, "%s/%s", path, names[i]);
            if (!inner.oom && unlink(inner.data)) remove_tree(inner.data);
            spak_str_free(&inner);
        }
        spak_names_free(names, count);
    }
    rmdir(path);
}

static int readme(const options *o) {
    char out[] = "/tmp/spak-readme-XXXXXX";
    spak_error err = {0};
    json_t *ledger = NULL;
    if (!mkdtemp(out)) {
        spak_fail_errno(&err, "cannot make a folder in /tmp");
        return cli_error(&err);
    }
    bool good = report_archived(out, &err) && ledger_for(out, true, &ledger, &err) &&
                rep_ledger_readme(ledger, o->readme, o->check, &err);
    remove_tree(out);
    int status = good ? tell_errors(ledger) : cli_error(&err);
    json_decref(ledger);
    return status;
}

int cli_claims(int argc, char **argv) {
    options o = {.out = "out"};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (!strcmp(argv[i], "--summary"))
            o.summary = true;
        else if (!strcmp(argv[i], "--check"))
            o.check = true;
        else if (cli_value(argc, argv, &i, "--out", &o.out))
            continue;
        else if (cli_value(argc, argv, &i, "--claim", &o.claim))
            continue;
        else if (cli_value(argc, argv, &i, "--experiments", &o.needed_for))
            continue;
        else if (cli_value(argc, argv, &i, "--readme", &o.readme))
            continue;
        else
            return cli_usage(usage);
    }
    if (o.needed_for) return argc == 3 ? print_experiments(o.needed_for) : cli_usage(usage);
    if ((o.check && !o.readme) || (o.readme && (o.claim || o.summary))) return cli_usage(usage);
    return o.readme ? readme(&o) : claims(&o);
}
