/* Checkpoints: a run goes on bit for bit, and whatever happens while one is saved, the newest whole one is found. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/rng.h"
#include "files.h"
#include "nn/checkpoint.h"
#include "nn/model.h"
#include "nn/safetensors.h"

static const char DATA[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static nn_config small(void) {
    nn_config c;
    spak_error err;
    nn_config_preset("gpt2", &c, &err);
    c.vocab = 13, c.context = 8, c.layers = 2, c.heads = c.kv_heads = 2, c.width = 8, c.hidden = 32;
    return c;
}

static nn_model *make(const nn_config *c, bool training) {
    spak_error err = {0};
    nn_model *model = NULL;
    if (!nn_model_new(c, &nn_oracle, 1, 2, 8, 0, training, &model, &err)) ok(false, "a model: %s", err.message);
    if (model) nn_model_init(model, 1);
    return model;
}

static void train(nn_model *model, uint64_t from, uint64_t to) {
    nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
    for (uint64_t step = from; step < to; step++) {
        int32_t tokens[16], targets[16];
        for (int i = 0; i < 16; i++) {
            tokens[i] = (int32_t)(13 * spak_philox_uniform(1, step, (uint64_t)i));
            targets[i] = (tokens[i] + 3) % 13;
        }
        nn_batch batch = {.batch = 2, .len = 8, .tokens = tokens, .targets = targets, .training = true, .step = step};
        double loss;
        spak_error err = {0};
        nn_zero_gradients(model);
        if (!nn_forward_backward(model, &batch, 1, &loss, &err)) ok(false, "a step: %s", err.message);
        nn_update(model, &adamw, 1e-2, step);
    }
}

/* Numbers of the three arrays whose bits differ. */
static size_t different(const nn_model *a, const nn_model *b, int arrays) {
    static const nn_array which[] = {NN_VALUES, NN_MEAN, NN_SQUARE};
    size_t count, numbers, wrong = 0;
    nn_model_params(a, &count, &numbers);
    for (int k = 0; k < arrays; k++)
        for (size_t i = 0; i < numbers; i++) {
            double x, y;
            nn_model_get(a, which[k], i, 1, &x);
            nn_model_get(b, which[k], i, 1, &y);
            wrong += memcmp(&x, &y, sizeof x) != 0;
        }
    return wrong;
}

static bool save(const char *folder, const nn_model *model, uint64_t step, size_t keep, spak_error *err) {
    nn_checkpoint c = {.step = step, .trainer = "{\"position\": 7, \"text\": \"\xc3\xa9\\n\"}"};
    memcpy(c.data_sha256, DATA, sizeof DATA);
    return nn_checkpoint_save(folder, model, &c, keep, err);
}

static void is_newest(const char *folder, const char *want, const char *why, const char *what) {
    spak_error err = {0}, damaged;
    char *path;
    bool found = nn_checkpoint_newest(folder, &path, &damaged, &err);
    ok(found && (want ? path && !strcmp(path, want) : !path) &&
           (why ? strstr(damaged.message, why) != NULL : !damaged.message[0]),
       "%s: %s%s (%s)", what, path ? path : "none", err.message, damaged.message);
    spak_free(path);
}

static void test_goes_on(void) {
    spak_error err = {0};
    nn_config c = small();
    c.dropout = 0.1f;
    nn_model *model = make(&c, true), *resumed = make(&c, true), *asleep = make(&c, false);
    train(model, 0, 3);
    ok(save("run", model, 3, 2, &err), "saved: %s", err.message);
    train(model, 3, 5);
    nn_checkpoint at;
    const char *path = "run/ckpt-00000003.safetensors";
    ok(nn_checkpoint_load(path, resumed, DATA, &at, &err), "loaded: %s", err.message);
    is_int(at.step, 3, "the step");
    is_str(at.trainer, "{\"position\": 7, \"text\": \"\xc3\xa9\\n\"}", "the trainer's own");
    is_str(at.data_sha256, DATA, "the data set");
    ok(different(model, resumed, 3) > 0, "not yet where the first run is");
    train(resumed, 3, 5);
    is_int(different(model, resumed, 3), 0, "it goes on bit for bit");
    nn_checkpoint_free(&at);
    ok(nn_checkpoint_load(path, asleep, NULL, &at, &err), "a model that does not train: %s", err.message);
    nn_checkpoint_free(&at);
    nn_checkpoint_load(path, resumed, NULL, &at, &err);
    is_int(different(asleep, resumed, 1), 0, "has the values");
    ok(!save("run", asleep, 4, 2, &err) && strstr(err.message, "no optimiser state"), "and cannot be saved: %s",
       err.message);
    nn_model_free(asleep);
    c.hidden = 24;
    asleep = make(&c, false);
    nn_checkpoint none;
    ok(!nn_checkpoint_load(path, asleep, NULL, &none, &err) &&
           names(err.message, (const char *[]){path, "`hidden` 32", "24", NULL}),
       "another configuration: %s", err.message);
    ok(!nn_checkpoint_load(path, resumed, "other", &none, &err) &&
           names(err.message, (const char *[]){path, DATA, "other", NULL}),
       "another data set: %s", err.message);
    nn_checkpoint_free(&at);
    nn_model_free(model);
    nn_model_free(resumed);
    nn_model_free(asleep);
}

