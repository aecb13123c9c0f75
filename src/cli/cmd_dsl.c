/* spak dsl: check, format and convert DSL files. */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"
#include "dsl/dsl.h"

static const char USAGE[] =
    "usage: spak dsl check FILE...                 diagnostics with line, column and caret; fails on errors\n"
    "       spak dsl fmt [-w | --check] FILE...    the canonical layout on standard output\n"
    "           -w       rewrites the files in place, those without errors\n"
    "           --check  prints the names of files that would change, and fails if there are any\n"
    "       spak dsl json [--canonical] FILE...    the meaning, one JSON text a file\n"
    "\n"
    "FILE '-' is standard input. Exit status: 0 good, 1 errors, 2 wrong usage.\n";

static bool read_stdin(spak_str *text, spak_error *err) {
    char buffer[1 << 16];
    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, stdin)) > 0) spak_str_append(text, buffer, got);
    if (ferror(stdin)) return spak_fail_errno(err, "standard input: cannot read");
    return spak_str_ok(text, err);
}

static bool open_doc(const char *path, dsl_doc **doc, spak_str *text, spak_error *err) {
    bool in = !strcmp(path, "-");
    return (in ? read_stdin(text, err) : spak_read_file(path, text, err)) &&
           dsl_parse(in ? "<stdin>" : path, spak_str_text(text), text->len, doc, err);
}

static void print_diagnostics(const dsl_doc *doc, dsl_severity least) {
    spak_str out = {0};
    for (size_t i = 0; i < dsl_diagnostic_count(doc); i++) {
        const dsl_diagnostic *d = dsl_diagnostic_at(doc, i);
        if (d->severity < least) continue;
        spak_str_clear(&out);
        dsl_format_diagnostic(doc, d, &out);
        fputs(spak_str_text(&out), stderr);
    }
    spak_str_free(&out);
}

static const char *plural(size_t count) { return count == 1 ? "" : "s"; }

static int check(const char *path, const dsl_doc *doc) {
    size_t errors = dsl_error_count(doc), warnings = 0, shown = 0;
    for (size_t i = 0; i < dsl_diagnostic_count(doc); i++) {
        dsl_severity severity = dsl_diagnostic_at(doc, i)->severity;
        warnings += severity == DSL_WARNING;
        shown += severity == DSL_ERROR;
    }
    print_diagnostics(doc, DSL_NOTE);
    if (shown < errors) fprintf(stderr, "%s: %zu further errors are not shown\n", path, errors - shown);
    if (!errors && !warnings)
        fprintf(stderr, "%s: good\n", path);
    else
        fprintf(stderr, "%s: %zu error%s, %zu warning%s\n", path, errors, plural(errors), warnings, plural(warnings));
    return errors ? CLI_FAILED : CLI_OK;
}

typedef enum fmt_mode { FMT_PRINT, FMT_WRITE, FMT_CHECK } fmt_mode;

static int format(const char *path, const dsl_doc *doc, const spak_str *text, fmt_mode mode) {
    spak_error err;
    spak_str out = {0};
    int status = CLI_OK;
    bool ok = dsl_format(doc, &out, &err);
    bool same = ok && out.len == text->len && !memcmp(spak_str_text(&out), spak_str_text(text), out.len);
    if (!ok) {
        status = cli_error(&err);
    } else if (mode == FMT_CHECK) {
        if (!same) printf("%s\n", path);
        status = same ? CLI_OK : CLI_FAILED;
    } else if (mode == FMT_WRITE && strcmp(path, "-")) {
        if (!same && !dsl_error_count(doc) && !spak_write_file(path, spak_str_text(&out), out.len, &err))
            status = cli_error(&err);
    } else {
        fwrite(spak_str_text(&out), 1, out.len, stdout);
    }
    if (dsl_error_count(doc)) {
        print_diagnostics(doc, DSL_ERROR);
        status = CLI_FAILED;
    }
    spak_str_free(&out);
    return status;
}

static int print_json(const dsl_doc *doc, bool canonical) {
    spak_error err;
    spak_str out = {0};
    json_t *meaning = NULL;
    bool ok = dsl_meaning(doc, &meaning, &err);
    if (ok && canonical) {
        ok = spak_json_canonical(meaning, &out, &err);
        if (ok) printf("%s\n", spak_str_text(&out));
    } else if (ok) {
        bool written = json_dumpf(meaning, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) == 0;
        if (!written && !ferror(stdout)) ok = spak_fail_oom(&err); /* main reports output that was lost */
        putchar('\n');
    }
    json_decref(meaning);
    spak_str_free(&out);
    if (!ok) return cli_error(&err);
    print_diagnostics(doc, DSL_ERROR);
    return dsl_error_count(doc) ? CLI_FAILED : CLI_OK;
}

typedef struct options {
    enum { CHECK, FMT, JSON } what;
    fmt_mode mode;
    bool canonical;
} options;

static int handle(const char *path, const options *o) {
    spak_error err;
    spak_str text = {0};
    dsl_doc *doc = NULL;
    int status;
    if (!open_doc(path, &doc, &text, &err)) {
        status = cli_error(&err);
    } else if (o->what == CHECK) {
        spak_str_free(&text);
        status = check(path, doc);
    } else if (o->what == FMT) {
        status = format(path, doc, &text, o->mode);
    } else {
        status = print_json(doc, o->canonical);
    }
    dsl_free(doc);
    spak_str_free(&text);
    return status;
}

int cli_dsl(int argc, char **argv) {
    options o = {0};
    if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(USAGE, stdout);
        return CLI_OK;
    }
    if (argc < 2) return cli_usage(USAGE);
    if (!strcmp(argv[1], "check"))
        o.what = CHECK;
    else if (!strcmp(argv[1], "fmt"))
        o.what = FMT;
    else if (!strcmp(argv[1], "json"))
        o.what = JSON;
    else
        return cli_usage(USAGE);
    int i = 2;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        if (o.what == FMT && !strcmp(argv[i], "-w"))
            o.mode = FMT_WRITE;
        else if (o.what == FMT && !strcmp(argv[i], "--check"))
            o.mode = FMT_CHECK;
        else if (o.what == JSON && !strcmp(argv[i], "--canonical"))
            o.canonical = true;
        else
            return cli_usage(USAGE);
    }
    if (i == argc) return cli_usage(USAGE);
    int status = CLI_OK;
    for (; i < argc; i++)
        if (handle(argv[i], &o) != CLI_OK) status = CLI_FAILED;
    return status;
}
