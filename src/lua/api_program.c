/* run:program: a peer that is a program, as one record of the trace.
 *
 *   run:program{ label =, command = {"python3", "-u", "$SPAK_MICROGPT_PY"},
 *                files = {["input.txt"] = {dataset = "names"}},       laid into the folder that it runs in
 *                env = {NAME = "value"}, versions = {{"python3", "--version"}},
 *                max_lines =, timeout_s = 600, optional = true }      -> the record
 *
 * A word of the command that begins with `$` is the file that this environment variable names; one with a slash and
 * nothing but letters, digits and `_.-/` is a path. Both become absolute, for the program runs in a fresh folder. A
 * path that leads to a file of the project must be one of the recipe's inputs, so that a change of it starts a new
 * trace. The record holds their base names and hashes and no path of this machine:
 *
 *   {label, command, scripts: [{name, sha256}], files, env, max_lines,  what was asked: equal records are not run again
 *    status: "ok" | "absent" | "failed" | "stopped", reason, stderr: its last 4 KiB when it failed,
 *    lines: [{t_ms, text}], reports, versions, seconds}
 *
 * t_ms counts from the program's start. Lines behind the trace's marker are parsed and stand in `reports` instead. A
 * peer that is absent is no error when it is optional, and is looked for again by the next process that resumes. What a
 * program prints is foreign: lines, bytes and their number have limits, and what is no UTF-8 is replaced. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/progress.h"
#include "data/data.h"
#include "device/trial.h"
#include "lua/api.h"

enum { MOST_LINES = 100000, LONGEST_LINE = 1 << 20, MOST_BYTES = 8 << 20, VERSION_S = 20 };

static const char BAD_BYTE[] = "\xEF\xBF\xBD"; /* U+FFFD */

typedef struct program {
    const json_t *asked;
    const char *label;
    char *folder;            /* the program's own, removed at the end */
    char **argv, **env;      /* up to a NULL each */
    json_t *hidden;          /* paths of this machine -> what stands for them */
    json_t *record;          /* what was asked, then what came of it */
    json_t *lines, *reports; /* borrowed from record */
    size_t bytes;
    long long max_lines;
    bool absent;
    spak_progress bar;
} program;

/* --- foreign text --- */

static void append_without_zeros(spak_str *to, const char *text, size_t len) {
    for (const char *zero; (zero = memchr(text, 0, len));) {
        size_t before = (size_t)(zero - text);
        spak_str_append(to, text, before);
        spak_str_puts(to, BAD_BYTE);
        text += before + 1;
        len -= before + 1;
    }
    spak_str_append(to, text, len);
}

static void append_valid(spak_str *to, const char *text, size_t len) {
    for (size_t good; (good = spak_first_bad_utf8(text, len)) < len;) {
        append_without_zeros(to, text, good);
        spak_str_puts(to, BAD_BYTE);
        text += good + 1;
        len -= good + 1;
    }
    append_without_zeros(to, text, len);
}

/* Valid UTF-8 without paths of this machine, as a new JSON string; NULL when memory runs out. */
static json_t *foreign_text(const program *p, const char *text, size_t len) {
    spak_str clean = {0};
    append_valid(&clean, text, len);
    const char *path;
    json_t *name;
    json_object_foreach(p->hidden, path, name) {
        spak_str shorter = {0};
        const char *at = spak_str_text(&clean), *found;
        for (; (found = strstr(at, path)); at = found + strlen(path)) {
            spak_str_append(&shorter, at, (size_t)(found - at));
            spak_str_puts(&shorter, json_string_value(name));
        }
        spak_str_puts(&shorter, at);
        spak_str_free(&clean);
        clean = shorter;
    }
    json_t *string = clean.oom ? NULL : json_string(spak_str_text(&clean));
    spak_str_free(&clean);
    return string;
}

/* --- what was asked --- */

static bool be_absent(program *p, spak_error *err, const char *fmt, const char *what) {
    p->absent = true;
    return spak_json_set(p->record, "reason", json_sprintf(fmt, what), err);
}

