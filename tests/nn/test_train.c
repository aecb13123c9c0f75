/* Training runs: the same bits on any number of threads, twice in a row, and over a stop; steps that allocate nothing;
 * what validation is; and what is refused. */
#include <sys/wait.h>

#include "base/rng.h"
#include "data/data.h"
#include "files.h"
#include "nn/checkpoint.h"
#include "nn/train.h"

enum { STEPS = 20, HALF = STEPS / 2 };
static char scratch[64];

static const char TEXT[] =
    "{'task': {'kind': 'text', 'dataset': 'names'}, 'steps': 20, 'batch': 4, 'micro_batches': 2, 'warmup_steps': 5,"
    " 'late_weight_decay': 0.5, 'late_decay_from': 12,"
    " 'model': {'preset': 'nanogpt-cpu', 'layers': 2, 'heads': 2, 'kv_heads': 2, 'width': 32, 'hidden': 64,"
    " 'context': 24, 'dropout': 0.2}}";
static const char LOOPED[] =
    "{'task': {'kind': 'addition', 'layout': 'packed', 'packed_len': 40, 'protocol': 'published'}, 'steps': 20,"
    " 'batch': 6, 'warmup_steps': 5, 'least_loops': 1, 'most_loops': 5,"
    " 'model': {'preset': 'looplm-12', 'width': 32, 'hidden': 64, 'dropout': 0.1, 'segments': true, 'inject': true}}";

/* Quotes are single in the texts above. */
static bool read_config(const char *text, nn_train_config *config, spak_error *err) {
    json_t *json = NULL;
    char *copy = spak_strdup(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'') *c = '"';
    const bool good =
        spak_json_parse("test", copy, strlen(copy), &json, err) && nn_train_config_read(json, config, err);
    json_decref(json);
    spak_free(copy);
    return good;
}

static nn_trainer *trainer_of(const char *text, size_t threads) {
    nn_train_config config;
    nn_trainer *t = NULL;
    spak_error err = {{0}};
    if (read_config(text, &config, &err)) {
        config.threads = threads;
        if (nn_trainer_new(&config, &t, &err)) return t;
    }
    ok(false, "%s", err.message);
    exit(1);
}

/* Everything that a run has come to. */
typedef struct outcome {
    double loss[STEPS], norm[STEPS];
    size_t loops[STEPS], numbers;
    double *state; /* (3, numbers): values and both moments */
} outcome;

static void take_state(const nn_model *model, outcome *o) {
    size_t count;
    nn_model_params(model, &count, &o->numbers);
    spak_free(o->state);
    o->state = spak_malloc(3 * o->numbers * sizeof *o->state);
    const nn_array arrays[] = {NN_VALUES, NN_MEAN, NN_SQUARE};
    for (size_t i = 0; i < 3; i++) nn_model_get(model, arrays[i], 0, o->numbers, o->state + i * o->numbers);
}

static void make_steps(nn_trainer *t, outcome *o, size_t to) {
    for (nn_step s; nn_trainer_next(t) < to;) {
        spak_error err = {{0}};
        if (!nn_trainer_step(t, &s, &err)) {
            ok(false, "%s", err.message);
            exit(1);
        }
        o->loss[s.step] = s.loss;
        o->norm[s.step] = s.grad_norm;
        o->loops[s.step] = s.loops;
    }
    take_state(nn_trainer_model(t), o);
}

static outcome whole_run(const char *text, size_t threads) {
    outcome o = {.state = NULL};
    nn_trainer *t = trainer_of(text, threads);
    make_steps(t, &o, STEPS);
    nn_trainer_free(t);
    return o;
}

static bool same_steps(const outcome *a, const outcome *b, size_t from) {
    const size_t n = STEPS - from;
    return !memcmp(a->loss + from, b->loss + from, n * sizeof *a->loss) &&
           !memcmp(a->norm + from, b->norm + from, n * sizeof *a->norm) &&
           !memcmp(a->loops + from, b->loops + from, n * sizeof *a->loops);
}

static bool same_state(const outcome *a, const outcome *b) {
    return a->numbers == b->numbers && !memcmp(a->state, b->state, 3 * a->numbers * sizeof *a->state);
}

