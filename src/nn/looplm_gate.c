/* The executable invariants of LoopLM: what must hold before anything is trained. Here those of the data and of
 * training, and what all of them share; looplm_gate_model.c has those of the model and its decoder.
 *
 * Each mistake here is one that a training run survives: a loss falls without masks too, a model that is tested in a
 * format that it never saw still prints an accuracy, and a recurrent model whose gradient stops at its last loop still
 * learns. So none of them is left to the curve. */
#include "nn/looplm_gate.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "device/trial.h"

/* --- shared --- */

#define SMALL "\"width\": 16, \"heads\": 2, \"init_sigma\": 0.3, \"init_residual_scaled\": false, "
const looplm_subject looplm_subjects[LOOPLM_NUM_SUBJECTS] = {
    {"published", "{" SMALL "\"layout\": \"packed\", \"packed_len\": 40, \"protocol\": \"published\", \"loops\": 3, "
                  "\"positions\": \"rope\", \"segments\": true}"},
    {"indexed", "{" SMALL "\"positions\": \"rope_index\", \"window\": 1, \"kinds\": 2, \"act\": \"relu\", "
                "\"inject\": true, \"loops\": 3, \"dropout\": 0.1}"},
    {"one pass", "{" SMALL "\"layout\": \"one_pass\", \"chain_share\": 0.3, \"positions\": \"rope_index\", "
                 "\"window\": 1, \"kinds\": 2, \"inject\": true, \"normalise_state\": true, \"loops\": 4, "
                 "\"supervision\": \"second_half\"}"},
    {"static", "{" SMALL "\"layers\": 3, \"loops\": 1, \"positions\": \"learned\", \"act\": \"swiglu\", "
               "\"label_smoothing\": 0.1}"},
    {"learned index", "{" SMALL "\"positions\": \"learned_index\", \"most_offset\": 5, \"slope\": 0.5, \"kinds\": 2, "
                      "\"loops\": 2, \"layout\": \"blanks\", \"slots\": 6}"},
};

bool looplm_subject_read(nn_check *check, const looplm_subject *subject, const char *more, nn_train_config *config) {
    json_t *axes = json_loads(subject->axes, 0, NULL), *over = json_loads(more ? more : "{}", 0, NULL);
    json_t *problem = json_pack("{s:i,s:I,s:i,s:i}", "batch", 4, "seed", (json_int_t)(check->seed & 0xFFFF), "threads",
                                1, "steps", 1);
    bool good = (axes && over && problem && json_object_update(axes, over) == 0) || spak_fail_oom(check->err);
    good = good && looplm_config_read(axes, problem, config, check->err);
    config->addition.fault = check->fault;
    json_decref(axes);
    json_decref(over);
    json_decref(problem);
    return good;
}

static void make_wild(nn_model *model, uint64_t seed) {
    size_t count, numbers;
    const nn_param *p = nn_model_params(model, &count, &numbers);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < p[i].rows * p[i].cols; j++) {
            const double x = 0.4 * (double)spak_philox_normal(seed, 7000 + i, j) + !p[i].matrix;
            nn_model_put(model, NN_VALUES, p[i].at + j, 1, &x);
        }
}

bool looplm_subject_new(nn_check *check, const nn_train_config *config, bool wild, nn_trainer **trainer) {
    if (!nn_trainer_new(config, trainer, check->err)) return false;
    nn_model_plant(nn_trainer_model(*trainer), check->fault);
    if (wild) make_wild(nn_trainer_model(*trainer), check->seed);
    return true;
}

bool looplm_rows_new(nn_check *check, const nn_train_config *config, uint64_t step, nn_add_rows **rows) {
    if (!nn_add_rows_new(config->batch, config->len, rows, check->err)) return false;
    nn_addition_train_rows(&config->addition, config->seed, step, *rows);
    return true;
}

/* --- the data --- */

static const char *const tasks[] = {"{}", "{\"protocol\": \"published\"}",
                                    "{\"layout\": \"packed\", \"protocol\": \"published\"}", "{\"layout\": \"blanks\"}",
                                    "{\"layout\": \"one_pass\", \"chain_share\": 0.3}"};
enum { TASKS = sizeof tasks / sizeof *tasks, TASK_ROWS = 32 };