/* Absolute, with its symbolic links as they are: an interpreter finds its libraries by the name it was called by. */
static bool absolute_path(const char *path, spak_str *out, spak_error *err) {
    char *here = *path == '/' ? NULL : getcwd(NULL, 0); /* from the C library's heap */
    if (*path != '/' && !here) return spak_fail_errno(err, "%s: where is it", path);
    if (here) spak_str_printf(out, "%s/", here);
    spak_str_puts(out, path);
    free(here);
    return spak_str_ok(out, err);
}

/* Puts the absolute path of a file of the command into argv, its base name and hash into the record. */
static bool add_file(program *p, size_t i, const char *path, const char *instead, spak_error *err) {
    char hex[SPAK_SHA256_HEX + 1];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    json_t *command = json_object_get(p->record, "command"), *scripts = json_object_get(p->record, "scripts");
    if (!spak_exists(path)) return be_absent(p, err, "%s: there is no such file", instead);
    spak_str absolute = {0};
    bool ok = absolute_path(path, &absolute, err);
    p->argv[i] = absolute.data;
    if (!ok) return false;
    return spak_sha256_file(path, hex, err) && spak_json_set(p->hidden, absolute.data, json_string(name), err) &&
           (json_array_append_new(scripts, json_pack("{s:s, s:s}", "name", name, "sha256", hex)) == 0 ||
            spak_fail_oom(err)) &&
           (json_array_append_new(command, json_string(name)) == 0 || spak_fail_oom(err));
}

static bool is_path(const char *word) {
    return word[0] != '-' && strchr(word, '/') &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/") == strlen(word);
}

/* A file below the project's root, the current folder, is an input of the recipe, however its path is written. */
static bool may_run(const program *p, const loop_run *run, const char *path, spak_error *err) {
    char hex[SPAK_SHA256_HEX + 1];
    char *root = realpath(".", NULL), *file = realpath(path, NULL); /* from the C library's heap */
    size_t len = root ? strlen(root) : 0;
    bool ok = !file || (root ? true : spak_fail_errno(err, "where is the project"));
    if (ok && file && !strncmp(file, root, len) && file[len] == '/')
        ok = (spak_sha256_file(file, hex, err) && lua_is_input(run, file + len + 1, hex, err)) ||
             spak_fail_context(err, "program %s", p->label);
    free(root);
    free(file);
    return ok;
}

static bool add_word(program *p, const loop_run *run, size_t i, const char *word, spak_error *err) {
    const char *from_env = word[0] == '$' ? getenv(word + 1) : NULL;
    if (word[0] == '$' && (!from_env || !*from_env))
        return be_absent(p, err, "%s is not set; it names the program's file", word + 1);
    if (from_env) return add_file(p, i, from_env, word + 1, err);
    if (is_path(word)) return may_run(p, run, word, err) && add_file(p, i, word, word, err);
    p->argv[i] = spak_strdup(word);
    json_t *command = json_object_get(p->record, "command");
    return (p->argv[i] && json_array_append_new(command, json_string(word)) == 0) || spak_fail_oom(err);
}

static bool read_command(program *p, const loop_run *run, spak_error *err) {
    const json_t *words = json_object_get(p->asked, "command");
    size_t count = json_array_size(words);
    if (!count) return spak_fail(err, "program %s: needs a command, a list of words", p->label);
    p->argv = spak_calloc(count + 1, sizeof *p->argv);
    if (!p->argv) return spak_fail_oom(err);
    for (size_t i = 0; i < count && !p->absent; i++) {
        const char *word = json_string_value(json_array_get(words, i));
        if (!word || !*word) return spak_fail(err, "program %s: word %zu of its command is no text", p->label, i + 1);
        if (!add_word(p, run, i, word, err)) return false;
    }
    /* Of a command that is not all there, the words as asked. */
    return !p->absent || spak_json_set(p->record, "command", json_copy((json_t *)words), err);
}

static bool read_env(program *p, spak_error *err) {
    const json_t *env = json_object_get(p->asked, "env");
    const char *name;
    json_t *value;
    size_t count = 0;
    p->env = spak_calloc(json_object_size(env) + 1, sizeof *p->env);
    if (!p->env) return spak_fail_oom(err);
    json_object_foreach((json_t *)env, name, value) {
        spak_str text = {0};
        if (!*name || strchr(name, '=') || !json_is_string(value))
            return spak_fail(err, "program %s: env: expected NAME = \"value\", found '%s'", p->label, name);
        spak_str_printf(&text, "%s=%s", name, json_string_value(value));
        p->env[count++] = text.data;
        if (!spak_str_ok(&text, err)) return false;
    }
    return !env || spak_json_set(p->record, "env", json_incref((json_t *)env), err);
}