static void same_bits(const char *what, const char *text, const outcome *once) {
    for (size_t threads = 1; threads <= 3; threads++) {
        outcome again = whole_run(text, threads);
        ok(same_steps(once, &again, 0), "%s: losses, norms and loops are the same with %zu threads", what, threads);
        ok(same_state(once, &again), "%s: and every parameter and moment", what);
        spak_free(again.state);
    }
}

/* Ten steps and a checkpoint, by a process that then ends. */
static char *stop_half_way(const char *text, const char *folder) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        outcome o = {.state = NULL};
        nn_trainer *t = trainer_of(text, 2);
        make_steps(t, &o, HALF);
        _exit(nn_trainer_save(t, folder, 1, NULL) ? 0 : 1);
    }
    int status = -1;
    char *path = NULL;
    spak_error err = {{0}};
    ok(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a process makes %d steps, saves and ends", HALF);
    ok(nn_checkpoint_newest(folder, &path, NULL, &err) && path, "its checkpoint is found");
    return path;
}

typedef enum harm { SOUND, A_MOMENT, THE_STEP } harm;

static outcome go_on(const char *text, const char *path, harm h) {
    outcome o = {.state = NULL};
    spak_error err = {{0}};
    nn_trainer *t = trainer_of(text, 3);
    if (!nn_trainer_load(t, path, &err)) ok(false, "%s", err.message);
    double x = 1e-3;
    if (h == A_MOMENT) nn_model_put(nn_trainer_model(t), NN_SQUARE, 7, 1, &x);
    if (h == THE_STEP) nn_trainer_set_next(t, HALF + 1);
    make_steps(t, &o, STEPS);
    nn_trainer_free(t);
    return o;
}

static void resumes(const char *what, const char *text, const outcome *once, const char *folder) {
    char *path = stop_half_way(text, folder);
    outcome o = go_on(text, path, SOUND);
    ok(same_steps(once, &o, HALF), "%s: stopped and gone on, the losses are those of the run that was not stopped",
       what);
    ok(same_state(once, &o), "%s: and every parameter and moment, bit for bit", what);
    spak_free(o.state);
    o = go_on(text, path, A_MOMENT);
    ok(!same_state(once, &o), "%s: one moment that is not restored is seen", what);
    spak_free(o.state);
    o = go_on(text, path, THE_STEP);
    ok(!same_steps(once, &o, HALF), "%s: and a step that is left out", what);
    spak_free(o.state);
    spak_free(path);
}

/* --- a step by its definition --- */

/* What a batch is made of, by formulas of this test: the first 12 steps decay by 0.1, the others by 0.5. */
typedef struct by_hand {
    const nn_train_config *c; /* of the trainer, with what the task filled in */
    nn_model *model;
    int32_t *ids, window[2][96]; /* text: ids of the whole data set; (batch, len) tokens and targets */
    size_t train_ids;
    bool inside; /* no window has come to the validation part */
    nn_add_rows *rows;
} by_hand;

static nn_batch batch_by_hand(by_hand *h, uint64_t number) {
    const nn_train_config *c = h->c;
    if (c->task == NN_TASK_ADDITION) {
        nn_addition_train_rows(&c->addition, c->seed, number, h->rows);
        return nn_add_rows_batch(h->rows);
    }
    for (size_t i = 0; i < c->batch; i++) {
        uint32_t word[4];
        spak_philox(c->seed, 0x54455854, number * c->batch + i, word);
        const size_t start = ((uint64_t)word[0] << 32 | word[1]) % (h->train_ids - c->len);
        h->inside = h->inside && start + c->len < h->train_ids;
        memcpy(h->window[0] + i * c->len, h->ids + start, c->len * sizeof *h->ids);
        memcpy(h->window[1] + i * c->len, h->ids + start + 1, c->len * sizeof *h->ids);
    }
    return (nn_batch){.batch = c->batch, .len = c->len, .tokens = h->window[0], .targets = h->window[1]};
}