static size_t files_in(const char *folder) {
    char **listed;
    size_t count;
    if (!spak_list_dir(folder, &listed, &count, NULL)) return 0;
    spak_names_free(listed, count);
    return count;
}

static void test_folder(void) {
    spak_error err = {0};
    nn_config c = small();
    nn_model *model = make(&c, true);
    is_newest("absent", NULL, NULL, "no folder");
    spak_make_dirs("kept", &err);
    is_newest("kept", NULL, NULL, "an empty one");
    spak_write_file("kept/ckpt-0000009.safetensors", "x", 1, &err);
    spak_write_file("kept/ckpt-00000009.safetensors.old", "x", 1, &err);
    is_newest("kept", NULL, NULL, "names that are none");
    for (uint64_t step = 1; step <= 4; step++)
        if (!save("kept", model, step, 2, &err)) ok(false, "step %d: %s", (int)step, err.message);
    is_int(files_in("kept"), 4, "two of four are kept, and other files");
    is_newest("kept", "kept/ckpt-00000004.safetensors", NULL, "the newest");
    save("kept", model, 100000000, 2, &err);
    is_newest("kept", "kept/ckpt-100000000.safetensors", NULL, "a step of nine digits is newer");
    ok(truncate("kept/ckpt-100000000.safetensors", 2000) == 0, "cut off");
    is_newest("kept", "kept/ckpt-00000004.safetensors", "kept/ckpt-100000000.safetensors", "the one before");
    ok(save("kept", model, 5, 1, &err) && spak_exists("kept/ckpt-00000005.safetensors") &&
           !spak_exists("kept/ckpt-00000004.safetensors"),
       "a damaged later one pushes nothing out: %s", err.message);
    is_newest("kept", "kept/ckpt-00000005.safetensors", "100000000", "the one just saved");
    nn_model_free(model);
}

/* No flipped bit goes unseen, wherever it is. */
static void test_damage(void) {
    spak_error err = {0};
    nn_config c = small();
    nn_model *model = make(&c, true);
    spak_str text = {0};
    const char *path = "damaged/ckpt-00000001.safetensors";
    save("damaged", model, 1, 1, &err);
    is_newest("damaged", path, NULL, "whole");
    spak_read_file(path, &text, &err);
    uint64_t header;
    memcpy(&header, text.data, 8);
    size_t unseen = 0, dumb = 0, rounds = 0;
    for (size_t at = 0; at < text.len; at += at < 8 + header ? 7 : 997, rounds++) {
        char *found;
        spak_error why;
        FILE *file = fopen(path, "r+b");
        if (!file || fseek(file, (long)at, SEEK_SET) != 0) break;
        fputc(text.data[at] ^ (1 << at % 8), file);
        fclose(file);
        if (!nn_checkpoint_newest("damaged", &found, &why, &err)) break;
        bool blank = at >= 8 && at < 8 + header && text.data[at] == ' '; /* padding: a blank or a tab */
        unseen += found && !blank;
        dumb += !found && !strstr(why.message, path);
        spak_free(found);
        if (!(file = fopen(path, "r+b")) || fseek(file, (long)at, SEEK_SET) != 0) break;
        fputc(text.data[at], file);
        fclose(file);
    }
    ok(rounds > 400 && unseen == 0 && dumb == 0, "%zu flipped bits: %zu unseen, %zu without the file's name", rounds,
       unseen, dumb);
    is_newest("damaged", path, NULL, "whole again");
    spak_str_free(&text);
    nn_model_free(model);
}

/* The checkpoint under a step, with some metadata replaced and its hash made anew. Nothing but the metadata is checked
 * by who refuses it. */