static bool read_task(nn_check *check, size_t k, nn_addition *task) {
    json_t *json = json_loads(tasks[k], 0, NULL);
    const bool good = json ? nn_addition_read(json, task, check->err) : spak_fail_oom(check->err);
    task->fault = check->fault;
    json_decref(json);
    return good;
}

/* Batches as training draws them, and problems as evaluation writes them, read back from their text. */
static bool masks_of(nn_check *check, const nn_addition *task, const char *name) {
    nn_addition sound = *task;
    nn_add_rows *rows = NULL;
    spak_error why = {""};
    sound.fault = NN_SOUND;
    if (!nn_add_rows_new(TASK_ROWS, nn_addition_train_len(task), &rows, check->err)) return false;
    bool good = true;
    for (size_t step = 0; step < check->cases && good; step++, check->tried++) {
        nn_addition_train_rows(task, check->seed, step, rows);
        good = nn_add_rows_check(&sound, rows, &why) || nn_refute(check, name, "%s", why.message);
    }
    nn_add_rows_free(rows);
    return good;
}

bool looplm_masks(nn_check *check) {
    for (size_t k = 0; k < TASKS; k++) {
        nn_addition task;
        if (!read_task(check, k, &task) || !masks_of(check, &task, tasks[k])) return false;
    }
    return true;
}

/* Of all problems with operands below 100 those that training drew, and those that tests ask: told apart by their
 * digits, not by the hash that is to keep them apart. */
bool looplm_disjoint(nn_check *check) {
    enum { SMALLEST = 100 };
    bool *trained = spak_calloc(SMALLEST * SMALLEST, sizeof *trained);
    nn_problem *p = spak_malloc(2000 * sizeof *p);
    bool good = (trained && p) || spak_fail_oom(check->err);
    for (size_t k = 0; k < 2 && good; k++) {
        nn_addition task;
        good = read_task(check, k, &task);
        for (uint64_t i = 0; i < 1000 * check->cases && good; i++, check->tried++) {
            nn_problem drawn;
            nn_addition_draw(&task, check->seed, i, &drawn);
            if (drawn.a_digits > 2 || drawn.b_digits > 2) continue;
            const int a = drawn.a[0] + (drawn.a_digits > 1 ? 10 * drawn.a[1] : 0);
            const int b = drawn.b[0] + (drawn.b_digits > 1 ? 10 * drawn.b[1] : 0);
            trained[a * SMALLEST + b] = true;
        }
    }
    for (size_t digits = 1; digits <= 2 && good; digits++) {
        size_t found;
        good = nn_addition_test_set(NN_ADD_RANDOM, digits, check->seed, 2000, p, &found, check->err);
        for (size_t i = 0; i < found && good; i++) {
            const int a = p[i].a[0] + (digits > 1 ? 10 * p[i].a[1] : 0);
            const int b = p[i].b[0] + (digits > 1 ? 10 * p[i].b[1] : 0);
            if (trained[a * SMALLEST + b])
                good = nn_refute(check, "test problems", "%d + %d is a test problem and was drawn in training", a, b);
        }
    }
    spak_free(trained);
    spak_free(p);
    return good;
}

/* Row 0 of training's batch and of a test of the same problem: the same tokens, targets, indices and kinds. */
static bool row_as_tested(nn_check *check, const nn_addition *task, const char *name, uint64_t step) {
    const size_t len = nn_addition_train_len(task);
    nn_add_rows *trained = NULL, *tested = NULL;
    nn_problem p;
    bool good = nn_add_rows_new(1, len, &trained, check->err) && nn_add_rows_new(1, len, &tested, check->err);
    if (good) {
        nn_addition_train_rows(task, check->seed, step, trained);
        nn_addition_draw(task, check->seed, step, &p);
        nn_addition_test_rows(task, &p, 1, tested);
        if (memcmp(trained->tokens, tested->tokens, 4 * len * sizeof(int32_t)) != 0) {
            spak_str text = {0};
            nn_add_rows_show(trained, 0, &text);
            spak_str_puts(&text, " in training, ");
            nn_add_rows_show(tested, 0, &text);
            good = nn_refute(check, name, "%s in a test", spak_str_text(&text));
            spak_str_free(&text);
        }
    }
    nn_add_rows_free(trained);
    nn_add_rows_free(tested);
    return good;
}

