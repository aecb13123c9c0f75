/* spak train: a training run from a Lua table to checkpoints and a trace.
 *
 * OUT/NAME.jsonl is the trace, OUT/NAME/ holds the checkpoints. The losses of a stretch are written before the
 * checkpoint that follows it, so a run that goes on from a checkpoint has all steps before it in its trace; those that
 * a killed run had written beyond it are written again, and are the same to the last bit. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/lm.h"
#include "device/device.h"
#include "lua/convert.h"
#include "lua/sandbox.h"
#include "nn/train.h"
#include "trace/trace.h"

static const char usage[] =
    "usage: spak train CONFIG.lua [--out DIR] [--steps N] [--threads N] [--device cpu|oracle] [--resume]\n"
    "\n"
    "CONFIG.lua returns a table: `name`, `model`, `task`, `steps`, `batch`, `rate` and so on (experiments/configs/ "
    "has\n"
    "examples, src/nn/train.h all members), and validate_every, checkpoint_every (250 steps each), keep (2 "
    "checkpoints).\n"
    "Writes the trace DIR/NAME.jsonl and checkpoints in DIR/NAME/ (default DIR: out/train).\n"
    "  --steps    end after step N; the learning rate goes on as the configuration says\n"
    "  --threads  0, the default: one for each core; changes the time, and no bit of the result\n"
    "  --device   oracle: double precision, slow\n"
    "  --resume   go on from the newest checkpoint, bit for bit, where there is one\n"
    "Interrupted (Ctrl-C, SIGTERM, SIGHUP) it saves a checkpoint first. Exit status: 0 done, 1 failed or interrupted, "
    "2 wrong "
    "usage.\n";

enum { PER_RECORD = 100, MOST_KEPT = 1000 };

typedef struct options {
    const char *config_path, *out, *device;
    long steps, threads; /* < 0: as the configuration says */
    bool resume;
} options;

typedef struct run {
    options options;
    char *name;
    char config_sha256[SPAK_SHA256_HEX + 1];
    size_t validate_every, checkpoint_every, keep;
    nn_train_config config;
    nn_trainer *trainer;
    trace_writer *trace;
    json_t *hw;
    spak_str folder; /* of the checkpoints */
    bool resumed;
    json_t *losses, *norms, *rates, *times, *loops; /* of the steps that are not yet in the trace */
    uint64_t from;                                  /* the first of them */
    spak_progress bar;
    double step_ms; /* smoothed */
} run;

static volatile sig_atomic_t interrupted;
static void on_signal(int number) { interrupted = number; }

/* --- reading --- */

static bool whole(const char *text, long most, long *value) {
    char *end;
    *value = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *value <= most;
}

static bool parse(int argc, char **argv, options *o) {
    const char *steps = NULL, *threads = NULL;
    *o = (options){.out = "out/train", .steps = -1, .threads = -1};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--resume"))
            o->resume = true;
        else if (cli_value(argc, argv, &i, "--out", &o->out) || cli_value(argc, argv, &i, "--steps", &steps) ||
                 cli_value(argc, argv, &i, "--threads", &threads) || cli_value(argc, argv, &i, "--device", &o->device))
            continue;
        else if (argv[i][0] == '-' || o->config_path)
            return cli_stray(argv[i], "one configuration is enough");
        else
            o->config_path = argv[i];
    }
    if (steps && !whole(steps, 1000000000, &o->steps)) return cli_wrong("--steps", "expected 0 to 1000000000");
    if (threads && !whole(threads, 256, &o->threads)) return cli_wrong("--threads", "expected 0 to 256");
    if (o->device && strcmp(o->device, "cpu") != 0 && strcmp(o->device, "oracle") != 0)
        return cli_wrong("--device", "expected cpu or oracle");
    return o->config_path;
}

static bool read_lua(const char *path, json_t **table, spak_error *err) {
    lua_box *box = NULL;
    bool good = lua_box_new(NULL, &box, err) && lua_box_run_file(box, path, err);
    if (good) {
        lua_State *L = lua_box_state(box);
        good = lua_istable(L, -1)
                   ? lua_to_json(L, -1, table, err) || spak_fail_context(err, "%s", path)
                   : spak_fail(err, "%s: expected it to return a table: name, model, task, steps ...", path);
    }
    lua_box_free(box);
    return good;
}

/* Takes a member out of the table. */
static bool take_size(json_t *table, const char *key, long least, long most, size_t *value, spak_error *err) {
    const json_t *found = json_object_get(table, key);
    if (!found) return true;
    const double x = json_is_number(found) ? json_number_value(found) : NAN;
    if (!(x >= (double)least && x <= (double)most) || x != floor(x))
        return spak_fail(err, "%s: expected a whole number from %ld to %ld", key, least, most);
    *value = (size_t)x;
    json_object_del(table, key);
    return true;
}