/* What the files hold that the program finds in its folder. */
static bool read_files(program *p, const loop_run *run, spak_error *err) {
    const char *name;
    json_t *source;
    json_t *files = json_object();
    if (!spak_json_set(p->record, "files", files, err)) return false;
    json_object_foreach(json_object_get(p->asked, "files"), name, source) {
        const char *dataset = spak_json_str(source, "dataset", NULL);
        if (!*name || name[0] == '.' || strchr(name, '/') || !dataset)
            return spak_fail(err, "program %s: files: expected [\"name\"] = {dataset = \"...\"}, found '%s'", p->label,
                             name);
        const json_t *data = lua_data_of(run, dataset, err);
        if (!data) return spak_fail_context(err, "program %s", p->label);
        json_t *content = json_pack("{s:s, s:s}", "dataset", dataset, "sha256", spak_json_str(data, "sha256", ""));
        if (!spak_json_set(files, name, content, err)) return false;
    }
    return true;
}

static const dev_member program_members[] = {
    {"label", JSON_STRING, 0, 0, true},      {"command", JSON_ARRAY, 0, 0, true},
    {"files", JSON_OBJECT, 0, 0, false},     {"env", JSON_OBJECT, 0, 0, false},
    {"versions", JSON_ARRAY, 0, 0, false},   {"max_lines", JSON_INTEGER, 0, MOST_LINES, false},
    {"timeout_s", JSON_REAL, 0, 1e6, false}, {"optional", JSON_TRUE, 0, 0, false},
};

static bool read_asked(program *p, const loop_run *run, spak_error *err) {
    enum { MEMBERS = sizeof program_members / sizeof *program_members };
    if (!dev_members_check("run", "program", p->asked, program_members, MEMBERS, err)) return false;
    p->label = spak_json_str(p->asked, "label", NULL);
    p->max_lines = spak_json_int(p->asked, "max_lines", 0);
    if (!p->label) return spak_fail(err, "program: needs a label");
    if (p->max_lines < 0 || p->max_lines > MOST_LINES)
        return spak_fail(err, "program %s: max_lines must be from 1 to %d", p->label, MOST_LINES);
    if (!(spak_json_num(p->asked, "timeout_s", 1) > 0))
        return spak_fail(err, "program %s: timeout_s must be positive", p->label);
    p->hidden = json_object();
    p->record = json_pack("{s:s, s:[], s:[]}", "label", p->label, "command", "scripts");
    if (!p->hidden || !p->record) return spak_fail_oom(err);
    if (p->max_lines && !spak_json_set(p->record, "max_lines", json_integer(p->max_lines), err)) return false;
    return read_command(p, run, err) && read_env(p, err) && read_files(p, run, err);
}

/* --- its folder --- */

/* OUT/NAME/program.spak-tmp-PID: the next run removes what a killed one leaves. Absolute, as the program sees it. */
static bool make_folder(program *p, const loop_run *run, spak_error *err) {
    spak_str path = {0};
    spak_str_printf(&path, "%s/%s/program" SPAK_TEMPORARY "%ld", run->out_dir, run->name, (long)getpid());
    bool ok = spak_str_ok(&path, err) && spak_make_dirs(path.data, err);
    char *absolute = ok ? realpath(path.data, NULL) : NULL; /* from the C library's heap */
    if (ok && !absolute) ok = spak_fail_errno(err, "%s: where is it", path.data);
    if (absolute) {
        p->folder = spak_strdup(absolute);
        ok = p->folder || spak_fail_oom(err);
    }
    if (ok) ok = spak_json_set(p->hidden, p->folder, json_string("."), err);
    if (!p->folder && path.data) rmdir(path.data);
    free(absolute);
    spak_str_free(&path);
    const char *name;
    json_t *source;
    json_object_foreach(json_object_get(p->asked, "files"), name, source) {
        data_set *data = NULL;
        spak_str file = {0};
        spak_str_printf(&file, "%s/%s", p->folder, name);
        ok = ok && spak_str_ok(&file, err) && data_open(spak_json_str(source, "dataset", ""), &data, err) &&
             spak_write_file(file.data, data->bytes, data->size, err);
        data_close(data);
        spak_str_free(&file);
    }
    return ok;
}