static nn_step step_by_hand(by_hand *h, uint64_t step) {
    static const nn_schedule schedule = {.rate = 1e-3, .min_rate = 1e-4, .warmup_steps = 5, .decay_steps = STEPS};
    const nn_train_config *c = h->c;
    const bool late = c->task == NN_TASK_TEXT && step >= 12;
    const nn_optimiser adamw = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = late ? 0.5 : 0.1, .clip = 1};
    nn_step said = {.rate = nn_schedule_rate(&schedule, step)};
    uint32_t word[4];
    spak_philox(c->seed, 0x4C4F4F50, step, word);
    spak_error err = {{0}};
    nn_zero_gradients(h->model);
    for (uint64_t micro = 0; micro < c->micro_batches; micro++) {
        const uint64_t number = step * c->micro_batches + micro;
        nn_batch batch = batch_by_hand(h, number);
        double loss = 0;
        batch.loops = c->task == NN_TASK_TEXT ? 1 : 1 + word[0] % 5;
        batch.training = true, batch.seed = 1337, batch.step = number;
        if (!nn_forward_backward(h->model, &batch, 1.0 / (double)c->micro_batches, &loss, &err))
            ok(false, "%s", err.message);
        said.loss += loss / (double)c->micro_batches;
    }
    said.grad_norm = nn_update(h->model, &adamw, said.rate, step);
    return said;
}

static void open_by_hand(by_hand *h, nn_trainer *t) {
    const nn_train_config *c = nn_trainer_config(t);
    spak_error err = {{0}};
    *h = (by_hand){.c = c, .inside = true};
    if (c->task == NN_TASK_TEXT) {
        data_set *set = NULL;
        if (!data_open("names", &set, &err)) ok(false, "%s", err.message);
        h->train_ids = (size_t)((double)set->size * 0.9);
        h->ids = spak_malloc(set->size * sizeof *h->ids);
        nn_chars_encode(nn_trainer_chars(t), "names", set->bytes, set->size, h->ids, &err);
        data_close(set);
    } else if (!nn_add_rows_new(c->batch, c->len, &h->rows, &err)) {
        ok(false, "%s", err.message);
    }
    if (!nn_model_new(&c->model, &nn_cpu, 1, c->batch, c->len, c->most_loops, true, &h->model, &err)) {
        ok(false, "%s", err.message);
        exit(1);
    }
    nn_model_init(h->model, 1337);
}

static void steps_by_definition(const char *what, const char *text) {
    enum { MADE = 15 };
    nn_trainer *t = trainer_of(text, 2);
    by_hand h;
    outcome o = {.state = NULL}, want = {.state = NULL};
    bool same = true, rates = true;
    open_by_hand(&h, t);
    for (uint64_t step = 0; step < MADE; step++) {
        nn_step made;
        spak_error err = {{0}};
        const nn_step said = step_by_hand(&h, step);
        if (!nn_trainer_step(t, &made, &err)) ok(false, "%s", err.message);
        same = same && made.loss == said.loss && made.grad_norm == said.grad_norm;
        rates = rates && made.rate == said.rate;
    }
    take_state(nn_trainer_model(t), &o);
    take_state(h.model, &want);
    ok(h.inside, "%s: no window has a character of the validation part", what);
    ok(rates, "%s: %d steps have the schedule's rates", what, MADE);
    ok(same, "%s: losses and norms are those of the steps made by hand", what);
    ok(same_state(&o, &want), "%s: and every parameter and moment, bit for bit", what);
    spak_free(o.state);
    spak_free(want.state);
    spak_free(h.ids);
    nn_add_rows_free(h.rows);
    nn_model_free(h.model);
    nn_trainer_free(t);
}

static void counts_flops(const char *text, size_t mean_loops) {
    nn_trainer *t = trainer_of(text, 1);
    const nn_train_config *c = nn_trainer_config(t);
    json_t *about = nn_trainer_describe(t);
    is_near(spak_json_num(about, "flops_per_step", 0),
            3 * (double)(c->batch * c->micro_batches) * nn_forward_flops(&c->model, c->len, c->len, mean_loops), 0,
            "a step is three forward passes of %zu loops", mean_loops);
    json_decref(about);
    nn_trainer_free(t);
}

static void random_loops(const outcome *o) {
    bool seen[6] = {false}, inside = true;
    size_t different = 0;
    for (size_t i = 0; i < STEPS; i++) {
        inside = inside && o->loops[i] >= 1 && o->loops[i] <= 5;
        if (inside && !seen[o->loops[i]]) seen[o->loops[i]] = true, different++;
    }
    ok(inside && different == 5, "each number of loops from least to most is drawn in %d steps", STEPS);
}