static void forge(const char *from, const char *to, const char *key, const char *value) {
    spak_error err = {0};
    nn_safetensors *file;
    nn_safetensors_writer *out;
    char hex[SPAK_SHA256_HEX + 1];
    double x;
    if (!nn_safetensors_open(from, &file, &err)) {
        ok(false, "forge: %s", err.message);
        return;
    }
    json_t *metadata = json_copy((json_t *)nn_safetensors_all_metadata(file));
    spak_str text = {0};
    json_object_set_new(metadata, key, json_string(value));
    json_object_del(metadata, "metadata_sha256");
    spak_json_canonical(metadata, &text, &err);
    spak_sha256(text.data, text.len, hex, &err);
    json_object_set_new(metadata, "metadata_sha256", json_string(hex));
    size_t count;
    const nn_tensor *list = nn_safetensors_list(file, &count);
    bool good = nn_safetensors_create(to, list, count, metadata, &out, &err);
    for (size_t i = 0; good && i < count; i++)
        for (size_t at = 0; good && at < list[i].count; at++)
            good = nn_tensor_f64(file, &list[i], at, 1, &x, &err) && nn_safetensors_put_f64(out, &x, 1, &err);
    ok(good && nn_safetensors_finish(out, &err), "%s with another %s %s", to, key, err.message);
    json_decref(metadata);
    spak_str_free(&text);
    nn_safetensors_close(file);
}

/* What cannot be judged is no reason to take an older one. */
static void test_unread(void) {
    spak_error err = {0};
    nn_config c = small();
    nn_model *model = make(&c, true);
    nn_checkpoint none;
    char *path;
    const char *first = "unread/ckpt-00000001.safetensors", *second = "unread/ckpt-00000002.safetensors";
    save("unread", model, 1, 2, &err);
    ok(symlink("nowhere", second) == 0 && !nn_checkpoint_newest("unread", &path, NULL, &err) && !path &&
           names(err.message, (const char *[]){second, "cannot open", NULL}),
       "one that cannot be opened: %s", err.message);
    unlink(second);
    forge(first, second, "format", "spak-checkpoint-2");
    ok(!nn_checkpoint_newest("unread", &path, NULL, &err) && !path &&
           names(err.message, (const char *[]){second, "spak-checkpoint-1", "spak-checkpoint-2", NULL}),
       "one of another version: %s", err.message);
    unlink(second);
    spak_alloc_fail_after(20);
    bool found = nn_checkpoint_newest("unread", &path, NULL, &err);
    spak_alloc_fail_after(-1);
    ok(!found && strstr(err.message, "memory"), "no memory: %s", err.message);
    const char *const steps[] = {"-5", "abc", "7x", "1000000001", "99999999999999999999999", ""};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        forge(first, second, "step", steps[i]);
        ok(!nn_checkpoint_load(second, model, NULL, &none, &err) && strstr(err.message, "step: expected"),
           "step '%s': %s", steps[i], err.message);
    }
    nn_model_free(model);
}

/* A state with NaN in it is neither saved nor taken, and pushes no other out. */
static void test_not_finite(void) {
    spak_error err = {0};
    nn_config c = small();
    nn_model *model = make(&c, true);
    const nn_array arrays[] = {NN_VALUES, NN_MEAN, NN_SQUARE};
    const double bad[] = {NAN, INFINITY, -INFINITY};
    save("finite", model, 1, 1, &err);
    for (int a = 0; a < 3; a++) {
        double kept;
        nn_model_get(model, arrays[a], 5, 1, &kept);
        nn_model_put(model, arrays[a], 5, 1, &bad[a]);
        ok(!save("finite", model, 2, 1, &err) && strstr(err.message, "wte.weight` holds"), "not saved: %s",
           err.message);
        is_newest("finite", "finite/ckpt-00000001.safetensors", NULL, "the one before stays");
        nn_model_put(model, arrays[a], 5, 1, &kept);
    }
    /* as an earlier version might have written it */
    spak_str text = {0};
    const char *path = "finite/ckpt-00000001.safetensors";
    nn_safetensors *file;
    size_t count;
    nn_safetensors_open(path, &file, &err);
    const uint64_t at = nn_safetensors_list(file, &count)[0].offset;
    nn_safetensors_close(file);
    spak_read_file(path, &text, &err);
    memcpy(text.data + at, &bad[0], sizeof bad[0]);
    const size_t values = count / 3;
    nn_safetensors_open(path, &file, &err);
    const uint64_t end = nn_safetensors_list(file, &count)[values].offset;
    nn_safetensors_close(file);
    char hex[SPAK_SHA256_HEX + 1];
    spak_sha256(text.data + at, end - at, hex, &err);
    spak_write_file(path, text.data, text.len, &err);
    forge(path, "finite/ckpt-00000003.safetensors", "values_sha256", hex);
    nn_checkpoint none;
    ok(!nn_checkpoint_load("finite/ckpt-00000003.safetensors", model, NULL, &none, &err) &&
           names(err.message, (const char *[]){"ckpt-00000003", "wte.weight", "NaN", NULL}),
       "not taken: %s", err.message);
    spak_str_free(&text);
    nn_model_free(model);
}