static bool take_name(json_t *table, char **name, spak_error *err) {
    const char *text = spak_json_str(table, "name", "");
    if (!*text || *text == '-' ||
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") != json_string_length(json_object_get(table, "name")))
        return spak_fail(err, "name: expected a text of a-z, 0-9, '_' and '-'; files are named after it");
    *name = spak_strdup(text);
    json_object_del(table, "name");
    return *name || spak_fail_oom(err);
}

static bool read_table(run *r, json_t *table, spak_error *err) {
    const options *o = &r->options;
    if (!take_name(table, &r->name, err) ||
        !take_size(table, "validate_every", 0, 1000000000, &r->validate_every, err) ||
        !take_size(table, "checkpoint_every", 0, 1000000000, &r->checkpoint_every, err) ||
        !take_size(table, "keep", 1, MOST_KEPT, &r->keep, err))
        return false;
    if (o->device && !spak_json_set(table, "device", json_string(o->device), err)) return false;
    if (!nn_train_config_read(table, &r->config, err)) return false;
    if (o->threads >= 0) r->config.threads = (size_t)o->threads;
    if (o->steps >= 0) r->config.steps = (size_t)o->steps;
    return true;
}

static bool read_config(run *r, spak_error *err) {
    const char *path = r->options.config_path;
    json_t *table = NULL;
    r->validate_every = r->checkpoint_every = 250;
    r->keep = 2;
    const bool good = spak_sha256_file(path, r->config_sha256, err) && read_lua(path, &table, err) &&
                      (read_table(r, table, err) || spak_fail_context(err, "%s", path));
    json_decref(table);
    return good;
}

/* --- the trace --- */

/* What a record holds is lost when memory runs out while it is built: so `body` is NULL then. */
static bool append(run *r, const char *kind, json_t *body, spak_error *err) {
    return body ? trace_append(r->trace, kind, body, NULL, err) : spak_fail_oom(err);
}

static bool record_run(run *r, spak_error *err) {
    char binary[SPAK_SHA256_HEX + 1], started[32];
    if (!spak_sha256_self(binary, err)) return false;
    spak_utc_now(started);
    json_t *data = json_array(), *seed = json_integer((json_int_t)r->config.seed);
    if (nn_trainer_data(r->trainer) && json_array_append(data, (json_t *)nn_trainer_data(r->trainer)) != 0) {
        json_decref(data);
        data = NULL; /* as for all that is packed: then there is no record */
    }
    json_t *body = json_pack("{s:s,s:s,s:O,s:{s:s,s:s},s:o,s:o,s:s,s:o,s:b,s:I,s:o}", "name", r->name, "started",
                             started, "hw", r->hw, "config_file", "path", r->options.config_path, "sha256",
                             r->config_sha256, "config", nn_train_config_json(nn_trainer_config(r->trainer)), "data",
                             data, "binary_sha256", binary, "seed", seed, "resumed", r->resumed, "from_step",
                             (json_int_t)nn_trainer_next(r->trainer), "plan", nn_trainer_describe(r->trainer));
    return append(r, "run", body, err);
}

static bool clear_steps(run *r, spak_error *err) {
    json_t **lists[] = {&r->losses, &r->norms, &r->rates, &r->times, &r->loops};
    r->from = nn_trainer_next(r->trainer);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        json_decref(*lists[i]);
        *lists[i] = json_array();
        if (!*lists[i]) return spak_fail_oom(err);
    }
    return true;
}

static bool add_step(run *r, const nn_step *s, spak_error *err) {
    return (json_array_append_new(r->losses, json_real(s->loss)) == 0 &&
            json_array_append_new(r->norms, json_real(s->grad_norm)) == 0 &&
            json_array_append_new(r->rates, json_real(s->rate)) == 0 &&
            json_array_append_new(r->times, json_real(s->time_ms)) == 0 &&
            json_array_append_new(r->loops, json_integer((json_int_t)s->loops)) == 0) ||
           spak_fail_oom(err);
}

static bool flush_steps(run *r, spak_error *err) {
    if (!json_array_size(r->losses)) return true;
    json_t *body =
        json_pack("{s:s,s:I,s:O,s:O,s:O,s:O,s:O}", "name", r->name, "from_step", (json_int_t)r->from, "loss", r->losses,
                  "grad_norm", r->norms, "rate", r->rates, "time_ms", r->times, "loops", r->loops);
    return append(r, "converge", body, err) && clear_steps(r, err);
}

