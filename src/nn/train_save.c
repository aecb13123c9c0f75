/* Stopping a run and going on. A step is a function of the configuration and its number, so beside the parameters and
 * the optimiser's state a checkpoint needs only these two; what draws random numbers has no state of its own. */
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"
#include "nn/checkpoint.h"
#include "nn/safetensors.h"
#include "nn/train.h"

/* {"config": nn_train_config_json's, "chars": nn_chars_json's or null} */
static bool describe(const nn_trainer *t, char **text, spak_error *err) {
    const nn_chars *chars = nn_trainer_chars(t);
    json_t *json = json_pack("{s:o,s:o}", "config", nn_train_config_json(nn_trainer_config(t)), "chars",
                             chars ? nn_chars_json(chars) : json_null());
    spak_str out = {0};
    bool good = (json || spak_fail_oom(err)) && spak_json_canonical(json, &out, err) && spak_str_ok(&out, err);
    json_decref(json);
    if (!good) spak_str_free(&out);
    *text = out.data;
    return good;
}

static const char *hash_of_data(const nn_trainer *t) { return spak_json_str(nn_trainer_data(t), "sha256", ""); }

bool nn_trainer_save(const nn_trainer *t, const char *folder, size_t keep, spak_error *err) {
    nn_checkpoint c = {.step = nn_trainer_next(t)};
    strcpy(c.data_sha256, hash_of_data(t));
    if (!describe(t, &c.trainer, err)) return false;
    const bool good = nn_checkpoint_save(folder, nn_trainer_model((nn_trainer *)t), &c, keep, err);
    spak_free(c.trainer);
    return good;
}

/* --- reading --- */

static bool read_description(const char *path, const char *text, nn_train_config *config, nn_chars *chars,
                             spak_error *err) {
    json_t *json = NULL;
    bool good = spak_json_parse(path, text, strlen(text), &json, err) &&
                (nn_train_config_read(json_object_get(json, "config"), config, err) ||
                 spak_fail_context(err, "%s: its configuration", path));
    memset(chars, 0, sizeof *chars);
    if (good && config->task == NN_TASK_TEXT)
        good = nn_chars_read(json_object_get(json, "chars"), chars, err) || spak_fail_context(err, "%s", path);
    if (good && config->task == NN_TASK_TEXT && chars->count != config->model.vocab)
        good = spak_fail(err, "%s: its model has %zu tokens, its list of characters %zu; take another checkpoint", path,
                         config->model.vocab, chars->count);
    json_decref(json);
    return good;
}

bool nn_trained_read(const char *path, nn_train_config *config, nn_chars *chars, spak_error *err) {
    nn_safetensors *file = NULL;
    if (!nn_safetensors_open(path, &file, err)) return false;
    const char *text = nn_safetensors_metadata(file, "trainer");
    const bool good =
        (text && *text) ? read_description(path, text, config, chars, err)
                        : spak_fail(err, "%s: no checkpoint of `spak train`: it does not say how it was trained", path);
    nn_safetensors_close(file);
    return good;
}

/* Members that may change between stop and start: the number of threads changes no bit, and `steps` says where the run
 * ends; where its schedule ends is decay_steps. */
static bool same_run(const char *path, const nn_train_config *ours, const nn_train_config *theirs, spak_error *err) {
    nn_train_config other = *theirs;
    other.threads = ours->threads;
    other.steps = ours->steps;
    json_t *a = nn_train_config_json(ours), *b = nn_train_config_json(&other), *value;
    const char *key;
    bool good = (a && b) || spak_fail_oom(err);
    if (good) json_object_foreach(a, key, value) {
            if (strcmp(key, "model") == 0) continue; /* compared when it is loaded, member by member */
            const json_t *found = json_object_get(b, key);
            if (json_equal(value, found)) continue;
            spak_str want = {0}, has = {0};
            spak_json_canonical(value, &want, NULL);
            spak_json_canonical(found, &has, NULL);
            good = spak_fail(err,
                             "%s: made by a run with another `%s`: %.300s there, %.300s here; go on with the "
                             "configuration that it was begun with, or begin anew in another folder",
                             path, key, spak_str_text(&has), spak_str_text(&want));
            spak_str_free(&want);
            spak_str_free(&has);
            break;
        }
    json_decref(a);
    json_decref(b);
    return good;
}

bool nn_trainer_load(nn_trainer *t, const char *path, spak_error *err) {
    nn_train_config theirs;
    nn_chars chars;
    nn_checkpoint c = {0};
    if (!nn_trained_read(path, &theirs, &chars, err) || !same_run(path, nn_trainer_config(t), &theirs, err) ||
        !nn_checkpoint_load(path, nn_trainer_model(t), hash_of_data(t), &c, err))
        return false;
    nn_trainer_set_next(t, c.step);
    nn_checkpoint_free(&c);
    return true;
}

bool nn_trainer_examine(const char *path, size_t threads, nn_trainer **trainer, spak_error *err) {
    nn_train_config config;
    nn_chars chars;
    nn_checkpoint c = {0};
    *trainer = NULL;
    if (!nn_trained_read(path, &config, &chars, err)) return false;
    config.threads = threads;
    config.vocab_told = false; /* if the data is another now, that is what to say */
    bool good = nn_trainer_new_asleep(&config, trainer, err) &&
                nn_checkpoint_load(path, nn_trainer_model(*trainer), hash_of_data(*trainer), &c, err);
    if (good) nn_trainer_set_next(*trainer, c.step);
    nn_checkpoint_free(&c);
    if (good) return true;
    nn_trainer_free(*trainer);
    *trainer = NULL;
    return false;
}

bool nn_trained_model(const char *path, size_t batch, size_t len, size_t most_loops, int threads, nn_model **model,
                      spak_error *err) {
    nn_train_config config;
    nn_chars chars;
    nn_checkpoint c = {0};
    *model = NULL;
    if (!nn_trained_read(path, &config, &chars, err)) return false;
    const nn_ops *ops = strcmp(config.device, "oracle") == 0 ? &nn_oracle : &nn_cpu;
    const bool good = nn_model_new(&config.model, ops, threads, batch, len, most_loops, false, model, err) &&
                      nn_checkpoint_load(path, *model, NULL, &c, err);
    nn_checkpoint_free(&c);
    if (!good) {
        nn_model_free(*model);
        *model = NULL;
    }
    return good;
}