/* --- its run --- */

static bool take_report(program *p, const spak_line *line, spak_error *err) {
    const size_t marker = sizeof TRACE_MARKER - 1;
    json_t *report = NULL;
    if (!spak_json_parse("after the marker", line->text + marker, line->len - marker, &report, err)) return false;
    if (json_is_object(report)) return json_array_append_new(p->reports, report) == 0 || spak_fail_oom(err);
    json_decref(report);
    return spak_fail(err, "expected a JSON object after the marker");
}

static bool take_line(void *context, const spak_line *line, bool *stop, spak_error *err) {
    program *p = context;
    p->bytes += line->len;
    if (line->number > MOST_LINES || p->bytes > MOST_BYTES)
        return spak_fail(err, "program %s: it prints more than %d lines or %d MiB; give max_lines, or print less",
                         p->label, MOST_LINES, MOST_BYTES >> 20);
    if (line->len >= sizeof TRACE_MARKER - 1 && !memcmp(line->text, TRACE_MARKER, sizeof TRACE_MARKER - 1)) {
        if (!take_report(p, line, err))
            return spak_fail_context(err, "program %s: line %zu of its output", p->label, line->number);
    } else {
        json_t *entry = json_pack("{s:f, s:o}", "t_ms", (double)(line->at_ns / 1000) / 1000, "text",
                                  foreign_text(p, line->text, line->len));
        if (!entry || json_array_append_new(p->lines, entry)) return spak_fail_oom(err);
    }
    if (p->max_lines) spak_progress_step(&p->bar, NULL);
    *stop = p->max_lines && (long long)line->number >= p->max_lines;
    return true;
}

static bool first_line(void *context, const spak_line *line, bool *stop, spak_error *err) {
    (void)err;
    append_valid(context, line->text, line->len);
    *stop = true;
    return true;
}

/* versions: what each command says first, under the name of its program. */
static bool ask_versions(program *p, spak_error *err) {
    size_t i;
    json_t *words, *versions = json_object();
    if (!json_object_get(p->asked, "versions")) return json_decref(versions), true;
    if (!spak_json_set(p->record, "versions", versions, err)) return false;
    json_array_foreach(json_object_get(p->asked, "versions"), i, words) {
        char *argv[8] = {0};
        spak_str said = {0};
        spak_lines how = {.timeout_s = VERSION_S, .max_line = LONGEST_LINE, .take = first_line, .context = &said};
        spak_ended ended;
        for (size_t k = 0; k < 7; k++) argv[k] = (char *)json_string_value(json_array_get(words, k));
        if (!argv[0]) return spak_fail(err, "program %s: versions: expected {{\"name\", \"--version\"}}", p->label);
        bool ok = spak_run_lines(argv, &how, &ended, err) && spak_str_ok(&said, err);
        if (ok && said.len) ok = spak_json_set(versions, argv[0], json_string(said.data), err);
        spak_str_free(&said);
        spak_str_free(&ended.errors);
        if (!ok) return false;
    }
    return true;
}

/* How a failed program ended, and the last line of what it said on standard error. */
static json_t *failure_reason(const spak_ended *ended, const char *complaint) {
    const char *last = strrchr(complaint, '\n');
    last = last ? last + 1 : complaint;
    const char *colon = *last ? ": " : "";
    return ended->status > 128 ? json_sprintf("signal %d%s%s", ended->status - 128, colon, last)
                               : json_sprintf("exit status %d%s%s", ended->status, colon, last);
}

/* What is kept of standard error, without the white space at its end. */
static json_t *complaint_of(const program *p, const spak_ended *ended) {
    const char *text = spak_str_text(&ended->errors);
    size_t end = ended->errors.len;
    while (end && strchr(" \r\n\t", text[end - 1])) end--;
    return foreign_text(p, text, end);
}