static bool record_end(run *r, const char *status, const char *reason, spak_error *err) {
    return append(r, "end",
                  json_pack("{s:s,s:s,s:I,s:s*}", "name", r->name, "status", status, "steps",
                            (json_int_t)nn_trainer_next(r->trainer), "reason", reason),
                  err);
}

/* --- saving and going on --- */

static bool save(run *r, spak_error *err) {
    return flush_steps(r, err) && nn_trainer_save(r->trainer, r->folder.data, r->keep, err);
}

/* Never over a run that is there already: a checkpoint is hours of work. */
static bool find_checkpoint(run *r, spak_error *err) {
    char *path = NULL;
    if (!cli_newest(r->folder.data, &path, err)) return false;
    bool good = true;
    if (path && !r->options.resume)
        good =
            spak_fail(err, "%s is there already; go on with it by --resume, or choose another folder with --out", path);
    else if (path)
        good = nn_trainer_load(r->trainer, path, err);
    r->resumed = good && path;
    if (r->resumed) printf("goes on from %s\n", path);
    if (good && !path && r->options.resume) printf("%s holds no checkpoint: begins at step 0\n", r->folder.data);
    spak_free(path);
    return good;
}

static void print_bytes(const char *what, size_t bytes) {
    const bool large = bytes >= (size_t)10 << 20;
    printf("  %-22s %9zu %s\n", what, bytes >> (large ? 20 : 10), large ? "MiB" : "KiB");
}

static void print_plan(const run *r) {
    const nn_train_config *c = nn_trainer_config(r->trainer);
    const nn_memory m = nn_model_memory(nn_trainer_model(r->trainer));
    size_t count, numbers;
    nn_model_params(nn_trainer_model(r->trainer), &count, &numbers);
    printf("%s: %zu parameters, %zu x %zu tokens a step, %zu steps, %s with %zu thread%s\n", r->name, numbers,
           c->batch * c->micro_batches, c->len, c->steps, c->device, c->threads ? c->threads : (size_t)dev_cpu_count(),
           c->threads == 1 ? "" : "s");
    print_bytes("parameters", m.params);
    print_bytes("gradients", m.grads);
    print_bytes("optimiser", m.optimiser);
    print_bytes("activations", m.activations);
    print_bytes("scratch", m.scratch);
    const json_t *data = nn_trainer_data(r->trainer);
    if (data)
        printf("data set %s: %lld bytes (%s)\n", spak_json_str(data, "name", ""), spak_json_int(data, "bytes", 0),
               spak_json_str(data, "origin", ""));
    if (data && !strcmp(spak_json_str(data, "origin", ""), "builtin"))
        printf("  this is a stand-in: results on it are not results on the data set; `spak data fetch %s` fetches it\n",
               spak_json_str(data, "name", ""));
    fflush(stdout);
}

static bool open_run(run *r, spak_error *err) {
    spak_str path = {0};
    spak_str_printf(&path, "%s/%s.jsonl", r->options.out, r->name);
    spak_str_printf(&r->folder, "%s/%s", r->options.out, r->name);
    trace_status status = {0};
    const bool good = spak_str_ok(&path, err) && spak_str_ok(&r->folder, err) && dev_isa_check(err) &&
                      dev_describe(&r->hw, err) && nn_trainer_new(&r->config, &r->trainer, err) &&
                      trace_open(path.data, &r->trace, &status, err) && find_checkpoint(r, err) &&
                      clear_steps(r, err) && record_run(r, err);
    if (good && status.torn_bytes)
        fprintf(stderr, "%s: %zu bytes of a torn last line were cut off\n", path.data, status.torn_bytes);
    spak_str_free(&path);
    return good;
}

/* --- the run --- */

/* Floating-point operations a millisecond that the threads' cores could do at most; 0 where it is not known. */
static double peak_per_ms(const run *r) {
    const size_t threads = r->config.threads ? r->config.threads : (size_t)dev_cpu_count();
    const double lanes = spak_json_num(r->hw, "vector_bytes", 0) / 4;
    const size_t cores = (size_t)dev_cpu_count();
    return (double)(threads < cores ? threads : cores) * spak_json_num(r->hw, "mhz", 0) * 1e3 *
           spak_json_num(r->hw, "fma_per_cycle", 0) * lanes * 2;
}

static void show(run *r, const nn_step *s, double flops) {
    char text[80];
    r->step_ms = r->step_ms > 0 ? 0.95 * r->step_ms + 0.05 * s->time_ms : s->time_ms;
    int n = snprintf(text, sizeof text, "loss %.4f, %.0f tokens/s", s->loss, (double)s->tokens / r->step_ms * 1e3);
    const double peak = peak_per_ms(r);
    if (peak > 0 && strcmp(r->config.device, "cpu") == 0)
        snprintf(text + n, sizeof text - (size_t)n, ", %.0f %% of peak", 100 * flops / r->step_ms / peak);
    spak_progress_step(&r->bar, text);
}