static void test_refused(void) {
    spak_error err = {0};
    nn_config c = small();
    nn_model *model = make(&c, true);
    nn_checkpoint none;
    nn_safetensors_writer *out;
    nn_tensor t = {.name = "x", .dtype = NN_F32, .rank = 1, .shape = {1}};
    nn_safetensors_create("plain.safetensors", &t, 1, NULL, &out, &err);
    nn_safetensors_put_f64(out, (double[]){1}, 1, &err);
    nn_safetensors_finish(out, &err);
    ok(!nn_checkpoint_load("plain.safetensors", model, NULL, &none, &err) && strstr(err.message, "`format`"),
       "no checkpoint: %s", err.message);
    nn_checkpoint bad = {.step = 1, .trainer = "\xff"};
    ok(!nn_checkpoint_save("bad", model, &bad, 1, &err) && strstr(err.message, "`trainer`"), "no UTF-8: %s",
       err.message);
    save("full", model, 1, 3, &err);
    struct rlimit before, little;
    getrlimit(RLIMIT_FSIZE, &before);
    little = before;
    little.rlim_cur = 20000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &little);
    bool saved = save("full", model, 2, 1, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    ok(!saved && names(err.message, (const char *[]){"ckpt-00000002", "disk full", NULL}), "a full disk: %s",
       err.message);
    is_newest("full", "full/ckpt-00000001.safetensors", NULL, "leaves the old one, though one is to be kept");
    is_int(files_in("full"), 1, "and nothing else");
    nn_model_free(model);
}

/* Killed at any moment while it saves, step after step. */
static void test_killed(void) {
    nn_config c = small();
    nn_model *model = make(&c, true);
    size_t wrong = 0, back = 0;
    uint64_t last = 0;
    for (unsigned round = 0; round < 25; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (uint64_t step = last + 1;; step++)
                if (!save("killed", model, step, 2, NULL)) _exit(1);
        }
        usleep(2000 + round * 4700 % 67000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        char *path;
        spak_error err = {0}, damaged;
        wrong += !nn_checkpoint_newest("killed", &path, &damaged, &err) || damaged.message[0];
        uint64_t step = path ? strtoull(path + strlen("killed/ckpt-"), NULL, 10) : 0;
        back += step < last;
        last = step;
        spak_free(path);
    }
    ok(wrong == 0 && back == 0 && last > 4, "killed 25 times while saving %d steps: the newest is whole", (int)last);
    ok(save("killed", model, last + 1, 2, NULL) && files_in("killed") == 2, "one more, and no leftovers remain");
    nn_model_free(model);
}

static void test_memory(void) {
    nn_config c = small();
    nn_model *model = make(&c, true);
    spak_error err;
    long n = 0, wrong = 0;
    for (bool done = false; !done && n < 5000; n++) {
        nn_checkpoint at = {0};
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = save("memory", model, 1, 1, &err) &&
               nn_checkpoint_load("memory/ckpt-00000001.safetensors", model, DATA, &at, &err);
        spak_alloc_fail_after(-1);
        wrong += !done && !strstr(err.message, "memory");
        if (wrong == 1 && !done) printf("# %s\n", err.message);
        nn_checkpoint_free(&at);
        n += n / 20; /* not each of thousands */
    }
    ok(n > 50 && n < 5000 && wrong == 0, "allocations up to %ld may fail (%s)", n, err.message);
    nn_model_free(model);
}

int main(void) {
    enter_scratch();
    test_goes_on();
    test_folder();
    test_damage();
    test_unread();
    test_not_finite();
    test_refused();
    test_killed();
    test_memory();
    leave_scratch();
    return done_testing();
}
