/* spak trace: show, verify, collect, lock. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cli.h"
#include "trace/trace.h"

static const char usage_all[] =
    "usage: spak trace show [--kind KIND] [--seq N] [--json] FILE\n"
    "       spak trace verify [--head HASH] FILE...\n"
    "       spak trace collect --out FILE -- COMMAND [ARGUMENT...]\n"
    "       spak trace lock [--check] FOLDER/LOCK\n"
    "\n"
    "`spak trace show --help`, and so on, tells more.\n";

static const char usage_show[] =
    "usage: spak trace show [--kind KIND] [--seq N] [--json] FILE\n"
    "\n"
    "Prints the records of a trace (.jsonl or .jsonl.gz), one a line: seq, kind, and its own fields.\n"
    "  --kind KIND   only records of this kind: run, plan, invariant, ticket, hypothesis, measure,\n"
    "                correct, converge, evaluate, insight, end\n"
    "  --seq N       only record N\n"
    "  --json        the lines as they stand in the file\n";

static const char usage_verify[] =
    "usage: spak trace verify [--head HASH] FILE...\n"
    "\n"
    "Checks every record and the chain of each trace; prints the number of records and the head (the hash of\n"
    "the last line). A torn last line is reported, and is no damage. Exit status 1 when a trace is damaged.\n"
    "  --head HASH   the head that is expected: sees a change to the last record, and records cut from the end\n";

static const char usage_collect[] =
    "usage: spak trace collect --out FILE -- COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs the command, passes its output through, and appends a record to FILE for each line of it that reads\n"
    "  " TRACE_MARKER
    "{\"kind\": \"measure\", ...}\n"
    "A new trace gets a `run` record with the command, the time and the system first. The exit status is the\n"
    "command's (128 + n when signal n ended it), and 1 when it succeeded but a marked line was no record.\n";

static const char usage_lock[] =
    "usage: spak trace lock [--check] FOLDER/LOCK\n"
    "\n"
    "Writes the head and the number of records of every *.jsonl and *.jsonl.gz below FOLDER into FOLDER/LOCK.\n"
    "  --check       compares instead: every trace listed verifies and ends in its head, and none is unlisted\n";

/* --- options --- */

typedef struct options {
    const char *kind, *head, *out;
    long long seq; /* -1: any */
    bool json, check, help;
    char **rest; /* what follows the options, NULL-terminated */
    int rest_count;
} options;

static bool wrong(const char *what, const char *argument) {
    fprintf(stderr, "spak trace: %s '%s'\n\n", what, argument);
    return false;
}

static bool is(const char *argument, const char *option, const char *allowed) {
    return !strcmp(argument, option) && strstr(allowed, option);
}

static bool parse_count(const char *text, long long *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0;
}

/* Options may stand before and behind the operands; "--" ends them. allowed names those of this command. */
static bool parse(int argc, char **argv, const char *allowed, options *o) {
    *o = (options){.seq = -1, .rest = argv};
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            o->help = true;
        } else if (!strcmp(arg, "--")) {
            while (++i < argc) o->rest[o->rest_count++] = argv[i];
        } else if (is(arg, "--json", allowed)) {
            o->json = true;
        } else if (is(arg, "--check", allowed)) {
            o->check = true;
        } else if (arg[0] == '-' && arg[1]) {
            const char **text = is(arg, "--kind", allowed)   ? &o->kind
                                : is(arg, "--head", allowed) ? &o->head
                                : is(arg, "--out", allowed)  ? &o->out
                                                             : NULL;
            bool seq = is(arg, "--seq", allowed);
            if (!text && !seq) return wrong("no option", arg);
            if (++i == argc) return wrong("expected a value behind", arg);
            if (text)
                *text = argv[i];
            else if (!parse_count(argv[i], &o->seq))
                return wrong("expected a whole number, found", argv[i]);
        } else {
            o->rest[o->rest_count++] = arg;
        }
    }
    o->rest[o->rest_count] = NULL;
    return true;
}

static int help(const char *usage) {
    fputs(usage, stdout);
    return CLI_OK;
}

/* --- show --- */

/* Length of text cut to at most `most` bytes without cutting a UTF-8 character. */
static size_t cut(const spak_str *text, size_t most) {
    if (text->len <= most) return text->len;
    while (most && ((unsigned char)text->data[most] & 0xC0) == 0x80) most--;
    return most;
}

static bool summarise(const json_t *record, spak_str *value, spak_str *line, spak_error *err) {
    enum { VALUE = 44, LINE = 116 };
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)record, key, member) {
        if (!strcmp(key, "kind") || !strcmp(key, "seq") || !strcmp(key, "prev")) continue;
        spak_str_clear(value);
        if (!spak_json_canonical(member, value, err)) return false;
        size_t len = cut(value, VALUE);
        spak_str_printf(line, " %s=%.*s%s", key, (int)len, value->data, len < value->len ? "..." : "");
    }
    if (!spak_str_ok(line, err)) return false;
    size_t len = cut(line, LINE);
    while (len < line->len && len && line->data[len - 1] == '.') len--; /* not "..." behind "..." */
    printf("%6lld  %-10s %.*s%s\n", spak_json_int(record, "seq", -1), spak_json_str(record, "kind", "?"), (int)len,
           spak_str_text(line), len < line->len ? "..." : "");
    return true;
}

static bool show_record(const json_t *record, const options *o, spak_str *value, spak_str *line, spak_error *err) {
    if (o->kind && strcmp(spak_json_str(record, "kind", ""), o->kind) != 0) return true;
    if (o->seq >= 0 && spak_json_int(record, "seq", -1) != o->seq) return true;
    spak_str_clear(line);
    if (!o->json) return summarise(record, value, line, err);
    if (!spak_json_canonical(record, line, err)) return false;
    printf("%s\n", line->data);
    return true;
}