static void nothing_allocated(const char *what, const char *text) {
    nn_trainer *t = trainer_of(text, 2);
    nn_step s;
    spak_error err = {{0}};
    const unsigned long before = spak_alloc_failures();
    spak_alloc_fail_after(0);
    bool good = true;
    for (int i = 0; i < 3; i++) good = good && nn_trainer_step(t, &s, &err);
    spak_alloc_fail_after(-1);
    ok(good && spak_alloc_failures() == before, "%s: a step allocates nothing %s", what, err.message);
    spak_alloc_fail_after(0);
    json_t *description = nn_trainer_describe(t);
    spak_alloc_fail_after(-1);
    ok(!description && spak_alloc_failures() > before, "and an allocation would have been seen");
    nn_trainer_free(t);
}

/* The mean over the validation part, window by window, with a model of its own. */
static void validates(void) {
    nn_trainer *t = trainer_of(TEXT, 2);
    const nn_train_config *c = nn_trainer_config(t);
    outcome o = {.state = NULL};
    make_steps(t, &o, 3);
    nn_model *m = NULL;
    data_set *set = NULL;
    spak_error err = {{0}};
    if (!data_open("names", &set, &err) || !nn_model_for_inference(nn_trainer_model(t), 1, c->len, 0, 1, &m, &err))
        ok(false, "%s", err.message);
    int32_t *ids = spak_malloc(set->size * sizeof *ids);
    nn_chars_encode(nn_trainer_chars(t), "names", set->bytes, set->size, ids, &err);
    double sum = 0;
    size_t windows = 0;
    for (size_t at = (size_t)((double)set->size * 0.9); at + c->len < set->size; at += c->len, windows++) {
        double loss;
        nn_batch batch = {.batch = 1, .len = c->len, .tokens = ids + at, .targets = ids + at + 1};
        nn_forward(m, &batch, &loss, &err);
        sum += loss;
    }
    json_t *result = NULL;
    ok(nn_trainer_validate(t, &result, &err), "validation %s", err.message);
    is_int(spak_json_int(result, "tokens", 0), windows * c->len, "sees each window of the validation part");
    is_near(spak_json_num(result, "validation_loss", 0), sum / (double)windows, 1e-5, "and gives their mean loss");
    outcome after = {.state = NULL};
    make_steps(t, &after, 3);
    ok(same_state(&o, &after), "it changes nothing");
    json_decref(result);
    spak_free(o.state);
    spak_free(after.state);
    spak_free(ids);
    data_close(set);
    nn_model_free(m);
    nn_trainer_free(t);
}

/* Additions validate on batches 2^28 and on, which no run reaches, and with the model's own loops, be they more than
 * any step draws. */
static void validates_held_out(void) {
    nn_train_config config;
    nn_trainer *t = NULL;
    json_t *result = NULL;
    nn_add_rows *rows = NULL;
    spak_error err = {{0}};
    read_config(
        "{'task': {'kind': 'addition', 'most_digits': 2}, 'steps': 2, 'batch': 3, 'threads': 1, 'least_loops': 2,"
        " 'most_loops': 3, 'model': {'preset': 'looplm-12', 'loops': 4, 'width': 32, 'hidden': 64}}",
        &config, &err);
    if (!nn_trainer_new(&config, &t, &err) || !nn_add_rows_new(3, config.len, &rows, &err))
        ok(false, "%s", err.message);
    nn_step s;
    ok(nn_trainer_step(t, &s, &err) && s.loops < 4 && nn_trainer_validate(t, &result, &err),
       "steps of fewer loops than the model has, then validation %s", err.message);
    double sum = 0;
    size_t tokens = 0;
    for (uint64_t i = 0; i < 8; i++) {
        double loss = 0;
        size_t counted = 0;
        nn_addition_train_rows(&config.addition, config.seed, 268435456 + i, rows);
        nn_batch batch = nn_add_rows_batch(rows);
        nn_forward(nn_trainer_model(t), &batch, &loss, &err);
        for (size_t k = 0; k < rows->rows * rows->len; k++) counted += rows->targets[k] >= 0;
        sum += loss * (double)counted, tokens += counted;
    }
    is_near(spak_json_num(result, "validation_loss", 0), sum / (double)tokens, 1e-12,
            "on the batches that are held out");
    json_decref(result);
    nn_add_rows_free(rows);
    nn_trainer_free(t);
    config.steps = 268435456;
    ok(nn_trainer_new(&config, &t, &err), "as many steps as there are batches before these %s", err.message);
    nn_trainer_free(t);
}