static bool conclude(program *p, const spak_ended *ended, double timeout_s, spak_error *err) {
    const char *status = ended->stopped || ended->timed_out ? "stopped" : ended->status ? "failed" : "ok";
    json_t *reason = NULL;
    if (ended->stopped) reason = json_sprintf("it had printed %lld lines", p->max_lines);
    if (ended->timed_out) reason = json_sprintf("it had not ended after %g s", timeout_s);
    if (!strcmp(status, "failed")) {
        json_t *complaint = complaint_of(p, ended);
        if (!spak_json_set(p->record, "stderr", complaint, err)) return false;
        reason = failure_reason(ended, json_string_value(complaint));
    }
    if (!json_array_size(p->reports)) json_object_del(p->record, "reports");
    return (!strcmp(status, "ok") || spak_json_set(p->record, "reason", reason, err)) &&
           spak_json_set(p->record, "status", json_string(status), err) &&
           spak_json_set(p->record, "seconds", json_real(ended->seconds), err);
}

static bool execute(program *p, const loop_run *run, spak_error *err) {
    spak_lines how = {.env = p->env,
                      .timeout_s = spak_json_num(p->asked, "timeout_s", 600),
                      .max_line = LONGEST_LINE,
                      .take = take_line,
                      .context = p};
    spak_ended ended = {0};
    if (!spak_json_set(p->record, "lines", p->lines = json_array(), err)) return false;
    if (!spak_json_set(p->record, "reports", p->reports = json_array(), err)) return false;
    if (!make_folder(p, run, err)) return false;
    how.folder = p->folder;
    if (p->max_lines) spak_progress_begin(&p->bar, p->label, (long)p->max_lines);
    bool ok = spak_run_lines(p->argv, &how, &ended, err);
    if (p->max_lines) spak_progress_end(&p->bar);
    if (ok && !ended.found) {
        json_object_del(p->record, "lines");
        json_object_del(p->record, "reports");
        ok = be_absent(p, err, "%s: there is no such program",
                       json_string_value(json_array_get(json_object_get(p->record, "command"), 0)));
    } else if (ok) {
        ok = ask_versions(p, err) && conclude(p, &ended, how.timeout_s, err);
    }
    spak_str_free(&ended.errors);
    return ok;
}

static void free_words(char **words) {
    for (size_t i = 0; words && words[i]; i++) spak_free(words[i]);
    spak_free(words);
}

static void program_free(program *p) {
    if (p->folder) spak_remove_tree(p->folder);
    spak_free(p->folder);
    free_words(p->argv);
    free_words(p->env);
    json_decref(p->hidden);
    json_decref(p->record);
}

/* Runs the program, unless the trace has an equal record or shows that it is still not there. */
static bool run_once(program *p, loop_run *run, const json_t **record, spak_error *err) {
    json_t *like = json_copy(p->record);
    /* json_copy drops members when memory runs out, and a shorter `like` finds other programs' records. */
    if (!like || json_object_size(like) != json_object_size(p->record)) {
        json_decref(like);
        return spak_fail_oom(err);
    }
    json_object_del(like, "reason");
    const json_t *found = loop_find(run, "evaluate", like);
    json_decref(like);
    bool was_absent = found && !strcmp(spak_json_str(found, "status", ""), "absent");
    if (found && (!was_absent || p->absent || run->complete)) {
        *record = found;
        return true;
    }
    if (!loop_ticket_check(run, err)) return false;
    if (!p->absent && !execute(p, run, err)) return false;
    if (p->absent && !spak_json_bool(p->asked, "optional", false))
        return spak_fail(err, "program %s: %s", p->label, spak_json_str(p->record, "reason", ""));
    if (p->absent && was_absent) {
        *record = found;
        return true;
    }
    if (p->absent && !spak_json_set(p->record, "status", json_string("absent"), err)) return false;
    return loop_record(run, "evaluate", json_incref(p->record), record, err);
}

bool lua_program(loop_run *run, const json_t *asked, const json_t **record, spak_error *err) {
    program p = {.asked = asked};
    bool ok = read_asked(&p, run, err) && run_once(&p, run, record, err);
    program_free(&p);
    return ok;
}