static bool validate(run *r, bool final, spak_error *err) {
    json_t *result = NULL;
    if (!flush_steps(r, err) || !nn_trainer_validate(r->trainer, &result, err)) return false;
    const double loss = spak_json_num(result, "validation_loss", NAN);
    if (!spak_json_set(result, "name", json_string(r->name), err) ||
        !spak_json_set(result, "step", json_integer((json_int_t)nn_trainer_next(r->trainer)), err) ||
        !spak_json_set(result, "final", json_boolean(final), err)) {
        json_decref(result);
        return false;
    }
    if (r->bar.terminal) fprintf(stderr, "\r\033[K");
    printf("step %llu: validation loss %.4f\n", (unsigned long long)nn_trainer_next(r->trainer), loss);
    fflush(stdout);
    return append(r, "evaluate", result, err);
}

static bool due(uint64_t step, size_t every) { return every && step % every == 0; }

static bool steps(run *r, spak_error *err) {
    const uint64_t last = r->config.steps, done = nn_trainer_next(r->trainer);
    json_t *plan = nn_trainer_describe(r->trainer);
    const double flops = spak_json_num(plan, "flops_per_step", 0);
    json_decref(plan);
    if (!r->resumed && r->validate_every && last && !validate(r, false, err)) return false;
    spak_progress_begin(&r->bar, r->name, last > done ? (long)(last - done) : 0);
    while (nn_trainer_next(r->trainer) < last && !interrupted) {
        nn_step s;
        if (!nn_trainer_step(r->trainer, &s, err) || !add_step(r, &s, err)) return false;
        show(r, &s, flops);
        const uint64_t next = s.step + 1;
        if (next == last) break;
        if (json_array_size(r->losses) >= PER_RECORD && !flush_steps(r, err)) return false;
        if (due(next, r->validate_every) && !validate(r, false, err)) return false;
        if (due(next, r->checkpoint_every) && !save(r, err)) return false;
    }
    return true;
}

/* The command that goes on. */
static void print_how_to_go_on(const run *r) {
    const options *o = &r->options;
    printf("interrupted after step %llu; its state is in %s. To go on:\n  spak train %s --resume --out %s",
           (unsigned long long)nn_trainer_next(r->trainer), r->folder.data, o->config_path, o->out);
    if (o->steps >= 0) printf(" --steps %ld", o->steps);
    if (o->threads >= 0) printf(" --threads %ld", o->threads);
    if (o->device) printf(" --device %s", o->device);
    printf("\n");
}

static bool finish(run *r, spak_error *err) {
    const bool complete = nn_trainer_next(r->trainer) >= r->config.steps;
    if (!save(r, err)) return false;
    if (!complete) {
        print_how_to_go_on(r);
        return record_end(r, "interrupted", NULL, err);
    }
    if (!validate(r, true, err) || !record_end(r, "complete", NULL, err)) return false;
    printf("done: checkpoints in %s, trace %s\n", r->folder.data, trace_path(r->trace));
    return true;
}

/* What was reached is kept: the losses so far are put into the trace with the reason, and the checkpoints stay. */
static bool failed(run *r, spak_error *err) {
    spak_error ignored;
    if (r->trace && r->losses) {
        flush_steps(r, &ignored);
        record_end(r, "failed", err->message, &ignored);
    }
    return false;
}

static bool train(run *r, spak_error *err) {
    if (!read_config(r, err) || !open_run(r, err)) return false;
    print_plan(r);
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigaction(SIGINT, &action, NULL); /* a second one ends it at once */
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup's */
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of its output that goes away costs the output, not the run */
    const bool good = steps(r, err);
    if (r->bar.done) spak_progress_end(&r->bar);
    return (good && finish(r, err)) || failed(r, err);
}

static void free_run(run *r) {
    json_t *lists[] = {r->losses, r->norms, r->rates, r->times, r->loops, r->hw};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) json_decref(lists[i]);
    trace_close(r->trace);
    nn_trainer_free(r->trainer);
    spak_str_free(&r->folder);
    spak_free(r->name);
}

int cli_train(int argc, char **argv) {
    run r = {0};
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
    if (!parse(argc, argv, &r.options)) return cli_usage(usage);
    spak_error err = {0};
    const bool good = train(&r, &err);
    const bool stopped = good && nn_trainer_next(r.trainer) < r.config.steps;
    free_run(&r);
    return !good ? cli_error(&err) : stopped ? CLI_FAILED : CLI_OK;
}