static void diverges(void) {
    nn_trainer *t = trainer_of(LOOPED, 1);
    outcome before = {.state = NULL}, after = {.state = NULL};
    nn_step s;
    spak_error err = {{0}};
    double nan = NAN, kept;
    make_steps(t, &before, 2);
    nn_model_get(nn_trainer_model(t), NN_VALUES, 0, 1, &kept);
    nn_model_put(nn_trainer_model(t), NN_VALUES, 0, 1, &nan);
    ok(!nn_trainer_step(t, &s, &err), "a loss that is no number fails");
    ok(names(err.message, (const char *const[]){"step 2", "nan", "lower rate", NULL}), "naming step and remedy: %s",
       err.message);
    is_int(nn_trainer_next(t), 2, "the step does not count");
    nn_model_put(nn_trainer_model(t), NN_VALUES, 0, 1, &kept);
    make_steps(t, &after, 2);
    ok(same_state(&before, &after), "and nothing was changed");
    spak_free(before.state);
    spak_free(after.state);
    nn_trainer_free(t);
    t = trainer_of(TEXT, 1);
    json_t *result = NULL;
    nn_model_put(nn_trainer_model(t), NN_VALUES, 0, 1, &nan);
    ok(!nn_trainer_validate(t, &result, &err) && strstr(err.message, "not finite"), "nor has it a validation loss: %s",
       err.message);
    nn_trainer_free(t);
}

/* A small batch is learned by heart: the loss goes down, and with the same batch at every step nearly to nothing. */
static void learns(void) {
    nn_train_config config;
    nn_trainer *t = NULL;
    nn_step s = {0};
    spak_error err = {{0}};
    read_config(
        "{'task': {'kind': 'addition', 'most_digits': 2}, 'steps': 60, 'batch': 4, 'rate': 1e-2,"
        " 'warmup_steps': 0, 'one_batch': true, 'weight_decay': 0,"
        " 'model': {'preset': 'looplm-12', 'loops': 2, 'width': 32, 'hidden': 64}}",
        &config, &err);
    if (!nn_trainer_new(&config, &t, &err)) ok(false, "%s", err.message);
    nn_trainer_step(t, &s, &err);
    const double first = s.loss;
    while (nn_trainer_next(t) < config.steps && nn_trainer_step(t, &s, &err)) continue;
    ok(first > 2 && s.loss < 0.05, "one batch is learned by heart: from %.3f to %.4f", first, s.loss);
    nn_trainer_free(t);
}

static void refused(const char *text, const char *word) {
    nn_train_config config;
    nn_trainer *t = NULL;
    spak_error err = {{0}};
    const bool good = read_config(text, &config, &err) && nn_trainer_new(&config, &t, &err);
    ok(!good && strstr(err.message, word), "refused: %s", good ? text : err.message);
    nn_trainer_free(t);
}

static void refuses(void) {
    refused("[1]", "expected an object");
    refused("{'task': {'kind': 'poem'}, 'model': {}}", "task");
    refused("{'task': {'kind': 'text'}, 'model': {}}", "task.dataset is missing");
    refused("{'task': {'kind': 'text', 'dataset': 'names', 'share': 1}, 'model': {}}", "task.share");
    refused("{'task': {'kind': 'text', 'dataset': 'names', 'validation_share': 1}, 'model': {}}", "validation_share");
    refused("{'task': {'kind': 'text', 'dataset': 'novels'}, 'model': {'preset': 'nanogpt-cpu'}}", "novels");
    refused("{'task': {'kind': 'addition'}}", "model");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'gpt9'}}", "gpt9");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12', 'heads': 5}}", "heads");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'stesp': 5}", "stesp");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'batch': 0}", "batch");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'steps': 1.5}", "steps");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'device': 'gpu'}", "device");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'steps': 134217729, 'micro_batches': 2}",
            "at most 268435456");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'len': 7}", "len");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'least_loops': 9, 'most_loops': 3}",
            "least_loops");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'len': 65, 'model': {'preset': 'nanogpt-cpu'}}", "len");
    refused(
        "{'task': {'kind': 'text', 'dataset': 'names', 'validation_share': 0.0001},"
        " 'model': {'preset': 'nanogpt-cpu'}}",
        "too few");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'beta1': 1}",
            "beta1: expected a number from 0 to 0.9999999");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12'}, 'beta2': 0.99999999999}", "beta2");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 5}}", "model.preset");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12', 'vocab': 3}}", "model.vocab");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12', 'vocab': 16}}", "model.vocab");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12', 'kinds': 1}}", "model.kinds");
    refused("{'task': {'kind': 'addition'}, 'model': {'preset': 'looplm-12', 'window': -5}}", "window");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'vocab': 1}}",
            "model.vocab");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'window': 3}}",
            "model.window");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'slope': 0.5}}",
            "model.slope");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'kinds': 2}}",
            "model.kinds");
    refused("{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'segments': true}}",
            "model.segments");
    refused(
        "{'task': {'kind': 'text', 'dataset': 'names'}, 'model': {'preset': 'nanogpt-cpu', 'positions': "
        "'learned_index'}}",
        "model.positions");
}