static void warn_torn(const char *path, const trace_status *status) {
    if (status->torn_bytes)
        fprintf(stderr, "spak: warning: %s:%zu: torn last line of %zu bytes, which the next writer cuts off\n", path,
                status->records + 1, status->torn_bytes);
}

static int show(int argc, char **argv) {
    options o;
    if (!parse(argc, argv, "--kind --seq --json", &o)) return cli_usage(usage_show);
    if (o.help) return help(usage_show);
    if (o.rest_count != 1) return cli_usage(usage_show);
    spak_error err = {0};
    trace_status status;
    json_t *records;
    if (!trace_read(o.rest[0], &records, &status, &err)) return cli_error(&err);
    spak_str value = {0}, line = {0};
    bool ok = true;
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record) ok = ok && show_record(record, &o, &value, &line, &err);
    spak_str_free(&value);
    spak_str_free(&line);
    json_decref(records);
    warn_torn(o.rest[0], &status);
    return ok ? CLI_OK : cli_error(&err);
}

/* --- verify --- */

static int verify(int argc, char **argv) {
    options o;
    if (!parse(argc, argv, "--head", &o)) return cli_usage(usage_verify);
    if (o.help) return help(usage_verify);
    if (o.rest_count == 0 || (o.head && o.rest_count != 1)) return cli_usage(usage_verify);
    int result = CLI_OK;
    for (int i = 0; i < o.rest_count; i++) {
        spak_error err = {0};
        trace_status status;
        bool ok = trace_verify(o.rest[i], &status, &err);
        if (ok && o.head && strcmp(o.head, status.head) != 0)
            ok = spak_fail(&err, "%s: expected head %s, found %s at %zu records; restore this file from its archive",
                           o.rest[i], o.head, status.head, status.records);
        if (!ok) {
            result = cli_error(&err);
            continue;
        }
        printf("%s: %zu records, head %s", o.rest[i], status.records, status.head);
        if (status.torn_bytes) printf(", torn last line of %zu bytes", status.torn_bytes);
        printf("\n");
    }
    return result;
}

/* --- collect --- */

/* The first record: what was run, when, by which program on which system. */
static json_t *describe_run(char **command, spak_error *err) {
    char when[32], self[SPAK_SHA256_HEX + 1];
    struct utsname host;
    if (uname(&host) != 0) {
        spak_fail_errno(err, "cannot learn the name of this system");
        return NULL;
    }
    if (!spak_sha256_self(self, err)) return NULL;
    spak_utc_now(when);
    json_t *arguments = json_array();
    for (int i = 0; command[i]; i++) {
        json_t *argument = json_string(command[i]);
        if (!argument || json_array_append_new(arguments, argument) != 0) {
            spak_fail(err, "argument %d of the command is not UTF-8, which a trace must be: '%.60s'", i, command[i]);
            json_decref(arguments);
            return NULL;
        }
    }
    json_t *run = json_pack("{s:o, s:s, s:s, s:{s:s, s:s, s:s}}", "command", arguments, "spak_sha256", self, "time_utc",
                            when, "system", "name", host.sysname, "release", host.release, "machine", host.machine);
    if (!run) spak_fail_oom(err);
    return run;
}

static void do_nothing(int signal_number) { (void)signal_number; }

/* Ctrl-C goes to the command, which decides what to make of it, and a closed standard output must not lose records. A
 * handler instead of SIG_IGN, since the command is to start with the default again. */
static void outlive_signals(void) {
    const int signals[] = {SIGINT, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction now = {0};
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN) continue;
        struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, NULL);
    }
}

static bool begin_trace(trace_writer *writer, const trace_status *status, char **command, spak_error *err) {
    if (status->records) return true;
    json_t *run = describe_run(command, err);
    return run && trace_append(writer, "run", run, NULL, err);
}

static int collect(int argc, char **argv) {
    options o;
    if (!parse(argc, argv, "--out", &o)) return cli_usage(usage_collect);
    if (o.help) return help(usage_collect);
    if (!o.out || o.rest_count == 0) return cli_usage(usage_collect);
    spak_error err = {0};
    trace_writer *writer;
    trace_status status;
    if (!trace_open(o.out, &writer, &status, &err)) return cli_error(&err);
    warn_torn(o.out, &status);
    int exit_status = 0;
    outlive_signals();
    bool ok = begin_trace(writer, &status, o.rest, &err) && trace_collect(writer, o.rest, &exit_status, &err);
    trace_close(writer);
    if (!ok) cli_error(&err);
    return exit_status ? exit_status : ok ? CLI_OK : CLI_FAILED;
}

/* --- lock --- */

static int lock(int argc, char **argv) {
    options o;
    if (!parse(argc, argv, "--check", &o)) return cli_usage(usage_lock);
    if (o.help) return help(usage_lock);
    if (o.rest_count != 1) return cli_usage(usage_lock);
    spak_error err = {0};
    size_t traces;
    if (!o.check && !trace_lock_write(o.rest[0], &err)) return cli_error(&err);
    if (!trace_lock_check(o.rest[0], &traces, &err)) return cli_error(&err);
    printf("%s: %zu traces, %s\n", o.rest[0], traces, o.check ? "all as pinned" : "pinned");
    return CLI_OK;
}

int cli_trace(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"show", show}, {"verify", verify}, {"collect", collect}, {"lock", lock}};
    if (argc < 2) return cli_usage(usage_all);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return help(usage_all);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "spak trace: no command '%s'\n\n", argv[1]);
    return cli_usage(usage_all);
}