bool looplm_one_format(nn_check *check) {
    for (size_t k = 0; k < TASKS; k++) {
        nn_addition task;
        spak_error why = {""};
        if (!read_task(check, k, &task)) return false;
        if (!nn_addition_same_format(&task, &task, &why)) return nn_refute(check, tasks[k], "%s", why.message);
        if (task.layout == NN_ADD_PACKED || task.layout == NN_ADD_BLANKS) continue; /* several a row; random slots */
        for (uint64_t step = 0; step < check->cases; step++, check->tried++)
            if (!row_as_tested(check, &task, tasks[k], step)) return false;
    }
    return true;
}

/* --- training --- */

/* The published smoke test: one batch, learned by heart within 200 steps to a loss below 0.1. */
bool looplm_by_heart(nn_check *check) {
    enum { STEPS = 200 };
    static const char *const more[] = {"{\"width\": 32, \"loops\": 3, \"init_sigma\": 0.02}",
                                       "{\"width\": 32, \"layers\": 3, \"loops\": 1, \"init_sigma\": 0.02}"};
    static const looplm_subject plain = {"as published", "{\"positions\": \"rope\", \"one_batch\": true}"};
    for (size_t k = 0; k < 2; k++, check->tried++) {
        nn_train_config config;
        nn_trainer *trainer;
        if (!looplm_subject_read(check, &plain, more[k], &config)) return false;
        config.batch = 16;
        config.steps = STEPS;
        config.schedule = (nn_schedule){.rate = 3e-3, .min_rate = 1e-3, .decay_steps = STEPS};
        config.optimiser.weight_decay = 0;
        if (!looplm_subject_new(check, &config, false, &trainer)) return false;
        nn_step step = {.loss = INFINITY};
        spak_error why = {""};
        while (nn_trainer_next(trainer) < STEPS && nn_trainer_step(trainer, &step, &why)) continue;
        nn_trainer_free(trainer);
        if (!(step.loss < 0.1))
            return nn_refute(check, more[k], "after %d steps on one batch the loss is %g %s", STEPS, step.loss,
                             why.message);
    }
    return true;
}

/* Parameters of a table whose row no token of the batches asks for have no gradient, and none is expected. */
static bool may_be_idle(const nn_config *c, const nn_param *p) {
    return (p->rows == c->context && c->context > 1) || (!c->tied && p->rows == c->vocab);
}

static bool subject_trains(nn_check *check, const looplm_subject *subject) {
    enum { STEPS = 6 };
    nn_train_config config;
    nn_trainer *trainer;
    if (!looplm_subject_read(check, subject, "{\"dropout\": 0}", &config)) return false;
    config.batch = 16;
    if (config.model.act == NN_RELU) config.model.act = NN_GELU_ERF; /* a unit that is off everywhere is no mistake */
    if (!looplm_subject_new(check, &config, true, &trainer)) return false;
    nn_model *model = nn_trainer_model(trainer);
    size_t count, numbers;
    const nn_param *p = nn_model_params(model, &count, &numbers);
    double *sum = spak_calloc(numbers, sizeof *sum), *one = spak_malloc(numbers * sizeof *one);
    bool good = (sum && one) || spak_fail_oom(check->err);
    for (uint64_t step = 0; step < STEPS && good; step++) {
        nn_add_rows *rows = NULL;
        good = looplm_rows_new(check, &config, step, &rows);
        nn_batch batch = good ? nn_add_rows_batch(rows) : (nn_batch){0};
        nn_zero_gradients(model);
        good = good && nn_forward_backward(model, &batch, 1, NULL, check->err);
        if (good) nn_model_get(model, NN_GRADIENTS, 0, numbers, one);
        for (size_t i = 0; i < numbers && good; i++) sum[i] += fabs(one[i]);
        nn_add_rows_free(rows);
    }
    for (size_t i = 0; i < count && good; i++) {
        size_t idle = 0;
        const size_t size = p[i].rows * p[i].cols;
        for (size_t j = 0; j < size; j++) idle += !(sum[p[i].at + j] > 0);
        check->tried += size;
        if (idle == size || (idle && !may_be_idle(&config.model, &p[i])))
            good = nn_refute(check, subject->name, "%zu of the %zu parameters of %s have no gradient", idle, size,
                             p[i].name);
    }
    spak_free(sum);
    spak_free(one);
    nn_trainer_free(trainer);
    return good;
}

bool looplm_all_train(nn_check *check) {
    for (size_t i = 0; i < LOOPLM_NUM_SUBJECTS; i++)
        if (!subject_trains(check, &looplm_subjects[i])) return false;
    return true;
}