/* A checkpoint is taken by the run that made it, and by no other. */
static void wrong_checkpoint(const char *folder) {
    char *path = NULL;
    spak_error err = {{0}};
    nn_checkpoint_newest(folder, &path, NULL, &err);
    nn_train_config config;
    read_config(TEXT, &config, &err);
    nn_trainer *t = NULL;
    config.seed++;
    nn_trainer_new(&config, &t, &err);
    ok(!nn_trainer_load(t, path, &err) && names(err.message, (const char *const[]){path, "`seed`", "1337", NULL}),
       "another seed is refused: %s", err.message);
    nn_trainer_free(t);
    config.seed--;
    config.model.hidden *= 2;
    nn_trainer_new(&config, &t, &err);
    ok(!nn_trainer_load(t, path, &err) && strstr(err.message, "`hidden`"), "and another model, by its member: %s",
       err.message);
    nn_trainer_free(t);
    config.model.hidden /= 2;
    config.steps += 100;
    config.threads = 1;
    nn_trainer_new(&config, &t, &err);
    ok(nn_trainer_load(t, path, &err), "another last step and number of threads are not");
    is_int(nn_trainer_next(t), HALF, "it goes on where it was");
    const nn_chars own = *nn_trainer_chars(t);
    nn_trainer_free(t);
    t = trainer_of(LOOPED, 1);
    ok(!nn_trainer_load(t, path, &err) && strstr(err.message, path), "another task is refused: %.80s", err.message);
    nn_trainer_free(t);
    nn_train_config found;
    nn_chars chars;
    ok(nn_trained_read(path, &found, &chars, &err) && !strcmp(found.text.dataset, "names") &&
           !memcmp(&chars, &own, sizeof own),
       "it says what it was trained on");
    nn_model *m = NULL;
    ok(nn_trained_model(path, 1, 8, 0, 1, &m, &err), "a model that does not train is made of it");
    nn_model_free(m);
    t = NULL;
    json_t *result = NULL;
    ok(nn_trainer_examine(path, 1, &t, &err) && nn_model_memory(nn_trainer_model(t)).optimiser == 0 &&
           nn_trainer_next(t) == HALF && nn_trainer_validate(t, &result, &err),
       "and it is validated without the memory of training %s", err.message);
    json_decref(result);
    nn_trainer_free(t);
    spak_free(path);
}

int main(void) {
    spak_json_init();
    strcpy(scratch, "/tmp/spak-test-XXXXXX");
    if (!mkdtemp(scratch)) return 1;
    char text_folder[96], looped_folder[96], command[128];
    snprintf(text_folder, sizeof text_folder, "%s/text", scratch);
    snprintf(looped_folder, sizeof looped_folder, "%s/looped", scratch);
    outcome text = whole_run(TEXT, 2), looped = whole_run(LOOPED, 2);
    ok(!same_state(&text, &looped) && !same_steps(&text, &looped, 0), "two runs differ");
    same_bits("text with dropout", TEXT, &text);
    same_bits("looped additions", LOOPED, &looped);
    random_loops(&looped);
    resumes("text with dropout", TEXT, &text, text_folder);
    resumes("looped additions", LOOPED, &looped, looped_folder);
    wrong_checkpoint(text_folder);
    nothing_allocated("text", TEXT);
    nothing_allocated("additions", LOOPED);
    steps_by_definition("text with dropout", TEXT);
    steps_by_definition("looped additions", LOOPED);
    counts_flops(TEXT, 1);
    counts_flops(LOOPED, 3);
    validates();
    validates_held_out();
    diverges();
    learns();
    refuses();
    spak_free(text.state);
    spak_free(looped.state);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command) != 0) printf("# could not remove %s\n", scratch);
    return done_testing();
}
